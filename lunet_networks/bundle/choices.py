"""Settings that name one of several things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

__all__ = ["choose"]

Chosen = TypeVar("Chosen")


def choose(setting: str, name: object, choices: Mapping[str, Chosen]) -> Chosen:
    """What ``name`` stands for among the choices of a setting.

    Raises:
        ValueError: names the setting, what it was given and what it takes.

    Example:
        >>> choose("loss_name", "focal", {"dice": 1, "bce": 2})
        Traceback (most recent call last):
        ValueError: loss_name is 'focal': it is one of dice, bce
    """
    if not isinstance(name, str) or name not in choices:
        raise ValueError(f"{setting} is {name!r}: it is one of {', '.join(choices)}")
    return choices[name]
