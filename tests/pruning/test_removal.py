"""A network without some channels is the network with these channels set to zero, whatever was removed before."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lunet_networks import MedNeXt, UNet, UNetPlusPlus, create_network
from lunet_networks.pruning import prunable_convolutions, remove_channels, set_dropout
from tests.helpers.random_networks import new_network

CLASSES = (UNet, UNetPlusPlus)


def test_the_seventeen_of_stamp():
    blocks = [f"encoders.{i}" for i in range(4)] + ["bottleneck"] + [f"decoders.{k}" for k in range(4)]
    names = [f"{block}.{k}" for block in blocks for k in (0, 1)][:-1]
    assert prunable_convolutions(create_network("unet_small_4f")) == names
    assert len(names) == 17


@pytest.mark.parametrize("preset", ["unet_small_1f", "unet_large_6f", "unetpp_small_1f", "lunetpp_large_6f"])
def test_they_are_in_the_order_in_which_they_run(preset):
    network = create_network(preset, spatial_dims=2).eval()
    ran = []
    for name in prunable_convolutions(network):
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    with torch.no_grad():
        network(torch.zeros(1, 1, 32, 32))
    assert ran == prunable_convolutions(network)
    others = [n for n, module in network.named_modules() if hasattr(module, "adn") and n not in ran]
    assert others == ["segmenter"]


@given(
    network_class=st.sampled_from(CLASSES),
    spatial_dims=st.sampled_from((2, 3)),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_removal_equals_a_zeroed_map(network_class, spatial_dims, seed, data):
    network = new_network(network_class, spatial_dims, seed)
    image = torch.randn(1, 2, *[8] * spatial_dims, dtype=torch.float64)
    pruned = network
    number = {name: list(range(width)) for name, width in widths(network).items()}  # in the network as it was at first
    for _ in range(data.draw(st.integers(1, 4), label="steps")):
        spare = [name for name, width in widths(pruned).items() if width > 1]
        names = data.draw(st.lists(st.sampled_from(spare), min_size=1, max_size=6), label="names") if spare else []
        removals = {}
        for name in names:
            channels = [c for c in range(widths(pruned)[name]) if c not in removals.get(name, [])]
            if len(channels) > 1:
                removals.setdefault(name, []).append(data.draw(st.sampled_from(channels), label=name))
        pruned = remove_channels(pruned, [(name, c) for name, channels in removals.items() for c in channels])
        for name, channels in removals.items():
            number[name] = [first for c, first in enumerate(number[name]) if c not in channels]
    zero = {name: sorted(set(range(width)) - set(number[name])) for name, width in widths(network).items()}
    with torch.no_grad(), zeroed_maps(network, zero):
        expected = network(image)
    with torch.no_grad():
        torch.testing.assert_close(pruned(image), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("network_class", [UNet, UNetPlusPlus])
def test_units_without_bias_and_interpolated_maps_are_cut_too(network_class):
    form = {"bias": False} if network_class is UNet else {"upsample": "bilinear"}
    network = network_class(2, channels=(2, 3, 4), adn_ordering="NDA", **form).double().eval()
    removals = {"encoders.0.1": [1], "encoders.1.0": [0], "encoders.1.1": [2]}
    image = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    pruned = remove_channels(network, [(name, c) for name, channels in removals.items() for c in channels])
    with torch.no_grad(), zeroed_maps(network, removals):
        expected = network(image)
    with torch.no_grad():
        torch.testing.assert_close(pruned(image), expected, rtol=0, atol=1e-10)


class zeroed_maps:  # noqa: N801, used as a function
    """The output of the batch norm is set to zero in some channels."""

    def __init__(self, network, channels):
        self.hooks = [
            network.get_submodule(name).adn.N.register_forward_hook(
                lambda _, __, output, c=c: output.index_fill(1, torch.tensor(c, dtype=torch.long), 0)
            )
            for name, c in channels.items()
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()


def widths(network) -> dict[str, int]:
    return {name: network.get_submodule(name).conv.out_channels for name in prunable_convolutions(network)}


@pytest.mark.parametrize("network_class", CLASSES)
def test_statistics_of_the_batch_norm_are_kept(network_class):
    network = new_network(network_class, 3, 0)
    pruned = remove_channels(network, [("encoders.1.0", 1)])
    older, norm = network.encoders[1][0].adn.N, pruned.encoders[1][0].adn.N
    stay = [c for c in range(older.num_features) if c != 1]
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(norm, name), getattr(older, name)[stay])
    assert norm.num_batches_tracked == older.num_batches_tracked


def test_the_skip_of_a_level_stays_right_after_the_first_removal():
    """Published code takes half of the decoder's present inputs for the place where the skip begins."""
    network = UNet(spatial_dims=2, channels=(4, 8))
    pruned = network
    for _ in range(2):
        pruned = remove_channels(pruned, [("encoders.0.1", 1)])
    kept = network.decoders[0][0].conv.weight[:, [0, 1, 2, 3, 4, 7]]
    assert torch.equal(pruned.decoders[0][0].conv.weight, kept)


