"""The cases of a validation shared out among processes, and put together again so that each counts once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from monai.data import CacheDataset, partition_dataset
from monai.handlers import IgniteMetricHandler
from monai.metrics import DiceMetric

__all__ = ["SharedCacheDataset", "SharedMeanDice", "join_shares", "share_of"]

Case = TypeVar("Case")


def share_of(cases: Sequence[Case], rank: int, num_processes: int) -> list[Case]:
    """The cases of one process, dealt out in turn by MONAI's ``partition_dataset``.

    All get as many, since a process without one could not take part: the last turn is filled up from the front. MONAI
    refuses fewer cases than processes; here they are repeated.

    Example:
        >>> [share_of("abcde", rank, num_processes=3) for rank in range(3)]
        [['a', 'd'], ['b', 'e'], ['c', 'a']]
        >>> [share_of("a", rank, num_processes=3) for rank in range(3)]
        [['a'], ['a'], ['a']]
    """
    enough = list(islice(cycle(cases), max(len(cases), num_processes)))
    return partition_dataset(enough, num_partitions=num_processes, even_divisible=True)[rank] if enough else []


def join_shares(shares: torch.Tensor, num_cases: int, num_processes: int) -> torch.Tensor:
    """Values of all cases in their order, each once. MONAI gathers values process by process, and has no way back.

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
        super().__init__(
            share_of(data, idist.get_rank(), idist.get_world_size()),
            transform,
            cache_rate=cache_rate,
            progress=progress,
        )


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
        return join_shares(super().get_buffer(), self.num_cases, idist.get_world_size())
