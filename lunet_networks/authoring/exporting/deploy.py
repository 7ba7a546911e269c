"""A trained bundle becomes a bundle of its deployed network: the same labels from fewer layers."""

import re
from pathlib import Path

from torch import nn

from lunet_networks import deploy
from lunet_networks.authoring.bundle_folder import check_bundle_folder, write_bundle
from lunet_networks.authoring.checking.bundle import Bundle
from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.exporting.trained_network import TOLERANCE, largest_difference, trained_network
from lunet_networks.authoring.packaging.models import state_dict_bytes
from lunet_networks.bundle.pruning.derived_bundle import derived_files
from lunet_networks.nets.network import Network
from lunet_networks.summary import count_parameters

CARD = "docs/README.md"
SLOPE_SETTING = re.compile(rb"(\| `deep_training` \| `)\w+")  # in the card's table of settings; the default changes


def deploy_bundle(bundle: str, output_dir: str, ckpt_dir: str | None = None, overwrite: bool = False) -> None:
    """Fuse the layers of a trained bundle's network and write a bundle of the fused network.

    The batch norms of a U-Net, UNet++, LMSC-UNet, LV-UNet or UNeXt are fused, and the blocks of an LV-UNet. The new
    bundle has its weights and can be evaluated, exported and packed like any other. Its logits are compared with those
    of the trained network first; nothing is written if they differ by more than rounding.

    Args:
        bundle: the bundle's folder; an LV-UNet has to be trained with deep training until its slope is 1.
        output_dir: the folder of the deployed bundle, which is made.
        ckpt_dir: folder of model.pt; without it the bundle's models.
        overwrite: overwrite a deployed bundle that is there.
    """
    overwrite = as_bool("overwrite", overwrite)
    source, target = Bundle(str(bundle)), Path(str(output_dir)).resolve()
    if target == source.root:
        raise ValueError(f"--output_dir {target} is the bundle itself: name another folder")
    check_bundle_folder(target, overwrite)
    trained = trained_network(source, None, None if ckpt_dir is None else Path(str(ckpt_dir)))
    fused = _fused(trained.network, source.root)
    difference, share = largest_difference(trained.network, fused, (1, trained.in_channels, *trained.roi_size))
    if not share <= TOLERANCE:
        raise ValueError(f"the logits of the fused network differ by {share:.1e} of the largest: nothing is written")
    before, after = (count_parameters(network) for network in (trained.network, fused))
    fusion = f"Deployed: its batch norms are fused, {after:,} of {before:,} parameters are left"
    files = derived_files(source.root, fused, "deployed", fusion, _sections(fusion))
    files[CARD] = SLOPE_SETTING.sub(rb"\g<1>none", files[CARD])
    write_bundle(target, {**files, "models/model.pt": state_dict_bytes(fused)}, overwrite)
    print(f"{target}: {before:,} parameters have become {after:,}; logits differ by at most {difference:.1e}")


def _fused(network: nn.Module, root: Path) -> Network:
    fused = deploy(network)
    if not fused.deployed:
        raise ValueError(f"the {type(network).__name__} of {root} cannot be fused: its norms depend on the image")
    return fused


def _sections(fusion: str) -> dict[str, str]:
    """What the model card says of the fused network."""
    model = (
        f"{fusion}. Its output is that of the trained network up to rounding. The configs name its class and widths."
    )
    performance = (
        "`models/model.pt` gives the label maps of the network that it was fused from; `run evaluation` measures them."
    )
    return {"Model Description": model, "Performance": performance}
