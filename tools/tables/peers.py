"""Networks that are compared: presets, and networks of MONAI that take the same input."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from monai.networks.nets import UNETR, AttentionUnet, BasicUNet, DynUNet, SegResNet, SwinUNETR, UNet
from torch import nn

from lunet_networks import create_network, deploy, list_presets
from lunet_networks.presets import input_shape

VOLUMES = {"spatial_dims": 3, "in_channels": 1, "out_channels": 1}
PICTURES = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1}
FIVE_LEVELS = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)}
NNUNET = {
    "norm_name": ("instance", {"affine": True}),
    "act_name": ("leakyrelu", {"negative_slope": 0.01, "inplace": True}),
    "trans_bias": True,
}


@dataclass(frozen=True)
class Peer:
    """A network to compare with.

    Args:
        make_network: gives a new one.
        description: its configuration, and whose it is.
    """

    make_network: Callable[[], nn.Module]
    description: str


VOLUME_PEERS = {
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
}
PICTURE_PEERS = {
    "BasicUNet_2d": Peer(partial(BasicUNet, **PICTURES), "MONAI's defaults, as above"),
    "UNet_2d": Peer(
        partial(UNet, **PICTURES, **FIVE_LEVELS, num_res_units=2, norm="batch"),
        "the channels, strides, units and norm of `UNet`",
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
    ),
    "SegResNet_2d": Peer(partial(SegResNet, **PICTURES), "MONAI's defaults, as above"),
    "AttentionUnet_2d": Peer(partial(AttentionUnet, **PICTURES, **FIVE_LEVELS), "the channels of `AttentionUnet`"),
}
PEERS = {**VOLUME_PEERS, **PICTURE_PEERS}


DEPLOYED = "_deployed"  # ends the name of a preset's deployed form


@dataclass(frozen=True, eq=False)
class Comparison:
    """Networks in a table of their own.

    Args:
        reference: the preset whose times those of the others are told as multiples of; all take its input.
        peers: of MONAI, by name.
        deployable: presets that stand there in their deployed form, too.
    """

    reference: str
    peers: Mapping[str, Peer]
    deployable: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of inference and training, ``(1, C, [D,] H, W)``."""
        return input_shape(self.reference)

    @property
    def presets(self) -> list[str]:
        """All that take this input by default."""
        return [name for name in list_presets() if input_shape(name) == self.input_shape]

    @property
    def inference_only(self) -> list[str]:
        """The deployed forms, which nobody trains."""
        return [name + DEPLOYED for name in self.deployable]

    @property
    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        """Presets, each with its deployed form behind it, and peers: functions that make a new one."""
        own: dict[str, Callable[[], nn.Module]] = {}
        for name in self.presets:
            own[name] = partial(create_network, name)
            if name in self.deployable:
                own[name + DEPLOYED] = partial(create_deployed, name)
        return {**own, **{name: peer.make_network for name, peer in self.peers.items()}}


def create_deployed(preset: str) -> nn.Module:
    """The deployed form of a preset, as if deep training had brought its slope to 1.

    Example:
        >>> create_deployed("lv_unet").deployed
        True
    """
    network = create_network(preset).eval()
    network.set_slope(1)
    return deploy(network)


COMPARISONS = {
    "3D": Comparison("lunet_small_4f", VOLUME_PEERS),
    "2D": Comparison("unet_2d", PICTURE_PEERS, deployable=("lv_unet",)),
}
