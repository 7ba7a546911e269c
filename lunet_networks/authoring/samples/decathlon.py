"""The hippocampus task of the Medical Segmentation Decathlon: fetched, verified and unpacked, whole or not at all."""

import socket
import tarfile
from pathlib import Path

from monai.apps.datasets import DecathlonDataset
from monai.apps.utils import HashCheckError, download_url

from lunet_networks.authoring.staging import staged_dataset
from lunet_networks.bundle.data.datalist import load_datalist

TASK = "Task04_Hippocampus"
PATIENCE = 60  # seconds; without a limit the command would wait for ever on a server that does not answer


def fetch_hippocampus(output_dir: Path, url: str | None = None, md5: str | None = None) -> None:
    """Put the dataset into ``output_dir``; nothing is there before all of it is.

    Args:
        output_dir: absent or empty.
        url: of another copy of the archive, ``https://``, ``file://`` ...; None: MONAI's.
        md5: of that archive, where it is another one; None: that of MONAI's.

    Raises:
        FileExistsError: when ``output_dir`` is not empty.
        OSError: when the archive cannot be fetched; names the mirror options.
        ValueError: when the archive is not the expected one, or damaged.
    """
    url = url or DecathlonDataset.resource[TASK]
    with staged_dataset(output_dir) as folder:
        archive = folder / f"{TASK}.tar"
        _download(url, archive, md5 or DecathlonDataset.md5[TASK])
        _unpack(archive, folder, url)
        archive.unlink()


def is_complete(dataset_dir: Path) -> bool:
    """Whether the dataset is there with every file that it lists."""
    try:
        load_datalist(dataset_dir, "training")
    except (OSError, ValueError):
        return False
    return True


def _download(url: str, archive: Path, md5: str) -> None:
    socket.setdefaulttimeout(PATIENCE)
    try:
        download_url(url, archive, hash_val=md5, hash_type="md5")
    except HashCheckError:
        raise ValueError(
            f"{url} is another archive than expected, or arrived damaged: its MD5 is not {md5}. "
            "Try again, or give its MD5 with --md5"
        ) from None
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"could not download {url}: {getattr(error, 'reason', None) or error}. Without a connection to it, name a "
            "mirror or a copy of your own with --url https://... or --url file:///..., and its MD5 with --md5 if it is "
            "another archive"
        ) from None
    if not archive.is_file():  # download_url keeps silent about a folder that it may not write to
        raise OSError(f"could not write to {archive.parent}")


def _unpack(archive: Path, folder: Path, url: str) -> None:
    """Unpack the archive's one top folder into ``folder``."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter=_wanted)
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{url} cannot be unpacked: {error}") from None
    found = list(folder.glob("*/dataset.json"))
    if len(found) != 1:
        raise ValueError(
            f"{url} is not a Decathlon archive: it holds {len(found)} folders with a dataset.json instead of one"
        )
    inner = found[0].parent
    load_datalist(inner, "training")  # raises when a file that dataset.json lists is not there
    for path in inner.iterdir():
        path.rename(folder / path.name)
    inner.rmdir()


def _wanted(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Leave out what macOS added to the Decathlon's archives; refuse what would land outside the folder."""
    return None if Path(member.name).name.startswith("._") else tarfile.data_filter(member, folder)
