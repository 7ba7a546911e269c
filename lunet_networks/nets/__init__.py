"""The networks, one file per architecture."""

from lunet_networks.nets.attention_unet import AttentionUNet
from lunet_networks.nets.ege_unet import EGEUNet
from lunet_networks.nets.lmsc_unet import LMSCUNet
from lunet_networks.nets.lv_unet import LVUNet
from lunet_networks.nets.malunet import MALUNet
from lunet_networks.nets.mednext import MedNeXt
from lunet_networks.nets.mobilenet_v3_unet import MobileNetV3UNet
from lunet_networks.nets.pspseg import PSPSeg
from lunet_networks.nets.u_kan import UKAN
from lunet_networks.nets.unet import UNet
from lunet_networks.nets.unetplusplus import UNetPlusPlus
from lunet_networks.nets.unext import UNeXt

__all__ = [
    "UKAN",
    "AttentionUNet",
    "EGEUNet",
    "LMSCUNet",
    "LVUNet",
    "MALUNet",
    "MedNeXt",
    "MobileNetV3UNet",
    "PSPSeg",
    "UNeXt",
    "UNet",
    "UNetPlusPlus",
]
