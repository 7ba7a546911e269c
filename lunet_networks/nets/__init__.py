"""The networks, one file an architecture."""

from lunet_networks.nets.mednext import MedNeXt
from lunet_networks.nets.unet import UNet
from lunet_networks.nets.unetplusplus import UNetPlusPlus

__all__ = ["MedNeXt", "UNet", "UNetPlusPlus"]
