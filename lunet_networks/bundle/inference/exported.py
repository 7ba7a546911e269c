"""Exported networks: write them, read them and call them like the network itself, also in a bundle."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from lunet_networks.bundle.inference.formats import EXPORT_FILES, FORMATS, INPUT_FACTS, Facts, Run, require_backend
from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.nets.checks import check_input
from lunet_networks.state_dicts import read_state_dict, weights_digest

__all__ = [
    "BundleExport",
    "ExportedNetwork",
    "export_command",
    "export_network",
    "load_exported",
]

logger = logging.getLogger(__name__)


def export_network(network: nn.Module, path: str | Path, backend: str, input_shape: Sequence[int]) -> None:
    """Export a network for another engine.

    The batch size and the spatial sizes stay free. With TensorRT only the batch size does: MONAI's exporter offers no
    more. The file also stores which inputs the network takes and a digest of its weights.

    Args:
        network: with its weights; it is set to evaluation mode, otherwise unchanged.
        path: of the file. OpenVINO writes NAME.xml and NAME.bin beside it.
        backend: "torchscript", "onnx", "openvino" or "tensorrt".
        input_shape: ``(B, C, [D,] H, W)`` of an input that the network takes.

    Raises:
        ValueError: if a package is missing, or the network does not take ``input_shape``.

    Example:
        >>> import tempfile
        >>> from lunet_networks import create_network
        >>> network, path = create_network("lunet_small_1f"), Path(tempfile.mkdtemp(), "model.ts")
        >>> export_network(network, path, "torchscript", (1, 1, 32, 32, 32))
        >>> load_exported(path, "torchscript")(torch.zeros(2, 1, 32, 16, 48)).shape
        torch.Size([2, 1, 32, 16, 48])
    """
    exporters = {name: each.export for name, each in FORMATS.items() if each.export}
    exporter = choose("backend", backend, exporters)
    require_backend(backend, to_export=True)
    network.eval()
    with torch.no_grad():
        network(torch.zeros(tuple(input_shape)).to(next(network.parameters())))
    facts = {name: getattr(network, name) for name in INPUT_FACTS if hasattr(network, name)}
    with _quiet():
        exporter(network, str(path), tuple(input_shape), {**facts, "weights": weights_digest(network)})


class ExportedNetwork(nn.Module):
    """An exported network that is called like the network itself, so it works with MONAI's inferers and evaluators.

    Args:
        run: function from tensor to tensor.
        facts: what the file says about the network: ``weights``, see
            :py:func:`lunet_networks.state_dicts.weights_digest`, and for the networks of this package also
            ``spatial_dims``, ``in_channels`` and ``size_multiple``.

    Shape:
        As for the network itself: input ``(B, C, [D,] H, W)``, logits ``(B, out_channels, [D,] H, W)``.

    Raises:
        ValueError: if the network does not take the input's dimensions, channels or sizes.
    """

    def __init__(self, run: Run, facts: Facts) -> None:
        super().__init__()
        self.facts = facts
        self._run = run
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if all(name in self.facts for name in INPUT_FACTS):
            check_input(x, *(int(self.facts[name]) for name in INPUT_FACTS), normalised="")
        return self._run(x)


def load_exported(path: str | Path, backend: str, device: torch.device | str = "cpu") -> ExportedNetwork:
    """Read a file that :py:func:`export_network` wrote.

    The network computes in float32 with ``torch.get_num_threads()`` threads.

    Args:
        path: of the file.
        backend: the one that the file was written for.
        device: where to compute. OpenVINO always computes on the CPU, TensorRT on the GPU, and ONNX Runtime on the CPU
            unless ``onnxruntime-gpu`` is installed. All of them take tensors on any device and return the result on the
            same device.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a package is missing, or the file cannot be read.
    """
    reader = choose("backend", backend, FORMATS).read
    require_backend(backend)
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no network for {backend} at {path}")
    try:
        with _quiet():
            run, facts = reader(str(path), torch.device(device))
    except Exception as error:  # each engine raises its own types of errors, and few of them name the file
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"{path} cannot be read as a network for {backend} ({reason})") from None
    if "state_dict" in facts:
        facts["weights"] = weights_digest(facts.pop("state_dict"))
    return ExportedNetwork(run, facts)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress messages that are meant for developers of exporters."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)


class BundleExport(nn.Module):
    """The exported network in a bundle's folder of weights. It is called like the network itself.

    Files are only read by :py:meth:`open`, because MONAI constructs all objects of a config to check it.

    Args:
        ckpt_dir: folder of the exported file and of ``model.pt``.
        backend: a key of ``lunet_networks.bundle.inference.exported.EXPORT_FILES``.
        device: where to compute, see :py:func:`lunet_networks.bundle.inference.exported.load_exported`.

    Raises:
        ValueError: if there is no such backend; by :py:meth:`open`, if a package is missing, the file cannot be read,
            or it was not exported from the weights in ``model.pt`` beside it.
        FileNotFoundError: by :py:meth:`open`, if there is no such file.

    Example::

        network = BundleExport("bundles/lunet_small/models", "onnx")
        network.open()
        logits = SlidingWindowInferer(roi_size=(48, 64, 48))(image, network)
    """

    def __init__(self, ckpt_dir: str | Path, backend: str, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.path = as_path(ckpt_dir) / choose("backend", backend, EXPORT_FILES)
        self.backend = backend
        self.device = device
        self.network: ExportedNetwork | None = None

    def open(self) -> None:
        """Read the file."""
        require_backend(self.backend)
        if not self.path.is_file():
            raise FileNotFoundError(
                f"the backend {self.backend} needs {self.path}, which does not exist: create it with {self._command()}"
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
                f"{self.path} was exported from other weights than those in {weights}: "
                f"export it again with {self._command()} --overwrite True"
            )

    def _command(self) -> str:
        """The command that creates the file, to be run in the repository's root."""
        folder = self.path.parent.resolve()
        if folder.name == "models":
            return export_command(self.backend, str(folder.parent))
        return f"{export_command(self.backend)} --ckpt_dir {folder}"


def export_command(backend: str, bundle: str = "BUNDLE") -> str:
    """The command that creates the file of a backend.

    Example:
        >>> export_command("openvino_int8")
        'lunet export BUNDLE --format openvino --quantize int8 --dataset_dir DATASET'
    """
    engine, _, precision = backend.partition("_")
    quantised = f" --quantize {precision} --dataset_dir DATASET" if precision else ""
    return f"lunet export {bundle} --format {engine}{quantised}"
