"""The repository's bundles, made from the templates and one table. Never edit what this writes."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import lunet_networks
from tools.bundle_docs import bundle_facts
from tools.command_line import as_bool, run_commands

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "tools" / "templates"
PLACEHOLDER = re.compile(r"<([a-z_]+)>")

HIPPOCAMPUS = {
    "task": "Segmentation of the hippocampus, anterior and posterior, in MR images",
    "data_source": "Task04_Hippocampus of the Medical Segmentation Decathlon, http://medicaldecathlon.com",
    "modality": "MR",
    "dataset_dir": "/workspace/data/Task04_Hippocampus",
    "label_names": ["anterior", "posterior"],
    "in_channels": 1,
    "pixdim": [1.0, 1.0, 1.0],
    "roi_size": [48, 64, 48],
}
VERSIONED = {"monai": "monai", "pytorch": "torch", "numpy": "numpy"}  # metadata's name_version, by package
REQUIRED_PACKAGES = ("nibabel", "pytorch-ignite")
BUNDLES = {  # name: what fills the templates
    "lunet_small": {
        "title": "Lean U-Net, small",
        "preset": "lunet_small_4f",
        "training_note": "The schedule was set for 80 epochs at first; the run was then resumed and lengthened to 108.",
        **HIPPOCAMPUS,
    },
}


def tested_versions() -> dict[str, str]:
    """Versions in constraints.txt by package. Plain X.Y.Z: the model zoo's CI builds "torch==X.Y.Z" out of them."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def build_bundles(output_dir: str = str(ROOT / "bundles"), check: bool = False) -> None:
    """Write the generated files of all bundles.

    Args:
        output_dir: the folder of the bundles.
        check: write nothing; say which files are not as generated, and fail if there are any.
    """
    check = as_bool("check", check)
    stale = []
    for name, settings in BUNDLES.items():
        for relative, text in bundle_files(name, settings).items():
            path = Path(output_dir, name, relative)
            if check:
                if not path.is_file() or path.read_text(encoding="utf-8") != text:
                    stale.append(str(path))
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if stale:
        raise ValueError(f"not as generated, python -m tools.build_bundles writes them: {', '.join(stale)}")
    print(f"{len(BUNDLES)} bundles in {output_dir} {'are as generated' if check else 'written'}")


def bundle_files(name: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Text of all generated files of a bundle, by their path in it."""
    values = complete({"name": name, **settings})
    files = render(TEMPLATES, {**values, **bundle_facts(values, ROOT / "bundles" / name)})
    return {**files, "LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8")}


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All values that the templates need, out of those that have to be chosen.

    Args:
        settings: name, title, preset, task, data_source, modality, dataset_dir, label_names, in_channels, pixdim (mm)
            and roi_size (voxels).

    Returns:
        The same and what follows from them.
    """
    labels, versions = settings["label_names"], tested_versions()
    several = len(labels) > 1
    names = ["background", *labels]
    out_channels = len(names) if several else 1
    dims = len(settings["roi_size"])
    # Resampling turns about every axis in 3D, in the plane in 2D.
    turns = [math.radians(7.5)] * (3 if dims == 3 else 1)
    multiple = lunet_networks.create_network(settings["preset"]).size_multiple
    return {
        **settings,
        "version": lunet_networks.__version__,
        **{f"{name}_version": versions[package] for name, package in VERSIONED.items()},
        "required_packages": {
            **{package: versions[package] for package in REQUIRED_PACKAGES},
            "lunet-networks": lunet_networks.__version__,
        },
        "spatial_dims": dims,
        "out_channels": out_channels,
        "label_values": list(range(len(names))),
        "include_background": not several,
        "num_classes": out_channels if several else None,  # for a metric of label values; one channel needs no number
        "discretise": _discretise(out_channels),
        "rotate_range": [round(turn, 3) for turn in turns],
        "translate_range": [round(side * 0.05, 1) for side in settings["roi_size"]],
        "scale_range": [0.15] * dims,
        "channel_def": {str(value): name for value, name in enumerate(names)},
        # twice what the network divides by: some norms need more than one voxel at the coarsest level
        "spatial_shape": [f"{2 * multiple}*n"] * dims,
    }


def _discretise(out_channels: int) -> list[dict[str, Any]]:
    """Transforms from logits and labels to the form in which Dice is computed for each label."""
    if out_channels == 1:
        return [
            {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
            {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
        ]
    return [
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True, "to_onehot": out_channels},
        {"_target_": "AsDiscreted", "keys": "label", "to_onehot": out_channels},
    ]


def render(template_dir: str | Path, values: Mapping[str, Any]) -> dict[str, str]:
    """Fill the templates of a bundle.

    A placeholder ``<key>`` that is a whole YAML scalar becomes the value with its type; within a text it becomes part
    of that text.

    Args:
        template_dir: NAME.yaml become configs/NAME.json, logging.conf is copied, README.md and *.txt go to docs.
        values: by placeholder.

    Returns:
        Text by path in the bundle.

    Raises:
        KeyError: if a template has a placeholder without a value.
    """
    files = {}
    for path in sorted(Path(template_dir).iterdir()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yaml":
            config = _fill(yaml.safe_load(text), values)
            files[f"configs/{path.stem}.json"] = json.dumps(config, indent=4, ensure_ascii=False) + "\n"
        elif path.suffix in (".md", ".txt"):
            files[f"docs/{path.name}"] = _fill(text, values)
        else:
            files[f"configs/{path.name}"] = text
    return files


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: _fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, values) for value in template]
    if not isinstance(template, str):
        return template
    whole = PLACEHOLDER.fullmatch(template)
    return values[whole[1]] if whole else PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)


if __name__ == "__main__":
    run_commands(build_bundles)
