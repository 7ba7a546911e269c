"""The peak memory of a step, measured in a separate process."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import torch

from lunet_networks.bundle.benchmark.steps import Step
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory

__all__ = ["measure_peak_memory"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RUNS = 2  # from the second training step on, the optimizer's moments are in memory, too


def measure_peak_memory(step: Step, num_threads: int) -> int | None:
    """Peak memory of a step in bytes, weights included, measured in a fresh process.

    On a CPU it is the high-water mark of the process (``VmHWM``) minus its resident memory after Python, PyTorch, MONAI
    and the engine were imported and have computed something small. On a GPU it is ``torch.cuda.max_memory_allocated``.

    Args:
        step: what to measure; it runs twice.
        num_threads: of the process.

    Returns:
        The bytes; None on a CPU unless the system is Linux, as others do not report the high-water mark.

    Raises:
        ChildProcessError: if the process ends before it has measured, most often because memory runs out.

    Example:
        >>> from functools import partial
        >>> from lunet_networks import create_network
        >>> from lunet_networks.bundle.benchmark.steps import Inference
        >>> step = Inference(partial(create_network, "lunet_small_1f"), (1, 1, 64, 64, 64))
        >>> peak = measure_peak_memory(step, num_threads=1)
        >>> peak is None or peak > 64**3 * 4  # at least the output
        True
    """
    if torch.device(step.device).type != "cuda" and not _STATUS.is_file():
        return None
    process = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import _report; _report()"],
        input=pickle.dumps((step, num_threads)),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},  # a packed bundle's package is not installed
        check=False,
    )
    if process.returncode != 0:
        last = process.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        hint = "it was killed, most likely because memory ran out" if process.returncode < 0 else last[0]
        shape = " x ".join(map(str, step.input_shape))
        raise ChildProcessError(
            f"the process that measured the memory of {type(step).__name__} with {shape} ended with status "
            f"{process.returncode} ({hint}): take a smaller shape or batch"
        )
    return int(process.stdout.split()[-1])


def _report() -> None:
    """Measure a step and print the bytes; runs in the fresh process."""
    step, num_threads = pickle.load(sys.stdin.buffer)
    torch.set_num_threads(num_threads)
    keep_freed_memory()  # as the training does
    step.load_engine()
    if torch.device(step.device).type == "cuda":
        _run(step)
        peak = torch.cuda.max_memory_allocated(step.device)
    else:
        gc.collect()
        start = _status("VmRSS")
        _reset_high_water_mark()
        _run(step)
        peak = _status("VmHWM") - start
    print(peak)


def _run(step: Step) -> None:
    run = step.prepare()
    for _ in range(_RUNS):
        run()


def _status(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def _reset_high_water_mark() -> None:
    """Reset the peak, to leave out that of the imports. Some containers forbid this; then the result is only too high
    if the imports took more memory than the step."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return
