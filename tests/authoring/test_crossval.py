"""Cross-validation: every case once, resumed wherever it was stopped, never mixed."""

import csv
import fcntl
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fire
import monai.bundle
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from lunet_networks.authoring.crossval import CrossValidation, crossval, write_tables
from lunet_networks.authoring.samples.get_data import phantom
from lunet_networks.authoring.subprocesses import alone_in
from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.bundle.data.readers import LoadImaged
from lunet_networks.bundle.evaluation.metrics import CaseMetrics
from tests.helpers.trainable import TrainableBundle

SETTINGS = {"epochs": 1, "batch_size": 3, "roi_size": (32, 32, 32), "preset": "lunet_small_1f", "device": "cpu"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms, and a labelled test case, which is nobody's to look at."""
    folder = tmp_path_factory.mktemp("data") / "phantom"
    phantom(str(folder), num_cases=6, difficulty="easy", shape=(32, 32, 32), num_test=1)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    return TrainableBundle(tmp_path_factory.mktemp("bundles") / "lunet_small", dataset).root


@pytest.fixture(scope="module")
def in_this_process() -> Iterator[list[str]]:
    """The commands run within this process, which is quicker; their workflows, as they come."""
    workflows: list[str] = []

    def run_python(arguments: list[str], lock: int) -> None:
        module, run, workflow, *options = arguments[1:]
        assert (arguments[0], module, run) == ("-m", "monai.bundle", "run")
        workflows.append(workflow)
        fire.Fire(monai.bundle.run, command=[workflow, *options, "--logging_file", "False"])

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lunet_networks.authoring.crossval.run_python", run_python)
        yield workflows
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, bundle: Path, dataset: Path, in_this_process: list[str]) -> Path:
    """A finished cross-validation, which tests leave as it is."""
    folder = tmp_path_factory.mktemp("crossval") / "done"
    crossval(str(bundle), str(dataset), str(folder), num_folds=2, **SETTINGS)
    return folder


@pytest.fixture
def output(tmp_path: Path, done: Path, in_this_process: list[str]) -> Path:
    """The same for a test of its own."""
    shutil.copytree(done, tmp_path / "output")
    in_this_process.clear()
    return tmp_path / "output"


@pytest.fixture
def again(bundle: Path, dataset: Path, output: Path) -> Callable[..., None]:
    """The same command once more."""

    def again(**changed: object) -> None:
        crossval(str(bundle), str(dataset), str(output), **{"num_folds": 2, **SETTINGS, **changed})

    return again


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def held_out(dataset: Path, fold: int) -> set[str]:
    cases = load_datalist(dataset, "validation", fold, num_folds=2)
    return {Path(case["image"]).name.removesuffix(".nii.gz") for case in cases}


def test_every_case_is_there_once_with_its_fold(done: Path, dataset: Path) -> None:
    found = rows(done / "cases.csv")
    assert len({(row["case"], row["label"]) for row in found}) == len(found) == 6 * 3
    for fold in range(2):
        assert {row["case"] for row in found if row["fold"] == str(fold)} == held_out(dataset, fold)
        own = rows(done / f"fold_{fold}" / "cases.csv")
        assert [{**row, "fold": str(fold)} for row in own] == [row for row in found if row["fold"] == str(fold)]


def test_finished_folds_are_skipped(
    again: Callable, output: Path, in_this_process: list[str], capsys: pytest.CaptureFixture
) -> None:
    (output / "summary.csv").unlink()
    again(num_workers=1)  # changes no figure
    assert in_this_process == []
    assert (output / "summary.csv").is_file()
    said = capsys.readouterr().out
    assert "fold 0 is finished\nfold 1 is finished" in said
    assert "6 cases, each by the model that was not trained on its fold" in said


