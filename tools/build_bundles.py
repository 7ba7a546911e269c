"""The repository's bundles: one for each family, for the hippocampus, or for nuclei where it takes pictures. Never edit
what this writes."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lunet_networks.authoring.checking.bundle import INFERENCE, Bundle
from lunet_networks.authoring.command_line import as_bool, run_commands
from lunet_networks.authoring.exporting.trained_network import trained_network
from lunet_networks.authoring.planning.bundle_files import bundle_files, bundle_settings
from lunet_networks.authoring.planning.decisions import plan_bundle
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.authoring.planning.fingerprint import Fingerprint, read_fingerprint
from lunet_networks.authoring.planning.texts import authorship
from lunet_networks.authoring.web_page.content import bundle_content
from lunet_networks.authoring.web_page.page import page_html
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.outputs import RECORDS
from tools import ROOT

BUNDLES = ROOT / "bundles"
PLANNING = "lunet_networks/authoring/planning"
PAGE_OF = "lunet_small"
HIPPOCAMPUS, NUCLEI = "Task04_Hippocampus", "Nuclei"
GET_DATA = {HIPPOCAMPUS: "hippocampus", NUCLEI: "nuclei"}
MEMORY_GIB = 8
AUTHORS = "the lunet-bundles authors"
BUSY = "The machine, two CPU cores, did other work at the same time: the minutes are no measure."
OTHER_NUCLEI = (
    "These weights were not trained on the 16 tiles above, but on pictures of the Data Science Bowl 2018 (stage1_train "
    "of BBBC038, with the masks corrected by K. Lopuhin and others, CC0), coloured ones turned to grey."
)


def build_bundles(output_dir: str = str(BUNDLES), check: bool = False) -> None:
    """Write the generated files of all bundles; with the repository's own also a page and what the package copies.

    Args:
        output_dir: the folder of the bundles.
        check: write nothing; say which files are not as generated, and fail if there are any.
    """
    check = as_bool("check", check)
    stale = []
    for path, text in _generated(Path(output_dir)):
        if check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(str(path))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        raise ValueError(f"not as generated, write them with python -m tools.build_bundles: {', '.join(stale)}")
    print(f"{len(FAMILIES)} bundles in {output_dir} {'are as generated' if check else 'written'}")


def _generated(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every generated file and its text. The page comes last, as it is made of a bundle's files."""
    for name in FAMILIES:
        for relative, text in repository_bundle(name).items():
            yield folder / name / relative, text
    if folder.resolve() == BUNDLES.resolve():
        for relative, text in {**package_data(), **page()}.items():
            yield ROOT / relative, text


def repository_bundle(name: str) -> dict[str, str]:
    """Text of all generated files of one of the repository's bundles, by their path in it."""
    return bundle_files(repository_settings(name), BUNDLES / name / "docs")


@functools.cache
def repository_settings(name: str) -> dict[str, Any]:
    """What fills the templates of one of the repository's bundles."""
    preset = FAMILIES[name].preset
    dataset = NUCLEI if FAMILIES[name].colours else HIPPOCAMPUS
    plan = plan_bundle(_fingerprint(dataset), name, preset, MEMORY_GIB)
    settings = bundle_settings(_fingerprint(dataset), name, preset, plan)
    fetch = f"`lunet get-data {GET_DATA[dataset]} --output_dir data/{dataset}` fetches it."
    return {
        **settings,
        "name": name,
        **authorship(AUTHORS),
        "dataset_dir": f"/workspace/data/{dataset}",
        "data": f"{settings['data']} {fetch}",
        "training_note": _training_note(name),
    }


def _training_note(name: str) -> str:
    """What is to be known of the trainings of a bundle's weights; "" if it comes without."""
    if not list((BUNDLES / name / "docs").glob(f"**/{RECORDS[outputs.RUN_RECORD]}")):
        return ""
    return f"{OTHER_NUCLEI} {BUSY}" if FAMILIES[name].colours else BUSY


def package_data() -> dict[str, str]:
    """Files that the package keeps a copy of, because the repository's own files are not installed with it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {
        f"{PLANNING}/tested_versions.json": json.dumps(versions, indent=1) + "\n",
        f"{PLANNING}/LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8"),
    }


def page() -> dict[str, str]:
    """The page that labels without anything installed, as ``lunet export --format html`` writes it; tests try it."""
    bundle = Bundle(BUNDLES / PAGE_OF)
    network = trained_network(bundle, None, None).network
    content = bundle_content(bundle.root, bundle.parser(INFERENCE), bundle.metadata, network)
    return {f"docs/{PAGE_OF}.html": page_html(content)}


@functools.cache
def _fingerprint(dataset: str) -> Fingerprint:
    return read_fingerprint(ROOT / "tools" / "fingerprints" / f"{dataset}.json")


if __name__ == "__main__":
    run_commands(build_bundles)
