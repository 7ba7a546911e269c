"""torchvision's ImageNet weights of MobileNetV3-Large, from which an LV-UNet may start: fetched whole or not at all."""

import re
import socket
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

from torch.hub import download_url_to_file

from lunet_networks.authoring.samples.decathlon import PATIENCE
from lunet_networks.nets.mobilenet_v3 import load_imagenet_weights, mobilenet_v3_large

URL = "https://download.pytorch.org/models/mobilenet_v3_large-8738ca79.pth"  # those that LV-UNet was published with
NAME = re.compile(r"mobilenet_v3_large-([0-9a-f]{8})\.pth")  # as torchvision names it, by how its SHA-256 begins


def fetch_imagenet_weights(output_dir: Path, url: str | None = None) -> Path:
    """Put the file into a folder, under its own name; one that is there already is left alone.

    Args:
        output_dir: made if need be.
        url: of another copy, ``https://``, ``file://`` ..., or of torchvision's newer weights; None: torchvision's.

    Returns:
        The file.

    Raises:
        OSError: when it cannot be fetched; names the mirror option.
        ValueError: when it is not what its name says, or another model's.
    """
    url = url or URL
    name = Path(unquote(urlparse(url).path)).name
    known = NAME.fullmatch(name)
    if known is None:
        raise ValueError(
            f"--url {url}: the file has to be named mobilenet_v3_large-HASH.pth, HASH being how its SHA-256 begins"
        )
    path = output_dir / name
    if path.is_file():
        return path
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=output_dir) as scratch:
        fetched = Path(scratch, name)
        _download(url, fetched, known[1])
        load_imagenet_weights(mobilenet_v3_large(), fetched)
        fetched.rename(path)
    return path


def _download(url: str, path: Path, sha256_start: str) -> None:
    socket.setdefaulttimeout(PATIENCE)
    try:
        download_url_to_file(url, str(path), hash_prefix=sha256_start, progress=False)
    except RuntimeError:
        raise ValueError(
            f"{url} is another file, or arrived damaged: its SHA-256 does not begin with {sha256_start}"
        ) from None
    except OSError as error:
        raise OSError(
            f"could not download {url}: {getattr(error, 'reason', None) or error}. Without a connection to it, name a "
            "mirror or a copy of your own with --url https://... or --url file:///..."
        ) from None
