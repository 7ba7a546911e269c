"""Reading ahead of the network."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monai.data import DataLoader

__all__ = ["AheadDataLoader"]


class AheadDataLoader(DataLoader):
    """MONAI's ``DataLoader`` with its arguments, which reads a batch in a thread while the one before it is worked on.

    One batch is ahead, no more. Whatever reading it raises is raised where the batch is taken; MONAI's
    ``ThreadDataLoader`` ends without an error as soon as its thread has one, and the remaining images are missing.

    Example:
        >>> [batch.tolist() for batch in AheadDataLoader([1, 2, 3], batch_size=2)]
        [[1, 2], [3]]
    """

    def __iter__(self) -> Iterator[Any]:
        batches = super().__iter__()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader") as reader:
            ahead = reader.submit(next, batches, None)
            while (batch := ahead.result()) is not None:
                ahead = reader.submit(next, batches, None)
                yield batch
