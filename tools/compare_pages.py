"""Label images with web pages and with the bundles that they are made of, and write what came out into
docs/web_page.md."""

import json
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.benchmark import set_torch_threads

from lunet_networks.authoring.checking.bundle import INFERENCE, Bundle
from lunet_networks.authoring.command_line import as_bool, run_commands
from lunet_networks.authoring.exporting.quantisation import BundleData
from lunet_networks.authoring.exporting.trained_network import trained_network
from lunet_networks.authoring.web_page.chromium import chromium_command
from lunet_networks.authoring.web_page.content import bundle_content
from lunet_networks.authoring.web_page.page import page_html
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.state_dicts import weights_digest
from tools import ROOT
from tools.speed.pages import CHROMIUM, PAGE, PYTHON, RUNTIME, compare_page
from tools.speed.setup import describe_setup
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.compare_pages table"
NAME = "pages"
RECORDS = ROOT / "docs" / "pages.json"
BROWSERS = ("none", "chromium")
OWN_WEIGHTS = "those of the bundle"
DIGITS = 12  # of the digest of weights
TITLES = (
    "bundle",
    "page",
    "images",
    "differ in node",
    "in Chromium",
    f"with {RUNTIME}",
    "page, seconds",
    "Python",
    RUNTIME,
)

Entry = Mapping[str, Any]


def measure(
    bundle: str,
    dataset_dir: str,
    num_images: int = 20,
    ckpt_dir: str | None = None,
    weights: str = OWN_WEIGHTS,
    browser: str = "none",
    onnxruntime_web: str | None = None,
    rounds: int = 3,
    records: str = str(RECORDS),
) -> None:
    """Label validation images with the page of a bundle, in node, and with the bundle, and record voxels that differ
    and seconds.

    Page, Python and onnxruntime-web take turns; each computes with one thread, and seconds are those of the processor.

    Args:
        bundle: name of a bundle of the repository, or a folder.
        dataset_dir: folder with dataset.json.
        num_images: of the validation list, from its beginning.
        ckpt_dir: folder of model.pt; without it the bundle's models.
        weights: for the record, how they were trained if they are not the bundle's.
        browser: chromium labels the images in Chromium, too.
        onnxruntime_web: folder in which ``npm install onnxruntime-web`` was run; it then computes in place of the
            page's engine. Without it this comparison is left out.
        rounds: timed visits to each.
        records: JSON file; an earlier entry of the bundle is replaced.
    """
    check_whole_number("--num_images", num_images, least=1)
    check_whole_number("--rounds", rounds, least=1)
    choose("browser", browser, dict.fromkeys(BROWSERS))
    if shutil.which("node") is None:
        raise FileNotFoundError("node is not on this machine: pages are compared in node")
    root = ROOT / "bundles" / str(bundle)
    source = Bundle(root if root.is_dir() else str(bundle))
    folder_of_weights, runtime = (None if each is None else Path(str(each)) for each in (ckpt_dir, onnxruntime_web))
    trained = trained_network(source, None, folder_of_weights)
    images = validation_images(source, str(dataset_dir), folder_of_weights, num_images)
    setup = describe_setup(1, rounds)
    with tempfile.TemporaryDirectory() as folder, set_torch_threads(1):
        page = Path(folder, "page.html")
        content = bundle_content(source.root, source.parser(INFERENCE), source.metadata or {}, trained.network)
        page.write_text(page_html(content), encoding="utf-8")
        size = page.stat().st_size
        found = compare_page(source, trained, page, images, rounds, browser == "chromium", runtime)
    entry = {
        "bundle": source.root.name,
        "weights": {"digest": weights_digest(trained.network)[:DIGITS], "source": weights},
        "dataset": Path(str(dataset_dir)).name,
        "page_bytes": size,
        **found,
        **setup,
        "versions": versions(setup, browser == "chromium", runtime),
    }
    add_entry(Path(str(records)), entry)
    print(f"of {found['voxels']:,} voxels differ {found['different']}: make the table with {COMMAND}")


