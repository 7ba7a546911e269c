"""Bundles for datasets of all kinds: made by the command, then trained, evaluated and put to use."""

import csv
import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from lunet_networks.authoring.checking.verify import find_faults
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.authoring.planning.fingerprint import read_fingerprint
from lunet_networks.authoring.planning.make_datalist import make_datalist
from lunet_networks.authoring.planning.new_bundle import new_bundle
from lunet_networks.authoring.samples.get_data import nuclei, phantom
from lunet_networks.commands import main
from tests.helpers.nnunet import nnunet_dataset
from tests.helpers.running import run_bundle

SHAPE = (32, 40, 32)
SETS = {
    "one_label": {"num_labels": 1, "orientation": "PIR"},
    "four_labels_in_thick_slices": {
        "num_labels": 4,
        "spacing": (1.0, 1.0, 4.0),
        "shape": (48, 48, 16),
        "orientation": "LPS",
    },
    "two_channels": {"num_channels": 2},
    "ct": {"modality": "CT"},
    "partly_annotated": {"ignore": True},
    "slices": {"spatial_dims": 2, "shape": (48, 56)},
    "ct_slices_of_another_spacing": {"spatial_dims": 2, "shape": (40, 40), "spacing": (0.7, 0.9), "modality": "CT"},
}

pytestmark = pytest.mark.usefixtures("one_thread")


def make_dataset(folder: Path, **settings: object) -> Path:
    phantom(str(folder), **{"num_cases": 5, "num_test": 1, "difficulty": "easy", "shape": SHAPE, **settings})
    return folder


