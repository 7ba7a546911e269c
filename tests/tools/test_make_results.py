"""docs/results.md says what the committed records say."""

from pathlib import Path

import pytest

from tests.helpers.study_records import made_up
from tools import ROOT
from tools.make_results import make_results, pictures
from tools.study.records import RECORDS, read_records
from tools.study.results import comparisons

MARKS = "".join(
    f"<!-- {name}: written by python -m tools.make_results -->\n<!-- end of {name} -->\n"
    for name in ("study", "weights")
)


def test_the_page_is_up_to_date() -> None:
    make_results(check=True)


def test_every_comparison_has_its_picture_and_no_other_is_there() -> None:
    there = {path.stem for path in (ROOT / "docs" / "pictures").glob("results*.png")}
    assert there == {f"results_{name}" for name in pictures(comparisons(read_records(RECORDS)))}


def test_a_page_of_made_up_records(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(MARKS)
    claims = tmp_path / "claims.md"
    claims.write_text(MARKS.replace("study", "claims"))
    made_up(tmp_path / "records", "lunet_small_4f", [0.8] * 6)
    with pytest.raises(ValueError, match=r"is not up to date: run python -m tools.make_results"):
        make_results(str(page), str(tmp_path / "records"), check=True)
    make_results(str(page), str(tmp_path / "records"))
    make_results(str(page), str(tmp_path / "records"), check=True)
    assert "| `lunet_small_4f` | 1,000 | 2.00 | 2 | 1 | 0.800 | 0.800 |" in page.read_text()
    assert "| `lunet_small` | `lunet_small_4f` | 300 | 16 | 0 | 0.888 | 0.870 |" in page.read_text()
    assert "| not answered: not run yet |" in claims.read_text()
    assert (tmp_path / "pictures" / "results_hippocampus_fold0_2_epochs.png").is_file()
