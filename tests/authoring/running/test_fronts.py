"""``lunet train``, ``evaluate``, ``label`` and ``report``: checked, printed as it can be pasted, and run."""

import ast
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lunet_networks.authoring.running.bundle_run import BundleRun, in_terminal
from lunet_networks.authoring.running.fronts import _images, _tell_next
from lunet_networks.commands import main
from tests.helpers.trainable import TrainableBundle

SMALL = [
    "--batch_size",
    "2",
    "--roi_size",
    "32,32,32",
    "--num_folds",
    "2",
    "--device",
    "cpu",
    "--preset",
    "lunet_small_1f",
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path) -> Path:
    """An untrained bundle in a folder with a space; tests that write use a copy."""
    return TrainableBundle(tmp_path_factory.mktemp("my bundles") / "lunet_small", tiny_dataset).root


def status(*arguments: object) -> object:
    try:
        main([str(each) for each in arguments])
    except SystemExit as exit_:
        return exit_.code
    return None


def process(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "lunet_networks", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


# ---- checked before it runs


WRONG_NAMES = {
    "train": (["train", "data", "--epoch", "1"], "there is no setting 'epoch': do you mean epochs?"),
    "evaluate": (["evaluate", "--sections", "test"], "there is no setting 'sections': do you mean section?"),
    "report": (["report", "data", "--notes", "x"], "there is no setting 'notes': do you mean note?"),
    "label": (["label", "images", "--tta", "True"], "there is no setting 'tta': do you mean flip_tta?"),
    "another config": (["label", "images", "--epochs", "3"], "there is no setting 'epochs' in inference.json"),
    "the bundle": (["train", "data", "--bundle_root", "x"], "--bundle_root is left out: the first argument"),
    "the images": (["label", "images", "--dataset_dir", "x"], "lunet label does not take --dataset_dir"),
}


@pytest.mark.parametrize("case", WRONG_NAMES)
def test_an_unknown_name_ends_at_once(case: str, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command, *rest), message = WRONG_NAMES[case]
    assert status(command, bundle, *rest) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {message}")
    assert told.out == ""


WRONG_VALUES = [
    (["train", "data", "--loss_name", "dic"], "loss_name is 'dic': it has to be one of dice"),
    (["train", "data", "--gpus", "0"], "gpus is 0: it has to be a whole number of at least 1"),
    (["label", "images", "--overlap", "1"], "overlap is 1: it has to be a number of at least 0 and below 1"),
    (["evaluate", "--save_predictions", "yes"], "save_predictions is 'yes': it has to be True or False"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_VALUES)
def test_a_wrong_value_ends_at_once(
    arguments: list[str], message: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = arguments
    assert str(status(command, bundle, *rest)).startswith(f"error: {message}")
    assert capsys.readouterr().out == ""


def test_what_is_no_bundle(bundle: Path, tmp_path: Path) -> None:
    assert "is not a bundle, there is no" in str(status("train", tmp_path, "data"))
    (tmp_path / "bundle.zip").touch()
    assert "bundle.zip is a file: unzip it" in str(status("train", tmp_path / "bundle.zip", "data"))
    shutil.copytree(bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "configs" / "visualize.json").unlink()
    assert "cannot do this: there is no" in str(status("report", tmp_path / "bundle"))


# ---- the command that is printed


def arguments_of(run: BundleRun) -> list[str]:
    return shlex.split(run.typed())


def test_from_elsewhere_places_are_whole_paths(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = BundleRun.of("evaluation", bundle, {"dataset_dir": "my data", "fold": 1})
    files = f"['{bundle}/configs/train.json','{bundle}/configs/evaluate.json']"
    expected = ["python", "-m", "monai.bundle", "run", "evaluation", "--config_file", files]
    expected += ["--bundle_root", str(bundle), "--dataset_dir", f"{tmp_path}/my data", "--fold", "1"]
    assert arguments_of(run) == expected


def test_in_the_bundles_folder_it_is_the_model_cards_command(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle)
    run = BundleRun.of("training", Path("."), {"dataset_dir": "/data/Task04", "epochs": 20})
    assert run.typed() == (
        "python -m monai.bundle run training --config_file configs/train.json --dataset_dir /data/Task04 --epochs 20"
    )


def test_several_gpus_are_torchrun(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle)
    typed = BundleRun.of("training", Path("."), {"dataset_dir": "/data"}, processes=4).typed()
    assert typed.startswith("torchrun --standalone --nproc_per_node=4 -m monai.bundle run training --config_file ")
    assert "['configs/train.json','configs/multi_gpu_train.json']" in typed


def test_a_packed_bundle_runs_where_its_own_package_is(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundle, tmp_path / "a zip" / "packed")
    (tmp_path / "a zip" / "packed" / "lunet_networks").mkdir()
    monkeypatch.chdir(tmp_path)
    typed = BundleRun.of("inference", Path("a zip/packed"), {"dataset_dir": "images"}).typed()
    assert typed == (
        f"cd '{tmp_path}/a zip/packed' && python -m monai.bundle run inference --config_file configs/inference.json "
        f"--dataset_dir {tmp_path}/images"
    )


def test_texts_stay_texts(bundle: Path) -> None:
    words = arguments_of(BundleRun.of("visualize", bundle, {"note": "$1+1", "dataset_dir": "study#1"}))
    assert words[words.index("--note") + 1] == r"$'\x241+1'"
    assert "#" not in words[words.index("--dataset_dir") + 1]


def test_a_network_of_the_users_may_refer_to_the_config(bundle: Path) -> None:
    network = {"_target_": "torch.nn.Conv3d", "in_channels": "@in_channels", "out_channels": 3, "kernel_size": 1}
    run = BundleRun.of("training", bundle, {"network_def": network, "preset": {"_target_": "os.getcwd", "a": "@b"}})
    words = arguments_of(run)
    assert ast.literal_eval(words[words.index("--network_def") + 1]) == network
    assert "@b" not in words[words.index("--preset") + 1], "a setting, which a record may have given"
    assert run.value("network_def").in_channels == 1


def test_the_next_commands_have_the_network_of_the_users(capsys: pytest.CaptureFixture[str]) -> None:
    _tell_next("mine", {"output_dir": "run", "epochs": 3, "network_def": {"_target_": "torch.nn.Identity"}})
    report, label = (shlex.split(line) for line in capsys.readouterr().out.splitlines()[1:])
    network = ["--network_def", "{'_target_': 'torch.nn.Identity'}"]
    assert report == ["lunet", "report", "mine", "--output_dir", "run", *network]
    assert label[:4] == ["lunet", "label", "mine", "IMAGES"]
    assert label[-2:] == network


@pytest.mark.parametrize(
    ("text", "images"),
    [("images", "images"), ("['a.nii.gz','b.nrrd']", ["a.nii.gz", "b.nrrd"]), ("[a.nii, b.nii]", ["a.nii", "b.nii"])],
)
def test_images_are_a_path_or_a_list(text: str, images: object) -> None:
    assert _images(text) == images


# ---- help


def test_help_lists_the_settings_of_the_bundle(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shutil.copytree(bundle, tmp_path / "mine")
    config = tmp_path / "mine" / "configs" / "train.json"
    config.write_text(config.read_text().replace('"epochs": 100', '"epochs": 7'))
    assert status("train", tmp_path / "mine", "--help") is None
    shown = " ".join(capsys.readouterr().out.split())
    assert "--epochs passes over the training cases. Default: 7" in shown
    assert "--output_dir folder for history, curves, training state and reports. Default: BUNDLE/eval" in shown
    assert "--ckpt_dir folder for model.pt, the best weights: the bundle's models, or models in another" in shown
    assert "$" not in shown


def test_help_without_a_bundle_lists_the_usual_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("label", "--help") is None
    shown = " ".join(capsys.readouterr().out.split())
    assert "Settings of most bundles" in shown
    assert "--flip_tta average the predictions of the image and its mirror image" in shown
    assert "--epochs" not in shown


# ---- the process


def test_the_exit_status_is_handed_on(tmp_path: Path) -> None:
    for code, expected in ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 15)", 143), ("pass", 0):
        assert in_terminal([sys.executable, "-c", code], tmp_path) == expected


@pytest.mark.slow
def test_trained_measured_and_used(bundle: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    root = shutil.copytree(bundle, tmp_path / "mine")
    shutil.copytree(tiny_dataset, tmp_path / "data")
    trained = process("train", "mine", "data", "--epochs", 1, "--fold", 1, *SMALL, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert (root / "models" / "model.pt").is_file()
    assert trained.stdout.startswith("$ python -m monai.bundle run training ")
    assert trained.stdout.splitlines()[-3:] == ["shorter:", "  lunet report mine", "  lunet label mine IMAGES"]
    longer = process("train", "mine", "--resume", "True", "--epochs", 2, "--device", "cpu", cwd=tmp_path)
    assert longer.returncode == 0, longer.stderr
    assert len((root / "eval" / "history.csv").read_text().splitlines()) == 3
    measured = process("report", "mine", "--device", "cpu", cwd=tmp_path)  # with the training's data and settings
    assert measured.returncode == 0, measured.stderr
    assert "--preset lunet_small_1f" in measured.stdout.splitlines()[1]
    assert (root / "eval" / "report.html").is_file()
    used = process("label", "mine", "data/imagesTr", "--output_dir", "labels", "--device", "cpu", cwd=tmp_path)
    assert used.returncode == 0, used.stderr
    assert len(list((tmp_path / "labels").glob("*.nii.gz"))) == 6
    pasted = [sys.executable, *shlex.split(used.stdout.splitlines()[1].removeprefix("$ python"))]
    run = subprocess.run(pasted, capture_output=True, text=True, check=False)  # in another folder
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_ctrl_c_reaches_the_training(bundle: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    root = shutil.copytree(bundle, tmp_path / "mine")
    command = [sys.executable, "-W", "ignore", "-m", "lunet_networks", "train", str(root), str(tiny_dataset)]
    front = subprocess.Popen(
        [*command, "--epochs", "1000", *SMALL],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while front.poll() is None and not (root / "eval" / "checkpoint.pt").is_file():
        time.sleep(0.01)
    os.killpg(front.pid, signal.SIGINT)  # as a terminal does
    told = front.communicate()[1]
    assert front.returncode == 130
    assert "stopped" in told
    assert "Traceback" not in told
    assert "--resume True" in told
