"""What the documents name exists: links, files, commands, functions; the sizes of networks that they give by hand are
right; and their pages stay short."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from pydoc import locate

import pytest
import torch
from monai.networks.nets import AttentionUnet, BasicUNet, BasicUNetPlusPlus

from lunet_networks import create_network
from lunet_networks.commands import COMMANDS
from lunet_networks.summary import count_macs, count_parameters

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


WIDTHS = (32, 64, 128, 256, 512)
PLUS_PLUS = partial(BasicUNetPlusPlus, 2, 3, 1, features=(*WIDTHS, 32))
SENTENCES = [  # the document, what stands in it, the network of which {0} are the parameters and {1} the operations
    (
        "2d",
        "LV-UNet has {0} parameters and {1} MACs for 3 x 256 x 256 in training form",
        partial(create_network, "lv_unet"),
    ),
    ("2d", "in training form, {0} and {1} deployed", partial(create_network, "lv_unet", deployed=True)),
    ("2d_networks", "`u_kan_small` is left with {0} parameters", partial(create_network, "u_kan_small", deployed=True)),
    (
        "2d_networks",
        "`AttentionUnet` has {0} parameters and {1}: it strides",
        partial(AttentionUnet, 2, 3, 1, channels=WIDTHS, strides=(2, 2, 2, 2)),
    ),
    ("2d_networks", "`BasicUNetPlusPlus` has {0} and {1} with transposed convolutions", PLUS_PLUS),
    (
        "2d_networks",
        "with transposed convolutions, {0} and {1} with interpolation",
        partial(PLUS_PLUS, upsample="nontrainable"),
    ),
    ("2d_networks", "`BasicUNet` has {0} and {1}: its last", partial(BasicUNet, 2, 3, 1, features=(*WIDTHS, 32))),
]


def _sizes(make: Callable[[], torch.nn.Module]) -> tuple[str, str]:
    """Parameters, and multiply-accumulates at 3 x 256 x 256, as documents write them."""
    with torch.device("meta"):
        network = make()
    return f"{count_parameters(network):,}", f"{count_macs(network, (1, 3, 256, 256)) / 1e9:.3f} G"


@pytest.mark.parametrize(("document", "sentence", "make"), SENTENCES)
def test_sizes_in_sentences_are_right(document: str, sentence: str, make: Callable[[], torch.nn.Module]) -> None:
    text = " ".join((ROOT / "docs" / f"{document}.md").read_text("utf-8").split())
    assert sentence.format(*_sizes(make)) in text


def test_sizes_in_tables_of_2d_networks_are_right() -> None:
    text = (ROOT / "docs" / "2d_networks.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    found: dict[str, list[str]] = {}
    for name, *cells in rows:
        if name.startswith(("parameters", "multiply")):  # a column for each bundle, and other presets of its family
            for bundle, cell in zip(rows[0][1:], cells, strict=True):
                for preset, size in re.findall(r"`(\w+)`\D*([\d.,]+(?: G)?)", f"{bundle} {cell}"):
                    found.setdefault(preset, []).append(size)
        elif match := re.match(r"`(\w+)`", name):
            found[match[1]] = cells[-2:]
    assert len(found) == 4 + 6
    assert found == {preset: [*_sizes(partial(create_network, preset))] for preset in found}
