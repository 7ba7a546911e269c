"""The documents hold the figures that the presets have."""

from pathlib import Path

import pytest

from tools.make_table import COMMAND, make_table

MARKS = {name: (f"<!-- {name}: written by {COMMAND} -->", f"<!-- end of {name} -->") for name in ("bundles", "presets")}


def test_the_readme_is_up_to_date(repository: Path) -> None:
    make_table(str(repository / "README.md"), check=True)


def test_what_stands_around_the_table_stays(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    (bundles, end_of_bundles), (presets, end_of_presets) = MARKS.values()
    document.write_text(f"above\n{bundles}\n{end_of_bundles}\nbetween\n{presets}\nold\n{end_of_presets}\nbelow\n")
    with pytest.raises(ValueError, match="not up to date"):
        make_table(str(document), check=True)
    make_table(str(document))
    text = document.read_text()
    assert text.startswith(f"above\n{bundles}\n| bundle |")
    assert f"|\n{end_of_bundles}\nbetween\n{presets}\n| preset |" in text
    assert text.endswith(f"{end_of_presets}\nbelow\n")
    assert "| 9,929 | 0.568 G | 35.6 x fewer parameters, 1.68 x fewer MACs |" in text
    make_table(str(document), check=True)


def test_a_document_without_the_marks(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(ValueError, match="must hold one line"):
        make_table(str(tmp_path / "page.md"))
