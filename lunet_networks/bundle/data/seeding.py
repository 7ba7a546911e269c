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
from monai.transforms import Compose, Randomizable, Transform
from monai.utils import MAX_SEED

__all__ = ["EpochSeed", "RandomStates", "SeededCacheDataset", "mix_seed"]


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
        self._states = RandomStates()
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
        self._states.seed(self.transform, mix_seed(self.seed, self.epoch, index))
        return super()._transform(index)


class RandomStates:
    """The random states of transforms, to seed them again and again. MONAI makes new ones each time, which takes numpy
    ten times as long: a tenth of what a case takes.

    Example:
        >>> from monai.transforms import Compose, RandGaussianNoised
        >>> noise, states = Compose([RandGaussianNoised("image", prob=1)]), RandomStates()
        >>> for _ in range(2):
        ...     states.seed(noise, 7)
        ...     print(noise.transforms[0].R.randint(100))
        95
        95
    """

    def __init__(self) -> None:
        self._transforms: Sequence[Any] = ()
        self._within: list[tuple[Randomizable, list[Randomizable]]] = []

    def seed(self, compose: Compose, seed: int) -> None:
        """As ``compose.set_random_state(seed)``, to the last bit."""
        if self._transforms is not compose.transforms:
            compose.set_random_state(seed=seed)
            random = [each for each in compose.transforms if isinstance(each, Randomizable)]
            self._transforms, self._within = compose.transforms, [(each, _seeded_alike(each)) for each in random]
            return
        compose.R.seed(seed)
        for transform, parts in self._within:
            drawn = int(compose.R.randint(MAX_SEED, dtype="uint32"))
            for part in parts:
                part.R.seed(drawn)
            if not parts:
                transform.set_random_state(seed=drawn)


def _seeded_alike(transform: Randomizable) -> list[Randomizable]:
    """A transform that has just been seeded, and what it consists of, if it is ours or MONAI's and all have the same
    random state; else none."""
    found, waiting = [], [transform]
    while waiting:
        each = waiting.pop()
        if not type(each).__module__.startswith(("monai.transforms.", "lunet_networks.")):
            return []
        found += [each] if isinstance(each, Randomizable) else []
        for value in vars(each).values():
            parts = value if isinstance(value, list | tuple) else [value]
            waiting += [part for part in parts if isinstance(part, Transform)]
    first, *others = ([*each.R.get_state()[1]] for each in found)
    return found if all(other == first for other in others) else []


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
