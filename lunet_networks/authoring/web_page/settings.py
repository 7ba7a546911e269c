"""What a page needs to know of a bundle's inference, read from the components of inference.json; what a page cannot
compute is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai import transforms as monai_transforms
from monai.bundle import ConfigParser

from lunet_networks.bundle import data as own_data
from lunet_networks.bundle import inference as own_inference
from lunet_networks.bundle.inference.saving import NIFTI
from lunet_networks.bundle.inference.segments import nifti_labels, read_segments

__all__ = ["page_settings"]

Settings = dict[str, Any]
MOST_LABELS = 255  # a page's label maps have 8 bits
AXES = {2: "RA", 3: "RAS"}


def page_settings(root: Path, parser: ConfigParser, metadata: Mapping[str, Any]) -> Settings:
    """The settings of a page's inference, as JSON.

    Args:
        root: the bundle's folder, whose metadata.json describes the labels.
        parser: of inference.json.
        metadata: metadata.json.

    Raises:
        ValueError: if the inference does something that a page cannot; the message names the id and what is there.
    """
    roi = [int(side) for side in parser.get_parsed_content("roi_size")]
    names = [str(name) for name in parser.get_parsed_content("label_names")]
    channels, outputs = (int(parser.get_parsed_content(name)) for name in ("in_channels", "out_channels"))
    dims = len(roi)
    if len(names) > MOST_LABELS:
        raise ValueError(f"a page writes label maps of 8 bits: label_names has {len(names)}, at most {MOST_LABELS}")
    if parser.get_parsed_content("save_probabilities"):
        raise ValueError("a page saves labels only: set save_probabilities to false in inference.json")
    segments = read_segments(root, names)
    flat = [1] * (3 - dims)
    return {
        "dims": dims,
        "channels": channels,
        "outputs": outputs,
        "labels": [{"name": segment.name, "colour": list(segment.colour)} for segment in segments],
        "extension": nifti_labels(segments).decode(),
        "channelNames": _channel_names(metadata, channels),
        "roi": [*roi, *flat],
        **_windows(parser, roi),
        **_preprocessing(parser, dims, channels),
        **_postprocessing(parser, len(names)),
    }


def _windows(parser: ConfigParser, roi: list[int]) -> Settings:
    inferer = parser.get_parsed_content("inferer")
    axes: tuple[int, ...] = ()
    if type(inferer) is own_inference.FlipInferer:
        axes, inferer = tuple(inferer.spatial_axes), inferer.inferer
    _require("inferer", type(inferer).__name__, ["SlidingWindowInferer"])
    _require("inferer's mode", str(inferer.mode), ["gaussian"])
    _require("inferer's padding_mode", str(inferer.padding_mode), ["constant"])
    _require("inferer's sigma_scale", inferer.sigma_scale, [0.125])
    _require("inferer's spatial_axes", axes, [(), (0,)])
    _require("inferer's roi_size", [*inferer.roi_size], [roi])
    return {"overlap": float(inferer.overlap), "flip": bool(axes)}


def _preprocessing(parser: ConfigParser, dims: int, channels: int) -> Settings:
    steps = list(parser.get_parsed_content("preprocessing").transforms)
    names = [type(step).__name__ for step in steps]
    grey = "GreyToColourd" in names
    expected = ["LoadImaged", "EnsureChannelFirstd", *["GreyToColourd"] * grey, "Orientationd", "Spacingd", names[-1]]
    _require("preprocessing", names, [expected])
    _require("preprocessing's axcodes", steps[2 + grey].ornt_transform.axcodes, [AXES[dims]])
    spacing = steps[3 + grey]
    _require("preprocessing's mode of Spacingd", [str(mode) for mode in spacing.mode], [["bilinear"]])
    normalisation = _NORMALISATIONS.get(type(steps[-1]))
    if normalisation is None:
        known = ", ".join(kind.__name__ for kind in _NORMALISATIONS)
        raise ValueError(f"a page normalises by {known}: preprocessing has {names[-1]}")
    return {
        "pixdim": [*(float(step) for step in spacing.spacing_transform.pixdim[:dims]), *[1.0] * (3 - dims)],
        "normalisation": normalisation(steps[-1], channels),
        "greyToColour": grey,
    }


def _postprocessing(parser: ConfigParser, labels: int) -> Settings:
    transforms = parser.get_parsed_content("postprocessing").transforms
    steps = [step for step in transforms if not isinstance(step, monai_transforms.SqueezeDimd)]
    names, writer = [type(step).__name__ for step in steps], steps[-1]
    largest = "KeepLargestComponentd" in names
    expected = ["Activationsd", "Invertd", "AsLabelsd", *["KeepLargestComponentd"] * largest]
    _require("postprocessing", names, [[*expected, name] for name in ("SaveImageLabelsd", "SaveImageMasksd")])
    _require("output_format", writer.output_format, [NIFTI])
    if largest:
        _require("postprocessing's label_values", sorted(steps[-2].label_values), [list(range(1, labels + 1))])
    return {"largest": largest, "white": writer.white}


def _z_score(step: Any, channels: int) -> list[Settings]:
    normaliser = step.normalizer
    if channels > 1:
        _require("preprocessing's channel_wise", bool(normaliser.channel_wise), [True])
    if normaliser.subtrahend is None and normaliser.divisor is None:
        return [{"kind": "z_score", "nonzero": bool(normaliser.nonzero)}] * channels
    if normaliser.subtrahend is None or normaliser.divisor is None:
        raise ValueError("a page needs both subtrahend and divisor of NormalizeIntensityd, or neither")
    pairs = [np.broadcast_to(each, channels).tolist() for each in (normaliser.subtrahend, normaliser.divisor)]
    return [
        {"kind": "fixed", "subtrahend": subtrahend, "divisor": divisor, "nonzero": bool(normaliser.nonzero)}
        for subtrahend, divisor in zip(*pairs, strict=True)
    ]


def _range(step: Any, channels: int) -> list[Settings]:
    scaler = step.scaler
    if scaler.b_min is None or scaler.b_max is None or scaler.a_min == scaler.a_max:
        raise ValueError("a page needs b_min and b_max of ScaleIntensityRanged, and a_min below a_max")
    limits = {"from": [scaler.a_min, scaler.a_max], "to": [scaler.b_min, scaler.b_max], "clip": bool(scaler.clip)}
    return [{"kind": "range", **limits}] * channels


def _by_channel(step: Any, channels: int) -> list[Settings]:
    return [
        {"kind": "guarded_z_score"} if each is None else {"kind": "clipped", **{k: float(v) for k, v in each.items()}}
        for each in step.channels
    ]


_NORMALISATIONS: dict[type, Callable[[Any, int], list[Settings]]] = {
    monai_transforms.NormalizeIntensityd: _z_score,
    monai_transforms.ScaleIntensityRanged: _range,
    own_data.NormalizeChannelsd: _by_channel,
}


def _channel_names(metadata: Mapping[str, Any], channels: int) -> list[str]:
    try:
        named = metadata["network_data_format"]["inputs"]["image"]["channel_def"]
        return [str(named[str(number)]) for number in range(channels)]
    except (KeyError, TypeError):
        return [f"channel {number}" for number in range(channels)]


def _require(name: str, found: Any, possible: list[Any]) -> None:
    if found not in possible:
        words = " or ".join(map(str, possible))
        raise ValueError(f"a page computes with {words} as {name} of inference.json: it is {found}")
