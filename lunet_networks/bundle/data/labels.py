"""Number of output channels, values and colours of the label maps, derived from the names of the labels."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LABEL_COLOURS", "count_outputs", "label_values"]

# After Okabe and Ito: colours for all kinds of colour vision, bright enough for a dark image
LABEL_COLOURS = ("#56b4e9", "#f5a623", "#35d0a0", "#f0e442", "#e78ac3", "#ff7f5c", "#b8a6ff", "#c8c8c8")


def count_outputs(label_names: Sequence[str]) -> int:
    """Number of output channels: one (sigmoid) for a single label, otherwise one for each label and the background.

    Args:
        label_names: names of the foreground labels 1, 2, ...

    Example:
        >>> count_outputs(["tumour"]), count_outputs(["anterior", "posterior"])
        (1, 3)
    """
    return 1 if len(label_names) == 1 else len(label_names) + 1


def label_values(label_names: Sequence[str], ignore_label: int | None = None) -> list[int]:
    """The values that label maps may hold: the background, the labels and the ignored value.

    Args:
        label_names: names of the foreground labels 1, 2, ...
        ignore_label: value of voxels without annotation; None: there are none.

    Example:
        >>> label_values(["tumour"]), label_values(["tumour"], ignore_label=2)
        ([0, 1], [0, 1, 2])
    """
    return [*range(len(label_names) + 1), *([] if ignore_label is None else [ignore_label])]