def test_the_ensemble_command_labels_images(
    again: Callable, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    again()
    command = shlex.split(capsys.readouterr().out.splitlines()[-1].removeprefix("$ "))
    assert command[:5] == ["python", "-m", "monai.bundle", "run", "inference"]
    places = {"IMAGES": str(dataset / "imagesTs"), "LABELS": str(tmp_path / "labels")}
    arguments = [places.get(word, word) for word in command[4:]]
    fire.Fire(monai.bundle.run, command=[*arguments, "--logging_file", "False"])
    assert [path.name for path in (tmp_path / "labels").glob("*.nii.gz")] == ["phantom_ts001_seg.nii.gz"]


def test_what_has_changed_is_done_again(again: Callable, output: Path, in_this_process: list[str]) -> None:
    figures = output / "fold_1" / "cases.csv"
    content = figures.read_text()
    figures.write_text(content.replace("posterior", "anterior"))
    again()
    assert in_this_process == ["training", "evaluation"]  # of a training, nothing is left to do
    assert figures.read_text() == content


def test_one_fold_a_job(
    bundle: Path, dataset: Path, tmp_path: Path, in_this_process: list[str], capsys: pytest.CaptureFixture
) -> None:
    in_this_process.clear()
    crossval(str(bundle), str(dataset), str(tmp_path / "output"), folds=1, num_folds=2, **SETTINGS)
    assert in_this_process == ["training", "evaluation"]
    assert not (tmp_path / "output" / "summary.csv").exists()
    said = capsys.readouterr().out
    assert "missing: 0." in said
    command = shlex.split(said.splitlines()[-1].removeprefix("$ "))
    assert command[:2] == ["lunet", "crossval"]
    fire.Fire(crossval, command=command[2:])
    assert in_this_process == ["training", "evaluation"] * 2
    assert len(rows(tmp_path / "output" / "cases.csv")) == 6 * 3


def test_another_cross_validation_is_refused(again: Callable, in_this_process: list[str]) -> None:
    with pytest.raises(ValueError, match=r"fold_0 is of another cross-validation:\n  seed: 42 then, 5 now\n"):
        again(seed=5, folds=1)
    with pytest.raises(ValueError, match=r"num_folds: 2 then, 3 now"):
        again(num_folds=3)
    assert in_this_process == []


def test_more_epochs_lengthen_it_and_fewer_are_refused(
    again: Callable, output: Path, in_this_process: list[str], capsys: pytest.CaptureFixture
) -> None:
    again(epochs=2, folds=(0,))
    assert in_this_process == ["training", "evaluation"]
    assert len(rows(output / "fold_0" / "history.csv")) == 2
    assert "missing: 1." in capsys.readouterr().out
    with pytest.raises(ValueError, match="epochs: 2 done, 1 now"):
        again()


def test_overwrite_starts_anew(again: Callable, output: Path, in_this_process: list[str]) -> None:
    with pytest.raises(ValueError, match=r"fold_0 is of another cross-validation"):
        again(seed=5, folds=1, overwrite=True)
    again(seed=5, overwrite="true")
    assert in_this_process == ["training", "evaluation"] * 2
    assert json.loads((output / "fold_1" / "run.json").read_text())["settings"]["seed"] == 5


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"epoch": 3}, r"has no option --epoch: did you mean --epochs\? There are folds, amp, augment,"),
        ({"fold": 1}, r"--fold is not for crossval: --folds 0,2 names"),
        ({"resume": True}, "folds that were begun are always continued"),
        ({"ckpt_dir": "models"}, "every fold has its own"),
        ({"loss_name": "dic"}, "loss_name is 'dic': it has to be one of dice"),
        ({"folds": 2}, r"--folds is 2: it names folds from 0 to 1, such as 0,1"),
        ({"folds": "all"}, r"--folds is 'all'"),
        ({"num_folds": 7}, "num_folds is 7: 6 training cases can be divided into 2 to 6"),
    ],
)
def test_mistakes(bundle: Path, dataset: Path, tmp_path: Path, settings: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        crossval(str(bundle), str(dataset), str(tmp_path / "output"), **{"num_folds": 2, **settings})
    assert not (tmp_path / "output").exists()


def test_what_is_no_bundle(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is not a bundle, there is no .*train\.json: name a folder such as"):
        crossval("lunet_smal", str(dataset), str(tmp_path))


def test_a_dataset_with_a_validation_list_has_no_folds(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    description = json.loads((dataset / "dataset.json").read_text())
    description["validation"] = [description["training"].pop()]
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"dataset\.json has a validation list of its own, hence no folds"):
        crossval(str(bundle), str(tmp_path), str(tmp_path / "output"))


def test_cases_are_known_by_the_first_of_their_channels(dataset: Path) -> None:
    images = [str(path) for path in [sorted((dataset / "imagesTr").iterdir())[0]] * 2]
    assert LoadImaged("image")({"image": images})["image"].meta["filename_or_obj"] == images[0]


def metrics(dice: float) -> dict[str, CaseMetrics]:
    return {"tumour": CaseMetrics(dice, hd95=1.0, nsd=0.5, volume_truth=2.0, volume_prediction=3.0)}


def test_the_summary_is_over_all_cases_and_each_fold(tmp_path: Path) -> None:
    folds = [{"one/a.nii.gz": metrics(0.5), "one/b.nii.gz": metrics(0.9)}, {"two/c.nii.gz": metrics(0.1)}]
    said = write_tables(tmp_path, folds)
    dice = next(row for row in rows(tmp_path / "summary.csv") if row["metric"] == "dice")
    values = {name: float(dice[name]) for name in ("mean", "sd", "min", "mean_fold_0", "mean_fold_1")}
    sd = np.std([0.5, 0.9, 0.1], ddof=1)
    assert values == pytest.approx({"mean": 0.5, "sd": sd, "min": 0.1, "mean_fold_0": 0.7, "mean_fold_1": 0.1})
    assert (dice["n"], dice["cases"], dice["chose_best_model"]) == ("3", "cross-validation", "yes")
    assert "tumour         0.500 ± 0.400" in said
    assert "mean Dice   fold 0   fold 1\ntumour       0.700    0.100" in said


def test_a_label_that_no_case_of_a_fold_has(tmp_path: Path) -> None:
    said = write_tables(tmp_path, [{"one/a.nii.gz": metrics(0.5)}, {"two/b.nii.gz": metrics(math.nan)}])
    assert "mean Dice   fold 0   fold 1\ntumour       0.500        -" in said
    dice = next(row for row in rows(tmp_path / "summary.csv") if row["metric"] == "dice")
    assert (dice["mean"], dice["n"], dice["missing"], dice["mean_fold_1"]) == ("0.5", "1", "1", "nan")


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    write_tables(tmp_path, [{"a/image.nii.gz": metrics(0.5)}, {"b/image.nii.gz": metrics(0.9)}])
    found = {row["case"]: (row["fold"], row["dice"]) for row in rows(tmp_path / "cases.csv")}
    assert found == {"a/image.nii.gz": ("0", "0.5"), "b/image.nii.gz": ("1", "0.9")}


def test_a_second_process_waits(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    order = []

    def second() -> None:
        with alone_in(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with alone_in(tmp_path):
        thread.start()
        said = ""
        while thread.is_alive() and "\n" not in said:
            said += capsys.readouterr().out
            time.sleep(0.01)
        assert said == f"another process works in {tmp_path}: waiting until it ends\n"
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_child_keeps_others_out_when_its_parent_is_gone(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys; from pathlib import Path; from lunet_networks.authoring.subprocesses import alone_in\n"
        "with alone_in(Path(sys.argv[1])) as lock:\n"
        "    subprocess.Popen([sys.executable, '-c', 'input()'], pass_fds=[lock])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE)
    assert parent.wait() == 0
    with open(tmp_path / ".lock", "wb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    parent.stdin.close()  # which ends the child
    with alone_in(tmp_path):
        pass


def test_killed_and_run_again(bundle: Path, dataset: Path, tmp_path: Path, in_this_process: list[str]) -> None:
    output = tmp_path / "output"
    settings = {**SETTINGS, "epochs": 8, "val_interval": 4}
    arguments = {"dataset_dir": dataset, "output_dir": output, "folds": 1, "num_folds": 2, **settings}
    command = [sys.executable, "-W", "ignore", "-m", "lunet_networks", "crossval", str(bundle)]
    command += [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # sums depend on how they are shared out
    killed = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    history = output / "fold_1" / "history.csv"
    while killed.poll() is None and not history.is_file():
        time.sleep(0.01)
    assert killed.returncode is None, "it ended by itself"
    os.killpg(killed.pid, signal.SIGKILL)  # with the training that it started
    killed.wait()
    assert 0 < len(rows(history)) < 8
    crossval(str(bundle), str(dataset), str(output), folds=1, num_folds=2, **settings)
    plan = CrossValidation.plan(bundle, dataset, tmp_path / "uninterrupted", {"num_folds": 2, **settings})
    plan.finish(1)
    for name in ("models/model.pt", "cases.csv", "summary.csv"):
        assert (history.parent / name).read_bytes() == (plan.folder(1) / name).read_bytes()


def test_what_the_command_line_says_is_no_expression(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    data = shutil.copytree(dataset, tmp_path / "study#1")
    given = {**SETTINGS, "pretrained": "$1 / 0"}
    run = CrossValidation.plan(bundle, data, tmp_path / "%out", given)
    assert run.settings["pretrained"] == "$1 / 0"
    options = run.command("training", **run.steps(0)["training"])[4:]
    parsed = ConfigParser({name[2:]: value for name, value in zip(options[::2], options[1::2], strict=True)})
    assert parsed.get_parsed_content("pretrained") == "$1 / 0"
    assert parsed.get_parsed_content("dataset_dir") == str(data)
    assert parsed.get_parsed_content("output_dir") == str(tmp_path / "%out" / "fold_0")
