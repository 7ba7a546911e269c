"""A job of NVIDIA FLARE: what is written, and that the real simulator trains, evaluates and leaves a usable model."""

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from lunet_networks import create_network
from lunet_networks.authoring.exporting.convert_checkpoint import convert_checkpoint
from lunet_networks.authoring.packaging.package import package_bundle
from lunet_networks.authoring.samples.get_data import phantom
from lunet_networks.state_dicts import read_state_dict
from tests.helpers.running import run_bundle
from tools.make_flare_job import make_flare_job

BUNDLE = Path(__file__).parents[2] / "bundles" / "lunet_small"
FLARE_PYTHON = os.environ.get("FLARE_PYTHON")


def config(job: Path, app: str, name: str) -> dict:
    return json.loads((job / app / "config" / name).read_text())


def test_what_a_job_holds(tmp_path: Path) -> None:
    job = tmp_path / "job"
    places = [str(tmp_path / name) for name in ("north", "south")]
    make_flare_job(str(BUNDLE), str(job), clients=2, dataset_dirs=places, settings={"learning_rate": 0.01})
    deploy_map = json.loads((job / "meta.json").read_text())["deploy_map"]
    assert deploy_map == {"app_server": ["server"], "app_site-1": ["site-1"], "app_site-2": ["site-2"]}
    for site, place in zip(("site-1", "site-2"), places, strict=True):
        client = config(job, f"app_{site}", "config_fed_client.json")
        assert client["executors"][0]["executor"]["args"]["key_metric"] == "val_mean_dice"
        arguments = client["components"][0]["args"]
        assert arguments["train_kwargs"] == arguments["eval_kwargs"] == {"learning_rate": 0.01, "dataset_dir": place}
        assert (job / f"app_{site}" / arguments["bundle_root"] / "configs" / "train.json").is_file()
    server = {each["id"]: each["args"] for each in config(job, "app_server", "config_fed_server.json")["components"]}
    assert server["persistor"]["source_ckpt_filename"] == "models/model.pt"
    assert server["aggregator"]["expected_data_kind"] == "WEIGHT_DIFF"
    assert not list(job.rglob("eval"))

    make_flare_job(str(BUNDLE), str(job), clients=2, fresh="true", overwrite="true")
    server = {each["id"]: each["args"] for each in config(job, "app_server", "config_fed_server.json")["components"]}
    assert server["persistor"] == {"bundle_root": "config/lunet_small"}
    assert not list(job.rglob("model.pt"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clients": 0}, "--clients is 0"),
        ({"dataset_dirs": ["a"]}, "--dataset_dirs names 1 folders for 2 clients: name one for each"),
        ({"settings": {"lr": 1}}, "there is no setting 'lr': do you mean learning_rate"),
        ({"settings": "lr"}, "--settings takes settings by name"),
    ],
)
def test_what_is_wrong_with_a_job(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_flare_job(str(BUNDLE), str(tmp_path / "job"), **changes)
    assert not (tmp_path / "job").exists()


def test_only_a_job_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    for overwrite, message in ((False, "is there already"), (True, "is no job of FLARE")):
        with pytest.raises(FileExistsError, match=message):
            make_flare_job(str(BUNDLE), str(tmp_path / "job"), overwrite=overwrite)


def test_a_global_model_is_weights(tmp_path: Path) -> None:
    state = create_network("lunet_small_1f", out_channels=3).state_dict()
    torch.save({"model": state, "train_conf": None}, tmp_path / "FL_global_model.pt")
    convert_checkpoint(str(tmp_path / "FL_global_model.pt"), str(tmp_path / "model.pt"))
    plain = torch.load(tmp_path / "model.pt", weights_only=True)
    for read in (plain, read_state_dict(tmp_path / "FL_global_model.pt")):
        assert list(read) == list(state)
        assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.slow
@pytest.mark.skipif(not FLARE_PYTHON, reason="FLARE_PYTHON names no Python that has nvflare and monai-nvflare")
def test_the_simulator_runs_a_job(tmp_path: Path) -> None:
    """Two sites, two rounds and cross-site evaluation with the package that a packed bundle brings; then inference."""
    for seed, name in enumerate(("north", "south")):
        phantom(str(tmp_path / name), num_cases=4, seed=seed, difficulty="easy", shape=(32, 32, 32))
    package_bundle(str(BUNDLE), str(BUNDLE / "models" / "model.pt"), output_dir=str(tmp_path))
    with zipfile.ZipFile(next(tmp_path.glob("*.zip"))) as archive:
        archive.extractall(tmp_path)
    bundle, job, workspace = (tmp_path / name for name in ("lunet_small_4f", "job", "workspace"))
    make_flare_job(
        str(bundle), str(job), dataset_dirs=[str(tmp_path / name) for name in ("north", "south")], local_epochs=10,
        settings={"num_folds": 2, "batch_size": 1, "roi_size": [32, 32, 32], "scheduler_name": "none"}, fresh=True,
    )  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    simulator = (str(Path(FLARE_PYTHON).with_name("nvflare")), "simulator")
    ended = subprocess.run(
        [*simulator, str(job), "-w", str(workspace), "-n", "2", "-t", "2"],
        env={**environment, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said[-6000:]
    assert "ERROR" not in said, said[-6000:]
    run = workspace / "server" / "simulate_job"
    results = json.loads((run / "cross_site_val" / "cross_val_results.json").read_text())
    models = {"SRV_FL_global_model.pt", "SRV_best_FL_global_model.pt", "site-1", "site-2"}
    assert all(models <= results[site].keys() for site in ("site-1", "site-2"))
    assert all(0 <= results[site][model]["val_mean_dice"] <= 1 for site in results for model in models)
    convert_checkpoint(
        str(run / "app_server" / "FL_global_model.pt"), str(bundle / "models" / "model.pt"), overwrite=True
    )
    images = str(tmp_path / "north" / "imagesTr")
    run_bundle(bundle, "inference", dataset_dir=images, output_dir=str(tmp_path / "labels"))
    assert len(list((tmp_path / "labels").glob("*_seg.nii.gz"))) == 4
    assert max(results["site-1"][model]["val_mean_dice"] for model in models) > 0.05, results
    assert all(tensor.isfinite().all() for tensor in read_state_dict(bundle / "models" / "model.pt").values())
