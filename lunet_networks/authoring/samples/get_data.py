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
    """Make procedural phantoms, MR-like or CT-like volumes or slices with labels (NIfTI, CC0).

    By default one MR-like channel and the labels anterior and posterior. The same arguments give the same files, byte
    for byte, and with more cases the first ones stay the same.

    Args:
        output_dir: the folder to make; it has to be absent or empty.
        num_cases: number of training cases.
        seed: seed of the dataset.
        difficulty: easy, normal or hard.
        shape: largest shape in voxels towards right, anterior and superior, such as 48,64,48, the default; in 2D 64,64.
            Cases are up to a sixth smaller along each axis.
        spacing: spacing of the voxels in mm in the same order, such as 0.8,0.8,4; 1 mm by default.
        num_test: number of further cases, listed with their labels as test cases.
        overwrite: replace a dataset that is there.
        spatial_dims: 3 for volumes, 2 for slices.
        orientation: orientation of the files, such as LPS or PIR; RAS by default, in 2D RA. The anatomy in mm stays the
            same.
        num_labels: 1 for the whole structure, 2 for anterior and posterior, 4 for four parts along it.
        modality: MRI, or CT in Hounsfield units.
        num_channels: 1, or 2 for T1- and T2-weighted MRI, in one file for each case; in 2D in two.
        ignore: label every other training case only in part; the rest of it has the last label, named ignore.
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
    """Download the hippocampus task of the Medical Segmentation Decathlon (27 MB, CC-BY-SA 4.0).

    The archive is verified. Where the dataset is complete already, nothing is done.

    Args:
        output_dir: the folder to make, with dataset.json in it.
        url: address of another copy of Task04_Hippocampus.tar, also file:///...
        md5: MD5 of that copy, where it is another archive.
    """
    folder = Path(str(output_dir))
    if is_complete(folder):
        print(f"the dataset in {folder} is complete: nothing to do")
        return
    fetch_hippocampus(folder, url, md5)
    print(f"the hippocampus task is in {folder}")


def nuclei(output_dir: str, overwrite: bool = False) -> None:
    """Write 16 small pictures of nuclei in fluorescence microscopy and their masks (PNG, CC0).

    They come with this package. The folders are images and masks; four cases are the validation cases.

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
    """Make spectrograms of radio signals, and masks of the boxes that the signals fill (PNG, CC0).

    Each is a grey picture of 256 x 256 pixels: AM, FM, FSK, PSK, OFDM and chirps of varied bandwidth, duration and
    level in varied noise. The same arguments give the same pictures, and with more cases the first ones stay the same.

    Args:
        output_dir: the folder to make; it has to be absent or empty.
        num_cases: number of training cases.
        seed: seed of the dataset.
        num_test: number of further cases, listed as test cases.
        overwrite: replace a dataset that is there.
    """
    _check_whole_numbers(("num_cases", num_cases, 1), ("num_test", num_test, 0), ("seed", seed, 0))
    with staged_dataset(str(output_dir), as_bool("overwrite", overwrite)) as folder:
        write_spectrograms(folder, num_cases, num_test, seed)
    print(f"{num_cases} training and {num_test} test cases in {output_dir}")


def mobilenet_v3_large(output_dir: str, url: str | None = None) -> None:
    """Download torchvision's ImageNet weights of MobileNetV3-Large (22 MB), to start LV-UNet from.

    The training of LV-UNet takes the file as --imagenet_weights PATH. It is verified. A file that is there already is
    kept.

    Args:
        output_dir: the folder for the file.
        url: address of another copy, also file:///..., of a file named mobilenet_v3_large-HASH.pth.
    """
    print(f"the weights are {fetch_imagenet_weights(Path(str(output_dir)), url)}")


def _check_whole_numbers(*settings: tuple[str, object, int]) -> None:
    for name, number, least in settings:
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise ValueError(f"--{name} takes a whole number of at least {least}, not {number!r}")
