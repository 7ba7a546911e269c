"""Bundles of the repository with their networks in the files of other engines."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from lunet_networks import create_network
from lunet_networks.bundle.inference.exported import export_network
from lunet_networks.bundle.inference.formats import EXPORT_FILES

ENGINES = ("torchscript", "onnx", "openvino")


def export(bundle: Path, network: nn.Module, input_shape: tuple[int, ...], backends: Sequence[str] = ENGINES) -> None:
    """Write a bundle's network for several engines."""
    for backend in backends:
        export_network(network, bundle / "models" / EXPORT_FILES[backend], backend, input_shape)


def copied(source: Path, target: Path) -> tuple[Path, nn.Module]:
    """A bundle of the repository with its weights, and its network."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("eval", "runs"))
    network = create_network(f"{source.name}_4f", out_channels=3)
    network.load_state_dict(torch.load(target / "models" / "model.pt", weights_only=True))
    return target, network.eval()
