"""The record of a training in a file, and which weights it is of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.state_dicts import read_state_dict, weights_digest

__all__ = ["DATASET_DIR", "WEIGHTS", "check_model", "is_model_of", "note_weights", "read_record", "write_record"]

DATASET_DIR = "dataset_dir"  # in a record; a path of one machine, so it is not passed on with a bundle
WEIGHTS = "weights"  # in a record; None until the training has written its first model.pt


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a run.json.

    Raises:
        ValueError: if it is not the record of a training.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(record["settings"], dict) and {"training", "validation"} <= record["cases"].keys():
            return record
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ValueError(f"{path} is not the record of a training, or damaged: delete it, or name another --output_dir")


def write_record(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a run.json."""
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def note_weights(output_dir: str | Path, state: Mapping[str, torch.Tensor], epoch: int) -> None:
    """Note in the record of a training which weights its model.pt holds, just before that file is written.

    Until it is written, model.pt holds the weights before: the record names both, so that it is right also if the
    process is killed in between.

    Args:
        output_dir: folder of the training. Without a record in it, nothing is noted.
        state: the weights.
        epoch: after which the network had them.
    """
    path = Path(output_dir, outputs.RUN_RECORD)
    if not path.is_file():
        return
    record, digest = read_record(path), weights_digest(state)
    older = record.get(WEIGHTS) or {}
    if older.get("sha256") == digest:  # a resumed run writes the same model.pt again
        return
    before = {"before": older["sha256"]} if older else {}
    write_record(path, {**record, WEIGHTS: {"sha256": digest, "epoch": epoch, **before}})


def is_model_of(model: str | Path, record: Mapping[str, Any]) -> bool:
    """Whether a model.pt may be that of a record. Records of older versions and of packed bundles do not tell.

    Raises:
        FileNotFoundError, ValueError: if there is no such state dict.
    """
    if WEIGHTS not in record:
        return True
    weights = record[WEIGHTS] or {}
    return weights_digest(read_state_dict(model)) in (weights.get("sha256"), weights.get("before"))


def check_model(model: str | Path, path: str | Path, record: Mapping[str, Any], cure: str) -> None:
    """Refuse a model.pt that is not that of a record.

    Args:
        model: the file.
        path: of the record.
        record: its content.
        cure: what to do about it.

    Raises:
        ValueError: if it is not; the message names both.
        FileNotFoundError: if there is no such file.
    """
    if not is_model_of(model, record):
        weights = record[WEIGHTS]
        which = f"(epoch {weights['epoch']})" if weights else "(which has not written one yet)"
        raise ValueError(f"{model} is not the model of {path} {which}: another training wrote it; {cure}")
