"""Networks with deep supervision give more logits in training, and are the plain network otherwise."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.losses import DeepSupervisionLoss
from torch import nn

from lunet_networks import UNet, UNetPlusPlus, deploy
from lunet_networks.bundle.training import SegmentationLoss
from lunet_networks.bundle.training.weights import load_pretrained, load_weights
from lunet_networks.nets import fast_training
from lunet_networks.pruning import prunable_convolutions, remove_channels
from lunet_networks.summary import count_parameters
from tests.helpers.random_networks import new_network

CLASSES = (UNet, UNetPlusPlus)
SIDES = {UNet: [16, 8, 4], UNetPlusPlus: [16, 16, 16]}  # of the logits of four levels
CHANNELS = (2, 3, 4, 3)
ON_KERNELS = pytest.mark.parametrize("kernels", [True, False])


@pytest.fixture(autouse=True)
def random_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def choose_kernels(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Leaves the kernels on, where there are any, or turns them off."""
    return lambda kernels: None if kernels else monkeypatch.setattr(fast_training, "library", lambda: None)


def _supervised(network_class: type[nn.Module], spatial_dims: int = 2) -> nn.Module:
    return network_class(spatial_dims, out_channels=3, channels=CHANNELS, deep_supervision=True)


@ON_KERNELS
@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("network_class", CLASSES)
def test_every_head_is_trained(
    network_class: type[nn.Module], spatial_dims: int, kernels: bool, choose_kernels: Callable
) -> None:
    choose_kernels(kernels)
    network = _supervised(network_class, spatial_dims)
    image = torch.randn(2, 1, *[16] * spatial_dims)
    logits = network(image)
    assert [out.shape for out in logits] == [(2, 3, *[side] * spatial_dims) for side in SIDES[network_class]]
    loss = DeepSupervisionLoss(SegmentationLoss("dice_bce", 3))
    loss(logits, torch.randint(0, 3, image.shape).float()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert len(network.supervision_heads) == len(CHANNELS) - 2
    assert all(head.weight.grad.any() for head in (network.head, *network.supervision_heads))


@pytest.mark.parametrize("network_class", CLASSES)
def test_kernels_and_layers_give_the_same(network_class: type[nn.Module], choose_kernels: Callable) -> None:
    network, image = _supervised(network_class, 3), torch.randn(2, 1, 16, 16, 16)
    found = network(image)
    choose_kernels(False)
    for one, other in zip(found, network(image), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@ON_KERNELS
def test_a_head_of_a_unet_sees_its_level_only(kernels: bool, choose_kernels: Callable) -> None:
    choose_kernels(kernels)
    network = _supervised(UNet)
    for k, logits in enumerate(network(torch.randn(2, 1, 16, 16))[1:]):
        network.zero_grad()
        logits.sum().backward(retain_graph=True)
        reached = [decoder[0].conv.weight.grad is not None for decoder in network.decoders]
        assert reached == [True] * (2 - k) + [False] * (1 + k)


@pytest.mark.parametrize("network_class", CLASSES)
def test_the_heads_train_only(network_class: type[nn.Module], tmp_path: Path) -> None:
    """Otherwise it is the network without them, which takes its weights as they are."""
    network, image = _supervised(network_class).eval(), torch.randn(1, 1, 16, 16)
    state = network.state_dict()
    torch.save(state, tmp_path / "model.pt")
    with torch.no_grad():
        expected = network(image)
        plain = [network_class(2, out_channels=3, channels=CHANNELS).eval() for _ in range(3)]
        plain[0].load_state_dict(state)
        load_weights(plain[1], tmp_path / "model.pt")
        load_pretrained(plain[2], tmp_path / "model.pt")
        assert all(torch.equal(each(image), expected) for each in plain)
        assert any(key.startswith("supervision_heads.") for key in state)  # what was given stays as it is
        assert count_parameters(network) == count_parameters(plain[0])
        deployed = deploy(network)
        assert not [name for name in deployed.state_dict() if name.startswith("supervision_heads.")]
        torch.testing.assert_close(deployed(image), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("network_class", CLASSES)
def test_torchscript(network_class: type[nn.Module]) -> None:
    network, image = _supervised(network_class), torch.randn(2, 1, 16, 16)
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(network), file)
    file.seek(0)
    loaded = torch.jit.load(file)
    with torch.no_grad():
        for found, expected in zip(loaded(image), network(image), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(loaded.eval()(image), network.eval()(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network_class", CLASSES)
def test_channels_are_removed_from_its_heads_too(network_class: type[nn.Module]) -> None:
    """All channels but the last of every unit, which are zero behind their norms, as the removal supposes."""
    network = new_network(network_class, 2, 0, deep_supervision=True)
    removals = []
    for name in prunable_convolutions(network):
        norm = network.get_submodule(name).adn.N
        for channel in range(norm.num_features - 1):
            norm.weight.data[channel] = norm.bias.data[channel] = 0
            removals.append((name, channel))
    pruned = remove_channels(network, removals)
    image = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        for found, expected in zip(pruned.train()(image), network.train()(image), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
