"""The start of a new head, and what is said of a training that finds nothing."""

import logging

import pytest
import torch
from torch import nn

from lunet_networks import create_network, list_presets
from lunet_networks.bundle.training import start_at_prior
from lunet_networks.bundle.training.history import NOTHING_FOUND
from lunet_networks.bundle.training.weights import name_of_head

FLAT_ONLY = ("lv_unet", "unext", "malunet", "ege_unet", "u_kan", "mobilenetv3_unet")


@pytest.mark.parametrize("out_channels", [1, 4])
@pytest.mark.parametrize("preset", [name for name in list_presets() if "_large_" not in name])
def test_the_head_of_every_network_starts_at_the_prior(preset: str, out_channels: int) -> None:
    dims = 2 if preset.startswith(FLAT_ONLY) else 3
    network = create_network(preset, spatial_dims=dims, out_channels=out_channels)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start_at_prior(network, 0.1)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{name_of_head(network)}.bias"}
    (bias,) = (network.state_dict()[name].double() for name in changed)
    assert len(bias) == out_channels
    found = bias.sigmoid() if out_channels == 1 else bias.softmax(0)[1:]
    torch.testing.assert_close(found, torch.full_like(found, 0.1 / len(found)))


@pytest.mark.parametrize("preset", ["lunet_small_2f", "lunetpp_small_2f", "pspseg_s"])
def test_the_heads_of_deep_supervision_start_there_too(preset: str) -> None:
    network = create_network(preset, out_channels=3, deep_supervision=True)
    start_at_prior(network, 0.1)
    assert len(network.supervision_heads) >= 3
    assert all(torch.equal(head.bias, network.head.bias) for head in network.supervision_heads)


def test_a_head_without_bias_is_named() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1, bias=False))
    with pytest.raises(ValueError, match=r"Sequential has no bias in its last layer \(1\): .*--foreground_prior 0$"):
        start_at_prior(network, 0.1)


def test_a_training_starts_there(bundle) -> None:
    bundle.train(epochs=1, foreground_prior="0.1", learning_rate=1e-12)
    assert bundle.weights()["head.bias"].softmax(0).tolist() == pytest.approx([0.9, 0.05, 0.05])


def test_a_training_that_finds_nothing_says_what_to_do_once(bundle, caplog) -> None:
    settings = {"foreground_prior": 1e-6, "learning_rate": 1e-12, "batch_size": 3}  # it cannot leave its start
    with caplog.at_level(logging.WARNING):
        bundle.train(epochs=NOTHING_FOUND + 2, **settings)
    said = [record.message for record in caplog.records if record.message.startswith("nothing was found")]
    assert len(said) == 1
    assert "for 10 epochs" in said[0]
    assert "--foreground_prior 0.1" in said[0]
    assert {float(row["train_mean_dice"]) for row in bundle.history()} == {0}
