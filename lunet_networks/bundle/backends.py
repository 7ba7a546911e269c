"""Trained networks in other engines' hands: written in their format, read back, called like the network.

The engines are imported where they are used: who needs none of them needs none installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from lunet_networks.bundle.choices import choose
from lunet_networks.bundle.engines import EXPORTERS, INPUT_FACTS, READERS, Facts, Run
from lunet_networks.nets.checks import check_input

__all__ = [
    "BACKENDS",
    "EXPORT_FILES",
    "ExportedNetwork",
    "export_network",
    "load_exported",
    "require_backend",
    "weights_digest",
]

BACKENDS = ("eager", "torchscript", "onnx", "openvino", *(["tensorrt"] if torch.cuda.is_available() else []))
EXPORT_FILES = {  # by backend; none ends in .pt, all of which MONAI Label takes for weights of the bundle's network
    "torchscript": "model.ts",
    "onnx": "model.onnx",
    "openvino": "model.xml",  # and model.bin
    "openvino_int8": "model_int8.xml",  # and model_int8.bin
    "tensorrt": "model_trt.ts",
}
_TO_RUN = {
    "eager": (),
    "torchscript": (),
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
    "openvino_int8": ("openvino",),
    "tensorrt": ("torch_tensorrt",),
}
_TO_EXPORT = {
    "onnx": ("onnx", "onnxscript"),
    "openvino": ("onnx", "onnxscript"),
    "openvino_int8": ("onnx", "onnxscript", "nncf"),
}


def require_backend(backend: str, to_export: bool = False) -> None:
    """Raise ValueError, which says what to install, unless a backend can be used here.

    Args:
        backend: "eager" or a key of ``EXPORT_FILES``.
        to_export: whether a network shall be exported for it as well, which takes more packages than running it.

    Example:
        >>> require_backend("eager")
        >>> require_backend("caffe")
        Traceback (most recent call last):
        ValueError: backend is 'caffe': it is one of eager, torchscript, onnx, openvino, openvino_int8, tensorrt
    """
    needed = choose("backend", backend, _TO_RUN) + (_TO_EXPORT.get(backend, ()) if to_export else ())
    missing = [name.replace("_", "-") for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        all_of_them = "" if backend == "tensorrt" else ', or all of them: pip install "lunet-networks[export]"'
        raise ValueError(
            f"the backend {backend} needs what is not installed here: pip install {' '.join(missing)}{all_of_them}"
        )
    if backend == "tensorrt" and not torch.cuda.is_available():
        raise ValueError("the backend tensorrt needs an NVIDIA GPU, and PyTorch sees none here")


def export_network(network: nn.Module, path: str | Path, backend: str, input_shape: Sequence[int]) -> None:
    """Write a network for another engine.

    Batch and spatial sizes stay free; with TensorRT the batch alone does, which is all that MONAI's exporter offers.
    The file tells which inputs the network takes and which weights it has.

    Args:
        network: with its weights; set to evaluation, otherwise unchanged.
        path: of the file; for OpenVINO NAME.xml, with NAME.bin beside it.
        backend: "torchscript", "onnx", "openvino" or "tensorrt".
        input_shape: ``(B, C, [D,] H, W)`` of an input that the network takes.

    Raises:
        ValueError: if a package is missing, or ``input_shape`` is none that the network takes.

    Example:
        >>> import tempfile
        >>> from lunet_networks import create_network
        >>> network, path = create_network("lunet_small_1f"), Path(tempfile.mkdtemp(), "model.ts")
        >>> export_network(network, path, "torchscript", (1, 1, 32, 32, 32))
        >>> load_exported(path, "torchscript")(torch.zeros(2, 1, 32, 16, 48)).shape
        torch.Size([2, 1, 32, 16, 48])
    """
    exporter = choose("backend", backend, EXPORTERS)
    require_backend(backend, to_export=True)
    network.eval()
    with torch.no_grad():
        network(torch.zeros(tuple(input_shape)).to(next(network.parameters())))
    facts = {name: getattr(network, name) for name in INPUT_FACTS if hasattr(network, name)}
    with _quiet():
        exporter(network, str(path), tuple(input_shape), {**facts, "weights": weights_digest(network)})


def weights_digest(network: nn.Module | Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a network's weights, or of a state dict: the same on every device and in every memory format.

    Example:
        >>> layer = nn.Conv2d(2, 2, 3)
        >>> weights_digest(layer) == weights_digest(layer.to(memory_format=torch.channels_last).state_dict())
        True
    """
    digest = hashlib.sha256()
    for name, tensor in sorted((network.state_dict() if isinstance(network, nn.Module) else network).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class ExportedNetwork(nn.Module):
    """An exported network that is called like the network itself, so that MONAI's inferers and evaluators take it.

    Args:
        run: takes and gives tensors.
        facts: what the file tells of the network: ``weights``, see :py:func:`weights_digest`, and for the networks of
            this package ``spatial_dims``, ``in_channels``, ``size_multiple``.

    Shape:
        Those of the network: input ``(B, C, [D,] H, W)``, logits ``(B, out_channels, [D,] H, W)``.

    Raises:
        ValueError: if the input has other dimensions, channels or sizes than the network takes.
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
    """Read what :py:func:`export_network` wrote. It computes in float32 with ``torch.get_num_threads()`` threads.

    Args:
        path: of the file.
        backend: that it was written for.
        device: where to compute. Whatever the device, OpenVINO computes on the CPU, TensorRT on the GPU, and ONNX
            Runtime on the CPU unless it is ``onnxruntime-gpu``. All take tensors of any device and give theirs back
            on the same.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a package is missing, or the file cannot be read.
    """
    reader = choose("backend", backend, READERS)
    require_backend(backend)
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no network for {backend} at {path}")
    try:
        with _quiet():
            run, facts = reader(str(path), torch.device(device))
    except Exception as error:  # each engine has kinds of its own, and few say which file it is about
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"{path} cannot be read as a network for {backend} ({reason})") from None
    if "state_dict" in facts:
        facts["weights"] = weights_digest(facts.pop("state_dict"))
    return ExportedNetwork(run, facts)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without notices that are meant for those who write exporters."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
