"""State dicts in files, and what tells two of them apart."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

__all__ = ["of_federation", "read_state_dict", "weights_digest"]


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the state dict in a file without running any code from it.

    Args:
        path: of a file that ``torch.save(network.state_dict(), path)`` wrote, or NVIDIA FLARE, whose global model holds
            the state dict under ``model``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds anything else, such as a pickled module.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "model.pt")
        >>> torch.save(torch.nn.Linear(2, 1).state_dict(), path)
        >>> list(read_state_dict(path))
        ['weight', 'bias']
    """
    right = "a state dict is needed, as torch.save(network.state_dict(), path) writes it"
    if not Path(path).is_file():
        raise FileNotFoundError(f"there are no weights at {path}: {right}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path} holds pickled objects, such as a whole module, and is refused: {right}") from None
    except Exception as error:  # for truncated files or texts torch raises many kinds of errors
        raise ValueError(f"{path} cannot be read ({error!r}): {right}") from None
    content = of_federation(content)
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no plain state dict: {right}")
    return dict(content)


def of_federation(content: Any) -> Any:
    """The state dict in a global model of NVIDIA FLARE; anything else as it is.

    Example:
        >>> of_federation({"model": {"weight": 1}, "train_conf": None}), of_federation({"weight": 1})
        ({'weight': 1}, {'weight': 1})
    """
    held = content.get("model") if isinstance(content, Mapping) else None
    return held if isinstance(held, Mapping) else content


def weights_digest(network: torch.nn.Module | Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the weights of a network or a state dict. It does not depend on the device or the memory format.

    Example:
        >>> layer = torch.nn.Conv2d(2, 2, 3)
        >>> weights_digest(layer) == weights_digest(layer.to(memory_format=torch.channels_last).state_dict())
        True
    """
    digest = hashlib.sha256()
    for name, tensor in sorted((network.state_dict() if isinstance(network, torch.nn.Module) else network).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
