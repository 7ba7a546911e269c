"""Which networks are compared: those that take the same input, presets beside peers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from lunet_networks import create_network, deploy, list_presets
from lunet_networks.presets import input_shape
from tools.peers import PICTURE_PEERS, VOLUME_PEERS, Peer

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
