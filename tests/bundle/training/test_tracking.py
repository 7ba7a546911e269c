"""MONAI's tracking by mlflow: what a training, an evaluation and an inference record, by the real mlflow."""

import csv
import json
from pathlib import Path

import pytest

from lunet_networks.authoring.planning.bundle_files import bundle_files
from tests.helpers.consumers import call, needs_python_with, python_with
from tools.build_bundles import repository_settings

pytestmark = [pytest.mark.slow, needs_python_with("mlflow", "MLFLOW_PYTHON")]

RECORDED = """
import json, sys, mlflow
client = mlflow.MlflowClient(sys.argv[1])
experiments = [each.experiment_id for each in client.search_experiments()]
runs = client.search_runs(experiments, order_by=["attributes.start_time ASC"])
curve = lambda run, name: [[each.step, each.value] for each in client.get_metric_history(run.info.run_id, name)]
print(json.dumps([
    {"status": run.info.status, "params": run.data.params,
     "metrics": {name: curve(run, name) for name in run.data.metrics}} for run in runs
]))
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "lunet_small"
    for path, content in bundle_files(repository_settings("lunet_small")).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def test_runs_of_a_bundle_are_tracked(bundle: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    python = python_with("mlflow", "MLFLOW_PYTHON")
    tracked = ("--tracking", "mlflow", "--tracking_uri", f"sqlite:///{tmp_path}/mlruns.db", "--device", "cpu")
    size = ("--num_folds", "2", "--roi_size", "[32,32,32]", "--preset", "lunet_small_1f")
    run = ("-m", "monai.bundle", "run")
    both = "['configs/train.json','configs/evaluate.json']"
    data = ("--dataset_dir", str(tiny_dataset))
    call(python, *run, "training", "--config_file", "configs/train.json", *data, *size, "--epochs", "2", *tracked,
         folder=bundle)  # fmt: skip
    call(python, *run, "evaluation", "--config_file", both, *data, *size, *tracked, folder=bundle)
    images = ("--dataset_dir", str(tiny_dataset / "imagesTr"), "--preset", "lunet_small_1f")
    call(python, *run, "inference", "--config_file", "configs/inference.json", *images, *tracked, folder=bundle)

    found = call(python, "-c", RECORDED, f"sqlite:///{tmp_path}/mlruns.db", folder=tmp_path)
    training, evaluation, inference = json.loads(found.strip().splitlines()[-1])
    assert [each["status"] for each in (training, evaluation, inference)] == ["FINISHED"] * 3
    settings = json.loads((bundle / "eval" / "run.json").read_text())["settings"]
    assert {name: training["params"][name] for name in settings} == {
        name: str(value) for name, value in settings.items()
    }
    with open(bundle / "eval" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("loss", "train_mean_dice", "learning_rate", "val_mean_dice", "val_anterior", "val_posterior"):
        assert training["metrics"][name] == [
            [epoch, pytest.approx(float(row[name]))] for epoch, row in enumerate(rows, 1)
        ]
    assert len(training["metrics"]["train_loss"]) == 2  # MONAI's own: each step
    assert {"val_mean_dice", "val_anterior", "val_posterior"} <= evaluation["metrics"].keys()
    assert evaluation["params"]["overlap"] == inference["params"]["overlap"]
