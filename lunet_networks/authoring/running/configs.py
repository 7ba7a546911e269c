"""Which configs of a bundle a run takes, and which run a command of ``lunet`` stands for. It imports nothing else, so
that tab completion and ``--help`` are quick."""

from collections.abc import Sequence
from pathlib import Path

CONFIGS = {  # by run; each is merged over those before it
    "training": ("train",),
    "evaluation": ("train", "evaluate"),
    "visualize": ("train", "evaluate", "visualize"),
    "inference": ("inference",),
    "ensemble": ("inference", "ensemble"),
}
FRONTS = {"train": "training", "evaluate": "evaluation", "report": "visualize", "label": "ensemble"}


def config_files(bundle: Path, names: Sequence[str]) -> list[Path]:
    """Paths of a bundle's configs.

    Raises:
        FileNotFoundError: if one is missing.
        ValueError: if the bundle is a zip.
    """
    if bundle.is_file():
        raise ValueError(f"{bundle} is a file: unzip it, and name the folder that holds configs")
    files = [bundle / "configs" / f"{name}.json" for name in names]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(
                f"{bundle} is not a bundle, there is no {file}: name a folder such as bundles/lunet_small"
                if not (bundle / "configs").is_dir()
                else f"{bundle} cannot do this: there is no {file}"
            )
    return files
