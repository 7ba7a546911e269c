"""Put the weights of a training into a bundle of the repository, with the record of how they came about."""

import shutil
from pathlib import Path

from tools.build_bundles import ROOT, build_bundles
from tools.bundle_docs import RECORDS
from tools.command_line import run_commands


def add_weights(bundle: str, output_dir: str, ckpt_dir: str) -> None:
    """Copy model.pt into a bundle's models, and what README.md reports of it into docs; then write README.md anew.

    Args:
        bundle: name of a folder in bundles.
        output_dir: of the training and of the evaluation that followed it.
        ckpt_dir: folder of the training's model.pt.
    """
    target = ROOT / "bundles" / str(bundle)
    copies = {Path(ckpt_dir, "model.pt"): target / "models" / "model.pt"}
    copies.update({Path(output_dir, source): target / "docs" / name for source, name in RECORDS.items()})
    if not target.is_dir():
        raise FileNotFoundError(f"{target} is not there")
    missing = [str(source) for source in copies if not source.is_file()]
    if missing:
        raise FileNotFoundError(f"train and evaluate first, there is no {', '.join(missing)}")
    for source, copy in copies.items():
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, copy)
    build_bundles()


if __name__ == "__main__":
    run_commands(add_weights)
