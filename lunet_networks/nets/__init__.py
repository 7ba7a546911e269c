"""The networks, one file an architecture."""

from lunet_networks.nets.mednext import MedNeXt
from lunet_networks.nets.pspseg import PSPSeg
from lunet_networks.nets.unet import UNet
from lunet_networks.nets.unetplusplus import UNetPlusPlus

__all__ = ["MedNeXt", "PSPSeg", "UNet", "UNetPlusPlus"]
