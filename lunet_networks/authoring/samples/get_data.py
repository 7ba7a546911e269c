"""Datasets to try the bundles with, in the layout of the Medical Segmentation Decathlon, and ImageNet weights."""

import shutil
from pathlib import Path

from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.samples.decathlon import fetch_hippocampus, is_complete
from lunet_networks.authoring.samples.imagenet import fetch_imagenet_weights
from lunet_networks.authoring.samples.phantom_dataset import write_phantoms
from lunet_networks.authoring.samples.phantom_settings import PhantomSettings
from lunet_networks.authoring.samples.rf_spectrograms import write_spectrograms
from lunet_networks.authoring.staging import staged_dataset

NUCLEI = Path(__file__).parent / "nuclei"


def phantom(
    output_dir: str,
    num_cases: int = 40,
    seed: int = 0,
    difficulty: str = "normal",
    shape: tuple[int, ...] | None = None,
    spacing: tuple[float, ...] | None = None,
    num_test: int = 0,
    overwrite: bool = False,
    spatial_dims: int = 3,
    orientation: str | None = None,
    num_labels: int = 2,
    modality: str = "MRI",
    num_channels: int = 1,
    ignore: bool = False,
) -> None:
    """Make a dataset of procedural phantoms: one MR-like channel, labels anterior and posterior, or what the options
    ask for. The same arguments give the same files, byte for byte, and more cases leave the first ones as they are.

    Args:
        output_dir: the folder to make; it has to be absent or empty.
        num_cases: training cases.
        seed: of the dataset.
        difficulty: easy, normal or hard.
        shape: the largest shape in voxels, such as 48,64,48 (the default; in 2D 64,64), towards right, anterior and
            superior; cases are up to a sixth smaller along each axis.
        spacing: of the voxels in mm in the same order, such as 0.8,0.8,4; 1 mm by default.
        num_test: further cases, listed with their labels as test cases.
        overwrite: replace a dataset that is there.
        spatial_dims: 3 for volumes, 2 for slices.
        orientation: to where the axes of the stored voxels run, such as LPS or PIR; RAS by default, in 2D RA. What
            lies where in mm stays the same.
        num_labels: 1 for the whole structure, 2 for anterior and posterior, 4 for four parts along it.
        modality: MRI, or CT in Hounsfield units.
        num_channels: 1, or 2 for T1- and T2-weighted MRI, in one file a case; in 2D in two.
        ignore: label every other training case in part only; the rest of it has the last label, named ignore.
    """
    settings = PhantomSettings(
        seed=seed,
        difficulty=difficulty,
        spatial_dims=spatial_dims,
        shape=shape,
        spacing=spacing,
        orientation=orientation,
        num_labels=num_labels,
        modality=modality,
        num_channels=num_channels,
        ignore=as_bool("ignore", ignore),
    )
    _check_whole_numbers(("num_cases", num_cases, 1), ("num_test", num_test, 0))
    with staged_dataset(str(output_dir), as_bool("overwrite", overwrite)) as folder:
        write_phantoms(settings, folder, num_cases, num_test)
    print(f"{num_cases} training and {num_test} test cases in {output_dir}")


def hippocampus(output_dir: str, url: str | None = None, md5: str | None = None) -> None:
    """Fetch the hippocampus task of the Medical Segmentation Decathlon (27 MB, CC-BY-SA 4.0), verified. Run again, it
    finds that all is there.

    Args:
        output_dir: the folder to make; dataset.json will lie in it.
        url: of another copy of Task04_Hippocampus.tar, also file:///...
        md5: of that copy, where it is not the same archive.
    """
    folder = Path(str(output_dir))  # fire reads a folder named 2026 as a number
    if is_complete(folder):
        print(f"{folder} is complete: nothing to do")
        return
    fetch_hippocampus(folder, url, md5)
    print(f"the hippocampus task is in {folder}")


def nuclei(output_dir: str, overwrite: bool = False) -> None:
    """Write 16 small pictures of nuclei in fluorescence microscopy and their masks (PNG, CC0), as folders images and
    masks; the lowest row of the field that they were cut from validates. They come with this repository.

    Args:
        output_dir: the folder to make; it has to be absent or empty.
        overwrite: replace a dataset that is there.
    """
    with staged_dataset(str(output_dir), as_bool("overwrite", overwrite)) as folder:
        shutil.copytree(NUCLEI, folder, dirs_exist_ok=True)
    print(f"12 training and 4 validation cases in {output_dir}")


def rf_spectrograms(
    output_dir: str, num_cases: int = 100, seed: int = 0, num_test: int = 0, overwrite: bool = False
) -> None:
    """Make spectrograms (PNG, grey, 256 x 256) of a wide radio band in which AM, FM, FSK, PSK, OFDM and chirps of
    varied bandwidth, duration and level come and go in varied noise, and masks of the boxes that they fill. The same
    arguments give the same pictures, and more cases leave the first ones as they are.

    Args:
        output_dir: the folder to make; it has to be absent or empty.
        num_cases: training cases.
        seed: of the dataset.
        num_test: further cases, listed as test cases.
        overwrite: replace a dataset that is there.
    """
    _check_whole_numbers(("num_cases", num_cases, 1), ("num_test", num_test, 0), ("seed", seed, 0))
    with staged_dataset(str(output_dir), as_bool("overwrite", overwrite)) as folder:
        write_spectrograms(folder, num_cases, num_test, seed)
    print(f"{num_cases} training and {num_test} test cases in {output_dir}")


def mobilenet_v3_large(output_dir: str, url: str | None = None) -> None:
    """Fetch torchvision's ImageNet weights of MobileNetV3-Large (22 MB), from which a training of LV-UNet may start:
    --imagenet_weights PATH. They are verified; run again, the command finds the file.

    Args:
        output_dir: the folder to put it into.
        url: of another copy, also file:///...; its name is mobilenet_v3_large-HASH.pth.
    """
    print(f"the weights are {fetch_imagenet_weights(Path(str(output_dir)), url)}")


def _check_whole_numbers(*settings: tuple[str, object, int]) -> None:
    for name, number, least in settings:
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise ValueError(f"--{name} is a whole number from {least} on, not {number!r}")
