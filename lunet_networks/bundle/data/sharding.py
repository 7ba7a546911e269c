"""The cases of a validation shared out among processes, and put together again so that each counts once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from monai.data import CacheDataset
from monai.handlers import IgniteMetricHandler
from monai.metrics import DiceMetric

from lunet_networks.bundle.runtime.distributed import num_processes, rank

__all__ = ["SharedCacheDataset", "SharedMeanDice", "join_shares", "share_of"]

Case = TypeVar("Case")


def share_of(cases: Sequence[Case], rank: int, num_processes: int) -> list[Case]:
    """The cases of one process, dealt out in turn.

    All get as many, since a process without one could not take part: the last turn is filled up from the front.

    Example:
        >>> [share_of("abcde", rank, num_processes=3) for rank in range(3)]
        [['a', 'd'], ['b', 'e'], ['c', 'a']]
        >>> [share_of("a", rank, num_processes=3) for rank in range(3)]
        [['a'], ['a'], ['a']]
    """
    turns = math.ceil(len(cases) / num_processes)
    return [cases[number % len(cases)] for number in range(rank, turns * num_processes, num_processes)]


def join_shares(shares: torch.Tensor, num_cases: int, num_processes: int) -> torch.Tensor:
    """Values of all cases in their order, each once.

    Args:
        shares: values of the first process' cases, then those of the second's ...: ``(turns * num_processes, ...)``.
        num_cases: how many cases were dealt out.
        num_processes: to how many processes.

    Returns:
        ``(num_cases, ...)``.

    Example:
        >>> "".join(map(chr, join_shares(torch.tensor([ord(case) for case in "adbeca"]), 5, num_processes=3)))
        'abcde'
    """
    return shares.unflatten(0, (num_processes, -1)).transpose(0, 1).flatten(0, 1)[:num_cases]


class SharedCacheDataset(CacheDataset):
    """MONAI's ``CacheDataset`` of those cases that this process validates.

    MONAI's ``DistributedSampler`` would share out cases too, but each process would cache all of them, and it refuses
    fewer cases than processes.

    Args:
        data: all cases, ``{"image": path, "label": path}``.
        transform: deterministic transforms.
        cache_rate: share of the cases that is cached.
        progress: whether to show a bar while they are.
    """

    def __init__(
        self, data: Sequence[dict[str, Any]], transform: Callable, cache_rate: float = 1.0, progress: bool = True
    ) -> None:
        self.num_cases = len(data)
        super().__init__(share_of(data, rank(), num_processes()), transform, cache_rate=cache_rate, progress=progress)


class SharedMeanDice(IgniteMetricHandler):
    """MONAI's handler ``MeanDice`` for shared cases: its value is to the last bit that of a single process.

    Args:
        dataset: what is validated.
        output_transform: takes prediction and label from the engine's output.
        settings: of ``monai.metrics.DiceMetric``.
    """

    def __init__(self, dataset: SharedCacheDataset, output_transform: Callable, **settings: Any) -> None:
        super().__init__(_SharedDice(dataset.num_cases, **settings), output_transform=output_transform)


class _SharedDice(DiceMetric):
    def __init__(self, num_cases: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.num_cases = num_cases

    def get_buffer(self) -> torch.Tensor:
        return join_shares(super().get_buffer(), self.num_cases, num_processes())
