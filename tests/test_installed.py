"""What pip installs: all files of the package, and the way from data to a packed bundle outside the repository."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

SETTINGS = ["--epochs", "1", "--batch_size", "2", "--num_folds", "2", "--device", "cpu"]
COMPILERS = ("c++", "g++", "clang++")
Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy: setuptools leaves folders where it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    left = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(repository / "lunet_networks", copy / "lunet_networks", ignore=left)
    (copy / "docs").mkdir()
    for name in ("pyproject.toml", "docs/pypi.md", "LICENSE"):
        shutil.copy(repository / name, copy / name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    built = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=True)
    return folder / built.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment into which the wheel is installed. It sees the packages of this one, but not the
    repository: a path in a .pth file brings no editable installation along."""
    environment = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(environment)
    site = next((environment / "lib").glob("python*/site-packages"))
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--ignore-installed", str(wheel)], check=True)
    return environment / "bin"


def test_the_types_are_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert "lunet_networks/py.typed" in archive.namelist()


def test_the_page_of_a_package_index_has_no_relative_links(repository: Path) -> None:
    page = repository / tomllib.loads((repository / "pyproject.toml").read_text())["project"]["readme"]
    links = re.findall(r"\]\(([^)]*)\)", page.read_text(encoding="utf-8"))
    assert links
    assert all(link.startswith("https://") for link in links)


@pytest.mark.slow
def test_the_source_distribution_holds_all_files(repository: Path, tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout of git, whose files could be compared")
    files = [name for name in listed.stdout.splitlines() if (repository / name).is_file()]
    for name in files:
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, tmp_path / "copy" / name)
    build = "from setuptools.build_meta import build_sdist; print(build_sdist('..'))"
    built = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path / "copy", capture_output=True, text=True, check=True
    )
    archive = tmp_path / built.stdout.split()[-1]
    with tarfile.open(archive) as content:
        inside = {name.partition("/")[2] for name in content.getnames()}
    assert sorted(set(files) - inside) == [".gitattributes", ".gitignore"]
    if find_spec("twine"):
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(archive)], check=True)


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Runs one of these programs in an empty folder, or in the one that is named."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def run(program: str, *arguments: object, cwd: Path = tmp_path, **variables: str) -> str:
        command = [str(installed / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=cwd, env=environment | variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def test_a_wheel_holds_every_file_of_the_package(wheel: Path, repository: Path) -> None:
    folder = repository / "lunet_networks"
    files = {path.relative_to(repository).as_posix() for path in folder.rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as content:
        held = {name for name in content.namelist() if ".dist-info/" not in name}
    assert held == {name for name in files if "__pycache__" not in name}


@pytest.mark.slow
def test_from_data_to_a_packed_bundle(run: Run, installed: Path, tmp_path: Path) -> None:
    code = "import lunet_networks; print(lunet_networks.__file__)"
    assert run("python", "-c", code).startswith(str(installed.parent))
    data, bundle = tmp_path / "data", tmp_path / "mine"
    run("lunet", "get-data", "phantom", "--output_dir", data, "--num_cases", 6, "--shape", "32,32,32")
    run("lunet", "new-bundle", "lunet_small", "--dataset_dir", data, "--output_dir", bundle)

    def monai(workflow: str, *configs: str, cwd: Path = bundle, options: tuple[object, ...]) -> None:
        files = [f"configs/{name}.json" for name in configs]
        config_file = files[0] if len(files) == 1 else str(files)
        run("python", "-m", "monai.bundle", "run", workflow, "--config_file", config_file, *options, cwd=cwd)

    monai("training", "train", options=("--dataset_dir", data, *SETTINGS))
    monai("evaluation", "train", "evaluate", options=("--dataset_dir", data, *SETTINGS))
    assert "FAULTS" not in run("lunet", "verify", bundle)
    weights = bundle / "models" / "model.pt"
    run("lunet", "package", bundle, "--ckpt_file", weights, "--records", bundle / "eval", "--output_dir", tmp_path)
    (archive,) = tmp_path.glob("*.zip")
    assert "FAULTS" not in run("lunet", "verify", archive)

    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path / "unpacked")
    (packed,) = (tmp_path / "unpacked").iterdir()
    labels = tmp_path / "labels"
    options = ("--dataset_dir", data / "imagesTr", "--output_dir", labels, "--device", "cpu")
    monai("inference", "inference", cwd=packed, options=options)
    assert len(list(labels.glob("*_seg.nii.gz"))) == 6


@pytest.mark.slow
@pytest.mark.parametrize("compiler", [True, False], ids=["with a compiler", "without one"])
def test_the_command_lunet_from_another_folder(run: Run, installed: Path, tmp_path: Path, compiler: bool) -> None:
    if compiler and not any(map(shutil.which, COMPILERS)):
        pytest.skip(f"there is no C++ compiler ({', '.join(COMPILERS)})")
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    elsewhere.mkdir()
    variables = {"XDG_CACHE_HOME": str(cache), "CXX": "", **({} if compiler else {"PATH": str(installed)})}

    def lunet(*arguments: object) -> str:
        return run("lunet", *arguments, cwd=elsewhere, **variables)

    data, bundle = tmp_path / "data", tmp_path / "mine"
    lunet("get-data", "phantom", "--output_dir", data, "--num_cases", 6, "--shape", "32,32,32")
    lunet("new-bundle", "lunet_small", "--dataset_dir", data, "--output_dir", bundle)
    lunet("train", bundle, data, *SETTINGS)
    lunet("evaluate", bundle, "--device", "cpu")
    lunet("package", bundle, "--ckpt_file", bundle / "models" / "model.pt", "--records", bundle / "eval")
    lunet("label", bundle, data / "imagesTr", "--output_dir", tmp_path / "labels", "--device", "cpu")
    assert len(list((tmp_path / "labels").glob("*_seg.nii.gz"))) == 6
    assert len(list((elsewhere / "dist").glob("*.zip"))) == 1
    assert any(cache.rglob("*.so")) == compiler


@pytest.mark.slow
def test_the_demo(run: Run, tmp_path: Path) -> None:
    said = run("lunet", "demo", "--num_cases", 10, "--epochs", 1)
    assert "mean Dice" in said
    assert (tmp_path / "demo" / "run" / "report.html").is_file()
