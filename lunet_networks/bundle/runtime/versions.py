"""Versions: those that figures were measured with, and the one that a bundle was packed with."""

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
    """Versions of Python, of this package and of those that compute; None for those that are not installed."""
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
    """Refuse to run a bundle on another version of this package than the one that was packed into it.

    Python imports a package once: where another bundle, or an installation, was first, its version stays for as long as
    the process lives.

    Args:
        version: that the bundle was packed with.

    Raises:
        ImportError: if another one is imported; says where from, and what to do.

    Example:
        >>> require_version(lunet_networks.__version__)
        >>> require_version("0.0.1")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ImportError: this bundle was packed with lunet_networks 0.0.1, but ... of ... is imported already: ...
    """
    if lunet_networks.__version__ != version:
        folder = Path(lunet_networks.__file__).parent
        raise ImportError(
            f"this bundle was packed with lunet_networks {version}, but {lunet_networks.__version__} of {folder} is "
            "imported already: run the bundle in a process of its own, in its own folder, or take that other one away"
        )
