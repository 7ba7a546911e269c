"""A trained network exported to TorchScript, ONNX, OpenVINO, TensorRT or a web page."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from lunet_networks.authoring.checking.bundle import Bundle
from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.exporting.page import FORMAT as PAGE
from lunet_networks.authoring.exporting.page import export_page, page_name
from lunet_networks.authoring.exporting.quantisation import BundleData, quantise
from lunet_networks.authoring.exporting.trained_network import export_checked, trained_network
from lunet_networks.bundle.inference.formats import EXPORT_FILES, require_backend
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.files import write_atomically

FORMATS = [*(backend for backend in EXPORT_FILES if backend != "openvino_int8"), PAGE]


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
    """Export a trained network to TorchScript, ONNX, OpenVINO, TensorRT or a web page.

    It writes model.ts, model.onnx, model.xml with model.bin, or model_trt.ts. Batch and spatial sizes stay free, with
    TensorRT only the batch. The export is compared with PyTorch on three shapes first; one that differs by more than
    rounding is not written. html writes NAME.html, a page that labels images in a browser; its labels are compared
    with the bundle's.

    Args:
        bundle: the bundle's folder.
        format: torchscript, onnx, openvino, tensorrt or html, or several: onnx,openvino.
        preset: preset of the weights, where it is not the bundle's own.
        ckpt_dir: folder of model.pt; without it the bundle's models, or models/PRESET where that exists.
        output_dir: folder to write to; without it ckpt_dir, where inference --backend looks for the files.
        quantize: int8 writes model_int8.xml with model_int8.bin instead, 8-bit OpenVINO by NNCF.
        dataset_dir: for int8, the folder of dataset.json: training cases calibrate, validation cases measure the loss.
            Without it that of the bundle's train.json.
        num_samples: for int8, number of patches for calibration.
        max_dice_loss: for int8, how much the Dice of a label may fall; a model that loses more is not written.
        overwrite: replace files that are there.
    """
    overwrite = as_bool("overwrite", overwrite)
    check_whole_number("--num_samples", num_samples, least=1)
    if not isinstance(max_dice_loss, int | float):
        raise ValueError(f"--max_dice_loss takes a number, such as 0.01, not {max_dice_loss!r}")
    source = Bundle(str(bundle))
    backends = _backends(format, quantize)
    trained = trained_network(
        source, None if preset is None else str(preset), None if ckpt_dir is None else Path(str(ckpt_dir))
    )
    output = trained.ckpt_dir if output_dir is None else Path(str(output_dir))
    files = {**EXPORT_FILES, PAGE: page_name(source)}
    _check_output(output, [files[backend] for backend in backends], overwrite)  # before anything is computed
    with tempfile.TemporaryDirectory() as folder:
        staged = {backend: Path(folder, backend) for backend in (*backends, "openvino")}
        for path in staged.values():
            path.mkdir()
        if quantize is None:
            for backend in backends:
                if backend == PAGE:
                    export_page(source, trained, None if preset is None else str(preset), staged[backend])
                else:
                    export_checked(source, trained, staged[backend], backend)
        else:
            data = BundleData(source, None if dataset_dir is None else str(dataset_dir), trained.ckpt_dir)
            export_checked(source, trained, staged["openvino"], "openvino")
            quantise(trained, data, staged["openvino"], staged["openvino_int8"], num_samples, max_dice_loss)
        parts = [part.name for backend in backends for part in staged[backend].iterdir()]
        _check_output(output, parts, overwrite)
        for backend in backends:
            _move(staged[backend], output, files[backend])


def _backends(format: str | Sequence[str], quantize: str | None) -> list[str]:
    formats = format.split(",") if isinstance(format, str) else list(format)
    for name in formats:
        choose("--format", name, dict.fromkeys(FORMATS))
    if quantize is not None:
        choose("--quantize", quantize, {"int8": None})
        if formats != ["openvino"]:
            raise ValueError("--quantize int8 needs --format openvino: it makes a model for OpenVINO")
    backends = formats if quantize is None else ["openvino_int8"]
    for backend in backends:
        if backend != PAGE:
            require_backend(backend, to_export=True)
    return backends


def _check_output(output: Path, names: Iterable[str], overwrite: bool) -> None:
    if output.is_file():
        raise NotADirectoryError(f"{output} is a file: name a folder with --output_dir")
    for path in (output / name for name in names):
        if path.exists() and not overwrite:
            raise FileExistsError(
                f"{path} is there already: replace it with --overwrite True, or name another --output_dir"
            )


def _move(staged: Path, output: Path, main: str) -> None:
    """Replace older files. An engine opens the main file, so it is removed first and written last: even if this is
    interrupted, parts of an older and a newer export are never used together.
    """
    (output / main).unlink(missing_ok=True)
    parts = sorted(staged.iterdir(), key=lambda part: (part.name == main, part.name))
    for part in parts:
        write_atomically(output / part.name, part.read_bytes())
    print("wrote " + ", ".join(f"{output / part.name} ({part.stat().st_size / 1e3:.0f} kB)" for part in parts[::-1]))
