"""Prune the channels of a network during its training: remove some, let the network recover, remove more."""

from __future__ import annotations

import logging
import math
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from ignite.engine import Engine
from monai.engines import Evaluator
from torch import nn
from torch.optim import Optimizer

from lunet_networks.bundle.data.seeding import mix_seed
from lunet_networks.bundle.pruning.handler import PruningHandler, replace_modules
from lunet_networks.bundle.pruning.history import PruningHistory
from lunet_networks.bundle.pruning.pruned_bundle import PrunedBundle
from lunet_networks.bundle.runtime.memory_format import prepare_batch
from lunet_networks.bundle.runtime.settings import check_settings
from lunet_networks.bundle.training.history import KEY_METRIC, History
from lunet_networks.pruning import (
    normalise_scores,
    rank_channels,
    remove_channels,
    select_channels,
    set_dropout,
    targeted_dropout,
)
from lunet_networks.summary import count_macs, count_parameters

__all__ = ["ChannelPruning", "PruningSchedule"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PruningSchedule:
    """When to remove channels, how many, and when to stop.

    Args:
        start_epoch: channels are removed for the first time at the end of this epoch.
        recovery_epochs: epochs of training after each step.
        channels_per_step: channels removed in each step; in the last one as many as a target takes.
        max_steps: number of steps at most.
        target_params: stop once the network has at most this many parameters; 0: no target.
        target_macs: stop once a patch takes at most this many multiply-accumulates; 0: no target.
        min_dice: stop once the mean Dice after recovery is below this; 0: no limit.

    Raises:
        ValueError: if one of them has no valid value.

    Example:
        >>> schedule = PruningSchedule(start_epoch=2, recovery_epochs=3, max_steps=2)
        >>> [schedule.steps_done(epoch) for epoch in range(1, 9)], schedule.epochs
        ([None, 0, None, None, 1, None, None, 2], 8)
    """

    start_epoch: int = 1
    recovery_epochs: int = 1
    channels_per_step: int = 1
    max_steps: int = 1
    target_params: int = 0
    target_macs: int = 0
    min_dice: float = 0.0

    def __post_init__(self) -> None:
        check_settings(**asdict(self))

    @property
    def epochs(self) -> int:
        """The epochs of the whole training, unless it stops earlier."""
        return self.start_epoch + self.max_steps * self.recovery_epochs

    def steps_done(self, epoch: int) -> int | None:
        """The number of completed steps at the end of this epoch; None if a recovery is going on."""
        since = epoch - self.start_epoch
        return since // self.recovery_epochs if since >= 0 and since % self.recovery_epochs == 0 else None

    def reached(self, parameters: int, macs: int) -> bool:
        """Whether a network has reached one of the targets."""
        return parameters <= self.target_params or macs <= self.target_macs


class ChannelPruning(PruningHandler):
    """Handler that removes channels of the trained network between epochs.

    After each recovery the network is written to the pruned bundle, unless its Dice is below ``min_dice``. So the
    bundle holds the last network that was good enough. Channels are ranked in one pass over the training data.

    ``PruningCheckpoints`` attaches it, behind ``EpochRecorder``. Every epoch that ends a recovery has to be validated.

    Args:
        network: the one in training, a :class:`UNet` or :class:`UNetPlusPlus`.
        optimizer: of the network.
        schedule: of the pruning.
        loader: of the training data, dictionaries of image and label.
        loss: of logits and labels.
        evaluator: of the validation.
        history: of the training, for the Dice of an epoch.
        steps: records which channels were removed.
        bundle: where networks that are good enough are written.
        patch_shape: spatial shape for which multiply-accumulates are counted.
        ranking: one of ``lunet_networks.pruning.RANKINGS``.
        selection: one of ``lunet_networks.pruning.SELECTIONS``.
        dropout_from_ranks: whether every step sets the dropout of each convolution by its ranks, up to 0.1.
        seed: of random rankings and selections.

    Raises:
        ValueError: during the training, if a target cannot be reached, there are too few channels for a step, an epoch
            that ends a recovery was not validated, or already the unpruned network is below ``min_dice``.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        schedule: PruningSchedule,
        loader: Iterable[Mapping[str, torch.Tensor]],
        loss: nn.Module,
        evaluator: Evaluator,
        history: History,
        steps: PruningHistory,
        bundle: PrunedBundle,
        patch_shape: tuple[int, ...],
        ranking: str,
        selection: str,
        dropout_from_ranks: bool,
        seed: int,
    ) -> None:
        super().__init__(network, optimizer, evaluator, history, steps, bundle, patch_shape)
        self.schedule, self.loader, self.loss = schedule, loader, loss
        self.ranking, self.selection, self.dropout_from_ranks = ranking, selection, dropout_from_ranks
        self.seed = seed

    def _begin(self, engine: Engine) -> None:
        super()._begin(engine)
        widths = self._widths()
        removals = [(name, channel) for name, width in widths.items() for channel in range(1, width)]
        if self.schedule.channels_per_step > len(removals):
            raise ValueError(
                f"channels_per_step is {self.schedule.channels_per_step}, but only {len(removals)} channels can be "
                "removed, because every convolution keeps one"
            )
        least = self._costs(remove_channels(self.network, removals))
        for name, cost in zip(("target_params", "target_macs"), least, strict=True):
            if 0 < getattr(self.schedule, name) < cost:
                raise ValueError(
                    f"{name} is {getattr(self.schedule, name)}, but with one channel in every convolution the network "
                    f"still has {cost}"
                )

    def _widths(self) -> dict[str, int]:
        return self.network.describe()["conv_channels"]

    def _costs(self, network: nn.Module) -> tuple[int, int]:
        return count_parameters(network), count_macs(network, (1, network.in_channels, *self.patch_shape))

    def _end_epoch(self, engine: Engine) -> None:
        done = self.schedule.steps_done(engine.state.epoch)
        if done is None:
            return
        dice = self.history.rows[-1].get(KEY_METRIC)
        if dice is None:
            raise ValueError(
                f"epoch {engine.state.epoch} ends a recovery and was not validated: val_interval has to be 1"
            )
        if done == 0:
            self.steps.begin(engine.state.epoch, self._widths(), *self._costs(self.network), dice)
        else:
            self.steps.recovered(dice)
        if math.isnan(dice) and self.schedule.min_dice > 0:
            raise ValueError(
                f"min_dice is {self.schedule.min_dice}, but no validation case holds a label, so there is no Dice: "
                "set --min_dice 0, or add cases with labels to the validation"
            )
        good = not dice < self.schedule.min_dice
        if done == 0 and not good:
            raise ValueError(
                f"the network has a mean Dice of {dice:.3f} before it is pruned, below min_dice "
                f"{self.schedule.min_dice}: train it longer, start from trained weights "
                "with --pretrained, or lower --min_dice"
            )
        self.steps.write()
        if good:
            self.bundle.write(self.network, self.steps, engine.state.epoch)
        step = self.steps.steps[-1]
        left = sum(width - 1 for width in step["left"].values())
        if not good:
            self._end(engine, f"a mean Dice of {dice:.3f} is below min_dice {self.schedule.min_dice}")
        elif self.schedule.reached(step["parameters"], step["macs"]):
            self._end(engine, "the network has reached its target size")
        elif done == self.schedule.max_steps:
            self._end(engine, f"all {done} steps are done")
        elif left < self.schedule.channels_per_step:
            self._end(engine, f"only {left} channels can still be removed, fewer than channels_per_step")
        else:
            self._prune(engine, done + 1)

    def _end(self, engine: Engine, why: str) -> None:
        self.steps.finished = True
        logger.info(f"the pruning has ended: {why}; the pruned bundle is {self.bundle.folder}")
        engine.terminate()

    def _prune(self, engine: Engine, step: int) -> None:
        generator = torch.Generator().manual_seed(mix_seed(self.seed, step))
        batches = (prepare_batch(batch, engine.state.device) for batch in self.loader)
        began = time.perf_counter()
        raw = rank_channels(self.network, batches, self.loss, self.ranking, generator)
        logger.info(f"ranked the channels in {time.perf_counter() - began:.1f} s")
        scores = raw if self.ranking == "random" else normalise_scores(raw)
        selected = select_channels(scores, self.schedule.channels_per_step, self.selection, generator)
        removals = self._until_target(selected)
        replace_modules(self.network, remove_channels(self.network, removals, self.optimizer))
        if self.dropout_from_ranks:
            set_dropout(self.network, targeted_dropout(scores))
        dice = self._dice_now(engine)
        removed = [(name, channel, float(scores[name][channel])) for name, channel in removals]
        costs = self._costs(self.network)
        self.steps.changed(engine.state.epoch, self._widths(), "removed", removed, *costs, dice)
        logger.info(self.steps.line())

    def _until_target(self, removals: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
        """The first removals that reach a target, or all: a step may take many of few channels that are left."""
        if not (self.schedule.target_params or self.schedule.target_macs):
            return removals
        counts = range(1, len(removals) + 1)
        return removals[: bisect_left(counts, True, key=lambda count: self._reached_without(removals[:count])) + 1]

    def _reached_without(self, removals: Sequence[tuple[str, int]]) -> bool:
        return self.schedule.reached(*self._costs(remove_channels(self.network, removals)))
