"""What a network costs is measured by real runs, on shapes so small that they take a moment."""

import json
import platform
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from lunet_networks import create_network
from lunet_networks.authoring.packaging.configs import packed_configs
from lunet_networks.bundle.benchmark.memory import measure_peak_memory
from lunet_networks.bundle.benchmark.settings import BenchmarkSettings
from lunet_networks.bundle.benchmark.steps import Inference
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.summary import count_macs
from tests.helpers.running import run_bundle

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"shape": [32, 32, 32], "repeats": 5, "training_repeats": 2, "training_batch_size": 2}
LINUX = Path("/proc/self/status").is_file()


@pytest.fixture(scope="module")
def bundle(repository: Path) -> Path:
    """A committed bundle; runs write elsewhere."""
    return repository / "bundles" / "lunet_small"


def run(bundle: Path, output_dir: Path, **settings: object) -> dict:
    run_bundle(bundle, "benchmark", output_dir=str(output_dir), **{**SMALL, **settings})
    assert [path.name for path in output_dir.iterdir()] == ["benchmark.json"]
    return json.loads((output_dir / "benchmark.json").read_text())


def check_coherent(figures: dict) -> None:
    for timing in filter(None, (figures["latency_s"], figures["training_step_s"])):
        assert 0 < timing["median"] <= timing["p95"]
        assert timing["iqr"] >= 0
    batch, _, *size = figures["input_shape"]
    per_second = figures["throughput"]["volumes_per_s"]
    assert per_second * figures["latency_s"]["median"] == pytest.approx(batch)
    assert figures["throughput"]["mvoxels_per_s"] * 1e6 == pytest.approx(per_second * torch.Size(size).numel())


def test_a_volume_and_its_training(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(bundle, tmp_path, batch_size=2)
    check_coherent(figures)
    assert figures["network"] == "lunet_small_4f"
    assert figures["parameters"] == 9939
    assert figures["macs"] == count_macs(create_network("lunet_small_4f", out_channels=3), (1, 1, 32, 32, 32))
    assert 9939 * 4 < figures["file_bytes"] < 9939 * 4 * 3
    assert figures["input_shape"] == figures["training_shape"] == [2, 1, 32, 32, 32]
    assert (figures["latency_s"]["runs"], figures["training_step_s"]["runs"]) == (5, 2)
    assert figures["versions"]["torch"] == torch.__version__
    assert figures["machine"]["cpu_cores"] > 0
    assert platform.node() not in json.dumps(figures)
    peaks = figures["peak_memory_bytes"]
    if LINUX:
        logits = 2 * 3 * 32**3 * 4
        assert logits < peaks["inference"] < peaks["training_step"]
    printed = capsys.readouterr().out
    assert "9,939" in printed
    assert "training step" in printed
    assert "2 x 1 x 32 x 32 x 32, channels_last" in printed


def test_an_image_in_two_dimensions_without_training(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = {"shape": [48, 32], "preset": "unet_small_1f", "network_def#spatial_dims": 2, "training_repeats": 0}
    threads = torch.get_num_threads()
    figures = run(bundle, tmp_path, **flat, memory_layout="contiguous", num_threads=2)
    check_coherent(figures)
    network = create_network("unet_small_1f", spatial_dims=2, out_channels=3)
    assert figures["macs"] == count_macs(network, (1, 1, 48, 32))
    assert (figures["num_threads"], torch.get_num_threads()) == (2, threads)
    assert figures["training_shape"] is figures["training_step_s"] is None
    assert figures["peak_memory_bytes"]["training_step"] is None
    assert "training step" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("backend", "package"),
    [
        ("torchscript", "torch"),
        pytest.param("onnx", "onnxruntime", marks=pytest.mark.slow),
        pytest.param("openvino", "openvino", marks=pytest.mark.slow),
    ],
)
def test_an_exported_network(bundle: Path, tmp_path: Path, backend: str, package: str) -> None:
    pytest.importorskip(package)
    figures = run(bundle, tmp_path, preset="lunet_small_1f", backend=backend)
    check_coherent(figures)
    assert (figures["backend"], figures["memory_layout"]) == (backend, "contiguous")
    assert figures["training_step_s"] is None
    assert figures["file_bytes"] > 686 * 4
    assert figures["versions"][package]


def test_a_packed_bundle_has_no_preset_to_choose(bundle: Path, tmp_path: Path) -> None:
    configs = {
        name: json.loads((bundle / "configs" / f"{name}.json").read_text()) for name in ("benchmark", "metadata")
    }
    (tmp_path / "configs").mkdir()
    for name, config in packed_configs(configs, "lunet_small_2f").items():
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps(config))
    figures = run(tmp_path, tmp_path / "eval", training_repeats=0)
    assert figures["network"] == "UNet"
    assert figures["parameters"] == 2575


@pytest.mark.parametrize(
    ("settings", "message"),
    {
        "a size": ({"shape": [32, 40, 32]}, r"shape is \[32, 40, 32\]: .* multiple of 16"),
        "a single voxel at the coarsest level": ({"shape": [16, 16, 16], "training_batch_size": 1}, r"shape is .*32"),
        "dimensions": ({"shape": [32, 32]}, r"shape is \[32, 32\]: this 3D network"),
        "a number": ({"shape": 32}, "shape is 32: it has to be an image size"),
        "no backend": ({"backend": "caffe"}, "backend is 'caffe': it has to be one of eager, torchscript, onnx"),
        "no preset": ({"preset": "lunet_4f"}, "there is no preset 'lunet_4f'"),
        "no layout": ({"memory_layout": "NCHW"}, "memory_layout is 'NCHW': it has to be one of channels_last"),
        "no thread": ({"num_threads": 0}, "num_threads is 0: it has to be a whole number of at least 1"),
        "half a batch": ({"batch_size": 0.5}, "batch_size is 0.5: it has to be a whole number of at least 1"),
    }.values(),
)
def test_what_cannot_be_measured(bundle: Path, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(RuntimeError) as error:
        run(bundle, tmp_path / "out", **settings)
    with pytest.raises(ValueError, match=message):
        raise root_cause(error.value)
    assert not (tmp_path / "out").exists()


def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # Python's own way to make a package impossible to import
    with pytest.raises(ValueError, match=r"openvino needs .*pip install"):
        BenchmarkSettings("openvino", shape=(32, 32, 32))


@pytest.mark.skipif(not LINUX, reason="only Linux tells the high-water mark of a process")
def test_the_peak_is_what_the_step_took() -> None:
    weights = 4 * 5000**2
    step = Inference(partial(torch.nn.Linear, 5000, 5000), (1, 5000), memory_layout="contiguous")
    assert weights < measure_peak_memory(step, num_threads=1) < 1.4 * weights


@pytest.mark.skipif(not LINUX, reason="only there memory is measured")
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            partial(signal.raise_signal, signal.SIGTERM),
            r"Inference with 1 x 1 x 32 x 32 .* memory ran out.* smaller shape",
        ),
        (partial(create_network, "nothing"), "there is no preset 'nothing'"),
    ],
)
def test_a_process_that_does_not_live_to_measure(factory: partial, message: str) -> None:
    with pytest.raises(ChildProcessError, match=message):
        measure_peak_memory(Inference(factory, (1, 1, 32, 32)), num_threads=1)
