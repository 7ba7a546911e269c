"""The settings that a user may change: one registry, and the check of the settings when a run starts.

The templates in ``lunet_networks/authoring/planning/templates`` define the default and the meaning of each setting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.files import as_path

__all__ = ["PATHS", "SETTINGS", "Setting", "check_settings"]

Check = Callable[[str, Any], Any]  # takes name and value of a setting, returns the value converted to the right type


def check_settings(**settings: Any) -> dict[str, Any]:
    """Check the settings of a run and convert them to the right types.

    On the command line fire passes ``true`` as a string; without the conversion ``false`` would count as true.

    Args:
        settings: values by name; each name has to be in ``SETTINGS``.

    Returns:
        The same settings, with proper booleans and numbers.

    Raises:
        ValueError: for the first wrong setting; the message names the setting, its value and what is allowed.

    Example:
        >>> check_settings(epochs=20, resume="true", loss_name="dice")
        {'epochs': 20, 'resume': True, 'loss_name': 'dice'}
        >>> check_settings(resume="yes")
        Traceback (most recent call last):
        ValueError: resume is 'yes': it has to be True or False
    """
    checked = {name: choose("a setting", name, SETTINGS).check(name, value) for name, value in settings.items()}
    _check_together(checked)
    return checked


def _check_together(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for checked settings that do not go together."""
    if "ckpt_dirs" in settings and settings["backend"] != "eager":
        raise ValueError(
            f"backend is {settings['backend']!r}: use eager for an ensemble, as the weights of an exported network are "
            "fixed"
        )
    if settings.get("foreground_prior") and settings.get("pretrained"):
        raise ValueError(
            f"foreground_prior is {settings['foreground_prior']}: it is the start of a new head, and pretrained brings "
            "one: give --foreground_prior 0, or no --pretrained"
        )
    if not settings.get("ema_decay"):
        return
    if settings.get("deep_training", "none") != "none":
        raise ValueError(
            f"ema_decay is {settings['ema_decay']}: blocks that change during deep training cannot be averaged: give "
            "--ema_decay 0, or --deep_training none"
        )
    if not settings.keys().isdisjoint(("channels_per_step", "branches_per_step")):
        raise ValueError(
            f"ema_decay is {settings['ema_decay']}: a network that loses layers cannot be averaged: give --ema_decay 0 "
            "for a pruning"
        )


def _any(name: str, value: Any) -> Any:
    return value


def _text(name: str, value: Any) -> str:
    return str(value)


def _path(name: str, value: Any) -> str:
    return str(as_path(value))


def _boolean(name: str, value: Any) -> bool:
    if str(value) in ("True", "true"):
        return True
    if str(value) in ("False", "false"):
        return False
    raise ValueError(f"{name} is {value!r}: it has to be True or False")


def _one_of(table: str, *besides: str) -> Check:
    """A check for one of the names in a table, which is imported only when it is needed."""
    module, _, name_of_table = table.rpartition(".")

    def check(name: str, value: Any) -> str:
        choices = getattr(import_module(f"lunet_networks.{module}"), name_of_table)
        choose(name, value, dict.fromkeys([*besides, *choices]))
        return value

    return check


def _whole_number(least: int) -> Check:
    return partial(check_whole_number, least=least)


