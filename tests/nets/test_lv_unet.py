"""LV-UNet: its variants, its slope, the MobileNet's weights from a file."""

import copy
import json
import socket
from pathlib import Path

import pytest
import torch

from lunet_networks import LVUNet, create_network
from lunet_networks.nets.mobilenet_v3 import mobilenet_v3_large
from lunet_networks.summary import count_parameters
from tests.helpers.randomised import randomise


@pytest.fixture(scope="module")
def trained() -> LVUNet:
    """As a training leaves it; not to be changed."""
    torch.manual_seed(0)
    return randomise(LVUNet(), torch.randn(4, 3, 256, 256))


@pytest.mark.parametrize(("blocks", "millions"), [(5, 0.8), (9, 0.9), (14, 2.8)])
def test_variants_have_the_papers_parameters(blocks: int, millions: float) -> None:
    assert round(count_parameters(LVUNet(mobilenet_blocks=blocks)) / 1e6, 1) == millions


@pytest.mark.parametrize("blocks", [5, 9, 14])
@pytest.mark.parametrize("skip", ["add", "concat"])
def test_variants_are_rebuilt_from_plain_json(blocks: int, skip: str) -> None:
    network = LVUNet(in_channels=1, out_channels=2, mobilenet_blocks=blocks, act_num=2, skip=skip, dropout=0.1).eval()
    again = LVUNet(**json.loads(json.dumps(network.describe()))).eval()
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 1, 128, 128)
    assert torch.equal(network(image), again(image))


def test_any_size_is_padded_and_cropped_back(trained: LVUNet) -> None:
    network = copy.deepcopy(trained)
    image = torch.randn(2, 3, 130, 40)
    padded = torch.zeros(2, 3, 256, 128)
    padded[:, :, :130, :40] = image
    assert torch.equal(network(image), network(padded)[:, :, :130, :40])
    assert network.train()(torch.randn(1, 3, 129, 1)).shape == (1, 1, 129, 1)
    with pytest.raises(ValueError, match="too few for its batch norm; give one spatial size of 256 or more"):
        network(torch.randn(1, 3, 100, 128))
    with pytest.raises(ValueError, match=r"2D network takes a tensor of shape \(B, C, H, W\), got \[3, 128, 128\]"):
        network(torch.randn(3, 128, 128))


def test_the_slope_is_saved_with_the_weights(trained: LVUNet) -> None:
    network = copy.deepcopy(trained)
    image = torch.randn(1, 3, 128, 128)
    relu = network(image)
    network.set_slope(0.25)
    assert network.slope == 0.25
    reloaded = LVUNet().eval()
    reloaded.load_state_dict(network.state_dict())
    assert reloaded.slope == 0.25
    assert torch.equal(reloaded(image), network(image))
    assert (network(image) - relu).abs().max() > 1e-3


def test_the_slope_is_that_of_a_leaky_relu_in_all_ten_blocks() -> None:
    network = LVUNet()
    network.set_slope(0.3)
    leaky = [module for module in network.modules() if hasattr(module, "slope") and module is not network]
    assert len(leaky) == 10
    x = torch.randn(2, 4, 3, 3)
    for module in leaky:
        torch.testing.assert_close(module(x), torch.nn.functional.leaky_relu(x, 0.3))
    for slope in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="slope must be from 0 to 1, got"):
            network.set_slope(slope)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, LV-UNet has no other form; got 3"),
        ({"mobilenet_blocks": 8}, "mobilenet_blocks must be 5, 9 or 14, got 8"),
        ({"skip": "cat"}, "skip must be one of add, concat, got 'cat'"),
        ({"act_num": 0}, "act_num must be an integer of at least 1"),
        ({"deployed": True, "dropout": 0.1}, "takes neither pretrained weights nor dropout"),
        ({"deployed": True, "pretrained": "weights.pth"}, "takes neither pretrained weights nor dropout"),
    ],
)
def test_arguments_that_describe_no_network(keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LVUNet(**keywords)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like torchvision's: all 15 blocks and the classifier."""
    model = torch.nn.Module()
    model.features = mobilenet_v3_large()
    model.features.append(torch.nn.Conv2d(160, 960, kernel_size=1))
    model.classifier = torch.nn.Linear(960, 10)
    path = tmp_path_factory.mktemp("imagenet") / "mobilenet_v3_large.pth"
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize("blocks", [5, 9, 14])
def test_imagenet_weights_go_into_the_mobilenet(blocks: int, imagenet: Path) -> None:
    own = create_network("lv_unet", mobilenet_blocks=blocks, pretrained=str(imagenet)).state_dict()
    given = torch.load(imagenet, weights_only=True)
    taken = [key for key in own if key.startswith("features.")]
    assert max(int(key.split(".")[1]) for key in taken) == blocks
    assert all(torch.equal(own[key], given[key]) for key in taken)


def test_a_file_of_another_model(imagenet: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(torch.nn.Sequential(torch.nn.Linear(1, 1)).state_dict(), path)
    with pytest.raises(ValueError, match=r"lacks 'features.0.0.weight', its first key is '0.weight': torchvis"):
        LVUNet(pretrained=path)
    small = {**torch.load(imagenet, weights_only=True), "features.2.block.0.0.weight": torch.zeros(72, 16, 1, 1)}
    torch.save(small, path)
    message = r"'features.2.block.0.0.weight' with shape \(72, 16, 1, 1\), this network takes \(64, 16, 1, 1\)"
    with pytest.raises(ValueError, match=message):
        LVUNet(pretrained=path)
    with pytest.raises(ValueError, match=r"takes \(16, 1, 3, 3\): .* and a network of 3 input channels"):
        LVUNet(in_channels=1, pretrained=imagenet)
    with pytest.raises(FileNotFoundError, match=r"there are no weights at nowhere\.pth"):
        LVUNet(pretrained="nowhere.pth")


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("a connection to the network is asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    LVUNet()
