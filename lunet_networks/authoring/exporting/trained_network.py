"""The network of a bundle with its trained weights, and the difference between it and its exports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lunet_networks import PRESETS
from lunet_networks.authoring.checking.bundle import INFERENCE, Bundle
from lunet_networks.authoring.packaging.models import torchscript_bytes
from lunet_networks.bundle.inference.exported import export_network, load_exported
from lunet_networks.bundle.inference.formats import EXPORT_FILES
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.bundle.training.weights import load_weights

TOLERANCE = 1e-4  # of the largest logit: sums of a few thousand float32 products in another order


@dataclass(frozen=True)
class TrainedNetwork:
    """The network of a bundle's inference.json.

    Args:
        network: with its weights, in evaluation.
        ckpt_dir: folder that they come from.
        roi_size: window of the inference, in voxels.
        in_channels: of its input.
    """

    network: nn.Module
    ckpt_dir: Path
    roi_size: tuple[int, ...]
    in_channels: int


def trained_network(bundle: Bundle, preset: str | None, ckpt_dir: Path | None) -> TrainedNetwork:
    """Build the network of inference.json and load its weights.

    Args:
        bundle: has configs/inference.json.
        preset: instead of the bundle's own.
        ckpt_dir: folder of model.pt; None: the bundle's models, or models/PRESET where that is there.

    Raises:
        FileNotFoundError, ValueError: if the config, the preset or the weights do not exist, or do not fit each other.
    """
    if INFERENCE not in bundle.runnable:
        raise FileNotFoundError(
            f"{bundle.root / INFERENCE} is not there or cannot be read: name the folder of a bundle"
        )
    parser = bundle.parser(INFERENCE)
    models = bundle.root / "models"
    if preset is not None:
        if "preset" not in parser:
            raise ValueError(
                f"--preset {preset}: leave it out, the configs of this bundle name a class instead of a preset"
            )
        parser["preset"] = preset
        models = models / preset if preset in PRESETS.names and (models / preset).is_dir() else models
    try:
        network = parser.get_parsed_content("network_def")
        roi_size, in_channels = (parser.get_parsed_content(name) for name in ("roi_size", "in_channels"))
    except Exception as error:  # MONAI wraps whatever a config raises
        raise ValueError(f"{bundle.root / INFERENCE}: {root_cause(error)}") from error
    folder = models if ckpt_dir is None else ckpt_dir
    load_weights(network, folder / "model.pt")
    return TrainedNetwork(network.eval(), folder, tuple(roi_size), in_channels)


def export_checked(source: Bundle, trained: TrainedNetwork, folder: Path, backend: str) -> float:
    """Export a network, run the file on three shapes of input and print its difference from PyTorch on each.

    Args:
        source: the bundle.
        trained: its network.
        folder: to write to.
        backend: to export for.

    Returns:
        The largest difference, as a share of the largest logit.

    Raises:
        ValueError: if the difference is more than rounding.
    """
    path, shape = folder / EXPORT_FILES[backend], (1, trained.in_channels, *trained.roi_size)
    if backend == "torchscript":  # as in a package: with metadata.json and inference.json inside
        content = torchscript_bytes(trained.network, list(shape), source.metadata or {}, source.configs[INFERENCE])
        path.write_bytes(content)
    else:
        export_network(trained.network, path, backend, shape)
    worst = try_export(trained, path, backend)
    if not worst <= TOLERANCE:
        raise ValueError(
            f"the network for {backend} differs from PyTorch's by {worst:.1e} of the largest logit, more than "
            f"{TOLERANCE:.0e}: nothing is written"
        )
    return worst


def try_export(trained: TrainedNetwork, path: Path, backend: str) -> float:
    """Run an exported file on three shapes of input and print its difference from PyTorch on each.

    Args:
        trained: what was exported.
        path: of the file.
        backend: that it was exported for.

    Returns:
        The largest difference of all, as a share of the largest logit of its input.

    Raises:
        ValueError: if the file cannot be read, or its logits have another shape.
    """
    exported = load_exported(path, backend, next(trained.network.parameters()).device)
    shares = []
    for shape in trial_shapes(trained, spatial_sizes_are_free=backend != "tensorrt"):
        difference, share = largest_difference(trained.network, exported, shape)
        shares.append(share)
        of_largest = f"{difference:.1e}, {share:.1e} of the largest"
        print(f"{backend}: {' x '.join(map(str, shape))}: logits differ from PyTorch's by at most {of_largest}")
    return max(shares)


def trial_shapes(trained: TrainedNetwork, spatial_sizes_are_free: bool) -> list[tuple[int, ...]]:
    """Three shapes of input on which an export is tried: that of the inference, and two with unequal sides, one of them
    in a batch of two; where only the batch is free, batches of one, two and four.
    """
    roi, channels = trained.roi_size, trained.in_channels
    if not spatial_sizes_are_free:
        return [(batch, channels, *roi) for batch in (1, 2, 4)]
    multiple, dims = trained.network.size_multiple, len(roi)
    return [
        (1, channels, *roi),
        (2, channels, *(multiple * factor for factor in (2, 3, 4)[:dims])),
        (1, channels, *(multiple * factor for factor in (5, 1, 2)[:dims])),
    ]


def largest_difference(
    network: nn.Module, other: Callable[[torch.Tensor], torch.Tensor], shape: Sequence[int]
) -> tuple[float, float]:
    """The largest difference of two networks' logits for an image of noise, and the same as a share of the largest.

    Example:
        >>> network = nn.Conv2d(1, 1, 1)
        >>> largest_difference(network, torch.jit.script(network), (1, 1, 4, 6))
        (0.0, 0.0)
    """
    image = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(next(network.parameters()))
    with torch.no_grad():
        logits, others = network(image), other(image)
    if logits.shape != others.shape:
        raise ValueError(f"an image {list(shape)} gives logits {list(others.shape)}, not {list(logits.shape)}")
    difference = float((logits - others).abs().max())
    return difference, difference / max(float(logits.abs().max()), 1e-6)
