"""evaluate.json merged over train.json, on label files of grids other than the model's, and the report it writes."""

import csv
import json
import logging

import ignite.distributed as idist
import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject

from lunet_networks.bundle.evaluation.tables import EvaluationReport
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.state_dicts import weights_digest
from tests.helpers.runnable import (
    LPS_THICK_SLICES,
    THRESHOLD_NETWORK,
    THRESHOLD_WEIGHTS,
    RunnableBundle,
    bright_block,
    dice,
    save_image,
    save_label,
)

SHAPE = (33, 41, 15)


@pytest.fixture
def bundle(tmp_path):
    return RunnableBundle(tmp_path / "lunet_small")


@pytest.fixture
def dataset(tmp_path):
    """Two cases to train on, one to validate on; the truth is the bright block, shifted a little."""

    def write(shape=SHAPE, **description):
        cases = {"training": ["a", "b"], "validation": ["c"]}
        for section, names in {**cases, **description}.items():
            description[section] = [case(name, shape) for name in names]
        labels = {"0": "background", "1": "anterior", "2": "posterior"}
        (tmp_path / "data" / "dataset.json").write_text(json.dumps({"labels": labels, **description}))
        return tmp_path / "data"

    def case(name, shape):
        mask = bright_block(shape)
        save_image(tmp_path / "data" / "images" / f"{name}.nii.gz", mask, LPS_THICK_SLICES)
        save_label(tmp_path / "data" / "labels" / f"{name}.nii.gz", np.roll(mask, 2, axis=0), LPS_THICK_SLICES)
        return {"image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz"}

    return write


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_cases_are_measured_on_the_voxels_of_their_label_files(bundle, dataset, tmp_path):
    folder, output_dir = dataset(), tmp_path / "eval"
    bundle.evaluate(folder, output_dir, save_predictions="true")
    found = {row["label"]: row for row in rows(output_dir / "cases.csv")}
    assert {row["case"] for row in found.values()} == {"c"}
    truth, prediction = (
        nib.load(path) for path in (folder / "labels" / "c.nii.gz", output_dir / "predictions" / "c_seg.nii.gz")
    )
    np.testing.assert_allclose(prediction.affine, LPS_THICK_SLICES, atol=1e-5)
    truth, prediction = (np.asarray(label_map.dataobj) == 1 for label_map in (truth, prediction))
    voxel = 0.9 * 0.9 * 2.5
    assert dice(prediction, bright_block(SHAPE)) > 0.85  # the network did find the block
    assert float(found["anterior"]["dice"]) == pytest.approx(dice(prediction, truth), abs=1e-5)
    assert float(found["anterior"]["hd95_mm"]) == pytest.approx(2 * 0.9, abs=0.91)
    assert float(found["anterior"]["volume_truth_mm3"]) == pytest.approx(truth.sum() * voxel, rel=1e-4)
    assert float(found["anterior"]["volume_prediction_mm3"]) == pytest.approx(prediction.sum() * voxel, rel=1e-4)
    figures = [found["posterior"][name] for name in ("dice", "hd95_mm", "nsd_1mm", "volume_truth_mm3")]
    assert figures == ["nan", "nan", "nan", "0"]  # in neither: nothing to measure
    assert found["whole"]["dice"] == found["anterior"]["dice"]


def test_one_label_from_a_sigmoid(dataset, tmp_path):
    bundle = RunnableBundle(tmp_path / "one", label_names=["lesion"])
    torch.save({name: tensor[1:2] for name, tensor in THRESHOLD_WEIGHTS.items()}, bundle.model)
    settings = {"network_def": {**THRESHOLD_NETWORK, "out_channels": 1}}
    folder = dataset()
    description = json.loads((folder / "dataset.json").read_text())
    description["labels"] = {"0": "background", "1": "lesion"}
    (folder / "dataset.json").write_text(json.dumps(description))
    bundle.infer(folder / "images" / "c.nii.gz", tmp_path / "labels", flip_tta=True, **settings)
    bundle.evaluate(folder, tmp_path / "eval", **settings)
    labels = np.asarray(nib.load(tmp_path / "labels" / "c_seg.nii.gz").dataobj)
    assert dice(labels == 1, bright_block(SHAPE)) > 0.85
    found = {row["label"]: float(row["dice"]) for row in rows(tmp_path / "eval" / "cases.csv")}
    truth = np.asarray(nib.load(folder / "labels" / "c.nii.gz").dataobj)
    assert found == pytest.approx(dict.fromkeys(("lesion", "whole"), dice(labels == 1, truth == 1)), abs=1e-5)


