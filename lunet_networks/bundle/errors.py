"""What went wrong, said last, where a user looks first."""

from __future__ import annotations

import sys
from types import TracebackType

from lunet_networks.bundle.processes import tell_failure

__all__ = ["end_with_cause", "root_cause"]


def end_with_cause() -> None:
    """From now on an error that ends the process is followed by a line with its first cause.

    MONAI wraps what a step of a config raises, so that a traceback ends with "Failed to evaluate ConfigExpression"
    and the message that says what to do stands somewhere above.
    """
    sys.excepthook = _show


def root_cause(error: BaseException) -> BaseException:
    """The error that an error was raised from, and so on to the first.

    Example:
        >>> try:
        ...     try:
        ...         int("seven")
        ...     except ValueError as error:
        ...         raise RuntimeError("cannot run") from error
        ... except RuntimeError as error:
        ...     print(root_cause(error))
        invalid literal for int() with base 10: 'seven'
    """
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    line = f"error: {root_cause(error)}"

    def tell() -> None:
        sys.__excepthook__(kind, error, trace)
        if not isinstance(error, KeyboardInterrupt):
            print(f"\n{line}", file=sys.stderr, flush=True)

    tell_failure(tell, line)
