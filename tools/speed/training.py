"""A bundle's training, to be timed: as ``run training`` starts it, with its parts at hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from lunet_networks.authoring.literals import literal


def training_of(bundle: Path, folder: Path, settings: Mapping[str, Any]) -> ConfigWorkflow:
    """The training of a bundle with these settings, ready to run; its outputs go into a folder."""
    places = {"bundle_root": bundle, "output_dir": folder / "eval", "ckpt_dir": folder / "models"}
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "train.json"),
        logging_file=False,
        workflow_type="train",
        **literal({**places, **settings}),
    )
    workflow.initialize()
    return workflow