def validation_images(source: Bundle, dataset_dir: str, ckpt_dir: Path | None, count: int) -> list[list[Path]]:
    """The files of the first validation images.

    Raises:
        ValueError: if there are fewer.
    """
    cases = BundleData(source, dataset_dir, ckpt_dir).validation
    if len(cases) < count:
        raise ValueError(f"--num_images {count}: the validation list of {dataset_dir} has {len(cases)}")
    files = (case["image"] if isinstance(case["image"], list) else [case["image"]] for case in cases[:count])
    return [[Path(path) for path in channels] for channels in files]


def versions(setup: Mapping[str, Any], in_chromium: bool, runtime: Path | None) -> dict[str, str]:
    """Of everything that labelled."""
    found = {name: setup["versions"][name] for name in ("lunet_networks", "torch")}
    found["node"] = _told_version("node")
    if in_chromium:
        found[CHROMIUM] = _told_version(chromium_command())
    if runtime is not None:
        described = runtime / "node_modules" / RUNTIME / "package.json"
        found[RUNTIME] = json.loads(described.read_text(encoding="utf-8"))["version"]
    return found


def _told_version(command: str) -> str:
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    return next(word for word in told.replace("v", "").split() if word[0].isdecimal())


def add_entry(path: Path, entry: Entry) -> None:
    """Write an entry into a file, a line for each; an earlier one of its bundle is replaced."""
    entries = {each["bundle"]: each for each in (*read_entries(path), entry)}
    lines = ",\n".join(json.dumps(each) for each in entries.values())
    write_atomically(path, f"[\n{lines}\n]\n".encode())


def read_entries(path: Path) -> list[Entry]:
    """The entries of a file; none where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def table(records: str = str(RECORDS), document: str = str(ROOT / "docs" / "web_page.md"), check: bool = False) -> None:
    """Write the table of what was recorded.

    Args:
        records: JSON file of ``measure``.
        document: Markdown file with the marks of the table.
        check: write nothing, and fail when the table is not up to date.
    """
    text = table_text(read_entries(Path(str(records))))
    write_between_marks(str(document), NAME, COMMAND, text, as_bool("check", check))


def table_text(entries: Sequence[Entry]) -> str:
    """The table, and what it was measured with."""
    lines = [f"| {' | '.join(TITLES)} |", f"|---|{'---:|' * (len(TITLES) - 1)}", *map(_row, entries)]
    notes = [
        "Counted are voxels whose label differs from Python's. Images are the first of the validation list. Seconds "
        "are of the processor with one thread, for an image from reading its file to writing its labels: medians of "
        "rounds in which the page in node, Python with its kernels, and the page with "
        f"{RUNTIME} as its engine took turns.",
        *dict.fromkeys(map(_setup_text, entries)),
        *(f"Weights of `{each['bundle']}`: {each['weights']['source']}." for each in entries if _are_others(each)),
    ]
    return "\n".join([*lines, "", *notes])


def _row(entry: Entry) -> str:
    different = entry["different"]
    seconds = {name: f"{statistics.median(each):.3f}" for name, each in entry["seconds"].items()}
    cells = (
        f"`{entry['bundle']}`",
        f"{entry['page_bytes'] / 1e3:,.0f} kB",
        f"{entry['images']} of {entry['dataset']}, {entry['voxels']:,} voxels",
        *(f"{different[name]:,}" if name in different else "not tried" for name in (PAGE, CHROMIUM, RUNTIME)),
        *(seconds.get(name, "not tried") for name in (PAGE, PYTHON, RUNTIME)),
    )
    return f"| {' | '.join(cells)} |"


def _setup_text(entry: Entry) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
    return f"{entry['date']}, {entry['rounds']} rounds on {entry['machine']['cpu']}: {versions}."


def _are_others(entry: Entry) -> bool:
    return entry["weights"]["source"] != OWN_WEIGHTS


if __name__ == "__main__":
    run_commands(measure, table)