def test_what_is_evaluated_is_what_an_inference_writes(bundle, dataset, tmp_path):
    # looks at neighbours, so that windows and padding show in the result
    network = {**THRESHOLD_NETWORK, "kernel_size": 5, "padding": 2}
    weight = THRESHOLD_WEIGHTS["weight"].expand(3, 1, 5, 5, 5) / 125
    torch.save({"weight": weight, "bias": THRESHOLD_WEIGHTS["bias"] / 2}, bundle.model)
    folder = dataset(shape=(73, 41, 15))
    bundle.infer(folder / "images" / "c.nii.gz", tmp_path / "labels", network_def=network)
    bundle.evaluate(folder, tmp_path / "eval", save_predictions=True, network_def=network)
    inferred, evaluated = (
        np.asarray(nib.load(tmp_path / path / "c_seg.nii.gz").dataobj) for path in ("labels", "eval/predictions")
    )
    assert 0 < inferred.mean() < 0.5
    np.testing.assert_array_equal(inferred, evaluated)


@pytest.mark.parametrize(("overlap", "windows"), [(0, 2**3), (0.5, 3**3), ("5e-1", 3**3)])
def test_windows_overlap_as_they_are_told(bundle, dataset, tmp_path, overlap, windows):
    settings = {"dataset_dir": str(dataset((32, 32, 32))), "output_dir": str(tmp_path / "eval")}
    grid = {"roi_size": [16, 16, 16], "pixdim": [0.9, 0.9, 2.5]}  # that of the files
    workflow = bundle.workflow("train", "evaluate", **settings, **grid, overlap=overlap, sw_batch_size=5)
    seen = []
    network = workflow.parser.get_parsed_content("network")
    network.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    workflow.run()
    assert sum(seen) == windows
    assert max(seen) == 5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"overlap": 1}, "overlap is 1: it has to be a number of at least 0 and below 1"),
        ({"sw_batch_size": 0}, "sw_batch_size is 0: it has to be a whole number of at least 1"),
        ({"save_predictions": "yes"}, "save_predictions is 'yes': it has to be True or False"),
    ],
    ids=str,
)
def test_wrong_settings_end_an_evaluation_before_it_leaves_anything(bundle, dataset, tmp_path, setting, message):
    with pytest.raises(RuntimeError) as error:
        bundle.evaluate(dataset(), tmp_path / "eval", **setting)
    assert message in str(root_cause(error.value))
    assert not (tmp_path / "eval").exists()


