"""The files of cases: which ones are images, what a case is called, and which files are the channels of one image."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lunet_networks.bundle.data.dicom_series import is_series, series_at

__all__ = [
    "COLOURS",
    "ENDINGS",
    "FIRST_CHANNEL",
    "IMAGE_SUFFIXES",
    "PICTURE_SUFFIXES",
    "Fault",
    "FileFinder",
    "ImagePath",
    "case_name",
    "case_names",
    "channel_fault",
    "file_ending",
    "files_by_case",
    "files_by_name",
    "image_files",
    "image_name",
    "in_order",
    "join_channels",
    "nfc",
    "pair_files",
]

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
ENDINGS = (*IMAGE_SUFFIXES, *PICTURE_SUFFIXES)  # in lower case; files may have them in upper case
COLOURS = 3
NUMBERED = re.compile(r"(.+)_([0-9]{4})", re.DOTALL)  # nnU-Net's number of a channel
FIRST_CHANNEL = "_0000"

ImagePath = str | Sequence[str]  # a sequence if every channel has its own file
Fault = tuple[str, str]  # a file, or several, and what is wrong


def nfc(text: str) -> str:
    """Text in the unicode normal form NFC: some systems, such as macOS, write an accent as a character of its own.

    Example:
        >>> len("e\u0301"), len(nfc("e\u0301"))
        (2, 1)
    """
    return unicodedata.normalize("NFC", text)


def file_ending(path: str | Path) -> str:
    """The ending of an image file as it is written, or nothing if the file has no ending of an image.

    Example:
        >>> file_ending("A.NII.GZ"), file_ending("notes.txt")
        ('.NII.GZ', '')
    """
    name = Path(path).name
    return next((name[-len(ending) :] for ending in ENDINGS if name.lower().endswith(ending)), "")


def image_name(path: str | Path) -> str:
    """The name of an image file without its ending, in the unicode form NFC.

    Example:
        >>> image_name("imagesTr/hippocampus_001.nii.gz"), image_name("A.NII.GZ")
        ('hippocampus_001', 'A')
    """
    name, ending = Path(path).name, file_ending(path)
    bare = name[: -len(ending)] if ending else Path(name.removesuffix(".gz")).stem
    return nfc(bare).encode(errors="replace").decode()  # bytes that are no text could not be written into a table


def case_name(image: ImagePath | Path) -> str:
    """The name of a case: that of its file without the ending, or of its channels' files without their numbers.

    Example:
        >>> case_name("imagesTr/a.nii.gz"), case_name(["imagesTr/b_0000.nii.gz", "imagesTr/b_0001.nii.gz"])
        ('a', 'b')
    """
    if is_series(image):
        return series_at(image).name
    names = [image_name(path) for path in ([image] if isinstance(image, (str, Path)) else image)]
    stem = names[0].removesuffix(FIRST_CHANNEL)
    numbered = [f"{stem}_{number:04d}" for number in range(len(names))]
    return stem if len(names) > 1 and stem and names == numbered else names[0]


def case_names(images: Iterable[ImagePath]) -> list[str]:
    """The names of cases, by which label maps, tables and pictures call them.

    A name is that of the file without its ending. The number of a channel (``_0000``, ``_0001`` ...) is no part of it:
    neither of an image that has a file per channel, nor where the first file of every image ends in ``_0000``, as in
    the datasets of nnU-Net.

    Args:
        images: all images of a dataset or of a folder; for a file per channel the list, or the first of them.

    Example:
        >>> case_names([["a_0000.nii.gz", "a_0001.nii.gz"], "b.nii.gz"])
        ['a', 'b']
        >>> case_names(["a_0000.png", "b_0000.png"]), case_names(["slice_0000.png", "slice_0001.png"])
        (['a', 'b'], ['slice_0000', 'slice_0001'])
    """
    images = list(images)
    if images and all(is_series(image) for image in images):
        return [series_at(image).name for image in images]
    firsts = [image_name(image if isinstance(image, (str, Path)) else image[0]) for image in images]
    if all(name.endswith(FIRST_CHANNEL) and name != FIRST_CHANNEL for name in firsts):
        return [name.removesuffix(FIRST_CHANNEL) for name in firsts]
    return [case_name(image) for image in images]


def image_files(folder: Path, endings: Sequence[str] = ENDINGS) -> list[Path]:
    """What is named like an image in a folder, sorted; folders of such a name too.

    Hidden files are skipped: macOS leaves a ``._NAME.nii.gz`` for each ``NAME.nii.gz``.

    Args:
        folder: none if it does not exist.
        endings: of the files that are meant, in lower case.
    """
    if not folder.is_dir():
        return []
    named = (path for path in folder.iterdir() if file_ending(path).lower() in endings)
    return sorted((path for path in named if not path.name.startswith(".")), key=lambda path: (nfc(path.name), path))


def files_by_name(
    folder: Path, place: str, endings: Sequence[str] = ENDINGS, prefix: str = ""
) -> tuple[dict[str, str], list[str]]:
    """The image files in a place of a dataset, with paths relative to the dataset's folder.

    Args:
        folder: of the dataset.
        place: a folder in it, such as imagesTr.
        endings: of the files that are meant, in lower case.
        prefix: that the names of the files have; it is left out.

    Returns:
        The paths by name, in order, and a fault for each file that cannot be told from another one.

    Example::

        images, faults = files_by_name(Path("Task04"), "imagesTr")
        images["hippocampus_001"]  # ./imagesTr/hippocampus_001.nii.gz
    """
    found: dict[str, str] = {}
    faults = []
    for path in image_files(folder / place, endings):
        if not path.name.startswith(prefix):
            continue
        relative = f"./{path.relative_to(folder).as_posix()}"
        name = image_name(path.name[len(prefix) :])
        if path.is_dir():
            faults.append(f"{relative} is a folder, not an image: put the file that it holds in its place")
        elif name in found:
            alike = " (in two unicode forms)" if nfc(found[name]) == nfc(relative) else ""
            faults.append(f"{found[name]} and {relative} are both case {name}{alike}: keep one")
        else:
            found[name] = relative
    return found, faults


def join_channels(files: Mapping[str, str], count: int | None = None) -> tuple[dict[str, ImagePath], dict[str, str]]:
    """Join the files ``NAME_0000``, ``NAME_0001`` ... to one image; a file without such a number stays as it is.

    Args:
        files: paths by name.
        count: number of files per image; None: any number without gaps.

    Returns:
        Images by name, and by name what is wrong with the incomplete ones.

    Example:
        >>> join_channels({"a_0000": "a_0000.nii", "a_0001": "a_0001.nii", "b_0000": "b_0000.nii"}, count=2)
        ({'a': ['a_0000.nii', 'a_0001.nii']}, {'b': 'b_0000.nii has no 0001 beside it: case b needs 0000, 0001'})
    """
    joined: dict[str, ImagePath] = {}
    faults: dict[str, str] = {}
    for case, channels in files_by_case(files).items():
        if fault := channel_fault(case, channels, count):
            faults[case] = f"{', '.join(channels.values())} {fault}"
        else:
            joined[case] = in_order(channels)
    return joined, faults


def files_by_case(files: Mapping[str, str]) -> dict[str, dict[int | None, str]]:
    """Paths by case and by number of the channel, in order; None is the number of a file without one.

    Example:
        >>> files_by_case({"a_0000": "a_0000.nii", "a_0001": "a_0001.nii", "b": "b.nii"})
        {'a': {0: 'a_0000.nii', 1: 'a_0001.nii'}, 'b': {None: 'b.nii'}}
    """
    cases: dict[str, dict[int | None, str]] = defaultdict(dict)
    for name, path in files.items():
        match = NUMBERED.fullmatch(name)
        cases[match[1] if match else name][int(match[2]) if match else None] = path
    return dict(cases)


def channel_fault(case: str, channels: Mapping[int | None, str], count: int | None) -> str | None:
    """What is wrong with the numbers of a case's channels, see :py:func:`join_channels`."""
    numbers = sorted(number for number in channels if number is not None)
    if not numbers:
        return None
    if None in channels:
        return f"are all case {case}: keep the file without a number, or those with one"
    wanted = range(numbers[-1] + 1 if count is None else count)
    needs = f"case {case} needs {_listed(wanted)}"
    if missing := [number for number in wanted if number not in channels]:
        has, beside = ("has", "it") if len(numbers) == 1 else ("have", "them")
        return f"{has} no {_listed(missing)} beside {beside}: {needs}"
    return f"are too many: {needs}" if len(numbers) > len(wanted) else None


