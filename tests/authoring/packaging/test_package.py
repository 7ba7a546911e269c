"""A packed bundle runs where the repository's package is not, and says of its weights what was measured."""

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, load, load_bundle_config

import lunet_networks
from lunet_networks.authoring.checking import bundle as checking
from lunet_networks.authoring.checking.archives import check_release, unpacked
from lunet_networks.authoring.checking.bundle import Bundle
from lunet_networks.authoring.checking.components import check_packages
from lunet_networks.authoring.checking.files import check_large_files
from lunet_networks.authoring.checking.private_paths import check_paths
from lunet_networks.authoring.checking.torchscript import check_torchscript
from lunet_networks.authoring.checking.verify import find_faults, verify_bundle
from lunet_networks.authoring.packaging.archive import take_large_files, zip_bytes
from lunet_networks.authoring.packaging.configs import choose_packed_preset, packed_configs
from lunet_networks.authoring.packaging.contents import packed_files
from lunet_networks.authoring.packaging.package import package_bundle
from lunet_networks.authoring.packaging.package_part import package_part
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.authoring.planning.licences import licence_document
from lunet_networks.authoring.samples.get_data import phantom
from lunet_networks.bundle.inference.exported import load_exported
from lunet_networks.bundle.pruning.derived_bundle import derived_files
from lunet_networks.state_dicts import weights_digest
from tests.helpers.runnable import LPS_THICK_SLICES, bright_block, save_image
from tests.helpers.running import run_bundle

NAME = "lunet_small_4f"
METADATA, TRAIN, INFERENCE, README = "metadata.json", "train.json", "inference.json", "docs/README.md"
VERSION = lunet_networks.__version__
ZIP = f"{NAME}_v{VERSION}.zip"
# monai.bundle as a user starts it, in the current folder, in a Python that knows the repository's package no more
WITHOUT_PACKAGE = """
import os, runpy, sys
sys.dont_write_bytecode = True
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
sys.path[:] = [os.getcwd(), *sys.path]
import lunet_networks
print("imported from", lunet_networks.__file__)
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def source(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle lunet_small as it is committed, with what runs leave in it."""
    ignored = shutil.ignore_patterns("eval", "runs", "__pycache__")
    folder = shutil.copytree(
        repository / "bundles" / "lunet_small", tmp_path_factory.mktemp("source") / "lunet_small", ignore=ignored
    )
    for name in ("figure.svg", "figure.png", "methods.pdf", "patient.dcm", "patients.xlsx"):
        (folder / "docs" / name).write_bytes(b"content")
    (folder / "eval").mkdir()
    (folder / "eval" / "cases.csv").write_text("case\npatient_17\n")
    (folder / "images").mkdir()
    (folder / "images" / "patient_17.nii.gz").write_bytes(b"voxels")
    return folder


@pytest.fixture(scope="module")
def dist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the bundle was packed."""
    folder = tmp_path_factory.mktemp("out") / "dist"
    package_bundle(str(source), ckpt_file=str(source / "models" / "model.pt"), output_dir=str(folder))
    return folder


@pytest.fixture(scope="module")
def packed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed bundle, unzipped; only to be read."""
    return unzip(dist / ZIP, tmp_path_factory.mktemp("packed"))


@pytest.fixture
def copy(packed: Path, tmp_path: Path) -> Path:
    """The packed bundle, to be broken."""
    return shutil.copytree(packed, tmp_path / NAME)


