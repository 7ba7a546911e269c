"""Make all generated files of a bundle from a plan for its dataset."""

from pathlib import Path
from typing import Any

from lunet_networks.authoring.planning.decisions import Plan
from lunet_networks.authoring.planning.families import FAMILIES, template_dirs
from lunet_networks.authoring.planning.fingerprint import Fingerprint
from lunet_networks.authoring.planning.templating import render
from lunet_networks.authoring.planning.texts import bundle_facts, bundle_texts
from lunet_networks.authoring.planning.values import complete, licence_text


def bundle_settings(fingerprint: Fingerprint, family: str, preset: str, plan: Plan) -> dict[str, Any]:
    """The settings that the templates need: the plan for a dataset, and the texts about it.

    Args:
        fingerprint: of the dataset.
        family: a key of ``FAMILIES``.
        preset: of that family.
        plan: for this dataset and preset.
    """
    return {
        "family": family,
        "preset": preset,
        **FAMILIES[family].training_settings(),
        **plan.values,
        **bundle_texts(fingerprint, family, preset, plan),
    }


def bundle_files(settings: dict[str, Any], records: Path | None = None) -> dict[str, str]:
    """Text of all generated files of a bundle, by their path in it.

    Args:
        settings: those of ``bundle_settings``, and ``authorship``.
        records: folder with the records of a training, if weights come with the bundle.
    """
    values = complete(settings)
    files = render({**values, **bundle_facts(values, records)}, *template_dirs(settings["family"]))
    return {**files, "LICENSE": licence_text()}
