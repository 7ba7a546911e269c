"""DICOM series: found in folders, files and zips, told apart, ordered by position, and refused where that fails.

A series is named ``PLACE#UID``: the folder, file or zip where it is, and its SeriesInstanceUID.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.utils import orientation_ras_lps
from monai.utils import optional_import

__all__ = ["DicomSeries", "find_series", "holds_dicom", "is_series", "series_at", "series_table"]

MARK, MARK_AT = b"DICM", 128  # what every DICOM file holds, and where
Dataset = Any  # pydicom.Dataset
NAMED = re.compile(r"(.+)#([0-9.]+)", re.DOTALL)
DICOMDIR = "1.2.840.10008.1.3.10"  # the list of a medium's files
NO_IMAGES = {"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "DOC", "REG"}  # modalities of other objects
ORIENTATION_TOLERANCE = 1e-3  # of direction cosines
STEP_TOLERANCE, LEAST_TOLERANCE = 0.02, 0.05  # of the distance between slices: a share of it, and mm
TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    "Modality", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PixelSpacing", "ImagerPixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber", "SliceThickness",
)  # fmt: skip
NEEDED = 'DICOM needs packages that are not installed: pip install "lunet-networks[dicom]"'


@dataclass(frozen=True)
class DicomSeries:
    """A series of DICOM images.

    Args:
        path: its name, ``PLACE#UID``.
        name: of its case: modality, number of the series and a digest of its UID, nothing of the patient.
        headers: of its slices, in order of their positions.
        files: of its slices: a path, and within a zip the name of a member.
        affine: from voxels ``(column, row, slice)`` to mm, in RAS; None if the series has faults or several frames.
        fault: why it cannot be used, or "".
    """

    path: str
    name: str
    headers: tuple[Dataset, ...]
    files: tuple[tuple[str, str], ...]
    affine: np.ndarray | None
    fault: str

    def read(self, number: int, **options: Any) -> Dataset:
        """One of its files, whole or as the options of ``pydicom.dcmread`` tell."""
        return _read(self.files[number], **options)


def is_series(path: object) -> bool:
    """Whether a path names a DICOM series.

    Example:
        >>> is_series("dicom#1.2.3"), is_series("ct.nii.gz")
        (True, False)
    """
    return isinstance(path, (str, Path)) and NAMED.fullmatch(str(path)) is not None


def holds_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or a zip or a folder holds a file that is. Their endings do not count."""
    return next(_dicom_files(path), None) is not None


def find_series(path: str | Path) -> list[DicomSeries]:
    """The series in a folder and the folders below it, in a file, or in a zip, in the order of their names.

    Raises:
        ValueError: if pydicom is not installed.

    Example::

        [series.name for series in find_series("dicom")]  # ['ct_3_1f0c88a2', 'ct_4_9be01d77']
    """
    if find_spec("pydicom") is None:
        raise ValueError(NEEDED)
    return list(_found(str(path), _state(Path(path))))


def series_at(path: str | Path) -> DicomSeries:
    """A series by its name ``PLACE#UID``.

    Raises:
        FileNotFoundError: if it is not there.
    """
    place, uid = NAMED.fullmatch(str(path)).groups()
    for series in find_series(place) if os.path.exists(place) else []:
        if series.path == f"{place}#{uid}":
            return series
    raise FileNotFoundError(f"there is no DICOM series {uid} in {place}")


def series_table(series: Sequence[DicomSeries]) -> str:
    """A table that tells which series each case is, by its UIDs and without the patient's name."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("case", "study_uid", "series_uid", "modality", "series_number", "description", "files"))
    for each in series:
        header = each.headers[0]
        tags = ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription")
        table.writerow((each.name, *(str(header.get(tag, "")) for tag in tags), len(each.files)))
    return text.getvalue()


def _state(path: Path) -> tuple[int, ...]:
    """What changes when the files of a place do, so that a place is read once as long as it stays as it is."""
    return (path.stat().st_mtime_ns, sum(1 for _ in path.rglob("*")) if path.is_dir() else path.stat().st_size)


@lru_cache(maxsize=8)
def _found(place: str, state: tuple[int, ...]) -> tuple[DicomSeries, ...]:
    parts: dict[str, list[tuple[Dataset, tuple[str, str]]]] = {}
    broken = []
    for file in _dicom_files(Path(place)):
        try:
            header = _header(file)
        except Exception as error:  # pydicom raises many kinds of errors for a damaged file
            fault = f"cannot be read as DICOM ({str(error).splitlines()[0] or type(error).__name__})"
            broken.append(DicomSeries(f"{file[0]}#0", _name(file), (), (file,), None, fault))
            continue
        if header is not None:
            parts.setdefault(str(header.SeriesInstanceUID), []).append((header, file))
    series = [*broken, *(_series(place, uid, slices) for uid, slices in parts.items())]
    return tuple(sorted(series, key=lambda each: (each.name, each.path)))


def _dicom_files(path: Path) -> Iterator[tuple[str, str]]:
    """The DICOM files in a place, as a path and the name of a member of a zip."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                yield from _dicom_files(file) if file.suffix.lower() == ".zip" else _if_dicom(file)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.namelist()):
                with archive.open(member) as content:
                    if content.read(MARK_AT + len(MARK))[MARK_AT:] == MARK:
                        yield str(path), member
    else:
        yield from _if_dicom(path)


def _if_dicom(path: Path) -> Iterator[tuple[str, str]]:
    with open(path, "rb") as content:
        if content.read(MARK_AT + len(MARK))[MARK_AT:] == MARK:
            yield str(path), ""


def _read(file: tuple[str, str], **options: Any) -> Dataset:
    pydicom, _ = optional_import("pydicom")
    path, member = file
    if not member:
        return pydicom.dcmread(path, **options)
    with zipfile.ZipFile(path) as archive:
        return pydicom.dcmread(io.BytesIO(archive.read(member)), **options)


