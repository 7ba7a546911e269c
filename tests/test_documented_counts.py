"""Counts of networks that a document tells in its text are those of the networks."""

from pathlib import Path

import pytest
import torch
from monai.networks.nets import AttentionUnet, BasicUNet, BasicUNetPlusPlus

from lunet_networks import create_network
from lunet_networks.summary import count_macs, count_parameters

DOCUMENT = Path(__file__).parents[1] / "docs" / "2d_networks.md"
WIDTHS = (32, 64, 128, 256, 512)
PRESETS = ("unext", "unext_small", "malunet", "ege_unet", "u_kan", "u_kan_small", "mobilenetv3_unet", "unet_2d_32f")
PRESETS += ("attention_unet_2d_32f", "unetpp_2d_32f")
MONAI = {
    "AttentionUnet": lambda: AttentionUnet(2, 3, 1, WIDTHS, (2,) * 4),
    "BasicUNet": lambda: BasicUNet(2, 3, 1, features=(*WIDTHS, 32)),
    "BasicUNetPlusPlus": lambda: BasicUNetPlusPlus(2, 3, 1, features=(*WIDTHS, 32)),
    "BasicUNetPlusPlus, nontrainable": lambda: BasicUNetPlusPlus(
        2, 3, 1, features=(*WIDTHS, 32), upsample="nontrainable"
    ),
}


@pytest.mark.parametrize("name", [*PRESETS, *MONAI])
def test_the_document_has_the_counts_of_a_network(name: str) -> None:
    with torch.device("meta"):
        network = MONAI[name]() if name in MONAI else create_network(name)
    text = DOCUMENT.read_text("utf-8")
    assert f"{count_parameters(network):,}" in text
    assert f"{count_macs(network, (1, 3, 256, 256)) / 1e9:.3f} G" in text
