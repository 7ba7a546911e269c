"""Rank the branches of redundant modules on data, mask them and remove them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import combinations

import torch
from torch import nn
from torch.optim import Optimizer

from lunet_networks.nets.modes import in_eval_mode
from lunet_networks.nets.redundant import RedundantModule, redundant_modules
from lunet_networks.pruning.state_transfer import transfer_state

__all__ = [
    "active_branches",
    "choose_branches",
    "mask_branches",
    "masked_branches",
    "max_removable_branches",
    "rank_branches",
    "remove_branches",
    "unmask_branches",
]

Combination = tuple[int, ...]
Losses = dict[str, dict[Combination, float]]


def active_branches(network: nn.Module) -> dict[str, list[int]]:
    """Numbers of the branches that are computed, of every redundant module by its name.

    Raises:
        TypeError: if the network has no redundant module.
    """
    return {name: module.active_branches() for name, module in redundant_modules(network).items()}


def masked_branches(network: nn.Module) -> dict[str, list[int]]:
    """Numbers of the branches that are masked, of every redundant module that has some, by its name.

    Raises:
        TypeError: if the network has no redundant module.
    """
    modules = redundant_modules(network)
    return {name: masked for name, module in modules.items() if (masked := module.masked_branches())}


def max_removable_branches(network: nn.Module, allow_empty: bool = False) -> int:
    """The largest step that :py:func:`rank_branches` accepts: the number of active branches that the module with the
    most of them can spare.

    Args:
        network: a :class:`PSPSeg`.
        allow_empty: whether a module may lose its last branch; it is then the identity.

    Example:
        >>> from lunet_networks import PSPSeg
        >>> network = PSPSeg(spatial_dims=2, channels=(4, 8, 8))
        >>> max_removable_branches(network), max_removable_branches(network, allow_empty=True)
        (3, 4)
    """
    return max(_spare(module, allow_empty) for module in redundant_modules(network).values())


def _spare(module: RedundantModule, allow_empty: bool) -> int:
    return len(module.active_branches()) - (0 if allow_empty else 1)


def rank_branches(network: nn.Module, images: Iterable[torch.Tensor], step: int, allow_empty: bool = False) -> Losses:
    """The loss of every module without each combination of ``step`` of its active branches, summed over batches.

    The loss is the Frobenius norm of the change in the module's output for the same input, while its other active
    branches stay. The network runs in eval mode without gradients and is not changed. Only these numbers are kept of a
    batch, and one module at a time is examined.

    Args:
        network: a :class:`PSPSeg`.
        images: the batches of the calibration, ``(B, C, [D,] H, W)``, on the network's device.
        step: number of branches in a combination.
        allow_empty: whether a module may lose its last branch; it is then the identity.

    Returns:
        Losses by combination, by the name of the module. Modules that cannot spare ``step`` branches are left out.

    Raises:
        TypeError: if the network has no redundant module.
        ValueError: if ``step`` is below 1 or more than any module can spare, there is no batch, or a loss is not
            finite.

    Source:
        PSP-Seg, arXiv 2509.09267, and its code, which keeps inputs and outputs of all modules and batches.

    Example:
        >>> from lunet_networks import PSPSeg
        >>> network = PSPSeg(spatial_dims=2, channels=(4, 8, 8))
        >>> losses = rank_branches(network, [torch.rand(1, 1, 16, 16)], step=2)
        >>> list(losses), list(losses["bottleneck"])[:3]
        (['encoders.1', 'bottleneck', 'decoders.0'], [(0, 1), (0, 2), (0, 3)])
    """
    _check_step(network, step, allow_empty)
    losses = {
        name: dict.fromkeys(combinations(module.active_branches(), step), 0.0)
        for name, module in redundant_modules(network).items()
        if _spare(module, allow_empty) >= step
    }

    def watch(name: str, module: RedundantModule, x: torch.Tensor, output: torch.Tensor) -> None:
        for combination, reduced in _outputs_without(module, x, list(losses[name])):
            losses[name][combination] += float(torch.linalg.vector_norm(output - reduced))

    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: watch(name, module, inputs[0], output)
        )
        for name in losses
    ]
    batches = 0
    try:
        with in_eval_mode(network), torch.no_grad():
            for image in images:
                network(image)
                batches += 1
    finally:
        for hook in hooks:
            hook.remove()
    if batches == 0:
        raise ValueError("there is no batch to rank the branches on: the calibration set is empty")
    for name, of_module in losses.items():
        if not all(map(math.isfinite, of_module.values())):
            raise ValueError(f"the losses of {name} are not finite: has the training diverged?")
    return losses


def _check_step(network: nn.Module, step: int, allow_empty: bool) -> None:
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise ValueError(f"step is {step!r}: it has to be a whole number of branches, at least 1")
    if step > (spare := max_removable_branches(network, allow_empty)):
        rest = "" if allow_empty else ", because it keeps one"
        raise ValueError(f"step is {step}, but a module can lose at most {spare} active branches{rest}")


def _outputs_without(
    module: RedundantModule, x: torch.Tensor, left_out: Sequence[Combination]
) -> Iterator[tuple[Combination, torch.Tensor]]:
    """The output of a module without some of its active branches, for every combination of them."""
    active = module.active_branches()
    if module.parallel:  # every branch takes the same input: it is computed once
        outputs = {number: module.branches[str(number)](x) for number in active}
    for combination in left_out:
        stay = [number for number in active if number not in combination]
        if module.parallel and stay:
            yield combination, module.act(reduce(torch.add, (outputs[number] for number in stay), x))
        else:
            yield combination, _forward_without(module, x, combination)


def _forward_without(module: RedundantModule, x: torch.Tensor, combination: Combination) -> torch.Tensor:
    before = list(module.active)
    module.active = [active and n not in combination for n, active in zip(module.numbers, before, strict=True)]
    try:
        return module.forward(x)  # not by a call, which would run the hook again
    finally:
        module.active = before


def choose_branches(losses: Mapping[str, Mapping[Combination, float]]) -> dict[str, Combination]:
    """The combination with the lowest loss of every module, the first one if several are equal.

    Args:
        losses: of :py:func:`rank_branches`.

    Example:
        >>> choose_branches({"bottleneck": {(0,): 0.4, (1,): 0.1}})
        {'bottleneck': (1,)}
    """
    return {name: min(of_module, key=of_module.__getitem__) for name, of_module in losses.items()}


def mask_branches(network: nn.Module, chosen: Mapping[str, Iterable[int]], allow_empty: bool = False) -> None:
    """Mask branches in place, in addition to those that are already masked.

    A masked branch costs nothing and gets no gradient, so that an optimizer leaves it as it is. Masks are part of the
    state dict.

    Args:
        network: a :class:`PSPSeg`.
        chosen: numbers of active branches by the name of the module, as :py:func:`choose_branches` gives them.
        allow_empty: whether a module may lose its last branch; it is then the identity.

    Raises:
        TypeError: if the network has no redundant module.
        ValueError: if there is no such module or active branch, or a module would lose its last branch although
            ``allow_empty`` is False; the network is then unchanged.

    Example:
        >>> from lunet_networks import PSPSeg
        >>> network = PSPSeg(channels=(4, 8))
        >>> mask_branches(network, {"bottleneck": [0, 2]})
        >>> masked_branches(network)
        {'bottleneck': [0, 2]}
    """
    modules = redundant_modules(network)
    chosen = {name: list(numbers) for name, numbers in chosen.items()}
    for name, numbers in chosen.items():
        if name not in modules:
            raise ValueError(f"{name!r} is not a redundant module of this network; these are {', '.join(modules)}")
        active = modules[name].active_branches()
        for number in numbers:
            if number not in active:
                raise ValueError(f"{name} has no active branch {number}, it has {active}")
        if not allow_empty and set(numbers) >= set(active):
            raise ValueError(f"all active branches of {name}, {active}, would be masked: at least one has to stay")
    for name, numbers in chosen.items():
        modules[name].mask(numbers)


def unmask_branches(network: nn.Module) -> None:
    """Unmask all branches in place. They have not changed since they were masked.

    Raises:
        TypeError: if the network has no redundant module.
    """
    for module in redundant_modules(network).values():
        module.unmask()


def remove_branches(network: nn.Module, optimizer: Optimizer | None = None) -> nn.Module:
    """Make a network without the masked branches, which computes the same.

    Args:
        network: a :class:`PSPSeg`; it stays as it is.
        optimizer: that trains the network. It is changed in place and trains the new network from then on. It keeps its
            state for the branches that stay and drops the state of the others.

    Returns:
        A network of the same class, in the same mode, on the same device. Hooks are not carried over.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if the optimizer trains something else.

    Source:
        PSP-Seg, arXiv 2509.09267.

    Example:
        >>> from lunet_networks import PSPSeg
        >>> network = PSPSeg(channels=(4, 8))
        >>> mask_branches(network, {"bottleneck": [0, 2]})
        >>> active_branches(remove_branches(network))
        {'bottleneck': [1, 3]}
    """
    stay = active_branches(network)
    with torch.device("meta"):  # no weights to draw and throw away
        pruned = network.rebuild(branches=stay).train(network.training)
    masks = {f"{name}._extra_state": torch.ones(len(numbers)) for name, numbers in stay.items()}

    def cut(key: str, tensor: torch.Tensor) -> torch.Tensor:
        return masks.get(key, tensor).clone()

    transfer_state(network, pruned, cut, optimizer)
    return pruned
