"""A fingerprint in a few lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tools.fingerprint import Fingerprint


def summarise(fingerprint: Fingerprint) -> str:
    """A line each for cases, channels, labels, shapes, spacing, orientation and intensities, and warnings.

    Example::

        print(summarise(read_fingerprint("fingerprint.json")))
    """
    sections = ((fingerprint.num_training, "training"), (fingerprint.num_validation, "validation"))
    lines = [
        f"{fingerprint.name}, {fingerprint.spatial_dims}D: "
        + ", ".join(f"{number} {section}" for number, section in (*sections, (fingerprint.num_test, "test")) if number)
        + " cases",
        f"channels {fingerprint.in_channels}: {', '.join(fingerprint.modalities)}",
        *(f"label {label}: {_volumes(fingerprint, label)}" for label in fingerprint.label_names),
        *([] if fingerprint.ignore_label is None else [f"ignored: voxels labelled {fingerprint.ignore_label}"]),
        f"shape {_span(fingerprint.shape_percentile)} voxels",
        f"spacing {_span(fingerprint.spacing_percentile)} mm",
        f"orientation of the files: {orientations(fingerprint)}",
    ]
    for number, (modality, channel) in enumerate(zip(fingerprint.modalities, fingerprint.intensities, strict=True)):
        lines.append(
            f"intensity in the foreground, channel {number} ({modality}): "
            f"mean {channel.mean:.4g}, std {channel.std:.4g}, 0.5 % below {channel.percentile_00_5:.4g}, "
            f"median {channel.median:.4g}, 0.5 % above {channel.percentile_99_5:.4g}; "
            f"{channel.zero_share:.0%} of an image is exactly 0"
        )
    for label in fingerprint.label_names:
        if not fingerprint.volumes(label):
            lines.append(f"warning: no case holds the label {label}, so a network cannot learn it")
    return "\n".join(lines)


def orientations(fingerprint: Fingerprint) -> str:
    """The orientations of the files, with the number of cases where there are several.

    Example::

        orientations(read_fingerprint("fingerprint.json"))  # "RAS" or "RAS (12), LPS (3)"
    """
    counts = Counter(case.orientation for case in fingerprint.cases).most_common()
    named = [(codes or "none, being pictures", count) for codes, count in counts]
    return named[0][0] if len(named) == 1 else ", ".join(f"{codes} ({count})" for codes, count in named)


def _volumes(fingerprint: Fingerprint, label: str) -> str:
    volumes, cases = fingerprint.volumes(label), len(fingerprint.cases)
    if not volumes:
        return "in no case"
    where = "in every case" if len(volumes) == cases else f"absent in {cases - len(volumes)} of {cases} cases"
    unit = "pixels" if fingerprint.of_pictures else f"mm{fingerprint.spatial_dims}"
    return f"median {np.median(volumes):,.5g} {unit} ({min(volumes):,.5g} to {max(volumes):,.5g}), {where}"


def _span(percentile: Callable[[float], Sequence[float]]) -> str:
    least, median, most = (by_axis(percentile(share)) for share in (0, 50, 100))
    return least if least == most else f"{least} to {most}, median {median}"


def by_axis(numbers: Iterable[float]) -> str:
    """Numbers of voxels, or mm, along the axes.

    Example:
        >>> by_axis([0.8, 0.8, 4.0])
        '0.8 x 0.8 x 4'
    """
    return " x ".join(f"{number:.5g}" for number in numbers)
