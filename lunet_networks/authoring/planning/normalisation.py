"""How the intensities of a dataset are normalised: most rules are nnU-Net's, see docs/new_bundle.md."""

import re
from typing import Any

from lunet_networks.authoring.planning.fingerprint import ChannelIntensities, Fingerprint
from lunet_networks.bundle.data.picture_files import COLOURS, WHITE

EMPTY_SHARE = 0.25  # nnU-Net: from this share of zeros on, a z-score is that of the body inside them
CT = re.compile(r"(^|[\W_])ct([\W_]|$)", re.IGNORECASE)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of red, green and blue, white being 1
IMAGENET_IN_WORDS = "minus ImageNet's mean, divided by its standard deviation"


def plan_normalisation(fingerprint: Fingerprint, imagenet: bool) -> tuple[dict[str, Any], str, str]:
    """The transform, its description in words, and the reason.

    Args:
        fingerprint: of the dataset, with the channels that the network gets.
        imagenet: whether the network needs colours that are normalised as for ImageNet.
    """
    if imagenet and _in_eight_bit_colours(fingerprint):
        return _imagenet_transform(), IMAGENET_IN_WORDS, "published for this network; the pictures have 8 bits"
    is_ct = [bool(CT.search(modality)) for modality in fingerprint.modalities]
    channels = fingerprint.intensities
    if not any(is_ct):
        nonzero = all(channel.zero_share > EMPTY_SHARE for channel in channels)
        transform = {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": nonzero, "channel_wise": True}
        share = f"; {min(channel.zero_share for channel in channels):.0%} of an image is 0" if nonzero else ""
        words = "mean 0, standard deviation 1 of each image" + (" where it is not 0" if nonzero else "")
        return transform, words, f"{' and '.join(dict.fromkeys(fingerprint.modalities))} has no scale of its own{share}"
    words = ", ".join(_clipping(channel) for channel, ct in zip(channels, is_ct, strict=True) if ct)
    why = "CT has a scale: the 0.5 and 99.5 percentiles, mean and standard deviation of all foreground voxels"
    if len(channels) == 1:
        return _ct_transform(channels[0]), words, why
    if not all(is_ct):
        words += "; the other channels mean 0, standard deviation 1 of each image"
    each = [_ct_statistics(channel) if ct else None for channel, ct in zip(channels, is_ct, strict=True)]
    target = "lunet_networks.bundle.data.NormalizeChannelsd"
    return {"_target_": target, "keys": "image", "channels": each}, words, why


def _clipping(channel: ChannelIntensities) -> str:
    bounds = f"clipped from {channel.percentile_00_5:g} to {channel.percentile_99_5:g}"
    return f"{bounds}, minus {channel.mean:.4g}, divided by {channel.std:.4g}"


def _ct_statistics(channel: ChannelIntensities) -> dict[str, float]:
    return {
        "lower": channel.percentile_00_5,
        "upper": channel.percentile_99_5,
        "mean": round(channel.mean, 4),
        "std": round(channel.std, 4),
    }


def _ct_transform(channel: ChannelIntensities) -> dict[str, Any]:
    lower, upper, mean, std = _ct_statistics(channel).values()
    return {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": lower,
        "a_max": upper,
        "b_min": round((lower - mean) / std, 6),
        "b_max": round((upper - mean) / std, 6),
        "clip": True,
    }


def _in_eight_bit_colours(fingerprint: Fingerprint) -> bool:
    white_at_most = all(channel.max <= WHITE for channel in fingerprint.intensities)
    return fingerprint.of_pictures and fingerprint.in_channels == COLOURS and white_at_most


def _imagenet_transform() -> dict[str, Any]:
    return {
        "_target_": "NormalizeIntensityd",
        "keys": "image",
        "subtrahend": [round(WHITE * mean, 4) for mean in IMAGENET_MEAN],
        "divisor": [round(WHITE * std, 4) for std in IMAGENET_STD],
        "channel_wise": True,
    }
