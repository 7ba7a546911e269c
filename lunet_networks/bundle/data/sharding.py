"""Validation cases shared out among processes, and their results joined again so that each case counts once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from monai.data import CacheDataset, partition_dataset

__all__ = ["SharedCacheDataset", "join_shares", "share_of"]

Case = TypeVar("Case")


def share_of(cases: Sequence[Case], rank: int, num_processes: int) -> list[Case]:
    """The cases of one process, dealt out in turn by MONAI's ``partition_dataset``.

    All processes get the same number of cases, as a process without a case could not take part: the last turn is filled
    up with the first cases. MONAI refuses fewer cases than processes; this function repeats them.

    Example:
        >>> [share_of("abcde", rank, num_processes=3) for rank in range(3)]
        [['a', 'd'], ['b', 'e'], ['c', 'a']]
        >>> [share_of("a", rank, num_processes=3) for rank in range(3)]
        [['a'], ['a'], ['a']]
    """
    enough = list(islice(cycle(cases), max(len(cases), num_processes)))
    return partition_dataset(enough, num_partitions=num_processes, even_divisible=True)[rank] if enough else []


def join_shares(shares: torch.Tensor, num_cases: int, num_processes: int) -> torch.Tensor:
    """Put the gathered values back into the order of the cases, each case once; MONAI gathers them by process.

    Args:
        shares: values of the first process' cases, then those of the second's ...: ``(turns * num_processes, ...)``.
        num_cases: number of cases that were dealt out.
        num_processes: number of processes.

    Returns:
        ``(num_cases, ...)``.

    Example:
        >>> "".join(map(chr, join_shares(torch.tensor([ord(case) for case in "adbeca"]), 5, num_processes=3)))
        'abcde'
    """
    return shares.unflatten(0, (num_processes, -1)).transpose(0, 1).flatten(0, 1)[:num_cases]


class SharedCacheDataset(CacheDataset):
    """MONAI's ``CacheDataset`` of the cases that this process validates.

    MONAI's ``DistributedSampler`` would share out cases too, but each process would cache all of them, and it refuses
    fewer cases than processes.

    Args:
        data: all cases, ``{"image": path, "label": path}``.
        transform: deterministic transforms.
        cache_rate: share of the cases to cache.
        progress: whether to show a bar while the cache is filled.
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
