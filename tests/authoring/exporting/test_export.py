"""A bundle's network in other engines' files: what is written where, and what is not written."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from lunet_networks.authoring.checking.bundle import Bundle
from lunet_networks.authoring.checking.verify import find_faults
from lunet_networks.authoring.exporting.export import export_bundle
from lunet_networks.authoring.exporting.quantisation import BundleData, check_losses
from lunet_networks.authoring.exporting.trained_network import largest_difference, trained_network
from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.bundle.inference.exported import load_exported
from lunet_networks.bundle.training.trained_cases import recorded_names


@pytest.fixture
def bundle(repository, tmp_path):
    ignored = shutil.ignore_patterns("eval", "runs", "*.ts", "*.onnx", "*.xml", "*.bin")
    return shutil.copytree(repository / "bundles" / "lunet_small", tmp_path / "lunet_small", ignore=ignored)


def exported_files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "model.pt")


def test_several_formats_in_one_call(bundle, capsys):
    export_bundle(str(bundle), "torchscript,openvino")
    assert exported_files(bundle / "models") == ["model.bin", "model.ts", "model.xml"]
    lines = capsys.readouterr().out.splitlines()
    tried = [line.split(": ")[:2] for line in lines if "logits differ" in line]
    shapes = ["1 x 1 x 48 x 64 x 48", "2 x 1 x 32 x 48 x 64", "1 x 1 x 80 x 16 x 32"]
    assert tried == [[backend, shape] for backend in ("torchscript", "openvino") for shape in shapes]
    assert sum(line.startswith("wrote ") for line in lines) == 2
    network = trained_network(Bundle(bundle), None, None).network
    for backend, file in (("torchscript", "model.ts"), ("openvino", "model.xml")):
        exported = load_exported(bundle / "models" / file, backend)
        assert largest_difference(network, exported, (3, 1, 48, 16, 32))[1] < 1e-5
    assert not any(find_faults(bundle).values())


def test_what_is_there_is_not_replaced_unasked(bundle):
    older = bundle / "models" / "model.ts"
    older.write_text("older")
    with pytest.raises(FileExistsError, match=r"model\.ts is there already: replace it with --overwrite True"):
        export_bundle(str(bundle), "torchscript")
    assert older.read_text() == "older"
    export_bundle(str(bundle), "torchscript", overwrite="true")
    load_exported(older, "torchscript")


def test_a_part_that_is_there_is_not_replaced_unasked(bundle):
    other = bundle / "models" / "model.bin"
    other.write_text("somebody's")
    with pytest.raises(FileExistsError, match=r"model\.bin is there already: replace it with --overwrite True"):
        export_bundle(str(bundle), "openvino")
    assert exported_files(bundle / "models") == ["model.bin"]
    assert other.read_text() == "somebody's"


def test_int8_measures_the_cases_that_the_training_held_out(bundle, tiny_dataset):
    fold = {"fold": 1, "num_folds": 2}
    cases = {name: load_datalist(tiny_dataset, name, **fold) for name in ("training", "validation")}
    record = {
        "settings": {"preset": "lunet_small_4f", **fold},
        "cases": {name: recorded_names(of_section, tiny_dataset) for name, of_section in cases.items()},
    }
    (bundle / "eval").mkdir()
    (bundle / "eval" / "run.json").write_text(json.dumps(record))
    assert BundleData(Bundle(bundle), str(tiny_dataset)).validation == cases["validation"]
    record["cases"] = dict(zip(cases, reversed(record["cases"].values()), strict=True))
    (bundle / "eval" / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="3 of 3 cases were trained on, as"):
        BundleData(Bundle(bundle), str(tiny_dataset))


def test_another_preset_and_other_places(bundle, tmp_path):
    export_bundle(str(bundle), "torchscript", preset="lunet_small_2f")
    assert exported_files(bundle / "models" / "lunet_small_2f") == ["model.ts"]
    assert exported_files(bundle / "models") == []
    weights = shutil.copytree(bundle / "models" / "lunet_small_2f", tmp_path / "weights")
    (weights / "model.ts").unlink()
    export_bundle(str(bundle), "torchscript", "lunet_small_2f", str(weights), str(tmp_path / "exports"))
    assert exported_files(weights) == []
    exported = load_exported(tmp_path / "exports" / "model.ts", "torchscript")
    network = trained_network(Bundle(bundle), "lunet_small_2f", weights).network
    assert largest_difference(network, exported, (1, 1, 32, 32, 48))[1] < 1e-5


@pytest.mark.parametrize("backend", ["torchscript", "onnx"])
def test_an_export_that_differs_is_not_written(bundle, backend):
    path = bundle / "configs" / "inference.json"
    config = json.loads(path.read_text())
    config["network_def"] = {"_target_": "tests.helpers.noisy.NoisyNetwork"}
    path.write_text(json.dumps(config))
    torch.save({"conv.weight": torch.ones(3, 1, 1, 1, 1), "conv.bias": torch.zeros(3)}, bundle / "models" / "model.pt")
    with pytest.raises(ValueError, match=r"differ(s from PyTorch's| from the network's) by .* of the largest"):
        export_bundle(str(bundle), backend)
    assert exported_files(bundle / "models") == []


def run_python(repository, *arguments):
    """A command in a process of its own: one that had computed in int8 has crashed later, in tests of other things."""
    return subprocess.run([sys.executable, *arguments], cwd=repository, capture_output=True, text=True, check=False)


def test_int8_is_written_with_what_it_loses(bundle, tiny_dataset, tmp_path, repository):
    code = (
        "import sys; from pathlib import Path; from lunet_networks.commands import main\n"
        "from tests.helpers.running import run_bundle\n"
        "image, labels, *command = sys.argv[1:]; bundle = Path(command[1])\n"
        "main([*command, '--max_dice_loss', '1'])\n"
        "run_bundle(bundle, 'inference', backend='openvino_int8', dataset_dir=image, output_dir=labels)"
    )
    places = [str(min((tiny_dataset / "imagesTr").iterdir())), str(tmp_path / "labels")]
    command = ["export", str(bundle), "--format", "openvino", "--quantize", "int8", "--num_samples", "3"]
    written = run_python(repository, "-c", code, *places, *command, "--dataset_dir", str(tiny_dataset))
    assert written.returncode == 0, written.stderr
    assert exported_files(bundle / "models") == ["model_int8.bin", "model_int8.json", "model_int8.xml"]
    assert "Dice of anterior" in written.stdout
    record = json.loads((bundle / "models" / "model_int8.json").read_text())
    for dice in record["dice"].values():
        assert dice.keys() == {"anterior", "posterior"}
        assert all(0 <= value <= 1 for value in dice.values())
    assert record["input_shape"] == [1, 1, 48, 64, 48]
    assert record["weights_bytes"]["int8"] < record["weights_bytes"]["float32"] / 2
    assert all(milliseconds > 0 for milliseconds in record["latency_ms"].values())
    assert len(list((tmp_path / "labels").glob("*.nii.gz"))) == 1


@pytest.mark.parametrize(
    ("int8", "message"),
    [
        (
            {"head": 0.88, "tail": 0.5},
            r"int8 loses 0\.0200 of the Dice of head, more than --max_dice_loss 0\.01: ",
        ),
        ({"head": 0.9, "tail": float("nan")}, "int8 loses nan of the Dice of tail"),
        ({}, "no validation case has a label"),
    ],
)
def test_int8_that_loses_more_is_refused(int8, message):
    float32 = {"head": 0.9, "tail": 0.5} if int8 else {}
    with pytest.raises(ValueError, match=message):
        check_losses({"float32": float32, "int8": int8}, max_dice_loss=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "caffe"}, "--format is 'caffe': it has to be one of torchscript, onnx, openvino, tensorrt"),
        ({"format": "onnx", "quantize": "int8"}, "--quantize int8 needs --format openvino"),
        ({"format": "openvino", "quantize": "int4"}, "--quantize is 'int4': it has to be one of int8"),
        ({"format": "torchscript", "preset": "lunet_small_9f"}, "there is no preset 'lunet_small_9f'"),
        ({"format": "torchscript", "preset": "unet_small_4f"}, "are preset and network_def"),
        ({"format": "torchscript", "overwrite": "yes"}, "--overwrite takes True or False"),
        (
            {"format": "openvino", "quantize": "int8", "num_samples": 0},
            "--num_samples is 0: it has to be",
        ),
        (
            {"format": "openvino", "quantize": "int8", "max_dice_loss": "x"},
            "--max_dice_loss takes a number",
        ),
    ],
)
def test_mistakes(bundle, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_bundle(str(bundle), **arguments)
    assert exported_files(bundle / "models") == []


def test_places_where_nothing_is(bundle, tmp_path):
    with pytest.raises(NotADirectoryError, match="is not a folder: name that of a bundle"):
        export_bundle(str(tmp_path / "absent"), "torchscript")
    with pytest.raises(FileNotFoundError, match="there are no weights at"):
        export_bundle(str(bundle), "torchscript", ckpt_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"dataset_dir .*absent is not a folder"):
        export_bundle(str(bundle), "openvino", quantize="int8", dataset_dir=str(tmp_path / "absent"))
    (bundle / "configs" / "inference.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"inference\.json is not there"):
        export_bundle(str(bundle), "torchscript")
