"""Networks of MONAI that are trained by a bundle's recipe, as its ``network_def``."""

from typing import Any

from tools.tables.networks import NNUNET
from tools.tables.networks import PEERS as MEASURED

NAMES_OF_MONAI = "monai.networks.nets"
OF_THE_BUNDLE = {"in_channels", "out_channels"}
PLANS = {  # of nnU-Net for a dataset, without deep supervision; axes as in the bundle
    "DynUNet_hippocampus": {
        "spatial_dims": 3,
        "kernel_size": [[3, 3, 3]] * 4,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * 3,
        "filters": [32, 64, 128, 256],
    },
    "DynUNet_heart": {
        "spatial_dims": 3,
        "kernel_size": [[3, 3, 1]] + [[3, 3, 3]] * 5,
        "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2], [2, 2, 1], [2, 2, 1]],
        "filters": [32, 64, 128, 256, 320, 320],
    },
}
WITHOUT_SKIPS = {  # channels of networks as deep and as wide as the small family
    "AutoEncoder_4f": [4, 8, 16, 32, 64],
    "AutoEncoder_lean_4f": [4, 4, 4, 4, 4],
}


def peer_config(peer: str) -> dict[str, Any]:
    """A peer as a bundle's config has its network, without its channels in and out, which the bundle knows.

    Args:
        peer: one of ``peers()``.

    Example:
        >>> peer_config("SegResNet")["_target_"], peer_config("DynUNet_hippocampus")["upsample_kernel_size"]
        ('monai.networks.nets.SegResNet', [[2, 2, 2], [2, 2, 2], [2, 2, 2]])
    """
    if peer in PLANS:
        plan = PLANS[peer]
        given = {**NNUNET, **plan, "upsample_kernel_size": plan["strides"][1:]}
        name = "DynUNet"
    elif peer in WITHOUT_SKIPS:
        given = {"spatial_dims": 3, "channels": WITHOUT_SKIPS[peer], "strides": [1, 2, 2, 2, 2]}
        name = "AutoEncoder"
    else:
        make = MEASURED[peer].make_network
        given, name = make.keywords, make.func.__name__
    own = {key: value for key, value in given.items() if key not in OF_THE_BUNDLE}
    return {"_target_": f"{NAMES_OF_MONAI}.{name}", **_lists(own)}


def peers() -> list[str]:
    """Names of the peers: those whose costs are measured, nnU-Net's plans, and networks without skip connections.

    Example:
        >>> "AttentionUnet_2d" in peers(), "DynUNet_heart" in peers()
        (True, True)
    """
    return [*MEASURED, *PLANS, *WITHOUT_SKIPS]


def _lists(value: Any) -> Any:
    """With lists for tuples, as JSON has them."""
    if isinstance(value, dict):
        return {name: _lists(each) for name, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, list | tuple) else value
