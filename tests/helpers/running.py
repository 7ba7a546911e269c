"""Running a bundle's configs within the tests' own process, and the environment of a process of its own."""

import os
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


def environment_of_user(**more: str) -> dict[str, str]:
    """That of a process that a user starts: without what conftest.py sets for the tests' own process."""
    return {**{name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}, **more}