def _header(file: tuple[str, str]) -> Dataset | None:
    """The header of an image; None for other objects, such as reports and segmentations."""
    header = _read(file, stop_before_pixels=True, specific_tags=list(TAGS))
    if "SOPClassUID" not in header and header.file_meta.get("MediaStorageSOPClassUID") != DICOMDIR:
        raise ValueError("it ends before its header does")
    is_image = "Rows" in header and "SeriesInstanceUID" in header and header.get("Modality") not in NO_IMAGES
    return header if is_image else None


def _series(place: str, uid: str, slices: list[tuple[Dataset, tuple[str, str]]]) -> DicomSeries:
    headers, files = zip(*sorted(slices, key=lambda part: _place_of(part[0])), strict=True)
    first = headers[0]
    digest = hashlib.sha256(uid.encode()).hexdigest()[:8]
    name = f"{str(first.get('Modality', '') or 'dicom').lower()}_{first.get('SeriesNumber', None) or 0}_{digest}"
    fault, affine = _fault(headers, files), None
    if not fault and not _has_frames(first):
        affine = _affine(headers)
    return DicomSeries(f"{place}#{uid}", name, headers, files, affine, fault)


def _has_frames(header: Dataset) -> bool:
    return int(header.get("NumberOfFrames", None) or 1) > 1


def _normal(header: Dataset) -> np.ndarray:
    directions = np.array(header.ImageOrientationPatient, float)
    return np.cross(directions[:3], directions[3:])


def _place_of(header: Dataset) -> tuple[float, int]:
    """Where a slice lies along the normal of its plane, then its number."""
    placed = header.get("ImagePositionPatient") and header.get("ImageOrientationPatient")
    along = float(np.dot(_normal(header), np.array(header.ImagePositionPatient, float))) if placed else 0.0
    return along, int(header.get("InstanceNumber", None) or 0)


def _fault(headers: Sequence[Dataset], files: Sequence[tuple[str, str]]) -> str:
    """Why the slices make no volume, with the file where it shows."""
    first = headers[0]
    if any(int(header.get("SamplesPerPixel", 1) or 1) != 1 for header in headers):
        return "is in colour: only grey images can be read from DICOM"
    if len(headers) == 1:
        return ""
    if _has_frames(first):
        return f"has {len(headers)} files of several frames each: name one of them"
    for header, file in zip(headers, files, strict=True):
        if not (header.get("ImagePositionPatient") and header.get("ImageOrientationPatient")):
            return f"has no position of its slices: {_name(file)} lacks ImagePositionPatient or ImageOrientationPatient"
        turned = np.abs(np.subtract(header.ImageOrientationPatient, first.ImageOrientationPatient).astype(float)).max()
        if turned > ORIENTATION_TOLERANCE:
            return (
                f"mixes orientations: {_name(file)} lies otherwise than {_name(files[0])}, as in a localizer; "
                "keep the slices of one orientation"
            )
        if (header.Rows, header.Columns) != (first.Rows, first.Columns):
            here, there = (f"{each.Columns} x {each.Rows}" for each in (header, first))
            return f"mixes sizes: {_name(file)} is {here} pixels, others {there}"
        if not np.allclose(_spacing(header), _spacing(first), rtol=1e-3):
            return f"mixes pixel spacings: {_name(file)} has {list(_spacing(header))}, others {list(_spacing(first))}"
    return _gap(headers, files)


def _gap(headers: Sequence[Dataset], files: Sequence[tuple[str, str]]) -> str:
    positions = np.array([header.ImagePositionPatient for header in headers], float)
    steps = np.diff(positions, axis=0)
    along = steps @ _normal(headers[0])
    usual = float(np.median(along))
    tolerance = max(STEP_TOLERANCE * usual, LEAST_TOLERANCE)
    if along.min() <= LEAST_TOLERANCE / 10:
        number = int(along.argmin())
        return (
            f"has two slices at one position, {_name(files[number])} and {_name(files[number + 1])}, as several echoes "
            "or times have: put each volume into a folder of its own as a series of its own"
        )
    for number in np.flatnonzero(np.abs(along - usual) > tolerance):
        between = f"{_name(files[number])} and {_name(files[number + 1])}"
        return f"has a gap: {between} lie {along[number]:.3g} mm apart, other slices {usual:.3g} mm; slices are missing"
    shift = np.linalg.norm(steps - np.median(steps, axis=0), axis=1)
    if shift.max() > tolerance:
        return f"has slices beside the line of the others, from {_name(files[int(shift.argmax()) + 1])} on"
    return ""


def _name(file: tuple[str, str]) -> str:
    return file[1] or Path(file[0]).name


def _spacing(header: Dataset) -> tuple[float, float]:
    """Distance of rows, then of columns, in mm."""
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or (1.0, 1.0)
    return float(spacing[0]), float(spacing[1])


def _affine(headers: Sequence[Dataset]) -> np.ndarray:
    first, last = headers[0], headers[-1]
    rows, columns = _spacing(first)
    affine = np.eye(4)
    directions = np.array(first.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0), float)
    start = np.array(first.get("ImagePositionPatient") or (0, 0, 0), float)
    affine[:3, 0], affine[:3, 1] = directions[:3] * columns, directions[3:] * rows
    if len(headers) > 1:
        affine[:3, 2] = (np.array(last.ImagePositionPatient, float) - start) / (len(headers) - 1)
    else:
        thickness = float(first.get("SliceThickness", None) or rows)
        affine[:3, 2] = np.cross(directions[:3], directions[3:]) * thickness
    affine[:3, 3] = start
    return orientation_ras_lps(affine)
