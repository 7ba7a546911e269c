"""Which channels go next, and how much dropout those around them get."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from lunet_networks.pruning.channel_graph import prunable_convolutions

__all__ = ["SELECTIONS", "select_channels", "set_dropout", "targeted_dropout"]

SELECTIONS = ("stamp", "random_in_layer", "largest_layer")


def select_channels(
    scores: Mapping[str, torch.Tensor],
    count: int,
    selection: str = "stamp",
    generator: torch.Generator | None = None,
) -> list[tuple[str, int]]:
    """The channels to remove in one step. At least one channel of every convolution stays.

    ``stamp`` takes the lowest scores of the whole network. ``random_in_layer`` chooses the
    convolutions by the same scores and takes random channels of them. ``largest_layer`` takes random channels of the
    convolution that has most of them left, and ignores the scores. If several are equal, the first in the order of
    convolutions and channels is taken.

    Args:
        scores: by the name of the convolution, made comparable by ``normalise_scores``.
        count: channels to remove.
        selection: one of ``SELECTIONS``.
        generator: for the random choices, on the CPU.

    Raises:
        ValueError: if there is no such selection, ``count`` is below 1 or more than can be removed, or a score is nan.

    Source:
        STAMP (Dinsdale et al., Medical Image Analysis 2022); the random twins are those of Lean Unet, arXiv 2512.03834.

    Example:
        >>> scores = {"bottleneck.0": torch.tensor([0.9, 0.1, 0.3]), "bottleneck.1": torch.tensor([0.2])}
        >>> select_channels(scores, 2)
        [('bottleneck.0', 1), ('bottleneck.0', 2)]
    """
    if selection not in SELECTIONS:
        raise ValueError(f"there is no selection {selection!r}; there are {', '.join(SELECTIONS)}")
    removable = sum(len(score) - 1 for score in scores.values())
    if not 1 <= count <= removable:
        raise ValueError(
            f"{count} channels cannot be removed: the network can lose {removable}, because every convolution keeps one"
        )
    if any(score.isnan().any() for score in scores.values()):
        raise ValueError("a score is nan, so channels cannot be compared")
    left = {name: list(range(len(score))) for name, score in scores.items()}
    queue = iter(_ascending(scores))
    removals = []
    for _ in range(count):
        name, channel = _largest(left) if selection == "largest_layer" else _next(queue, left)
        if selection != "stamp":
            channel = left[name][int(torch.randint(len(left[name]), (1,), generator=generator))]
        left[name].remove(channel)
        removals.append((name, channel))
    return removals


def _ascending(scores: Mapping[str, torch.Tensor]) -> list[tuple[str, int]]:
    ranked = [(float(score), name, channel) for name, of in scores.items() for channel, score in enumerate(of)]
    return [(name, channel) for _, name, channel in sorted(ranked, key=lambda entry: entry[0])]


def _next(queue, left: Mapping[str, list[int]]) -> tuple[str, int]:
    """The lowest score whose convolution can spare a channel."""
    return next((name, channel) for name, channel in queue if len(left[name]) > 1)


def _largest(left: Mapping[str, list[int]]) -> tuple[str, int]:
    name = max(left, key=lambda name: len(left[name]))
    return name, left[name][0]


def targeted_dropout(scores: Mapping[str, torch.Tensor], most: float = 0.1) -> dict[str, float]:
    """Dropout of every convolution: it is higher for convolutions with more unimportant channels.

    All ``M`` channels of the network are sorted by ascending score: the first gets ``M - 1`` points, the next
    ``M - 2``, the last none. A convolution's dropout is proportional to the mean of its points; the largest dropout is
    ``most``.

    Args:
        scores: by the name of the convolution, made comparable by ``normalise_scores``.
        most: dropout of the convolution with the least important channels.

    Source:
        STAMP (Dinsdale et al., Medical Image Analysis 2022) and its code.

    Example:
        >>> targeted_dropout({"encoders.0.0": torch.tensor([0.9, 0.4]), "bottleneck.0": torch.tensor([0.1])})
        {'encoders.0.0': 0.025, 'bottleneck.0': 0.1}
    """
    order = _ascending(scores)
    points = dict.fromkeys(scores, 0)
    for place, (name, _) in enumerate(order):
        points[name] += len(order) - 1 - place
    means = {name: points[name] / len(score) for name, score in scores.items()}
    largest = max(means.values())
    return {name: most * (mean / largest) if largest else 0.0 for name, mean in means.items()}


def set_dropout(network: nn.Module, dropout: Mapping[str, float]) -> None:
    """Set the dropout of single units in place.

    Args:
        network: a :class:`UNet` or :class:`UNetPlusPlus`.
        dropout: probability by the name of the unit; the others keep theirs.

    Raises:
        ValueError: if the network has no such unit.

    Example:
        >>> from lunet_networks import UNet
        >>> network = UNet()
        >>> set_dropout(network, {"bottleneck.1": 0.1})
        >>> network.bottleneck[1].adn.D.p
        0.1
    """
    units = prunable_convolutions(network)
    for name, probability in dropout.items():
        if name not in units:
            raise ValueError(
                f"dropout names {name!r}, which is not a unit of this network; its units are {', '.join(units)}"
            )
        network.get_submodule(name).adn.D.p = probability
