"""Whether MONAI can initialise a bundle's configs from any folder, without data and without a network connection."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow
from monai.utils import BundleProperty, BundlePropertyConfig

from lunet_networks.authoring.checking.bundle import BENCHMARK, INFERENCE, MULTI_GPU, Bundle, Fault
from lunet_networks.authoring.checking.components import check_components, check_expressions
from lunet_networks.authoring.checking.isolated_folder import isolated_folder
from lunet_networks.bundle.runtime.errors import root_cause

Found = tuple[str, str, str]  # key, problem, cure of a fault
INITIALIZE_CURE = "do in initialize only what needs no file; read data and weights at the beginning of run"


def check_workflows(bundle: Bundle) -> Iterator[Fault]:
    """Configs initialise and have MONAI's properties, except the one that connects several processes."""
    if bundle.metadata is None:  # each of them is merged with it
        return
    # a config that names something unknown cannot be built, and is reported already
    can_be_made = not any(check_components(bundle)) and not any(check_expressions(bundle))
    for file in [file for file in bundle.runnable if file != MULTI_GPU]:
        with isolated_folder() as folder:
            kind = {INFERENCE: "inference", BENCHMARK: None}.get(file, "train")  # MONAI has no such type
            workflow = ConfigWorkflow(bundle.paths(file), logging_file=False, workflow_type=kind)
            faults = list(_missing_ids(workflow))
            if not faults:
                workflow.parser["dataset_dir"] = str(folder / "absent")
                workflow.parser["device"] = "cpu"  # a str, as MONAI Label gives it
                faults += _initialize(workflow, [bundle.root, folder])
            if not faults and can_be_made:
                faults += _properties(workflow, folder)
        for key, problem, cure in faults:
            yield Fault(bundle.place(file, key), key, problem, cure)


def _own_properties(workflow: ConfigWorkflow) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """MONAI's properties that stand in the config, each with its id; those of metadata.json have a schema."""
    for name, about in workflow.properties.items():
        if not about[BundlePropertyConfig.ID].startswith("_meta_"):
            yield name, about[BundlePropertyConfig.ID].replace("::", "#"), about


def _missing_ids(workflow: ConfigWorkflow) -> Iterator[Found]:
    for name, key, about in _own_properties(workflow):
        if about[BundleProperty.REQUIRED] and key not in workflow.parser:
            yield key, "is missing", f"define MONAI's property {name}: {about[BundleProperty.DESC]}"


def _initialize(workflow: ConfigWorkflow, folders: list[Path]) -> Iterator[Found]:
    before = _file_times(folders)
    try:
        workflow.initialize()
    except Exception as error:
        yield "initialize", f"fails without data or without a network connection: {_first_line(error)}", INITIALIZE_CURE
    after = _file_times(folders)
    if touched := sorted({path.name for path, _ in before ^ after}):
        yield "initialize", f"writes or removes {', '.join(touched)}", INITIALIZE_CURE


def _file_times(folders: list[Path]) -> set[tuple[Path, int]]:
    """All files, each with the time when it was written, and all folders."""
    paths = (path for folder in folders for path in folder.rglob("*"))
    return {(path, path.stat().st_mtime_ns if path.is_file() else 0) for path in paths}


def _properties(workflow: ConfigWorkflow, folder: Path) -> Iterator[Found]:
    """Faults in MONAI's properties, which are looked at as MONAI Label does it: with lists of cases that it brings."""
    parser = workflow.parser
    if "train" in parser:
        parser["dataset_dir"] = str(_stand_in(folder / "dataset"))
        for section in ("train", "validate"):
            if f"{section}#dataset#data" in parser:
                parser[f"{section}#dataset#data"] = []
        parser.parse(True)
    broken = set()
    for name, key, _ in _own_properties(workflow):
        try:
            getattr(workflow, name)
        except Exception as error:
            cause = _first_line(error)
            if cause not in broken:  # what contains a broken part is broken by the same cause
                broken.add(cause)
                yield key, f"cannot be built ({cause})", "correct it; python -m monai.bundle run shows where"
    if not broken:
        yield from _references(workflow)


def _references(workflow: ConfigWorkflow) -> Iterator[Found]:
    """Where a property is used, it is referred to by its id, so that replacing the property replaces it there."""
    written_out = False
    for _, key, about in _own_properties(workflow):
        user = about.get(BundlePropertyConfig.REF_ID)
        if user and user in workflow.parser and not isinstance(workflow.parser[user], str):
            written_out = True
            cure = f"write @{key}; or define it under an id of its own, ID, and write $@ID"
            yield user.replace("::", "#"), "is written out, so MONAI's check_properties fails", cure
    wrong = [] if written_out else workflow.check_properties() or []
    for name, key, about in _own_properties(workflow):
        if name in wrong:
            user = about[BundlePropertyConfig.REF_ID].replace("::", "#")
            yield user, f"does not name the {name} as @{key}", f"write @{key}, and define {key}"


def _first_line(error: Exception) -> str:
    cause = root_cause(error)
    return f"{type(cause).__name__}: {cause}".splitlines()[0]


def _stand_in(folder: Path) -> Path:
    """A dataset in the Decathlon's layout with nothing in its files."""
    folder.mkdir()
    cases = [{"image": f"image_{number}.nii.gz", "label": f"label_{number}.nii.gz"} for number in range(10)]
    for path in (path for case in cases for path in case.values()):
        (folder / path).touch()
    channels, labels = {"0": "image"}, {"0": "background", "1": "label"}
    content = {"name": "stand-in", "modality": channels, "labels": labels, "training": cases}
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
