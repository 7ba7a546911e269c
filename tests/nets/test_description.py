"""A network describes itself by arguments that JSON has and that its class takes back."""

import json
from inspect import signature

import pytest
import torch

from lunet_networks import (
    UKAN,
    AttentionUNet,
    EGEUNet,
    LMSCUNet,
    LVUNet,
    MALUNet,
    MedNeXt,
    MobileNetV3UNet,
    PSPSeg,
    UNet,
    UNetPlusPlus,
    UNeXt,
    create_network,
    list_presets,
    nets,
)

OTHER_ARGUMENTS = [  # each argument has a value that is not its default
    UNet(2, 2, 3, (3, 4), 1, {"bottleneck.0": 0.5}, {"encoders.0.0": 2}, "NDA", False),
    UNet(2, 2, 3, (3, 4), 1, 0.0, {"encoders.0.0": 2}, "NDA", False, deployed=True),
    UNetPlusPlus(2, 2, 3, (3, 4), 1, 0.2, {"nodes.0.0.0": 2}, "NDA", "bilinear"),
    UNetPlusPlus(2, 2, 3, (3, 4), 1, deployed=True),
    AttentionUNet(3, 2, 3, (2, 4), 0.1),
    AttentionUNet(3, 2, 3, (2, 4), deployed=True),
    MedNeXt(2, 2, 3, 2, 3, 5, 0.1),
    PSPSeg(2, 2, 3, (4, 6, 8), 2, 7, False, True, 0.1, {"bottleneck": [0, 2]}),
    LMSCUNet(3, 2, 3, (4, 8), 3, (1,), 0.1),
    LMSCUNet(3, 2, 3, (4, 8), 3, (1,), 0.0, True),
    LVUNet(2, 2, 3, 5, 2, "concat", 0.1),
    LVUNet(2, 2, 3, 5, 2, "concat", deployed=True),
    UNeXt(2, 2, 3, (4, 4, 8, 12, 16), 0.1),
    UNeXt(2, 2, 3, (4, 4, 8, 12, 16), deployed=True),
    UKAN(2, 2, 3, (2, 3, 4, 6, 4), 0.1),
    UKAN(2, 2, 3, (2, 3, 4, 6, 4), deployed=True),
    MobileNetV3UNet(2, 2, 3, 0.35, 0.1),
    MobileNetV3UNet(2, 2, 3, 0.35, deployed=True),
    MALUNet(2, 2, 3, (4, 8, 4, 12, 4, 8), 0.1),
    EGEUNet(2, 2, 3, (4, 8, 4, 12, 4, 8), True, 0.1),
]
NOT_DESCRIBED = {"pretrained"}  # what its weights were once, which are in the state dict


@pytest.mark.parametrize("network", OTHER_ARGUMENTS, ids=lambda network: type(network).__name__)
def test_the_class_makes_it_again(network: torch.nn.Module) -> None:
    description = json.loads(json.dumps(network.describe()))
    again = type(network)(**description)
    assert again.describe() == description
    again.load_state_dict(network.state_dict())
    size = getattr(network, "padded_multiple", 2 * network.size_multiple)
    image = torch.randn(1, 2, *[size] * network.spatial_dims)
    with torch.no_grad():
        assert torch.equal(again.eval()(image), network.eval()(image))


def test_every_class_is_among_them() -> None:
    assert {type(network).__name__ for network in OTHER_ARGUMENTS} == set(nets.__all__)


@pytest.mark.parametrize("name", list_presets())
def test_a_description_holds_every_argument(name: str) -> None:
    with torch.device("meta"):
        network = create_network(name, dropout=0.1)
        again = network.rebuild()
    assert network.describe().keys() == signature(type(network)).parameters.keys() - NOT_DESCRIBED
    assert again.describe() == network.describe()
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }


def test_a_description_is_a_copy() -> None:
    network = UNet(channels=(2, 3))
    network.describe()["channels"].append(4)
    assert network.describe()["channels"] == [2, 3]
