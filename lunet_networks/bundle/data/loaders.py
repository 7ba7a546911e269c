"""A data loader that prepares the next batch while the network computes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from monai.data import DataLoader
from torch.utils.data import Dataset

__all__ = ["PrefetchDataLoader"]


class PrefetchDataLoader(DataLoader):
    """MONAI's ``DataLoader``, one batch ahead: a thread loads and augments the next batch during a training step.

    The batches and their order are those of ``DataLoader``, with any number of workers. MONAI's ``ThreadDataLoader``
    does the same, but after an error in the thread it ends the epoch as if there were no more cases. This class raises
    the error where the batch is requested.

    Iterate over one epoch at a time: all iterations share the dataset's random transforms and the workers.

    Workers stay from epoch to epoch. Where a new process is no copy of the one that starts it (macOS, Windows, from
    Python 3.14 on everywhere), it has to import all packages, which takes seconds.

    Args:
        dataset: what to load.
        num_workers: processes that load; 0: the thread does.
        kwargs: as for MONAI's ``DataLoader``.

    Example:
        >>> [batch.tolist() for batch in PrefetchDataLoader([1, 2, 3], batch_size=2)]
        [[1, 2], [3]]
    """

    def __init__(self, dataset: Dataset, num_workers: int = 0, **kwargs: Any) -> None:
        super().__init__(dataset, num_workers, **{"persistent_workers": num_workers > 0, **kwargs})

    def __iter__(self) -> Iterator[Any]:
        batches, end = super().__iter__(), object()
        with ThreadPoolExecutor(1) as thread:
            if not torch.cuda.is_available():
                _compute_with_one_core(thread)
            upcoming = thread.submit(next, batches, end)
            while (batch := upcoming.result()) is not end:
                upcoming = thread.submit(next, batches, end)
                yield batch


def _compute_with_one_core(thread: ThreadPoolExecutor) -> None:
    """Let the loading thread use one core and leave the others to the network.

    OpenMP would otherwise start as many threads again for the loading thread. If there are more threads than cores, it
    puts all of them to sleep after every loop, those of the network too.
    """
    num_threads = torch.get_num_threads()
    thread.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(num_threads)  # otherwise threads that start later would use one core too
