"""A fingerprint (measuring.py, intensities.py) of files whose figures are known."""

import json
import subprocess
import sys
from dataclasses import replace

import nibabel
import nrrd
import numpy as np
import pytest
from monai.transforms import Orientationd

from lunet_networks.authoring.command_line import run_commands
from lunet_networks.authoring.planning.fingerprint import Fingerprint, read_fingerprint, summarise, write_fingerprint
from lunet_networks.authoring.planning.intensities import SAMPLED_VOXELS, Sample, describe_channel
from lunet_networks.authoring.planning.measuring import fingerprint as fingerprint_command
from lunet_networks.authoring.planning.measuring import fingerprint_dataset
from lunet_networks.authoring.planning.new_bundle import new_bundle
from lunet_networks.authoring.samples.get_data import phantom
from lunet_networks.bundle.data.readers import LoadImaged

LABELS = {"0": "background", "1": "head", "2": "tail"}


def affine_of(codes, spacing, turned=0.0):
    """Axes that point as ``codes`` say, turned by some degrees about the last one of the patient."""
    affine = np.eye(4)
    for axis, (code, step) in enumerate(zip(codes, spacing, strict=True)):
        direction = "LPI".find(code) + 1 or "RAS".find(code) + 1
        affine[:3, axis] = 0
        affine[direction - 1, axis] = -step if code in "LPI" else step
    cos, sin = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    turn = np.array([[cos, -sin, 0, 0], [sin, cos, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return turn @ affine


def save(path, voxels, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)


class Dataset:
    """A folder that is filled case by case."""

    def __init__(self, folder, **description):
        self.folder = folder
        self.description = {"labels": LABELS, "modality": {"0": "MRI"}, "training": [], **description}

    def add(self, name, image, label, affine=None, section="training"):
        """``image`` is an array, or a list of them that get a file each."""
        arrays = image if isinstance(image, list) else [image]
        suffixes = [f"_{number:04d}" for number in range(len(arrays))] if isinstance(image, list) else [""]
        paths = [f"imagesTr/{name}{suffix}.nii.gz" for suffix in suffixes]
        for path, array in zip(paths, arrays, strict=True):
            save(self.folder / path, array, affine)
        save(self.folder / f"labelsTr/{name}.nii.gz", label, affine)
        case = {"image": paths if isinstance(image, list) else paths[0], "label": f"labelsTr/{name}.nii.gz"}
        self.description.setdefault(section, []).append(case)

    def read(self, **settings) -> Fingerprint:
        (self.folder / "dataset.json").write_text(json.dumps(self.description))
        return fingerprint_dataset(self.folder, **settings)

    def fault(self, **settings) -> str:
        with pytest.raises(ValueError, match=r".") as error:
            self.read(**settings)
        return str(error.value)


def noise(shape=(6, 7, 8), seed=0):
    return np.random.default_rng(seed).normal(100, 10, shape).astype(np.float32)


def blocks(shape=(6, 7, 8), head=12, tail=5):
    """A label of so many voxels each."""
    label = np.zeros(int(np.prod(shape)), np.uint8)
    label[10 : 10 + head], label[-tail or label.size :] = 1, 2
    return label.reshape(shape)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)


@pytest.fixture
def two(dataset):
    """Two cases that differ in all that a fingerprint tells."""
    dataset.add("a", noise(), blocks(), affine_of("LPS", (0.5, 1, 2)))
    dataset.add("b", noise((9, 5, 4), 1), blocks((9, 5, 4), tail=0), affine_of("PIR", (1, 3, 0.7)))
    return dataset


def test_shapes_spacings_and_volumes(two):
    fingerprint = two.read()
    a, b = fingerprint.cases
    assert (a.name, a.shape, a.spacing, a.orientation) == ("a", (6, 7, 8), (0.5, 1.0, 2.0), "LPS")
    assert (b.name, b.shape, b.spacing, b.orientation) == ("b", (4, 9, 5), (0.7, 1.0, 3.0), "PIR")
    assert a.label_volumes == {"head": 12.0, "tail": 5.0}
    assert b.label_volumes == {"head": pytest.approx(12 * 2.1), "tail": 0.0}
    assert fingerprint.median_shape == (5.0, 8.0, 6.5)
    assert fingerprint.median_spacing == pytest.approx((0.6, 1.0, 2.5))
    assert fingerprint.shape_percentile(100) == (6, 9, 8)
    assert fingerprint.volumes("tail") == [5.0]


def test_intensities_of_small_foregrounds_are_exact(two):
    (channel,) = two.read().intensities
    foreground = np.concatenate([noise()[blocks() > 0], noise((9, 5, 4), 1)[blocks((9, 5, 4), tail=0) > 0]])
    assert channel.mean == pytest.approx(foreground.mean())
    assert channel.std == pytest.approx(foreground.std())
    assert channel.median == pytest.approx(np.median(foreground))
    assert (channel.min, channel.max) == pytest.approx((foreground.min(), foreground.max()))
    assert channel.percentile_00_5 == pytest.approx(np.percentile(foreground, 0.5))
    assert channel.percentile_99_5 == pytest.approx(np.percentile(foreground, 99.5))
    assert sum(channel.foreground_counts) == pytest.approx(len(foreground), abs=2), "all but the outermost percent"
    assert sum(channel.whole_counts) > 0.98 * (6 * 7 * 8 + 9 * 5 * 4)
    assert len(channel.histogram_edges) == len(channel.whole_counts) + 1


def test_intensities_of_large_foregrounds_are_sampled(dataset):
    shape = (40, 40, 40)
    everywhere = np.ones(shape, np.uint8)
    for seed, name in enumerate("ab"):
        image = noise(shape, seed)
        image[:10] = 0
        image[20, 20, 20] = 5000
        dataset.add(name, image, np.where(image > 0, everywhere, 0).astype(np.uint8))
    fingerprint = dataset.read()
    (channel,) = fingerprint.intensities
    error = 10 / np.sqrt(2 * SAMPLED_VOXELS)
    assert channel.median == pytest.approx(100, abs=5 * error)
    assert channel.percentile_00_5 == pytest.approx(100 - 25.76, abs=20 * error)
    assert channel.percentile_99_5 == pytest.approx(100 + 25.76, abs=20 * error)
    assert channel.max == 5000, "extremes are those of all voxels"
    assert channel.zero_share == 0.25
    assert sum(channel.foreground_counts) <= 2 * SAMPLED_VOXELS
    assert fingerprint == dataset.read(), "the same seed draws the same voxels"
    assert dataset.read(seed=1).intensities[0].mean != channel.mean


def test_the_share_of_zeros_is_that_of_the_case_in_the_middle(dataset):
    for name, zeros in {"a": 0, "b": 1, "c": 5}.items():
        image = noise()
        image[:zeros] = 0
        dataset.add(name, image, blocks())
    (channel,) = dataset.read().intensities
    assert channel.zero_share == pytest.approx(1 / 6)


@pytest.mark.parametrize("turned", [0, 20, 65])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA", "IAL"])
def test_orientation_is_what_orientationd_makes_of_it(dataset, codes, turned):
    affine = affine_of(codes, (0.5, 1.25, 3), turned)
    dataset.add("a", noise(), blocks(), affine)
    dataset.add("b", noise(), blocks(), affine)
    agrees_with_monai(dataset.read(), dataset.folder / "imagesTr" / "a.nii.gz")


@pytest.mark.parametrize("codes", ["RA", "LP", "AR", "PL"])
def test_orientation_in_2d(dataset, codes):
    affine = affine_of(codes + "S", (0.5, 1.25, 1))
    dataset.add("a", noise((9, 6)), blocks((9, 6)), affine)
    dataset.add("b", noise((9, 6), 1), blocks((9, 6)), affine)
    fingerprint = dataset.read()
    assert fingerprint.spatial_dims == 2
    assert fingerprint.cases[0].orientation == codes
    assert fingerprint.cases[0].label_volumes == {"head": 12 * 0.625, "tail": 5 * 0.625}
    agrees_with_monai(fingerprint, dataset.folder / "imagesTr" / "a.nii.gz")


@pytest.mark.parametrize("space", ["left-posterior-superior", None])
def test_orientation_of_nrrd(dataset, space):
    header = {"spacings": [1.0, 2.0, 3.0]}
    if space:
        header = {"space": space, "space directions": [[0, -2.0, 0], [0, 0, 3], [4, 0, 0]], "space origin": [5, 7, 0]}
    for name in "ab":
        for kind, voxels in (("imagesTr", noise()), ("labelsTr", blocks())):
            (dataset.folder / kind).mkdir(exist_ok=True)
            nrrd.write(str(dataset.folder / kind / f"{name}.nrrd"), voxels, header)
        dataset.description["training"].append({"image": f"imagesTr/{name}.nrrd", "label": f"labelsTr/{name}.nrrd"})
    fingerprint = dataset.read()
    assert fingerprint.cases[0].orientation == ("ASL" if space else "LPS")
    agrees_with_monai(fingerprint, dataset.folder / "imagesTr" / "a.nrrd")


def agrees_with_monai(fingerprint, path):
    image = LoadImaged("image")({"image": str(path)})
    dims = fingerprint.spatial_dims
    image = Orientationd("image", axcodes="RAS"[:dims], labels=None)(image)["image"]
    assert fingerprint.cases[0].shape == tuple(image.shape[1:])
    assert fingerprint.cases[0].spacing == pytest.approx(tuple(image.pixdim[:dims].tolist()))


def test_channels_in_one_file_or_a_file_each(tmp_path):
    channels = [noise(), noise(seed=1) + 50]
    joined, apart = (Dataset(tmp_path / name, modality={"1": "T2", "0": "T1"}) for name in ("joined", "apart"))
    for name in ("case_1", "case_2"):
        joined.add(name, np.stack(channels, -1), blocks())
        apart.add(name, channels, blocks())
    fingerprint = joined.read()
    assert fingerprint.in_channels == 2
    assert fingerprint.modalities == ("T1", "T2")
    assert fingerprint.intensities[1].mean - fingerprint.intensities[0].mean > 40
    assert apart.read() == replace(fingerprint, name="apart")


def test_what_dataset_json_says(two):
    two.description |= {
        "name": "Test",
        "license": "CC0",
        "reference": "here",
        "description": "noise",
        "test": ["t.nii"],
    }
    two.add("c", noise(), blocks(), section="validation")
    fingerprint = two.read()
    assert (fingerprint.name, fingerprint.licence, fingerprint.reference) == ("Test", "CC0", "here")
    assert fingerprint.description == "noise"
    assert (fingerprint.num_training, fingerprint.num_validation, fingerprint.num_test) == (2, 1, 1)
    assert [case.name for case in fingerprint.cases] == ["a", "b", "c"]
    assert fingerprint.label_names == ("head", "tail")
    assert fingerprint.ignore_label is None


def test_what_dataset_json_leaves_open(two):
    del two.description["modality"]
    fingerprint = two.read()
    assert fingerprint.name == two.folder.name
    assert fingerprint.modalities == ("unknown",)
    assert (fingerprint.licence, fingerprint.reference, fingerprint.description) == ("", "", "")


def test_ignored_voxels_are_no_foreground(two):
    two.description["labels"] = {"0": "background", "1": "head", "2": "ignore"}
    fingerprint = two.read()
    assert fingerprint.label_names == ("head",)
    assert fingerprint.ignore_label == 2
    assert fingerprint.cases[0].label_volumes == {"head": 12.0}
    assert sum(fingerprint.intensities[0].foreground_counts) <= 24


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"labels": {"0": "background", "1": "ignore", "2": "tail"}}, "gives ignore the value 1, it has to be the hig"),
        ({"labels": {"0": "background", "1": "ignore"}}, "names no label but the background and ignore"),
        ({"labels": {"0": "background", "1": "x", "2": "x"}}, "gives several labels the same name: x, x"),
        ({"labels": {"0": "background", "1": "x"}}, "a.nii.gz holds the values 2, the labels are 0, 1"),
        ({"modality": {"0": "T1", "1": "T2"}}, "names 2 channels in modality (T1, T2), but every image has 1"),
        (
            {"modality": ["T1"]},
            'modality has to name the channels, numbered from 0, such as {"0": "MRI"}, not [\'T1\']',
        ),
        ({"modality": {"1": "T1"}}, "modality has to name the channels"),
    ],
)
def test_a_dataset_json_at_odds_with_the_files(two, description, message):
    two.description |= description
    assert message in two.fault()


def test_cases_that_disagree_are_listed(two):
    two.add("c", np.stack([noise(), noise(seed=1)], -1), blocks())
    two.add("d", noise((9, 9)), blocks((9, 9)))
    two.add("e", noise(), blocks() * 2)
    message = two.fault()
    assert "(cases: 5, faults: 3)" in message
    assert "imagesTr/c.nii.gz has 2 channels, 4 of 5 images have 1" in message
    assert "imagesTr/d.nii.gz has 2 spatial dimensions (9 x 9), 4 of 5 images have 3" in message
    assert "labelsTr/e.nii.gz holds the values 4, the labels are 0, 1, 2" in message


def test_the_number_of_dimensions_can_be_demanded(two):
    assert "has 3 spatial dimensions (6 x 7 x 8), 2 are needed" in two.fault(spatial_dims=2)


def test_labels_that_are_nowhere(dataset):
    for name in "ab":
        dataset.add(name, noise(), blocks(tail=0))
    assert "warning: no case holds the label tail, so a network cannot learn it" in summarise(dataset.read())
    for name in "ab":
        save(dataset.folder / "labelsTr" / f"{name}.nii.gz", blocks(head=0, tail=0))
    assert "holds any of its labels (head, tail): there is nothing to learn" in dataset.fault()


def test_summary(two):
    summary = summarise(two.read())
    assert "2 training cases" in summary
    assert "channels 1: MRI" in summary
    assert "label tail: median 5 mm3 (5 to 5), absent in 1 of 2 cases" in summary
    assert "shape 4 x 7 x 5 to 6 x 9 x 8, median 5 x 8 x 6.5 voxels" in summary
    assert "orientation of the files: LPS (1), PIR (1)" in summary
    assert "warning" not in summary


def test_json_round_trip(two, tmp_path):
    two.add("c", noise(), blocks(), section="validation")
    fingerprint = two.read()
    path = tmp_path / "new" / "fingerprint.json"
    write_fingerprint(fingerprint, path)
    assert read_fingerprint(path) == fingerprint
    assert [line for line in path.read_text().splitlines() if '"name": "b"' in line], "a line a case"
    content = json.loads(path.read_text())
    for broken in ("[]", "no json", json.dumps({**content, "more": 1}), json.dumps({**content, "cases": [{}]})):
        path.write_text(broken)
        with pytest.raises(ValueError, match=r"is not a fingerprint: write one with lunet fingerprint DATASET_DIR"):
            read_fingerprint(path)


def test_the_command(tmp_path, repository):
    phantom(tmp_path / "data", num_cases=3, shape=(24, 32, 24))
    command = [sys.executable, "-m", "lunet_networks", "fingerprint", str(tmp_path / "data")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Phantom, 3D: 3 training cases\nchannels 1: MRI\nlabel anterior: median")
    assert (tmp_path / "data" / "fingerprint.png").read_bytes().startswith(b"\x89PNG")
    assert read_fingerprint(tmp_path / "data" / "fingerprint.json") == fingerprint_dataset(tmp_path / "data")


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fingerprint", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match=r"^error: dataset_dir .*nowhere is not a folder"):
        run_commands(fingerprint_command)


def test_the_hippocampus(shared):
    fingerprint = fingerprint_dataset(shared / "data" / "Task04_Hippocampus")
    assert len(fingerprint.cases) == fingerprint.num_training == 208
    assert fingerprint.median_shape == (35, 50, 36)
    assert fingerprint.median_spacing == (1, 1, 1)
    assert {case.orientation for case in fingerprint.cases} == {"RAS"}
    assert np.median(fingerprint.volumes("anterior")) == 1728


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("a\nb",), "the label 'a\\nb' holds '\\n', which cannot be shown: rename it"),
        (("a\u2028b",), "the label 'a\\u2028b' holds '\\u2028'"),
        (("a\udcff",), "labels have to be names by voxel value from 0 on"),
        ((" ",), "labels have to be names by voxel value from 0 on"),
        (("Kidney", "kidney"), "gives several labels the same name: Kidney, kidney; capitals make no difference"),
        (("Background", "a"), "gives several labels the same name: Background, a"),
        (("whole",), "calls a label whole, as tables call all labels as one: name it otherwise"),
        (("mean_dice",), "calls a label mean_dice, as tables call the mean of all labels"),
    ],
)
def test_names_of_labels_that_cannot_be_used(two, labels, message):
    two.description["labels"] = {str(value): name for value, name in enumerate(["background", *labels])}
    assert message in two.fault()


def test_names_of_channels_that_cannot_be_shown(two):
    two.description["modality"] = {"0": "T1\t"}
    assert "the channel 'T1\\t' holds '\\t', which cannot be shown: rename it" in two.fault()


def test_texts_of_several_lines_become_one(two):
    two.description |= {"name": " The\nset ", "description": "a\r\n b", "reference": None, "licence": "CC0\n"}
    fingerprint = two.read()
    assert (fingerprint.name, fingerprint.description) == ("The set", "a b")
    assert (fingerprint.reference, fingerprint.licence) == ("", "CC0")


def test_cases_that_hold_one_value_beside_0(dataset):
    for name, image in {"a": noise(), "b": 7.5 * (noise() > 100), "c": np.maximum(noise() - 100, 0)}.items():
        dataset.add(name, image.astype(np.float32), blocks())
    assert dataset.read().intensities[0].one_valued_cases == 1


@pytest.mark.parametrize("gain", [1e-12, 1e-7, 1e7, 1e10])
@pytest.mark.parametrize("offset", [0.0, -500.0])
def test_intensities_of_any_scale(dataset, gain, offset):
    for seed, name in enumerate("ab"):
        dataset.add(name, (gain * (noise(seed=seed) + offset)).astype(np.float32), blocks())
    (channel,) = dataset.read().intensities
    foreground = np.concatenate([noise(seed=seed)[blocks() > 0] for seed in (0, 1)]) + offset
    assert channel.std == pytest.approx(gain * foreground.std(), rel=1e-5)
    assert channel.mean == pytest.approx(gain * foreground.mean(), rel=1e-5)
    edges = np.array(channel.histogram_edges)
    assert np.diff(edges) == pytest.approx((edges[-1] - edges[0]) / (len(edges) - 1), rel=2e-3)
    assert sum(channel.whole_counts) > 0.9 * 2 * noise().size


@pytest.mark.parametrize("value", [0.0, 0.1, -3.5, 40.0, 1e7, 1e-7])
def test_a_foreground_of_one_value(dataset, value):
    for seed, name in enumerate("ab"):
        image = noise(seed=seed)
        image[blocks() > 0] = value
        dataset.add(name, image, blocks())
    (channel,) = dataset.read().intensities
    assert (channel.mean, channel.std) == (pytest.approx(value), 0)
    assert channel.percentile_00_5 == channel.percentile_99_5 == pytest.approx(value)
    assert np.all(np.diff(channel.histogram_edges) > 0)
    assert sum(channel.foreground_counts) == 2 * np.count_nonzero(blocks())


@pytest.mark.parametrize("value", [0.0, 0.1, -3.5, 40.0, 1e7, 1e-7])
def test_the_histogram_of_one_value_is_a_single_bin_around_it(value):
    """All percentiles are the same if hardly any voxel differs."""
    sample = Sample(np.full(9, value), np.full(50, value), (value, value), 0.0, True)
    channel = describe_channel([sample])
    low, high = channel.histogram_edges
    assert low < value < high
    assert (channel.foreground_counts, channel.whole_counts) == ((9,), (50,))


def test_a_bundle_for_ct_whose_foreground_holds_one_value(dataset):
    dataset.description["modality"] = {"0": "CT"}
    for seed, name in enumerate("ab"):
        image = noise((32, 32, 32), seed)
        label = blocks((32, 32, 32))
        image[label > 0] = 40
        dataset.add(name, image, label)
    dataset.read()
    new_bundle("lunet_small", str(dataset.folder), str(dataset.folder / "mine"))
    train = json.loads((dataset.folder / "mine" / "configs" / "train.json").read_text())
    assert train["train"]["deterministic_transforms"][-1] == {
        "_target_": "NormalizeIntensityd",
        "keys": "image",
        "nonzero": False,
        "channel_wise": True,
    }
    card = (dataset.folder / "mine" / "docs" / "README.md").read_text()
    assert "the foreground of channel 0 (CT) holds the single value 40, which gives no statistics" in card
