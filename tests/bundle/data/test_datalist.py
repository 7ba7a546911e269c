"""dataset.json becomes lists of cases: folds, lists of its own, and what is wrong in it."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lunet_networks.bundle.data.datalist import check_label_names, labels_of, load_datalist, read_dataset_json
from lunet_networks.bundle.runtime.errors import shortened_list

LABELS = {"0": "background", "1": "anterior", "2": "posterior"}


def cases(count: int, suffix: str = "Tr") -> list[dict]:
    return [{"image": f"./images{suffix}/{n}.nii.gz", "label": f"./labels{suffix}/{n}.nii.gz"} for n in range(count)]


@pytest.fixture
def dataset(tmp_path):
    """Writes a dataset.json, and an empty file for every path in it: datalists look no further."""

    def write(**description) -> Path:
        description = {"labels": LABELS, "training": cases(12), **description}
        for section in ("training", "validation", "test"):
            for case in description.get(section, []):
                for path in case.values() if isinstance(case, dict) else [case]:
                    for file in [path] if isinstance(path, str) else path:
                        (tmp_path / file).parent.mkdir(exist_ok=True)
                        (tmp_path / file).touch()
        (tmp_path / "dataset.json").write_text(json.dumps(description))
        return tmp_path

    return write


def images(datalist: list[dict]) -> list[str]:
    return [case["image"] for case in datalist]


@pytest.mark.parametrize("num_folds", [2, 5, 12])
def test_every_case_validates_in_exactly_one_fold(dataset, num_folds):
    folder = dataset()
    held_out = []
    for fold in range(num_folds):
        validation = images(load_datalist(folder, "validation", fold, num_folds))
        training = images(load_datalist(folder, "training", fold, num_folds))
        assert not set(validation) & set(training)
        assert len(validation) + len(training) == 12
        held_out += validation
    assert sorted(held_out) == sorted(str(folder / case["image"]) for case in cases(12))


def test_folds_do_not_depend_on_the_order_of_the_list(dataset):
    first = load_datalist(dataset(), "validation", fold=1)
    assert load_datalist(dataset(training=cases(12)[::-1]), "validation", fold=1) == first


@pytest.mark.parametrize("name", ["lunet_small", "unet_small"])
def test_folds_are_those_of_the_trained_weights(dataset, repository, name):
    """Whose record lists its cases in their order; otherwise their figures would be of cases that were trained on."""
    recorded = json.loads((repository / "bundles" / name / "docs" / "training_run.json").read_text())
    assert (recorded["settings"]["fold"], recorded["settings"]["num_folds"]) == (0, 5)
    files = sorted(Path(path).name for names in recorded["cases"].values() for path in names)
    folder = dataset(training=[{"image": f"imagesTr/{file}", "label": f"labelsTr/{file}"} for file in files])
    for section, names in recorded["cases"].items():
        found = [Path(case["label"]).name for case in load_datalist(folder, section)]
        assert found == [Path(path).name for path in names]


def test_the_validation_list_of_a_dataset_decides(dataset):
    folder = dataset(training=cases(3), validation=cases(2, "Va"))
    assert len(load_datalist(folder, "training")) == 3
    assert images(load_datalist(folder, "validation")) == [str(folder / f"imagesVa/{n}.nii.gz") for n in range(2)]
    for fold in (1, 2):
        with pytest.raises(ValueError, match=rf"fold is {fold}, but .*json has a validation list .* keep fold 0"):
            load_datalist(folder, "training", fold=fold)


def test_only_test_cases_with_labels_are_given(dataset):
    assert len(load_datalist(dataset(test=cases(2, "Ts")), "test")) == 2
    assert load_datalist(dataset(test=["./imagesTs/0.nii.gz"]), "test") == []
    assert load_datalist(dataset(), "test") == []


def test_paths_are_absolute_and_an_image_may_have_a_file_per_channel(dataset, monkeypatch):
    folder = dataset(training=[{"image": [f"a_{n}_0.nii.gz", f"a_{n}_1.nii.gz"], "label": f"{n}.nii"} for n in "xy"])
    monkeypatch.chdir(folder.parent)
    case = load_datalist(folder.name, "training", num_folds=2)[0]
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in [*case["image"], case["label"]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": 5}, "fold is 5: with num_folds 5 it has to be from 0 to 4"),
        ({"fold": -1}, "fold is -1"),
        ({"num_folds": 13}, "num_folds is 13: 12 training cases can be divided into 2 to 12 folds"),
        ({"num_folds": 1}, "num_folds is 1"),
        ({"section": "train"}, "section is 'train': it has to be one of training, validation, test"),
    ],
)
def test_settings_out_of_range(dataset, settings, message):
    with pytest.raises(ValueError, match=message):
        load_datalist(dataset(), **{"section": "training", **settings})


def test_a_dataset_of_one_case_cannot_be_cut(dataset):
    with pytest.raises(ValueError, match=r"at least two training cases, or a validation list"):
        load_datalist(dataset(training=cases(1)), "training")


def test_missing_files_are_listed_up_to_ten(dataset):
    folder = dataset()
    for number in range(12):
        (folder / f"labelsTr/{number}.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"12 of 24 files are missing") as error:
        load_datalist(folder, "training")
    assert str(folder / "labelsTr/0.nii.gz") in str(error.value)
    assert str(error.value).endswith("... and 2 more")
    assert len(str(error.value).splitlines()) == 12


def test_absent_folder_and_absent_dataset_json(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset_dir .*nowhere is not a folder"):
        read_dataset_json(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"dataset.json does not exist: write it .* with lunet make-datalist"):
        read_dataset_json(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"labels": {},\n "training" []}', r"dataset.json is not valid JSON: .*, line 2, column 13"),
        (b"\xff\xfe\xff", "dataset.json is not valid JSON: it is not UTF-8 text"),
    ],
)
def test_malformed_json(tmp_path, content, message):
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_dataset_json(tmp_path)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ([], "it has to be an object with labels and training"),
        ({"labels": LABELS}, "training has to be a list of cases"),
        ({"labels": LABELS, "training": {"a": 1}}, "training has to be a list"),
        ({"labels": LABELS, "training": ["a.nii.gz"]}, r"training\[0\] has to be {.* not 'a.nii.gz'"),
        ({"labels": LABELS, "training": [{"label": "a"}]}, r"training\[0\] needs an image: a path.* not None"),
        ({"labels": LABELS, "training": [{"image": [], "label": "a"}]}, r"training\[0\] needs an image"),
        ({"labels": LABELS, "training": [{"image": "a"}]}, r"training\[0\] needs a label: a path, not None"),
        ({"labels": LABELS, "training": cases(2), "validation": []}, "validation is empty: remove it to use folds"),
        ({"labels": LABELS, "training": cases(2), "test": [3]}, r"test\[0\] has to be"),
        ({"labels": LABELS, "training": cases(2), "test": ["a", {"image": "b", "label": "c"}]}, "to all of them or"),
        ({"labels": LABELS, "training": cases(2) + cases(1)}, "imagesTr/0.nii.gz is listed 2 times"),
        ({"labels": LABELS, "training": cases(2), "validation": cases(1)}, "every case once, in one section"),
        ({"training": cases(2)}, "labels have to be names by voxel value from 0 on.* not None"),
        ({"labels": {"0": "background"}, "training": cases(2)}, "labels have to be .* not 0"),
        ({"labels": {"0": "background", "2": "lesion"}, "training": cases(2)}, "without gaps, not 0, 2"),
        ({"labels": {"background": "0", "lesion": "1"}, "training": cases(2)}, "without gaps, not background, lesion"),
        (
            {"labels": {"background": 0, "all": [1, 2]}, "training": cases(2)},
            "the labels all are regions",
        ),
        ({"labels": {"0": "background", "1": " "}, "training": cases(2)}, "labels have to be names by voxel value"),
        ({"labels": LABELS, "training": cases(2), "test": 3}, "test has to be a list, not 3"),
        ({"labels": LABELS, "training": [{"image": "a\0", "label": "b"}]}, "needs an image"),
    ],
)
def test_wrong_structure(tmp_path, description, message):
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=message) as error:
        read_dataset_json(tmp_path)
    assert str(tmp_path / "dataset.json") in str(error.value)


def test_an_image_without_a_case_is_found_by_its_channels(dataset):
    """As nnU-Net's first version lists it."""
    folder = dataset(training=[{"image": f"{n}.nii.gz", "label": f"{n}_label.nii.gz"} for n in "ab"])
    for name in "ab":
        (folder / f"{name}.nii.gz").rename(folder / f"{name}_0000.nii.gz")
        (folder / f"{name}_0001.nii.gz").touch()
    (case,) = load_datalist(folder, "validation", num_folds=2)
    assert [Path(path).name[1:] for path in case["image"]] == ["_0000.nii.gz", "_0001.nii.gz"]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_listed_path_may_have_the_other_unicode_form(dataset, forms):
    listed, stored = (unicodedata.normalize(form, "imagés/läsion") for form in forms)
    folder = dataset(
        training=[{"image": f"{stored}{n}.nii.gz", "label": f"{stored}{n}_label.nii.gz"} for n in range(4)]
    )
    of_stored = [load_datalist(folder, "validation", fold, num_folds=2) for fold in range(2)]
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(text.replace(json.dumps(stored)[1:-1], json.dumps(listed)[1:-1]))
    assert listed in json.loads((folder / "dataset.json").read_text())["training"][0]["image"]
    assert [load_datalist(folder, "validation", fold, num_folds=2) for fold in range(2)] == of_stored


