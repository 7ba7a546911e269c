"""What a bundle says of the data that it is for, in its metadata and documents."""

from typing import Any

from tools.bundle_plan import Plan
from tools.families import FAMILIES
from tools.fingerprint import Fingerprint

MODALITIES = {"MRI": "MR", "MR": "MR"}  # as the model zoo writes it


def bundle_texts(fingerprint: Fingerprint, family: str, plan: Plan) -> dict[str, Any]:
    """The texts that fill the templates, out of what dataset.json says.

    Args:
        fingerprint: of the dataset.
        family: a key of ``FAMILIES``.
        plan: for this dataset.
    """
    modality = ", ".join(dict.fromkeys(MODALITIES.get(name, name) for name in fingerprint.modalities))
    labels = ", ".join(fingerprint.label_names)
    references = [*FAMILIES[family].papers, *([fingerprint.reference] if fingerprint.reference else [])]
    in_channels = plan.values["in_channels"]
    return {
        "title": f"{FAMILIES[family].title}: {fingerprint.name}",
        "task": f"{fingerprint.name}: segmentation of {labels} in {modality} images",
        "modality": modality,
        "labels": labels,
        "data_type": "png" if fingerprint.of_pictures else "nifti",
        "channel_names": _channel_names(fingerprint, in_channels),
        "image_classes": f"{_count(in_channels)} of {modality}, normalised: {plan.values['normalisation']}",
        "data_source": fingerprint.reference or fingerprint.name,
        "data": _data(fingerprint, modality, labels),
        "data_licence": _licence(fingerprint),
        "dataset_dir": f"/workspace/data/{fingerprint.name.replace(' ', '_')}",
        "references": references,
        "citation": ". ".join(references) + ".",
        "decisions": _table(plan),
        "training_note": "",
    }


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


def _licence(fingerprint: Fingerprint) -> str:
    terms = (
        fingerprint.licence or "dataset.json names none; ask the owner of the data before you pass on what they made"
    )
    reference = f"\n{fingerprint.reference}" if fingerprint.reference else ""
    return (
        f"{fingerprint.name}{reference}\n\nLicence: {terms}\n\n"
        "Weights that were trained on these data may be passed on under the terms of that licence only.\n"
    )


def _table(plan: Plan) -> str:
    rows = ["| setting | value | why | change |", "|---|---|---|---|"]
    for decision in plan.decisions:
        cells = (f"`{decision.setting}`", decision.value, decision.why, decision.change)
        rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(rows)