@pytest.mark.parametrize("network_class", CLASSES)
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_all_but_one_channel_everywhere(network_class, spatial_dims):
    network = new_network(network_class, spatial_dims, 1)
    removals = [(name, c) for name, width in widths(network).items() for c in range(1, width)]
    pruned = remove_channels(network, removals)
    assert set(widths(pruned).values()) == {1}
    with torch.no_grad():
        assert pruned(torch.zeros(1, 2, *[8] * spatial_dims, dtype=torch.float64)).isfinite().all()


@pytest.mark.parametrize("network_class", CLASSES)
def test_the_description_is_json_that_the_class_takes_back(network_class):
    network = remove_channels(new_network(network_class, 2, 2), [("encoders.0.1", 0), ("encoders.1.0", 0)])
    set_dropout(network, {"encoders.1.1": 0.07})
    description = json.loads(json.dumps(network.describe()))
    again = network_class(**description).double().eval()
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 2, 16, 8, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(again(image), network(image))
    assert again.encoders[1][1].adn.D.p == 0.07
    assert again.describe() == description


@pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.SGD])
def test_an_optimizer_goes_on_with_what_it_knows(optimizer_class):
    network = new_network(UNet, 2, 3).train()
    settings = {"lr": 0.1, "momentum": 0.9} if optimizer_class is torch.optim.SGD else {"lr": 0.1}
    optimizer = optimizer_class(network.parameters(), **settings)
    train_step(network, optimizer)
    older = {name: optimizer.state[parameter] for name, parameter in network.named_parameters()}
    pruned = remove_channels(network, [("encoders.0.1", 1), ("bottleneck.1", 0)], optimizer)
    assert [id(p) for g in optimizer.param_groups for p in g["params"]] == [id(p) for p in pruned.parameters()]
    assert len(optimizer.state) == len(list(pruned.parameters()))
    part = next(name for name in ("exp_avg", "momentum_buffer") if name in older["head.bias"])
    state = {name: optimizer.state[parameter][part] for name, parameter in pruned.named_parameters()}
    assert torch.equal(state["encoders.0.1.conv.weight"], drop(older["encoders.0.1.conv.weight"][part], 0, 1))
    assert torch.equal(state["encoders.1.0.conv.weight"], drop(older["encoders.1.0.conv.weight"][part], 1, 1))
    offset = pruned.upsamples[-1].out_channels
    decoder = f"decoders.{len(pruned.decoders) - 1}.0.conv.weight"
    assert torch.equal(state[decoder], drop(older[decoder][part], 1, offset + 1))
    assert torch.equal(state["upsamples.0.weight"], drop(older["upsamples.0.weight"][part], 0, 0))
    train_step(pruned, optimizer)


def drop(tensor: torch.Tensor, axis: int, channel: int) -> torch.Tensor:
    return tensor.index_select(axis, torch.tensor([c for c in range(tensor.shape[axis]) if c != channel]))


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(torch.randn(2, 2, 16, 16, dtype=torch.float64)).square().mean().backward()
    optimizer.step()


