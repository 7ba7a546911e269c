"""Branches that are ranked as in the published code, masked, and removed without a trace."""

import copy
import io
import itertools
import json
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lunet_networks import PSPSeg, UNet
from lunet_networks.bundle.training.decoupling import DecouplingInferer, DecouplingLoss
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.bundle.training.weights import load_weights
from lunet_networks.nets.redundant import RedundantModule, redundant_modules
from lunet_networks.pruning import (
    ProgressiveSchedule,
    active_branches,
    choose_branches,
    mask_branches,
    masked_branches,
    max_removable_branches,
    rank_branches,
    remove_branches,
    unmask_branches,
)
from lunet_networks.pruning.progressive import LOSSES
from tests.helpers.random_networks import new_pspseg

MODULES = ["encoders.1", "encoders.2", "bottleneck", "decoders.0", "decoders.1"]


def image_for(network: PSPSeg, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 2, *[16] * network.spatial_dims, dtype=torch.float64)


@torch.no_grad()
def logits(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    return network(image)


@pytest.fixture(scope="module")
def published(shared):
    with np.load(shared / "reference" / "io" / "psp_enumerate.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.fixture(scope="module")
def published_module(published):
    module = RedundantModule(3, 6, 12, 7)
    state = {}
    for key, tensor in module.state_dict().items():
        number, *layer = key.removeprefix("branches.").split(".")
        if key == "_extra_state":
            state[key] = published["sd/active_paths"]
        elif layer == ["scale"]:
            state[key] = published["sd/weights"][int(number)]
        else:
            state[key] = published[f"sd/blocks.{number}.convs.{3 * int(layer[1])}.{layer[3]}"]
        assert state[key].shape == tensor.shape
    module.load_state_dict(state)
    return nn.Sequential(module).double()


@pytest.mark.parametrize("step", [1, 2])
def test_published_losses_of_every_combination(step, published, published_module):
    inputs = published["inputs"].double()
    for x, output in zip(inputs, published["outputs"], strict=True):
        torch.testing.assert_close(logits(published_module, x), output.double(), atol=1e-5, rtol=0)
    losses = rank_branches(published_module, inputs, step)["0"]
    assert list(losses) == [tuple(combination) for combination in published[f"step{step}_combos"].tolist()]
    np.testing.assert_allclose(list(losses.values()), published[f"step{step}_loss"], rtol=1e-6)
    assert choose_branches({"0": losses}) == {"0": {1: (0,), 2: (0, 3)}[step]}


@given(
    spatial_dims=st.sampled_from((2, 3)),
    num_branches=st.sampled_from((1, 4, 7)),
    parallel=st.booleans(),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@settings(max_examples=25, deadline=None)
def test_removing_equals_masking(spatial_dims, num_branches, parallel, seed, data):
    network = new_pspseg(spatial_dims, seed, num_branches=num_branches, parallel=parallel, deep_supervision=True)
    image = image_for(network)
    pruned = network
    for _ in range(data.draw(st.integers(1, 2), label="steps")):
        chosen = {
            name: data.draw(st.sets(st.sampled_from(active)), label=name)
            for name, active in active_branches(pruned).items()
            if active
        }
        mask_branches(network, chosen, allow_empty=True)
        mask_branches(pruned, chosen if pruned is not network else {}, allow_empty=True)
        masked = logits(pruned, image)
        pruned = remove_branches(pruned)
        torch.testing.assert_close(logits(pruned, image), masked, rtol=0, atol=1e-10)
    torch.testing.assert_close(logits(pruned, image), logits(network, image), rtol=0, atol=1e-10)
    assert active_branches(pruned) == active_branches(network)
    assert masked_branches(pruned) == {}
    described = PSPSeg(**json.loads(json.dumps(pruned.describe()))).double().eval()
    described.load_state_dict(pruned.state_dict())
    assert torch.equal(logits(described, image), logits(pruned, image))
    assert described.describe() == pruned.describe()


@pytest.mark.parametrize("parallel", [True, False])
def test_a_loss_is_what_masking_changes(parallel):
    network = new_pspseg(parallel=parallel)
    mask_branches(network, {"bottleneck": [2]})
    images = [image_for(network, batch) for batch in (2, 1)]
    losses = rank_branches(network, images, step=2)
    assert list(losses) == MODULES
    assert list(losses["bottleneck"]) == [(0, 1), (0, 3), (1, 3)]
    for name, combination in (("bottleneck", (0, 3)), ("decoders.1", (1, 2))):
        module, expected = network.get_submodule(name), 0.0
        inputs = []
        hook = module.register_forward_pre_hook(lambda _, args, inputs=inputs: inputs.append(args[0]))
        for image in images:
            logits(network, image)
        hook.remove()
        other = copy.deepcopy(module)
        other.mask(combination)
        with torch.no_grad():
            expected = sum(float((module(x) - other(x)).square().sum().sqrt()) for x in inputs)
        assert losses[name][combination] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("parallel", [True, False])
def test_the_loss_of_all_branches_is_that_of_the_identity(parallel):
    network, image, seen = new_pspseg(parallel=parallel), torch.randn(1, 2, 16, 16).double(), {}
    hooks = [
        module.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: (inputs[0], output)}))
        for name, module in redundant_modules(network).items()
    ]
    logits(network, image)
    for hook in hooks:
        hook.remove()
    losses = rank_branches(network, [image], step=4, allow_empty=True)
    assert list(losses) == MODULES
    for name, (x, output) in seen.items():
        assert losses[name] == {(0, 1, 2, 3): pytest.approx(float(torch.linalg.vector_norm(output - x)), rel=1e-12)}