def in_order(channels: Mapping[int | None, str]) -> ImagePath:
    """The path of a case's only file, or the paths of its channels."""
    if len(channels) == 1:
        return next(iter(channels.values()))
    return [channels[number] for number in range(len(channels))]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(f"{number:04d}" for number in numbers[:6]) + (", ..." if len(numbers) > 6 else "")


def pair_files(
    images: Mapping[str, ImagePath], labels: Mapping[str, str]
) -> tuple[list[dict[str, ImagePath]], list[str]]:
    """The cases of images and labels of the same name, and a fault for each file without a partner.

    Example:
        >>> pair_files({"a": "images/a.nii", "b": "images/b.nii"}, {"a": "labels/a.nii"})
        ([{'image': 'images/a.nii', 'label': 'labels/a.nii'}], ['images/b.nii has no label'])
    """
    faults = []
    for name in sorted(images.keys() ^ labels.keys()):
        if name in images:
            image = images[name]
            faults.append(f"{image} has no label" if isinstance(image, str) else f"{', '.join(image)} have no label")
        else:
            faults.append(f"{labels[name]} has no image")
    return [{"image": images[name], "label": labels[name]} for name in images if name in labels], faults


class FileFinder:
    """Finds files that a list names in another way than the disk.

    Example::

        finder = FileFinder()
        finder.find("imagesTr/a.nii.gz")  # "imagesTr/a.nii.gz", or None
        finder.find_image("imagesTr/a.nii.gz")  # ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"]
    """

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, list[Path]]] = {}  # what a folder holds, by the name in NFC

    def find(self, path: str | Path) -> str | None:
        """A file of this path, or else the one whose path differs only in its unicode form.

        Raises:
            ValueError: if there are several such files.
        """
        path = Path(path)
        if os.path.isfile(path):  # unlike Path.is_file, it does not raise for a name that is too long
            return str(path)
        if str(path).isascii():
            return None
        found = Path(path.anchor)
        for part in path.relative_to(path.anchor).parts:
            alike = [found / part] if os.path.exists(found / part) else self._entries(found).get(nfc(part), [])
            if len(alike) > 1:
                raise ValueError(f"{path} may be {' or '.join(map(ascii, map(str, alike)))}: keep one of them")
            if not alike:
                return None
            found = alike[0]
        return str(found) if os.path.isfile(found) else None

    def find_image(self, path: str | Path) -> ImagePath | None:
        """The file of an image, or else the files of its channels: nnU-Net's first version lists ``NAME.nii.gz`` and
        stores ``NAME_0000.nii.gz`` ...
        """
        if found := self.find(path):
            return found
        path, ending = Path(path), file_ending(path)
        if not ending:
            return None
        stem, channels = path.name[: -len(ending)], []
        while file := self.find(path.with_name(f"{stem}_{len(channels):04d}{ending}")):
            channels.append(file)
        return (channels if len(channels) > 1 else channels[0]) if channels else None

    def _entries(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            entries: dict[str, list[Path]] = defaultdict(list)
            for entry in folder.iterdir() if folder.is_dir() else []:
                entries[nfc(entry.name)].append(entry)
            self._listed[folder] = dict(entries)
        return self._listed[folder]
