"""PSP-Seg: its modules, their masks, its initialisation and its deep supervision."""

import io
import json
from pathlib import Path

import pytest
import torch
from monai.losses import DeepSupervisionLoss
from torch import nn

from lunet_networks import PSPSeg, create_network
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.bundle.training.weights import load_pretrained, load_weights
from lunet_networks.nets.redundant import KERNELS, DownSample, RedundantModule, redundant_modules
from lunet_networks.summary import count_parameters

SMALL = {"channels": (4, 6, 8), "out_channels": 2}
LEVELS_OF_L = {"channels": (4, 4, 6, 6, 8, 8), "num_branches": 7, "expansion": 2}


def test_every_level_is_initialised_alike() -> None:
    """The published large network leaves its deepest levels with PyTorch's initialisation, a standard deviation of
    0.58 instead of 1.41 over the root of the inputs."""
    network = PSPSeg(channels=(16, 32, 32, 48, 64, 64), num_branches=7, expansion=2)
    convolutions = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv3d)}
    for name, convolution in convolutions.items():
        if convolution.weight.numel() >= 1000:
            inputs = convolution.weight[0].numel()
            assert convolution.weight.std().item() * inputs**0.5 == pytest.approx(2**0.5, rel=0.1), name
    scales = [parameter for name, parameter in network.named_parameters() if name.endswith(".scale")]
    assert len(scales) == 9 * 7
    assert not any(scales)


@pytest.mark.parametrize("settings", [{**SMALL, "num_branches": 4}, LEVELS_OF_L])
def test_deep_supervision_trains_every_head(settings: dict) -> None:
    """The published networks own a head without gradient, and one whose loss has no weight."""
    network = PSPSeg(**settings, deep_supervision=True)
    levels = len(settings["channels"])
    image = torch.randn(1, 1, *[2**levels] * 3)
    label = torch.randint(0, 2, image.shape).float()
    logits = network(image)
    assert [out.shape[-1] for out in logits] == [2 ** (levels - k) for k in range(levels - 1)]
    loss = DeepSupervisionLoss(SegmentationLoss("dice_bce", settings.get("out_channels", 1)))
    loss(logits, label).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert len(network.supervision_heads) == levels - 2
    assert all(head.weight.grad.any() for head in (network.head, *network.supervision_heads))
    assert torch.equal(network.eval()(image), network.head(network.decode(network.encode(image))[0]))


def test_heads_of_deep_supervision_can_be_left_out_at_load(tmp_path: Path) -> None:
    supervised = PSPSeg(**SMALL, deep_supervision=True).eval()
    plain, image = PSPSeg(**SMALL).eval(), torch.randn(1, 1, 8, 8, 8)
    state = supervised.state_dict()
    plain.load_state_dict(state)
    assert torch.equal(plain(image), supervised(image))
    assert any(key.startswith("supervision_heads") for key in state)  # what was given stays as it is
    nn.Sequential(plain).load_state_dict(nn.Sequential(supervised).state_dict())
    torch.save(state, tmp_path / "model.pt")
    for load in (load_weights, load_pretrained):
        load(plain := PSPSeg(**SMALL).eval(), tmp_path / "model.pt")
        assert torch.equal(plain(image), supervised(image))
    with pytest.raises(RuntimeError, match="Missing key"):
        supervised.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("num_branches", KERNELS)
def test_kernels(spatial_dims: int, num_branches: int) -> None:
    module = RedundantModule(spatial_dims, 4, 2, num_branches)
    kernels = [branch.units[1].conv.kernel_size for branch in module.branches.values()]
    assert len(kernels) == num_branches
    assert kernels == [kernel[-spatial_dims:] for kernel in KERNELS[num_branches]]
    if spatial_dims == 3 or num_branches < 7:
        assert len(set(kernels)) == num_branches
    assert module(torch.randn(1, 4, *[4] * spatial_dims)).shape == (1, 4, *[4] * spatial_dims)


@pytest.mark.parametrize("parallel", [True, False])
def test_a_module_without_branches_is_the_identity(parallel: bool) -> None:
    """Like the published one, which drops its activation with its last branch."""
    x = torch.randn(2, 4, 5, 5)
    empty = RedundantModule(2, 4, 2, 4, numbers=[], parallel=parallel)
    masked = RedundantModule(2, 4, 2, 4, parallel=parallel)
    masked.mask(range(4))
    assert torch.equal(empty(x), x)
    assert torch.equal(masked(x), x)
    assert list(empty.parameters()) == []
    masked.unmask()
    assert torch.equal(masked(x), nn.functional.leaky_relu(x, 0.01) if parallel else x)  # all scales are 0


@pytest.mark.parametrize("parallel", [True, False])
def test_a_masked_branch_is_not_computed_and_not_trained(parallel: bool) -> None:
    module = RedundantModule(2, 4, 2, 4, parallel=parallel)
    for branch in module.branches.values():
        nn.init.ones_(branch.scale)
    x, before = torch.randn(2, 4, 5, 5), []
    module.branches["2"].register_forward_hook(lambda *_: before.append("run"))
    plain = module(x)
    assert len(before) == 1
    module.mask([2])
    masked = module(x)
    masked.sum().backward()
    assert len(before) == 1
    assert not torch.equal(masked, plain)
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == [
        name for name, _ in module.named_parameters() if name.startswith("branches.2.")
    ]
    module.unmask()
    assert torch.equal(module(x), plain)


