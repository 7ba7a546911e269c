"""A packed bundle is uploaded by the Hugging Face Hub's own client and by MONAI, as docs/package.md tells, to a server
on this machine. They run in the Python that HUGGING_FACE_PYTHON names.
"""

import json
import zipfile
from pathlib import Path

import pytest
import yaml

from lunet_networks.authoring.packaging.package import package_bundle
from tests.helpers.consumers import call, needs_python_with, python_with
from tests.helpers.model_hub import Hub, model_hub

PYTHON = python_with("huggingface_hub", "HUGGING_FACE_PYTHON")
NAME = "lunet_small_4f"
PUSH = f"""
from monai.bundle import push_to_hf_hub
push_to_hf_hub('user/model', '{NAME}', '.', version='0.1.0', ignore_patterns='README.md')
"""
DATA = """
import json, sys
from huggingface_hub import ModelCard
print(json.dumps(ModelCard.load(sys.argv[1]).data.to_dict()))
"""
pytestmark = [pytest.mark.slow, needs_python_with("huggingface_hub", "HUGGING_FACE_PYTHON")]


@pytest.fixture(scope="module")
def packed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder around an unzipped bundle."""
    bundle, folder = repository / "bundles" / "lunet_small", tmp_path_factory.mktemp("hub")
    package_bundle(str(bundle), ckpt_file=str(bundle / "models" / "model.pt"), output_dir=str(folder / "dist"))
    with zipfile.ZipFile(next((folder / "dist").glob("*.zip"))) as archive:
        archive.extractall(folder / "unzipped")
    return folder / "unzipped"


def python(*words: str, folder: Path, hub: Hub | None = None) -> str:
    address = {} if hub is None else {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_none"}
    return call(PYTHON, *words, folder=folder, path=(), HF_HOME=str(folder / "home"), **address)


def upload(*words: str, folder: Path, hub: Hub) -> None:
    code = "import sys; from huggingface_hub.cli.hf import main; sys.argv[0] = 'hf'; main()"
    python("-c", code, "upload", "user/model", *words, folder=folder, hub=hub)


def test_the_hubs_library_reads_the_card(packed: Path) -> None:
    data = json.loads(python("-c", DATA, f"{NAME}/README.md", folder=packed).splitlines()[-1])
    assert data["license"] == "cc-by-sa-4.0"
    assert data["library_name"] == "monai"
    assert data["pipeline_tag"] == "image-segmentation"
    assert data["datasets"] == ["Hippocampus"]
    assert "dice" in data["metrics"]
    assert {"monai", "medical", "MR"} <= set(data["tags"])


def test_the_whole_bundle_is_uploaded_with_its_licence(packed: Path) -> None:
    with model_hub() as hub:
        upload(NAME, folder=packed, hub=hub)
    files = {path.relative_to(packed / NAME).as_posix(): path for path in (packed / NAME).rglob("*") if path.is_file()}
    assert hub.files == {name: path.read_bytes() for name, path in files.items()}
    assert b"\nlicense: cc-by-sa-4.0\n" in hub.files["README.md"]


def test_monai_pushes_a_version_and_leaves_the_card(packed: Path) -> None:
    with model_hub() as hub:
        upload(f"{NAME}/README.md", "README.md", folder=packed, hub=hub)
        python("-c", PUSH, folder=packed, hub=hub)
    front = yaml.safe_load(hub.files["README.md"].decode().split("---\n")[1])
    assert front["license"] == "cc-by-sa-4.0"
    assert {"docs/README.md", "models/model.pt", "configs/train.json"} <= hub.files.keys()
    assert hub.tags == ["0.1.0"]
