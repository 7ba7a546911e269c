"""Weights to start from: of the same network, with another head, or refused with the reason."""

import logging
from pathlib import Path

import pytest
import torch

from lunet_networks import create_network
from lunet_networks.bundle.training.weights import load_pretrained
from lunet_networks.state_dicts import read_state_dict


@pytest.fixture
def save(tmp_path):
    def save(content) -> str:
        torch.save(content, tmp_path / "weights.pt")
        return str(tmp_path / "weights.pt")

    return save


def test_weights_of_the_same_network(save):
    source, network = create_network("lunet_small_2f", out_channels=3), create_network("lunet_small_2f", out_channels=3)
    load_pretrained(network, save(source.state_dict()))
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("preset", ["lunet_small_2f", "unetpp_large_6f", "mednext_small", "ege_unet"])
def test_with_other_labels_the_head_stays_fresh_and_that_is_said(save, caplog, preset):
    source, network = create_network(preset, out_channels=2), create_network(preset, out_channels=3)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    with caplog.at_level(logging.INFO):
        load_pretrained(network, save(source.state_dict()))
    loaded = network.state_dict()
    kept = {name for name in loaded if torch.equal(loaded[name], fresh[name]) and loaded[name].ndim > 0}
    heads = {name for name in loaded if loaded[name].shape != source.state_dict()[name].shape}
    assert heads
    assert heads <= kept
    assert all(torch.equal(loaded[name], source.state_dict()[name]) for name in loaded.keys() - kept)
    assert "from a network with other labels: 2 outputs, not 3" in caplog.text


@pytest.mark.parametrize("other", ["lunet_small_4f", "unet_small_2f", "lunetpp_small_2f", "mednext_small"])
def test_weights_of_another_preset(save, other):
    path = save(create_network(other, out_channels=3).state_dict())
    with pytest.raises(ValueError, match=r"weights\.pt is from another network: .* use the preset"):
        load_pretrained(create_network("lunet_small_2f", out_channels=3), path)


@pytest.mark.parametrize("preset", ["lunet_small_2f", "mednext_small", "pspseg_s"])
def test_another_number_of_image_channels_is_said(save, preset):
    path = save(create_network(preset, in_channels=2, out_channels=3).state_dict())
    with pytest.raises(ValueError, match=r"weights\.pt takes images of 2 channels, but in_channels is 1"):
        load_pretrained(create_network(preset, in_channels=1), path)


@pytest.mark.parametrize(("source_outputs", "supervised"), [(2, True), (3, False), (2, False), (3, True)])
def test_deep_supervision(save, caplog, source_outputs, supervised):
    source = create_network("pspseg_s", out_channels=source_outputs, deep_supervision=supervised)
    network = create_network("pspseg_s", out_channels=3, deep_supervision=True)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    with caplog.at_level(logging.INFO):
        load_pretrained(network, save(source.state_dict()))
    heads = {name for name in fresh if name.startswith("supervision_heads.")}
    heads = {*heads, "head.weight", "head.bias"} if source_outputs != 3 else set() if supervised else heads
    for name, value in network.state_dict().items():
        assert torch.equal(value, fresh[name] if name in heads else source.state_dict()[name])
    assert f"{len(fresh) - len(heads)} of {len(fresh)} tensors are taken" in caplog.text
    assert ("other labels: 2 outputs, not 3" in caplog.text) == (source_outputs == 2)
    assert ("the file does not have them" in caplog.text) == (source_outputs == 3 and not supervised)


def test_weights_with_deep_supervision_for_a_network_without(save):
    source = create_network("pspseg_s", out_channels=3, deep_supervision=True)
    network = create_network("pspseg_s", out_channels=3)
    load_pretrained(network, save(source.state_dict()))
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_pickled_module_is_refused(save):
    with pytest.raises(ValueError, match=r"weights\.pt holds pickled objects, .* is refused: a state dict is needed"):
        read_state_dict(save(create_network("lunet_small_1f")))


@pytest.mark.parametrize("content", [{"epoch": 3, "network": {}}, [torch.zeros(1)]])
def test_something_else_than_a_state_dict(save, content):
    with pytest.raises(ValueError, match="holds no plain state dict"):
        read_state_dict(save(content))


@pytest.mark.parametrize("content", [b"", b"neither torch nor pickle"])
def test_a_file_of_another_kind(tmp_path, content):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pt .* a state dict is needed"):
        read_state_dict(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_part_of_a_file(save, share):
    path = Path(save(create_network("lunet_small_1f").state_dict()))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=r"weights\.pt .* a state dict is needed"):
        read_state_dict(path)


def test_no_file():
    with pytest.raises(FileNotFoundError, match=r"no weights at nowhere\.pt"):
        read_state_dict("nowhere.pt")
