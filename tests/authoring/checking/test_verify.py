"""Bundles broken on purpose: each fault is found, and told by file, key and cure."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from monai.bundle import verify_metadata

import lunet_networks
from lunet_networks.authoring.checking.bundle import Bundle, Fault
from lunet_networks.authoring.checking.metadata import SCHEMA
from lunet_networks.authoring.checking.verify import CHECKS, find_faults, verify_bundle

TRAIN, EVALUATE, INFERENCE, BENCHMARK = (
    f"configs/{name}.json" for name in ("train", "evaluate", "inference", "benchmark")
)
METADATA, README, LOGGING = "configs/metadata.json", "docs/README.md", "configs/logging.conf"
PRED = "network_data_format#outputs#pred"
Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(repository: Path) -> Path:
    return repository / "bundles" / "lunet_small"


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(sound, tmp_path / "lunet_small", ignore=shutil.ignore_patterns("eval", "runs"))


def config(file: str, edit: Callable[[dict], object]) -> Edit:
    """Edits a config, parsed."""

    def apply(root: Path) -> None:
        content = json.loads((root / file).read_text())
        edit(content)
        (root / file).write_text(json.dumps(content))

    return apply


def put(file: str, key: str, value: Any) -> Edit:
    """Sets or adds an id of a config."""

    def edit(content: dict) -> None:
        *parents, name = key.split("#")
        for parent in parents:
            content = content[int(parent) if isinstance(content, list) else parent]
        content[int(name) if isinstance(content, list) else name] = value

    return config(file, edit)


def take(file: str, key: str) -> Edit:
    """Removes an id of a config."""

    def edit(content: dict) -> None:
        *parents, name = key.split("#")
        for parent in parents:
            content = content[parent]
        del content[name]

    return config(file, edit)


def text(file: str, old: str, new: str) -> Edit:
    """Replaces a text that is in a file."""

    def apply(root: Path) -> None:
        content = (root / file).read_text()
        assert old in content
        (root / file).write_text(content.replace(old, new))

    return apply


def remove(file: str) -> Edit:
    return lambda root: (root / file).unlink()


def save(content: Callable[[], Any]) -> Edit:
    def apply(root: Path) -> None:
        (root / "models").mkdir(exist_ok=True)
        torch.save(content(), root / "models" / "other.pt")

    return apply


def state_dict(preset: str) -> dict[str, torch.Tensor]:
    return lunet_networks.create_network(preset, out_channels=3).state_dict()


def large_file(root: Path) -> None:
    with open(root / "docs" / "case.nii.gz", "wb") as file:
        file.truncate(26_000_000)


def replace_transform(file: str, section: str, target: str, other: str) -> Edit:
    def edit(content: dict) -> None:
        (step,) = (step for step in content[section]["transforms"] if step["_target_"] == target)
        step["_target_"] = other

    return config(file, edit)


BROKEN: dict[str, tuple[Edit, str, str, str, str]] = {  # what is done, then file, key, problem and cure of the fault
    "no licence": (remove("LICENSE"), "LICENSE", "", "is missing", "without an ending"),
    "no logging.conf": (remove(LOGGING), LOGGING, "", "is missing", "fileConfig"),
    "YAML": (
        lambda root: (root / TRAIN).rename(root / "configs/train.yaml"),
        TRAIN,
        "",
        "is missing",
        "exactly this name",
    ),
    "half a file": (text(INFERENCE, '"run": [', ""), INFERENCE, "", "cannot be read", "one JSON object"),
    "a key twice": (text(TRAIN, '"seed": 42', '"seed": 1, "seed": 2'), TRAIN, "", "seed", "every key once"),
    "a large file": (large_file, "docs/case.nii.gz", "", "is 26 MB", "large_files.yml"),
    "logging that runs code": (text(LOGGING, "StreamHandler", "eval"), LOGGING, "[handler_screen]", "eval", "classes"),
    "logging without a section": (text(LOGGING, "[formatter_plain]", "[plain]"), LOGGING, "", "formatter", "declare"),
    "no section": (text(README, "## Performance", "## Results"), README, "Performance", "missing", "## Performance"),
    "a home folder": (put(TRAIN, "dataset_dir", "/home/me/data"), TRAIN, "dataset_dir", "/home/me/data", "/workspace/"),
    "an absolute path": (put(TRAIN, "dataset_dir", "/nfs/data"), TRAIN, "dataset_dir", "absolute", "/workspace/"),
    "one in an expression": (put(INFERENCE, "ckpt_dir", "$str('/nfs/a')"), INFERENCE, "ckpt_dir", "/nfs/a", "@bundle"),
    "a path of Windows": (
        text(README, "# Lean", "See C:\\data.\n# Lean"),
        README,
        "line 1",
        "C:\\data.",
        "/workspace/",
    ),
    "a macro": (
        put(INFERENCE, "seed", "%configs/train.json#seed"),
        INFERENCE,
        "seed",
        "current folder",
        "copy the value",
    ),
    "a local version": (
        put(METADATA, "pytorch_version", "2.6.0+cpu"),
        METADATA,
        "pytorch_version",
        "2.6.0+cpu",
        "X.Y.Z",
    ),
    "a range": (
        put(METADATA, "required_packages_version#nibabel", ">=5"),
        METADATA,
        "required_packages_version#nibabel",
        ">=5",
        "plain release",
    ),
    "no task": (take(METADATA, "task"), METADATA, "task", "is missing", "give a text"),
    "a version without a word": (put(METADATA, "version", "7.0.0"), METADATA, "changelog", "7.0.0", 'add "7.0.0"'),
    "any size": (put(METADATA, f"{PRED}#spatial_shape#0", "*"), METADATA, f"{PRED}#spatial_shape#0", "*", "32*n"),
    "half a range": (put(METADATA, f"{PRED}#value_range", [0]), METADATA, f"{PRED}#value_range", "[0]", "greatest"),
    "a label's key": (put(METADATA, f"{PRED}#channel_def#x", "y"), METADATA, f"{PRED}#channel_def#x", "x", "from "),
    "another label": (
        put(METADATA, f"{PRED}#channel_def#2", "tail"),
        METADATA,
        f"{PRED}#channel_def",
        "anterior, tail",
        "background, anterior, posterior",
    ),
    "another output first": (
        config(
            METADATA,
            lambda content: content["network_data_format"].update(
                outputs={
                    "a": content["network_data_format"]["outputs"]["pred"],
                    **content["network_data_format"]["outputs"],
                }
            ),
        ),
        METADATA,
        "network_data_format#outputs",
        "begins with a",
        "put pred first",
    ),
    "no pred": (take(METADATA, PRED), METADATA, PRED, "is missing", "describe it by type"),
    "a package unnamed": (
        take(METADATA, "required_packages_version#lunet-networks"),
        METADATA,
        "required_packages_version#lunet-networks",
        "is missing",
        "with its version",
    ),
    "channels": (
        put(METADATA, f"{PRED}#num_channels", 2),
        METADATA,
        f"{PRED}#num_channels",
        "is another than that",
        "before any activation",
    ),
    "dtype": (
        put(METADATA, f"{PRED}#dtype", "float64"),
        METADATA,
        f"{PRED}#dtype",
        "is another than that",
        "before any activation",
    ),
    "a size too small": (
        put(METADATA, "network_data_format#inputs#image#spatial_shape", ["8*n"] * 3),
        METADATA,
        "network_data_format#inputs#image",
        "16",
        "2**(D+1)*n",
    ),
    "a component": (
        put(INFERENCE, "images#_target_", "lunet_networks.bundle.inference.images.Images"),
        INFERENCE,
        "images#_target_",
        "is not found",
        "dotted path",
    ),
    "a bare name": (
        put(TRAIN, "train#inferer#_target_", "Inferrer"),
        TRAIN,
        "train#inferer#_target_",
        "Inferrer",
        "MONAI",
    ),
    "an import": (
        put(TRAIN, "imports#0", "$from lunet_networks.bundle.runtime import channels_first"),
        TRAIN,
        "imports#0",
        "channels_first cannot be imported",
        "correct",
    ),
    "a component of the repository": (
        put(INFERENCE, "handlers#1#_target_", "tools.tables.generated_sections.write_between_marks"),
        INFERENCE,
        "handlers#1#_target_",
        "is not part of an installed distribution",
        "pip can install",
    ),
    "a name in the last step": (
        put(TRAIN, "run#0", "$end()"),
        TRAIN,
        "run#0",
        "end in '$end()'",
        "$from MODULE import",
    ),
    "a name in evaluate.json": (put(EVALUATE, "run#0", "$end()"), EVALUATE, "run#0", "end in '$end()'", "imports"),
    "a reference": (
        put(TRAIN, "optimizer#network", "@net"),
        TRAIN,
        "optimizer#network",
        "@net is not defined",
        "define net",
    ),
    "no network": (take(TRAIN, "network"), TRAIN, "network", "is missing", "MONAI Label"),
    "no list of cases": (take(TRAIN, "validate#dataset#data"), TRAIN, "validate#dataset#data", "is missing", "cases"),
    "the type of a device": (put(TRAIN, "amp", "$@device.type == 'cuda'"), TRAIN, "amp", "a str", "is_available"),
    "MONAI's Spacingd": (
        replace_transform(INFERENCE, "preprocessing", "lunet_networks.bundle.data.Spacingd", "Spacingd"),
        INFERENCE,
        "preprocessing",
        "fails in MONAI Label",
        "lunet_networks.bundle.data.Spacingd",
    ),
    "no way back": (
        replace_transform(INFERENCE, "postprocessing", "Invertd", "Identityd"),
        INFERENCE,
        "postprocessing",
        "on resampled voxels",
        "Invertd",
    ),
    "nothing to do": (take(INFERENCE, "run"), INFERENCE, "run", "is missing", "steps of a run"),
    "no expression": (put(TRAIN, "initialize", "set_up"), TRAIN, "initialize", "not a list of steps", "begin with $"),
    "no inferer": (take(TRAIN, "train#inferer"), TRAIN, "train#inferer", "is missing", "train_inferer"),
    "handlers of another name": (
        config(
            INFERENCE,
            lambda content: (
                content.update(hooks=content.pop("handlers")),
                content["evaluator"].update(val_handlers="@hooks"),
                content.update(
                    {name: [step for step in content[name] if "track" not in step] for name in ("inference", "run")}
                ),
            ),
        ),
        INFERENCE,
        "evaluator#val_handlers",
        "does not name the handlers",
        "write @handlers",
    ),
    "transforms in place": (
        put(INFERENCE, "dataset#transform", {"_target_": "Compose", "transforms": ["@preprocessing"]}),
        INFERENCE,
        "dataset#transform",
        "is written out",
        "@preprocessing",
    ),
    "an argument": (put(INFERENCE, "evaluator#amd", True), INFERENCE, "evaluator", "amd", "monai.bundle run"),
    "weights at initialisation": (
        put(INFERENCE, "initialize", ["$torch.load(@ckpt_dir + '/model.pt')"]),
        INFERENCE,
        "initialize",
        "./models/model.pt",
        "at the beginning of run",
    ),
    "a folder at initialisation": (
        put(TRAIN, "initialize", ["$open('train.log', 'w').close()"]),
        TRAIN,
        "initialize",
        "writes or removes train.log",
        "at the beginning of run",
    ),
    "a connection at initialisation": (
        put(TRAIN, "initialize", ["$__import__('urllib.request').request.urlopen('http://127.0.0.1:9')"]),
        TRAIN,
        "initialize",
        "asks for a network connection",
        "at the beginning of run",
    ),
    "a pickled network": (save(lambda: torch.nn.Conv3d(1, 3, 1)), "models/other.pt", "", "pickled", "state dict"),
    "a nested state dict": (
        save(lambda: {"model": state_dict("lunet_small_4f")}),
        "models/other.pt",
        "",
        "no plain state dict",
        "state dict",
    ),
    "another preset's weights": (
        save(lambda: state_dict("lunet_small_2f")),
        "models/other.pt",
        "",
        "from another network",
        "preset",
    ),
}


def every_fault(root: Path) -> set[Fault]:
    return {fault for faults in find_faults(root).values() for fault in faults}


def faults_one_by_one(root: Path) -> Iterator[Fault]:
    """So that the checks behind the one that tells are not waited for."""
    return (fault for checks in CHECKS.values() for check in checks for fault in check(Bundle(root)))


@pytest.fixture(scope="module")
def before(sound: Path) -> set[Fault]:
    return every_fault(sound)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_bundle_is_caught(bundle: Path, before: set[Fault], broken: str) -> None:
    break_it, file, key, problem, cure = BROKEN[broken]
    break_it(bundle)
    found = []
    for fault in faults_one_by_one(bundle):
        found.append(fault)
        if (fault.file, fault.key) == (file, key) and problem in fault.problem and cure in fault.cure:
            assert fault not in before
            return
    pytest.fail(f"{found}")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("lunet-small", "characters other than letters"),
        ("lunet_v2", "_v and a digit"),
        ("Lesion_Detection", "'detection'"),
        ("lunet_deepedit", "'deepedit'"),
    ],
)
def test_a_misleading_name(bundle: Path, before: set[Fault], name: str, problem: str) -> None:
    (fault,) = every_fault(bundle.rename(bundle.parent / name)) - before
    assert (fault.file, fault.key) == (".", name)
    assert problem in fault.problem


def test_labels_that_only_capitals_tell_apart(bundle: Path, before: set[Fault]) -> None:
    put(METADATA, f"{PRED}#channel_def", {"0": "background", "1": "Tail", "2": "tail"})(bundle)
    for file in (TRAIN, INFERENCE, BENCHMARK):
        put(file, "label_names", ["Tail", "tail"])(bundle)
    (fault,) = every_fault(bundle) - before
    assert fault.key == f"{PRED}#channel_def"
    assert "gives the name tail twice" in fault.problem


def test_large_files_that_are_listed(bundle: Path, before: set[Fault]) -> None:
    large_file(bundle)
    (bundle / "large_files.yml").write_text("large_files:\n- path: docs/case.nii.gz\n  url: https://host/case.nii.gz\n")
    assert every_fault(bundle) == before


def test_what_runs_leave_behind_is_no_part_of_a_bundle(bundle: Path, before: set[Fault]) -> None:
    (bundle / "eval").mkdir()
    (bundle / "eval" / "run.json").write_text('{"dataset_dir": "/home/me/data"}')
    assert every_fault(bundle) == before


def test_a_bundle_is_only_read(bundle: Path) -> None:
    def state() -> dict[Path, object]:
        return {path: path.stat().st_mtime_ns for path in [bundle, *bundle.rglob("*")]}

    before = state()
    find_faults(bundle)
    assert state() == before


def test_an_empty_folder_lacks_all_that_is_required(tmp_path: Path) -> None:
    found = every_fault(tmp_path)
    assert {fault.file for fault in found} == {METADATA, TRAIN, INFERENCE, LOGGING, README, "LICENSE"}
    assert {fault.problem for fault in found} == {"is missing"}


def test_metadata_that_is_no_json_hides_no_other_fault(bundle: Path, before: set[Fault]) -> None:
    (bundle / METADATA).write_text("{")
    remove("LICENSE")(bundle)
    assert {fault.file for fault in every_fault(bundle) - before} == {METADATA, "LICENSE"}


def test_the_command_tells_all_faults(bundle: Path, before: set[Fault], capsys: pytest.CaptureFixture[str]) -> None:
    remove("LICENSE")(bundle)
    put(METADATA, "version", "1.0")(bundle)
    with pytest.raises(ValueError, match=rf"^{len(before) + 2} faults in .*lunet_small:") as error:
        verify_bundle(str(bundle))
    assert "  LICENSE: is missing; add the licence" in str(error.value)
    assert '  configs/metadata.json: version: is "1.0"; give a plain X.Y.Z' in str(error.value)
    out = capsys.readouterr().out.splitlines()
    assert "FAULTS files, names, sizes" in out
    assert "ok     paths" in out


def test_no_bundle_there() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not there: name the folder or the zip of a bundle"):
        verify_bundle("nowhere")


def test_the_schema_is_one_that_monai_takes(sound: Path) -> None:
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))
    verify_metadata(meta_file=str(sound / METADATA), filepath=str(SCHEMA))
