"""Write the table of docs/export.md: what a bundle's exports give and cost beside PyTorch."""

import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from torch import nn
from torch.utils.benchmark import set_torch_threads

from lunet_networks.authoring.checking.bundle import INFERENCE, Bundle
from lunet_networks.authoring.command_line import run_commands
from lunet_networks.authoring.exporting.quantisation import BundleData, quantise
from lunet_networks.authoring.exporting.trained_network import export_checked, trained_network, try_export
from lunet_networks.authoring.literals import literal
from lunet_networks.bundle.inference.exported import load_exported
from lunet_networks.bundle.inference.formats import EXPORT_FILES
from lunet_networks.bundle.runtime.checks import check_whole_number
from tools import ROOT
from tools.speed.contest import Contest, Run
from tools.speed.setup import Setup, describe_setup, machine_text, times_text
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.make_export_table"
NAME = "exports"
FORMATS = ("torchscript", "onnx", "openvino")
BUNDLES = ("lunet_small", "unet_small")
TITLES = (
    "backend",
    "kB",
    "logits differ by, of the largest",
    "voxels labelled otherwise",
    "Dice",
    "ms",
    "share of eager's time",
)


@dataclass(frozen=True)
class Figures:
    """What was measured for a bundle, by backend. Eager mode itself has no file and no difference.

    Args:
        kilobytes: of the files.
        difference: largest of the logits, as a share of the largest logit.
        voxels: of ``volumes`` that get another label than in eager mode.
        volumes: number of them, and of their voxels.
        dice: mean over the validation cases by label.
        milliseconds: for a patch, medians of the rounds.
    """

    kilobytes: Mapping[str, float]
    difference: Mapping[str, float]
    voxels: Mapping[str, int]
    volumes: tuple[int, int]
    dice: Mapping[str, Mapping[str, float]]
    milliseconds: Mapping[str, float]


def make_export_table(
    dataset_dir: str,
    bundles: str | Sequence[str] = BUNDLES,
    num_volumes: int = 10,
    rounds: int = 5,
    num_threads: int | None = None,
    document: str = str(ROOT / "docs" / "export.md"),
) -> None:
    """Export bundles in every format and to int8, run them, and write what came out into a document.

    Args:
        dataset_dir: that the bundles were trained on.
        bundles: names of trained bundles of the repository.
        num_volumes: validation volumes that are labelled with every backend.
        rounds: timed visits to every backend, each of which has its own process.
        num_threads: of the CPU; by default as many as there are cores.
        document: Markdown file with the marks of the table.
    """
    num_threads = os.cpu_count() if num_threads is None else num_threads
    for option, number in {"--rounds": rounds, "--num_threads": num_threads, "--num_volumes": num_volumes}.items():
        check_whole_number(option, number, least=1)
    names = bundles.split(",") if isinstance(bundles, str) else bundles
    setup, parts = describe_setup(num_threads, rounds), []
    for name in names:
        source = Bundle(ROOT / "bundles" / name)
        data = BundleData(source, str(dataset_dir))
        with tempfile.TemporaryDirectory() as folder, set_torch_threads(num_threads):
            figures = measure(source, data, Path(folder), data.validation[:num_volumes], setup)
        cases, roi = len(data.validation), " x ".join(map(str, trained_network(source, None, None).roi_size))
        labels = ", ".join(data.label_names)
        parts.append(f"`{source.configs[INFERENCE]['preset']}`, Dice of {labels} over {cases} cases, ms for {roi}:")
        parts.append(table(figures))
        parts.append(
            f"Labels were compared with eager's in {figures.volumes[0]} validation volumes of {figures.volumes[1]:,} "
            "voxels in all."
        )
    parts.append(
        f"Logits were compared on noise of three shapes. Times of one volume were measured {times_text(setup)}, with "
        f"{machine_text(setup)}, nncf {version('nncf')}."
    )
    write_between_marks(str(document), NAME, COMMAND, "\n\n".join(parts))


