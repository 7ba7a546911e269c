"""Lean segmentation networks for medical images, and their kin, for MONAI bundles."""

__version__ = "0.1.0"

from lunet_networks.deploy import deploy
from lunet_networks.nets import LMSCUNet, LVUNet, MedNeXt, PSPSeg, UNet, UNetPlusPlus
from lunet_networks.presets import PRESETS, create_network, list_presets
from lunet_networks.published import load_published_weights

__all__ = [
    "PRESETS",
    "LMSCUNet",
    "LVUNet",
    "MedNeXt",
    "PSPSeg",
    "UNet",
    "UNetPlusPlus",
    "create_network",
    "deploy",
    "list_presets",
    "load_published_weights",
]