def test_folds_do_not_depend_on_the_unicode_form_of_the_files(dataset):
    names = ["z", "\u00e9", "e2", "f"]
    folds = []
    for form in ("NFC", "NFD"):
        training = [{"image": unicodedata.normalize(form, f"{n}.nii"), "label": f"{n}_label.nii"} for n in names]
        held_out = load_datalist(dataset(training=training), "validation", num_folds=2)
        folds.append([unicodedata.normalize("NFC", Path(case["image"]).name) for case in held_out])
    assert folds[0] == folds[1]


def test_a_case_in_two_unicode_forms_is_listed_twice(tmp_path):
    training = [{"image": unicodedata.normalize(form, "é.nii"), "label": "a.nii"} for form in ("NFC", "NFD")]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": LABELS, "training": training}))
    with pytest.raises(ValueError, match=r"é.nii is listed 2 times"):
        read_dataset_json(tmp_path)


def test_labels_by_name_and_channel_names_beside_a_list_of_cases(dataset):
    folder = dataset(labels={"background": 0, "tail": 2, "head": 1}, channel_names={"0": "CT"})
    description = read_dataset_json(folder)
    assert labels_of(description) == {0: "background", 1: "head", 2: "tail"}
    assert description["modality"] == {"0": "CT"}


def test_only_a_description_that_a_command_wrote_is_dropped(dataset):
    for written in ("written by lunet make-datalist", "written by python -m tools.make_datalist"):
        assert "description" not in read_dataset_json(dataset(description=written))
    for text in ("written by hand in 1998", "Written by lunet make-datalist", ["written by"]):
        assert read_dataset_json(dataset(description=text))["description"] == text


