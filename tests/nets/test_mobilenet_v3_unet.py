"""The MobileNetV3 U-Net: its arguments, the MobileNet's weights from a file."""

from pathlib import Path

import pytest
import torch

from lunet_networks import MobileNetV3UNet
from lunet_networks.nets.mobilenet_v3 import mobilenet_v3_large


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, MobileNetV3-UNet has no other form; got 3"),
        ({"width_mult": 0}, "width_mult must be above 0, got 0"),
        ({"deployed": True, "dropout": 0.1}, "takes neither pretrained weights nor dropout"),
        ({"deployed": True, "pretrained": "weights.pth"}, "takes neither pretrained weights nor dropout"),
    ],
)
def test_arguments_that_describe_no_network(keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MobileNetV3UNet(**keywords)


def test_imagenet_weights_go_into_the_mobilenet(tmp_path: Path) -> None:
    model = torch.nn.Module()
    model.features = mobilenet_v3_large()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    own = MobileNetV3UNet(pretrained=tmp_path / "weights.pth").state_dict()
    taken = [key for key in own if key.startswith("features.")]
    assert max(int(key.split(".")[1]) for key in taken) == 13
    assert all(torch.equal(own[key], model.state_dict()[key]) for key in taken)
    with pytest.raises(ValueError, match=r"takes \(8, 3, 3, 3\): .* and a network of 3 input channels and full width"):
        MobileNetV3UNet(width_mult=0.35, pretrained=tmp_path / "weights.pth")
