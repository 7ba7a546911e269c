"""A published checkpoint of Lean Unet's trainer, STAMP, PSP-Seg or a network for pictures becomes a state dict of this
package."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch

from lunet_networks import MedNeXt, create_network, list_presets, load_published_weights
from lunet_networks.authoring.command_line import as_bool
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.presets import network_without_weights
from lunet_networks.published import convert_published
from lunet_networks.state_dicts import of_federation


def convert_checkpoint(
    checkpoint: str, output: str, accept_changed_order: bool = False, overwrite: bool = False
) -> None:
    """Turn a published checkpoint into the state dict of a network of this package.

    The preset is found by the keys and shapes of the checkpoint.

    Args:
        checkpoint: a file of the published trainer, with 'model_state_dict' inside, or a file of the state dict alone;
            or the global model of NVIDIA FLARE, FL_global_model.pt, with 'model' inside.
        output: the file to write, such as models/model.pt.
        accept_changed_order: convert MedNeXt too. With the same weights it gives other predictions here, because the
            up blocks of the published code pad at another place than those of MedNeXt's own authors.
        overwrite: replace an output that is there.
    """
    if not Path(str(checkpoint)).is_file():
        raise FileNotFoundError(f"{checkpoint} is not there: name the file of a published checkpoint")
    target = Path(str(output))
    if target.exists() and not as_bool("overwrite", overwrite):
        raise FileExistsError(f"{target} is there already: name another file, or replace it with --overwrite True")
    weights, federated = _read(Path(str(checkpoint)))
    if federated:  # its network is one of this package
        _write(target, weights)
        print(f"{target}: state dict of the global model in {checkpoint}")
        return
    preset, keywords = _identify(weights, checkpoint)
    network = create_network(preset, **keywords)
    if isinstance(network, MedNeXt) and not as_bool("accept_changed_order", accept_changed_order):
        raise ValueError(
            f"{checkpoint} holds the published MedNeXt, which pads before the norm in its up blocks; here the order "
            "is that of MedNeXt's own authors, so the same weights give other predictions. To convert them all the "
            "same, for example to train on, add --accept_changed_order True"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "these MedNeXt weights", UserWarning)  # what it says has just been accepted
        load_published_weights(network, weights)
    _write(target, network.state_dict())
    given = ", ".join(f"{key}={value}" for key, value in keywords.items())
    print(f'{target}: state dict of create_network("{preset}", {given}); its output is logits, apply the sigmoid')


def _write(target: Path, weights: Mapping[str, torch.Tensor]) -> None:
    content = io.BytesIO()
    torch.save(dict(weights), content)
    write_atomically(target, content.getvalue())


def _read(path: Path) -> tuple[Mapping[str, torch.Tensor], bool]:
    """The weights in a file, and whether it is a global model of NVIDIA FLARE."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a checkpoint that can be read safely (weights only): {error}") from None
    federated = of_federation(content) is not content
    weights = of_federation(content.get("model_state_dict", content)) if isinstance(content, Mapping) else None
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f"{path} holds neither 'model_state_dict' nor a state dict")
    return weights, federated


def _identify(weights: Mapping[str, torch.Tensor], path: str) -> tuple[str, dict[str, int]]:
    """The preset whose published state dict has these keys and shapes, and its channels in and out."""
    (first, *_), (*_, last) = weights.values(), weights.values()  # the first weight and the last bias
    keywords = {
        "in_channels": first.shape[1] if first.dim() >= 4 else 1,
        "out_channels": last.shape[0] if last.dim() else 1,
    }
    for preset in list_presets():
        try:
            convert_published(network_without_weights(preset, **keywords), weights)
        except (TypeError, ValueError):  # of a class of which nothing is published, or other weights
            continue
        return preset, keywords
    raise ValueError(
        f"{path} holds {len(weights)} tensors, the first {next(iter(weights))!r} of shape {tuple(first.shape)}, which "
        "fit none of the published networks nor STAMP's pair ('unet.*' with 'segmenter.*')"
    )
