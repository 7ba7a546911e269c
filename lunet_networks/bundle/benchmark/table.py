"""The results of a benchmark as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["benchmark_table"]

NOT_MEASURED = "not measured: this system does not report it"


def benchmark_table(figures: Mapping[str, Any]) -> str:
    """The results, one line with name and value for each, in units that suit their size.

    Args:
        figures: the results of ``Benchmark.measure``.
    """
    rows = {
        "network": figures["network"],
        "backend": f"{figures['backend']} {_version(figures)}, {_device(figures)}, {figures['num_threads']} thread(s)",
        "input": f"{_shape(figures['input_shape'])}, {figures['memory_layout']}",
        "parameters": f"{figures['parameters']:,}",
        "MACs": f"{figures['macs'] / 1e9:.3f} G for one volume",
        "file": _bytes(figures["file_bytes"]),
        "latency": _timing(figures["latency_s"]),
        "throughput": "{volumes_per_s:.2f} volumes/s, {mvoxels_per_s:.2f} Mvoxel/s".format(**figures["throughput"]),
        "peak memory": _bytes(figures["peak_memory_bytes"]["inference"]),
    }
    if figures["training_step_s"]:
        rows |= {
            "training step": f"{_timing(figures['training_step_s'])}, {_shape(figures['training_shape'])}",
            "  peak memory": _bytes(figures["peak_memory_bytes"]["training_step"]),
        }
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows.items())


def _version(figures: Mapping[str, Any]) -> str:
    package = {"onnx": "onnxruntime", "openvino": "openvino"}.get(figures["backend"], "torch")
    return f"({package} {figures['versions'][package]})"


def _device(figures: Mapping[str, Any]) -> str:
    machine = figures["machine"]
    name = machine["cpu"] if figures["device"] == "cpu" else machine["gpu"]
    return f"{figures['device']} ({name})"


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _timing(timing: Mapping[str, float]) -> str:
    factor, unit = (1, "s") if timing["median"] >= 1 else (1000, "ms")
    median, iqr, p95 = (f"{timing[name] * factor:.3g}" for name in ("median", "iqr", "p95"))
    return f"{median} {unit}, median of {timing['runs']} (IQR {iqr}, p95 {p95})"


def _bytes(number: int | None) -> str:
    if number is None:
        return NOT_MEASURED
    return f"{number / 2**20:,.1f} MiB" if number >= 2**20 else f"{number / 2**10:,.1f} KiB"