def test_a_channel_that_is_dead_can_go_while_training_goes_on():
    """Removed before a step or after it, a channel without effect changes nothing for the others."""
    weights = []
    for first in (True, False):
        torch.manual_seed(0)
        network = new_network(UNet, 2, 4).train()
        dead = network.encoders[0][1]
        nn.init.zeros_(dead.adn.N.weight.data[1:2])
        nn.init.zeros_(dead.adn.N.bias.data[1:2])
        for consumer in (network.encoders[1][0].conv, network.decoders[-1][0].conv):
            offset = 0 if consumer is network.encoders[1][0].conv else network.upsamples[-1].out_channels
            nn.init.zeros_(consumer.weight.data[:, offset + 1])
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        torch.manual_seed(1)
        train_step(network, optimizer)  # so that there is something to carry over
        for step in range(2):
            if (step == 0) is first:
                network = remove_channels(network, [("encoders.0.1", 1)], optimizer)
            torch.manual_seed(2 + step)
            train_step(network, optimizer)
        weights.append(network.state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=1e-10)


def test_mode_layout_and_fixed_parameters_are_those_of_the_network():
    network = UNet(channels=(4, 8)).to(memory_format=torch.channels_last_3d)
    network.head.bias.requires_grad_(False)
    pruned = remove_channels(network, [("bottleneck.0", 2)])
    assert pruned.training
    assert pruned.bottleneck[0].conv.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not pruned.head.bias.requires_grad
    assert pruned.head.weight.requires_grad
    assert network.bottleneck[0].conv.out_channels == 8


@pytest.mark.parametrize(
    ("removals", "message"),
    [
        ([("segmenter", 0)], r"no channels can be removed from 'segmenter'; they can be from encoders\.0\.0, "),
        ([("encoders.0.0", 4)], r"encoders\.0\.0 has channels 0 to 3, 4 cannot be removed"),
        ([("encoders.0.0", -1)], r"encoders\.0\.0 has channels 0 to 3, -1 cannot be removed"),
        ([("encoders.0.0", 1)] * 2, r"channel 1 of encoders\.0\.0 is named twice"),
        ([("encoders.0.0", c) for c in range(4)], r"all 4 channels of encoders\.0\.0 would be removed"),
    ],
)
def test_what_cannot_be_removed(removals, message):
    with pytest.raises(ValueError, match=message):
        remove_channels(UNet(channels=(4, 8)), removals)


def test_networks_and_optimizers_of_others():
    with pytest.raises(TypeError, match="channels can only be pruned from a UNet or UNetPlusPlus, not from a MedN"):
        remove_channels(MedNeXt(), [])
    optimizer = torch.optim.SGD(UNet(channels=(4, 8)).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="parameters that are not this network's"):
        remove_channels(UNet(channels=(4, 8)), [("bottleneck.0", 2)], optimizer)


@pytest.mark.parametrize("network_class", CLASSES)
def test_widths_and_dropout_that_are_none(network_class):
    with pytest.raises(
        ValueError, match=r"conv_channels names 'encoders\.9\.0', which this network does not have; its"
    ):
        network_class(conv_channels={"encoders.9.0": 2})
    with pytest.raises(ValueError, match=r"conv_channels gives encoders\.0\.0 0 channels, it must be"):
        network_class(conv_channels={"encoders.0.0": 0})
    with pytest.raises(ValueError, match=r"dropout names 'head', which"):
        network_class(dropout={"head": 0.2})
    with pytest.raises(ValueError, match=r"dropout must be a probability .* got 1\.5"):
        network_class(dropout={"encoders.0.0": 1.5})
    with pytest.raises(ValueError, match=r"dropout names 'head', which"):
        set_dropout(network_class(), {"head": 0.2})


def test_the_order_of_layers_is_part_of_the_description() -> None:
    network = UNet(spatial_dims=2, channels=(2, 3), adn_ordering="NDA").eval()
    image = torch.randn(1, 1, 8, 8)
    pruned = remove_channels(network, [("encoders.0.1", 0)])
    assert pruned.adn_ordering == "NDA"
    network.encoders[0][1].register_forward_hook(lambda _, __, output: output * torch.tensor([0, 1])[:, None, None])
    torch.testing.assert_close(pruned.eval()(image), network(image))