def test_masks_are_in_the_state_dict() -> None:
    network, other = PSPSeg(**SMALL), PSPSeg(**SMALL)
    network.bottleneck.mask([1, 3])
    content = io.BytesIO()
    torch.save(network.state_dict(), content)
    content.seek(0)
    other.load_state_dict(torch.load(content, weights_only=True))
    assert other.bottleneck.masked_branches() == [1, 3]
    assert other.encoders[1].masked_branches() == []
    masks = network.state_dict()["bottleneck._extra_state"]
    assert torch.equal(masks - masks, torch.zeros(4, dtype=torch.long))  # as federated clients do


def test_a_pruned_network_is_its_description_and_its_state_dict() -> None:
    branches = json.loads('{"encoders.1": [0, 2], "bottleneck": [], "decoders.0": [3]}')
    network = PSPSeg(**SMALL, branches=branches)
    same = PSPSeg(**SMALL, branches=branches)
    same.load_state_dict(network.state_dict())
    assert network.encoders[1].active_branches() == [0, 2]
    image = torch.randn(1, 1, 8, 8, 8)
    assert torch.equal(network(image), same(image))
    assert not [key for key in network.state_dict() if key.startswith("bottleneck.branches")]
    for others in ({"encoders.1": [0, 3]}, {"encoders.1": [0, 1, 2]}, {}):
        with pytest.raises(RuntimeError, match=r"Missing key.*encoders\.1\.branches|Missing key.*bottleneck"):
            PSPSeg(**SMALL, branches={**branches, **others} if others else None).load_state_dict(network.state_dict())


@pytest.mark.parametrize(("preset", "parameters"), [("s", 3_627_773), ("b", 3_627_794), ("l", 8_769_504)])
def test_what_cannot_be_pruned(preset: str, parameters: int) -> None:
    """The published network without branches, less the weights of the branches that it has no more."""
    with torch.device("meta"):
        full = create_network(f"pspseg_{preset}")
        modules = redundant_modules(full)
        empty = create_network(f"pspseg_{preset}", branches={name: [] for name in modules})
    assert count_parameters(empty) == parameters - len(modules) * full.num_branches


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("branches", [None, {"encoders.1": [], "bottleneck": [1, 2]}])
@pytest.mark.parametrize("masked", [[1], [0, 1, 2, 3]])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_masked_network_goes_through_torchscript(spatial_dims: int, branches: dict | None, masked: list[int]) -> None:
    network = PSPSeg(spatial_dims, **SMALL, branches=branches, deep_supervision=True).double().eval()
    for name, parameter in network.named_parameters():
        if name.endswith(".scale"):
            nn.init.normal_(parameter)
    network.decoders[0].mask(masked)
    image = torch.randn(1, 1, *[8] * spatial_dims, dtype=torch.float64)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        for compiled in (torch.jit.script(network), torch.jit.trace(network, image)):
            torch.testing.assert_close(compiled(image), network(image), atol=1e-10, rtol=0)


def test_encoder_and_decoder_outputs_of_every_level() -> None:
    network = PSPSeg(spatial_dims=2)
    features = network.encode(torch.randn(1, 1, 32, 32))
    assert [tuple(f.shape[1:]) for f in features] == [
        (16, 32, 32),
        (32, 16, 16),
        (64, 8, 8),
        (128, 4, 4),
        (256, 2, 2),
    ]
    assert [tuple(f.shape[1:]) for f in network.decode(features)] == [
        (16, 32, 32),
        (32, 16, 16),
        (64, 8, 8),
        (128, 4, 4),
    ]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"channels": (4,)}, "channels must hold"),
        ({"spatial_dims": 1}, "spatial_dims must be 2 or 3"),
        ({"out_channels": 0}, "out_channels must be"),
        ({"dropout": 1.0}, "dropout must be a probability"),
        ({"num_branches": 5}, "num_branches must be one of 1, 4, 7, got 5"),
        ({"expansion": 0.1}, "expansion must leave a branch at least one channel at every level, got"),
        ({"expansion": "2"}, "expansion must leave"),
        (
            {"branches": {"encoders.0": [0]}},
            r"'encoders\.0', which is not a redundant module .* are encoders\.1, bottlen",
        ),
        ({"branches": {"bottleneck": [0, 4]}}, r"gives bottleneck \[0, 4\]: it takes numbers from 0 to 3 in asc"),
        ({"branches": {"bottleneck": [1, 1]}}, "in ascending order"),
        ({"branches": {"bottleneck": [2, 1]}}, "in ascending order"),
    ],
)
def test_arguments_that_describe_no_network(keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PSPSeg(**{**SMALL, **keywords})


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_bypass_is_the_published_strided_convolution(spatial_dims: int) -> None:
    down = DownSample(spatial_dims, 4, 6, dropout=0.0).double()
    x = torch.rand(2, 4, *[8, 6, 4][:spatial_dims], dtype=torch.float64)
    convolve = torch.nn.functional.conv2d if spatial_dims == 2 else torch.nn.functional.conv3d
    bypass = convolve(x, down.bypass.conv.weight, down.bypass.conv.bias, stride=2)
    torch.testing.assert_close(down(x), torch.nn.functional.leaky_relu(bypass + down.units(x), 0.01))
