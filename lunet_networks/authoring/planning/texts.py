"""What a bundle says about itself and its data in metadata.json and documents; each figure is read from its source."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lunet_networks import PRESETS
from lunet_networks.authoring.planning.anatomy import described_segments
from lunet_networks.authoring.planning.decisions import Plan
from lunet_networks.authoring.planning.described_settings import described_settings
from lunet_networks.authoring.planning.families import FAMILIES, template_dirs
from lunet_networks.authoring.planning.fingerprint import Fingerprint
from lunet_networks.authoring.planning.licences import licence_document
from lunet_networks.authoring.planning.templating import PLACEHOLDER
from lunet_networks.bundle.report.summaries import best_epoch, means_table, num_cases, other_settings, read_rows
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.outputs import RECORDS
from lunet_networks.presets import input_shape, network_without_weights
from lunet_networks.summary import count_macs, count_parameters

NOBODY = "Not named"
MODALITIES = {"MRI": "MR", "MR": "MR"}  # as the model zoo writes it


def bundle_texts(fingerprint: Fingerprint, family: str, preset: str, plan: Plan) -> dict[str, Any]:
    """The texts that fill the templates, made from dataset.json.

    Args:
        fingerprint: of the dataset.
        family: a key of ``FAMILIES``.
        preset: that its bundle has.
        plan: for this dataset.
    """
    modality = ", ".join(dict.fromkeys(MODALITIES.get(name, name) for name in fingerprint.modalities))
    labels = ", ".join(fingerprint.label_names)
    title, papers = FAMILIES[family].title_and_papers(preset)
    references = [*papers, *([fingerprint.reference] if fingerprint.reference else [])]
    in_channels = plan.values["in_channels"]
    return {
        "title": f"{title}: {fingerprint.name}",
        "task": f"{fingerprint.name}: segmentation of {labels} in {modality} images",
        "modality": modality,
        "labels": labels,
        "segments": described_segments(fingerprint.label_names, fingerprint.name),
        "data_type": "png" if fingerprint.of_pictures else "nifti",
        "channel_names": _channel_names(fingerprint, in_channels),
        "image_classes": f"{_count(in_channels)} of {modality}, normalised: {plan.values['normalisation']}",
        "data_source": fingerprint.reference or fingerprint.name,
        "data": _data(fingerprint, modality, labels),
        "data_licence": licence_document(fingerprint.name, fingerprint.reference, fingerprint.licence),
        "dataset_dir": f"/workspace/data/{fingerprint.name.replace(' ', '_')}",
        "references": references,
        "citation": ". ".join(references) + ".",
        "decisions": _table(plan),
        "training_note": "",
    }


def authorship(authors: str | None) -> dict[str, str]:
    """What a bundle says of who made it.

    Args:
        authors: None if they were not named.

    Example:
        >>> authorship("A. Person")["copyright"], authorship(None)["authors"]
        ('Copyright (c) A. Person', 'Not named')
    """
    if not authors:
        return {"authors": NOBODY, "copyright": "That of the authors of this bundle, who are not named"}
    return {"authors": authors, "copyright": f"Copyright (c) {authors}"}


def _channel_names(fingerprint: Fingerprint, in_channels: int) -> list[str]:
    if in_channels != fingerprint.in_channels:
        return ["red", "green", "blue"]
    return ["image"] if in_channels == 1 else list(fingerprint.modalities)


def _count(channels: int) -> str:
    return "one channel" if channels == 1 else f"{channels} channels"


def _data(fingerprint: Fingerprint, modality: str, labels: str) -> str:
    cases = fingerprint.num_training + fingerprint.num_validation
    channels = _count(fingerprint.in_channels)
    about = [text.rstrip(".") + "." for text in (fingerprint.description, fingerprint.reference) if text]
    return (
        f"{fingerprint.name}: {cases} labelled cases in {fingerprint.spatial_dims} dimensions, {channels} of "
        f"{modality}, with the labels {labels}." + "".join(f" {text}" for text in about)
    )


def _table(plan: Plan) -> str:
    rows = ["| setting | value | why | change |", "|---|---|---|---|"]
    for decision in plan.decisions:
        cells = (f"`{decision.setting}`", decision.value, decision.why, decision.change)
        rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(rows)


DESCRIBED = ("train", "evaluate", "visualize", "inference", "benchmark")  # configs whose settings README.md lists


def bundle_facts(values: Mapping[str, Any], records: Path | None) -> dict[str, str]:
    """The values of README.md's placeholders that the configs do not use.

    Args:
        values: those of ``lunet_networks.authoring.planning.values.complete``.
        records: folder that may hold the records of a training.
    """
    described = ("family", "preset", "spatial_dims", "in_channels", "out_channels")
    return {
        **_network_facts(*(values[name] for name in described)),
        "performance": _performance(values, records),
        **{f"{name}_settings": settings_table(templates(values, name), values) for name in DESCRIBED},
        "pruning": _pruning(values) if FAMILIES[values["family"]].pruning else "",
    }


@functools.cache
def _network_facts(family: str, preset: str, spatial_dims: int, in_channels: int, out_channels: int) -> dict[str, str]:
    network = network_without_weights(
        preset, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels
    )
    shape = [input_shape(preset)[-1]] * spatial_dims
    return {
        "network": PRESETS.components[preset].description,
        "parameters": f"{count_parameters(network):,}",
        "macs": f"{count_macs(network, (1, in_channels, *shape)) / 1e9:.3f}",
        "macs_shape": " x ".join(map(str, shape)),
        "network_note": FAMILIES[family].note(network),
    }


def _pruning(values: Mapping[str, Any]) -> str:
    """How the network is made narrower, as a part of the text that says what the commands do."""
    return f"""

