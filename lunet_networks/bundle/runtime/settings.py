"""The settings that a user may change, checked when a run starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from lunet_networks.bundle.runtime.checks import check_whole_number, choose

__all__ = ["check_settings"]

Check = Callable[[str, Any], Any]


def check_settings(**settings: Any) -> dict[str, Any]:
    """The settings of a run with their types put right, or what is wrong with the first that has none.

    On the command line fire hands ``true`` over as a string; taken as it is, ``false`` would count as true.

    Args:
        settings: those of ``train.json``, ``evaluate.json`` or ``inference.json`` by name.

    Returns:
        The same settings, booleans and numbers as such.

    Raises:
        ValueError: names the setting, what it was given and what it takes.

    Example:
        >>> check_settings(epochs=20, resume="true", loss_name="dice")
        {'epochs': 20, 'resume': True, 'loss_name': 'dice'}
        >>> check_settings(resume="yes")
        Traceback (most recent call last):
        ValueError: resume is 'yes': it takes True or False
    """
    checked = {name: _CHECKS[name](name, value) if name in _CHECKS else value for name, value in settings.items()}
    if "ckpt_dirs" in checked and checked["backend"] != "eager":
        raise ValueError(
            f"backend is {checked['backend']!r}: an ensemble is computed by eager alone, as an exported network keeps "
            "its weights"
        )
    return checked


def _boolean(name: str, value: Any) -> bool:
    if str(value) in ("True", "true"):
        return True
    if str(value) in ("False", "false"):
        return False
    raise ValueError(f"{name} is {value!r}: it takes True or False")


def _one_of(table: str, *besides: str) -> Check:
    """One of the names in a table, which stands in the room of what they name and is imported when it is needed."""
    module, _, name_of_table = table.rpartition(".")

    def check(name: str, value: Any) -> str:
        choices = getattr(import_module(f"lunet_networks.{module}"), name_of_table)
        choose(name, value, dict.fromkeys([*besides, *choices]))
        return value

    return check


def _whole_number(least: int) -> Check:
    return partial(check_whole_number, least=least)


def _positive(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise ValueError(f"{name} is {value!r}: it is a number above 0")
    return float(value)


def _at_least_0(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}: it is a number of at least 0")
    return float(value)


def _share(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}: it is a number from 0 to 1")
    return float(value)


_CHECKS: dict[str, Check] = {
    "epochs": _whole_number(1),
    "batch_size": _whole_number(1),
    "learning_rate": _positive,
    "backend": _one_of("bundle.inference.formats.FORMATS", "eager"),
    "loss_name": _one_of("bundle.training.losses.LOSSES"),
    "optimizer_name": _one_of("bundle.training.optimizers.OPTIMIZERS"),
    "scheduler_name": _one_of("bundle.training.schedules.SCHEDULES"),
    "deep_training": _one_of("bundle.training.deep_training.SLOPES", "none"),
    "early_stop_patience": _whole_number(0),
    "fold": _whole_number(0),
    "num_folds": _whole_number(2),
    "seed": _whole_number(0),
    "val_interval": _whole_number(1),
    "save_interval": _whole_number(0),
    "cache_rate": _share,
    "num_workers": _whole_number(0),
    "ranking": _one_of("pruning.RANKINGS"),
    "selection": _one_of("pruning.SELECTIONS"),
    "targeted_dropout": _boolean,
    "deep_supervision": _boolean,
    "decoupling_weight": _at_least_0,
    "branches_per_step": _whole_number(1),
    "calibration_batches": _whole_number(1),
    "allow_empty": _boolean,
    "augment": _boolean,
    "amp": _boolean,
    "compile": _boolean,
    "resume": _boolean,
    "overwrite": _boolean,
    "save_predictions": _boolean,
    "save_probabilities": _boolean,
    "flip_tta": _boolean,
    "largest_component_only": _boolean,
}