def test_a_folder_named_dataset_json_and_a_byte_order_mark(dataset):
    folder = dataset()
    path = folder / "dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_dataset_json(folder)["training"]) == 12
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"dataset.json is a folder: it has to be a file"):
        read_dataset_json(folder)


def test_labels_by_value(dataset):
    assert labels_of(read_dataset_json(dataset())) == {0: "background", 1: "anterior", 2: "posterior"}


def test_a_list_within_the_limit_is_whole():
    assert shortened_list(["a", "b"], limit=2) == "  a\n  b"


DECATHLON = {
    "name": "a",
    "modality": {"0": "MRI"},
    "labels": LABELS,
    "numTraining": 2,
    "training": cases(2),
    "validation": cases(1, "Va"),
    "test": ["./imagesTs/0.nii.gz"],
}
NNUNET = {
    "channel_names": {"0": "T1"},
    "labels": {"background": 0, "head": 1},
    "numTraining": 1,
    "file_ending": ".nii",
    "dataset": {"a": {"images": ["a_0000.nii"], "label": "a.nii"}},
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["\0", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def mutated(value, path, new):
    """A copy in which what the path leads to is another; a path of numbers, counted round."""
    if not path or not isinstance(value, (dict, list)) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else range(len(value))
    chosen = keys[path[0] % len(keys)]
    pairs = [(key, mutated(value[key], path[1:], new) if key == chosen else value[key]) for key in keys]
    return dict(pairs) if isinstance(value, dict) else [inner for _, inner in pairs]


@given(
    st.sampled_from([DECATHLON, NNUNET]),
    st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=5), ANYTHING), min_size=1, max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_wrong_types_end_in_one_error_that_names_the_file(tmp_path_factory, description, changes):
    for path, new in changes:
        description = mutated(description, path, new)
    folder = tmp_path_factory.mktemp("data")
    (folder / "dataset.json").write_text(json.dumps(description))
    try:
        labels_of(read_dataset_json(folder))
        load_datalist(folder, "training", num_folds=2)
    except (ValueError, FileNotFoundError) as error:
        assert str(folder / "dataset.json") in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("names", "ignore_label"), [(["Anterior", "posterior"], None), (["anterior", "posterior"], 3), (["anterior"], 2)]
)
def test_labels_of_the_bundle(tmp_path, names, ignore_label):
    check_label_names(tmp_path, ["liver"])
    labels = {"0": "background", "1": "anterior", "2": "posterior"}
    (tmp_path / "dataset.json").write_text(
        json.dumps({"labels": labels, "training": [{"image": "a.nii", "label": "b.nii"}]})
    )
    check_label_names(tmp_path, names, ignore_label)
    with pytest.raises(
        ValueError, match=r"dataset.json has the labels .*, this bundle has liver, tumour: make a bundle"
    ):
        check_label_names(tmp_path, ["liver", "tumour"], ignore_label)
