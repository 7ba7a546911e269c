"""An evaluation measures cases that the weights were not trained on, or refuses, or says that it cannot know."""

import json
import shutil
import unicodedata

import pytest
import torch

from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.bundle.training.records import read_record
from lunet_networks.bundle.training.trained_cases import (
    TrainedCases,
    case_names,
    found_in,
    recorded_names,
    same_cases,
)
from tests.helpers.running import run_bundle
from tests.helpers.trainable import TrainableBundle

VISUALIZE = ("train", "evaluate", "visualize")


def labels(*paths):
    return [{"image": "image.nii.gz", "label": path} for path in paths]


def test_a_name_is_the_path_in_the_dataset_which_may_move():
    cases = labels("/data/labelsTr/1.nii.gz", "/data/labelsTs/1.nii.gz")
    moved = labels("/elsewhere/labelsTr/1.nii.gz", "/elsewhere/labelsTs/1.nii.gz")
    assert recorded_names(cases, "/data") == recorded_names(moved, "/elsewhere")
    assert found_in(case_names(moved, "/elsewhere"), recorded_names(cases[:1], "/data")) == [True, False]


def test_labels_of_one_name_in_several_folders_are_told_apart():
    cases = labels("/data/a/label.nii.gz", "/data/b/label.nii.gz")
    recorded = recorded_names(cases, "/data")
    assert found_in(case_names(cases, "/data"), recorded[1:]) == [False, True]
    from_elsewhere = recorded_names(cases, "/other")
    assert from_elsewhere == ["a/label.nii.gz", "b/label.nii.gz"]
    assert found_in(case_names(cases, "/other"), from_elsewhere[1:]) == [False, True]


def test_a_case_has_one_name_in_both_forms_of_unicode():
    composed, decomposed = (unicodedata.normalize(form, "/data/Größe/é.nii.gz") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert recorded_names(labels(composed), "/data") == recorded_names(labels(decomposed), "/data")
    assert found_in(case_names(labels(composed), "/data"), [unicodedata.normalize("NFD", "./Größe/é.nii.gz")]) == [True]


def test_records_of_older_versions_have_names_of_files():
    names = ["./labelsTr/a.nii.gz", "./labelsTr/b.nii.gz"]
    assert same_cases(names, ["a.nii.gz", "b.nii.gz"])
    assert not same_cases(names, ["b.nii.gz", "a.nii.gz"])
    assert not same_cases(names, ["a.nii.gz"])


SETTINGS = {"preset": "lunet_small_4f", "label_names": ["tumour"], "fold": 0, "num_folds": 5, "seed": 42}


@pytest.fixture
def check(tmp_path):
    """Checks cases of a dataset against a record; returns the error."""

    def check(cases, section="validation", name="eval/run.json", training=("./a.nii",), validation=("./b.nii",), **now):
        record = {"settings": SETTINGS, "cases": {"training": training, "validation": validation}}
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(record))
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / "model.pt").touch()
        settings = {**SETTINGS, **now}
        checked = TrainedCases(tmp_path / "eval", tmp_path, tmp_path / "models", "/data", settings)
        try:
            checked.check(labels(*(f"/data/{case}" for case in cases)), section)
        except ValueError as error:
            return str(error)
        return ""

    return check


def test_another_fold_is_refused_with_the_right_one(check, tmp_path):
    message = check(["a.nii", "c.nii"], fold=1)
    record = tmp_path / "eval" / "run.json"
    assert message.startswith(
        f"fold is 1 here, the training in {record} validated fold 0 (num_folds 5): 1 of 2 cases were trained on; "
        "give --fold 0\n"
    )
    assert "with the same names, evaluate them into another --output_dir" in message
    message = check(["a.nii"], fold=1, num_folds=3)
    assert "fold is 1, num_folds is 3 here" in message
    assert "give --fold 0 --num_folds 5\n" in message


