"""How the intensities of a dataset are normalised: most rules are nnU-Net's, see docs/new_bundle.md."""

import re

from lunet_networks.authoring.planning.fingerprint import ChannelIntensities, Fingerprint
from lunet_networks.authoring.planning.intensities import plain
from lunet_networks.authoring.planning.templating import Component
from lunet_networks.bundle.data.picture_files import COLOURS, WHITE

EMPTY_SHARE = 0.25  # nnU-Net: from this share of zeros on, a z-score is that of the body inside them
LEAST_SPAN = 1e-3  # of the standard deviation: percentiles that are nearer leave nothing between them
CT = re.compile(r"(^|[\W_])ct([\W_]|$)", re.IGNORECASE)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of red, green and blue, white being 1
IMAGENET_IN_WORDS = "minus ImageNet's mean, divided by its standard deviation"


def plan_normalisation(fingerprint: Fingerprint, imagenet: bool) -> tuple[Component, str, str]:
    """The transform, its description in words, and the reason.

    Args:
        fingerprint: of the dataset, with the channels that the network gets.
        imagenet: whether the network needs colours that are normalised as for ImageNet.
    """
    if imagenet and _in_eight_bit_colours(fingerprint):
        return _imagenet_transform(), IMAGENET_IN_WORDS, "published for this network; the pictures have 8 bits"
    is_ct = [bool(CT.search(modality)) for modality in fingerprint.modalities]
    if not any(is_ct):
        return _by_image(fingerprint)
    channels = fingerprint.intensities
    unusable = {number: _unusable(channel) for number, channel in enumerate(channels) if is_ct[number]}
    clipped = [channel if unusable.get(number) == "" else None for number, channel in enumerate(channels)]
    words = [_clipping(channel) for channel in clipped if channel]
    whys = ["CT has a scale: the 0.5 and 99.5 percentiles, mean and standard deviation of all foreground voxels"]
    if not words:
        whys, words = [], ["mean 0, standard deviation 1 of each image"]
    elif not all(clipped):
        words.append("the other channels mean 0, standard deviation 1 of each image")
    whys += [
        f"the foreground of channel {number} ({fingerprint.modalities[number]}) {why}"
        for number, why in unusable.items()
        if why
    ]
    return _transform(clipped), "; ".join(words), "; ".join(whys)


def _by_image(fingerprint: Fingerprint) -> tuple[Component, str, str]:
    """Each channel of each image by its own mean and standard deviation."""
    channels = fingerprint.intensities
    empty = all(channel.zero_share > EMPTY_SHARE for channel in channels)
    one_valued = max(channel.one_valued_cases for channel in channels)
    nonzero = empty and not one_valued
    why = f"{' and '.join(dict.fromkeys(fingerprint.modalities))} has no scale of its own"
    if empty:
        why += f"; {min(channel.zero_share for channel in channels):.0%} of an image is 0"
    if empty and one_valued:
        why += f", but the voxels that are not 0 all hold one value in {one_valued} of {len(fingerprint.cases)} cases"
    words = "mean 0, standard deviation 1 of each image" + (" where it is not 0" if nonzero else "")
    return _z_score(nonzero), words, why


def _z_score(nonzero: bool) -> Component:
    return Component(_target_="NormalizeIntensityd", keys="image", nonzero=nonzero, channel_wise=True)


def _unusable(channel: ChannelIntensities) -> str:
    """Why the statistics of a foreground cannot scale the images; "" if they can."""
    if channel.std == 0:
        return f"holds the single value {channel.mean:g}, which gives no statistics"
    low, high = channel.percentile_00_5, channel.percentile_99_5
    if high - low < LEAST_SPAN * channel.std:
        return f"has the percentiles {low:g} and {high:g}, too close for its standard deviation of {channel.std:.4g}"
    return ""


def _clipping(channel: ChannelIntensities) -> str:
    bounds = f"clipped from {channel.percentile_00_5:g} to {channel.percentile_99_5:g}"
    return f"{bounds}, minus {channel.mean:.4g}, divided by {channel.std:.4g}"


def _transform(clipped: list[ChannelIntensities | None]) -> Component:
    """Clips channels by their statistics; the others, which are None, are normalised image by image."""
    if not any(clipped):
        return _z_score(nonzero=False)
    if len(clipped) == 1:
        return _ct_transform(clipped[0])
    each = [channel and _ct_statistics(channel) for channel in clipped]
    return Component(_target_="lunet_networks.bundle.data.NormalizeChannelsd", keys="image", channels=each)


def _ct_statistics(channel: ChannelIntensities) -> dict[str, float]:
    return {
        "lower": channel.percentile_00_5,
        "upper": channel.percentile_99_5,
        "mean": channel.mean,
        "std": channel.std,
    }


def _ct_transform(channel: ChannelIntensities) -> Component:
    lower, upper, mean, std = _ct_statistics(channel).values()
    return Component(
        _target_="ScaleIntensityRanged",
        keys="image",
        a_min=lower,
        a_max=upper,
        b_min=plain((lower - mean) / std),
        b_max=plain((upper - mean) / std),
        clip=True,
    )


def _in_eight_bit_colours(fingerprint: Fingerprint) -> bool:
    white_at_most = all(channel.max <= WHITE for channel in fingerprint.intensities)
    return fingerprint.of_pictures and fingerprint.in_channels == COLOURS and white_at_most


def _imagenet_transform() -> Component:
    return Component(
        _target_="NormalizeIntensityd",
        keys="image",
        subtrahend=[round(WHITE * mean, 4) for mean in IMAGENET_MEAN],
        divisor=[round(WHITE * std, 4) for std in IMAGENET_STD],
        channel_wise=True,
    )
