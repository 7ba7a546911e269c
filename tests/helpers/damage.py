"""Small image files in every format, random damage to them, and what plain readers read in a file."""

import gzip
import io
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
from PIL import Image, ImageOps

SHAPES = {2: (24, 20), 3: (14, 12, 10)}
KINDS = ("header bytes", "truncated", "bits of a stream", "bits of voxels", "another file", "empty")
WRONG_VALUES = (None, True, 7, -1, 3.5, 10**30, "", "text", [], [1, 2], {}, {"a": 1}, [[]], float("nan"))


@dataclass(frozen=True)
class Format:
    """A file format for images of some dimensions.

    Args:
        ending: of the file's name.
        dims: 2 or 3.
        packed: whether the voxels are a compressed stream.
    """

    ending: str
    dims: int
    packed: bool = False

    @property
    def is_picture(self) -> bool:
        return self.ending in (".png", ".jpg", ".tif")

    def __str__(self) -> str:
        return f"{self.ending} {self.dims}D{' packed' if self.packed and self.ending in ('.nrrd', '.tif') else ''}"


FORMATS = (
    *(Format(".nii", dims) for dims in (2, 3)),
    *(Format(".nii.gz", dims, packed=True) for dims in (2, 3)),
    *(Format(".nrrd", dims, packed) for dims in (2, 3) for packed in (False, True)),
    Format(".png", 2, packed=True),
    Format(".jpg", 2, packed=True),
    *(Format(".tif", 2, packed) for packed in (False, True)),
)


def make_voxels(form: Format, is_label: bool, random: np.random.Generator) -> np.ndarray:
    """A noisy image with a bright block, or a label map of two labels."""
    mask = np.zeros(SHAPES[form.dims], np.uint8)
    mask[3:9, 4:10] = 1
    mask[5:8, 6:9] = 2
    if is_label:
        return mask
    dtype = np.uint8 if form.is_picture else (np.uint8, np.int16, np.float32)[random.integers(3)]
    return (40 + 60 * mask + random.normal(0, 5, mask.shape)).astype(dtype)


