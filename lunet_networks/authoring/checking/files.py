"""The files of a bundle: names, sizes, and the content of those that are not configs."""

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from monai.bundle import ConfigParser
from monai.bundle.workflows import _reject_executable_logging_config

from lunet_networks.authoring.checking.bundle import INFERENCE, METADATA, TRAIN, Bundle, Fault

REQUIRED = {
    METADATA: "what the bundle is: name, versions, network_data_format",
    TRAIN: "the training, under exactly this name for monai.bundle.load, MONAI Label and federated clients",
    INFERENCE: "the inference, under exactly this name for monai.bundle.load and MONAI Label",
    "configs/logging.conf": "what a run prints, for Python's logging.config.fileConfig",
    "docs/README.md": "the model card",
    "LICENSE": "the licence, without an ending: the model zoo looks for exactly this name",
}
README = "docs/README.md"
SECTIONS = (
    "Authors",
    "Tags",
    "Model Description",
    "Data",
    "Preprocessing",
    "Performance",
    "System Configuration",
)
# MONAI Label reads the kind of a model from such a word in the folder's name; automatic segmentation is none of these
MISLEADING = ("detection", "classification", "deepedit", "deepgrow")
LARGE_BYTES = 25_000_000
HASHES = ("md5", "sha1", "sha256", "sha512")
LARGE_FILES = ("large_files.yml", "large_files.yaml", "large_files.json")


def check_files(bundle: Bundle) -> Iterator[Fault]:
    """Every file that is needed is there under its name and can be read."""
    for file, purpose in REQUIRED.items():
        if file not in bundle.files:
            yield Fault(file, "", "is missing", f"add {purpose}")
    for file, reason in bundle.unreadable.items():
        yield Fault(file, "", f"cannot be read as a config ({reason})", "write one JSON object, every key once")


def check_name(bundle: Bundle) -> Iterator[Fault]:
    """The model zoo and MONAI Label read the folder's name as it is meant."""
    name = bundle.root.name
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        yield Fault(".", name, "has characters other than letters, digits and _", "rename the folder")
    if re.search(r"_v\d", name):
        cure = "write the version in metadata.json only"
        yield Fault(".", name, "holds _v and a digit, where the model zoo cuts a version off", cure)
    for word in MISLEADING:
        if word in name.lower():
            yield Fault(
                ".", name, f"holds '{word}', from which MONAI Label reads another kind of model", "rename the folder"
            )


def check_large_files(bundle: Bundle) -> Iterator[Fault]:
    """Files too large for the model zoo are listed with address and hash, and have that hash."""
    items = large_files(bundle)
    listed = {item["path"] for item in items}
    for file in bundle.files:
        size = (bundle.root / file).stat().st_size
        if size > LARGE_BYTES and file not in listed:
            cure = f"list it with its url and hash in {LARGE_FILES[0]}"
            yield Fault(file, "", f"is {size / 1e6:.0f} MB, more than the 25 MB that the model zoo takes", cure)
    for item in items:
        known = item.get("hash_type") in HASHES and item["path"] in bundle.files
        if known and _hash(bundle.root / item["path"], item["hash_type"]) != item.get("hash_val"):
            problem = f"has another {item['hash_type']} than the list of large files says"
            yield Fault(item["path"], "", problem, "upload and list the same file")


def large_files(bundle: Bundle) -> list[dict[str, str]]:
    """The entries of the list of large files that have a path and an address."""
    items = []
    for name in set(LARGE_FILES) & set(bundle.files):
        content = ConfigParser.load_config_file(bundle.root / name)
        items += (content.get("large_files") if isinstance(content, dict) else None) or []
    return [item for item in items if isinstance(item, dict) and {"path", "url"} <= item.keys()]


def _hash(path: Path, kind: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def check_readme(bundle: Bundle) -> Iterator[Fault]:
    """The model card has the sections of the model zoo's template."""
    if README not in bundle.files:
        return
    lines = _outside_of_code((bundle.root / README).read_text(encoding="utf-8"))
    if not any(line.startswith("# ") for line in lines):
        yield Fault(README, "title", "is missing", "begin with a line '# ' and what the model is")
    headings = {match[1].lower() for line in lines if (match := re.fullmatch(r"#{2,}\s+(.+?)\s*", line))}
    for section in SECTIONS:
        if section.lower() not in headings:
            yield Fault(README, section, "is a section that is missing", f"write it under a heading '## {section}'")


def _outside_of_code(text: str) -> list[str]:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()


def check_logging(bundle: Bundle) -> Iterator[Fault]:
    """MONAI accepts logging.conf, which it does not where the file could run code, and so does Python."""
    file = "configs/logging.conf"
    if file not in bundle.files:
        return
    path = str(bundle.root / file)
    try:
        _reject_executable_logging_config(path)  # MONAI has no public name for it
    except ValueError as error:
        cure = "name classes of logging or logging.handlers, with literals, sys.stdout or sys.stderr as args"
        yield Fault(file, _section(str(error)), f"MONAI refuses it: {_sentence(str(error))}", cure)
        return
    # In a process of its own because it replaces all loggers, and in an empty folder because it may write a log file.
    code = "import logging.config, sys; logging.config.fileConfig(sys.argv[1])"
    with tempfile.TemporaryDirectory() as empty:
        command = [sys.executable, "-I", "-S", "-c", code, path]
        run = subprocess.run(command, cwd=empty, capture_output=True, text=True, check=False)
    if run.returncode:
        cure = "declare every logger, handler and formatter under keys= and in a section of its own"
        yield Fault(file, "", f"Python's logging refuses it: {run.stderr.strip().splitlines()[-1]}", cure)


def _section(message: str) -> str:
    match = re.search(r"section (\[.+?\])", message)
    return match[1] if match else ""


def _sentence(message: str) -> str:
    return re.sub(r"^.*section \[.+?\] ", "", message).split(" and would execute")[0]
