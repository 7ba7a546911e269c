"""A page tried before it is handed on: made-up images are labelled by the page and by the bundle, and compared."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser
from scipy import ndimage
from torch import nn

from lunet_networks.authoring.web_page import SOURCES
from lunet_networks.authoring.web_page.chromium import chromium_command, opened_page
from lunet_networks.authoring.web_page.page import PageContent
from lunet_networks.authoring.web_page.reference import run_plan

__all__ = [
    "MOST_DIFFERENT",
    "Labelled",
    "Trial",
    "bundle_labeller",
    "different_voxels",
    "label_by_bundle",
    "label_in_chromium",
    "label_in_node",
    "run_in_node",
    "try_page",
    "voxels_of",
]

MOST_DIFFERENT = (
    1e-4  # of the voxels, or of the largest logit: what rounding may do to labels that are equally probable
)
TURNED = np.array([[0, -1.5, 0.2, 40], [1.1, 0, 0, -12], [0.1, 0, 1.3, 7], [0, 0, 0, 1.0]])  # an oblique image
Images = Sequence[Sequence[Path]]  # a file for each channel, or one
Labeller = Callable[[Path, Images, Path], list[Path]]


class Labelled(NamedTuple):
    """The label map of an image.

    Args:
        path: of its file.
        seconds: of the processor, from reading the image to writing its labels.
    """

    path: Path
    seconds: float


@dataclass(frozen=True)
class Trial:
    """How a page compares with its bundle.

    Args:
        where: what ran the page.
        text: the comparison in words.
        share: of the voxels that differ, or the difference of the logits as a share of the largest.
    """

    where: str
    text: str
    share: float


def try_page(page: Path, content: PageContent, parser: ConfigParser, root: Path, network: nn.Module) -> Trial:
    """Label made-up images by the page and by the bundle. The page runs in node, or in Chromium where there is no
    node; where there is neither, its plan runs in PyTorch on one window.

    Args:
        page: the file.
        content: of the page.
        parser: of inference.json with the preset of the network; paths and device in it are changed.
        root: the bundle's folder.
        network: with its weights.

    Raises:
        RuntimeError: if the page does not label an image.
    """
    if shutil.which("node"):
        return _compared(page, content, parser, root, network, "node", label_in_node)
    if chromium_command():
        return _compared(page, content, parser, root, network, "Chromium", label_in_chromium)
    model = content.model
    shape = (model["channels"], *model["roi"][: model["dims"]])
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = network(image[None])[0].numpy()
    found = run_plan(content.plan, content.weights, image.numpy()).reshape(logits.shape)
    share = float(np.abs(found - logits).max() / max(np.abs(logits).max(), 1e-6))
    return Trial("Python, by its plan", f"logits differ by {share:.1e} of the largest", share)


def label_by_bundle(parser: ConfigParser, root: Path, network: nn.Module, images: Images, output: Path) -> list[Path]:
    """The label maps of images by the bundle's own inference, on the CPU.

    Args:
        parser: of inference.json; paths and device in it are changed.
        root: the bundle's folder.
        network: with its weights.
        images: a list of files for each.
        output: folder of the label maps.
    """
    label = bundle_labeller(parser, root, network, output)
    for files in images:
        label(files)
    return sorted(output.iterdir())


def bundle_labeller(
    parser: ConfigParser, root: Path, network: nn.Module, output: Path
) -> Callable[[Sequence[Path]], None]:
    """A function that labels an image as :py:func:`label_by_bundle` does. It takes the files of its channels, or one.

    Args:
        parser: of inference.json; paths and device in it are changed.
        root: the bundle's folder.
        network: with its weights.
        output: folder of the label maps.
    """
    parser["bundle_root"], parser["output_dir"], parser["device"] = str(root), str(output), "cpu"
    parser["backend"] = "eager"
    preprocessing, inferer, postprocessing = (
        parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing")
    )
    network = network.eval()

    def label(files: Sequence[Path]) -> None:
        paths = [str(path) for path in files]
        item = preprocessing({"image": paths if len(paths) > 1 else paths[0]})
        with torch.no_grad():
            logits = inferer(item["image"][None], network)
        item["pred"] = logits[0]
        postprocessing(item)

    return label


def label_in_node(page: Path, images: Images, output: Path) -> list[Path]:
    """The label maps of images by a page in node.

    Raises:
        RuntimeError: if an image is not labelled.
    """
    return [each.path for each in run_in_node(page, images, output)]


def run_in_node(page: Path, images: Images, output: Path, engine: Sequence[str | Path] = ()) -> list[Labelled]:
    """The label maps of images by a page in node, and how long each took.

    Args:
        page: the file.
        images: a list of files for each.
        output: folder of the label maps.
        engine: a module that computes logits instead of the page's engine, and what its ``createEngine`` takes.

    Raises:
        RuntimeError: if an image is not labelled.
    """
    jobs = output / "jobs.json"
    jobs.write_text(json.dumps([{"files": list(map(str, files)), "output": str(output)} for files in images]))
    command = ["node", str(SOURCES / "trial.mjs"), str(page), str(jobs), *map(str, engine)]
    done = subprocess.run(command, capture_output=True, text=True)
    jobs.unlink()
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    faults = [answer["error"] for answer in answers if "error" in answer]
    if done.returncode or faults or len(answers) < len(images):
        raise RuntimeError("; ".join(faults) or done.stderr.strip().rpartition("\n")[2] or "node ended early")
    return [Labelled(Path(answer["file"]), answer["seconds"]) for answer in answers]


def label_in_chromium(page: Path, images: Images, output: Path) -> list[Path]:
    """The label maps of images by a page in Chromium, chosen and saved as a person does it.

    Raises:
        RuntimeError: if an image is not labelled.
    """
    written = []
    with opened_page(page.resolve().as_uri()) as browser:
        for files in images:
            browser.evaluate("document.body.dataset.state = 'waiting'")
            browser.choose_files("#file", files)
            browser.wait_for("['done', 'failed'].includes(document.body.dataset.state)", 1200)
            said = browser.evaluate("document.getElementById('state').textContent")
            if browser.evaluate("document.body.dataset.state") == "failed":
                raise RuntimeError(said)
            before = set(browser.downloads.iterdir())
            browser.evaluate("document.getElementById('save').click()")
            browser.wait_for_download(before)
            (new,) = set(browser.downloads.iterdir()) - before
            written.append(output / new.name)
            shutil.move(new, written[-1])
    return written


def different_voxels(first: Path, second: Path) -> tuple[int, int]:
    """How many voxels of two label maps differ, and how many there are.

    Raises:
        RuntimeError: if their sizes differ.
    """
    a, b = (voxels_of(path) for path in (first, second))
    if a.shape != b.shape:
        raise RuntimeError(f"{first.name} is {a.shape} in one and {b.shape} in the other")
    return int((a != b).sum()), a.size


def voxels_of(path: Path) -> np.ndarray:
    """The labels in a file, NIfTI or PNG."""
    if path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as picture:
            return np.asarray(picture)
    return np.asanyarray(nib.load(path).dataobj)


def _compared(
    page: Path,
    content: PageContent,
    parser: ConfigParser,
    root: Path,
    network: nn.Module,
    where: str,
    label: Labeller,
) -> Trial:
    with tempfile.TemporaryDirectory() as folder:
        images, by_bundle, by_page = (Path(folder, name) for name in ("images", "bundle", "page"))
        for path in (images, by_bundle, by_page):
            path.mkdir()
        cases = list(_made_up(content.model, images))
        theirs = label_by_bundle(parser, root, network, cases, by_bundle)
        ours = {path.name: path for path in label(page, cases, by_page)}
        pairs = [different_voxels(path, ours[path.name]) for path in theirs]
    different, voxels = (sum(each) for each in zip(*pairs, strict=True))
    text = f"{different} of {voxels} voxels of {len(pairs)} made-up images differ"
    return Trial(where, text, different / voxels)


def _made_up(model: dict[str, Any], folder: Path) -> list[list[Path]]:
    """Three images of smooth noise: one that a window holds, one that takes several windows and one that is turned."""
    random = np.random.default_rng(0)
    roi, as_picture = model["roi"], model["dims"] == 2 and model["channels"] in (1, 3)
    sizes = [[max(3, side - 5) for side in roi], [side + side // 3 for side in roi], [side - 1 for side in roi]]
    affines = [np.diag([*model["pixdim"], 1.0]), np.diag([-1.2, 0.9, 1.1, 1.0]), TURNED]
    cases = []
    for number, (size, affine) in enumerate(zip(sizes, affines, strict=True)):
        channels = [_noise(random, size[: model["dims"]], each) for each in model["normalisation"]]
        name = f"case_{number}"
        if as_picture:
            cases.append([_picture(channels, folder / f"{name}.png")])
        else:
            scaled = affine * np.array([*model["pixdim"], 1.0])
            names = [name] if len(channels) == 1 else [f"{name}_{number:04d}" for number in range(len(channels))]
            volumes = zip(channels, names, strict=True)
            cases.append([_volume(each, scaled, folder / f"{file}.nii.gz") for each, file in volumes])
    return cases


def _noise(random: np.random.Generator, size: Sequence[int], normalisation: dict[str, Any]) -> np.ndarray:
    low, high = {
        "range": lambda: normalisation["from"],
        "clipped": lambda: (normalisation["lower"], normalisation["upper"]),
        "fixed": lambda: (
            normalisation["subtrahend"] - 2 * normalisation["divisor"],
            normalisation["subtrahend"] + 2 * normalisation["divisor"],
        ),
    }.get(normalisation["kind"], lambda: (0.0, 1000.0))()
    smooth = ndimage.gaussian_filter(random.standard_normal(size), 2.0)
    share = (smooth - smooth.min()) / np.ptp(smooth)
    return np.where(share < 0.1, 0.0, low + (1.2 * share - 0.1) * (high - low)).astype(np.float32)


def _volume(voxels: np.ndarray, affine: np.ndarray, path: Path) -> Path:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def _picture(channels: Sequence[np.ndarray], path: Path) -> Path:
    from PIL import Image

    pixels = np.stack([each.T for each in channels], axis=-1)
    pixels = (255 * (pixels - pixels.min()) / np.ptp(pixels)).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if len(channels) == 1 else pixels).save(path)
    return path