def _or_none(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


def _number(fits: Callable[[float], bool], in_words: str) -> Check:
    def check(name: str, value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not fits(value):
            raise ValueError(f"{name} is {value!r}: it has to be a number {in_words}")
        return float(value)

    return check


def _as_text(check: Check) -> Check:
    """A check for a number that the config converts: YAML takes ``1e-3``, without a point, for a text."""

    def check_number(name: str, value: Any) -> Any:
        with suppress(ValueError):
            return check(name, float(value) if isinstance(value, str) else value)
        return check(name, value)

    return check_number


def _one_or_several(check: Check) -> Check:
    """A check for one value, or a list with one value for each axis."""

    def check_all(name: str, value: Any) -> Any:
        return [check(name, item) for item in value] if isinstance(value, (list, tuple)) else check(name, value)

    return check_all


def _label_names(name: str, value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(label, str) for label in value):
        raise ValueError(f"{name} is {value!r}: it has to be a list of names, such as ['tumour']")
    return list(value)


@dataclass(frozen=True)
class Setting:
    """The properties of a setting, apart from its default and its meaning.

    Args:
        check: check of its value.
        recorded: whether it belongs to the ``settings`` of a config, which are checked when a run starts and recorded
            in run.json; paths and the device do not.
        may_change: whether a training may be resumed with another value.
        changes_result: whether the weights or the figures of a run depend on it.
    """

    check: Check = _any
    recorded: bool = True
    may_change: bool = False
    changes_result: bool = True


def _unrecorded() -> Setting:
    """A path, the device, or a setting of a report."""
    return Setting(recorded=False, may_change=True, changes_result=False)


def _without_effect(check: Check) -> Setting:
    """A setting that does not change the result of a run."""
    return Setting(check, may_change=True, changes_result=False)


_positive = _number(lambda value: value > 0, "above 0")
_at_least_0 = _number(lambda value: 0 <= value < math.inf, "of at least 0")
_share = _number(lambda value: 0 <= value <= 1, "from 0 to 1")
_share_above_0 = _number(lambda value: 0 < value <= 1, "above 0 and up to 1")
_share_below_1 = _number(lambda value: 0 <= value < 1, "of at least 0 and below 1")


def _dropout(name: str, value: Any) -> Any:
    """A rate, or after a pruning one for each unit of the network, which checks them."""
    return value if isinstance(value, dict) else _as_text(_share_below_1)(name, value)


SETTINGS: dict[str, Setting] = {
    # paths and the device
    "bundle_root": _unrecorded(),
    "dataset_dir": _unrecorded(),
    "output_dir": _unrecorded(),
    "ckpt_dir": _unrecorded(),
    "pruned_dir": _unrecorded(),
    "device": _unrecorded(),
    # the network and its data
    "preset": Setting(),
    "dropout": Setting(_dropout),
    "pretrained": Setting(_or_none(_text)),
    "label_names": Setting(_label_names),
    "ignore_label": Setting(_or_none(_whole_number(1))),
    "in_channels": Setting(_whole_number(1)),
    "pixdim": Setting(_one_or_several(_positive)),
    "roi_size": Setting(_one_or_several(_whole_number(1))),
    "imagenet_weights": Setting(_or_none(_path)),
    # training
    "epochs": Setting(_whole_number(1), may_change=True),
    "batch_size": Setting(_whole_number(1)),
    "learning_rate": Setting(_as_text(_positive)),
    "loss_name": Setting(_one_of("bundle.training.losses.LOSSES")),
    "optimizer_name": Setting(_one_of("bundle.training.optimizers.OPTIMIZERS")),
    "scheduler_name": Setting(_one_of("bundle.training.schedules.SCHEDULES")),
    "ema_decay": Setting(_as_text(_share_below_1)),
    "foreground_prior": Setting(_as_text(_share_below_1)),
    "deep_training": Setting(_one_of("bundle.training.deep_training.SLOPES", "none")),
    "deep_supervision": Setting(_boolean),
    "decoupling_weight": Setting(_as_text(_at_least_0)),
    "early_stop_patience": Setting(_whole_number(0), may_change=True),
    "augment": Setting(_boolean),
    "seed": Setting(_whole_number(0)),
    "fold": Setting(_whole_number(0)),
    "num_folds": Setting(_whole_number(2)),
    "val_interval": Setting(_whole_number(1), may_change=True),
    "amp": Setting(_boolean),
    "save_interval": _without_effect(_whole_number(0)),
    "cache_rate": _without_effect(_as_text(_share)),
    "num_workers": _without_effect(_whole_number(0)),
    "compile": _without_effect(_boolean),
    "kernels": Setting(_one_of("kernels.choice.KERNELS"), may_change=True),
    "resume": _without_effect(_boolean),
    "overwrite": _without_effect(_boolean),
    # pruning of channels
    "start_epoch": Setting(_whole_number(1)),
    "recovery_epochs": Setting(_whole_number(1)),
    "channels_per_step": Setting(_whole_number(1)),
    "max_steps": Setting(_whole_number(1)),
    "target_params": Setting(_whole_number(0)),
    "target_macs": Setting(_whole_number(0)),
    "min_dice": Setting(_as_text(_share_below_1)),
    "ranking": Setting(_one_of("pruning.RANKINGS")),
    "selection": Setting(_one_of("pruning.SELECTIONS")),
    "targeted_dropout": Setting(_boolean),
    # pruning of branches
    "branches_per_step": Setting(_whole_number(1)),
    "patience": Setting(_whole_number(1)),
    "tolerance": Setting(_as_text(_at_least_0)),
    "stop_fraction": Setting(_as_text(_share_above_0)),
    "calibration_batches": Setting(_whole_number(1)),
    "allow_empty": Setting(_boolean),
    # inference and evaluation
    "backend": Setting(_one_of("bundle.inference.formats.FORMATS", "eager")),
    "ckpt_dirs": Setting(),
    "flip_tta": Setting(_boolean),
    "largest_component_only": Setting(_boolean),
    "overlap": Setting(_one_or_several(_as_text(_share_below_1))),
    "sw_batch_size": Setting(_whole_number(1)),
    "output_format": _without_effect(_one_of("bundle.inference.saving.OUTPUT_FORMATS")),
    "save_probabilities": _without_effect(_boolean),
    "save_predictions": _without_effect(_boolean),
    "section": Setting(recorded=False),  # depends on dataset.json, which is not read for the settings
    "channel": _unrecorded(),
    "note": _unrecorded(),
    # benchmark
    "shape": Setting(),
    "training_batch_size": Setting(_whole_number(1)),
    "repeats": Setting(_whole_number(1)),
    "training_repeats": Setting(_whole_number(0)),
    "num_threads": Setting(_or_none(_whole_number(1))),
    "memory_layout": Setting(_one_of("bundle.benchmark.steps.MEMORY_LAYOUTS")),
}

# settings that are a path, or paths
PATHS = frozenset(
    (
        "bundle_root",
        "dataset_dir",
        "output_dir",
        "ckpt_dir",
        "ckpt_dirs",
        "pruned_dir",
        "pretrained",
        "imagenet_weights",
    )
)
