"""A bundle in a zip, opened for its checks."""

import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lunet_networks.authoring.checking.bundle import METADATA, Bundle, Fault
from lunet_networks.authoring.checking.files import large_files

RELEASE = re.compile(r"(?P<name>\w+)_v(?P<version>\d+\.\d+\.\d+)")


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """The unzipped folder of a bundle. Large files that lie beside the zip, as they were packed, are put into it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a zip with one folder.
    """
    if not archive.is_file():
        raise FileNotFoundError(f"{archive} is not there: name the folder or the zip of a bundle")
    if not zipfile.is_zipfile(archive):
        raise ValueError(f"{archive} is not a zip: name the folder or the zip of a bundle")
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archive) as content:
        if content.testzip() is not None:
            raise ValueError(f"{archive} is damaged: {content.testzip()} has another checksum than when it was packed")
        names = [name for name in content.namelist() if not name.endswith("/")]
        folders = {name.partition("/")[0] if "/" in name else "" for name in names}
        if len(folders) != 1 or folders & {"", ".."}:
            raise ValueError(f"{archive} holds {len(folders)} folders: zip the one folder of the bundle")
        content.extractall(scratch)
        folder = Path(scratch, *folders)
        for item in large_files(Bundle(folder)):
            beside = archive.with_name(item["url"].rpartition("/")[2])
            if beside.is_file() and not (folder / item["path"]).exists():
                (folder / item["path"]).parent.mkdir(parents=True, exist_ok=True)
                (folder / item["path"]).write_bytes(beside.read_bytes())
        yield folder


def check_release(archive: Path, folder: Path) -> Iterator[Fault]:
    """The zip has the name and the version of the bundle in it."""
    match = RELEASE.fullmatch(archive.stem)
    bundle = Bundle(folder)
    version = (bundle.metadata or {}).get("version")
    if match is None or match["name"] != folder.name or match["version"] != version:
        cure = f"name it {folder.name}_v{version}.zip"
        yield Fault(".", archive.name, f"is not named after the folder in it and the version in {METADATA}", cure)