@pytest.mark.parametrize("parallel", [True, False])
def test_the_calibration_leaves_the_network_as_it_is(parallel):
    network = new_pspseg(parallel=parallel, dropout=0.2).train()
    network.bottleneck.eval()
    mask_branches(network, {"decoders.0": [1]})
    before, masks = copy.deepcopy(network.state_dict()), masked_branches(network)
    state = torch.get_rng_state()
    once, twice = (rank_branches(network, [image], 1) for image in [torch.ones(1, 2, 16, 16).double()] * 2)
    assert once == twice  # without dropout
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert masked_branches(network) == masks
    assert network.training
    assert not network.bottleneck.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("parallel", [True, False])
def test_the_calibration_keeps_nothing_of_a_batch(parallel):
    """The published one keeps inputs and outputs of all modules of a hundred batches."""
    network, kept = new_pspseg(parallel=parallel), []
    for module in redundant_modules(network).values():
        module.register_forward_hook(lambda _, inputs, output: kept.append([*map(weakref.ref, (inputs[0], output))]))
    most = []

    def batches():
        for _ in range(6):
            most.append(sum(any(ref() is not None for ref in refs) for refs in kept))
            yield image_for(network)

    rank_branches(network, batches(), step=1)
    assert len(kept) == 6 * len(MODULES)
    assert most == [0] * 6


def test_seven_branches_in_steps_of_two_end_at_one():
    """The published code asks for a combination that is not there, and masks everything."""
    network, left = new_pspseg(num_branches=7), []
    while max_removable_branches(network) >= 2:
        mask_branches(network, choose_branches(rank_branches(network, [image_for(network)], step=2)))
        network = remove_branches(network)
        left.append({len(active) for active in active_branches(network).values()})
    assert left == [{5}, {3}, {1}]
    before = active_branches(network)
    with pytest.raises(ValueError, match="step is 2, but a module can lose at most 0 active branches, because it"):
        rank_branches(network, [image_for(network)], step=2)
    assert active_branches(network) == before
    assert masked_branches(network) == {}
    losses = rank_branches(network, [image_for(network)], step=1, allow_empty=True)
    mask_branches(network, choose_branches(losses), allow_empty=True)
    empty, image = remove_branches(network), image_for(network)
    assert not any(active_branches(empty).values())
    torch.testing.assert_close(logits(empty, image), logits(network, image), rtol=0, atol=1e-10)
    assert logits(empty, image).isfinite().all()


def test_a_module_that_cannot_spare_a_step_is_left_alone():
    network = new_pspseg(branches={"bottleneck": [1, 2], "decoders.0": []})
    assert list(rank_branches(network, [image_for(network)], 2)) == ["encoders.1", "encoders.2", "decoders.1"]
    assert list(rank_branches(network, [image_for(network)], 1)) == [n for n in MODULES if n != "decoders.0"]
    assert "decoders.0" not in rank_branches(network, [image_for(network)], 2, allow_empty=True)
    assert max_removable_branches(network) == 3


