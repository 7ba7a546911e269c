"""The families of bundles: an architecture and a size each, with the published way to train it."""

from dataclasses import dataclass
from pathlib import Path

from lunet_networks import PRESETS, list_presets
from lunet_networks.bundle.choices import choose
from tools.templating import TEMPLATES

SMALL = {"batch_size": 16, "learning_rate": 0.01}
LARGE = {"batch_size": 1, "learning_rate": 0.001}
PSP = {"batch_size": 2, "learning_rate": 0.001}

LEAN_UNET = "Lean Unet: A Compact Model for Image Segmentation, arXiv 2512.03834"
UNET = "Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015"
UNETPP = "Zhou et al., UNet++: A Nested U-Net Architecture for Medical Image Segmentation, DLMIA 2018"
PSPSEG = "PSP-Seg, arXiv 2509.09267"
MEDNEXT = "Roy et al., MedNeXt: Transformer-driven Scaling of ConvNets for Medical Image Segmentation, MICCAI 2023"


@dataclass(frozen=True)
class Family:
    """What the bundles of an architecture and a size have in common, whatever data they are for.

    Args:
        title: in words.
        preset: trained unless another one is chosen.
        batch_size: published.
        learning_rate: published.
        papers: that the architecture is from.
        pruning: what can be removed from it, "channels" or "branches"; None: nothing.
    """

    title: str
    preset: str
    batch_size: int
    learning_rate: float
    papers: tuple[str, ...]
    pruning: str | None = "channels"


FAMILIES = {
    "unet_small": Family("U-Net, small", "unet_small_4f", **SMALL, papers=(UNET, LEAN_UNET)),
    "lunet_small": Family("Lean U-Net, small", "lunet_small_4f", **SMALL, papers=(LEAN_UNET,)),
    "unet_large": Family("U-Net, large", "unet_large_24f", **LARGE, papers=(UNET, LEAN_UNET)),
    "lunet_large": Family("Lean U-Net, large", "lunet_large_24f", **LARGE, papers=(LEAN_UNET,)),
    "unetpp_small": Family("UNet++, small", "unetpp_small_4f", **SMALL, papers=(UNETPP, LEAN_UNET)),
    "lunetpp_small": Family("Lean UNet++, small", "lunetpp_small_4f", **SMALL, papers=(UNETPP, LEAN_UNET)),
    "unetpp_large": Family("UNet++, large", "unetpp_large_24f", **LARGE, papers=(UNETPP, LEAN_UNET)),
    "lunetpp_large": Family("Lean UNet++, large", "lunetpp_large_24f", **LARGE, papers=(UNETPP, LEAN_UNET)),
    "mednext_small": Family("MedNeXt, small", "mednext_small", **SMALL, papers=(MEDNEXT, LEAN_UNET), pruning=None),
    "pspseg_small": Family("PSP-Seg, small", "pspseg_s", **PSP, papers=(PSPSEG,), pruning="branches"),
    "pspseg_base": Family("PSP-Seg, base", "pspseg_b", **PSP, papers=(PSPSEG,), pruning="branches"),
    "pspseg_large": Family("PSP-Seg, large", "pspseg_l", **PSP, papers=(PSPSEG,), pruning="branches"),
}


def template_dirs(family: str) -> list[Path]:
    """The templates of a family's bundles: those of all, and those that go with what can be removed from it.

    Example:
        >>> [folder.name for folder in template_dirs("mednext_small") + template_dirs("pspseg_small")]
        ['templates', 'templates', 'branches']
    """
    pruning = FAMILIES[family].pruning
    return [TEMPLATES, *([TEMPLATES / pruning] if pruning else [])]


def choose_preset(family: str, preset: str | None) -> str:
    """The preset of a bundle: the family's own, or another one of the family.

    Raises:
        ValueError: if there is no such family, or the preset is of another one; with those there are.

    Example:
        >>> choose_preset("lunet_small", None), choose_preset("lunet_small", "lunet_small_2f")
        ('lunet_small_4f', 'lunet_small_2f')
    """
    chosen = choose("FAMILY", family, FAMILIES)
    if preset is None:
        return chosen.preset
    of_family = list_presets(f"{family}*") or [chosen.preset]
    if preset not in of_family:
        known = "of another family" if preset in PRESETS.names else "no preset"
        raise ValueError(f"--preset {preset} is {known}; {family} has {', '.join(of_family)}")
    return preset
