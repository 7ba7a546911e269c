"""A dataset appears when all of it is written."""

import json

import pytest

from lunet_networks.authoring.staging import staged_dataset, write_json


def test_the_folder_appears_when_all_is_written(tmp_path):
    target = tmp_path / "new" / "data"
    with staged_dataset(target) as folder:
        (folder / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "a"
    assert [path.name for path in target.parent.iterdir()] == ["data"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_interruption_changes_nothing(tmp_path, interruption):
    (tmp_path / "data").mkdir()
    write_json(tmp_path / "data" / "dataset.json", {"older": True})

    def write_half():
        with staged_dataset(tmp_path / "data", overwrite=True) as folder:
            (folder / "half.txt").write_text("half")
            raise interruption

    with pytest.raises(interruption):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert json.loads((tmp_path / "data" / "dataset.json").read_text()) == {"older": True}


def test_what_is_no_dataset_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(
        FileExistsError, match=r"is not overwritten because it is not a dataset: it has no dataset.json"
    ):
        staged_dataset(tmp_path, overwrite=True).__enter__()
    with pytest.raises(NotADirectoryError, match=r"thesis.txt is a file: name a folder"):
        staged_dataset(tmp_path / "thesis.txt").__enter__()
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_json_that_cannot_be_written_leaves_the_older(tmp_path):
    write_json(tmp_path / "a.json", {"older": True})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"newer": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"older": True}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
