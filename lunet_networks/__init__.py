"""Lean segmentation networks for medical images, and their kin, for MONAI bundles."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lunet_networks.deployment import deploy
    from lunet_networks.nets import (
        UKAN,
        AttentionUNet,
        EGEUNet,
        LMSCUNet,
        LVUNet,
        MALUNet,
        MedNeXt,
        MobileNetV3UNet,
        PSPSeg,
        UNet,
        UNetPlusPlus,
        UNeXt,
    )
    from lunet_networks.presets import PRESETS, create_network, list_presets
    from lunet_networks.published import load_published_weights

__all__ = [
    "PRESETS",
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
    "create_network",
    "deploy",
    "list_presets",
    "load_published_weights",
]

_MODULES = {  # that have the names above; all others are networks
    "PRESETS": "presets",
    "create_network": "presets",
    "deploy": "deployment",
    "list_presets": "presets",
    "load_published_weights": "published",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for. Torch and MONAI take seconds, and ``lunet --help`` does without them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'nets')}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
