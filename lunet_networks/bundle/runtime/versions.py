"""Versions of the packages that figures were measured with, and the version that a bundle was packed with."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import monai
import torch

import lunet_networks

__all__ = ["describe_versions", "require_version"]

ENGINES = ("onnxruntime", "openvino")


def describe_versions() -> dict[str, str | None]:
    """Versions of Python, this package, torch, monai and the inference engines; None if an engine is not installed."""
    return {
        "python": platform.python_version(),
        "lunet_networks": lunet_networks.__version__,
        "torch": torch.__version__,
        "monai": monai.__version__,
        **{name: _installed(name) for name in ENGINES},
    }


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def require_version(version: str) -> None:
    """Refuse to run a bundle with a version of this package other than the one packed into it.

    Python imports a package only once: if another bundle or an installation was imported first, its version stays until
    the process ends.

    Args:
        version: the version that the bundle was packed with.

    Raises:
        ImportError: if another version is imported; the message says from where, and what to do.

    Example:
        >>> require_version(lunet_networks.__version__)
        >>> require_version("0.0.1")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ImportError: this bundle was packed with lunet_networks 0.0.1, but ... from ... is already imported: ...
    """
    if lunet_networks.__version__ != version:
        folder = Path(lunet_networks.__file__).parent
        raise ImportError(
            f"this bundle was packed with lunet_networks {version}, but {lunet_networks.__version__} from {folder} is "
            "already imported: run the bundle in a new process, in its own folder, or remove the other version"
        )
