"""A trained model for the engine that it will run in: TorchScript, ONNX Runtime, OpenVINO or TensorRT."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from lunet_networks.authoring.checking.bundle import Bundle
from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.exporting.quantisation import BundleData, quantise
from lunet_networks.authoring.exporting.trained_network import export_checked, trained_network
from lunet_networks.bundle.inference.formats import EXPORT_FILES, require_backend
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.files import write_atomically

FORMATS = [backend for backend in EXPORT_FILES if backend != "openvino_int8"]


def export_bundle(
    bundle: str,
    format: str,
    preset: str | None = None,
    ckpt_dir: str | None = None,
    output_dir: str | None = None,
    quantize: str | None = None,
    dataset_dir: str | None = None,
    num_samples: int = 100,
    max_dice_loss: float = 0.01,
    overwrite: bool = False,
) -> None:
    """Write the network of a bundle, with its weights, in the form that another engine takes: model.ts, model.onnx,
    model.xml with model.bin, or model_trt.ts. Batch and spatial sizes stay free (with TensorRT the batch alone). It is
    run and compared with PyTorch on three shapes first; one that differs is not written.

    Args:
        bundle: the bundle's folder.
        format: torchscript, onnx, openvino or tensorrt, or several: onnx,openvino.
        preset: of the weights, where it is not the bundle's own.
        ckpt_dir: folder of model.pt; without it the bundle's models, or models/PRESET where that is there.
        output_dir: folder of what is written; without it ckpt_dir, where inference --backend looks for it.
        quantize: int8 writes model_int8.xml with model_int8.bin instead: 8-bit OpenVINO, by NNCF.
        dataset_dir: for int8, a dataset.json's folder: training cases calibrate, validation cases are measured. Without
            it the one in the bundle's train.json.
        num_samples: for int8, patches that calibrate.
        max_dice_loss: for int8, what the Dice of a label may lose; a model that loses more is not written.
        overwrite: replace files that are there.
    """
    overwrite = as_bool("overwrite", overwrite)
    check_whole_number("--num_samples", num_samples, least=1)
    if not isinstance(max_dice_loss, int | float):
        raise ValueError(f"--max_dice_loss {max_dice_loss}: it is a number, such as 0.01")
    source = Bundle(str(bundle))
    backends = _backends(format, quantize)
    trained = trained_network(
        source, None if preset is None else str(preset), None if ckpt_dir is None else Path(str(ckpt_dir))
    )
    output = trained.ckpt_dir if output_dir is None else Path(str(output_dir))
    _check_output(output, backends, overwrite)
    with tempfile.TemporaryDirectory() as folder:
        staged = {backend: Path(folder, backend) for backend in (*backends, "openvino")}
        for path in staged.values():
            path.mkdir()
        if quantize is None:
            for backend in backends:
                export_checked(source, trained, staged[backend], backend)
        else:
            data = BundleData(source, None if dataset_dir is None else str(dataset_dir))
            export_checked(source, trained, staged["openvino"], "openvino")
            quantise(trained, data, staged["openvino"], staged["openvino_int8"], num_samples, max_dice_loss)
        for backend in backends:
            _move(staged[backend], output, EXPORT_FILES[backend])


def _backends(format: str | Sequence[str], quantize: str | None) -> list[str]:
    formats = format.split(",") if isinstance(format, str) else list(format)
    for name in formats:
        choose("--format", name, dict.fromkeys(FORMATS))
    if quantize is not None:
        choose("--quantize", quantize, {"int8": None})
        if formats != ["openvino"]:
            raise ValueError("--quantize int8 makes a model for OpenVINO: give it with --format openvino")
    backends = formats if quantize is None else ["openvino_int8"]
    for backend in backends:
        require_backend(backend, to_export=True)
    return backends


def _check_output(output: Path, backends: Sequence[str], overwrite: bool) -> None:
    if output.is_file():
        raise NotADirectoryError(f"{output} is a file: name a folder with --output_dir")
    for backend in backends:
        path = output / EXPORT_FILES[backend]
        if path.exists() and not overwrite:
            raise FileExistsError(
                f"{path} is there already: replace it with --overwrite True, or name another --output_dir"
            )


def _move(staged: Path, output: Path, main: str) -> None:
    """Put files in the place of older ones. An engine opens the main file, so that goes first and comes last: whenever
    this ends, no part of an older export stands beside a part of a newer one.
    """
    (output / main).unlink(missing_ok=True)
    parts = sorted(staged.iterdir(), key=lambda part: (part.name == main, part.name))
    for part in parts:
        write_atomically(output / part.name, part.read_bytes())
    print("wrote " + ", ".join(f"{output / part.name} ({part.stat().st_size / 1e3:.0f} kB)" for part in parts[::-1]))