def test_cases_that_have_changed_sides_and_test_cases_that_were_trained_on_are_named(check):
    for section in ("validation", "test"):
        message = check(["a.nii", "b.nii"], section)
        assert message.startswith("1 of 2 cases were trained on, as ")
        assert f"evaluate {section} cases that it did not train on" in message
        assert "\n  ./a.nii\n" in message


def test_what_was_held_out_is_evaluated(check, caplog):
    caplog.set_level("INFO")
    assert check(["b.nii", "new.nii"]) == ""
    assert check(["b.nii"], fold=3, seed=7) == ""
    assert check(["a.nii"], training=["./a.nii"], validation=["./a.nii"]) == "", "two images, one label file"
    assert check(["test/a.nii"], "test") == "", "another folder of the dataset"
    assert check(["a.nii"], "training") == "", "asked for"
    assert "not known" not in caplog.text


def test_the_record_of_weights_that_come_with_a_bundle(check, tmp_path):
    there = {"name": "docs/training_run.json", "training": ["a.nii"], "fold": 1}
    assert "give --fold 0" in check(["labelsTr/a.nii"], **there)
    (tmp_path / "eval").mkdir()  # a training in the bundle's own folder has replaced them
    record = {"settings": {"preset": "unet_small_4f"}, "cases": {"training": [], "validation": []}}
    (tmp_path / "eval" / "run.json").write_text(json.dumps(record))
    assert check(["labelsTr/a.nii"], **there) == ""


def test_where_nothing_is_known_the_log_says_so(check, tmp_path, caplog):
    caplog.set_level("INFO")
    assert check(["a.nii"], preset="lunet_small_2f") == ""
    unknown = "whether these weights were trained on the validation cases is not known: "
    assert f"{unknown}there is no run.json of their training in {tmp_path / 'eval'}" in caplog.text
    shutil.rmtree(tmp_path / "eval")
    caplog.clear()
    assert check(["a.nii"], name="docs/training_run.json", training=4, validation=2) == ""
    assert f"{unknown}{tmp_path / 'docs' / 'training_run.json'} names none" in caplog.text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"settings": {}, "cases": {"training": []}}', '{"settings": 1}'])
