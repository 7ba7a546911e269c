"""The formats that networks are exported to: how each is written and read, its file name and the packages it needs.

Each engine is imported only where it is used, so you need to install only the engines that you use.

An exporter takes a network in evaluation mode, a path, the shape of an input and the facts to store in the file. A
reader takes a path and a device. It returns a function from tensor to tensor, and the facts.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from monai.networks.utils import convert_to_onnx, convert_to_torchscript, convert_to_trt
from torch import nn

from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.bundle.runtime.memory_format import plain

__all__ = [
    "BACKENDS",
    "EXPORT_FILES",
    "FORMATS",
    "INPUT_FACTS",
    "WEIGHTS_DIGEST",
    "Facts",
    "Run",
    "import_silently",
    "on_its_own_thread",
    "require_backend",
]

Facts = dict[str, Any]
Run = Callable[[torch.Tensor], torch.Tensor]

INPUT_FACTS = ("spatial_dims", "in_channels", "size_multiple")
INPUT, OUTPUT = "image", "pred"  # as metadata.json calls them
AXES = ("depth", "height", "width")
OPENVINO_SECTION = "lunet_networks"
WEIGHTS_DIGEST = "weights.sha256"  # name of the entry in a TorchScript file


def export_torchscript(network: nn.Module, path: str, input_shape: tuple[int, ...], facts: Facts) -> None:
    """Write TorchScript with the digest of the weights. The other facts are attributes, which a script keeps; from its
    state dict the digest cannot be computed again, because it lacks masks of branches."""
    convert_to_torchscript(network, path, extra_files={WEIGHTS_DIGEST: facts["weights"].encode()})


def read_torchscript(path: str, device: torch.device) -> tuple[Run, Facts]:
    stored = {WEIGHTS_DIGEST: b""}
    script = torch.jit.load(path, map_location=device, _extra_files=stored).eval()
    facts = {name: getattr(script, name) for name in INPUT_FACTS if hasattr(script, name)}
    if stored[WEIGHTS_DIGEST]:
        facts["weights"] = stored[WEIGHTS_DIGEST].decode()
    else:  # a file that another program wrote
        facts["state_dict"] = script.state_dict()
    # PyTorch's plain convolution of a single volume is slow on a CPU, see lunet_networks.nets.fast_layers. The
    # optimised script is fast for one volume, but takes twice as long as the plain one for a batch.
    single = script if device.type == "cuda" else torch.jit.optimize_for_inference(script)

    def run(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), torch.jit.optimized_execution(False):  # otherwise it recompiles for every size
            return (single if x.shape[0] == 1 else script)(plain(x).to(device)).to(x.device)

    return run, facts


def export_onnx(network: nn.Module, path: str, input_shape: tuple[int, ...], facts: Facts) -> None:
    onnx = import_silently("onnx")
    # twice the sizes: the exporter would fix an axis of size 1, at the lowest resolution or in the batch, as a constant
    example = torch.zeros(2, input_shape[1], *(2 * size for size in input_shape[2:]))
    free = dict.fromkeys((0, *range(2, len(input_shape))), torch.export.Dim.DYNAMIC)
    model = convert_to_onnx(
        network,
        [example.to(next(network.parameters()))],
        input_names=[INPUT],
        output_names=[OUTPUT],
        filename=path,
        dynamic_shapes=(free,),
        dynamo=True,  # the older exporter is faster, but PyTorch is going to remove it
        external_data=False,
        verbose=False,
    )
    _clean(model.graph, ["batch", *AXES[-len(input_shape) + 2 :]])
    for name, value in facts.items():
        model.metadata_props.add(key=name, value=str(value))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _clean(graph: Any, free_axes: list[str]) -> None:
    """Name the free axes and drop the source locations, which make up most of a lean network's file."""
    del graph.value_info[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
    for tensor in (*graph.input, *graph.output):
        batch, _, *sizes = tensor.type.tensor_type.shape.dim
        for axis, name in zip((batch, *sizes), free_axes, strict=True):
            axis.dim_param = name


def read_onnx(path: str, device: torch.device) -> tuple[Run, Facts]:
    onnxruntime = import_silently("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    of_device = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    providers = [name for name in of_device if name in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(path, options, providers=[*providers, "CPUExecutionProvider"])

    def run(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {INPUT: _array(x)})[0]).to(x.device)

    return run, dict(session.get_modelmeta().custom_metadata_map)


def export_openvino(network: nn.Module, path: str, input_shape: tuple[int, ...], facts: Facts) -> None:
    openvino = import_silently("openvino")
    # openvino.convert_model reports every call to OpenVINO's developers; reading ONNX with the core reports nothing
    with tempfile.TemporaryDirectory() as folder:
        onnx_path = str(Path(folder, "model.onnx"))
        export_onnx(network, onnx_path, input_shape, facts)
        model = openvino.Core().read_model(onnx_path)
        for name, value in facts.items():
            model.set_rt_info(str(value), [OPENVINO_SECTION, name])
        openvino.save_model(model, path, compress_to_fp16=False)


def read_openvino(path: str, device: torch.device) -> tuple[Run, Facts]:
    core = import_silently("openvino").Core()
    model = core.read_model(path)
    config = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # otherwise CPUs with bfloat16 use it, with an error of 0.01 in the logits
    }
    compiled = on_its_own_thread(core.compile_model, model, "CPU", config)
    noted = [name for name in (*INPUT_FACTS, "weights") if model.has_rt_info([OPENVINO_SECTION, name])]
    facts = {name: model.get_rt_info([OPENVINO_SECTION, name]).value for name in noted}
    return lambda x: torch.from_numpy(compiled(_array(x))[0]).to(x.device), facts


