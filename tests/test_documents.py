"""What the documents name exists: links, files, commands, functions; and their pages stay short."""

import re
from pathlib import Path
from pydoc import locate

import pytest

from lunet_networks.commands import COMMANDS

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "bundles" / "lunet_small"  # documents also name files as seen from a bundle's folder
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
CARDS = sorted(ROOT.glob("bundles/*/docs/README.md"))
USER_PAGES = [path for path in DOCUMENTS if "engineering" not in path.parts and path.name != "CONTRIBUTING.md"]
THREE_SCREENS = 125  # lines

FENCE = re.compile(r"^```.*?^```$", re.S | re.M)
GENERATED = re.compile(r"^<!-- (?P<name>.+?): written by .+? -->$.*?^<!-- end of (?P=name) -->$", re.S | re.M)
MARK = re.compile(r"^<!-- (.+?)(?:: written by .+?)? -->$", re.M)
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`]+)`")
TOOL = re.compile(r"(?:python -m |`)tools\.([a-z]\w*)")
LUNET = re.compile(r"(?:^|[`$(]|&& )lunet ([a-z][\w-]*)", re.M)
MAKE = re.compile(r"(?:^|[`(])make ([a-z-]+)", re.M)
FILE = re.compile(r"(?<![\w./-])(?:lunet_networks|tools|tests|docs|configs|bundles|\.ci)/[\w./*-]+")
OBJECT = re.compile(r"`(lunet_networks(?:\.\w+)+)(?:\([^`]*\))?`")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
MADE_BY_USERS = re.compile(r"\b(?:NAME|model\.onnx)\b")  # in paths that a command writes


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _anchors(document: Path) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _exists(path: str, *roots: Path) -> bool:
    return any(any(root.glob(path)) for root in roots)


@pytest.mark.parametrize("document", [*DOCUMENTS, *CARDS], ids=_id)
def test_relative_links_resolve(document: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", document.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", [*DOCUMENTS, *CARDS], ids=_id)
def test_files_that_it_names_exist(document: Path) -> None:
    named = {path.rstrip(".") for path in FILE.findall(document.read_text("utf-8")) if not MADE_BY_USERS.search(path)}
    roots = (ROOT, BUNDLE, document.parents[1])
    assert sorted(path for path in named if not _exists(path.rstrip("/"), *roots)) == []


@pytest.mark.parametrize("document", [*DOCUMENTS, *CARDS], ids=_id)
def test_commands_that_it_names_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    tools = [(name, f"{name}.py", f"{name}/__main__.py") for name in TOOL.findall(text)]
    assert sorted(name for name, *files in tools if not any(_exists(file, ROOT / "tools") for file in files)) == []
    assert sorted(set(LUNET.findall(text)) - set(COMMANDS)) == []
    assert sorted(set(MAKE.findall(text)) - targets) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_id)
def test_functions_and_modules_that_it_names_exist(document: Path) -> None:
    assert sorted(name for name in OBJECT.findall(document.read_text("utf-8")) if locate(name) is None) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_id)
def test_marks_of_generated_sections_come_in_pairs(document: Path) -> None:
    text = document.read_text("utf-8")
    assert len(MARK.findall(text)) == 2 * len(GENERATED.findall(text))


@pytest.mark.parametrize("document", USER_PAGES, ids=_id)
def test_a_page_for_users_fits_three_screens(document: Path) -> None:
    assert len(GENERATED.sub("", document.read_text("utf-8")).splitlines()) <= THREE_SCREENS


@pytest.mark.parametrize("name", ["README", "docs/pruning"])
def test_python_that_needs_no_files_runs(name: str) -> None:
    blocks = PYTHON.findall((ROOT / f"{name}.md").read_text("utf-8"))
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), {"__name__": "__main__"})
