"""Rank the channels of a network by their activations on data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from lunet_networks.nets.modes import in_eval_mode
from lunet_networks.pruning.channel_graph import prunable_convolutions, refuse_deployed

__all__ = ["RANKINGS", "normalise_scores", "rank_channels"]

Scores = dict[str, torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _taylor(activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return (activation * gradient).flatten(2).mean(dim=(0, 2))


def _taylor_abs(activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return (activation * gradient).flatten(2).mean(dim=2).abs().mean(dim=0)


def _l1(activation: torch.Tensor) -> torch.Tensor:
    return activation.abs().flatten(2).sum(dim=2).mean(dim=0)


def _l2(activation: torch.Tensor) -> torch.Tensor:
    return activation.flatten(2).norm(dim=2).mean(dim=0)


def _l1_std(activation: torch.Tensor) -> torch.Tensor:
    if len(activation) == 1:
        return activation.new_zeros(activation.shape[1])  # a single sample has no deviation
    return activation.abs().flatten(2).sum(dim=2).std(dim=0)


_OF_GRADIENTS = {"taylor": _taylor, "taylor_abs": _taylor_abs}
_OF_ACTIVATIONS = {"l1": _l1, "l2": _l2, "l1_std": _l1_std}
RANKINGS = (*_OF_GRADIENTS, *_OF_ACTIVATIONS, "random")


def rank_channels(
    network: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    loss: Loss,
    ranking: str = "taylor",
    generator: torch.Generator | None = None,
) -> Scores:
    """A raw score for every channel that can be removed, summed over batches; a low score means unimportant.

    The network runs in eval mode, without dropout and with its running statistics. Its mode, parameters and gradients
    are the same afterwards. Scores are computed from the maps after the ReLU:

    ``taylor`` is the mean over samples and voxels of activation times gradient of the loss, with its sign, as STAMP has
    it; ``taylor_abs`` takes the absolute value of every sample's mean first (Molchanov et al., Pruning Convolutional
    Neural Networks for Resource Efficient Inference, ICLR 2017, section 2.2), so that samples do not cancel out;
    ``l1`` and ``l2`` are the mean over samples of the norm of the map, ``l1_std`` the standard deviation over samples
    of the L1 norm; ``random`` draws numbers from 0 to 1 and uses no data.

    Args:
        network: a :class:`UNet` or :class:`UNetPlusPlus`.
        batches: images ``(B, C, [D,] H, W)`` and labels as the loss takes them, on the network's device.
        loss: of logits and labels, a scalar.
        ranking: one of ``RANKINGS``.
        generator: for ``random``, on the CPU.

    Returns:
        Float64 tensors ``(channels,)`` on the CPU, by the names of :py:func:`prunable_convolutions`.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if the network is a deployed one, there is no such ranking, no batch, no batch with the two samples
            that ``l1_std`` needs, or a score is not finite.

    Source:
        STAMP (Dinsdale et al., Medical Image Analysis 2022) and its code.

    Example:
        >>> from lunet_networks import UNet
        >>> batches = [(torch.rand(2, 1, 16, 16), torch.ones(2, 1, 16, 16))]
        >>> loss = torch.nn.BCEWithLogitsLoss()
        >>> scores = rank_channels(UNet(spatial_dims=2, channels=(2, 4)), batches, loss, "taylor_abs")
        >>> {name: len(score) for name, score in scores.items()}
        {'encoders.0.0': 2, 'encoders.0.1': 2, 'bottleneck.0': 4, 'bottleneck.1': 4, 'decoders.0.0': 2}
    """
    widths = {name: network.get_submodule(name).conv.out_channels for name in prunable_convolutions(network)}
    refuse_deployed(network)
    if ranking == "random":
        return {name: torch.rand(width, generator=generator, dtype=torch.float64) for name, width in widths.items()}
    if ranking not in RANKINGS:
        raise ValueError(f"there is no ranking {ranking!r}; there are {', '.join(RANKINGS)}")
    with in_eval_mode(network), _with_fixed_parameters(network):
        scores, largest_batch = _run(network, list(widths), batches, loss, ranking)
    if largest_batch == 0:
        raise ValueError("there is no batch to rank the channels on")
    if ranking == "l1_std" and largest_batch == 1:
        raise ValueError("l1_std is a deviation between the samples of a batch: it needs batches of two or more")
    for name, score in scores.items():
        if not score.isfinite().all():
            raise ValueError(f"the scores of {name} are not finite: is the loss finite, or has the training diverged?")
    return scores


def _run(
    network: nn.Module, names: list[str], batches: Iterable[tuple[torch.Tensor, torch.Tensor]], loss: Loss, ranking: str
) -> tuple[Scores, int]:
    scores: dict[str, torch.Tensor] = {}

    def add(name: str, score: torch.Tensor) -> None:
        score = score.detach().double().cpu()
        scores[name] = scores[name] + score if name in scores else score

    def watch(name: str, output: torch.Tensor) -> None:
        if ranking in _OF_ACTIVATIONS:
            add(name, _OF_ACTIVATIONS[ranking](output))
        else:
            activation, score = output.detach(), _OF_GRADIENTS[ranking]
            output.register_hook(lambda gradient: add(name, score(activation, gradient)))

    hooks = [
        network.get_submodule(name).adn.A.register_forward_hook(lambda _, __, output, name=name: watch(name, output))
        for name in names
    ]
    largest_batch = 0
    try:
        for image, label in batches:
            largest_batch = max(largest_batch, len(image))
            with torch.no_grad() if ranking in _OF_ACTIVATIONS else nullcontext():
                # parameters need no gradients here; those of the maps are asked for through the image
                value = loss(network(image.detach().requires_grad_(ranking in _OF_GRADIENTS)), label)
            if ranking in _OF_GRADIENTS:
                value.backward()
    finally:
        for hook in hooks:
            hook.remove()
    return {name: scores[name] for name in names if name in scores}, largest_batch


@contextmanager
def _with_fixed_parameters(network: nn.Module):
    """Switch off the gradients of all parameters for a while."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def normalise_scores(scores: Mapping[str, torch.Tensor]) -> Scores:
    """Absolute scores with a Euclidean norm of 1 in every convolution, so that convolutions can be compared.

    The norm makes the scores of ``n`` equal channels ``1 / sqrt(n)``: the wider a convolution, the sooner it is pruned.
    Where all channels are dead all scores are 0.

    Args:
        scores: of :py:func:`rank_channels`.

    Example:
        >>> normalise_scores({"encoders.0.0": torch.tensor([3.0, -4.0]), "encoders.0.1": torch.zeros(1)})
        {'encoders.0.0': tensor([0.6000, 0.8000]), 'encoders.0.1': tensor([0.])}
    """
    return {name: _unit_norm(score.abs()) for name, score in scores.items()}


def _unit_norm(score: torch.Tensor) -> torch.Tensor:
    if not score.any():
        return score
    score = score / score.max()  # whose squares do not underflow
    return score / score.norm()
