"""The weights of a packed bundle, as a state dict and as TorchScript."""

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from torch import nn

from lunet_networks.authoring.checking.torchscript import PATHS_OF_SOURCES, TOLERANCE, TORCHSCRIPT, largest_difference
from lunet_networks.bundle.inference.formats import WEIGHTS_DIGEST
from lunet_networks.state_dicts import weights_digest


def state_dict_bytes(network: nn.Module) -> bytes:
    """A plain state dict as a file; the same weights give the same bytes."""
    content = io.BytesIO()
    # copies: a view would be saved with all that it is a view of, and channels last in another order
    torch.save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}, content
    )
    return content.getvalue()


def torchscript_bytes(
    network: nn.Module, input_shape: list[int], metadata: dict[str, Any], inference: dict[str, Any]
) -> bytes:
    """The network as TorchScript with metadata.json and inference.json inside, as MONAI's ``ckpt_export`` writes it.

    Args:
        network: with its weights; set to evaluation.
        input_shape: ``(B, C, [D,] H, W)`` on which the two are compared.
        metadata: of the bundle.
        inference: config of the bundle.

    Raises:
        ValueError: if its logits are not those of the network.
    """
    scripted = torch.jit.script(network.eval())
    difference = largest_difference(network, scripted, input_shape)
    if not difference <= TOLERANCE:
        raise ValueError(f"the logits of TorchScript differ from the network's by {difference:.2g} of the largest")
    files = {"inference.json": json.dumps(inference).encode(), WEIGHTS_DIGEST: weights_digest(network).encode()}
    with tempfile.TemporaryDirectory() as folder:
        # the root of the archive is named after the file, and MONAI and MONAI Deploy look for the configs below it
        path = Path(folder, Path(TORCHSCRIPT).name)
        save_net_with_metadata(
            scripted, str(path), include_config_vals=False, meta_values=metadata, more_extra_files=files
        )
        return _without_paths(path)


def _without_paths(path: Path) -> bytes:
    """TorchScript without the paths of this machine that it keeps for its error messages."""
    kept = io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as rest:
        for member in whole.infolist():
            if not member.filename.endswith(PATHS_OF_SOURCES):
                rest.writestr(zipfile.ZipInfo(member.filename, (1980, 1, 1, 0, 0, 0)), whole.read(member))
    return kept.getvalue()
