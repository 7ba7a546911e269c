"""Checkpoints of the published trainer become state dicts of ours."""

import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from lunet_networks import MedNeXt, create_network, list_presets
from lunet_networks.authoring.exporting.convert_checkpoint import convert_checkpoint
from lunet_networks.commands import main
from lunet_networks.published import published_keys

SLOW = re.compile(r"large_24f|pspseg_[bl]|u_kan$")  # tens of megabytes, and no other architecture than smaller ones
WITHOUT_CODE = {"unet_2d"}  # the form that a paper tells of, of a class of which others were published


def _published(preset: str, stamp: bool = False, **keywords: int) -> OrderedDict:
    network = create_network(preset, **keywords)
    own = network.state_dict()
    weights = OrderedDict((theirs, own[ours]) for ours, theirs in published_keys(network, stamp).items())
    if isinstance(network, MedNeXt):  # its head is a transposed convolution here
        weights["out_conv.weight"] = weights["out_conv.weight"].transpose(0, 1)
    for key in [key for key in weights if key.endswith(".weights")]:  # PSP-Seg's scales are one vector a module
        weights[key] = torch.randn(network.num_branches)
    return weights


def _checkpoint(path: Path, weights: OrderedDict) -> Path:
    """A file as the published trainer writes it."""
    content = {"epoch": 3, "model_state_dict": weights, "optimizer_state_dict": {}, "best_metric": 0.5}
    torch.save(content, path)
    return path


@pytest.mark.filterwarnings("ignore:published weights of LV-UNet do not include their slope")
@pytest.mark.parametrize(
    "preset", [name for name in list_presets() if not SLOW.search(name) and name not in WITHOUT_CODE]
)
def test_every_published_preset_is_recognised(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    try:
        weights = _published(preset, in_channels=2, out_channels=3)
    except TypeError as error:
        pytest.skip(f"nothing was published of its class: {error}")
    output = tmp_path / "models" / "model.pt"
    convert_checkpoint(str(_checkpoint(tmp_path / "best_model.pt", weights)), str(output), accept_changed_order=True)
    network = create_network(preset, in_channels=2, out_channels=3)
    network.load_state_dict(torch.load(output, weights_only=True))
    assert torch.equal(next(network.parameters()), next(iter(weights.values())))
    assert f'create_network("{preset}", in_channels=2, out_channels=3)' in capsys.readouterr().out


def test_stamps_pair_and_a_state_dict_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.save(_published("unet_small_4f", stamp=True, out_channels=2), tmp_path / "stamp.pt")
    convert_checkpoint(str(tmp_path / "stamp.pt"), str(tmp_path / "model.pt"))
    assert 'create_network("unet_small_4f", in_channels=1, out_channels=2)' in capsys.readouterr().out


def test_heads_of_deep_supervision_are_left_out(tmp_path: Path) -> None:
    weights = _published("pspseg_s")
    weights["out_4.weight"], weights["out_4.bias"] = torch.zeros(1, 256, 1, 1, 1), torch.zeros(1)
    convert_checkpoint(str(_checkpoint(tmp_path / "best_model.pt", weights)), str(tmp_path / "model.pt"))
    network = create_network("pspseg_s")
    network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(network.bottleneck.branches["2"].scale, weights["bottleneck.0.weights"][2])


def test_mednext_wants_the_changed_order_accepted(tmp_path: Path) -> None:
    path = _checkpoint(tmp_path / "best_model.pt", _published("mednext_small"))
    command = ["convert-checkpoint", str(path), str(tmp_path / "model.pt")]
    with pytest.raises(SystemExit, match="--accept_changed_order True"):
        main(command)
    assert not (tmp_path / "model.pt").exists()
    main([*command, "--accept_changed_order", "True"])
    assert (tmp_path / "model.pt").is_file()


def test_an_output_that_is_there_is_kept(tmp_path: Path) -> None:
    path = _checkpoint(tmp_path / "best_model.pt", _published("lunet_small_1f"))
    (tmp_path / "model.pt").write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite True"):
        convert_checkpoint(str(path), str(tmp_path / "model.pt"))
    assert (tmp_path / "model.pt").read_text() == "mine"
    convert_checkpoint(str(path), str(tmp_path / "model.pt"), overwrite="true")
    assert torch.load(tmp_path / "model.pt", weights_only=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model_state_dict": {}}, "holds neither 'model_state_dict' nor a state dict"),
        ([1, 2], "holds neither"),
        ({"conv.weight": torch.zeros(1, 2)}, r"the first 'conv.weight' of shape \(1, 2\), which fit none"),
        (torch.nn.Linear(1, 1), "is not a checkpoint that can be read safely"),
    ],
)
def test_files_that_are_no_published_checkpoint(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(str(tmp_path / "checkpoint.pt"), str(tmp_path / "model.pt"))
    assert not (tmp_path / "model.pt").exists()
