"""The commands of the tutorial are run in their order, and what they print stands below them."""

import re
import sys
from pathlib import Path

import pytest

from tools import ROOT
from tools import walk_tutorial as tool
from tools.walk_tutorial import COMMAND, STEP, run_step, shortened, walk_tutorial

TUTORIAL = ROOT / "docs" / "tutorial.md"


def step(name: str, commands: str) -> str:
    return f"```bash\n{commands}\n```\n\n<!-- {name}: written by {COMMAND} -->\n<!-- end of {name} -->\n"


def test_outputs_stand_below_their_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "walk.md"
    set_up = "```bash\nexit 1 # is not run: it has no section\n```\n"
    machine = f"<!-- machine: written by {COMMAND} -->\n<!-- end of machine -->\n"
    document.write_text("\n".join([machine, set_up, step("one", "echo 1 > file\npwd"), step("two", "cat file >&2")]))
    monkeypatch.setattr(tool, "PICTURES", {})
    walk_tutorial(str(document))
    text = document.read_text()
    assert "```text\n/walk\n```\n" in text
    assert "```text\n1\n```\n" in text
    assert "with 1 thread" in text or "threads of" in text
    walk_tutorial(str(document))
    assert document.read_text() == text


def test_a_command_that_fails_ends_the_walk(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"after\nended with status 1:\nbefore"):
        run_step("echo before\nfalse\necho after\n", tmp_path)
    assert run_step("command -v python\n", tmp_path)[0].startswith(str(Path(sys.executable).parent))


def test_long_outputs_are_shortened() -> None:
    lines = [str(number) for number in range(100)]
    found = shortened(lines)
    assert found[: tool.BEGINNING] == lines[: tool.BEGINNING]
    assert found[tool.BEGINNING :] == ["...", *lines[-tool.END :]]
    assert shortened(lines[:9]) == lines[:9]


def test_every_block_of_the_tutorial_but_the_set_up_has_its_output() -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    assert len(STEP.findall(text)) == text.count("```bash") - 1
    assert text.count("```text") == text.count("```bash") - 1
    assert all(re.search(rf"\]\({picture}\)", text) for picture in tool.PICTURES)
