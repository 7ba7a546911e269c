"""The families of bundles: an architecture and a size each, with the published way to train it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lunet_networks import PRESETS, list_presets
from lunet_networks.authoring.planning.described_settings import TEMPLATES
from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.nets.network import Network
from lunet_networks.summary import count_parameters

LEAN_UNET = "Lean Unet: A Compact Model for Image Segmentation, arXiv 2512.03834"
UNET = "Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015"
UNETPP = "Zhou et al., UNet++: A Nested U-Net Architecture for Medical Image Segmentation, DLMIA 2018"
PSPSEG = "PSP-Seg, arXiv 2509.09267"
LMSC_UNET = (
    "Sawant et al., LMSC-UNet: A Lightweight U-Net with Modified Skip Connections for Semantic Segmentation, "
    "ICAART 2025"
)
LV_UNET = "Jiang et al., LV-UNet: A Lightweight and Vanilla Model for Medical Image Segmentation, arXiv 2408.16886"
UNEXT = "Valanarasu and Patel, UNeXt: MLP-based Rapid Medical Image Segmentation Network, MICCAI 2022"
MALUNET = "Ruan et al., MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion Segmentation, BIBM 2022"
EGE_UNET = "Ruan et al., EGE-UNet: an Efficient Group Enhanced UNet for skin lesion segmentation, MICCAI 2023"
U_KAN = "Li et al., U-KAN Makes Strong Backbone for Medical Image Segmentation and Generation, AAAI 2025"
MOBILENET_V3 = "Howard et al., Searching for MobileNetV3, ICCV 2019"
ATTENTION_UNET = "Oktay et al., Attention U-Net: Learning Where to Look for the Pancreas, MIDL 2018"
MEDNEXT = "Roy et al., MedNeXt: Transformer-driven Scaling of ConvNets for Medical Image Segmentation, MICCAI 2023"


Note = Callable[[Network], str]


def lean_note(network: Network) -> str:
    """What to expect of a lean network."""
    return (
        " Lean networks save far more parameters than operations: the full-resolution level, which costs most, is as "
        "wide as in the conventional network."
    )


def fusing_note(network: Network) -> str:
    """What deep training is good for."""
    return (
        " Deep training takes the activation inside its blocks away; then `lunet deploy` fuses them, and all batch "
        f"norms, into {count_parameters(network.rebuild(deployed=True)):,} parameters with the same output."
    )


@dataclass(frozen=True)
class Family:
    """What the bundles of an architecture and a size have in common, whatever data they are for.

    Args:
        title: in words.
        preset: trained unless another one is chosen.
        papers: that the architecture is from.
        batch_size: published, and so are all settings of the training below.
        learning_rate: at the start.
        epochs: passes over the training cases.
        loss_name: one of ``lunet_networks.bundle.training.losses.LOSSES``.
        optimizer_name: one of ``lunet_networks.bundle.training.optimizers.OPTIMIZERS``.
        scheduler_name: one of ``lunet_networks.bundle.training.schedules.SCHEDULES``.
        dropout: probability of dropping a channel.
        roi_size: patch for pictures, in pixels; None: as the data ask for.
        colours: whether it takes pictures in colour, grey ones as three equal channels.
        imagenet: whether it takes colours less ImageNet's mean, divided by ImageNet's standard deviation.
        cannot_train: spatial dimensions of images on which it cannot be trained, and why.
        pruning: what can be removed from it, "channels" or "branches"; None: nothing.
        others: presets of other architectures to compare with, which are trained the same way, each with its title and
            paper.
        note: a sentence on the network, for the model card.
    """

    title: str
    preset: str
    papers: tuple[str, ...]
    batch_size: int
    learning_rate: float
    epochs: int = 100
    loss_name: str = "dice_bce"
    optimizer_name: str = "adam"
    scheduler_name: str = "poly"
    dropout: float = 0.005
    roi_size: tuple[int, ...] | None = None
    colours: bool = False
    imagenet: bool = False
    cannot_train: Mapping[int, str] = field(default_factory=dict)
    pruning: str | None = "channels"
    others: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    note: Note = lambda network: ""

    def training_settings(self) -> dict[str, Any]:
        """The training settings that do not depend on the data, by their names in the configs."""
        names = ("epochs", "loss_name", "optimizer_name", "scheduler_name", "dropout")
        return {name: getattr(self, name) for name in names}

    def title_and_papers(self, preset: str) -> tuple[str, tuple[str, ...]]:
        """What a bundle with this preset is called, and whose network it is."""
        if preset in self.others:
            title, paper = self.others[preset]
            return title, (paper,)
        return self.title, self.papers

    def records_of(self, bundle: Path, preset: str) -> Path:
        """The folder in a bundle for what is recorded of the weights of a preset."""
        return bundle / "docs" / ("" if preset == self.preset else preset)


SMALL = {"batch_size": 16, "learning_rate": 0.01}
LARGE = {"batch_size": 1, "learning_rate": 0.001}
PICTURES = {"batch_size": 8, "scheduler_name": "cosine", "dropout": 0.0, "colours": True, "pruning": None}
LIGHT = {"learning_rate": 0.001, "epochs": 300, "optimizer_name": "adamw", "cannot_train": {3: "its blocks are 2D"}}
PSP = {"papers": (PSPSEG,), "batch_size": 2, "learning_rate": 0.001, "dropout": 0.0, "pruning": "branches"}

COMPARED = {  # the networks that LV-UNet is compared with and that have no family of their own
    "u_kan": ("U-KAN", U_KAN),
    "u_kan_small": ("U-KAN, small", U_KAN),
    "mobilenetv3_unet": ("MobileNetV3-UNet", MOBILENET_V3),
    "unet_2d": ("U-Net, 64 to 1024 channels", UNET),
    "unet_2d_32f": ("U-Net, 32 to 512 channels", UNET),
    "attention_unet_2d_32f": ("Attention U-Net, 32 to 512 channels", ATTENTION_UNET),
    "unetpp_2d_32f": ("UNet++, 32 to 512 channels", UNETPP),
}

FAMILIES = {
    "unet_small": Family("U-Net, small", "unet_small_4f", (UNET, LEAN_UNET), **SMALL),
    "lunet_small": Family("Lean U-Net, small", "lunet_small_4f", (LEAN_UNET,), **SMALL, note=lean_note),
    "unet_large": Family("U-Net, large", "unet_large_24f", (UNET, LEAN_UNET), **LARGE),
    "lunet_large": Family("Lean U-Net, large", "lunet_large_24f", (LEAN_UNET,), **LARGE, note=lean_note),
    "unetpp_small": Family("UNet++, small", "unetpp_small_4f", (UNETPP, LEAN_UNET), **SMALL),
    "lunetpp_small": Family("Lean UNet++, small", "lunetpp_small_4f", (UNETPP, LEAN_UNET), **SMALL, note=lean_note),
    "unetpp_large": Family("UNet++, large", "unetpp_large_24f", (UNETPP, LEAN_UNET), **LARGE),
    "lunetpp_large": Family("Lean UNet++, large", "lunetpp_large_24f", (UNETPP, LEAN_UNET), **LARGE, note=lean_note),
    "mednext_small": Family(
        "MedNeXt, small",
        "mednext_small",
        (MEDNEXT, LEAN_UNET),
        **SMALL,
        pruning=None,
    ),
    "pspseg_small": Family("PSP-Seg, small", "pspseg_s", **PSP),
    "pspseg_base": Family("PSP-Seg, base", "pspseg_b", **PSP),
    "pspseg_large": Family("PSP-Seg, large", "pspseg_l", **PSP),
    "lmsc_unet": Family(
        "LMSC-UNet",
        "lmsc_unet",
        (LMSC_UNET,),
        batch_size=32,
        learning_rate=0.01,  # which falls by a "decay rate 0.1"; the paper does not say when
        epochs=200,
        loss_name="dice_focal",
        dropout=0.0,
        colours=True,
        pruning=None,
    ),
    "lv_unet": Family(
        "LV-UNet",
        "lv_unet",
        (LV_UNET,),
        batch_size=8,
        learning_rate=0.001,
        epochs=300,
        loss_name="dice_half_bce",
        scheduler_name="cosine",
        dropout=0.0,
        roi_size=(256, 256),
        colours=True,
        imagenet=True,
        cannot_train={3: "its MobileNet is 2D"},
        pruning=None,
        note=fusing_note,
    ),
    "unext": Family(
        "UNeXt",
        "unext",
        (UNEXT,),
        **PICTURES,
        learning_rate=0.0001,
        epochs=500,
        loss_name="dice_half_bce",
        imagenet=True,
        cannot_train={3: "its blocks are 2D"},
        others=COMPARED,
    ),
    "malunet": Family("MALUNet", "malunet", (MALUNET,), **PICTURES, **LIGHT),
    "ege_unet": Family("EGE-UNet", "ege_unet", (EGE_UNET,), **PICTURES, **LIGHT),
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
    """The presets of a family's architecture.

    Example:
        >>> "lunet_large_6f" in presets_of("lunet_large"), presets_of("pspseg_small")
        (True, ['pspseg_s'])
    """
    return list_presets(f"{family}*") or [FAMILIES[family].preset]


def choose_preset(family: str, preset: str | None) -> str:
    """The preset of a new bundle: the family's own, another one of the family, or one that is trained the same way.

    Raises:
        ValueError: if there is no such family, or the preset belongs to another one; the message lists the valid ones.

    Example:
        >>> choose_preset("lunet_small", None), choose_preset("lunet_small", "lunet_small_2f")
        ('lunet_small_4f', 'lunet_small_2f')
        >>> choose_preset("unext", "u_kan_small")
        'u_kan_small'
    """
    chosen = choose("FAMILY", family, FAMILIES)
    if preset is None:
        return chosen.preset
    check_preset(family, preset, [*presets_of(family), *chosen.others])
    return preset


def check_preset(family: str, preset: str, valid: Sequence[str]) -> None:
    """Raise ValueError unless a preset is among the valid ones, which the message lists."""
    if preset not in valid:
        known = "of another family" if preset in PRESETS.names else "no preset"
        raise ValueError(f"--preset {preset} is {known}; {family} has {', '.join(valid)}")
