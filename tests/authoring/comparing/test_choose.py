"""``lunet choose``: the best model on cases that none was trained on, with networks whose label maps are known."""

import csv
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lunet_networks.authoring.comparing.candidates import compare
from lunet_networks.authoring.comparing.models import find_groups
from lunet_networks.commands import main
from tests.helpers.runnable import (
    THRESHOLD_NETWORK,
    THRESHOLD_WEIGHTS,
    RunnableBundle,
    bright_block,
    save_image,
    save_label,
)

CASES = [f"case_{number}" for number in range(8)]
SHAPE = (16, 16, 16)
BLIND = {**THRESHOLD_WEIGHTS, "bias": torch.tensor([0.0, -1000.0, -1000.0])}  # labels nothing


def status(*arguments: object) -> object:
    try:
        main([str(each) for each in arguments])
    except SystemExit as exit_:
        return exit_.code
    return None


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_dataset(folder: Path, **sections: Sequence[str]) -> Path:
    """Bright blocks, the truth, and in every image a bright speck that is none."""
    mask = bright_block(SHAPE)
    with_speck = mask.copy()
    with_speck[13:15, 13:15, 13:15] = True
    description: dict[str, Any] = {"labels": {"0": "background", "1": "anterior", "2": "posterior"}}
    for section, names in sections.items():
        for name in names:
            save_image(folder / "images" / f"{name}.nii.gz", with_speck, np.eye(4))
            save_label(folder / "labels" / f"{name}.nii.gz", mask, np.eye(4))
        description[section] = [
            {"image": f"./images/{name}.nii.gz", "label": f"./labels/{name}.nii.gz"} for name in names
        ]
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def write_record(path: Path, dataset: Path, trained: Sequence[str], held_out: Sequence[str], **settings: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {"training": trained, "validation": held_out}
    record = {
        "settings": {"label_names": ["anterior", "posterior"], "ignore_label": None, "num_folds": 2, **settings},
        "dataset_dir": str(dataset),
        "cases": {section: [f"./labels/{name}.nii.gz" for name in each] for section, each in names.items()},
    }
    path.write_text(json.dumps(record))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Makes bundles of the network that takes bright voxels for the label anterior."""

    def make(
        name: str, dataset: Path, trained: Sequence[str], held_out: Sequence[str], weights: dict | None = None
    ) -> Path:
        bundle = RunnableBundle(tmp_path / name)
        torch.save(weights or THRESHOLD_WEIGHTS, bundle.model)
        config = bundle.root / "configs" / "inference.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "network_def": THRESHOLD_NETWORK}))
        write_record(bundle.root / "eval" / "run.json", dataset, trained, held_out)
        return bundle.root

    return make


def make_crossval(folder: Path, bundle: Path, dataset: Path) -> Path:
    for fold, held_out in enumerate((CASES[:4], CASES[4:])):
        trained = [name for name in CASES if name not in held_out]
        write_record(folder / f"fold_{fold}" / "run.json", dataset, trained, held_out, fold=fold)
        (folder / f"fold_{fold}" / "models").mkdir()
        torch.save(THRESHOLD_WEIGHTS, folder / f"fold_{fold}" / "models" / "model.pt")
    (folder / "crossval.json").write_text(json.dumps({"bundle": str(bundle)}))
    return folder


# ---- which cases


def test_held_out_cases_are_those_that_none_was_trained_on(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = write_dataset(tmp_path / "data", training=CASES)
    a = make("a", data, CASES[3:], CASES[:3])
    b = make("b", data, [CASES[0], *CASES[4:]], CASES[1:4])
    plan = compare(find_groups([a, b], None), data)
    assert [each.name for each in plan.candidates] == ["a", "b", "ensemble of a and b"]
    for candidate in plan.candidates:
        assert [Path(case["label"]).name for case in candidate.parts[0][1]] == ["case_1.nii.gz", "case_2.nii.gz"]
    assert plan.cases.startswith("2 held-out cases")


def test_without_common_held_out_cases_it_is_refused(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = write_dataset(tmp_path / "data", training=CASES)
    a, b = make("a", data, CASES[4:], CASES[:4]), make("b", data, CASES[:4], CASES[4:])
    with pytest.raises(
        ValueError, match=r"every case was trained on by one of the models:\n  ./labels/case_4.nii.gz by"
    ):
        compare(find_groups([a, b], None), data)


def test_a_model_of_another_training_than_its_record_is_refused(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = write_dataset(tmp_path / "data", training=CASES)
    a = make("a", data, CASES[4:], CASES[:4])
    path = a / "eval" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights": {"sha256": "0", "epoch": 7}}))
    with pytest.raises(ValueError, match=r"model\.pt is not the model of .*run\.json \(epoch 7\)"):
        find_groups([a], None)


def test_test_cases_that_were_trained_on_are_refused(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = write_dataset(tmp_path / "data", training=CASES[:6], test=CASES[6:])
    a = make("a", data, CASES[1:7], CASES[:1])
    with pytest.raises(ValueError, match=r"1 of 2 test cases were trained on:\n  ./labels/case_6.nii.gz by a"):
        compare(find_groups([a], None), data)


def test_folds_label_what_they_held_out(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = write_dataset(tmp_path / "data", training=CASES)
    bundle = make("bundle", data, CASES[4:], CASES[:4])
    folds = make_crossval(tmp_path / "folds", bundle, data)
    plan = compare(find_groups([folds], None), data)
    (candidate,) = plan.candidates
    assert candidate.name == "folds, 2 folds"
    names = [[Path(case["label"]).name[:6] for case in cases] for _, cases in candidate.parts]
    assert names == [CASES[:4], CASES[4:]]
    with pytest.raises(ValueError, match=r"folds is a cross-validation, .* can only be compared on test cases"):
        compare(find_groups([folds, bundle], None), data)
    with pytest.raises(ValueError, match=r"the folds of folds held out 8 cases, and .*more has 9"):
        compare(find_groups([folds], None), write_dataset(tmp_path / "more", training=[*CASES, "case_8"]))


def test_on_test_cases_a_cross_validation_is_its_ensemble(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = write_dataset(tmp_path / "data", training=CASES, test=["test_1", "test_2"])
    bundle = make("bundle", data, CASES[4:], CASES[:4])
    plan = compare(find_groups([make_crossval(tmp_path / "folds", bundle, data), bundle], None), data)
    assert [(each.name, len(each.models), len(each.parts)) for each in plan.candidates] == [
        ("folds, 2 folds", 2, 1),
        ("bundle", 1, 1),
    ]
    assert plan.cases == "2 test cases"


def test_other_networks_make_no_ensemble(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = write_dataset(tmp_path / "data", training=CASES)
    a, b, c = (make(name, data, CASES[4:], CASES[:4]) for name in "abc")
    write_record(b / "eval" / "run.json", data, CASES[4:], CASES[:4], pixdim=[2.0, 2.0, 2.0])
    assert len(compare(find_groups([a, b], None), data).candidates) == 2
    candidates = compare(find_groups([a, b, c], None), data).candidates
    assert [each.name for each in candidates] == ["a", "b", "c", "ensemble of a and c"]
    write_record(b / "eval" / "run.json", data, CASES[4:], CASES[:4], label_names=["front", "back"])
    with pytest.raises(ValueError, match="the models differ in label_names"):
        compare(find_groups([a, b], None), data)


# ---- which models


def test_models_that_cannot_be_compared(tmp_path: Path, make: Callable[..., Path]) -> None:
    data = write_dataset(tmp_path / "data", training=CASES)
    a = make("a", data, CASES[4:], CASES[:4])
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere/models/model\.pt"):
        find_groups([tmp_path / "nowhere"], None)
    folds = make_crossval(tmp_path / "folds", a, data)
    (folds / "crossval.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"folds/fold_0 lies in no bundle: .* --bundle BUNDLE"):
        find_groups([folds], None)
    assert find_groups([folds], a)[0].models[0].bundle == a
    (folds / "fold_1" / "models" / "model.pt").unlink()
    with pytest.raises(ValueError, match="has 1 of 2 folds"):
        find_groups([folds], a)
    (a / "eval" / "run.json").unlink()
    (a / "docs" / "training_run.json").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match="nobody knows which cases it was trained on"):
        find_groups([a], None)
    record = {"settings": {}, "cases": {"training": 4, "validation": 4}}
    (a / "docs" / "training_run.json").write_text(json.dumps(record))  # as in a packed bundle
    with pytest.raises(ValueError, match="the number of the cases, not their names"):
        find_groups([a], None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the folders of trained bundles"),
        (["nowhere"], "there is no nowhere/models/model.pt"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in str(status("choose", *arguments))
    assert list(tmp_path.iterdir()) == []


# ---- the whole way


@pytest.mark.slow
def test_the_best_of_known_networks(
    tmp_path: Path, make: Callable[..., Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "data", training=CASES)
    make("seeing", data, CASES[7:], CASES[:7])
    make("blind", data, CASES[7:], CASES[:7], BLIND)
    assert status("choose", "seeing", "blind") is None
    said = capfd.readouterr().out
    assert "7 held-out cases, which also chose the best epochs" in said
    assert "largest_component_only helps: it is set" in said  # the speck is no part of the truth
    found = {(row["candidate"], row["largest_component_only"]): row for row in rows(tmp_path / "choice" / "choice.csv")}
    block, speck = bright_block(SHAPE).sum(), 8
    assert float(found["seeing", "False"]["dice"]) == pytest.approx(2 * block / (2 * block + speck), abs=1e-5)
    assert found["seeing", "True"]["dice"] == "1"
    assert found["blind", "False"]["dice"] == "0"
    assert float(found["blind", "False"]["high"]) < 0
    assert [key for key, row in found.items() if row["chosen"] == "yes"] == [("seeing", "True")]
    command = shlex.split(said.splitlines()[-1].removeprefix("$ "))
    places = {"python": sys.executable, "IMAGES": str(data / "images"), "LABELS": str(tmp_path / "labels")}
    subprocess.run([places.get(word, word) for word in command], check=True, capture_output=True)
    assert status("score", "labels", "data/labels") is None
    assert {row["dice"] for row in rows(tmp_path / "score" / "cases.csv") if row["label"] == "anterior"} == {"1"}
    assert "holds another comparison" in str(status("choose", "seeing", "blind"))


@pytest.mark.slow
def test_a_cross_validation_alone(
    tmp_path: Path, make: Callable[..., Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "data", training=CASES)
    make_crossval(tmp_path / "folds", make("bundle", data, CASES[4:], CASES[:4]), data)
    assert status("choose", "folds") is None
    said = capfd.readouterr().out
    assert "8 cases, each by the fold that held it out" in said
    assert "there is only one candidate, so only the largest component was compared" in said
    settings = json.loads((tmp_path / "choice" / "inference_settings.json").read_text())
    assert [Path(each).parent.name for each in settings["ckpt_dirs"]] == ["fold_0", "fold_1"]
    assert settings["largest_component_only"] is True
