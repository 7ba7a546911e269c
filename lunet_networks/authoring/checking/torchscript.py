"""Whether a bundle's TorchScript computes what its state dict does, and holds no path of the machine it was made on."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from lunet_networks.authoring.checking.bundle import INFERENCE, METADATA, Bundle, Fault
from lunet_networks.authoring.checking.networks import make_network
from lunet_networks.bundle.training.weights import load_weights

TORCHSCRIPT, STATE_DICT = "models/model.ts", "models/model.pt"
PATHS_OF_SOURCES = ".debug_pkl"
SOURCE = re.compile(rb"(?:/|[A-Z]:\\)[\w./\\-]+\.py")
TOLERANCE = 1e-4  # of the largest logit
EXPORT = "export it again from models/model.pt: lunet export BUNDLE --format torchscript --overwrite True"


def check_torchscript(bundle: Bundle) -> Iterator[Fault]:
    """model.ts loads without any package, holds configs but no path, and gives the logits of the network."""
    if TORCHSCRIPT not in bundle.files:
        return
    path = bundle.root / TORCHSCRIPT
    try:
        scripted = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        yield Fault(TORCHSCRIPT, "", f"cannot be loaded ({str(error).strip().splitlines()[0]})", EXPORT)
        return
    if place := _path_in(path):
        yield Fault(TORCHSCRIPT, "", f"holds {place}, a path of the machine that it was made on", EXPORT)
    if missing := _missing_configs(path):
        what = f"has no {' and no '.join(missing)} inside, where MONAI and MONAI Deploy look for them"
        yield Fault(TORCHSCRIPT, "", what, EXPORT)
    network = make_network(bundle) if STATE_DICT in bundle.files and INFERENCE in bundle.runnable else None
    if network is None or bundle.metadata is None:
        return
    try:
        load_weights(network, bundle.root / STATE_DICT)
        shape = metadata_shape(bundle.metadata)
    except (ValueError, OSError, LookupError, TypeError):  # other checks report these
        return
    try:
        difference = largest_difference(network.eval(), scripted, shape)
    except RuntimeError as error:
        yield Fault(
            TORCHSCRIPT,
            "",
            f"fails on an image of the shape in {METADATA} ({str(error).strip().splitlines()[-1]})",
            EXPORT,
        )
        return
    if not difference <= TOLERANCE:
        yield Fault(
            TORCHSCRIPT, "", f"gives other logits than {STATE_DICT}, by {difference:.2g} of the largest", EXPORT
        )


def metadata_shape(metadata: dict) -> list[int]:
    """Shape ``(B, C, [D,] H, W)`` of the smallest image that metadata.json allows.

    Example:
        >>> image = {"num_channels": 1, "spatial_shape": ["32*n", "2**p*n", 48]}
        >>> metadata_shape({"network_data_format": {"inputs": {"image": image}}})
        [1, 1, 32, 2, 48]
    """
    image = metadata["network_data_format"]["inputs"]["image"]
    sizes = [eval(str(size), {"__builtins__": {}}, {"n": 1, "p": 1}) for size in image["spatial_shape"]]
    return [1, image["num_channels"], *sizes]


def largest_difference(network: nn.Module, other: nn.Module, input_shape: list[int]) -> float:
    """The largest difference of two networks' logits, as a share of the largest logit, for one image and for two.

    Example:
        >>> network = nn.Conv2d(1, 1, 1)
        >>> largest_difference(network, torch.jit.script(network), [1, 1, 4, 4])
        0.0
    """
    differences = []
    for batch in (1, 2):  # a single volume takes a path of its own
        image = torch.randn([batch, *input_shape[1:]], generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            logits, others = network(image), other(image)
        if logits.shape != others.shape:
            return float("inf")
        differences.append(float((logits - others).abs().max() / logits.abs().max().clamp_min(1e-6)))
    return max(differences)


def _missing_configs(path: Path) -> list[str]:
    """The configs that are not where ``ckpt_export`` of MONAI puts them: the root has the name of the file."""
    with zipfile.ZipFile(path) as archive:
        inside = set(archive.namelist())
    wanted = [f"{path.stem}/extra/{Path(config).name}" for config in (METADATA, INFERENCE)]
    return [name for name in wanted if name not in inside]


def _path_in(path: Path) -> str | None:
    """A path of a source file among what TorchScript keeps for its error messages."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            found = SOURCE.search(archive.read(name)) if name.endswith(PATHS_OF_SOURCES) else None
            if found:
                return found[0].decode()
    return None
