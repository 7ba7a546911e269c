import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from lunet_networks.bundle.data_checks import check_data
from lunet_networks.bundle.datalist import labels_of, load_datalist, read_dataset_json
from tools.command_line import run_commands
from tools.get_data import hippocampus, phantom
from tools.phantom import DIFFICULTIES, make_case

SMALL = (24, 32, 24)


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


class TestPhantom:
    def test_same_arguments_same_bytes(self, tmp_path):
        for name in "ab":
            phantom(tmp_path / name, num_cases=2, seed=5, shape=SMALL, num_test=1)
        assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
        phantom(tmp_path / "c", num_cases=2, seed=6, shape=SMALL, num_test=1)
        assert not set(hashes(tmp_path / "a").values()) & set(hashes(tmp_path / "c").values())

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

    @pytest.mark.parametrize("difficulty", DIFFICULTIES)
    def test_anatomy(self, difficulty):
        for number in range(3):
            image, label = make_case(seed=2, group=0, number=number, difficulty=difficulty)
            sizes = np.bincount(label.ravel(), minlength=3)
            assert (sizes[1:] > 200).all()
            assert sizes[1:].sum() < 0.1 * label.size
            head, tail = (np.argwhere(label == value).mean(0) for value in (1, 2))
            assert head[1] > tail[1] + 10, "the head lies before the tail"
            assert image[label > 0].mean() < image[label == 0].mean(), "the structure is darker than its surroundings"

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
            ({"num_cases": 0}, "--num_cases is a whole number from 1 on, not 0"),
            ({"num_test": -1}, "--num_test is a whole number from 0 on, not -1"),
            ({"seed": "x"}, "--seed is a whole number from 0 on, not 'x'"),
            ({"difficulty": "medium"}, "--difficulty is one of easy, normal, hard, not 'medium'"),
            ({"shape": (48, 64)}, r"--shape is three numbers of voxels from 16 on, .* not \(48, 64\)"),
            ({"shape": (48, 64, 8)}, "--shape is three numbers of voxels from 16 on"),
            ({"spacing": (1, 1, 0)}, "--spacing is three lengths in mm"),
            ({"spacing": 1}, "--spacing is three lengths in mm, such as 1,1,1, not 1"),
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
        self.fails(target, archive, "archive.tar is not the archive that was expected.*md5 is not 123", md5="123")

    def test_an_archive_cut_short_is_refused(self, archive, target):
        archive.write_bytes(archive.read_bytes()[:15_000])
        self.fails(target, archive, "archive.tar cannot be unpacked")

    def test_no_archive_at_all(self, archive, target):
        archive.write_text("not found")
        self.fails(target, archive, "archive.tar cannot be unpacked")

    def test_an_archive_without_a_dataset(self, archive, target):
        with tarfile.open(archive, "w") as tar:
            tar.addfile(tarfile.TarInfo("readme.txt"))
        self.fails(target, archive, "is no Decathlon archive: it holds 0 folders with a dataset.json, not one")

    def test_an_archive_that_lacks_files(self, archive, target):
        with tarfile.open(archive) as tar:
            content = tar.extractfile("Task04_Hippocampus/dataset.json").read()
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo("Task04_Hippocampus/dataset.json")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        self.fails(target, archive, "10 of 10 files are not there")

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
        assert str(exit_.value).startswith("error: could not fetch http://127.0.0.1:9/Task04_Hippocampus.tar: ")
        assert "--url https://" in str(exit_.value)
        assert "--md5" in str(exit_.value)
        assert not list(target.parent.iterdir())


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