```
python -m monai.bundle run pruning --config_file "['configs/train.json','configs/prune.json']" --dataset_dir DATASET
```

removes {FAMILIES[values["family"]].pruning} while the network trains, from the trained weights on with `--pretrained
models/model.pt`. It leaves in `output_dir` a bundle of the pruned network, `pruning_history.csv` and `pruning.png`;
`--resume True` continues it.

### Settings of prune.json

{settings_table(templates(values, "prune"), values)}"""


def _performance(values: Mapping[str, Any], records: Path | None) -> str:
    """How the weights that come with the bundle were trained, and the means of their evaluation, one row per label."""
    weights = (
        {"models": records, **{f"models/{preset}": records / preset for preset in PRESETS.names}} if records else {}
    )
    trained = [
        _training(values, ckpt_dir, folder)
        for ckpt_dir, folder in weights.items()
        if all((folder / name).is_file() for name in RECORDS.values())
    ]
    return (
        "\n\n".join(trained)
        or "No trained weights come with this bundle, as it has not been trained to its end yet: the first of the "
        "commands below trains it."
    )


def _training(values: Mapping[str, Any], ckpt_dir: str, records: Path) -> str:
    run = json.loads((records / RECORDS[outputs.RUN_RECORD]).read_text(encoding="utf-8"))
    history, summary = (read_rows(records / RECORDS[name]) for name in (outputs.HISTORY, outputs.SUMMARY))
    settings, versions, training, validation = run["settings"], run["versions"], *run["cases"].values()
    others = other_settings(settings, _defaults(templates(values, "train"), values))
    with_others = f" but {others}" if others else ""
    minutes = sum(float(row["seconds"]) for row in history) / 60
    chose = ", which also chose the best epoch" if summary[0]["chose_best_model"] == "yes" else ""
    return (
        f"`{ckpt_dir}/model.pt` holds `{settings['preset']}` after epoch {best_epoch(history)} of "
        f"{settings['epochs']}, trained on {len(training)} cases in {minutes:.0f} minutes with torch "
        f"{versions['torch']} and the settings below{with_others} (seed {settings['seed']}, fold "
        f"{settings['fold']} of {settings['num_folds']}).\n\n"
        f"{means_table(summary)}\n\n"
        f"Means over the {num_cases(summary)} {summary[0]['cases']} cases{chose}. "
        f"`{RECORDS[outputs.RUN_RECORD]}` lists the {len(training)} training and the {len(validation)} validation "
        f"cases, `{RECORDS[outputs.CASES]}` every case's figures, `{RECORDS[outputs.HISTORY]}` every epoch's."
        f"{_how_to_use(ckpt_dir, settings['preset'])}"
    )


def _how_to_use(ckpt_dir: str, preset: str) -> str:
    if ckpt_dir == "models":
        return ""
    return f" They lie in `docs/{preset}`. To use these weights: `--preset {preset} --ckpt_dir {ckpt_dir}`."


def templates(values: Mapping[str, Any], config: str) -> list[Path]:
    """The templates that a config of a bundle is made of, each merged over the one before."""
    paths = [folder / f"{config}.yaml" for folder in template_dirs(values["family"])]
    return [path for path in paths if path.is_file()]


def settings_table(templates: Sequence[Path], values: Mapping[str, Any]) -> str:
    """Table of the settings of a config: in its templates they stand before the line ``# ---- the rest follows``.

    Args:
        templates: YAML files, one setting a line, with what it means behind ``#``.
        values: fill the placeholders ``<key>`` of the defaults.

    Raises:
        ValueError: if a setting has no comment; every one is to be explained.
    """
    rows = ["| setting | default | |", "|---|---|---|"]
    for name, default, comment in described_settings(templates):
        if comment is None:
            raise ValueError(f"{templates[0]}: the setting {name!r} has no comment to explain it")
        default = PLACEHOLDER.sub(lambda placeholder: _in_yaml(values[placeholder[1]]), default)
        cells = (f"`{name}`", f"`{default}`".replace("|", "\\|"), comment.replace("|", "or"))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _in_yaml(value: Any) -> str:
    return "null" if value is None else str(value)


def _defaults(templates: Sequence[Path], values: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: yaml.safe_load(default) for name, default, _ in described_settings(templates)}
    return {
        name: values[default[1:-1]] if PLACEHOLDER.fullmatch(str(default)) else default
        for name, default in defaults.items()
    }
