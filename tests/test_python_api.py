"""Bundles in programs of one's own: from any folder, without a connection, as the documents show it."""

import json
import re
import shutil
import socket
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, create_workflow, load

from lunet_networks import create_network
from lunet_networks.authoring.samples.get_data import phantom
from lunet_networks.bundle.data.labels import count_outputs

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "bundles"
BUNDLES = sorted(path.parents[1].name for path in FOLDER.glob("*/configs/metadata.json"))
TRAINED = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/models/**/model.pt"))
EXAMPLE = "lunet_small"
BLOCKS = [
    pytest.param(block, id=f"{document}-{number}")
    for document in ("python", "federated")
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", (REPOSITORY / "docs" / f"{document}.md").read_text("utf-8"), re.M | re.S)
    )
]


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is an error, but for those between processes of this machine."""
    connect = socket.socket.connect

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("a connection to the network is asked for")

    def connect_to_process(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX:
            refuse()
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_to_process)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def far_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(name: str, kind: str) -> str:
    return str(FOLDER / name / "configs" / f"{kind}.json")


def settings(name: str) -> dict:
    return json.loads(Path(config(name, "inference")).read_text(encoding="utf-8"))


def by_hand(name: str, preset: str | None = None) -> torch.nn.Module:
    """The network of a bundle, built without the bundle's configs."""
    about = settings(name)
    return create_network(
        preset or about["preset"], in_channels=about["in_channels"], out_channels=count_outputs(about["label_names"])
    ).eval()


@torch.inference_mode()
def logits(network: torch.nn.Module) -> torch.Tensor:
    """What a network answers to noise."""
    shape = (64, 32, 32)[: network.spatial_dims]
    return network(torch.randn(1, network.in_channels, *shape, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("kind", ["train", "inference"])
@pytest.mark.parametrize("name", BUNDLES)
def test_a_workflow_builds_the_network_of_the_preset(name: str, kind: str, far_away: Path) -> None:
    workflow = create_workflow(config_file=config(name, kind), workflow_type=kind)
    network, same = workflow.network_def.eval(), by_hand(name)
    same.load_state_dict(network.state_dict())
    assert torch.equal(logits(network), logits(same))
    assert not list(far_away.iterdir())


@pytest.mark.parametrize("workflow_type", ["train", "inference"])
@pytest.mark.parametrize("weights", TRAINED)
@pytest.mark.usefixtures("far_away")
def test_load_gives_the_trained_network(weights: str, workflow_type: str) -> None:
    name, *_, folder, _ = Path(weights).parts
    preset = None if folder == "models" else folder
    network = load(
        name,
        bundle_dir=FOLDER,
        workflow_type=workflow_type,
        model_file=str(Path(weights).relative_to(name)),
        net_override={"preset": preset} if preset else None,
        device="cpu",
    ).eval()
    same = by_hand(name, preset)
    same.load_state_dict(torch.load(FOLDER / weights, weights_only=True))
    assert torch.equal(logits(network), logits(same))


def test_an_inference_workflow_writes_what_the_network_says(far_away: Path) -> None:
    shape = tuple(settings(EXAMPLE)["roi_size"])  # one window, and nothing to resample, to turn or to pad
    voxels = np.random.default_rng(0).normal(300, 20, shape).astype(np.float32)
    voxels[10:30, 20:40, 10:30] += 150
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), far_away / "image.nii.gz")

    workflow = ConfigWorkflow(
        config(EXAMPLE, "inference"),
        workflow_type="inference",
        bundle_root=str(FOLDER / EXAMPLE),
        dataset_dir="image.nii.gz",
        output_dir="labels",
        device="cpu",
    )
    workflow.initialize()
    workflow.run()

    network = by_hand(EXAMPLE)
    network.load_state_dict(torch.load(FOLDER / EXAMPLE / "models" / "model.pt", weights_only=True))
    with torch.inference_mode():
        expected = network(torch.from_numpy((voxels - voxels.mean()) / voxels.std())[None, None]).argmax(1)[0]
    written = np.asarray(nib.load(far_away / "labels" / "image_seg.nii.gz").dataobj)
    assert len(np.unique(written)) > 1
    assert (written != expected.numpy()).mean() < 1e-4  # rounding may decide where two labels are as likely


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the documents speak of: a bundle, a dataset and an image."""
    folder = tmp_path_factory.mktemp("place")
    unwanted = shutil.ignore_patterns("eval", "runs")
    shutil.copytree(FOLDER / EXAMPLE, folder / "bundles" / EXAMPLE, ignore=unwanted)
    for name in ("phantom", "north", "south"):
        phantom(str(folder / "data" / name), num_cases=5, difficulty="easy", shape=(32, 32, 32))
    shutil.copy(next((folder / "data" / "phantom" / "imagesTr").iterdir()), folder / "image.nii.gz")
    return folder


@pytest.mark.parametrize("block", BLOCKS)
def test_the_documents_run(block: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    exec(compile(block, "the document", "exec"), {"__name__": "__main__"})
