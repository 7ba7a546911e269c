"""The families of bundles: an architecture and a size each, with the published way to train it."""

from dataclasses import dataclass
from pathlib import Path

from lunet_networks import PRESETS, list_presets
from lunet_networks.authoring.planning.templating import TEMPLATES
from lunet_networks.bundle.runtime.checks import choose

SMALL = {"batch_size": 16, "learning_rate": 0.01}
LARGE = {"batch_size": 1, "learning_rate": 0.001}
PSP = {"batch_size": 2, "learning_rate": 0.001}
COLOURS = {"colours": True, "pruning": None}

LEAN_UNET = "Lean Unet: A Compact Model for Image Segmentation, arXiv 2512.03834"
UNET = "Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015"
UNETPP = "Zhou et al., UNet++: A Nested U-Net Architecture for Medical Image Segmentation, DLMIA 2018"
PSPSEG = "PSP-Seg, arXiv 2509.09267"
LMSC_UNET = "LMSC-UNet, ICAART 2025"
LV_UNET = "Jiang et al., LV-UNet: A Lightweight and Vanilla Model for Medical Image Segmentation, arXiv 2408.16886"
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
        colours: whether it takes pictures in colour, grey ones as three equal channels.
        imagenet: whether it takes colours less ImageNet's mean, divided by ImageNet's standard deviation.
        roi_size: published patch, in pixels; None: as the data ask for.
    """

    title: str
    preset: str
    batch_size: int
    learning_rate: float
    papers: tuple[str, ...]
    pruning: str | None = "channels"
    colours: bool = False
    imagenet: bool = False
    roi_size: tuple[int, ...] | None = None

    def records_of(self, bundle: Path, preset: str) -> Path:
        """The folder in a bundle for what is recorded of the weights of a preset."""
        return bundle / "docs" / ("" if preset == self.preset else preset)


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
    "lmsc_unet": Family("LMSC-UNet", "lmsc_unet", 32, 0.01, papers=(LMSC_UNET,), **COLOURS),
    "lv_unet": Family("LV-UNet", "lv_unet", 8, 0.001, papers=(LV_UNET,), **COLOURS, imagenet=True, roi_size=(256, 256)),
}


def template_dirs(family: str) -> list[Path]:
    """The templates of a family's bundles: those of all, those that go with what can be removed from it, and its own.

    Example:
        >>> for family in ("mednext_small", "pspseg_small", "lv_unet"):
        ...     print([folder.name for folder in template_dirs(family)])
        ['templates']
        ['templates', 'branches']
        ['templates', 'lv_unet']
    """
    overlays = [TEMPLATES / name for name in (FAMILIES[family].pruning, family) if name]
    return [TEMPLATES, *filter(Path.is_dir, overlays)]


def presets_of(family: str) -> list[str]:
    """The presets that bundles of a family may have.

    Example:
        >>> presets_of("lunet_large"), presets_of("pspseg_small")
        (['lunet_large_24f', 'lunet_large_12f', 'lunet_large_6f'], ['pspseg_s'])
    """
    return list_presets(f"{family}*") or [FAMILIES[family].preset]


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
    of_family = presets_of(family)
    if preset not in of_family:
        known = "of another family" if preset in PRESETS.names else "no preset"
        raise ValueError(f"--preset {preset} is {known}; {family} has {', '.join(of_family)}")
    return preset