def on_its_own_thread(function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Call what makes OpenVINO's CPU plugin on a thread that then ends, and return its result.

    The plugin gives the thread that makes it an alternate signal stack, and unmaps the stack when its last network is
    freed. If another thread frees it, as the garbage collector may, the first one keeps the unmapped stack, and the
    process dies of SIGSEGV at the next signal with a handler of Python's: Ctrl-C, or the end of a child process.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments, **settings).result()


def import_silently(name: str) -> ModuleType:
    """Import an engine without its telemetry. Only the engine's own backend needs it.

    ``openvino`` and ``nncf`` report their import and use to their developers over the network, except in CI jobs. So
    this sets ``CI`` during the import.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        return importlib.import_module(name)
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


def export_tensorrt(network: nn.Module, path: str, input_shape: tuple[int, ...], facts: Facts) -> None:
    """Export a copy of the network, because MONAI's exporter moves its argument to the GPU."""
    batches = [1, input_shape[0], max(4, input_shape[0])]
    script = convert_to_trt(copy.deepcopy(network), "fp32", input_shape, dynamic_batchsize=batches, disable_tf32=True)
    torch.jit.save(script, path)


def read_tensorrt(path: str, device: torch.device) -> tuple[Run, Facts]:
    """Read a TensorRT file. It always computes on the GPU."""
    import_silently("torch_tensorrt")  # teaches TorchScript to run its engines
    script = torch.jit.load(path, map_location="cuda")

    def run(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return script(plain(x).cuda()).to(x.device)

    return run, {}


def _array(x: torch.Tensor) -> Any:
    return plain(x).detach().cpu().contiguous().numpy()


@dataclass(frozen=True)
class Format:
    """A format of exported networks.

    Args:
        file: name of the file. It must not end in .pt: MONAI Label takes all such files for weights of the network.
        read: takes a path and a device; returns a function from tensor to tensor, and the facts.
        packages: needed to run it.
        export: writes a network to a file; None where the format is made from another one.
        export_packages: needed to export it, in addition to ``packages``.
    """

    file: str
    read: Callable[[str, torch.device], tuple[Run, Facts]]
    packages: tuple[str, ...] = ()
    export: Callable[[nn.Module, str, tuple[int, ...], Facts], None] | None = None
    export_packages: tuple[str, ...] = ()


_ONNX = ("onnx", "onnxscript")
FORMATS = {  # by backend
    "torchscript": Format("model.ts", read_torchscript, export=export_torchscript),
    "onnx": Format("model.onnx", read_onnx, ("onnxruntime",), export_onnx, _ONNX),
    "openvino": Format("model.xml", read_openvino, ("openvino",), export_openvino, _ONNX),  # and model.bin
    "openvino_int8": Format("model_int8.xml", read_openvino, ("openvino",), None, (*_ONNX, "nncf")),  # and .bin
    "tensorrt": Format("model_trt.ts", read_tensorrt, ("torch_tensorrt",), export_tensorrt),
}
EXPORT_FILES = {backend: each.file for backend, each in FORMATS.items()}
BACKENDS = ("eager", "torchscript", "onnx", "openvino", *(["tensorrt"] if torch.cuda.is_available() else []))


def require_backend(backend: str, to_export: bool = False) -> None:
    """Raise a ValueError that says what to install if a backend cannot be used here.

    Args:
        backend: "eager" or a key of ``FORMATS``.
        to_export: whether to check for the packages that exporting needs, too.

    Example:
        >>> require_backend("eager")
        >>> require_backend("caffe")
        Traceback (most recent call last):
        ValueError: backend is 'caffe': it has to be one of eager, torchscript, onnx, openvino, openvino_int8, tensorrt
    """
    if backend == "eager":
        return
    chosen = choose("backend", backend, {"eager": None, **FORMATS})
    needed = chosen.packages + (chosen.export_packages if to_export else ())
    missing = [name.replace("_", "-") for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        all_of_them = "" if backend == "tensorrt" else ', or all of them: pip install "lunet-networks[export]"'
        raise ValueError(
            f"the backend {backend} needs packages that are not installed: pip install {' '.join(missing)}{all_of_them}"
        )
    if backend == "tensorrt" and not torch.cuda.is_available():
        raise ValueError("the backend tensorrt needs an NVIDIA GPU, but PyTorch finds none")
