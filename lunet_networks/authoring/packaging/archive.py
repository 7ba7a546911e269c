"""The zip of a bundle, the same bytes for the same files, and the files that are too large to be in it."""

import hashlib
import io
import zipfile
from collections.abc import Mapping

import yaml

from lunet_networks.authoring.checking.files import LARGE_BYTES, LARGE_FILES

FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of zip files
READABLE = 0o100644 << 16
UNIX = 3


def zip_bytes(name: str, files: Mapping[str, bytes]) -> bytes:
    """A zip of files in a folder; order, times and permissions are always the same.

    Args:
        name: of the folder.
        files: by path in it.

    Example:
        >>> zip_bytes("a", {"x": b"1", "y": b"2"}) == zip_bytes("a", {"y": b"2", "x": b"1"})
        True
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            member = zipfile.ZipInfo(f"{name}/{path}", FIRST_DAY)
            member.external_attr, member.create_system = READABLE, UNIX
            archive.writestr(member, files[path], zipfile.ZIP_DEFLATED, 9)
    return content.getvalue()


def take_large_files(
    files: Mapping[str, bytes], prefix: str, base_url: str | None
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Take the files that are too large for the model zoo out of a bundle, and list them in it.

    Args:
        files: by path in the bundle.
        prefix: of the names under which they are uploaded.
        base_url: address that they are uploaded to.

    Returns:
        The other files with the list, and the large files by the name under which they are uploaded.

    Raises:
        ValueError: if there are any and ``base_url`` is None.
    """
    large = {path: content for path, content in files.items() if len(content) > LARGE_BYTES}
    if not large:
        return dict(files), {}
    if base_url is None:
        sizes = ", ".join(f"{path} ({len(content) / 1e6:.0f} MB)" for path, content in large.items())
        raise ValueError(
            f"{sizes}: larger than the 25 MB that the model zoo takes; give --base_url, the address that you will "
            "upload to, such as https://host/folder"
        )
    names = {path: f"{prefix}_{path.replace('/', '_')}" for path in large}
    listed = [
        {
            "path": path,
            "url": f"{base_url.rstrip('/')}/{names[path]}",
            "hash_val": hashlib.sha256(content).hexdigest(),
            "hash_type": "sha256",
        }
        for path, content in large.items()
    ]
    rest = {path: content for path, content in files.items() if path not in large}
    rest[LARGE_FILES[0]] = yaml.safe_dump({"large_files": listed}, sort_keys=False).encode()
    return rest, {names[path]: content for path, content in large.items()}
