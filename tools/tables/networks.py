"""The networks that are compared: presets, and networks of MONAI that take the same input."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from monai.networks.nets import UNETR, AttentionUnet, BasicUNet, DynUNet, SegResNet, SwinUNETR, UNet
from torch import nn

from lunet_networks import PRESETS, create_network, list_presets
from lunet_networks.presets import conventional_twin, input_shape

VOLUMES = {"spatial_dims": 3, "in_channels": 1, "out_channels": 1}
PICTURES = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1}
VOLUME, PICTURE = (1, 1, 64, 64, 64), (1, 3, 256, 256)
FIVE_LEVELS = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)}
NNUNET = {
    "norm_name": ("instance", {"affine": True}),
    "act_name": ("leakyrelu", {"negative_slope": 0.01, "inplace": True}),
    "trans_bias": True,
}
MONAI = "MONAI's networks"  # the family of all peers
LARGE_SIZE = 128  # the inference of these networks is timed at this size, too
LARGE_NETWORKS = (
    *("lunet_small_1f", "lunet_small_4f", "unet_small_4f", "lunet_large_6f"),
    *("UNet", "DynUNet", "SegResNet"),
)


@dataclass(frozen=True)
class Peer:
    """A network of MONAI to compare with.

    Args:
        make_network: gives a new one.
        description: its configuration, and whose it is.
        input_shape: for which its costs are given, ``(1, C, [D,] H, W)``.
    """

    make_network: Callable[[], nn.Module]
    description: str
    input_shape: tuple[int, ...] = VOLUME


PEERS = {
    "BasicUNet": Peer(
        partial(BasicUNet, **VOLUMES),
        "MONAI's defaults: features 32, 32, 64, 128, 256, 32, instance norm, leaky ReLU",
    ),
    "UNet": Peer(
        partial(UNet, **VOLUMES, **FIVE_LEVELS, num_res_units=2, norm="batch"),
        "as in the model zoo's `spleen_ct_segmentation`: channels 16, 32, 64, 128, 256, strides 2, 2 residual units, "
        "batch norm; it halves the resolution in its first layer",
    ),
    "DynUNet": Peer(
        partial(
            DynUNet,
            **VOLUMES,
            **NNUNET,
            kernel_size=[3] * 5,
            strides=[1, 2, 2, 2, 2],
            upsample_kernel_size=[2] * 4,
            filters=[32, 64, 128, 256, 320],
        ),
        "as nnU-Net plans a 3D full-resolution network for patches of 64 x 64 x 64: 5 stages of 32, 64, 128, 256, 320 "
        "filters, kernel 3, strides 1, 2, 2, 2, 2, instance norm, leaky ReLU 0.01; without deep supervision",
    ),
    "SegResNet": Peer(
        partial(SegResNet, **VOLUMES),
        "MONAI's defaults: 8 initial filters, blocks 1, 2, 2, 4 down and 1, 1, 1 up, group norm",
    ),
    "AttentionUnet": Peer(
        partial(AttentionUnet, **VOLUMES, **FIVE_LEVELS),
        "channels 16, 32, 64, 128, 256, strides 2, batch norm",
    ),
    "SwinUNETR": Peer(
        partial(SwinUNETR, **VOLUMES, feature_size=48),
        "as published: feature size 48, depths 2, 2, 2, 2, heads 3, 6, 12, 24",
    ),
    "UNETR": Peer(
        partial(UNETR, in_channels=1, out_channels=1, img_size=(64, 64, 64)),
        "as published: feature size 16, hidden size 768, 12 heads; it takes 64 x 64 x 64 only",
    ),
    "BasicUNet_2d": Peer(partial(BasicUNet, **PICTURES), "MONAI's defaults, as above", PICTURE),
    "UNet_2d": Peer(
        partial(UNet, **PICTURES, **FIVE_LEVELS, num_res_units=2, norm="batch"),
        "the channels, strides, units and norm of `UNet`",
        PICTURE,
    ),
    "DynUNet_2d": Peer(
        partial(
            DynUNet,
            **PICTURES,
            **NNUNET,
            kernel_size=[3] * 7,
            strides=[1, 2, 2, 2, 2, 2, 2],
            upsample_kernel_size=[2] * 6,
            filters=[32, 64, 128, 256, 512, 512, 512],
        ),
        "as nnU-Net plans a 2D network for patches of 256 x 256: 7 stages of 32, 64, 128, 256, 512, 512, 512 filters, "
        "kernel 3, strides 1, then 2, instance norm, leaky ReLU 0.01; without deep supervision",
        PICTURE,
    ),
    "SegResNet_2d": Peer(partial(SegResNet, **PICTURES), "MONAI's defaults, as above", PICTURE),
    "AttentionUnet_2d": Peer(
        partial(AttentionUnet, **PICTURES, **FIVE_LEVELS), "the channels of `AttentionUnet`", PICTURE
    ),
}


class Subject(NamedTuple):
    """A network and the size of its input, for which costs are given.

    Args:
        network: name of a preset or a peer.
        size: edge of the volume or picture.
    """

    network: str
    size: int

    @property
    def is_peer(self) -> bool:
        """Whether the network is MONAI's."""
        return self.network in PEERS

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(1, C, [D,] H, W)``."""
        batch, channels, *sizes = own_shape(self.network)
        return (batch, channels, *[self.size] * len(sizes))

    @property
    def is_trained(self) -> bool:
        """Whether its training step and its memory are measured: they are at the network's own size."""
        return self.input_shape == own_shape(self.network)


def subjects() -> list[Subject]:
    """All that are compared, by size: every preset and peer at its own size, a few of them at 128.

    Example:
        >>> [size for size in dict.fromkeys(subject.size for subject in subjects())]
        [64, 128, 256]
    """
    own = [Subject(name, own_shape(name)[-1]) for name in [*list_presets(), *PEERS]]
    return sorted([*own, *(Subject(name, LARGE_SIZE) for name in LARGE_NETWORKS)], key=lambda subject: subject.size)


def own_shape(name: str) -> tuple[int, ...]:
    """Shape of the input for which the costs of a preset or a peer are given."""
    return PEERS[name].input_shape if name in PEERS else input_shape(name)


def make_network(name: str) -> nn.Module:
    """A new network of a preset or a peer."""
    return PEERS[name].make_network() if name in PEERS else create_network(name)


def family(name: str) -> str:
    """What kind of network a preset or a peer is, in words.

    Example:
        >>> family("lunet_small_4f"), family("DynUNet")
        ('Lean U-Net', "MONAI's networks")
    """
    return MONAI if name in PEERS else PRESETS.components[name].description.partition(",")[0]


def twins() -> dict[str, str]:
    """The lean presets, each with the conventional one that it is compared with.

    Example:
        >>> twins()["lunet_small_4f"]
        'unet_small_4f'
    """
    return {name: twin for name in list_presets() if (twin := conventional_twin(name))}
