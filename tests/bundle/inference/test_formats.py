"""Engines (formats.py): one that is not installed is named with the cure, and none reports to its makers."""

import os
import subprocess
import sys

import pytest
import torch

from lunet_networks import create_network
from lunet_networks.bundle.inference.exported import export_network
from lunet_networks.bundle.inference.formats import BACKENDS, require_backend


@pytest.mark.parametrize(
    ("backend", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino"), ("openvino_int8", "nncf")]
)
def test_a_backend_that_is_not_installed(backend, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # as Python notes a package that cannot be imported
    with pytest.raises(
        ValueError, match=rf"{backend} needs .*: pip install {package}, or .*\"lunet-networks\[export\]\""
    ):
        require_backend(backend, to_export=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_tensorrt_only_where_there_is_a_gpu(tmp_path):
    assert "tensorrt" not in BACKENDS
    with pytest.raises(ValueError, match="the backend tensorrt needs"):
        export_network(
            create_network("lunet_small_1f", in_channels=2), tmp_path / "model_trt.ts", "tensorrt", (1, 2, 32, 32, 32)
        )


def test_openvino_and_nncf_leave_no_trace_of_a_report_to_their_makers(tmp_path):
    code = (
        "from lunet_networks.bundle.inference.formats import import_silently\n"
        "import_silently('openvino'), import_silently('nncf')\n"
        "from openvino_telemetry import Telemetry\n"
        "print(Telemetry().consent)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | {"HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "False"
    assert not (tmp_path / "intel").exists()


def test_openvino_may_be_freed_on_another_thread(tmp_path):
    code = f"""
import signal, subprocess, threading
import numpy, openvino, torch
from lunet_networks.bundle.inference.formats import on_its_own_thread, read_openvino

image = openvino.opset13.parameter([1, 1, 8, 8], numpy.float32, "image")
model = openvino.Model([openvino.opset13.relu(image)], [image])
path = {str(tmp_path / "model.xml")!r}
openvino.save_model(model, path)
networks = [read_openvino(path, torch.device("cpu"))[0], on_its_own_thread(openvino.compile_model, model, "CPU")]
assert networks[0](-torch.ones(1, 1, 8, 8)).sum() == 0
thread = threading.Thread(target=networks.clear)
thread.start(), thread.join()
signal.signal(signal.SIGCHLD, lambda *_: print("a child ended", flush=True))
subprocess.run(["true"])
print("alive")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout.split("\n")[:2]) == (0, ["a child ended", "alive"]), run.stderr
