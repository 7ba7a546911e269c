"""Checks of settings that are one of several names or a whole number, and settings as they are typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

__all__ = ["check_whole_number", "choose", "option"]

Chosen = TypeVar("Chosen")


def choose(setting: str, name: object, choices: Mapping[str, Chosen]) -> Chosen:
    """Return the choice that ``name`` stands for in a setting.

    Raises:
        ValueError: the message names the setting, its value and what is allowed.

    Example:
        >>> choose("loss_name", "focal", {"dice": 1, "bce": 2})
        Traceback (most recent call last):
        ValueError: loss_name is 'focal': it has to be one of dice, bce
    """
    if not isinstance(name, str) or name not in choices:
        raise ValueError(f"{setting} is {name!r}: it has to be one of {', '.join(choices)}")
    return choices[name]


def check_whole_number(setting: str, number: object, least: int) -> int:
    """Return the value of a setting if it is a whole number of at least ``least``.

    Raises:
        ValueError: the message names the setting, its value and what is allowed.

    Example:
        >>> check_whole_number("epochs", 0, least=1)
        Traceback (most recent call last):
        ValueError: epochs is 0: it has to be a whole number of at least 1
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise ValueError(f"{setting} is {number!r}: it has to be a whole number of at least {least}")
    return number


def option(name: str, value: Any) -> str:
    """A setting as one would type it behind a command.

    Example:
        >>> print(option("fold", 1), option("label_names", ["liver", "tumour"]))
        --fold 1 --label_names "['liver', 'tumour']"
    """
    return f'--{name} "{value}"' if isinstance(value, (list, tuple)) or " " in str(value) else f"--{name} {value}"
