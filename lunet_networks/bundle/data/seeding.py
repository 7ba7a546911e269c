"""Seeds that make all randomness of a training a function of (seed, epoch, case or rank), so that resuming is exact.

MONAI's DistributedSampler determines the order of the cases; it depends on seed and epoch only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset

__all__ = ["EpochSeed", "SeededCacheDataset", "mix_seed"]


def mix_seed(*numbers: int) -> int:
    """Combine several numbers into one seed from 0 to 2 ** 32 - 1; (1, 2) and (2, 1) give different seeds.

    Example:
        >>> mix_seed(42, 1, 0) == mix_seed(42, 1, 0), mix_seed(42, 1, 0) == mix_seed(42, 0, 1)
        (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class SeededCacheDataset(CacheDataset):
    """MONAI's ``CacheDataset`` whose random transforms depend on (seed, epoch, index) only.

    They depend neither on the number of workers nor on earlier random numbers. Workers that stay from epoch to epoch
    have copies of the dataset; the number of the epoch is in memory that all copies share.

    Args:
        data: cases, ``{"image": path, "label": path}``.
        transform: deterministic transforms, whose results are cached, then random ones.
        seed: seed of the run.
        cache_rate: share of the cases to cache.
        num_workers: threads that fill the cache.

    Example:
        >>> from monai.transforms import Compose, RandGaussianNoised
        >>> transform = Compose([RandGaussianNoised("image", prob=1)])
        >>> dataset = SeededCacheDataset([{"image": np.zeros((1, 2))}] * 2, transform, seed=7)
        >>> first = dataset[0]["image"]
        >>> bool((dataset[0]["image"] == first).all()), bool((dataset[1]["image"] == first).any())
        (True, False)
        >>> dataset.set_epoch(2)
        >>> bool((dataset[0]["image"] == first).any())
        False
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable,
        seed: int,
        cache_rate: float = 1.0,
        num_workers: int = 2,
    ) -> None:
        self.seed = seed
        self._epoch = torch.ones((), dtype=torch.int64).share_memory_()
        # MONAI would draw its progress bar into log files too
        super().__init__(
            data,
            transform,
            cache_rate=cache_rate,
            num_workers=num_workers,
            progress=idist.get_rank() == 0 and sys.stderr.isatty(),
        )

    @property
    def epoch(self) -> int:
        """The epoch that runs, also in workers that were started in an earlier one."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that is about to start, when no batch of another one is being made."""
        self._epoch.fill_(epoch)

    def _transform(self, index: int) -> Any:
        self.transform.set_random_state(seed=mix_seed(self.seed, self.epoch, index))
        return super()._transform(index)


class EpochSeed:
    """Handler that sets the seeds of an epoch: for the dropout of the network and for the random transforms.

    Args:
        seed: seed of the run.
        dataset: the training's ``SeededCacheDataset``.

    Example::

        SupervisedTrainer(..., train_handlers=[EpochSeed(42, dataset)])
    """

    def __init__(self, seed: int, dataset: SeededCacheDataset) -> None:
        self.seed = seed
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.dataset.set_epoch(engine.state.epoch)
        # with several devices, each process drops out different channels
        torch.manual_seed(mix_seed(self.seed, engine.state.epoch, idist.get_rank()))
