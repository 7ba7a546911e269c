"""A real MONAI Label server, unmodified, serves a bundle and trains it; see docs/monai_label.md.

It runs in an environment of its own, whose Python the variable MONAI_LABEL_PYTHON names.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lunet_networks.authoring.samples.get_data import phantom
from tests.helpers.running import run_bundle

REPOSITORY = Path(__file__).parents[1]
PYTHON = os.environ.get("MONAI_LABEL_PYTHON")
BUNDLE = "lunet_small"
IMAGE, LONG, FLIPPED = "texture", (130, 60, 44), np.diag([-1.0, 1.0, 1.1, 1.0])
PATIENCE = 600  # s: the machine may be busy
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="MONAI_LABEL_PYTHON names no Python that has MONAI Label"),
]


class Server:
    """MONAI Label's app monaibundle with one bundle and labelled images, on a port of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.bundle = folder / "apps" / "monaibundle" / "model" / BUNDLE
        self.log = folder / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen | None = None

    def set_up(self) -> None:
        """Fetch the app out of MONAI Label, and put the bundle and images with their labels where it looks."""
        self._command("apps", "--download", "--name", "monaibundle", "--output", "apps").wait()
        ignore = shutil.ignore_patterns("eval", "runs")
        shutil.copytree(REPOSITORY / "bundles" / BUNDLE, self.bundle, ignore=ignore)
        phantom(str(self.folder / "phantom"), num_cases=3, difficulty="easy", shape=(40, 40, 40))
        shutil.copytree(self.folder / "phantom" / "imagesTr", self.images)
        shutil.copytree(self.folder / "phantom" / "labelsTr", self.images / "labels" / "final")
        # so long that windows can be placed in several ways, and such that the model finds something in it
        texture = gaussian_filter(np.random.default_rng(0).normal(size=LONG), 2).astype(np.float32)
        nib.save(nib.Nifti1Image(texture, FLIPPED), self.images / f"{IMAGE}.nii.gz")

    def start(self) -> None:
        conf = ("--conf", "models", BUNDLE, "--conf", "zoo_source", "ngc")
        place = ("--host", "127.0.0.1", "--port", str(self.port))
        self.process = self._command(
            "start_server", "--app", "apps/monaibundle", "--studies", "images", *conf, *place, log=self.log
        )
        self.wait_for(self._answers)

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        for _ in range(PATIENCE):
            if condition():
                return
            assert self.process is None or self.process.poll() is None, f"the server has ended:\n{self._last_words()}"
            time.sleep(1)
        pytest.fail(f"nothing in {PATIENCE} s:\n{self._last_words()}")

    def get(self, path: str) -> Any:
        return json.loads(self.ask(path))

    def post(self, path: str, content: dict) -> Any:
        headers = {"Content-Type": "application/json"}
        return json.loads(self.ask(path, json.dumps(content).encode(), headers))

    def label(self, image: str, **params: object) -> nib.Nifti1Image:
        """What the model says of an image."""
        form = urllib.parse.urlencode({"params": json.dumps({"device": "cpu", **params})})
        answer = self.ask(f"infer/{BUNDLE}?image={image}&output=image", form.encode())
        path = self.folder / "answer.nii.gz"
        path.write_bytes(answer)
        volume = nib.load(path)
        return nib.Nifti1Image(np.asarray(volume.dataobj), volume.affine)

    def ask(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        """The body of the server's answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", body, headers or {})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()

    def _command(self, *words: str, log: Path | None = None) -> subprocess.Popen:
        threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        with open(log or os.devnull, "wb") as out:
            return subprocess.Popen(
                [PYTHON, "-m", "monailabel.main", *words],
                cwd=self.folder,
                env=os.environ | threads,
                stdout=out,
                stderr=out,
            )

    def _answers(self) -> bool:
        try:
            return bool(self.get("info/"))
        except OSError:
            return False

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.is_file() else ""


def as_slicer_sends(config: dict[str, Any]) -> dict[str, Any]:
    """All options of a model or a trainer, the first of those to choose from."""
    return {name: value[0] if isinstance(value, list) else value for name, value in config.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("monai_label"))
    server.set_up()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_it_tells_the_labels_and_the_options(server: Server) -> None:
    info = server.get("info/")
    model = info["models"][BUNDLE]
    assert model["labels"] == {"anterior": 1, "posterior": 2}
    assert (model["type"], model["dimension"]) == ("segmentation", 3)
    options = json.loads((server.bundle / "configs" / "inference.json").read_text())
    assert {name: model["config"][name] for name in ("overlap", "sw_batch_size")} == {
        name: options[name] for name in ("overlap", "sw_batch_size")
    }
    assert BUNDLE in info["trainers"]


@pytest.mark.parametrize("options", [{}, {"overlap": 0.6, "sw_batch_size": 1}, {"overlap": 0}], ids=str)
def test_it_labels_as_the_bundle_does_with_the_options_asked_for(
    server: Server, options: dict[str, float], tmp_path: Path
) -> None:
    label = server.label(IMAGE, **options)

    image = str(server.images / f"{IMAGE}.nii.gz")
    run_bundle(server.bundle, "inference", dataset_dir=image, output_dir=str(tmp_path), **options)
    same = nib.load(next(tmp_path.glob("*_seg.nii.gz")))
    assert label.get_data_dtype() == np.uint8
    np.testing.assert_allclose(label.affine, same.affine, atol=1e-4)
    np.testing.assert_array_equal(label.dataobj, same.dataobj)


def test_the_overlap_asked_for_matters(server: Server) -> None:
    labels = [np.asarray(server.label(IMAGE, **options).dataobj) for options in ({}, {"overlap": 0.6}, {})]
    assert (labels[0] != labels[1]).any()
    np.testing.assert_array_equal(labels[0], labels[2])  # it was for that request


def test_an_impossible_option_is_refused(server: Server) -> None:
    for option in ({"overlap": 1.5}, {"sw_batch_size": 0}):
        with pytest.raises(urllib.error.HTTPError, match="500"):
            server.label(IMAGE, **option)


def test_it_answers_as_3d_slicer_asks(server: Server) -> None:
    params = as_slicer_sends(server.get("info/")["models"][BUNDLE]["config"])
    form = urllib.parse.urlencode(
        {"params": json.dumps({**params, "result_extension": ".nrrd", "result_dtype": "uint8"})}
    )
    answer = server.ask(f"infer/{BUNDLE}?image={IMAGE}&output=image", form.encode())
    path = server.folder / "answer.nrrd"
    path.write_bytes(answer)
    voxels, header = nrrd.read(str(path))
    assert header["type"] in ("uint8", "unsigned char")
    np.testing.assert_array_equal(voxels, server.label(IMAGE).dataobj)


def test_it_trains_and_labels_with_the_new_model(server: Server) -> None:
    model = server.bundle / "models" / "model.pt"
    before, label_before = model.read_bytes(), np.asarray(server.label(IMAGE).dataobj)

    options = as_slicer_sends(server.get("info/")["trainers"][BUNDLE]["config"])
    server.post(f"train/{BUNDLE}", {**options, "max_epochs": 1, "val_split": 0.34})
    server.wait_for(lambda: server.get("train/").get("status") in ("DONE", "ERROR", "STOPPED"))
    training = server.get("train/")
    assert training["status"] == "DONE", training["details"][-10:]

    assert model.read_bytes() != before
    assert (server.bundle / "eval" / "model_before_1.pt").read_bytes() == before
    assert len((server.bundle / "eval" / "history.csv").read_text().splitlines()) == 2
    assert (np.asarray(server.label(IMAGE).dataobj) != label_before).any()
