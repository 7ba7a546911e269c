"""The datasets of the study: where they are, their terms, and how their cases are divided."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.data import partition_dataset
from PIL import Image

from lunet_networks.authoring.planning.make_datalist import make_datalist
from lunet_networks.authoring.staging import write_json
from lunet_networks.bundle.data.datalist import FOLD_SEED
from lunet_networks.bundle.runtime.checks import choose

FOLDS = 5
IMAGES = ("imagesTr", "labelsTr", "images", "masks")  # the folders of a dataset
SAME_IMAGES = {"patient076": "patient074"}  # patients with the same images in ACDC


def patient(case: str) -> str:
    """The patient of a frame of the heart.

    Example:
        >>> patient("patient002_frame01"), patient("patient076_frame02")
        ('patient002', 'patient074')
    """
    name = case.split("_")[0]
    return SAME_IMAGES.get(name, name)


@dataclass(frozen=True)
class Dataset:
    """A dataset of the study.

    Args:
        folder: in the folder of all data.
        title: in words.
        label_names: of the values 1, 2 ...
        spatial_dims: of its images.
        modality: of its images.
        licence: its terms; None: none were found, so that neither images nor weights are passed on.
        weights_may_go: whether the terms let trained weights be passed on.
        group: of a case's name: cases of the same group stay in one fold.
        splits: file in ``folder`` with published splits, which then take the place of folds.
        published: IoU and Dice of other networks over these splits.
        as_grey: whether some of the pictures are in colour, which a bundle does not mix with grey ones: then grey
            copies are used.
        settings: that all networks are trained with on it, where those of the bundles differ.
    """

    folder: str
    title: str
    label_names: tuple[str, ...]
    spatial_dims: int
    modality: str
    licence: str | None
    weights_may_go: bool = False
    group: Callable[[str], str] | None = None
    splits: str | None = None
    published: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    as_grey: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The title as a heading begins with it."""
        return f"{self.title[0].upper()}{self.title[1:]}"

    @property
    def parts(self) -> list[str]:
        """Names of its folds or splits."""
        return [f"split{number}" for number in (1, 2, 3)] if self.splits else [f"fold{fold}" for fold in range(FOLDS)]


# What a bundle plans by the memory that its network takes is set here, so that all networks are trained alike.
SETTINGS_HEART = {"batch_size": 4, "roi_size": [256, 256, 16]}  # nnU-Net's plan for the heart halves an axis five times
SETTINGS_PICTURES = {"batch_size": 8, "roi_size": [256, 256]}  # as most networks for pictures are published

DATASETS = {
    "hippocampus": Dataset(
        "Task04_Hippocampus",
        "hippocampus (Medical Segmentation Decathlon Task04, MR)",
        ("anterior", "posterior"),
        3,
        "MRI",
        "CC-BY-SA 4.0",
        weights_may_go=True,
    ),
    "heart": Dataset(
        "heart_acdc",
        "heart (ACDC, cine MR)",
        ("right_ventricle", "myocardium", "left_ventricle"),
        3,
        "MRI",
        "CC BY-NC-SA 4.0",
        group=patient,
        settings=SETTINGS_HEART,
    ),
    "nuclei": Dataset(
        "nuclei_dsb2018",
        "nuclei (DSB 2018, microscopy)",
        ("nucleus",),
        2,
        "microscopy",
        "CC0",
        weights_may_go=True,
        as_grey=True,
        settings=SETTINGS_PICTURES,
    ),
    "polyps": Dataset(
        "polyps_kvasir", "polyps (Kvasir-SEG, endoscopy)", ("polyp",), 2, "endoscopy", None, settings=SETTINGS_PICTURES
    ),
    "lesions": Dataset(
        "lesions_isic2018", "skin lesions (ISIC 2018)", ("lesion",), 2, "dermoscopy", None, settings=SETTINGS_PICTURES
    ),
    "ultrasound": Dataset(
        "ultrasound_busi",
        "breast ultrasound (BUSI)",
        ("tumour",),
        2,
        "ultrasound",
        None,
        splits="splits.json",
        settings=SETTINGS_PICTURES,
        published={  # Medical-Image-Segmentation-Benchmarks
            "U-Net": (0.686, 0.770),
            "UNeXt": (0.650, 0.742),
            "CMUNeXt": (0.716, 0.799),
            "Mobile U-ViT": (0.729, 0.812),
        },
    ),
}