def test_branches_that_are_given_back_are_what_they_were():
    """Neither momentum nor weight decay moves what is masked."""
    network = new_pspseg().train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.99, nesterov=True, weight_decay=0.1)
    train_step(network, optimizer)
    chosen = {"bottleneck": (1,), "decoders.1": (0, 2)}
    mask_branches(network, chosen)
    prefixes = tuple(f"{name}.branches.{number}." for name, numbers in chosen.items() for number in numbers)
    before = copy.deepcopy(network.state_dict())
    for _ in range(3):
        train_step(network, optimizer)
    unmask_branches(network)
    assert masked_branches(network) == {}
    for key, parameter in network.named_parameters():
        assert torch.equal(parameter, before[key]) is key.startswith(prefixes), key


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(image_for(network)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.SGD])
def test_an_optimizer_goes_on_with_what_it_knows_and_forgets_the_rest(optimizer_class):
    network = new_pspseg().train()
    settings = {"lr": 0.01, "momentum": 0.9} if optimizer_class is torch.optim.SGD else {"lr": 0.01}
    groups = [{"params": list(module.parameters())} for module in network.children()]
    optimizer = optimizer_class([group for group in groups if group["params"]], **settings)
    train_step(network, optimizer)
    older = {name: copy.deepcopy(optimizer.state[parameter]) for name, parameter in network.named_parameters()}
    mask_branches(network, {"bottleneck": [1], "encoders.2": [0, 1, 3]})
    pruned = remove_branches(network, optimizer)
    assert len(optimizer.state) == len(list(pruned.parameters())) < len(list(network.parameters()))
    assert [id(p) for g in optimizer.param_groups for p in g["params"]] == [id(p) for p in pruned.parameters()]
    for name, parameter in pruned.named_parameters():
        for part, value in optimizer.state[parameter].items():
            torch.testing.assert_close(value, older[name][part], rtol=0, atol=0)
    scales = [name for name, _ in pruned.named_parameters() if name.startswith("bottleneck") and "scale" in name]
    assert scales == [f"bottleneck.branches.{number}.scale" for number in (0, 2, 3)]
    train_step(pruned, optimizer)


@pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.SGD])
def test_training_goes_on_the_same_masked_or_removed(optimizer_class):
    weights = []
    for removed in (True, False):
        network = new_pspseg().train()
        optimizer = optimizer_class(network.parameters(), lr=0.01)
        torch.manual_seed(1)
        train_step(network, optimizer)
        mask_branches(network, {"bottleneck": [1], "encoders.2": [0, 1, 3]})
        if removed:
            network = remove_branches(network, optimizer)
        for _ in range(3):
            train_step(network, optimizer)
        weights.append(remove_branches(network).state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=1e-10)


def test_the_network_that_is_pruned_stays_and_its_mode_layout_and_fixed_parameters_go_on():
    network = PSPSeg(channels=(4, 6, 8)).to(memory_format=torch.channels_last_3d)
    network.head.bias.requires_grad_(False)
    network.bottleneck.eval()
    mask_branches(network, {"bottleneck": [2]})
    before = copy.deepcopy(network.state_dict())
    pruned = remove_branches(network)
    assert pruned.training
    assert pruned.downsamples[0].units[0].conv.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not pruned.head.bias.requires_grad
    nn.init.zeros_(pruned.head.weight)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_a_masked_and_pruned_network_comes_back_from_a_checkpoint():
    network = new_pspseg()
    mask_branches(network, {"encoders.1": [0, 3]})
    network = remove_branches(network)
    mask_branches(network, {"encoders.1": [2], "decoders.1": [0]})
    content = io.BytesIO()
    torch.save({"description": network.describe(), "network": network.state_dict()}, content)
    content.seek(0)
    state = torch.load(content, weights_only=True)
    again = PSPSeg(**state["description"]).double().eval()
    again.load_state_dict(state["network"])
    assert active_branches(again) == active_branches(network)
    assert masked_branches(again) == {"encoders.1": [2], "decoders.1": [0]}
    image = image_for(network)
    assert torch.equal(logits(again, image), logits(network, image))


@pytest.mark.parametrize("numbers", [[0, 1], [0, 3], [0, 2, 3], []])
def test_a_description_that_does_not_fit_the_weights(numbers, tmp_path):
    torch.save(new_pspseg(branches={"bottleneck": [0, 2]}).state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"from another network: bottleneck\..* (missing|not part|in the file)"):
        load_weights(new_pspseg(branches={"bottleneck": numbers}), tmp_path / "model.pt")
    network = new_pspseg(branches={"bottleneck": numbers})
    with pytest.raises(RuntimeError, match=r"bottleneck\.branches"):
        network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))


