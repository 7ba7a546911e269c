"""Running a bundle's configs within the tests' own process."""

from pathlib import Path

from monai.bundle import ConfigWorkflow


def run_bundle(bundle: Path, *configs: str, **settings: object) -> None:
    """Run configs of a bundle, the later ones merged over the first, on the CPU; "inference" alone is an inference."""
    workflow = ConfigWorkflow(
        config_file=[str(bundle / "configs" / f"{name}.json") for name in configs],
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="inference" if configs == ("inference",) else "train",
        run_id="pruning" if "prune" in configs else "run",
        **{"bundle_root": str(bundle), "device": "cpu", **settings},
    )
    workflow.initialize()
    workflow.run()