def write_image(path: Path, voxels: np.ndarray, form: Format) -> None:
    """Write voxels of 1 mm in a format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if form.is_picture:
        settings = {".jpg": {"quality": 95}, ".tif": {"compression": "tiff_adobe_deflate" if form.packed else None}}
        Image.fromarray(voxels.T).save(path, **settings.get(form.ending, {}))
    elif form.ending == ".nrrd":
        space = {"space": "left-posterior-superior", "space directions": np.eye(3), "space origin": [5.0, -7.0, 9.0]}
        header = space if form.dims == 3 else {"spacings": [1.0, 1.0]}
        nrrd.write(str(path), voxels, {**header, "encoding": "gzip" if form.packed else "raw"})
    else:
        affine = np.diag([-1.0, -1.0, 1.0, 1.0])
        affine[:3, 3] = [5, -7, 9]
        image = nib.Nifti1Image(voxels, affine)
        image.set_qform(affine, code=1)
        image.set_sform(affine, code=1)
        nib.save(image, path)


def damaged(kind: str, content: bytes, form: Format, others: list[bytes], random: np.random.Generator) -> bytes:
    """The content of a file with one kind of damage.

    Args:
        kind: one of ``KINDS``.
        content: of the whole file.
        form: its format.
        others: contents of files of another kind, for "another file".
        random: where and how it is damaged.
    """
    if kind == "empty":
        return b""
    if kind == "truncated":
        return content[: random.integers(1, len(content))]
    if kind == "another file":
        return others[random.integers(len(others))]
    if kind == "header bytes" and form.ending == ".nii.gz":  # below the checksum of the stream
        return gzip.compress(_overwritten(gzip.decompress(content), 352, random), mtime=0)
    body = _body(content, form.ending)
    if kind == "header bytes":
        return _overwritten(content, body, random)
    return _flipped(content, body, random)


def _body(content: bytes, ending: str) -> int:
    """Where the header ends; 0 for a file that is one stream."""
    match ending:
        case ".nii":
            return 352
        case ".nrrd":
            return content.index(b"\n\n") + 2
        case ".png":
            return content.index(b"IDAT") + 4
        case ".jpg":
            return content.index(b"\xff\xda") + 14  # behind the marker of the scan and its table
        case ".tif":
            return Image.open(io.BytesIO(content)).tag_v2[273][0]  # offset of the first strip
    return 0


def _overwritten(content: bytes, stop: int, random: np.random.Generator) -> bytes:
    """One to four bytes of the first ones replaced by others."""
    changed = bytearray(content)
    for place in random.integers(0, stop, random.integers(1, 5)):
        changed[place] = random.integers(256)
    return bytes(changed)


def _flipped(content: bytes, start: int, random: np.random.Generator) -> bytes:
    """One to eight bits flipped behind the start."""
    changed = bytearray(content)
    for place in random.integers(start, len(content), random.integers(1, 9)):
        changed[place] ^= 1 << random.integers(8)
    return bytes(changed)


def foreign_contents(folder: Path) -> list[bytes]:
    """Contents of every format, text, JSON, noise, and gzip files of something else."""
    random, contents = np.random.default_rng(0), []
    for number, form in enumerate(FORMATS):
        path = folder / f"{number}{form.ending}"
        write_image(path, make_voxels(form, False, random), form)
        contents.append(path.read_bytes())
    text = b"This is not an image.\n" * 40
    picture = next(content for content in contents if content.startswith(b"\x89PNG"))
    archives = [gzip.compress(other, mtime=0) for other in (text, picture)]
    return [*contents, text, *archives, b'{"a": 1}', random.bytes(999)]


def damaged_json(content: str, random: np.random.Generator) -> bytes:
    """A JSON file with wrong types, or with damage to its text."""
    match random.integers(8):
        case 0:
            return _flipped(content.encode(), 0, random)
        case 1:
            return content.encode()[: random.integers(len(content))]
        case 2:
            texts = [b"", b"null", b"7", b'"text"', b"[]", b"[" * 100_000, content.encode("utf-16")]
            return texts[random.integers(len(texts))]
        case _:
            parsed = json.loads(content)
            for _ in range(random.integers(1, 3)):
                _change_one(parsed, random)
            return json.dumps(parsed).encode()


def _change_one(parsed: Any, random: np.random.Generator) -> None:
    """Replace or remove one value anywhere in lists and dictionaries."""
    place = parsed
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[random.integers(len(keys))]
        deeper = isinstance(place[key], (dict, list)) and len(place[key]) > 0
        if not deeper or random.random() < 0.4:
            break
        place = place[key]
    if random.random() < 0.2:
        del place[key]
    else:
        place[key] = WRONG_VALUES[random.integers(len(WRONG_VALUES))]


def plain_copy(path: Path, folder: Path) -> Path:
    """Write what plain readers (nibabel, pynrrd, Pillow) read in a file to a new file, with its geometry.

    Streams are decompressed to the end by Python's own gzip and zlib first, so that every checksum is compared.

    Returns:
        The path of the copy, of the same name but perhaps with another ending.

    Raises:
        Exception: of many kinds, if a plain reader cannot read the file or a checksum is wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = path.name.partition(".")[0]
    if path.name.endswith((".nii", ".nii.gz")):
        copy, content = folder / f"{name}.nii", path.read_bytes()
        copy.write_bytes(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
        image = nib.load(copy)
        voxels = np.array(image.dataobj)
        if voxels.dtype.kind not in "buif":
            raise ValueError(f"voxels of the type {voxels.dtype}")
        plain = nib.Nifti1Image(voxels.astype(np.float64), image.affine)
        plain.header["xyzt_units"] = image.header["xyzt_units"]
        nib.save(plain, copy)
        return copy
    if path.suffix == ".nrrd":
        voxels, header = nrrd.read(str(path))
        if header["encoding"] in ("gzip", "gz"):
            gzip.decompress(path.read_bytes().split(b"\n\n", 1)[1])
        kept = ("space", "space directions", "space origin", "space units", "spacings", "kinds")
        fields = {key: header[key] for key in kept if key in header}
        nrrd.write(str(folder / path.name), voxels, {**fields, "encoding": "raw"})
        return folder / path.name
    _check_png(path.read_bytes())
    with Image.open(path) as picture:
        if picture.format == "TIFF" and picture.tag_v2.get(259) == 8:  # deflated
            for start, count in zip(picture.tag_v2[273], picture.tag_v2[279], strict=True):  # of the strips
                zlib.decompress(path.read_bytes()[start : start + count])
        picture.load()
        upright = ImageOps.exif_transpose(picture)
    copy = folder / f"{name}{'.png' if upright.mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16') else '.tif'}"
    upright.save(copy)
    return copy


def _check_png(content: bytes) -> None:
    """Compare the checksums of a PNG, which Pillow does not for its pixels."""
    if not content.startswith(b"\x89PNG"):
        return
    place, stream = 8, b""
    while content[place + 4 : place + 8] != b"IEND":  # which holds nothing
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        chunk, checksum = content[place + 8 : place + 8 + length], content[place + 8 + length : place + 12 + length]
        if struct.pack(">I", zlib.crc32(kind + chunk)) != checksum:
            raise ValueError(f"wrong checksum of the chunk {kind!r}")
        stream += chunk if kind == b"IDAT" else b""
        place += 12 + length
    zlib.decompress(stream)