@pytest.mark.parametrize("name", SETS)
def test_a_bundle_trains_evaluates_and_labels(name, tmp_path):
    data = make_dataset(tmp_path / "data", **SETS[name])
    bundle = tmp_path / name
    new_bundle("lunet_small", str(data), str(bundle))
    assert [str(fault) for faults in find_faults(bundle).values() for fault in faults] == []
    description = json.loads((data / "dataset.json").read_text())
    names = [label for label in list(description["labels"].values())[1:] if label != "ignore"]
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert list(channels.values()) == ["background", *names]
    assert read_fingerprint(tmp_path / f"{name}_fingerprint.json").label_names == tuple(names)

    run_bundle(bundle, "train", dataset_dir=str(data), epochs=1)
    run_bundle(bundle, "train", "evaluate", dataset_dir=str(data))
    with open(bundle / "eval" / "cases.csv", newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {*names, "whole"}
    assert (bundle / "eval" / "overlay.png").is_file()
    run_bundle(bundle, "inference", dataset_dir=str(data), output_dir=str(tmp_path / "labels"))
    (image,) = sorted((data / "imagesTs").glob("*_0000.nii.gz")) or sorted((data / "imagesTs").iterdir())
    (labels,) = (tmp_path / "labels").glob("*.nii.gz")
    image, labels = nib.load(image), nib.load(labels)
    dims = len(metadata["network_data_format"]["inputs"]["image"]["spatial_shape"])
    assert labels.shape[:dims] == image.shape[:dims]
    assert labels.affine == pytest.approx(image.affine, abs=1e-5)


def test_three_cases_are_trained_without_another_setting(tmp_path):
    data = make_dataset(tmp_path / "data", num_cases=3, num_test=0)
    new_bundle("lunet_small", str(data), str(tmp_path / "few"))
    run_bundle(tmp_path / "few", "train", dataset_dir=str(data), epochs=1)
    cases = json.loads((tmp_path / "few" / "eval" / "run.json").read_text())["cases"]
    assert [len(cases[section]) for section in ("training", "validation")] == [2, 1]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_bundle_for_pictures(mode, tmp_path):
    """Some are grey and the others in colour, as ``mode`` is."""
    nuclei(str(tmp_path / "nuclei"))
    for place in ("images", "masks"):
        (tmp_path / "data" / place).mkdir(parents=True)
        for number, path in enumerate(sorted((tmp_path / "nuclei" / place).iterdir())[:5]):
            picture = Image.open(path).crop((0, 0, 64, 48))
            if mode == "RGB" and place == "images" and number:
                picture = Image.merge("RGB", [picture, picture.point(lambda grey: grey // 2), picture])
            picture.save(tmp_path / "data" / place / path.name)
    make_datalist(tmp_path / "data", label_names="nucleus", modality="microscopy")
    bundle = tmp_path / "pictures"
    new_bundle("lunet_small", str(tmp_path / "data"), str(bundle))
    assert [str(fault) for faults in find_faults(bundle).values() for fault in faults] == []
    run_bundle(bundle, "train", dataset_dir=str(tmp_path / "data"), epochs=1)
    run_bundle(bundle, "train", "evaluate", dataset_dir=str(tmp_path / "data"), save_predictions=True)
    assert (bundle / "eval" / "overlay.png").is_file()
    run_bundle(bundle, "inference", dataset_dir=str(tmp_path / "data" / "images"), output_dir=str(tmp_path / "labels"))
    written = [path for place in (tmp_path / "labels", bundle / "eval" / "predictions") for path in place.glob("*.png")]
    assert len(written) == 6
    for path in written:
        label_map = Image.open(path)
        assert (label_map.format, label_map.size) == ("PNG", (64, 48))
        assert set(np.unique(label_map)) <= {0, 255}


def test_a_bundle_for_a_dataset_of_nnunet(tmp_path):
    data = nnunet_dataset(tmp_path / "data")
    before = (data / "dataset.json").read_bytes()
    bundle = tmp_path / "mine"
    new_bundle("lunet_small", str(data), str(bundle), preset="lunet_small_1f")
    fingerprint = read_fingerprint(tmp_path / "mine_fingerprint.json")
    assert fingerprint.modalities == ("T1", "T2")
    assert fingerprint.label_names == ("head", "tail")
    assert [case.name for case in fingerprint.cases] == [f"case_{number}" for number in range(5)]
    run_bundle(bundle, "train", dataset_dir=str(data), epochs=1)
    run_bundle(bundle, "train", "evaluate", dataset_dir=str(data))
    with open(bundle / "eval" / "cases.csv", newline="") as file:
        assert {row["case"] for row in csv.DictReader(file)} < {f"case_{number}" for number in range(5)}
    run_bundle(bundle, "inference", dataset_dir=str(data), output_dir=str(tmp_path / "labels"))
    (labels,) = (tmp_path / "labels").glob("*.nii.gz")
    assert nib.load(labels).shape == (32, 40, 32)
    assert (data / "dataset.json").read_bytes() == before


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("phantoms") / "data")


def test_its_help_names_the_families():
    named = re.search(r"family: an architecture and a size: ([\w\s,]*)\.", new_bundle.__doc__)[1]
    assert re.split(r",\s+", named) == [*FAMILIES]


def test_every_decision_is_a_line_and_the_next_command_is_there(data, tmp_path, capsys):
    new_bundle("lunet_small", str(data), str(tmp_path / "mine"), preset="lunet_small_2f", memory_gib=2)
    said = capsys.readouterr().out
    for setting in ("pixdim", "normalisation", "roi_size", "batch_size", "patches", "overlap", "cache_rate"):
        assert re.search(rf"^  {setting} +\S.*: .*\(.*\)$", said, re.MULTILINE), setting
    assert f"--dataset_dir {data}" in said
    train = json.loads((tmp_path / "mine" / "configs" / "train.json").read_text())
    assert train["preset"] == "lunet_small_2f"
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "mine").rglob("*") if path.is_file())
    assert (tmp_path / "mine_fingerprint.png").read_bytes().startswith(b"\x89PNG")


def test_overwriting_replaces_what_is_generated_and_nothing_else(data, tmp_path):
    bundle = tmp_path / "mine"
    new_bundle("lunet_small", str(data), str(bundle))
    (bundle / "models").mkdir()
    (bundle / "models" / "model.pt").write_text("weights")
    with pytest.raises(FileExistsError, match="mine is not empty: name another folder, or overwrite it with"):
        new_bundle("lunet_small", str(data), str(bundle))
    new_bundle("unet_small", str(data), str(bundle), roi_size=(64, 64, 64), overwrite="true")
    train = json.loads((bundle / "configs" / "train.json").read_text())
    assert (train["preset"], train["roi_size"]) == ("unet_small_4f", [64, 64, 64])
    assert (bundle / "models" / "model.pt").read_text() == "weights"


def test_a_fingerprint_that_is_there_is_not_replaced_unasked(data, tmp_path):
    other = tmp_path / "mine_fingerprint.json"
    other.write_text("somebody's")
    with pytest.raises(FileExistsError, match=r"mine_fingerprint\.json is there already: name another --output_dir"):
        new_bundle("lunet_small", str(data), str(tmp_path / "mine"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine_fingerprint.json"]
    assert other.read_text() == "somebody's"


def test_only_bundles_are_overwritten(data, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="is not overwritten because it is not a bundle"):
        new_bundle("lunet_small", str(data), str(tmp_path / "thesis"), overwrite=True)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter1.txt"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "lunet_tiny"}, "FAMILY is 'lunet_tiny': it has to be one of unet_small, lunet_small"),
        ({"preset": "unet_small_4f"}, "--preset unet_small_4f is of another family; lunet_small has .*lunet_small_4f"),
        ({"preset": "lunet_small_9f"}, "--preset lunet_small_9f is no preset"),
        ({"output_dir": "lunet-small"}, "name the bundle with letters, digits and _ only"),
        ({"output_dir": "lunet_v2"}, "without _v before a digit"),
        ({"output_dir": "tumour_detection"}, "without detection, classification"),
        ({"memory_gib": 0}, "--memory_gib takes a number above 0, not 0"),
        ({"memory_gib": 0.5}, r"--memory_gib 0.5 is too little: a training on patches of .* needs \d"),
        ({"pixdim": (1, 1)}, r"--pixdim takes 3 numbers above 0, one per axis, not \(1, 1\)"),
        ({"roi_size": (40, 40, 40)}, "--roi_size 40 x 40 x 40: every side has to be a multiple of 16"),
        ({"spatial_dims": 2}, "has 3 spatial dimensions"),
        ({"modality": ("T1", "T2")}, "--modality names 2 channels, the images have 1"),
        ({"pixdim": (1, 1, 6)}, r"the volumes have .* voxels at the spacing of the training, too few for this network"),
        ({"dataset_dir": "nowhere"}, "dataset_dir nowhere is not a folder"),
    ],
    ids=str,
)
def test_what_is_refused(data, tmp_path, settings, message):
    arguments = {"family": "lunet_small", "dataset_dir": str(data), "output_dir": "mine", **settings}
    arguments["output_dir"] = str(tmp_path / arguments["output_dir"])
    with pytest.raises((ValueError, OSError), match=message):
        new_bundle(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_cases_that_disagree_are_listed(data, tmp_path):
    folder = shutil.copytree(data, tmp_path / "data")
    images = sorted((folder / "imagesTr").iterdir())
    image = nib.load(images[1])
    twice = np.stack([image.get_fdata()] * 2, axis=-1)
    nib.save(nib.Nifti1Image(twice, image.affine), images[1])
    labels = sorted((folder / "labelsTr").iterdir())
    label = nib.load(labels[3])
    nib.save(nib.Nifti1Image(np.where(label.get_fdata() == 2, 7, 0).astype(np.uint8), label.affine), labels[3])
    with pytest.raises(ValueError, match="the data cannot be used") as caught:
        new_bundle("lunet_small", str(folder), str(tmp_path / "mine"))
    assert re.search(rf"{images[1].name} has 2 channels", str(caught.value))
    assert re.search(rf"{labels[3].name} holds the values 7, the labels are 0, 1, 2", str(caught.value))
    assert not (tmp_path / "mine").exists()


def test_the_command(data, tmp_path):
    command = ["new-bundle", "mednext_small", "--dataset_dir", str(data), "--output_dir", str(tmp_path / "mine")]
    main(command)
    assert (tmp_path / "mine" / "configs" / "train.json").is_file()
    with pytest.raises(SystemExit, match=r"^error: .*mine is not empty"):
        main(command)


def test_a_bundle_of_ones_own_is_about_its_data_and_its_makers(data, tmp_path, capsys):
    data = Path(shutil.copytree(data, tmp_path / "data"))
    description = json.loads((data / "dataset.json").read_text())
    del description["licence"]
    (data / "dataset.json").write_text(json.dumps(description | {"description": "written by lunet make-datalist"}))
    new_bundle("lunet_small", str(data), str(tmp_path / "plain"))
    assert "the licence of the data is not named" in capsys.readouterr().out
    metadata = json.loads((tmp_path / "plain" / "configs" / "metadata.json").read_text())
    assert (metadata["authors"], "lunet-bundles" in metadata["copyright"]) == ("Not named", False)
    assert "written by" not in (tmp_path / "plain" / "docs" / "README.md").read_text()
    new_bundle("lunet_small", str(data), str(tmp_path / "named"), authors="A. Person", licence="CC-BY 4.0")
    assert "the licence of the data" not in capsys.readouterr().out
    metadata = json.loads((tmp_path / "named" / "configs" / "metadata.json").read_text())
    assert (metadata["authors"], metadata["copyright"]) == ("A. Person", "Copyright (c) A. Person")
    assert "Licence: CC-BY 4.0." in (tmp_path / "named" / "docs" / "data_license.txt").read_text()
