"""Made-up records of a study, with known Dice."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.tables import case_rows
from lunet_networks.bundle.runtime.files import write_csv
from tools.study.datasets import DATASETS
from tools.study.records import CASES, HISTORY, RUN, Record, read_one
from tools.study.table import Planned

LABELS = ("anterior", "posterior")


def made_up(
    folder: Path,
    network: str,
    dice: Sequence[float],
    seed: int = 0,
    parameters: int = 1000,
    minutes: float = 2,
    **changed: object,
) -> Record:
    """A record in a folder of records: both labels of every case have its ``dice``, and the training took so many
    minutes of processor time."""
    planned = Planned(network, "hippocampus", "fold0", 2, seed, "lunet_small")
    planned = Planned(**{**planned.described(), **changed})
    flat = DATASETS[planned.dataset].spatial_dims == 2
    metrics = [
        CaseMetrics(value, 1.0, 1.0, 20.0, 20.0, iou=value / (2 - value) if flat else math.nan) for value in dice
    ]
    found = {f"case_{number}": dict.fromkeys((*LABELS, WHOLE), each) for number, each in enumerate(metrics)}
    run = {
        "planned": planned.described(),
        "network_def": None,
        "settings": {
            "label_names": [*LABELS],
            "batch_size": 16,
            "learning_rate": 0.01,
            "loss_name": "dice_bce",
            "scheduler_name": "poly",
            "augment": True,
        },
        "cases": {"training": 4, "validation": len(dice)},
        "best_epoch": 2,
        "parameters": parameters,
        "macs": 2_000_000_000,
        "input_shape": [1, 1, 16, 16, 16],
        "versions": {},
        "kernels": None,
    }
    target = folder / planned.name
    write_csv(target / CASES, case_rows(found))
    columns = "epoch,loss,learning_rate,seconds,cpu_seconds,val_mean_dice"
    epochs = f"1,2,0.01,40,{15 * minutes},0.5\n2,1,0.005,40,{45 * minutes},0.4"
    (target / HISTORY).write_text(f"{columns}\n{epochs}\n")
    (target / RUN).write_text(json.dumps(run))
    return read_one(target)