def unzip(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    return next(folder.iterdir())


def config(bundle: Path, name: str) -> dict:
    return json.loads((bundle / "configs" / name).read_text())


def monai_bundle(bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-W", "ignore", "-c", WITHOUT_PACKAGE, "run", *arguments]
    return subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)


def test_the_zip_holds_one_folder_with_all_that_a_consumer_opens(dist: Path, packed: Path) -> None:
    assert [path.name for path in dist.iterdir()] == [ZIP]
    assert packed.name == NAME
    files = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    assert {"LICENSE", "README.md", README, "docs/data_license.txt", "models/model.pt", "models/model.ts"} <= files
    assert {f"configs/{name}" for name in (METADATA, TRAIN, INFERENCE, "evaluate.json", "logging.conf")} <= files
    assert {file.partition("/")[0] for file in files} == {
        *("LICENSE", "README.md", "configs", "docs", "models", "lunet_networks")
    }


def test_documents_go_along_and_other_files_beside_them_do_not(packed: Path) -> None:
    added = {path.name for path in (packed / "docs").iterdir() if path.read_bytes() == b"content"}
    assert added == {"figure.svg", "figure.png", "methods.pdf"}


def test_no_case_is_named(packed: Path, source: Path) -> None:
    with open(source / "docs" / "evaluation_cases.csv", newline="") as file:
        cases = {row["case"] for row in csv.DictReader(file)} | {"patient_17"}
    content = b"".join(path.read_bytes() for path in packed.rglob("*") if path.is_file() and path.suffix != ".py")
    assert len(cases) > 40
    assert not [case for case in cases if case.encode() in content]
    assert json.loads((packed / "docs" / "training_run.json").read_text())["cases"] == {
        "training": 166,
        "validation": 42,
    }


def test_no_path_of_this_machine_is_in_it(packed: Path, repository: Path) -> None:
    for path in packed.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".ts":
                with zipfile.ZipFile(path) as archive:
                    content = b"".join(archive.read(name) for name in archive.namelist())
            assert str(repository).encode() not in content, path


@pytest.mark.parametrize("name", [TRAIN, INFERENCE])
def test_the_network_hangs_on_no_table(packed: Path, name: str) -> None:
    content = config(packed, name)
    network = content["network_def"]
    assert network["_target_"] == "lunet_networks.nets.UNet"
    assert network["channels"] == [4, 4, 4, 4, 4]
    assert network["convs_per_block"] == 2
    assert not [text for text in (packed / "configs" / name).read_text().splitlines() if "preset" in text]


def test_the_weights_are_those_of_the_checkpoint(packed: Path, source: Path) -> None:
    weights = torch.load(packed / "models" / "model.pt", weights_only=True)
    given = torch.load(source / "models" / "model.pt", weights_only=True)
    assert weights.keys() == given.keys()
    assert all(torch.equal(weights[name], given[name]) for name in given)


def test_metadata_tells_measured_figures_and_cost(packed: Path, source: Path) -> None:
    metadata = config(packed, METADATA)
    with open(source / "docs" / "evaluation_summary.csv", newline="") as file:
        means = {(row["label"], row["metric"]): float(row["mean"]) for row in csv.DictReader(file)}
    metrics = metadata["eval_metrics"]
    assert metrics["anterior_dice"] == pytest.approx(means["anterior", "dice"], abs=1e-4)
    assert metrics["posterior_hd95_mm"] == pytest.approx(means["posterior", "hd95_mm"], abs=1e-4)
    assert metrics["mean_dice"] == pytest.approx((metrics["anterior_dice"] + metrics["posterior_dice"]) / 2, abs=1e-4)
    assert metadata["network_parameters"] == 9939
    assert metadata["network_macs"] == 570021888
    assert metadata["version"] in metadata["changelog"]
    assert "lunet-networks" not in metadata["required_packages_version"]


def test_the_model_card_speaks_of_these_weights_and_of_nothing_that_is_not_packed(packed: Path) -> None:
    card = (packed / README).read_text()
    metrics = config(packed, METADATA)["eval_metrics"]
    assert f"| anterior | {metrics['anterior_dice']:.3f} |" in card
    assert "166 cases" in card
    assert "the minutes are no measure" in card
    assert "| `dropout` |" in card
    assert "preset" not in card
    assert "set `PYTHONPATH` to it" in card
    assert "tools." not in card
    assert "`lunet " not in card, "the packed part of the package has no command lunet"


def test_the_card_of_a_bundle_for_pictures_speaks_of_them_and_of_what_reads_them(repository: Path) -> None:
    bundle = Bundle(repository / "bundles" / "lv_unet")
    network = lunet_networks.create_network("lv_unet").eval()
    configs = packed_configs(bundle.configs, "lv_unet")
    card = packed_files(bundle, configs, "lv_unet", network, None, own_notes=False)[README].decode()
    assert re.search(r"`IMAGES` is a folder, .* or pictures \(PNG, JPG, TIFF; .*\)\. The last command", card)
    assert re.search(r"Inference needs `[^`]* pillow==[^`]*`; training", card)
    assert "skip='add'" in card
    assert "tools." not in card


def test_the_card_for_the_hugging_face_hub_names_the_licence_of_the_weights(packed: Path) -> None:
    _, front, card = (packed / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-sa-4.0"
    assert yaml.safe_load(front)["metrics"] == ["dice", "hd95_mm", "nsd_1mm"]
    assert card == (packed / README).read_text(encoding="utf-8")


def test_packed_twice_it_is_the_same(dist: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lunet_networks.authoring.packaging.package.find_faults", lambda folder: {})  # checked before
    package_bundle(str(source), ckpt_file=str(source / "models" / "model.pt"), output_dir=str(tmp_path))
    with zipfile.ZipFile(dist / ZIP) as one, zipfile.ZipFile(tmp_path / ZIP) as other:
        assert one.namelist() == other.namelist()
        # names within TorchScript count what was scripted before in the same process
        for name in set(one.namelist()) - {f"{NAME}/models/model.ts"}:
            assert one.read(name) == other.read(name), name
            assert one.getinfo(name).date_time == (1980, 1, 1, 0, 0, 0)


def test_the_zip_passes_all_checks(dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify_bundle(str(dist / ZIP))
    lines = capsys.readouterr().out.splitlines()
    assert "ok     the package that comes with it" in lines
    assert not [line for line in lines if not line.startswith("ok ")]


def test_it_labels_without_our_package_what_the_bundle_labels(packed: Path, source: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    save_image(images / "case.nii.gz", bright_block((37, 29, 15)), LPS_THICK_SLICES)
    run_bundle(source, "inference", dataset_dir=str(images), output_dir=str(tmp_path / "own"))
    arguments = ["inference", "--config_file", "configs/inference.json", "--dataset_dir", str(images)]
    run = monai_bundle(packed, *arguments, "--output_dir", str(tmp_path / "packed"), "--device", "cpu")
    assert run.returncode == 0, run.stderr
    assert f"imported from {packed}/lunet_networks/__init__.py" in run.stdout
    labels = (tmp_path / "packed" / "case_seg.nii.gz").read_bytes()
    assert labels == (tmp_path / "own" / "case_seg.nii.gz").read_bytes()


def test_elsewhere_our_package_is_not_found(tmp_path: Path) -> None:
    assert "No module named 'lunet_networks'" in monai_bundle(tmp_path, "inference").stderr


def test_another_version_that_was_imported_first_is_refused(packed: Path, tmp_path: Path) -> None:
    other = shutil.copytree(packed / "lunet_networks", tmp_path / "other" / "lunet_networks")
    init = (other / "__init__.py").read_text()
    (other / "__init__.py").write_text(init.replace(f'"{VERSION}"', '"7.0.0"'))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import lunet_networks; from monai.bundle import ConfigParser;"
        "sys.path.insert(0, '.'); parser = ConfigParser(); parser.read_config('configs/inference.json');"
        "parser.get_parsed_content('network_def')"
    )
    command = [sys.executable, "-I", "-W", "ignore", "-c", code, str(tmp_path / "other")]
    run = subprocess.run(command, cwd=packed, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert f"this bundle was packed with lunet_networks {VERSION}, but 7.0.0 from {other} is already" in run.stderr


def test_the_same_version_from_elsewhere_does(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = load(NAME, bundle_dir=str(packed.parent), source="monaihosting")
    assert type(network).__module__ == "lunet_networks.nets.unet"


def test_torchscript_has_metadata_inside(packed: Path) -> None:
    extra = {"metadata.json": "", "inference.json": ""}
    torch.jit.load(packed / "models" / "model.ts", _extra_files=extra)
    assert json.loads(extra["metadata.json"]) == config(packed, METADATA)
    assert json.loads(extra["inference.json"]) == config(packed, INFERENCE)
    parser = load_bundle_config(str(packed / "models" / "model.ts"), "inference.json")  # MONAI looks below model/
    assert parser["roi_size"] == config(packed, INFERENCE)["roi_size"]


def test_torchscript_tells_of_which_weights_it_is(packed: Path) -> None:
    digest = weights_digest(torch.load(packed / "models" / "model.pt", weights_only=True))
    assert load_exported(packed / "models" / "model.ts", "torchscript").facts["weights"] == digest


# ---- broken packages


def test_torchscript_of_other_weights_is_caught(copy: Path) -> None:
    network = lunet_networks.create_network(NAME, out_channels=3)
    torch.jit.script(network.eval()).save(copy / "models" / "model.ts")
    problems = [fault.problem for fault in check_torchscript(Bundle(copy))]
    assert any("holds /" in problem and ".py" in problem for problem in problems)
    assert any("gives other logits than models/model.pt" in problem for problem in problems)


def test_torchscript_without_the_configs_inside_is_caught(copy: Path) -> None:
    path = copy / "models" / "model.ts"
    script = torch.jit.load(path)
    content = io.BytesIO()
    torch.jit.save(script, content, {"metadata.json": b"{}", "inference.json": b"{}"})  # the root is then archive/
    path.write_bytes(content.getvalue())
    (problem,) = [fault.problem for fault in check_torchscript(Bundle(copy)) if "inside" in fault.problem]
    assert problem.startswith("has no model/extra/metadata.json and no model/extra/inference.json inside")


def test_torchscript_that_cannot_be_loaded_is_caught(copy: Path) -> None:
    (copy / "models" / "model.ts").write_bytes(b"no archive")
    (fault,) = check_torchscript(Bundle(copy))
    assert fault.file == "models/model.ts"
    assert "cannot be loaded" in fault.problem


def faults_of(bundle: Path) -> list[str]:
    return [str(fault) for found in find_faults(bundle).values() for fault in found]


def with_text(file: Path, old: str, new: str) -> None:
    """Edit a file of the packed package."""
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new))


def test_a_module_that_is_missing_is_caught_though_it_is_installed(copy: Path) -> None:
    (copy / "lunet_networks" / "nets" / "layers.py").unlink()
    (fault,) = faults_of(copy)
    assert fault.startswith("lunet_networks/nets/")
    assert "cannot be imported (ModuleNotFoundError: No module named 'lunet_networks.nets.layers')" in fault


@pytest.mark.slow
def test_a_module_that_only_configs_name_is_caught_by_their_components(copy: Path) -> None:
    (copy / "lunet_networks" / "bundle" / "training" / "curves.py").unlink()
    faults = faults_of(copy)
    assert any("lunet_networks.bundle.training.curves" in fault for fault in faults), faults
    assert not any("missing" in fault and "metadata.json" in fault for fault in faults), faults


def test_a_package_without_its_first_file_is_caught_though_it_is_installed(copy: Path) -> None:
    (copy / "lunet_networks" / "__init__.py").unlink()
    faults = faults_of(copy)
    assert any(fault.startswith("lunet_networks: ") for fault in faults), faults


@pytest.mark.slow
def test_a_broken_module_is_named(copy: Path) -> None:
    (copy / "lunet_networks" / "nets" / "unet.py").write_text("class UNet(:\n")
    (fault,) = faults_of(copy)
    assert fault.startswith("lunet_networks/nets/unet.py: cannot be imported (SyntaxError: ")


def test_an_older_package_is_checked_as_it_is(copy: Path) -> None:
    for file in [copy / "lunet_networks" / "__init__.py", *(copy / "configs").glob("*.json")]:
        file.write_text(file.read_text().replace(VERSION, "0.0.9"))
    metadata = config(copy, METADATA)
    assert metadata["version"] == "0.0.9"
    (copy / "models" / "model.ts").unlink()
    assert faults_of(copy) == []


@pytest.mark.slow
def test_an_older_package_that_the_checks_do_not_fit_is_told_with_both_versions(copy: Path) -> None:
    with_text(copy / "lunet_networks" / "__init__.py", f'"{VERSION}"', '"0.0.9"')
    with_text(copy / "lunet_networks" / "bundle" / "runtime" / "errors.py", "def root_cause(", "def first_cause(")
    (fault,) = faults_of(copy)
    assert f"is of version 0.0.9, with which the checks of {VERSION} fail (ImportError: " in fault
    assert fault.endswith("check it with lunet-networks 0.0.9, or pack the bundle again with lunet package")


def test_a_package_that_the_sources_import_is_to_be_declared(copy: Path) -> None:
    metadata = config(copy, METADATA)
    del metadata["required_packages_version"]["matplotlib"]
    (copy / "configs" / METADATA).write_text(json.dumps(metadata))
    (fault,) = check_packages(Bundle(copy))
    assert fault.key == "required_packages_version#matplotlib"


def test_a_path_in_a_source_is_caught(copy: Path) -> None:
    (copy / "lunet_networks" / "own.py").write_text('FOLDER = "/home/me/data"\nTEXT = "%s:\\n%s"\n')
    (fault,) = check_paths(Bundle(copy))
    assert (fault.file, fault.key) == ("lunet_networks/own.py", "line 1")


def test_a_zip_of_another_name_is_caught(packed: Path) -> None:
    for name in (f"{NAME}_v7.0.0.zip", f"lunet_v{VERSION}.zip", "lunet.zip"):
        (fault,) = check_release(Path(name), packed)
        assert fault.cure == f"name it {ZIP}"
    assert not list(check_release(Path(ZIP), packed))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: path.write_bytes(b"text"), r"bundle\.zip is not a zip"),
        (lambda path: None, r"bundle\.zip is not there: name the folder or the zip"),
        (lambda path: path.write_bytes(zip_bytes("a", {"x": b""})[:-30]), r"bundle\.zip is not a zip"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "holds 0 folders"),
    ],
)
def test_what_is_no_zip_of_a_bundle(make: Callable[[Path], object], error: str, tmp_path: Path) -> None:
    make(tmp_path / "bundle.zip")
    with pytest.raises((ValueError, OSError), match=error):
        verify_bundle(str(tmp_path / "bundle.zip"))


# ---- large files


def test_large_files_are_listed_with_hash_and_address(tmp_path: Path) -> None:
    content = bytes(25_000_001)
    files, large = take_large_files({"LICENSE": b"", "models/model.pt": content}, "lunet_v1.0.0", "https://host/a/")
    assert large == {"lunet_v1.0.0_models_model.pt": content}
    assert files.keys() == {"LICENSE", "large_files.yml"}
    assert yaml.safe_load(files["large_files.yml"])["large_files"] == [
        {
            "path": "models/model.pt",
            "url": "https://host/a/lunet_v1.0.0_models_model.pt",
            "hash_val": hashlib.sha256(content).hexdigest(),
            "hash_type": "sha256",
        }
    ]
    archive = tmp_path / "lunet_v1.0.0.zip"
    archive.write_bytes(zip_bytes("lunet", files))
    for given, problems in ((content, []), (content + b"1", ["has another sha256 than the list of large files says"])):
        (tmp_path / "lunet_v1.0.0_models_model.pt").write_bytes(given)
        with unpacked(archive) as folder:
            assert (folder / "models" / "model.pt").read_bytes() == given
            assert [fault.problem for fault in check_large_files(Bundle(folder))] == problems


def test_large_files_need_an_address() -> None:
    with pytest.raises(ValueError, match=r"models/model\.pt \(26 MB\): larger than the 25 MB .* --base_url"):
        take_large_files({"models/model.pt": bytes(26_000_000)}, "lunet_v1.0.0", None)


# ---- what cannot be packed


def write(file: str, text: str) -> Callable[[Path], object]:
    return lambda bundle: (bundle / file).write_text(text)


def remove(file: str) -> Callable[[Path], object]:
    return lambda bundle: (bundle / file).unlink()


def half(file: str) -> Callable[[Path], object]:
    return lambda bundle: (bundle / file).write_bytes((bundle / file).read_bytes()[:40_000])


def with_version(version: str) -> Callable[[Path], object]:
    def edit(bundle: Path) -> None:
        path = bundle / "configs" / METADATA
        path.write_text(path.read_text().replace('"version": "0.1.0"', f'"version": "{version}"'))

    return edit


def records(edit: Callable[[dict], object]) -> Callable[[Path], object]:
    """An output folder of which run.json is edited."""

    def make(bundle: Path) -> None:
        folder = shutil.copytree(bundle / "docs", bundle.parent / "records")
        run = json.loads((folder / "training_run.json").read_text())
        edit(run)
        (folder / "training_run.json").write_text(json.dumps(run))

    return make


def evaluation_of_other_weights(bundle: Path) -> None:
    """An output folder whose training went on after the evaluation."""
    summary = shutil.copytree(bundle / "docs", bundle.parent / "records") / "evaluation_summary.csv"
    header, *rows = summary.read_text().splitlines()
    summary.write_text("\n".join([f"{header},weights", *(f"{row},0123" for row in rows), ""]))


def nothing(bundle: Path) -> None:
    pass


REFUSED: dict[str, tuple[Callable[[Path], object], dict[str, object], str]] = {
    "weights of another preset": (
        nothing,
        {"preset": "lunet_small_2f"},
        r"model\.pt is from another network: encoders\.0\.0\.conv\.weight is 4 x 1 x 3 x 3 x 3 in the file, not 2 x 1",
    ),
    "no weights": (remove("models/model.pt"), {}, r"there are no weights at .*model\.pt"),
    "half the weights": (half("models/model.pt"), {}, r"model\.pt cannot be read"),
    "a text for weights": (write("models/model.pt", "half"), {}, r"model\.pt (cannot be read|holds pickled objects)"),
    "a preset of another family": (
        nothing,
        {"preset": "unet_small_4f"},
        "--preset unet_small_4f is of another family; lunet_small has .*lunet_small_4f",
    ),
    "no such preset": (nothing, {"preset": "lunet_small_9f"}, "--preset lunet_small_9f is no preset"),
    "no card": (remove(README), {}, r"lunet_small has no docs/README\.md: add the model card"),
    "an empty card": (write(README, "\n"), {}, r"README\.md is empty: write the model card"),
    "no licence": (remove("LICENSE"), {}, "lunet_small has no LICENSE: add the licence"),
    "no data licence": (remove("docs/data_license.txt"), {}, r"has no docs/data_license\.txt: add the terms"),
    "data without terms": (
        write("docs/data_license.txt", licence_document("Phantom", "", "unknown")),
        {},
        r"data_license\.txt names no licence of the data, .* add \"licence\" to dataset\.json .* lunet new-bundle",
    ),
    "half a version": (with_version("1.0"), {}, r"metadata\.json: version is '1\.0': write X\.Y\.Z"),
    "a candidate": (with_version("1.0.0rc1"), {}, r"metadata\.json: version is '1\.0\.0rc1': write X\.Y\.Z"),
    "a version without a word": (with_version("1.0.0"), {}, r"changelog: has no entry for version 1\.0\.0"),
    "half a config": (write("configs/train.json", "{"), {}, r"train\.json cannot be read"),
    "no address": (nothing, {"base_url": "here"}, "--base_url here: give an address"),
    "no boolean": (nothing, {"overwrite": "yes"}, "--overwrite takes True or False"),
    "no records": (nothing, {"records": "nowhere"}, r"there is no nowhere/run\.json, .*: train and evaluate first"),
    "records of another preset": (
        records(lambda run: run["settings"].update(preset="lunet_small_2f")),
        {"records": "records"},
        "is of another training: its preset is lunet_small_2f, that of the bundle lunet_small_4f",
    ),
    "records of other labels": (
        records(lambda run: run["settings"].update(label_names=["tail"])),
        {"records": "records"},
        r"is of another training: its label_names is \['tail'\]",
    ),
    "records of other weights": (
        records(lambda run: run.update(weights={"sha256": "0", "epoch": 7})),
        {"records": "records"},
        r"model\.pt is not the model of .*run\.json \(epoch 7\): another training wrote it; give --records of its run",
    ),
    "an evaluation of other weights": (
        evaluation_of_other_weights,
        {"records": "records"},
        r"the evaluation in .*records is one of other weights than .*model\.pt: evaluate again",
    ),
    "records of another spacing": (
        records(lambda run: run["settings"].update(pixdim=[2.0, 2.0, 2.0])),
        {"records": "records"},
        r"is of another training: its pixdim is \[2\.0, 2\.0, 2\.0\], that of the bundle",
    ),
    "records without cases": (
        records(lambda run: run.pop("cases")),
        {"records": "records"},
        "does not hold the records",
    ),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_cannot_be_packed_is_told_and_nothing_written(refused: str, source: Path, tmp_path: Path) -> None:
    break_it, options, error = REFUSED[refused]
    bundle = shutil.copytree(source, tmp_path / "lunet_small")
    break_it(bundle)
    if options.get("records") == "records":
        options = {"records": str(tmp_path / "records")}
    before = sorted(tmp_path.iterdir())
    with pytest.raises((ValueError, OSError), match=error):
        package_bundle(
            str(bundle), ckpt_file=str(bundle / "models" / "model.pt"), output_dir=str(tmp_path / "dist"), **options
        )
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_is_there_stays(dist: Path, source: Path) -> None:
    before = (dist / ZIP).read_bytes()
    with pytest.raises(FileExistsError, match=rf"{re.escape(ZIP)} is there already: replace it with --overwrite True"):
        package_bundle(str(source), ckpt_file=str(source / "models" / "model.pt"), output_dir=str(dist))
    assert (dist / ZIP).read_bytes() == before
    assert [path.name for path in dist.iterdir()] == [ZIP]


def test_weights_that_are_not_finite_are_refused(source: Path, tmp_path: Path) -> None:
    weights = torch.load(source / "models" / "model.pt", weights_only=True)
    weights["head.bias"][0] = np.nan
    torch.save(weights, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt: head\.bias has values that are not finite"):
        package_bundle(str(source), ckpt_file=str(tmp_path / "model.pt"), output_dir=str(tmp_path / "dist"))


# ---- parts


def test_every_family_has_a_class_with_explicit_arguments(repository: Path) -> None:
    for name, family in FAMILIES.items():
        configs = {checking.INFERENCE: config(repository / "bundles" / name, INFERENCE)}
        assert choose_packed_preset(configs, None) == family.preset
        network = packed_configs(configs, family.preset)[checking.INFERENCE]["network_def"]
        keywords = {key: value for key, value in network.items() if not key.startswith("_") and "@" not in str(value)}
        made = getattr(lunet_networks, network["_target_"].rpartition(".")[2])(**keywords).state_dict()
        wanted = lunet_networks.create_network(family.preset).state_dict()
        assert {key: value.shape for key, value in made.items()} == {key: value.shape for key, value in wanted.items()}


def _naming(preset: str) -> dict[str, dict[str, object]]:
    network = {"_target_": "lunet_networks.create_network", "preset": "@preset"}
    return {checking.INFERENCE: {"preset": preset, "network_def": network}}


def test_a_preset_that_is_left_beside_a_network_of_the_users_is_not_packed() -> None:
    network = {"_target_": "monai.networks.nets.UNet"}
    mine = {"preset": "unext", "settings": {"preset": "@preset"}, "network_def": network}
    assert choose_packed_preset({checking.INFERENCE: mine}, None) is None
    packed = packed_configs({checking.INFERENCE: mine}, None)[checking.INFERENCE]
    assert "preset" not in packed
    assert packed["settings"] == {}
    assert packed["network_def"]["_target_"] == "monai.networks.nets.UNet"
    configs = {checking.INFERENCE: mine, "configs/benchmark.json": _naming("unext")[checking.INFERENCE]}
    with pytest.raises(ValueError, match=r"network_def of configs/benchmark\.json is another than that of configs/inf"):
        choose_packed_preset(configs, None)


def test_a_network_to_compare_with_is_packed_from_a_bundle_of_its_own() -> None:
    assert choose_packed_preset(_naming("u_kan_small"), None) == "u_kan_small"
    with pytest.raises(ValueError, match="--preset u_kan_small is of another family; unext has unext, unext_small"):
        choose_packed_preset(_naming("unext"), "u_kan_small")
    with pytest.raises(ValueError, match="--preset unext is of another family; u_kan_small has u_kan_small"):
        choose_packed_preset(_naming("u_kan_small"), "unext")


def test_what_was_packed_can_be_packed_again(packed: Path) -> None:
    configs = {name: config(packed, name) for name in (TRAIN, INFERENCE, "evaluate.json", "multi_gpu_train.json")}
    assert packed_configs(configs, None) == configs


def test_a_bundle_made_of_a_packed_one_keeps_its_whole_package(packed: Path) -> None:
    made = derived_files(packed, lunet_networks.create_network("lunet_small_4f"), "pruned", "pruned", {})
    package = {str(path.relative_to(packed)) for path in (packed / "lunet_networks").rglob("*.*")}
    kept = {name for name in made if name.startswith("lunet_networks/")}
    assert kept == {name for name in package if "__pycache__" not in name}
    assert "lunet_networks/bundle/report/page.html" in kept


def test_the_part_of_the_package_is_whole_and_no_more(tmp_path: Path) -> None:
    part = package_part(["lunet_networks.memory.estimate_step_memory"])
    assert part.keys() - package_part().keys() == {"lunet_networks/memory.py"}
    data = {name for name in part if not name.endswith(".py")}
    assert data == {
        *(
            f"lunet_networks/kernels/{path.name}"
            for path in Path(lunet_networks.__file__).parent.glob("kernels/*.[ch]pp")
        ),
        *(f"lunet_networks/bundle/report/{name}" for name in ("page.css", "page.html")),
        "lunet_networks/py.typed",
    }
    with pytest.raises(ValueError, match=r"lunet\.nets\.UNet is not in the package lunet_networks"):
        package_part(["lunet.nets.UNet"])


# ---- minutes


@pytest.mark.slow
def test_it_trains_and_evaluates_without_our_package(copy: Path, tmp_path: Path) -> None:
    phantom(str(tmp_path / "data"), num_cases=4, difficulty="easy", shape=(32, 32, 32))
    data = ["--dataset_dir", str(tmp_path / "data"), "--num_folds", "2", "--device", "cpu"]
    small = ["--epochs", "1", "--batch_size", "2", "--roi_size", "[32,32,32]"]
    run = monai_bundle(copy, "training", "--config_file", "configs/train.json", *data, *small)
    assert run.returncode == 0, run.stderr
    both = "['configs/train.json','configs/evaluate.json']"
    run = monai_bundle(copy, "evaluation", "--config_file", both, *data, "--roi_size", "[32,32,32]")
    assert run.returncode == 0, run.stderr
    report = both.replace("]", ",'configs/visualize.json']")
    run = monai_bundle(copy, "visualize", "--config_file", report, *data, "--roi_size", "[32,32,32]")
    assert run.returncode == 0, run.stderr
    assert (copy / "eval" / "report.html").is_file()
    assert f"imported from {copy}/lunet_networks/__init__.py" in run.stdout

    weights, output = copy / "models" / "model.pt", tmp_path / "dist"
    package_bundle(str(copy), ckpt_file=str(weights), output_dir=str(output), records=str(copy / "eval"))
    again = unzip(output / ZIP, tmp_path / "again")
    assert "trained on 2 cases" in (again / README).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_packed(family: str, repository: Path, tmp_path: Path) -> None:
    bundle, preset = repository / "bundles" / family, FAMILIES[family].preset
    of_bundle = ConfigParser(config(bundle, TRAIN))
    channels = {name: of_bundle.get_parsed_content(name) for name in ("in_channels", "out_channels")}
    network = lunet_networks.create_network(preset, **channels)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    package_bundle(
        str(bundle),
        ckpt_file=str(tmp_path / "model.pt"),
        output_dir=str(tmp_path / "dist"),
        base_url="https://host/models",
    )
    assert (tmp_path / "dist" / f"{preset}_v{VERSION}.zip").is_file()
