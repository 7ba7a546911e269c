"""The output of a training that another one replaces: it waits in a hidden folder until the new one has a checkpoint.

At every moment a process may be killed; the next start then finds one of these states:

- ``.replaced.moving``: outputs are on their way to ``.replaced`` or back. No new training has written anything, so all
  of them go back.
- ``.replaced`` and a checkpoint beside it: the new training has replaced the older one, whose rest is deleted.
- ``.replaced`` without a checkpoint: the new training has ended too early, and the older output goes back.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from lunet_networks.bundle.runtime import outputs

__all__ = ["MOVING", "REPLACED", "bring_back", "discard_replaced", "set_aside"]

REPLACED = ".replaced"
MOVING = ".replaced.moving"
logger = logging.getLogger(__name__)


def set_aside(output_dir: Path, paths: Iterable[Path]) -> None:
    """Move the output of an older training out of the way of a new one.

    Args:
        output_dir: folder of the training.
        paths: of its output.
    """
    moving = output_dir / MOVING
    moving.mkdir()
    for path in paths:
        path.rename(moving / path.name)
    moving.rename(output_dir / REPLACED)


def discard_replaced(output_dir: Path) -> None:
    """Delete the older output, because the new training has replaced it."""
    if (output_dir / REPLACED).is_dir():
        shutil.rmtree(output_dir / REPLACED)


def bring_back(output_dir: Path, present: Callable[[], Iterable[Path]]) -> None:
    """Move the older output back, if there is one and the new training has no checkpoint.

    Args:
        output_dir: folder of the training.
        present: lists what lies there of the new training, which is deleted.
    """
    replaced, moving = output_dir / REPLACED, output_dir / MOVING
    if replaced.is_dir():
        if (output_dir / outputs.CHECKPOINT).is_file():
            discard_replaced(output_dir)
            return
        for path in present():
            _delete(path)
        replaced.rename(moving)
    if moving.is_dir():
        for path in list(moving.iterdir()):
            path.rename(output_dir / path.name)
        moving.rmdir()
        logger.info(f"the new training in {output_dir} ended before its first epoch was saved: the older one is back")


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