def test_validation_cases_are_reported_as_those_that_chose_the_model(bundle, dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    bundle.evaluate(dataset(), tmp_path / "eval")
    assert "1 validation cases (these cases also chose the best model)" in caplog.text
    digest = weights_digest(torch.load(bundle.root / "models" / "model.pt", weights_only=True))
    told = [(row["cases"], row["chose_best_model"], row["weights"]) for row in rows(tmp_path / "eval" / "summary.csv")]
    assert set(told) == {("validation", "yes", digest)}


def test_labelled_test_cases_go_before(bundle, dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    bundle.evaluate(dataset(test=["d", "e"]), tmp_path / "eval")
    assert {row["case"] for row in rows(tmp_path / "eval" / "cases.csv")} == {"d", "e"}
    assert {(row["cases"], row["chose_best_model"]) for row in rows(tmp_path / "eval" / "summary.csv")} == {
        ("test", "no")
    }
    assert "chose the best model" not in caplog.text


def test_the_median_case_is_drawn(bundle, dataset, tmp_path):
    bundle.evaluate(dataset(), tmp_path / "eval")
    assert (tmp_path / "eval" / "overlay.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "eval" / "predictions").exists()


def test_weights_of_another_network(bundle, dataset, tmp_path):
    torch.save(torch.nn.Conv3d(1, 4, 1).state_dict(), bundle.model)
    with pytest.raises(RuntimeError) as error:
        bundle.evaluate(dataset(), tmp_path / "eval")
    assert "weight is 4 x 1 x 1 x 1 x 1 in the file, not 3 x 1 x 1 x 1 x 1" in str(error.value.__cause__)


def test_a_label_of_another_grid_is_refused(bundle, dataset, tmp_path):
    folder = dataset()
    save_label(folder / "labels" / "c.nii.gz", bright_block(SHAPE), np.eye(4))
    with pytest.raises(RuntimeError) as error:
        bundle.evaluate(folder, tmp_path / "eval")
    assert "c.nii.gz" in str(error.value.__cause__)


def test_federated_clients_evaluate_with_weights_of_their_own(bundle, dataset, tmp_path):
    folder = dataset()
    bundle.model.unlink()
    override = {
        "dataset_dir": str(folder),
        "output_dir": str(tmp_path / "eval"),
        "device": "cpu",
        "network_def": THRESHOLD_NETWORK,
    }
    client = MonaiAlgo(str(bundle.root), train_kwargs=override, eval_kwargs=override)
    client.initialize({ExtraItems.CLIENT_NAME: "site"})
    metrics = client.evaluate(ExchangeObject(weights=THRESHOLD_WEIGHTS)).metrics
    client.finalize()
    measured = [row for row in rows(tmp_path / "eval" / "cases.csv") if row["label"] == "anterior"]
    assert metrics["val_mean_dice"] == pytest.approx(float(measured[0]["dice"]), abs=1e-5)


def label_map(*values):
    return MetaTensor(torch.tensor(values).reshape(1, 1, 1, -1), affine=torch.eye(4))


def item(path, prediction, truth):
    image = MetaTensor(torch.zeros(1, 1, 1, 4), meta={"filename_or_obj": path})
    return {"image": image, "pred": label_map(*prediction), "label": label_map(*truth)}


def report_on(items, output_dir, section="test"):
    """The report of an evaluator that gives these items, one an iteration."""
    evaluator = Engine(lambda engine, batch: [batch])
    EvaluationReport(output_dir, ["lesion"], section).attach(evaluator)
    evaluator.run(items)


CASES = [
    item("one/a.nii.gz", prediction=(1, 1, 0, 0), truth=(0, 1, 1, 0)),
    item("one/b.nii.gz", prediction=(0, 0, 0, 0), truth=(0, 1, 1, 0)),
    item("one/c.nrrd", prediction=(0, 0, 0, 0), truth=(0, 0, 0, 0)),
]


def test_what_cannot_be_measured_is_counted_and_left_out(tmp_path):
    report_on(CASES, tmp_path)
    summary = {row["metric"]: row for row in rows(tmp_path / "summary.csv") if row["label"] == "lesion"}
    assert (summary["hd95_mm"]["n"], summary["hd95_mm"]["missing"]) == ("1", "2")
    assert float(summary["hd95_mm"]["mean"]) == pytest.approx(1, abs=0.1)
    assert (summary["dice"]["n"], summary["dice"]["missing"]) == ("2", "1")
    assert [float(summary["dice"][key]) for key in ("mean", "median", "min", "max")] == [0.25, 0.25, 0, 0.5]
    assert (summary["nsd_1mm"]["n"], summary["volume_truth_mm3"]["n"]) == ("2", "3")
    found = {row["case"]: row for row in rows(tmp_path / "cases.csv") if row["label"] == "lesion"}
    assert (found["b"]["dice"], found["b"]["hd95_mm"], found["c"]["dice"]) == ("0", "nan", "nan")


def test_a_label_that_no_case_has_is_not_right(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    report_on(CASES[2:], tmp_path, section="validation")
    for row in rows(tmp_path / "summary.csv"):
        measured = row["metric"].startswith("volume")
        assert (row["mean"], row["n"], row["missing"]) == (("0", "1", "0") if measured else ("nan", "0", "1"))
        assert row["chose_best_model"] == "no"
    assert "lesion                     -" in caplog.text
    assert "not measurable, because no case has it in truth or prediction: lesion, whole" in caplog.text
    assert "chose the best model" not in caplog.text
    assert "nan" not in caplog.text


def test_a_summary_of_one_case_has_no_deviation(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    report_on(CASES[:1], tmp_path)
    assert {row["sd"] for row in rows(tmp_path / "summary.csv")} == {"nan"}
    assert "nan" not in caplog.text
    assert "±" not in caplog.text


def test_cases_of_one_name_are_told_apart_by_their_path(tmp_path):
    report_on([*CASES[:1], item("two/a.nii.gz", (1, 1, 1, 0), (1, 1, 1, 0))], tmp_path)
    assert {row["case"] for row in rows(tmp_path / "cases.csv")} == {"one/a.nii.gz", "two/a.nii.gz"}


def test_a_second_evaluation_starts_anew(tmp_path):
    evaluator = Engine(lambda engine, batch: [batch])
    EvaluationReport(tmp_path, ["lesion"], section="test").attach(evaluator)
    evaluator.run(CASES)
    evaluator.run(CASES[:1])
    assert {row["case"] for row in rows(tmp_path / "cases.csv")} == {"a"}


def report_on_share(rank, output_dir):
    # as a sampler for two processes shares three cases out: one of them twice
    report_on([CASES[0], CASES[2]] if rank == 0 else [CASES[1], CASES[0]], output_dir)


def test_several_processes_write_one_report(tmp_path):
    report_on(CASES, tmp_path / "one")
    with idist.Parallel(backend="gloo", nproc_per_node=2) as parallel:
        parallel.run(report_on_share, tmp_path / "two")
    for name in ("cases.csv", "summary.csv"):
        assert (tmp_path / "two" / name).read_text() == (tmp_path / "one" / name).read_text()
