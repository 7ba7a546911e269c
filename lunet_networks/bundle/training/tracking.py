"""What MONAI's tracking of experiments (``--tracking mlflow``) records of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from monai.handlers import MLFlowHandler
from monai.utils import optional_import

from lunet_networks.bundle.training.history import KEY_METRIC, History

__all__ = ["track_evaluation", "track_run", "track_training"]

LONGEST = 6000  # characters of a parameter that mlflow takes
ELSEWHERE = dict.fromkeys(("epoch", KEY_METRIC), math.nan)  # not recorded: MONAI's handler of the validation does it


def track_training(handlers: Iterable[Any], settings: Mapping[str, Any], history: History) -> None:
    """Have MONAI's MLFlowHandler record the settings of a training and each row of its history.

    MONAI appends the handler to ``train#handlers`` for ``--tracking mlflow``. By itself it records neither, and stops
    at the first step, as it takes the output of a trainer for a list of cases (``decollate`` is false here).

    Args:
        handlers: of the trainer; those that are no MLFlowHandler are left alone, so without tracking nothing happens.
        settings: they become the parameters of the run in mlflow.
        history: its rows become metrics of their epochs; it is filled before mlflow's handler is called.

    Example:
        >>> track_training([], {"epochs": 20}, History("eval", ["tumour"]))
    """
    for handler in _of_mlflow(handlers):
        _record(handler, settings, lambda engine: {**history.rows[-1], **ELSEWHERE})
        handler.output_transform = lambda output: output["loss"]


def track_evaluation(handlers: Iterable[Any], settings: Mapping[str, Any], label_names: Sequence[str]) -> None:
    """Have MONAI's MLFlowHandler record the settings of an evaluation and the Dice of each label.

    MONAI leaves the run in mlflow open after an evaluation, and the next run would go on in it: here it is closed.

    Args:
        handlers: of the evaluator; those that are no MLFlowHandler are left alone.
        settings: they become the parameters of the run in mlflow.
        label_names: of the foreground labels.

    Example:
        >>> track_evaluation([], {"overlap": 0.5}, ["tumour"])
    """

    def dice(engine: Engine) -> dict[str, float]:
        of_labels = torch.nanmean(engine.state.metric_details[KEY_METRIC].double(), dim=0).tolist()
        names = [f"val_{name}" for name in label_names]
        return {**engine.state.metrics, **dict(zip(names, of_labels, strict=True))}

    for handler in _of_mlflow(handlers):
        _record(handler, settings, dice)
        handler.close_on_complete = True


def track_run(handlers: Iterable[Any], settings: Mapping[str, Any]) -> None:
    """Have MONAI's MLFlowHandler record the settings of an inference, see :py:func:`track_training`.

    Example:
        >>> track_run([], {"overlap": 0.5})
    """
    for handler in _of_mlflow(handlers):
        _record(handler, settings, lambda engine: {})


def _of_mlflow(handlers: Iterable[Any]) -> list[MLFlowHandler]:
    return [handler for handler in handlers if isinstance(handler, MLFlowHandler)]


def _record(
    handler: MLFlowHandler, settings: Mapping[str, Any], values: Callable[[Engine], Mapping[str, float]]
) -> None:
    """Set what a handler records when its run is open, and after each epoch."""
    entities, _ = optional_import("mlflow.entities")

    def log_settings(_: Any) -> None:  # MONAI calls it after it has opened the run
        known = handler.client.get_run(handler.cur_run.info.run_id).data.params  # mlflow refuses to change them
        new = {name: str(value)[:LONGEST] for name, value in settings.items() if name not in known}
        params = [entities.Param(name, value) for name, value in new.items()]
        handler.client.log_batch(handler.cur_run.info.run_id, params=params)

    def log_values(engine: Engine) -> None:
        now, epoch = int(time.time() * 1000), engine.state.epoch
        metrics = [
            entities.Metric(name, value, now, epoch) for name, value in values(engine).items() if math.isfinite(value)
        ]
        handler.client.log_batch(handler.cur_run.info.run_id, metrics=metrics)

    handler.dataset_logger = log_settings
    handler.epoch_logger = log_values