def stage(dataset: Dataset, part: str, data_dir: Path, work_dir: Path) -> tuple[Path, int]:
    """A folder with a dataset.json for a fold or a split, made if need be; the images stay where they are.

    Args:
        dataset: whose.
        part: one of its parts.
        data_dir: the folder of all data.
        work_dir: where the folder is made.

    Returns:
        The folder, and the ``fold`` to give to a bundle.

    Raises:
        FileNotFoundError: if the dataset is not in ``data_dir``.
        ValueError: if it has no such part.
    """
    choose("part", part, dict.fromkeys(dataset.parts))
    source = (data_dir / dataset.folder).resolve()
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not there: give the folder of all datasets with --data_dir")
    number = dataset.parts.index(part)
    listed = not (dataset.group or dataset.splits)
    fold = number if listed else 0  # otherwise the part is written into dataset.json
    if (source / "dataset.json").is_file() and listed:
        return source, fold
    target = work_dir / (dataset.folder if listed else f"{dataset.folder}-{part}")
    if not (target / "dataset.json").is_file():
        shutil.rmtree(target, ignore_errors=True)  # of a command that was stopped
        _write(dataset, number, source, target)
    return target, fold


def _write(dataset: Dataset, number: int, source: Path, target: Path) -> None:
    begun = target.with_name(f".{target.name}")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    for name in IMAGES:
        if (source / name).is_dir():
            _place(source / name, begun / name, as_grey=dataset.as_grey and name == "images")
    make_datalist(str(begun), dataset.label_names, dataset.modality)
    path = begun / "dataset.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    cases = {case_name(case): case for case in description["training"]}
    if dataset.splits:
        published = json.loads((source / dataset.splits).read_text(encoding="utf-8"))[dataset.parts[number]]
        description |= {section: [cases[name] for name in published[section]] for section in published}
    elif dataset.group:
        held_out = set(fold_of_groups([*cases], dataset.group, number))
        description["validation"] = [cases[name] for name in cases if name in held_out]
        description["training"] = [cases[name] for name in cases if name not in held_out]
    write_json(path, {**description, "name": dataset.title, "numTraining": len(description["training"])})
    begun.rename(target)


def _place(source: Path, target: Path, as_grey: bool) -> None:
    """A link to a folder, or grey copies of its pictures."""
    if not as_grey:
        target.symlink_to(source)
        return
    target.mkdir()
    for path in sorted(source.iterdir()):
        with Image.open(path) as picture:
            picture.convert("L").save(target / f"{path.stem}.png")


def case_name(case: Mapping[str, str]) -> str:
    """The name of a case of dataset.json.

    Example:
        >>> case_name({"image": "./imagesTr/patient002_frame01.nii.gz"})
        'patient002_frame01'
    """
    return Path(case["image"]).name.split(".")[0]


def fold_of_groups(cases: Sequence[str], group: Callable[[str], str], fold: int) -> list[str]:
    """The cases of a fold when all cases of a group go into the same one.

    Example:
        >>> frames = [f"patient{number:03}_frame0{frame}" for number in range(10) for frame in (1, 2)]
        >>> fold_of_groups(frames, patient, 0)
        ['patient002_frame01', 'patient002_frame02', 'patient008_frame01', 'patient008_frame02']
    """
    groups = sorted({group(case) for case in cases})
    held_out = partition_dataset(groups, num_partitions=FOLDS, shuffle=True, seed=FOLD_SEED)[fold]
    return [case for case in cases if group(case) in held_out]
