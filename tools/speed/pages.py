"""The page of a bundle, the bundle itself and onnxruntime-web in the page label the same images in turns."""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lunet_networks.authoring.checking.bundle import INFERENCE, Bundle
from lunet_networks.authoring.exporting.trained_network import TrainedNetwork
from lunet_networks.authoring.web_page.trial import bundle_labeller, different_voxels, label_in_chromium, run_in_node
from lunet_networks.bundle.inference.exported import export_network

__all__ = ["CHROMIUM", "PAGE", "PYTHON", "RUNTIME", "Images", "compare_page"]

PYTHON, PAGE, CHROMIUM, RUNTIME = "Python", "page", "Chromium", "onnxruntime-web"
ENGINE = Path(__file__).with_name("onnxruntime_web.mjs")

Images = Sequence[Sequence[Path]]  # files of the channels of each
Label = Callable[[Images], Sequence[float]]  # labels images and returns the processor seconds of each


def compare_page(
    source: Bundle,
    trained: TrainedNetwork,
    page: Path,
    images: Images,
    rounds: int,
    in_chromium: bool,
    onnxruntime_web: Path | None,
) -> dict[str, Any]:
    """Label images and compare.

    Args:
        source: the bundle.
        trained: its network.
        page: its page, in a folder that other files may be written to.
        images: to label.
        rounds: visits to each labeller.
        in_chromium: whether Chromium labels, too, once.
        onnxruntime_web: folder of the npm package, if it labels, too.

    Returns:
        How many images and voxels; voxels that differ from Python's, by labeller; mean processor seconds of an image
        in each round, by labeller.
    """
    outputs = {name: page.with_name(name) for name in (PYTHON, PAGE, RUNTIME, CHROMIUM)}
    for folder in outputs.values():
        folder.mkdir()
    labellers = {PYTHON: _by_python(source, trained, outputs[PYTHON]), PAGE: _in_node(page, outputs[PAGE])}
    if onnxruntime_web is not None:
        onnx = page.with_suffix(".onnx")
        export_network(trained.network, onnx, "onnx", (1, trained.in_channels, *trained.roi_size))
        labellers[RUNTIME] = _in_node(page, outputs[RUNTIME], (ENGINE, onnxruntime_web, onnx))
    seconds: dict[str, list[float]] = {name: [] for name in labellers}
    for _ in range(rounds):
        for name, label in labellers.items():
            seconds[name].append(_mean_seconds(label, images))
    others = [name for name in labellers if name != PYTHON]
    if in_chromium:
        label_in_chromium(page, images, outputs[CHROMIUM])
        others.append(CHROMIUM)
    maps = sorted(outputs[PYTHON].iterdir())
    pairs = {name: [different_voxels(path, outputs[name] / path.name) for path in maps] for name in others}
    return {
        "images": len(maps),
        "voxels": sum(voxels for _, voxels in pairs[PAGE]),
        "different": {name: sum(different for different, _ in each) for name, each in pairs.items()},
        "seconds": seconds,
    }


def _mean_seconds(label: Label, images: Images) -> float:
    """Of an image; the first one is labelled before, without being counted."""
    return round(statistics.fmean(label([images[0], *images])[1:]), 4)


def _by_python(source: Bundle, trained: TrainedNetwork, output: Path) -> Label:
    one = bundle_labeller(source.parser(INFERENCE), source.root, trained.network, output)

    def label(images: Images) -> list[float]:
        seconds = []
        with contextlib.redirect_stdout(sys.stderr):  # MONAI names each file that it writes
            for files in images:
                before = time.process_time()
                one(files)
                seconds.append(time.process_time() - before)
        return seconds

    return label


def _in_node(page: Path, output: Path, engine: Sequence[str | Path] = ()) -> Label:
    return lambda images: [each.seconds for each in run_in_node(page, images, output, engine)]
