"""Put the weights of a training into a bundle of the repository, with the record of how they were trained."""

import json
import shutil
from pathlib import Path

from lunet_networks.authoring.command_line import run_commands
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.outputs import RECORDS
from lunet_networks.bundle.training.records import DATASET_DIR, check_model, read_record
from tools import ROOT
from tools.build_bundles import build_bundles


def add_weights(bundle: str, output_dir: str, ckpt_dir: str) -> None:
    """Copy model.pt into a bundle's models, and what README.md reports of it into docs; then write README.md again. The
    weights of another preset than the bundle's own go into a folder of its name in models, and so does their record in
    docs.

    Args:
        bundle: name of a folder in bundles.
        output_dir: of the training and of the evaluation that followed it.
        ckpt_dir: folder of the training's model.pt.
    """
    target = ROOT / "bundles" / str(bundle)
    if not target.is_dir():
        raise FileNotFoundError(f"{target} is not there")
    sources = [Path(ckpt_dir, "model.pt"), *(Path(output_dir, source) for source in RECORDS)]
    missing = [str(source) for source in sources if not source.is_file()]
    if missing:
        raise FileNotFoundError(f"train and evaluate first, there is no {', '.join(missing)}")
    record = Path(output_dir, outputs.RUN_RECORD)
    check_model(sources[0], record, read_record(record), "give --output_dir and --ckpt_dir of one run")
    preset = _preset(Path(output_dir, outputs.RUN_RECORD))
    folder = "" if preset == _preset(target / "configs" / "train.json") else preset
    copies = [target / "models" / folder / "model.pt"]
    copies += [target / "docs" / folder / name for name in RECORDS.values()]
    for source, copy in zip(sources, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    record = target / "docs" / folder / RECORDS[outputs.RUN_RECORD]
    run = json.loads(record.read_text(encoding="utf-8"))
    run.pop(DATASET_DIR, None)
    record.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    build_bundles()


def _preset(path: Path) -> str:
    """Of a run's record or of a bundle's training."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return (content["settings"] if path.name == outputs.RUN_RECORD else content)["preset"]


if __name__ == "__main__":
    run_commands(add_weights)
