"""Datasets to try the bundles with, in the layout of the Medical Segmentation Decathlon."""

from pathlib import Path

import nibabel
import numpy as np
from tqdm import tqdm

from tools.command_line import as_bool, run_commands
from tools.decathlon import fetch_hippocampus, is_complete
from tools.phantom import DIFFICULTIES, make_case
from tools.staging import staged_dataset, write_json


def phantom(
    output_dir: str,
    num_cases: int = 40,
    seed: int = 0,
    difficulty: str = "normal",
    shape: tuple[int, int, int] = (48, 64, 48),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    num_test: int = 0,
    overwrite: bool = False,
) -> None:
    """Make a dataset of procedural phantoms: one MR-like channel, labels anterior and posterior. The same arguments
    give the same files, byte for byte, and more cases leave the first ones as they are.

    Args:
        output_dir: the folder to make; it has to be absent or empty.
        num_cases: training cases.
        seed: of the dataset.
        difficulty: easy, normal or hard.
        shape: the largest shape in voxels, such as 48,64,48; cases are up to a sixth smaller along each axis.
        spacing: of the voxels in mm, such as 1,1,1.
        num_test: further cases, listed with their labels as test cases.
        overwrite: replace a dataset that is there.
    """
    _check_phantom_settings(num_cases, num_test, seed, difficulty, shape, spacing)
    with staged_dataset(str(output_dir), as_bool("overwrite", overwrite)) as folder:
        sections: dict[str, list[dict]] = {"Tr": [], "Ts": []}
        wanted = [(0, "Tr", number) for number in range(num_cases)] + [(1, "Ts", number) for number in range(num_test)]
        for group, suffix, number in tqdm(wanted, desc="phantoms", unit="case"):
            image, label = make_case(seed, group, number, difficulty, shape, spacing)
            name = f"phantom_{suffix.lower()}{number + 1:03d}.nii.gz"
            case = {"image": f"./images{suffix}/{name}", "label": f"./labels{suffix}/{name}"}
            _save(image, spacing, folder / case["image"])
            _save(label, spacing, folder / case["label"])
            sections[suffix].append(case)
        write_json(
            folder / "dataset.json",
            {
                "name": "Phantom",
                "description": "Procedural phantoms: a curved structure with a head and a tail among distractors",
                "reference": "python -m tools.get_data phantom",
                "made_with": {"seed": seed, "difficulty": difficulty, "shape": shape, "spacing": spacing},
                "licence": "CC0-1.0",
                "release": "1.0",
                "tensorImageSize": "3D",
                "modality": {"0": "MRI"},
                "labels": {"0": "background", "1": "anterior", "2": "posterior"},
                "numTraining": num_cases,
                "numTest": num_test,
                "training": sections["Tr"],
                "test": sections["Ts"],
            },
        )
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


def _check_phantom_settings(
    num_cases: int, num_test: int, seed: int, difficulty: str, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    for name, number, least in (("num_cases", num_cases, 1), ("num_test", num_test, 0), ("seed", seed, 0)):
        if not isinstance(number, int) or number < least:
            raise ValueError(f"--{name} is a whole number from {least} on, not {number!r}")
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"--difficulty is one of {', '.join(DIFFICULTIES)}, not {difficulty!r}")
    if not _three(shape) or not all(isinstance(side, int) and side >= 16 for side in shape):
        raise ValueError(f"--shape is three numbers of voxels from 16 on, such as 48,64,48, not {shape!r}")
    if not _three(spacing) or not all(isinstance(step, (int, float)) and step > 0 for step in spacing):
        raise ValueError(f"--spacing is three lengths in mm, such as 1,1,1, not {spacing!r}")


def _three(values: object) -> bool:
    return isinstance(values, (tuple, list)) and len(values) == 3


def _save(voxels: np.ndarray, spacing: tuple[float, ...], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)


if __name__ == "__main__":
    run_commands(phantom, hippocampus)
