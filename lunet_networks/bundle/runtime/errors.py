"""Error messages: the cause of an error is printed last, where users look first."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType

from lunet_networks.bundle.runtime.distributed import tell_failure

__all__ = ["root_cause", "shortened_list", "show_root_cause"]


def show_root_cause() -> None:
    """Print the first cause of an error in a last line, for every error that ends the process from now on.

    MONAI wraps the errors of a config's steps: the traceback ends with "Failed to evaluate ConfigExpression", and the
    message that says what to do is somewhere above.
    """
    sys.excepthook = _show


def root_cause(error: BaseException) -> BaseException:
    """The first error in a chain of errors, each raised from the one before.

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


def shortened_list(lines: Iterable[str], limit: int = 10) -> str:
    """The first ``limit`` lines, indented, and the number of further lines.

    Example:
        >>> print(shortened_list(["a", "b", "c"], limit=2))
          a
          b
          ... and 1 more
    """
    lines = list(lines)
    more = [f"... and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n".join(f"  {line}" for line in [*lines[:limit], *more])


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    line = f"error: {root_cause(error)}"

    def tell() -> None:
        sys.__excepthook__(kind, error, trace)
        if not isinstance(error, KeyboardInterrupt):
            print(f"\n{line}", file=sys.stderr, flush=True)

    tell_failure(tell, line)