def test_steps_and_calibration_sets_that_are_none():
    network = new_pspseg()
    image = image_for(network)
    for step, message in {
        0: "step is 0: it has to be a whole number",
        True: "step is True",
        1.5: "step is 1.5: it has",
        4: "step is 4, but a module can lose at most 3 active branches, because it keeps one",
    }.items():
        with pytest.raises(ValueError, match=message):
            rank_branches(network, [image], step)
    with pytest.raises(ValueError, match=r"step is 5, but a module can lose at most 4 active branches$"):
        rank_branches(network, [image], 5, allow_empty=True)
    with pytest.raises(ValueError, match="no batch to rank the branches on: the calibration set is empty"):
        rank_branches(network, [], 1)
    with pytest.raises(ValueError, match=r"losses of encoders\.1 are not finite"):
        rank_branches(network, [image * torch.nan], 1)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"encoders.0": [1]}, r"'encoders\.0' is not a redundant module of this network; these are encoders\.1, "),
        ({"encoders.1": [0], "bottleneck": [4]}, r"bottleneck has no active branch 4, it has \[0, 1, 2\]"),
        ({"encoders.1": [0], "bottleneck": [3]}, r"bottleneck has no active branch 3"),
        ({"encoders.1": [0], "bottleneck": [0, 1, 2]}, r"all active branches of bottleneck, \[0, 1, 2\], would be mas"),
    ],
)
def test_what_cannot_be_masked(chosen, message):
    network = new_pspseg()
    mask_branches(network, {"bottleneck": [3]})
    with pytest.raises(ValueError, match=message):
        mask_branches(network, chosen)
    assert masked_branches(network) == {"bottleneck": [3]}


def test_networks_and_optimizers_of_others():
    for function in (active_branches, masked_branches, max_removable_branches, unmask_branches, remove_branches):
        with pytest.raises(TypeError, match="branches can only be pruned from a PSPSeg, not from a UNet"):
            function(UNet(channels=(2, 2)))
    optimizer = torch.optim.SGD(new_pspseg().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="parameters that are not this network's"):
        remove_branches(new_pspseg(), optimizer)


def test_every_combination_is_ranked():
    network = new_pspseg(num_branches=7)
    losses = rank_branches(network, [image_for(network)], step=2)
    assert all(list(of) == [*itertools.combinations(range(7), 2)] for of in losses.values())


def follow(action, network, optimizer, schedule, images):
    """What a trainer does after an epoch; gives the network that goes on."""
    if action in ("restore", "stop"):
        unmask_branches(network)
    if action == "prune":
        network = remove_branches(network, optimizer)
        if step := min(schedule.step, max_removable_branches(network)):
            mask_branches(network, choose_branches(rank_branches(network, images, step)))
        else:
            schedule.finish()
    return network


def train(resume_at: int | None) -> tuple[PSPSeg, list[str], list[int]]:
    """Twenty epochs of one step on one batch; if asked to, it starts anew from what a checkpoint holds."""
    torch.manual_seed(0)
    network = PSPSeg(2, channels=(4, 6, 8)).double()
    optimizer = new_optimizer(network)
    schedule = ProgressiveSchedule(epochs=20, step=2, patience=1, tolerance=0.5)
    loss = DecouplingLoss(SegmentationLoss("dice_bce", 1))
    label = torch.zeros(2, 1, 16, 16)
    label[..., 4:10, 5:12] = 1
    image, actions, parameters = label.double() + 0.1 * torch.randn(label.shape), [], []
    for epoch in range(20):
        terms = loss.terms(DecouplingInferer()(image, network.train()), label)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        noise = epoch % 3  # so that it converges in no time
        actions.append(schedule.update({name: getattr(terms, name).item() + noise for name in LOSSES}))
        network = follow(actions[-1], network, optimizer, schedule, [image])
        parameters.append(sum(parameter.numel() for parameter in network.parameters()))
        if epoch == resume_at:
            state = copy.deepcopy([network.state_dict(), optimizer.state_dict(), schedule.state()])
            network = PSPSeg(**network.describe()).double()
            optimizer = new_optimizer(network)
            schedule = ProgressiveSchedule(epochs=20, step=2, patience=1, tolerance=0.5)
            network.load_state_dict(state[0])
            optimizer.load_state_dict(state[1])
            schedule.load(state[2])
    assert len(optimizer.state) == len(list(network.parameters()))
    return network, actions, parameters


def new_optimizer(network: PSPSeg) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)


def test_a_training_that_prunes_on_its_way_ends_the_same_when_resumed():
    network, actions, parameters = train(resume_at=None)
    assert actions.index("stop") == 7
    assert actions.count("prune") >= 2
    assert masked_branches(network) == {}
    assert parameters == sorted(parameters, reverse=True)
    assert parameters[-1] < parameters[0]
    for epoch, action in enumerate(actions):
        if action == "prune":  # with branches masked
            resumed, *others = train(resume_at=epoch)
            assert others == [actions, parameters]
            assert all(torch.equal(tensor, resumed.state_dict()[key]) for key, tensor in network.state_dict().items())
