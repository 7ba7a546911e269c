"""The templates of a bundle, and the values that fill them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

import lunet_networks
from lunet_networks.bundle.data.picture_files import COLOURS
from lunet_networks.bundle.runtime.files import config_text

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"  # of all bundles; its folders are merged over them, see families.template_dirs
PLACEHOLDER = re.compile(r"<([a-z_]+)>")
SPLICE = re.compile(r"<\*([a-z_]+)>")
VERSIONED = {"monai": "monai", "pytorch": "torch", "numpy": "numpy"}  # metadata's name_version, by package
REQUIRED_PACKAGES = ("nibabel", "pytorch-ignite")
NIFTI_OR_NRRD = "NIfTI or NRRD files"
ROTATION = math.radians(7.5)


def tested_versions() -> dict[str, str]:
    """Versions that the tests ran with, by package. Plain X.Y.Z: the model zoo's CI builds "torch==X.Y.Z" out of them.

    ``python -m tools.build_bundles`` copies them from constraints.txt, which an installed package has not.
    """
    return json.loads((HERE / "tested_versions.json").read_text(encoding="utf-8"))


def licence_text() -> str:
    """The Apache licence, for the file LICENSE of a bundle; a copy of the repository's."""
    return (HERE / "LICENSE").read_text(encoding="utf-8")


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All values that the configs need, out of those that had to be chosen.

    Args:
        settings: name, title, preset, label_names, ignore_label (None: there is none), in_channels, pixdim (mm),
            roi_size (voxels), turning_axes (those that augmentation turns about), mirrored_axes (along which it
            mirrors), quarter_turns (whether it turns by 90 degrees), by_class (whether patches are drawn label by
            label) and whatever the templates name besides.

    Returns:
        The same and what follows from them.
    """
    names = ["background", *settings["label_names"]]
    out_channels = count_outputs(settings["label_names"])
    several = out_channels > 1
    ignore_label = settings["ignore_label"]
    dims = len(settings["roi_size"])
    versions = tested_versions()
    multiple = lunet_networks.create_network(settings["preset"], spatial_dims=dims).size_multiple
    return {
        **settings,
        "version": lunet_networks.__version__,
        "changelog": {lunet_networks.__version__: "first version"},
        **{f"{name}_version": versions[package] for name, package in VERSIONED.items()},
        "required_packages": {
            **{package: versions[package] for package in REQUIRED_PACKAGES},
            "lunet-networks": lunet_networks.__version__,
        },
        "spatial_dims": dims,
        "axcodes": "RAS"[:dims],
        "image_files": NIFTI_OR_NRRD if dims == 3 else f"{NIFTI_OR_NRRD} or pictures (PNG, JPG, TIFF; label maps: PNG)",
        "grey_to_colour": _grey_to_colour(dims, settings["in_channels"]),
        "without_channel": [{"_target_": "SqueezeDimd", "keys": "pred", "dim": 0}] if dims == 2 else [],
        "label_writer": _label_writer(dims, len(settings["label_names"])),
        "out_channels": out_channels,
        "several": several,
        "single": not several,
        "softmax": "$softmax_in_place" if several else None,
        "threshold": None if several else 0.5,
        "num_values": len(names),
        "values_besides": 1 if ignore_label is None else 2,  # the background, and what is ignored
        "label_values": [*range(len(names)), *([] if ignore_label is None else [ignore_label])],
        "include_background": not several,
        "discretise": _discretise(out_channels, ignore_label),
        "clear_ignored": _clear_ignored(ignore_label),
        "labels_of_batch": _labels_of_batch(ignore_label),
        "crop": _crop(len(names), ignore_label, settings["by_class"]),
        "flips": _flips(settings["mirrored_axes"], settings["quarter_turns"]),
        "rotate_range": _rotate_range(settings["turning_axes"], dims),
        "translate_range": [round(side * 0.05, 1) for side in settings["roi_size"]],
        "scale_range": [0.15] * dims,
        "image_channel_def": {str(channel): name for channel, name in enumerate(settings["channel_names"])},
        "channel_def": {str(value): name for value, name in enumerate(names)},
        # twice what the network divides by: some norms need more than one voxel at the coarsest level
        "spatial_shape": [f"{2 * multiple}*n"] * dims,
    }


def count_outputs(label_names: Sequence[str]) -> int:
    """Channels that a network gives: one for a sigmoid, or one for each label and the background.

    Example:
        >>> count_outputs(["tumour"]), count_outputs(["anterior", "posterior"])
        (1, 3)
    """
    return 1 if len(label_names) == 1 else len(label_names) + 1


def _discretise(out_channels: int, ignore_label: int | None) -> list[dict[str, Any]]:
    """Transforms from logits and labels to the form in which Dice is computed for each label."""
    if out_channels == 1:
        return [
            {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
            {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
            *_clear_ignored(ignore_label),
        ]
    return [
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        *_clear_ignored(ignore_label),
        {"_target_": "AsDiscreted", "keys": ["pred", "label"], "to_onehot": out_channels},
    ]


def _clear_ignored(ignore_label: int | None) -> list[dict[str, Any]]:
    if ignore_label is None:
        return []
    annotated = f"$lambda label: label != {ignore_label}"
    return [
        {"_target_": "MaskIntensityd", "keys": ["pred", "label"], "mask_key": "label", "select_fn": annotated},
    ]


def _labels_of_batch(ignore_label: int | None) -> str:
    if ignore_label is None:
        return "$labels_of_batch"
    return f"$lambda output: labels_of_batch(output, ignore_label={ignore_label})"


def _crop(num_values: int, ignore_label: int | None, by_class: bool) -> dict[str, Any]:
    """The transform that cuts patches: half of them around background, half around foreground."""
    common = {"keys": ["image", "label"], "label_key": "label", "spatial_size": "@roi_size", "num_samples": 1}
    if not by_class:
        return {"_target_": "RandCropByPosNegLabeld", **common}
    ratios = [num_values - 1, *[1] * (num_values - 1), *([] if ignore_label is None else [0])]
    by_label = {"ratios": ratios, "num_classes": len(ratios), "warn": False}  # cases may well lack a label
    return {"_target_": "RandCropByLabelClassesd", **common, **by_label}


def _flips(mirrored_axes: Sequence[int], quarter_turns: bool) -> list[dict[str, Any]]:
    both = {"keys": ["image", "label"]}
    flips = [{"_target_": "RandFlipd", **both, "prob": 0.5, "spatial_axis": axis} for axis in mirrored_axes]
    return [*flips, *([{"_target_": "RandRotate90d", **both, "prob": 0.5}] if quarter_turns else [])]


def _rotate_range(turning_axes: Sequence[int], dims: int) -> list[float]:
    if dims == 2:  # there is a single angle
        return [round(ROTATION, 3) if turning_axes else 0.0]
    return [round(ROTATION, 3) if axis in turning_axes else 0.0 for axis in range(dims)]


def _grey_to_colour(dims: int, in_channels: int) -> list[dict[str, Any]]:
    """Grey pictures are taken among those in colour."""
    if (dims, in_channels) != (2, COLOURS):
        return []
    return [{"_target_": "lunet_networks.bundle.data.GreyToColourd", "keys": "image"}]


def _label_writer(dims: int, num_labels: int) -> str:
    """The transform that writes label maps."""
    if dims == 3:
        return "SaveImaged"
    return f"lunet_networks.bundle.inference.{'SaveMasksd' if num_labels == 1 else 'SaveLabelsd'}"


def render(values: Mapping[str, Any], *template_dirs: str | Path) -> dict[str, str]:
    """Fill the templates of a bundle.

    A placeholder ``<key>`` that is a whole YAML scalar becomes the value with its type; within a text it becomes part
    of that text. An item ``<*key>`` of a list becomes the items of the value, which may be none.

    Args:
        values: by placeholder.
        template_dirs: NAME.yaml become configs/NAME.json, logging.conf is copied, README.md and *.txt go to docs. A
            NAME.yaml that an earlier folder has too is merged over that one, as MONAI merges configs; settings that it
            adds stand behind those there are.

    Returns:
        Text by path in the bundle.

    Raises:
        KeyError: if a template has a placeholder without a value.
    """
    files: dict[str, str] = {}
    configs: dict[str, dict[str, Any]] = {}
    for path in (path for folder in template_dirs for path in sorted(Path(folder).iterdir()) if path.is_file()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yaml":
            config = _fill(yaml.safe_load(text), values)
            configs[path.stem] = _merge(configs[path.stem], config) if path.stem in configs else config
        elif path.suffix in (".md", ".txt"):
            files[f"docs/{path.name}"] = _fill(text, values)
        else:
            files[f"configs/{path.name}"] = text
    return {**{f"configs/{name}.json": config_text(config) for name, config in configs.items()}, **files}


def _merge(config: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config with changes to parts of it, named by MONAI's ids (with ``+`` in front items are added to a list), and
    with what else the changes hold: settings stand behind those that there are, ids of parts that another config has at
    the end."""
    settings = {name: value for name, value in changes.items() if name not in config and "#" not in name}
    parts = {name: name.removeprefix("+").partition("#")[0] for name in changes}
    of_others = {name: value for name, value in changes.items() if parts[name] not in {*config, *settings}}
    own = list(config)
    place = own.index("settings") if "settings" in own else len(own)
    ordered = {name: config.get(name, settings.get(name)) for name in [*own[:place], *settings, *own[place:]]}
    parser = ConfigParser(ordered)
    for name, value in changes.items():
        if name not in {*settings, *of_others}:
            merge_kv(parser, name, value)
    return {**parser.get(), **of_others}


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: _fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [item for part in template for item in _items(part, values)]
    if not isinstance(template, str):
        return template
    whole = PLACEHOLDER.fullmatch(template)
    return values[whole[1]] if whole else PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)


def _items(part: Any, values: Mapping[str, Any]) -> list[Any]:
    spliced = SPLICE.fullmatch(part) if isinstance(part, str) else None
    return values[spliced[1]] if spliced else [_fill(part, values)]
