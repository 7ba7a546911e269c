"""The published networks by name. All sizes are defined here and nowhere else."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, partial
from inspect import signature
from itertools import pairwise
from typing import Any

import torch
from monai.utils import ComponentStore
from torch import nn

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

__all__ = ["PRESETS", "conventional_twin", "create_network", "input_shape", "is_lean", "list_presets"]

PRESETS = ComponentStore("presets", "the published networks, each a function of the keywords of its class")

_SIZES = {  # name: levels, convolutions per block, filters at full resolution
    "small": (5, 2, (4, 3, 2, 1)),
    "large": (4, 3, (24, 12, 6)),
}
_LEAN, _CONVENTIONAL = 1, 2  # factor of the channels from level to level
_FAMILIES = {  # name: class, this factor, description
    "unet": (UNet, _CONVENTIONAL, "U-Net"),
    "lunet": (UNet, _LEAN, "Lean U-Net"),
    "unetpp": (UNetPlusPlus, _CONVENTIONAL, "UNet++"),
    "lunetpp": (UNetPlusPlus, _LEAN, "Lean UNet++"),
}
_PSPSEG = {  # name: channels, expansion, branches
    "s": ((16, 32, 64, 128, 256), 0.5, 4),
    "b": ((16, 32, 64, 128, 256), 2, 7),
    "l": ((16, 32, 64, 128, 256, 320), 2, 7),
}
_UNEXT = {  # name: channels from 1/2 to 1/32 of the resolution
    "unext": (16, 32, 128, 160, 256),
    "unext_small": (8, 16, 32, 64, 128),
}
_U_KAN = {  # the same
    "u_kan": (32, 64, 256, 320, 512),
    "u_kan_small": (16, 32, 128, 160, 256),
}
_COMPARED_IN_2D = {  # name: function, description
    "unet_2d_32f": (partial(UNet, bias=False, adn_ordering="NDA"), "U-Net, 2D"),
    "attention_unet_2d_32f": (AttentionUNet, "Attention U-Net, 2D"),
    "unetpp_2d_32f": (partial(UNetPlusPlus, upsample="bilinear", adn_ordering="NDA"), "UNet++, 2D"),
}
_SIZE_OF_COSTS = {3: (64, 64, 64), 2: (256, 256)}


def _level_channels(width: int, growth: int, levels: int) -> tuple[int, ...]:
    return tuple(width * growth**level for level in range(levels))


def _add_u_net_presets() -> None:
    for family, (network_class, growth, title) in _FAMILIES.items():
        for size, (levels, convs_per_block, widths) in _SIZES.items():
            for width in widths:
                channels = _level_channels(width, growth, levels)
                PRESETS.add(
                    f"{family}_{size}_{width}f",
                    f"{title}, {levels} levels of {', '.join(map(str, channels))} channels, "
                    f"{convs_per_block} convolutions per block",
                    partial(network_class, channels=channels, convs_per_block=convs_per_block),
                )


_add_u_net_presets()
PRESETS.add(
    "mednext_small",
    "MedNeXt, 5 levels of 4, 8, 16, 32, 64 channels, expansion 2, kernel 3",
    partial(MedNeXt, init_filters=4, expansion_ratio=2, kernel_size=3),
)
for _size, (_channels, _expansion, _num_branches) in _PSPSEG.items():
    PRESETS.add(
        f"pspseg_{_size}",
        f"PSP-Seg, {len(_channels)} levels of {', '.join(map(str, _channels))} channels, {_num_branches} branches a "
        f"module, expansion {_expansion}",
        partial(PSPSeg, channels=_channels, expansion=_expansion, num_branches=_num_branches),
    )
PRESETS.add(
    "lmsc_unet",
    "LMSC-UNet, 2D, 4 levels of 32, 64, 128, 256 channels, a bottleneck residual block on the skip of level 2",
    partial(LMSCUNet, channels=(32, 64, 128, 256), brb_levels=(2,)),
)
PRESETS.add(
    "lv_unet",
    "LV-UNet, 2D, MobileNetV3-Large up to block 9, then 80, 160, 240, 480 channels; fuses when deployed",
    partial(LVUNet, mobilenet_blocks=9, act_num=1, skip="add"),
)
for _name, _channels in _UNEXT.items():
    PRESETS.add(
        _name,
        f"UNeXt, 2D, 5 levels of {', '.join(map(str, _channels))} channels, full resolution halved first, "
        "shifted linear layers at the deepest",
        partial(UNeXt, channels=_channels),
    )
PRESETS.add(
    "malunet",
    "MALUNet, 2D, 6 levels of 8, 16, 24, 32, 48, 64 channels, dilated gates and external attention, skips bridged",
    partial(MALUNet, channels=(8, 16, 24, 32, 48, 64)),
)
PRESETS.add(
    "ege_unet",
    "EGE-UNet, 2D, 6 levels of 8, 16, 24, 32, 48, 64 channels, product attention, skips gated by predicted masks",
    partial(EGEUNet, channels=(8, 16, 24, 32, 48, 64)),
)
for _name, _channels in _U_KAN.items():
    PRESETS.add(
        _name,
        f"U-KAN, 2D, 5 levels of {', '.join(map(str, _channels))} channels, full resolution halved first, "
        "Kolmogorov-Arnold layers at the deepest",
        partial(UKAN, channels=_channels),
    )
PRESETS.add(
    "mobilenetv3_unet",
    "MobileNetV3-UNet, 2D, MobileNetV3-Large up to block 13, decoder of 112, 40, 24, 16 channels, skips added; our "
    "reading of a table",
    partial(MobileNetV3UNet, width_mult=1.0),
)
PRESETS.add(
    "unet_2d",
    "U-Net, 2D, 5 levels of 64, 128, 256, 512, 1024 channels, with which LMSC-UNet is compared",
    partial(UNet, spatial_dims=2, in_channels=3, channels=(64, 128, 256, 512, 1024), adn_ordering="NDA"),
)
for _name, (_make, _title) in _COMPARED_IN_2D.items():
    PRESETS.add(
        _name,
        f"{_title}, 5 levels of 32, 64, 128, 256, 512 channels, with which LV-UNet is compared",
        partial(_make, spatial_dims=2, in_channels=3, channels=(32, 64, 128, 256, 512)),
    )


def list_presets(pattern: str = "*") -> list[str]:
    """Names of the presets that match a pattern with the wild-cards ``*``, ``?`` and ``[...]``.

    Example:
        >>> list_presets("*unet_small_4f")
        ['unet_small_4f', 'lunet_small_4f']
    """
    return [name for name in PRESETS.names if fnmatchcase(name, pattern)]


def is_lean(preset: str) -> bool:
    """Whether a preset is a lean network: all levels have the same number of channels.

    Example:
        >>> is_lean("lunet_small_4f"), is_lean("unet_small_4f"), is_lean("lmsc_unet")
        (True, False, False)
    """
    channels = _keywords(preset).get("channels", ())
    return len(channels) > 1 and all(deeper == _LEAN * width for width, deeper in pairwise(channels))


def conventional_twin(preset: str) -> str | None:
    """The conventional preset that a lean preset is compared with, or None.

    It starts with as many channels and doubles them from level to level; everything else is the same. The result is
    None if the preset is not lean, or if there is no such conventional preset.

    Example:
        >>> conventional_twin("lunetpp_small_4f"), conventional_twin("unet_small_4f")
        ('unetpp_small_4f', None)
    """
    if not is_lean(preset):
        return None
    keywords = _keywords(preset)
    channels = keywords["channels"]
    wanted = {**keywords, "channels": _level_channels(channels[0], _CONVENTIONAL, len(channels))}
    of_class = (name for name in PRESETS.names if PRESETS[name].func is PRESETS[preset].func)
    return next((name for name in of_class if _keywords(name) == wanted), None)


def _keywords(preset: str) -> dict[str, Any]:
    return PRESETS[preset].keywords


def input_shape(preset: str) -> tuple[int, ...]:
    """Shape of the input for which the costs of a preset are given, ``(1, C, [D,] H, W)``, with the preset's own number
    of channels and axes.

    Example:
        >>> input_shape("lunet_small_4f"), input_shape("lmsc_unet")
        ((1, 1, 64, 64, 64), (1, 3, 256, 256))
    """
    defaults = signature(PRESETS[preset]).parameters
    sizes = _SIZE_OF_COSTS[defaults["spatial_dims"].default]
    return (1, defaults["in_channels"].default, *sizes)


def create_network(preset: str, **kwargs: Any) -> nn.Module:
    """Build a published network by its name.

    Args:
        preset: one of ``list_presets()``.
        kwargs: any keyword of the preset's class, most often ``in_channels``, ``out_channels``, ``dropout`` and
            ``spatial_dims``; it overrides the preset's own value. ``deep_supervision=False`` goes with every class.

    Returns:
        The network with its class's own initialisation, which is PyTorch's default where none was published.

    Raises:
        ValueError: if there is no such preset; the message gives the nearest names. Also if its class has no deep
            supervision, and it is asked for.

    Example:
        >>> network = create_network("lunet_small_4f", out_channels=3, dropout=0.005)
        >>> sum(p.numel() for p in network.parameters())
        9939
    """
    if preset not in PRESETS:
        near = get_close_matches(str(preset), PRESETS.names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(f"there is no preset {preset!r}: {hint}lunet_networks.list_presets() names all {len(PRESETS)}")
    make = PRESETS[preset]
    if "deep_supervision" not in signature(make).parameters and kwargs.pop("deep_supervision", False):
        name = make.func.__name__
        raise ValueError(f"{preset} is a {name}, which has no deep supervision: deep_supervision has to be False")
    return make(**kwargs)


def is_of_preset(network: nn.Module, preset: str) -> bool:
    """Whether a network has the class and the sizes of a preset; its channels of input and output may be any.

    Example:
        >>> is_of_preset(create_network("lunet_small_4f", out_channels=3), "lunet_small_4f")
        True
        >>> is_of_preset(create_network("lunet_small_4f", channels=(4, 4)), "lunet_small_4f")
        False
    """
    if preset not in PRESETS or type(network) is not PRESETS[preset].func:
        return False
    own = network.describe()
    return all(_plain(own.get(name)) == _plain(value) for name, value in PRESETS[preset].keywords.items())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@cache  # building all presets takes seconds
def network_without_weights(preset: str, **kwargs: Any) -> nn.Module:
    """The network of ``create_network`` on PyTorch's meta device, to count its parameters, operations and memory.

    It cannot compute. Whoever asks for the same gets the same object: leave it unchanged.

    Example:
        >>> network = network_without_weights("lunet_small_4f", out_channels=3)
        >>> sum(p.numel() for p in network.parameters())
        9939
    """
    with torch.device("meta"):
        return create_network(preset, **kwargs)