def test_what_is_no_record(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json is not the record of a training, or damaged"):
        read_record(tmp_path / "run.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_dataset):
    """A bundle trained with another seed than the default."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    bundle = TrainableBundle(tmp_path_factory.mktemp("trained") / "lunet_small", tiny_dataset)
    bundle.train(epochs=1, seed=7)
    torch.set_num_threads(threads)
    return bundle


@pytest.mark.parametrize("configs", [VISUALIZE[:2], VISUALIZE], ids=["evaluate", "visualize"])
@pytest.mark.parametrize(
    ("settings", "right"),
    [({"fold": 1}, "--fold 0"), ({"num_folds": 3}, "--num_folds 2"), ({"fold": 1, "seed": 7}, "--fold 0")],
    ids=str,
)
def test_a_forgotten_fold_is_refused_before_anything_is_written(trained, configs, settings, right):
    before = {path: path.read_bytes() for path in trained.eval.rglob("*") if path.is_file()}
    with pytest.raises(RuntimeError) as caught:
        run_bundle(trained.root, *configs, **trained.settings(**settings))
    message = str(root_cause(caught.value))
    assert f"the training in {trained.eval / 'run.json'} validated fold 0 (num_folds 2): " in message
    assert "cases were trained on; give " + right in message
    assert {path: path.read_bytes() for path in trained.eval.rglob("*") if path.is_file()} == before


def test_another_seed_has_the_same_folds(trained, tmp_path):
    run_bundle(trained.root, "train", "evaluate", **trained.settings(seed=1))
    record = json.loads((trained.eval / "run.json").read_text())
    held_out = {name.rpartition("/")[2].removesuffix(".nii.gz") for name in record["cases"]["validation"]}
    with open(trained.eval / "cases.csv") as file:
        assert {line.partition(",")[0] for line in list(file)[1:]} == held_out


def test_the_dataset_may_move(trained, tmp_path):
    moved = shutil.copytree(trained.dataset_dir, tmp_path / "moved")
    settings = trained.settings(dataset_dir=str(moved), epochs=2, seed=7)
    run_bundle(trained.root, "train", "evaluate", **settings)
    with pytest.raises(RuntimeError) as caught:
        run_bundle(trained.root, "train", "evaluate", **{**settings, "fold": 1})
    assert "3 of 3 cases were trained on" in str(root_cause(caught.value))
    run_bundle(trained.root, "train", **settings, resume=True)


def refusal(bundle, **settings):
    with pytest.raises(RuntimeError) as caught:
        run_bundle(bundle.root, "train", "evaluate", **bundle.settings(**settings))
    return str(root_cause(caught.value))


def test_settings_of_another_network_are_refused_with_the_right_ones(trained, caplog):
    caplog.set_level("INFO")
    message = refusal(trained, pixdim=[2.0, 2.0, 2.0])
    assert f"the training in {trained.eval / 'run.json'} had other settings:\n  pixdim: [1.0, 1.0, 1.0] in" in message
    assert message.endswith('give --pixdim "[1.0, 1.0, 1.0]"')
    run_bundle(trained.root, "train", "evaluate", **trained.settings(pixdim=1, roi_size=[32, 32, 48]))
    assert "roi_size is [32, 32, 48] here, [32, 32, 32] in the training" in caplog.text


def test_two_trainings_that_share_a_folder_of_weights(new_bundle):
    bundle = new_bundle("lunet_small")
    first, second = ({"output_dir": str(bundle.root / name)} for name in ("first", "second"))
    for number, place in enumerate((first, second)):
        bundle.train(epochs=1, **place, seed=number, ckpt_dir=str(bundle.root / "shared"))
    shared = {"ckpt_dir": str(bundle.root / "shared")}
    message = refusal(bundle, **first, **shared)
    model, record = bundle.root / "shared" / "model.pt", bundle.root / "first" / "run.json"
    assert message.startswith(f"{model} is not the model of {record} (epoch 1): another training wrote it; give ")
    run_bundle(bundle.root, "train", "evaluate", **bundle.settings(**second, **shared))


def test_weights_are_in_the_folder_of_their_training(new_bundle):
    bundle = new_bundle("lunet_small")
    place = {"output_dir": str(bundle.root / "first")}
    assert "there are no weights at " in refusal(bundle, **place)
    bundle.train(epochs=1, **place)
    assert (bundle.root / "first" / "models" / "model.pt").is_file()
    assert not bundle.model.exists()
    run_bundle(bundle.root, "train", "evaluate", **bundle.settings(**place))
    elsewhere = {"output_dir": str(bundle.root / "other"), "ckpt_dir": str(bundle.root / "first" / "models")}
    assert f"the training in {bundle.root / 'first' / 'run.json'} validated fold 0" in refusal(
        bundle, **elsewhere, fold=1
    )


@pytest.mark.parametrize("problem", ["is missing", "is damaged", "is of another training"])
def test_a_resumed_training_tells_that_its_model_is_lost(problem, new_bundle, caplog):
    bundle = new_bundle("lunet_small")
    # the second epoch is not better than the first, which model.pt would hold
    settings = {"learning_rate": 1e-9, "scheduler_name": "none"}
    bundle.train(epochs=2, **settings)
    if problem == "is missing":
        bundle.model.unlink()
    elif problem == "is damaged":
        bundle.model.write_bytes(b"half")
    else:
        torch.save({"weight": torch.ones(1)}, bundle.model)
    bundle.train(epochs=2, **settings, resume=True)
    assert f"{bundle.model} {problem}: it held the best weights of this training, those of epoch" in caplog.text
    assert len(list(bundle.eval.glob("model_before_*"))) == (problem != "is missing")