def measure(
    source: Bundle, data: BundleData, folder: Path, cases: Sequence[Mapping[str, str]], setup: Setup
) -> Figures:
    """Export a bundle in every form to a folder and run all of them.

    Args:
        source: the bundle.
        data: of its training.
        folder: to write to.
        cases: to label.
        setup: threads and rounds of the times.
    """
    trained = trained_network(source, None, None)
    difference = {backend: export_checked(source, trained, folder, backend) for backend in FORMATS}
    quantise(trained, data, folder, folder, num_samples=100, max_dice_loss=1)
    backends = (*FORMATS, "openvino_int8")
    difference["openvino_int8"] = try_export(trained, folder / EXPORT_FILES["openvino_int8"], "openvino_int8")
    networks: dict[str, nn.Module] = {"eager": trained.network}
    networks |= {backend: load_exported(folder / EXPORT_FILES[backend], backend) for backend in backends}
    labels = {backend: label_maps(source, cases, folder, backend) for backend in networks}
    with Contest([Backend(source.root, backend, folder, setup["num_threads"]) for backend in networks]) as contest:
        seconds = contest.rounds(setup["rounds"])
    return Figures(
        {backend: kilobytes(folder / EXPORT_FILES[backend]) for backend in backends},
        difference,
        {
            backend: sum(int(np.count_nonzero(a != b)) for a, b in zip(maps, labels["eager"], strict=True))
            for backend, maps in labels.items()
        },
        (len(cases), sum(label.size for label in labels["eager"])),
        {backend: data.dice(network, f"Dice {backend}") for backend, network in networks.items()},
        {backend: 1e3 * statistics.median(each) for backend, each in zip(networks, seconds, strict=True)},
    )


@dataclass(frozen=True)
class Backend:
    """A bundle's network for a contest, by PyTorch or exported.

    Args:
        bundle: its folder.
        backend: that computes.
        folder: of the exported files.
        num_threads: of the CPU.
    """

    bundle: Path
    backend: str
    folder: Path
    num_threads: int

    def __str__(self) -> str:
        return f"{self.bundle.name}, {self.backend},"

    def prepare(self) -> Run:
        """What is timed: one patch."""
        torch.set_grad_enabled(False)
        trained = trained_network(Bundle(self.bundle), None, None)
        image = torch.randn(1, trained.in_channels, *trained.roi_size)
        if self.backend == "eager":
            return partial(trained.network, image)
        return partial(load_exported(self.folder / EXPORT_FILES[self.backend], self.backend), image)


def label_maps(source: Bundle, cases: Sequence[Mapping[str, str]], folder: Path, backend: str) -> list[np.ndarray]:
    """What inference.json writes for the images of cases."""
    workflow = ConfigWorkflow(
        str(source.root / INFERENCE),
        logging_file=False,
        workflow_type="inference",
        bundle_root=literal(source.root),
        ckpt_dir=literal(source.root / "models" if backend == "eager" else folder),
        dataset_dir=literal([case["image"] for case in cases]),
        output_dir=str(folder / f"labels_{backend}"),
        device="cpu",
        backend=backend,
    )
    workflow.initialize()
    workflow.run()
    return [np.asarray(nib.load(path).dataobj) for path in sorted((folder / f"labels_{backend}").glob("*.nii.gz"))]


def kilobytes(path: Path) -> float:
    """Of a file, with the weights that stand beside OpenVINO's."""
    weights = path.with_suffix(".bin") if path.suffix == ".xml" else None
    return sum(part.stat().st_size for part in (path, weights) if part is not None) / 1e3


def table(figures: Figures) -> str:
    """In Markdown, a row a backend."""
    lines = [f"| {' | '.join(TITLES)} |", "|---" * len(TITLES) + "|"]
    for backend, milliseconds in figures.milliseconds.items():
        exported = backend in figures.kilobytes
        cells = (
            f"`{backend}`",
            f"{figures.kilobytes[backend]:.0f}" if exported else "",
            f"{figures.difference[backend]:.0e}" if exported else "",
            f"{figures.voxels[backend]:,}" if exported else "",
            ", ".join(f"{dice:.4f}" for dice in figures.dice[backend].values()),
            f"{milliseconds:.1f}",
            f"{milliseconds / figures.milliseconds['eager']:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_commands(make_export_table)
