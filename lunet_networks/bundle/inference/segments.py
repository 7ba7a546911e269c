"""What the labels are called and which colours they have, in the forms that viewers of images read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from lunet_networks.bundle.data.labels import LABEL_COLOURS
from lunet_networks.bundle.runtime.files import as_path

__all__ = [
    "PRIVATE",
    "TISSUE",
    "Code",
    "Segment",
    "default_colour",
    "nifti_labels",
    "read_segments",
    "slicer_table",
    "snap_table",
]

Code = tuple[str, str, str]  # value, scheme, meaning, as DICOM codes a concept
PRIVATE = "99LUNET"  # the scheme of codes that no terminology has
TISSUE: Code = ("85756007", "SCT", "Tissue")
KEY = "segments"  # in metadata.json


@dataclass(frozen=True)
class Segment:
    """A label of a bundle.

    Args:
        value: in label maps.
        name: its name.
        colour: red, green and blue from 0 to 255.
        category: of what it is, from DICOM's context group 7150, such as an anatomical structure.
        kind: what it is, such as the liver.
    """

    value: int
    name: str
    colour: tuple[int, int, int]
    category: Code
    kind: Code


def read_segments(bundle_root: str | Path | None, label_names: Sequence[str]) -> list[Segment]:
    """The labels of a bundle as its metadata.json describes them under ``segments``.

    Args:
        bundle_root: the bundle's folder; None: there is none.
        label_names: names of the labels 1, 2, ...; a label that metadata.json lacks gets a colour of the palette and a
            private code.

    Raises:
        ValueError: if an entry of metadata.json is incomplete.

    Example:
        >>> [segment.colour for segment in read_segments(None, ["tumour"])]
        [(86, 180, 233)]
    """
    path = as_path(bundle_root or ".") / "configs" / "metadata.json"
    told = json.loads(path.read_text(encoding="utf-8")).get(KEY, []) if bundle_root and path.is_file() else []
    entries = {entry.get("name"): entry for entry in told}
    return [_segment(value, name, entries.get(name), path) for value, name in enumerate(label_names, start=1)]


def default_colour(value: int) -> tuple[int, int, int]:
    """The colour of a label where nothing else is told, the same as in the pictures of an evaluation.

    Example:
        >>> default_colour(1)
        (86, 180, 233)
    """
    text = LABEL_COLOURS[(value - 1) % len(LABEL_COLOURS)].lstrip("#")
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)


def _segment(value: int, name: str, entry: dict | None, path: Path) -> Segment:
    if entry is None:
        return Segment(value, name, default_colour(value), TISSUE, (f"label-{value}", PRIVATE, name))
    try:
        red, green, blue = (int(part) for part in entry["color"])
        category, kind = (tuple(map(str, entry[key])) for key in ("category", "type"))
    except (KeyError, TypeError, ValueError):
        red = green = blue = -1
        category = kind = ()
    if not all(0 <= part <= 255 for part in (red, green, blue)) or len(category) != 3 or len(kind) != 3:
        raise ValueError(
            f'{path}: {KEY} of {name} has to hold "color", three numbers from 0 to 255, and "category" and "type", '
            f'each ["value", "scheme", "meaning"], but is {entry}'
        )
    return Segment(value, name, (red, green, blue), category, kind)


def nifti_labels(segments: Sequence[Segment]) -> bytes:
    """The content of a NIfTI header extension with names and colours, the label table of Connectome Workbench.

    TotalSegmentator writes one with ``--ml``, and reads this one.

    Example:
        >>> nifti_labels(read_segments(None, ["tumour"]))[:39]
        b'<CaretExtension><VolumeInformation Inde'
    """
    root = ElementTree.Element("CaretExtension")
    volume = ElementTree.SubElement(root, "VolumeInformation", Index="0")
    table = ElementTree.SubElement(volume, "LabelTable")
    for segment in segments:
        colour = {
            name: f"{part / 255:.6g}" for name, part in zip(("Red", "Green", "Blue"), segment.colour, strict=True)
        }
        ElementTree.SubElement(table, "Label", Key=str(segment.value), **dict(colour), Alpha="1").text = segment.name
    ElementTree.SubElement(volume, "VolumeType").text = "Label"
    return ElementTree.tostring(root, encoding="utf-8")


def slicer_table(segments: Sequence[Segment]) -> str:
    """A colour table of 3D Slicer; it has no spaces within names.

    Example:
        >>> print(slicer_table(read_segments(None, ["left kidney"])), end="")
        # Color table file labels.ctbl
        0 background 0 0 0 0
        1 left_kidney 86 180 233 255
    """
    lines = ["# Color table file labels.ctbl", "0 background 0 0 0 0"]
    for segment in segments:
        lines.append(f"{segment.value} {'_'.join(segment.name.split())} {' '.join(map(str, segment.colour))} 255")
    return "\n".join(lines) + "\n"


def snap_table(segments: Sequence[Segment]) -> str:
    """A label description file of ITK-SNAP.

    Example:
        >>> print(snap_table(read_segments(None, ["left kidney"])).splitlines()[-1])
            1    86  180  233     1  1  1    "left kidney"
    """
    lines = [
        "# ITK-SnAP Label Description File",
        "# index, red, green, blue, opacity, visible, visible as mesh, name",
        '    0     0    0    0     0  0  0    "Clear Label"',
    ]
    for segment in segments:
        red, green, blue = segment.colour
        name = segment.name.replace('"', "'")
        lines.append(f'{segment.value:5}  {red:4} {green:4} {blue:4}     1  1  1    "{name}"')
    return "\n".join(lines) + "\n"
