"""Prune the branches of a PSP-Seg during its training: mask them when it has converged, remove them the next time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import Evaluator
from torch import nn
from torch.optim import Optimizer

from lunet_networks.bundle.pruning.handler import PruningHandler, replace_modules
from lunet_networks.bundle.pruning.history import PruningHistory
from lunet_networks.bundle.pruning.pruned_bundle import PrunedBundle
from lunet_networks.bundle.runtime.checks import check_whole_number
from lunet_networks.bundle.runtime.memory_format import prepare_batch
from lunet_networks.bundle.training.history import KEY_METRIC, History, Row, best_row, deciding_column
from lunet_networks.pruning import (
    ProgressiveSchedule,
    active_branches,
    choose_branches,
    mask_branches,
    masked_branches,
    max_removable_branches,
    rank_branches,
    remove_branches,
    unmask_branches,
)
from lunet_networks.summary import count_macs, count_parameters

__all__ = ["BranchPruning"]

logger = logging.getLogger(__name__)

Branches = Mapping[str, Iterable[int]]


class BranchPruning(PruningHandler):
    """Handler that masks and removes branches of the trained network between epochs. A schedule decides by the losses.

    The pruned bundle holds the best network since branches were last masked or restored, without the masked branches.
    So it always belongs to the final form of the network.

    ``PruningCheckpoints`` attaches it, behind ``EpochRecorder``. Every epoch has to be validated.

    Args:
        network: the one in training, a :class:`PSPSeg`.
        optimizer: of the network.
        schedule: of the pruning.
        loader: of the training data, dictionaries of image and label.
        calibration_batches: number of batches of ``loader`` on which branches are ranked.
        evaluator: of the validation.
        history: of the training, for Dice and losses of an epoch; its loss terms are l1 and l2.
        steps: records which branches were masked, removed or restored.
        bundle: where the pruned network is written.
        patch_shape: spatial shape for which multiply-accumulates are counted.
        val_interval: epochs between validations; it has to be 1.
        allow_empty: whether a module may lose its last branch; it is then the identity.

    Raises:
        ValueError: if ``calibration_batches`` is not a whole number of at least 1; when the training starts, if the
            network is not the trainer's, no module has enough branches for a step, or ``val_interval`` is not 1.

    Source:
        PSP-Seg, arXiv 2509.09267, and its code.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        schedule: ProgressiveSchedule,
        loader: Iterable[Mapping[str, torch.Tensor]],
        calibration_batches: int,
        evaluator: Evaluator,
        history: History,
        steps: PruningHistory,
        bundle: PrunedBundle,
        patch_shape: tuple[int, ...],
        val_interval: int = 1,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(network, optimizer, evaluator, history, steps, bundle, patch_shape)
        self.schedule, self.loader = schedule, loader
        self.calibration_batches = check_whole_number("calibration_batches", calibration_batches, least=1)
        self.val_interval = val_interval
        self.allow_empty = allow_empty

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {**super().state(), "schedule": self.schedule.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        super().load(state)
        self.schedule.load(state["schedule"])

    def _begin(self, engine: Engine) -> None:
        super()._begin(engine)
        if self.val_interval != 1:
            raise ValueError(
                f"val_interval is {self.val_interval}: it has to be 1, because pruning needs every epoch's Dice"
            )
        spare = max_removable_branches(self.network, self.allow_empty)
        if self.schedule.step > spare:
            rest = "" if self.allow_empty else ", because each module keeps one"
            raise ValueError(
                f"branches_per_step is {self.schedule.step}, but at most {spare} branches of a module can be "
                f"removed{rest}"
            )

    def _end_epoch(self, engine: Engine) -> None:
        epoch, row = engine.state.epoch, self.history.rows[-1]
        dice = row[KEY_METRIC]
        if self.steps.steps:
            self.steps.recovered(dice)
        else:
            self.steps.begin(epoch, self._left(), *self._costs(), dice)
        self.steps.write()
        if self._is_best_since_change(row):
            self.bundle.write(remove_branches(self.network), self.steps, epoch)
        action = self.schedule.update({"total": row["loss"], "l1": row["l1"], "l2": row["l2"]})
        if action == "prune":
            self._prune(engine)
        elif action != "nothing":
            self._restore(engine)

    def _is_best_since_change(self, row: Row) -> bool:
        """Whether no epoch since branches were last masked or restored is better than this one."""
        last = max((step["epoch"] for step in self.steps.steps[1:]), default=0)
        rows = [each for each in self.history.rows if each["epoch"] > last]
        column = deciding_column(rows)
        return row[column] == best_row(rows)[column]

    def _left(self) -> dict[str, int]:
        return {name: len(numbers) for name, numbers in active_branches(self.network).items()}

    def _costs(self) -> tuple[int, int]:
        """Parameters and multiply-accumulates of the deployed network, without masked branches or extra heads."""
        with torch.device("meta"):  # no memory for weights
            left = self.network.rebuild(branches=active_branches(self.network))
        return count_parameters(left), count_macs(left, (1, left.in_channels, *self.patch_shape))

    def _prune(self, engine: Engine) -> None:
        replace_modules(self.network, remove_branches(self.network, self.optimizer))
        step = min(self.schedule.step, max_removable_branches(self.network, self.allow_empty))
        if step == 0:
            logger.info("the pruning has ended: no module has a branch left to remove")
            self.schedule.finish()
            return
        batches = islice(self.loader, self.calibration_batches)
        images = (prepare_batch(batch, engine.state.device)[0] for batch in batches)
        began = time.perf_counter()
        losses = rank_branches(self.network, images, step, self.allow_empty)
        logger.info(f"ranked the branches in {time.perf_counter() - began:.1f} s")
        chosen = choose_branches(losses)
        mask_branches(self.network, chosen, self.allow_empty)
        scores = {name: losses[name][numbers] for name, numbers in chosen.items()}
        self._note(engine, "masked", chosen, scores)

    def _restore(self, engine: Engine) -> None:
        masked = masked_branches(self.network)
        unmask_branches(self.network)
        if masked:
            self._note(engine, "restored", masked, {})
        if self.schedule.finished:
            logger.info("the pruning has ended: the training goes on with the network as it is")

    def _note(self, engine: Engine, event: str, branches: Branches, scores: Mapping[str, float]) -> None:
        dice = self._dice_now(engine)
        parts = [(name, number, scores.get(name, "")) for name, numbers in branches.items() for number in numbers]
        self.steps.changed(engine.state.epoch, self._left(), event, parts, *self._costs(), dice)
        logger.info(self.steps.line())
