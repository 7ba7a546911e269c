"""The values that fill the templates of a bundle: those that were decided, and what follows from them."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lunet_networks
from lunet_networks.authoring.planning.templating import Component
from lunet_networks.bundle.data.labels import count_outputs, label_values
from lunet_networks.bundle.data.picture_files import COLOURS
from lunet_networks.bundle.training.history import KEY_METRIC, TRAIN_METRIC

HERE = Path(__file__).parent
VERSIONED = {"monai": "monai", "pytorch": "torch", "numpy": "numpy"}  # metadata's name_version, by package
REQUIRED_PACKAGES = ("nibabel", "pytorch-ignite")
NIFTI_OR_NRRD = "NIfTI or NRRD files"
ROTATION = round(math.radians(7.5), 3)


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All values that the templates need, derived from those that were chosen.

    Args:
        settings: name, title, preset, label_names, ignore_label (None: there is none), in_channels, pixdim (mm),
            roi_size (voxels), turning_axes (those that augmentation turns about), mirrored_axes (along which it
            mirrors), quarter_turns (whether it turns by 90 degrees), by_class (whether patches are drawn label by
            label) and everything else that the templates name.

    Returns:
        The same and what follows from them.
    """
    dims = len(settings["roi_size"])
    return {
        **settings,
        **_versions(),
        **_formats(dims, settings["in_channels"], len(settings["label_names"])),
        **_metadata(settings, dims),
        "key_metric": KEY_METRIC,
        "train_metric": TRAIN_METRIC,
        "spatial_dims": dims,
        "num_labels": len(settings["label_names"]),
        "axcodes": "RAS"[:dims],
        "crop": _crop(settings["by_class"]),
        "flips": _flips(settings["mirrored_axes"], settings["quarter_turns"]),
        "rotate_range": _rotate_range(settings["turning_axes"], dims),
        "translate_range": [round(side * 0.05, 1) for side in settings["roi_size"]],
        "scale_range": [0.15] * dims,
    }


def tested_versions() -> dict[str, str]:
    """Versions that the tests ran with, by package. Plain X.Y.Z: the model zoo's CI builds "torch==X.Y.Z" out of them.

    ``python -m tools.build_bundles`` copies them from constraints.txt, which an installed package does not have.
    """
    return json.loads((HERE / "tested_versions.json").read_text(encoding="utf-8"))


def licence_text() -> str:
    """The Apache licence, for the file LICENSE of a bundle; a copy of the repository's."""
    return (HERE / "LICENSE").read_text(encoding="utf-8")


def _versions() -> dict[str, Any]:
    versions, own = tested_versions(), lunet_networks.__version__
    return {
        "version": own,
        "changelog": {own: "first version"},
        **{f"{name}_version": versions[package] for name, package in VERSIONED.items()},
        "required_packages": {**{name: versions[name] for name in REQUIRED_PACKAGES}, "lunet-networks": own},
    }


def _metadata(settings: Mapping[str, Any], dims: int) -> dict[str, Any]:
    """Channels and sizes of the network, which metadata.json gives in numbers; configs take them from the labels."""
    names = dict(zip(label_values(settings["label_names"]), ["background", *settings["label_names"]], strict=True))
    multiple = lunet_networks.create_network(settings["preset"], spatial_dims=dims).size_multiple
    return {
        "out_channels": count_outputs(settings["label_names"]),
        "image_channel_def": {str(channel): name for channel, name in enumerate(settings["channel_names"])},
        "channel_def": {str(value): name for value, name in names.items()},
        # twice what the network divides by: some norms need more than one voxel at the coarsest level
        "spatial_shape": [f"{2 * multiple}*n"] * dims,
    }


def _formats(dims: int, in_channels: int, num_labels: int) -> dict[str, Any]:
    """Which files are read and written, and by what; pictures have two dimensions."""
    if dims == 3:
        return {
            "image_files": NIFTI_OR_NRRD,
            "grey_to_colour": [],
            "without_channel": [],
            "label_writer": "lunet_networks.bundle.inference.SaveImageLabelsd",
        }
    to_colour = Component(_target_="lunet_networks.bundle.data.GreyToColourd", keys="image")
    return {
        "image_files": f"{NIFTI_OR_NRRD} or pictures (PNG, JPG, TIFF; label maps: PNG)",
        "grey_to_colour": [to_colour] if in_channels == COLOURS else [],  # grey ones are taken among those in colour
        "without_channel": [Component(_target_="SqueezeDimd", keys="pred", dim=0)],
        "label_writer": f"lunet_networks.bundle.inference.SaveImage{'Masks' if num_labels == 1 else 'Labels'}d",
    }


def _crop(by_class: bool) -> Component:
    """The transform that cuts patches: half of them around background, half around foreground. Ignored voxels
    belong to no class, so no patch is cut around them."""
    common = {"keys": ["image", "label"], "label_key": "label", "spatial_size": "@roi_size", "num_samples": 1}
    if not by_class:
        return Component(_target_="lunet_networks.bundle.data.RandCropByPosNegLabeld", **common)
    return Component(
        _target_="RandCropByLabelClassesd",
        **common,
        ratios="$[len(@label_names)] + [1] * len(@label_names)",
        num_classes="$len(@label_names) + 1",
        warn=False,  # cases may well lack a label
    )


def _flips(mirrored_axes: Sequence[int], quarter_turns: bool) -> list[Component]:
    both = {"keys": ["image", "label"]}
    flips = [Component(_target_="RandFlipd", **both, prob=0.5, spatial_axis=axis) for axis in mirrored_axes]
    return [*flips, *([Component(_target_="RandRotate90d", **both, prob=0.5)] if quarter_turns else [])]


def _rotate_range(turning_axes: Sequence[int], dims: int) -> list[float]:
    if dims == 2:  # there is a single angle
        return [ROTATION if turning_axes else 0.0]
    return [ROTATION if axis in turning_axes else 0.0 for axis in range(dims)]
