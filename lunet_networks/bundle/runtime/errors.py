"""Error messages: an error of a run is one line that says what to do."""

from __future__ import annotations

import dis
import logging
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType

import torch

from lunet_networks.bundle.runtime.distributed import tell_failure

__all__ = ["root_cause", "shortened_list", "show_root_cause", "stop_if_asked", "tell_if_stopped"]

PACKAGE = Path(__file__).parents[2]
SHOW_TRACEBACK = "LUNET_TRACEBACK"  # environment variable
FAULTS = (
    "AssertionError",
    "AttributeError",
    "IndexError",
    "KeyError",
)  # even if this package raises them
WORKER_ENDED = "DataLoader worker (pid"  # begins the message of torch
OF_2D = "axcodes "  # MONAI warns when it turns a 2D image back, as files have three axes
STOPPED = 130  # exit status after Ctrl-C, as shells have it
TOO_LITTLE_MEMORY = "use a smaller batch_size, roi_size or sw_batch_size, or a lower cache_rate"
# What workers of a data loader send instead of an error: its traceback as text, the first cause first.
OF_WORKER = re.compile(r"Caught \w+ in DataLoader worker process \d+\.\s+Original Traceback")
CAUSED = re.compile(r"\n\n(?:The above exception|During handling of the above exception)")
ERROR_IN_TEXT = re.compile(r"^(?:\w+\.)*(?P<kind>\w+): (?P<message>.*)\Z", re.MULTILINE | re.DOTALL)

_where_stopped: Callable[[], str] | None = None
_ctrl_c = False  # whether it was pressed: workers of a data loader end, too, and their end may be noticed first


def show_root_cause() -> None:
    """Print one line that says what is wrong, for every error that ends the process from now on.

    Otherwise MONAI's wrapping of errors would fill the screen. The traceback is shown if the environment variable
    ``LUNET_TRACEBACK`` is 1, and for errors that have no message of this package: they may be faults of it. A log file,
    if logging.conf has one, gets it in any case. Ctrl-C is no error: the line says how far the run has come.

    Warnings that are not for users, such as those about coming versions of packages, are no longer shown, unless Python
    was asked to show warnings.
    """
    sys.excepthook = _show
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _interrupt)
    if not sys.warnoptions:
        for category in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", message=OF_2D)


def tell_if_stopped(where: Callable[[], str] | None) -> None:
    """Set what is said if the user stops the run with Ctrl-C: how far it has come, and how to go on.

    Args:
        where: returns the text; None: nothing is known.
    """
    global _where_stopped
    _where_stopped = where


def stop_if_asked() -> None:
    """End the run if Ctrl-C was pressed at a moment in which Python could not raise an error, such as that of a fork.

    Raises:
        KeyboardInterrupt: in this case.
    """
    if _ctrl_c:
        raise KeyboardInterrupt


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


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _ctrl_c
    _ctrl_c = True
    signal.default_int_handler(number, frame)


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    apart = "\n" if sys.stderr.isatty() else ""  # from a progress bar
    if isinstance(error, KeyboardInterrupt) or (_ctrl_c and WORKER_ENDED in str(root_cause(error))):
        line = "stopped" if _where_stopped is None else _where_stopped()
        tell_failure(lambda: print(f"{apart}{line}", file=sys.stderr, flush=True), line)
        raise SystemExit(STOPPED)  # otherwise Python ends with status 1 after another excepthook than its own
    message, for_users = _message(error)
    line = f"error: {message}"
    _to_log_files(error)

    def tell() -> None:
        if not for_users or os.environ.get(SHOW_TRACEBACK) == "1":
            sys.__excepthook__(kind, error, trace)
        print(f"{apart}{line}", file=sys.stderr, flush=True)

    tell_failure(tell, line)


def _message(error: BaseException) -> tuple[str, bool]:
    """What to say of an error, and whether that is all that a user needs to know."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    for cause in reversed(causes):
        message = _message_for_users(cause)
        if message:
            return message, True
    found = OF_WORKER.match(str(causes[-1]))
    kind, text = _of_worker(str(causes[-1]))[:2] if found else (type(causes[-1]).__name__, str(causes[-1]).strip())
    return f"{kind}: {text}".rstrip(": "), False


def _message_for_users(cause: BaseException) -> str:
    """The message of an error that users can do something about; "" for others, which may be faults of this package."""
    text = str(cause).strip()
    first_line = text.partition("\n")[0].rstrip(".")
    if OF_WORKER.match(text):
        kind, message, ours = _of_worker(text)
        return message if ours and kind not in FAULTS else ""
    if isinstance(cause, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in text:
        return f"there is too little memory: {TOO_LITTLE_MEMORY} ({first_line or 'MemoryError'})"
    if text.startswith("stack expects each tensor to be equal size"):
        return f"the cases of a batch differ in shape ({first_line}): roi_size has to be one whole number per axis"
    if text.startswith(WORKER_ENDED):
        return f"{first_line}: probably there is too little memory; {TOO_LITTLE_MEMORY}, or num_workers 0"
    if isinstance(cause, ModuleNotFoundError) and cause.name:
        return f'the package {cause.name} is missing: pip install "lunet-networks[bundle]", or {cause.name}'
    if isinstance(cause, OSError) and cause.strerror:
        return f"{cause.filename}: {cause.strerror}" if cause.filename else cause.strerror
    ours = isinstance(cause, OSError) or (_raised_here(cause) and type(cause).__name__ not in FAULTS)
    return text if ours else ""


def _of_worker(text: str) -> tuple[str, str, bool]:
    """Kind and message of the error in a worker, and whether a ``raise`` of this package raised it."""
    first, *_ = CAUSED.split(text)
    place = first.rpartition('  File "')[2]
    found = ERROR_IN_TEXT.search(place)
    if found is None:
        return "RuntimeError", text, False
    return found["kind"], found["message"].strip(), place.startswith(str(PACKAGE)) and "\n    raise " in place


def _raised_here(error: BaseException) -> bool:
    """Whether a ``raise`` of this package raised the error, so that its message is one for users."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return Path(code.co_filename).is_relative_to(PACKAGE) and code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _to_log_files(error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    record = logging.makeLogRecord({"levelno": logging.ERROR, "levelname": "ERROR", "msg": "%s", "args": (text,)})
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
