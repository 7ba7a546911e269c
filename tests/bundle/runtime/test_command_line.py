"""A name on the command line that stands for nothing ends a run before it begins, with the name that is meant."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lunet_networks.bundle.runtime.command_line import check_arguments
from tools.build_bundles import repository_bundle


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundle")
    for path, text in repository_bundle("lunet_small").items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root / "configs"


def check(configs: Path, line: str, *names: str) -> None:
    files = [str(configs / f"{name}.json") for name in names or ["train"]]
    check_arguments("run", [*line.split(), "--config_file", files[0] if len(files) == 1 else str(files)])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("training --epoch 1", r"there is no setting 'epoch': do you mean epochs\?"),
        ("training --epoch=1", "do you mean epochs"),
        ("training -epoch 1", "do you mean epochs"),
        ("training --max-epochs 1", "'max_epochs': do you mean epochs"),
        ("training --learningrate 0.5", "do you mean learning_rate"),
        ("training --lr 0.5", "do you mean learning_rate"),
        ("training --num_worker 2", "do you mean num_workers"),
        ("training --config configs/train.json", "do you mean config_file"),
        ("training --loss dice", "do you mean loss_name"),
        ("training --optimizer sgd", "optimizer is a part of the config .*: do you mean optimizer_name"),
        ("training --network lunet_small_2f", "do you mean preset"),
        ("training --train 3", "train is a part of the config that follows from its settings"),
        ("training --xyz 1", "there is no setting 'xyz': those of train.json are .*epochs, batch_size"),
        ("training --resum", "do you mean resume"),
        ("training --lr 1 --bs 2", "do you mean learning_rate.\n.*do you mean batch_size"),
        ("training --train#trainer#max_epoch 3", r"no train#trainer#max_epoch in .*: do you mean .*max_epochs\?"),
        ("training --train#trainers#max_epochs 3", r"do you mean train#trainer#max_epochs\?"),
        ("training --_meta_#colour 3", "there is no _meta_#colour"),
        ("training --num_classes 3", "dataset decides out_channels when a bundle is made.* lunet new-bundle"),
        ("training --out_channels 3", "dataset decides out_channels when a bundle is made.* lunet new-bundle"),
        ("training --spatial_dims 2", "lunet new-bundle .* --spatial_dims 2"),
        ("training --run_name x", "there is no setting 'run_name'"),
        ("train", r"'train' runs nothing: do you mean training\? What runs in train.json: training, run"),
        ("trainig", r"there is no run 'trainig': do you mean training\?"),
        ("evaluation", "there is no run 'evaluation': what runs in train.json: training, run"),
        ("initialize", "'initialize' runs nothing"),
        ("network", "'network' runs nothing"),
        ("--run_id train#handlers#0", "runs nothing"),
        ("training evaluation", "there is no 'evaluation' to do before the run: one word names the run"),
        ("training initialize stop", "there is no 'stop' to do after the run"),
        ("training --final_id training", "there are two runs, training and training: give each its own command"),
        ("training --output_dir run#3", r"--output_dir run#3 arrives as 'run': write --output_dir '\./run#3'"),
        ("training --output_dir 1_000", r"--output_dir 1_000 arrives as 1000: write --output_dir \./1_000"),
    ],
)
def test_what_stands_for_nothing(configs: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(configs, line)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("training --epochs 3 --resume", ["train"]),
        ("--run_id training --logging_file False --meta_file None", ["train"]),
        ("training --batch-size=3 --dataset_dir 2026", ["train"]),
        ("training --train#trainer#max_epochs 3 --train::trainer::decollate True", ["train"]),
        ("training --_meta_#version 2", ["train"]),
        ("training --network_def#norm batch --train#dataloader#pin_memory True", ["train"]),  # their classes take them
        ("training --train#loss#_disabled_ True", ["train"]),
        ("training --tracking mlflow --experiment_name heart --run_name first", ["train"]),
        ("training --optimizer $torch.optim.SGD(@network.parameters())", ["train"]),
        ("", ["train"]),
        ("training initialize", ["train"]),
        ("training --init_id initialize", ["train"]),
        ("training --train#sampler#rank 0", ["train", "multi_gpu_train"]),
        ("evaluation --epochs 3 --save_predictions True", ["train", "evaluate"]),
        ("visualize --note hello", ["train", "evaluate", "visualize"]),
        ("pruning --max_steps 2", ["train", "prune"]),
        ("inference --dataset_dir ['a.nii.gz','b.nii.gz']", ["inference"]),
        ("inference --ckpt_dirs a,b", ["inference", "ensemble"]),
        ("benchmark --shape [32,32,32]", ["benchmark"]),
    ],
)
def test_what_stands_for_something(configs: Path, line: str, names: list[str]) -> None:
    check(configs, line, *names)


def test_a_setting_of_another_config(configs: Path) -> None:
    with pytest.raises(ValueError, match=r"no setting .epochs. in inference\.json: it belongs to other configs"):
        check(configs, "inference --epochs 3", "inference")


def test_one_run_at_a_time(configs: Path) -> None:
    with pytest.raises(ValueError, match="there are two runs, training and evaluation: give each its own command"):
        check(configs, "training evaluation", "train", "evaluate")


def test_the_whole_config_which_3d_slicer_asks_for(configs: Path) -> None:
    check_arguments("run", ["", "--config_file", str(configs / "train.json")])


def test_names_in_an_args_file(configs: Path, tmp_path: Path) -> None:
    args_file = tmp_path / "args.json"
    given = {"run_id": "training", "config_file": str(configs / "train.json"), "epochs": 3}
    args_file.write_text(json.dumps(given))
    check_arguments("run", ["--args_file", str(args_file)])
    args_file.write_text(json.dumps({**given, "epoch": 3}))
    with pytest.raises(ValueError, match="do you mean epochs"):
        check_arguments("run", ["--args_file", str(args_file)])


def test_an_expression_of_ones_own_runs(configs: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"hello": "$print('hello')"}))
    check_arguments("run", ["hello", "--config_file", str([str(configs / "train.json"), str(own)])])


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="mlflow is installed")
def test_tracking_without_mlflow(configs: Path) -> None:
    words = ["training", "--config_file", str(configs / "train.json"), "--tracking", "mlflow"]
    ended = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *words], cwd=configs.parent, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.endswith("error: --tracking mlflow needs a package that is not installed: pip install mlflow\n")


def test_a_run_ends_before_data_are_read(configs: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", str(configs / "train.json")]
    command += ["--bundle_root", str(tmp_path), "--dataset_dir", "nowhere", "--epoch", "1"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == "error: there is no setting 'epoch': do you mean epochs?"
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []
