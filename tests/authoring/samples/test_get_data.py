"""Datasets that are fetched or made: whole, checked, or not there."""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import LoadImaged, Orientationd
from PIL import Image

from lunet_networks import create_network
from lunet_networks.authoring.command_line import run_commands
from lunet_networks.authoring.samples.get_data import hippocampus, mobilenet_v3_large, nuclei, phantom, rf_spectrograms
from lunet_networks.authoring.samples.rf_emissions import MODULATIONS, emission
from lunet_networks.authoring.samples.rf_spectrograms import make_spectrogram
from lunet_networks.bundle.data.checks import check_data
from lunet_networks.bundle.data.datalist import SECTIONS, labels_of, load_datalist, read_dataset_json
from lunet_networks.nets.mobilenet_v3 import mobilenet_v3_large as torchvisions_network

SMALL = (24, 32, 24)
VARIANTS = {
    "anisotropic": {"shape": (20, 40, 40), "spacing": (4, 0.8, 0.8), "orientation": "LPS", "num_labels": 4},
    "two channels": {"shape": SMALL, "num_channels": 2, "orientation": "PIR", "num_labels": 1},
    "CT": {"shape": SMALL, "modality": "CT", "orientation": "SAR", "ignore": True},
    "2D": {"spatial_dims": 2},
    "2D CT": {"spatial_dims": 2, "spacing": (1, 0.5), "orientation": "PL", "modality": "CT", "num_labels": 1},
    "2D, two channels": {"spatial_dims": 2, "num_channels": 2, "num_labels": 4, "ignore": True},
}
# What is in the files since the phantom was first published, unpacked: how gzip packs it is up to the version of zlib.
PUBLISHED = {
    "dataset.json": "9857ad59cfce61320953b52e55914d23",
    "imagesTr/phantom_tr001.nii.gz": "27796c38608824619ccad7980e136c63",
    "imagesTr/phantom_tr002.nii.gz": "648ef894152c781cd4b6ede0cbc8bc90",
    "imagesTs/phantom_ts001.nii.gz": "adf12ce3d76509c8a2efc2cfed2d62b1",
    "labelsTr/phantom_tr001.nii.gz": "eb62f125200431ec623b098ce1a8298f",
    "labelsTr/phantom_tr002.nii.gz": "aa56db3daa8365f22ac085bf1dafcd80",
    "labelsTs/phantom_ts001.nii.gz": "6516b11903198b564753fa328328d002",
}


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def unpacked_hashes(folder: Path) -> dict[str, str]:
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        path.relative_to(folder).as_posix(): hashlib.md5(
            gzip.decompress(content) if path.suffix == ".gz" else content
        ).hexdigest()
        for path, content in files.items()
    }


class TestPhantom:
    def test_same_arguments_same_bytes(self, tmp_path):
        for name in "ab":
            phantom(tmp_path / name, num_cases=2, seed=5, shape=SMALL, num_test=1)
        assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
        phantom(tmp_path / "c", num_cases=2, seed=6, shape=SMALL, num_test=1)
        assert not set(hashes(tmp_path / "a").values()) & set(hashes(tmp_path / "c").values())

    def test_without_options_the_data_stay_those_that_were_published(self, tmp_path):
        phantom(tmp_path, num_cases=2, num_test=1, shape=SMALL, spacing=(1, 1, 1.5))
        assert unpacked_hashes(tmp_path) == PUBLISHED

    def test_more_cases_leave_the_first_as_they_are(self, tmp_path):
        phantom(tmp_path / "few", num_cases=1, shape=SMALL, num_test=1)
        phantom(tmp_path / "many", num_cases=3, shape=SMALL, num_test=2)
        few, many = hashes(tmp_path / "few"), hashes(tmp_path / "many")
        del few["dataset.json"]
        assert few.items() <= many.items()
        assert len(set(many.values())) == len(many), "every case differs, test from training cases too"

    def test_it_is_a_sound_dataset_that_says_how_it_was_made(self, tmp_path):
        phantom(tmp_path / "data", num_cases=4, seed=1, difficulty="hard", spacing=(1, 1, 2), num_test=2)
        description = read_dataset_json(tmp_path / "data")
        assert labels_of(description) == {0: "background", 1: "anterior", 2: "posterior"}
        assert description["licence"] == "CC0-1.0"
        assert description["numTraining"] == 4
        assert description["made_with"]["seed"] == 1
        assert description["made_with"]["difficulty"] == "hard"
        training = load_datalist(tmp_path / "data", "training", num_folds=2)
        validation = load_datalist(tmp_path / "data", "validation", num_folds=2)
        test = load_datalist(tmp_path / "data", "test")
        facts = check_data(training + validation + test, in_channels=1, label_values=range(3), spatial_dims=3)
        assert len(facts.shapes) == 6
        assert facts.label_values == (0, 1, 2)
        assert len(set(facts.shapes)) > 1, "shapes vary"
        assert all(side <= full for shape in facts.shapes for side, full in zip(shape, (48, 64, 48), strict=True))
        assert set(facts.spacings) == {(1.0, 1.0, 2.0)}

    @pytest.mark.parametrize("name", VARIANTS)
    def test_variants_are_sound_datasets(self, tmp_path, name):
        settings = VARIANTS[name]
        phantom(tmp_path, num_cases=2, num_test=1, **settings)
        description = read_dataset_json(tmp_path)
        dims, channels = settings.get("spatial_dims", 3), settings.get("num_channels", 1)
        cases = [case for section in SECTIONS for case in load_datalist(tmp_path, section, num_folds=2)]
        labels = labels_of(description)
        facts = check_data(cases, in_channels=channels, label_values=labels, spatial_dims=dims)
        assert len(facts.shapes) == 3
        assert facts.label_values == tuple(labels)
        assert len(labels) == 1 + settings.get("num_labels", 2) + settings.get("ignore", False)
        assert (labels[len(labels) - 1] == "ignore") == settings.get("ignore", False)
        modality = settings.get("modality", "MRI")
        assert description["modality"] == ({"0": modality} if channels == 1 else {"0": "T1w", "1": "T2w"})
        assert description["tensorImageSize"] == f"{dims + (dims == 3 and channels == 2)}D"
        for setting, value in settings.items():
            assert description["made_with"][setting] == (list(value) if isinstance(value, tuple) else value)
        for case in cases:
            files = case["image"] if isinstance(case["image"], list) else [case["image"]]
            assert len(files) == (channels if dims == 2 else 1)
            for path in [*files, case["label"]]:
                header = nibabel.load(path)
                assert "".join(nibabel.aff2axcodes(header.affine)[:dims]) == settings.get("orientation", "RAS"[:dims])
                assert header.ndim == dims + (dims == 3 and channels == 2 and path != case["label"])

    @pytest.mark.parametrize("orientation", ["LPS", "PIR", "SLA", "LP", "AR"])
    def test_another_orientation_is_the_same_anatomy(self, tmp_path, orientation):
        dims = len(orientation)
        settings = {"num_cases": 1, "spatial_dims": dims, "shape": (24, 32, 28)[:dims], "spacing": (0.8, 1, 2.5)[:dims]}
        phantom(tmp_path / "usual", **settings)
        phantom(tmp_path / "other", orientation=orientation, **settings)
        for place in ("imagesTr", "labelsTr"):
            usual, other = (
                LoadImaged(["x"], ensure_channel_first=True)({"x": tmp_path / name / place / "phantom_tr001.nii.gz"})
                for name in ("usual", "other")
            )
            assert not np.array_equal(usual["x"].affine, other["x"].affine)
            turned = Orientationd(["x"], "RAS"[:dims], labels=(("L", "R"), ("P", "A"), ("I", "S")))(other)["x"]
            np.testing.assert_array_equal(turned.array, usual["x"].array)
            np.testing.assert_allclose(turned.affine, usual["x"].affine, atol=1e-5)
            axes = nibabel.aff2axcodes(other["x"].affine)[:dims]
            assert "".join(axes) == orientation

    def test_an_existing_dataset_is_kept_unless_told(self, tmp_path):
        phantom(tmp_path, num_cases=1, shape=SMALL)
        before = hashes(tmp_path)
        with pytest.raises(FileExistsError, match=f"{tmp_path} is not empty: .* --overwrite True"):
            phantom(tmp_path, num_cases=1, shape=SMALL, seed=1)
        with pytest.raises(ValueError, match=r"--overwrite takes True or False, not 'yes'"):
            phantom(tmp_path, num_cases=1, shape=SMALL, seed=1, overwrite="yes")
        assert hashes(tmp_path) == before
        phantom(tmp_path, num_cases=1, shape=SMALL, seed=1, overwrite="true")
        assert hashes(tmp_path) != before

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"num_cases": 0}, "--num_cases takes a whole number of at least 1, not 0"),
            ({"num_test": -1}, "--num_test takes a whole number of at least 0, not -1"),
            ({"seed": "x"}, "--seed takes a whole number of at least 0, not 'x'"),
            ({"difficulty": "medium"}, "--difficulty takes one of easy, normal, hard, not 'medium'"),
            ({"shape": (48, 64)}, r"--shape takes three numbers of voxels of at least 16, .* not \(48, 64\)"),
            ({"shape": (48, 64, 8)}, "--shape takes three numbers of voxels of at least 16"),
            ({"spacing": (1, 1, 0)}, "--spacing takes three lengths in mm"),
            ({"spacing": 1}, "--spacing takes three lengths in mm, such as 1,1,1, not 1"),
            ({"spatial_dims": 4}, "--spatial_dims takes 2 or 3, not 4"),
            (
                {"spatial_dims": 2, "shape": SMALL},
                "--shape takes two numbers of voxels of at least 16, such as 64,64, not",
            ),
            ({"spatial_dims": 2, "spacing": (1, 1, 1)}, "--spacing takes two lengths in mm, such as 1,1, not"),
            ({"spatial_dims": 2, "orientation": "RAS"}, "--orientation takes two letters, .* such as LP, not 'RAS'"),
            (
                {"spatial_dims": 2, "orientation": "RS"},
                "--orientation takes two letters, one of each of R/L, A/P, .*'RS'",
            ),
            ({"orientation": "RLS"}, "--orientation takes three letters, one of each of R/L, A/P, S/I, .* not 'RLS'"),
            ({"orientation": "lps"}, "--orientation takes three letters, .* such as LPS, not 'lps'"),
            ({"orientation": 3}, "--orientation takes three letters, .* not 3"),
            ({"num_labels": 3}, "--num_labels takes one of 1, 2, 4, not 3"),
            ({"modality": "PET"}, "--modality takes one of MRI, CT, not 'PET'"),
            ({"num_channels": 3}, "--num_channels takes one of 1, 2, not 3"),
            (
                {"num_channels": 2, "modality": "CT"},
                "--num_channels takes 1 with --modality CT, not 2: only MRI has T1",
            ),
            ({"ignore": "some"}, "--ignore takes True or False, not 'some'"),
        ],
    )
    def test_wrong_settings(self, tmp_path, setting, message):
        with pytest.raises(ValueError, match=message):
            phantom(tmp_path / "data", **setting)
        assert not list(tmp_path.iterdir())


class TestHippocampus:
    @pytest.fixture
    def archive(self, tmp_path):
        """An archive like the Decathlon's: one top folder, macOS leftovers, test images without labels."""
        source = tmp_path / "source"
        names = [f"hippocampus_{number:03d}.nii.gz" for number in range(5)]
        for place in ("imagesTr", "labelsTr", "imagesTs"):
            (source / place).mkdir(parents=True)
            for name in names:
                nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), source / place / name)
                (source / place / f"._{name}").write_bytes(b"resource fork")
        (source / "dataset.json").write_text(
            json.dumps(
                {
                    "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
                    "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
                    "test": [f"./imagesTs/{name}" for name in names],
                }
            )
        )
        (tmp_path / "mirror").mkdir()
        path = tmp_path / "mirror" / "archive.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(source, "Task04_Hippocampus")
        return path

    @pytest.fixture
    def target(self, tmp_path):
        return tmp_path / "place" / "hippocampus"

    def fails(self, target: Path, path: Path, message: str, md5: str | None = None) -> None:
        with pytest.raises((ValueError, OSError), match=message):
            hippocampus(target, url=path.as_uri(), md5=md5 or md5_of(path))
        assert not list(target.parent.iterdir()), "nothing half-written is left"

    def test_it_is_fetched_once(self, archive, target, capsys):
        hippocampus(target, url=archive.as_uri(), md5=md5_of(archive))
        assert len(load_datalist(target, "training")) == 4
        assert load_datalist(target, "test") == []
        assert {path.name for path in target.iterdir()} == {"dataset.json", "imagesTr", "labelsTr", "imagesTs"}
        assert not list(target.rglob("._*"))
        assert [path.name for path in target.parent.iterdir()] == ["hippocampus"]
        archive.unlink()
        hippocampus(target, url=archive.as_uri())
        assert "is complete: nothing to do" in capsys.readouterr().out

    def test_another_archive_is_refused(self, archive, target):
        self.fails(target, archive, "archive.tar is another archive than expected.*MD5 is not 123", md5="123")

    def test_an_archive_cut_short_is_refused(self, archive, target):
        archive.write_bytes(archive.read_bytes()[:15_000])
        self.fails(target, archive, "archive.tar cannot be unpacked")

    def test_no_archive_at_all(self, archive, target):
        archive.write_text("not found")
        self.fails(target, archive, "archive.tar cannot be unpacked")

    def test_an_archive_without_a_dataset(self, archive, target):
        with tarfile.open(archive, "w") as tar:
            tar.addfile(tarfile.TarInfo("readme.txt"))
        self.fails(target, archive, "is not a Decathlon archive: it holds 0 folders with a dataset.json instead of one")

    def test_an_archive_that_lacks_files(self, archive, target):
        with tarfile.open(archive) as tar:
            content = tar.extractfile("Task04_Hippocampus/dataset.json").read()
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo("Task04_Hippocampus/dataset.json")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        self.fails(target, archive, "10 of 10 files are missing")

    def test_nothing_is_written_outside_the_folder(self, archive, target):
        with tarfile.open(archive, "a") as tar:
            tar.addfile(tarfile.TarInfo("../../escaped.txt"))
        self.fails(target, archive, "archive.tar cannot be unpacked: .*outside the destination")

    def test_a_folder_with_something_else_is_kept(self, archive, tmp_path):
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes" / "mine.txt").write_text("mine")
        with pytest.raises(FileExistsError, match=r"notes is not empty: name another folder"):
            hippocampus(tmp_path / "notes", url=archive.as_uri(), md5=md5_of(archive))
        assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"

    def test_without_a_way_there_the_command_says_what_to_do(self, target, monkeypatch, capsys):
        # port 9 of this machine: nothing answers, as without a network
        arguments = ["hippocampus", "--output_dir", str(target), "--url", "http://127.0.0.1:9/Task04_Hippocampus.tar"]
        monkeypatch.setattr(sys, "argv", ["get_data", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run_commands(phantom, hippocampus)
        assert str(exit_.value).startswith("error: could not download http://127.0.0.1:9/Task04_Hippocampus.tar: ")
        assert "--url https://" in str(exit_.value)
        assert "--md5" in str(exit_.value)
        assert not list(target.parent.iterdir())


class TestNuclei:
    def test_they_are_the_tiles_of_the_published_field(self, tmp_path, shared):
        nuclei(str(tmp_path / "nuclei"))
        for place, original in (("images", "imagesTr"), ("masks", "labelsTr")):
            pictures = sorted((tmp_path / "nuclei" / place).iterdir())
            assert len(pictures) == 16
            for path in pictures:
                pixels = np.asarray(Image.open(path))
                tile = nibabel.load(shared / "data" / "Task902_Nuclei2D" / original / f"{path.stem}.nii.gz").get_fdata()
                np.testing.assert_array_equal(pixels / (255 if place == "masks" else 1), tile.T)

    def test_a_row_of_the_field_validates(self, tmp_path):
        nuclei(str(tmp_path / "nuclei"))
        assert len(load_datalist(tmp_path / "nuclei", "training")) == 12
        held_out = load_datalist(tmp_path / "nuclei", "validation")
        assert [Path(case["image"]).stem for case in held_out] == [f"nuclei_r3c{column}" for column in range(4)]
        assert "CC0" in (tmp_path / "nuclei" / "LICENSE.txt").read_text()
        with pytest.raises(FileExistsError, match="nuclei is not empty"):
            nuclei(str(tmp_path / "nuclei"))
        nuclei(str(tmp_path / "nuclei"), overwrite=True)


class TestSpectrograms:
    def test_same_arguments_same_pictures_and_more_leave_the_first_as_they_are(self, tmp_path):
        rf_spectrograms(str(tmp_path / "few"), num_cases=2, seed=3, num_test=1)
        rf_spectrograms(str(tmp_path / "many"), num_cases=3, seed=3, num_test=1)
        few, many = hashes(tmp_path / "few"), hashes(tmp_path / "many")
        del few["dataset.json"]
        assert few.items() <= many.items()
        assert len(set(many.values())) == len(many)
        rf_spectrograms(str(tmp_path / "few"), num_cases=2, seed=4, num_test=1, overwrite=True)
        assert not set(few.values()) & set(hashes(tmp_path / "few").values())
        description = read_dataset_json(tmp_path / "many")
        assert labels_of(description) == {0: "background", 1: "emission"}
        assert (description["licence"], description["made_with"]["seed"]) == ("CC0-1.0", 3)

    def test_emissions_stand_out_where_the_mask_is_and_a_threshold_does_not_find_all_of_them(self):
        cases = [make_spectrogram(0, 0, number) for number in range(12)]
        assert all(np.mean(picture[mask > 0]) > np.mean(picture[mask == 0]) + 5 for picture, mask in cases)

        def dice(threshold: int) -> float:
            found = [(picture > threshold, mask > 0) for picture, mask in cases]
            return np.mean([2 * (one & two).sum() / (one.sum() + two.sum()) for one, two in found])

        assert max(map(dice, range(256))) < 0.75

    @pytest.mark.parametrize("modulation", MODULATIONS)
    def test_an_emission_fills_its_band_and_keeps_to_it(self, modulation):
        length, bandwidth = 30000, 0.1
        frequency = np.abs(np.fft.fftfreq(length))
        powers = [
            np.abs(np.fft.fft(emission(np.random.default_rng(seed), modulation, length, bandwidth))) ** 2
            for seed in range(5)
        ]
        power = np.mean(powers, axis=0)
        assert power.sum() / length**2 == pytest.approx(1)
        assert power[frequency < 0.55 * bandwidth].sum() > 0.97 * power.sum()
        edges = (frequency > 0.3 * bandwidth) & (frequency < 0.5 * bandwidth)
        assert power[edges].sum() > 0.02 * power.sum()

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"num_cases": 0}, "--num_cases takes a whole number of at least 1, not 0"),
            ({"seed": -1}, "--seed takes a whole number of at least 0, not -1"),
            ({"num_test": True}, "--num_test takes a whole number of at least 0, not True"),
        ],
    )
    def test_wrong_settings(self, tmp_path, setting, message):
        with pytest.raises(ValueError, match=message):
            rf_spectrograms(str(tmp_path / "data"), **setting)
        assert not list(tmp_path.iterdir())


class TestImageNetWeights:
    @pytest.fixture
    def copy(self, tmp_path):
        """A file as torchvision has it, with a classifier besides the features."""
        network = torch.nn.Module()
        network.features = torchvisions_network()
        return self.named_by_hash(tmp_path, {**network.state_dict(), "classifier.0.weight": torch.zeros(2, 2)})

    def named_by_hash(self, folder: Path, state: dict[str, torch.Tensor]) -> Path:
        torch.save(state, folder / "weights.pth")
        start = hashlib.sha256((folder / "weights.pth").read_bytes()).hexdigest()[:8]
        return (folder / "weights.pth").rename(folder / f"mobilenet_v3_large-{start}.pth")

    def test_it_is_fetched_once_and_a_network_starts_from_it(self, copy, tmp_path, capsys):
        mobilenet_v3_large(str(tmp_path / "place"), url=copy.as_uri())
        (fetched,) = (tmp_path / "place").iterdir()
        assert str(fetched) in capsys.readouterr().out
        network = create_network("lv_unet", pretrained=fetched)
        assert torch.equal(network.features[0][0].weight, torch.load(copy)["features.0.0.weight"])
        copy.unlink()
        mobilenet_v3_large(str(tmp_path / "place"), url=copy.as_uri())

    def test_what_is_refused(self, copy, tmp_path):
        def fails(path: Path, message: str, error: type = ValueError) -> None:
            with pytest.raises(error, match=message):
                mobilenet_v3_large(str(tmp_path / "place"), url=path.as_uri())
            assert not list((tmp_path / "place").glob("*")), "nothing half-written is left"

        fails(copy.with_name("weights.pth"), "mobilenet_v3_large-HASH.pth")
        fails(copy.with_name("mobilenet_v3_large-01234567.pth"), "could not download .* --url https://", OSError)
        fails(self.named_by_hash(tmp_path, {"conv1.weight": torch.zeros(1)}), "lacks 'features.0.0.weight'")
        copy.write_bytes(copy.read_bytes()[:-1])
        fails(copy, "its SHA-256 does not begin with")


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
