"""Every architecture goes through TorchScript, scripted and traced, and comes out with free sizes."""

import io

import pytest
import torch

from lunet_networks import UNet, create_network
from tests.helpers.presets import ONE_PER_ARCHITECTURE, with_dims


def _network(name: str, spatial_dims: int) -> torch.nn.Module:
    return create_network(name, spatial_dims=spatial_dims, in_channels=2, out_channels=3, dropout=0.1).eval()


def _images(network: torch.nn.Module) -> list[torch.Tensor]:
    # an instance norm of the two voxels that less would leave makes anything of rounding
    side = max(16, network.size_multiple)
    shapes = [(1, 2, 2, 2, 2), (1, 2, 2, 3, 1), (3, 2, 3, 2, 1)]
    return [torch.randn(*shape[:2], *(side * n for n in shape[2 : network.spatial_dims + 2])) for shape in shapes]


@pytest.mark.parametrize(("name", "spatial_dims"), with_dims(ONE_PER_ARCHITECTURE))
@pytest.mark.parametrize("how", ["script", pytest.param("trace", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_torchscript_round_trip(name: str, spatial_dims: int, how: str) -> None:
    network = _network(name, spatial_dims)
    images = _images(network)
    # what a trace gives is compared below
    compiled = torch.jit.script(network) if how == "script" else torch.jit.trace(network, images[0], check_trace=False)
    file = io.BytesIO()
    torch.jit.save(compiled, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    with torch.no_grad(), torch.jit.optimized_execution(False):  # which takes long to compile and is PyTorch's part
        for image in images:
            logits = network(image)
            torch.testing.assert_close(loaded(image), logits, atol=1e-5 * max(1, logits.abs().max()), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_script_still_names_the_multiple() -> None:
    script = torch.jit.script(create_network("lunet_small_1f").eval())
    with pytest.raises(torch.jit.Error, match="every spatial size must be a multiple of 16"):
        script(torch.zeros(1, 1, 30, 32, 32))


def test_scripting_tells_orders_of_the_same_layers_apart() -> None:
    image = torch.randn(1, 1, 32, 32)
    for adn_ordering in ("AND", "NDA"):
        network = UNet(2, channels=(2, 4), adn_ordering=adn_ordering)
        network(torch.randn(4, 1, 32, 32))  # statistics of its own
        network.eval()
        torch.testing.assert_close(torch.jit.script(network)(image), network(image))
