"""What a dataset is like, in figures: the facts from which a bundle for it is planned, in a file and in a few lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from lunet_networks.authoring.planning.intensities import (
    ChannelIntensities,
)
from lunet_networks.bundle.runtime.files import write_atomically


@dataclass(frozen=True)
class CaseFingerprint:
    """One case.

    Args:
        name: of its image file without suffixes, and without the channel's number where each channel has a file.
        shape: in voxels along the patient's axes RAS (RA in 2D), as ``Orientationd`` gives it.
        spacing: in mm along the same axes.
        orientation: of the file's own axes, such as "LPS"; "" for pictures (PNG, JPG, TIFF), which have no such axes.
        label_volumes: in mm3 (mm2 in 2D) by label, 0.0 where it is absent.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    orientation: str
    label_volumes: dict[str, float]


@dataclass(frozen=True)
class Fingerprint:
    """A dataset.

    Args:
        name: from dataset.json, otherwise that of the folder.
        description: from dataset.json, "" where it says nothing; so are the next two.
        reference: where the data are from.
        licence: of the data.
        spatial_dims: 2 or 3.
        modalities: of each channel, "unknown" where dataset.json says nothing.
        label_names: of the foreground labels 1, 2 ...; the ignore label is not among them.
        ignore_label: its value, or None.
        num_training: cases listed for training.
        num_validation: cases listed for validation; 0 where folds are made of the training cases.
        num_test: cases listed as test cases, with or without labels. They are not read.
        cases: the training cases, sorted by image, and the validation cases.
        intensities: of each channel.
    """

    name: str
    description: str
    reference: str
    licence: str
    spatial_dims: int
    modalities: tuple[str, ...]
    label_names: tuple[str, ...]
    ignore_label: int | None
    num_training: int
    num_validation: int
    num_test: int
    cases: tuple[CaseFingerprint, ...]
    intensities: tuple[ChannelIntensities, ...]

    @property
    def in_channels(self) -> int:
        """Channels of every image."""
        return len(self.modalities)

    @property
    def of_pictures(self) -> bool:
        """Whether every image is a PNG, JPG or TIFF."""
        return not any(case.orientation for case in self.cases)

    @property
    def median_shape(self) -> tuple[float, ...]:
        """Median number of voxels along each axis."""
        return self.shape_percentile(50)

    @property
    def median_spacing(self) -> tuple[float, ...]:
        """Median spacing in mm along each axis."""
        return self.spacing_percentile(50)

    def shape_percentile(self, percentile: float) -> tuple[float, ...]:
        """A percentile of the voxels along each axis; 0 gives the smallest side of any case, 100 the largest."""
        return tuple(np.percentile([case.shape for case in self.cases], percentile, axis=0).tolist())

    def spacing_percentile(self, percentile: float) -> tuple[float, ...]:
        """A percentile of the spacing in mm along each axis."""
        return tuple(np.percentile([case.spacing for case in self.cases], percentile, axis=0).tolist())

    def volumes(self, label: str) -> list[float]:
        """Volumes of one label in the cases that contain it, in mm3 (mm2 in 2D)."""
        return [case.label_volumes[label] for case in self.cases if case.label_volumes[label]]


def write_fingerprint(fingerprint: Fingerprint, path: str | Path) -> None:
    """Write a fingerprint as JSON, a line for each case.

    Example::

        write_fingerprint(fingerprint_dataset("data/phantom"), "bundles/phantom/fingerprint.json")
    """
    lines = []
    for field, value in asdict(fingerprint).items():
        if field in ("cases", "intensities"):
            listed = ",\n".join(f"  {json.dumps(item)}" for item in value)
            lines.append(f" {json.dumps(field)}: [\n{listed}\n ]")
        else:
            lines.append(f" {json.dumps(field)}: {json.dumps(value)}")
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read_fingerprint(path: str | Path) -> Fingerprint:
    """Read what ``write_fingerprint`` wrote.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a fingerprint, or was written by another version of this tool.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        content["cases"] = tuple(_from_json(CaseFingerprint, case) for case in content["cases"])
        content["intensities"] = tuple(_from_json(ChannelIntensities, channel) for channel in content["intensities"])
        return _from_json(Fingerprint, content)
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{path} is not a fingerprint: write one with lunet fingerprint DATASET_DIR") from None


def _from_json(kind: type, content: Mapping[str, Any]) -> Any:
    if content.keys() != {field.name for field in fields(kind)}:
        raise ValueError("other fields")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})


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
