"""The exported networks that stand in a bundle beside the weights which they were made of."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from lunet_networks.bundle.backends import EXPORT_FILES, ExportedNetwork, load_exported, require_backend, weights_digest
from lunet_networks.bundle.choices import choose
from lunet_networks.state_dicts import read_state_dict

__all__ = ["BundleExport", "eager_only", "export_command"]

logger = logging.getLogger(__name__)


class BundleExport(nn.Module):
    """The exported network in a bundle's folder of weights, called like the network itself.

    Nothing is read before :py:meth:`open`: MONAI constructs all of a config to check it.

    Args:
        ckpt_dir: folder of the exported file and of ``model.pt``.
        backend: a key of ``lunet_networks.bundle.backends.EXPORT_FILES``.
        device: where to compute, see :py:func:`lunet_networks.bundle.backends.load_exported`.

    Raises:
        ValueError: if there is no such backend; when it is opened, if a package is missing, the file cannot be read,
            or ``model.pt`` stands beside it with other weights than it was made of.
        FileNotFoundError: when it is opened, if there is no such file.

    Example::

        network = BundleExport("bundles/lunet_small/models", "onnx")
        network.open()
        logits = SlidingWindowInferer(roi_size=(48, 64, 48))(image, network)
    """

    def __init__(self, ckpt_dir: str | Path, backend: str, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.path = Path(str(ckpt_dir), choose("backend", backend, EXPORT_FILES))
        self.backend = backend
        self.device = device
        self.network: ExportedNetwork | None = None

    def open(self) -> None:
        """Read the file."""
        require_backend(self.backend)
        if not self.path.is_file():
            raise FileNotFoundError(
                f"there is no {self.path}, which the backend {self.backend} runs: {self._command()} makes it"
            )
        self.network = load_exported(self.path, self.backend, self.device)
        self._check_weights(self.network.facts.get("weights"))
        logger.info("network and weights of %s", self.path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.network is None:
            self.open()
        return self.network(x)

    def _check_weights(self, digest: str | None) -> None:
        weights = self.path.with_name("model.pt")
        if digest is not None and weights.is_file() and digest != weights_digest(read_state_dict(weights)):
            raise ValueError(
                f"{self.path} was made of other weights than {weights} holds: "
                f"{self._command()} --overwrite True makes it anew"
            )

    def _command(self) -> str:
        """What makes the file, to be given in the repository's root."""
        folder = self.path.parent.resolve()
        if folder.name == "models":
            return export_command(self.backend, str(folder.parent))
        return f"{export_command(self.backend)} --ckpt_dir {folder}"


def export_command(backend: str, bundle: str = "BUNDLE") -> str:
    """The command that makes the file of a backend.

    Example:
        >>> export_command("openvino_int8")
        'python -m tools.export_bundle BUNDLE --format openvino --quantize int8 --dataset_dir DATASET'
    """
    engine, _, precision = backend.partition("_")
    quantised = f" --quantize {precision} --dataset_dir DATASET" if precision else ""
    return f"python -m tools.export_bundle {bundle} --format {engine}{quantised}"


def eager_only(backend: str) -> str:
    """The backend of an ensemble, which changes the weights of a network.

    Raises:
        ValueError: if it is another one.

    Example:
        >>> eager_only("onnx")
        Traceback (most recent call last):
        ValueError: backend is 'onnx': an ensemble is computed by eager alone, an exported network keeps its weights
    """
    if backend != "eager":
        raise ValueError(
            f"backend is {backend!r}: an ensemble is computed by eager alone, an exported network keeps its weights"
        )
    return backend
