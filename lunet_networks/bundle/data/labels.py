"""What the names of a dataset's labels say of its label maps and of a network for them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["count_outputs", "label_values"]


def count_outputs(label_names: Sequence[str]) -> int:
    """Channels that a network gives: one for a sigmoid, or one for each label and the background.

    Args:
        label_names: of the foreground labels 1, 2, ...

    Example:
        >>> count_outputs(["tumour"]), count_outputs(["anterior", "posterior"])
        (1, 3)
    """
    return 1 if len(label_names) == 1 else len(label_names) + 1


def label_values(label_names: Sequence[str], ignore_label: int | None = None) -> list[int]:
    """The values that label maps may hold: the background, the labels, and what is ignored.

    Args:
        label_names: of the foreground labels 1, 2, ...
        ignore_label: value of the voxels that nobody has annotated; None: there are none.

    Example:
        >>> label_values(["tumour"]), label_values(["tumour"], ignore_label=2)
        ([0, 1], [0, 1, 2])
    """
    return [*range(len(label_names) + 1), *([] if ignore_label is None else [ignore_label])]
