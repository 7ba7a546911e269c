"""The rules by which a dataset's fingerprint decides the settings of a bundle; docs/new_bundle.md tells them in words.

Most are those of nnU-Net (Isensee et al., Nature Methods 18, 2021, supplementary note 2), the field's measure. Where
they differ it is because the networks are given here: depth and kernels are not adapted to the data.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lunet_networks.authoring.planning.families import FAMILIES, Family
from lunet_networks.authoring.planning.fingerprint import Fingerprint, by_axis
from lunet_networks.authoring.planning.normalisation import plan_normalisation
from lunet_networks.authoring.planning.patch_size import GIB, LEAST_BATCH, Patch, choose_patch, keep_patch
from lunet_networks.authoring.planning.sides import Sides, find_sides
from lunet_networks.authoring.planning.training_memory import estimate_training_memory
from lunet_networks.bundle.data.labels import count_outputs
from lunet_networks.bundle.data.picture_files import COLOURS
from lunet_networks.nets.network import Network
from lunet_networks.presets import network_without_weights

ANISOTROPIC = 3  # nnU-Net: one spacing is this many times another
FOLDS = 5
TRAINING_SHARE = 0.8  # of the cases is trained on, with five folds
STEPS = 5  # an epoch has at least so many; nnU-Net: a batch has at most a twentieth of the voxels of all cases
SPECTROGRAM = re.compile("spectrogram", re.IGNORECASE)
TO_MIRROR = "names of the labels in dataset.json, augmentation in configs/train.json, training --augment False"


@dataclass(frozen=True)
class Decision:
    """One setting of a bundle in words: what was chosen, why, and how to change it."""

    setting: str
    value: str
    why: str
    change: str


COLOUR_CHANNELS = Decision(
    "in_channels", "3", "published: red, green, blue; grey pictures are read as three equal channels", "another family"
)


@dataclass(frozen=True)
class Plan:
    """The decisions, and their values for ``lunet_networks.authoring.planning.values.complete``."""

    decisions: tuple[Decision, ...]
    values: dict[str, Any]


def plan_bundle(
    fingerprint: Fingerprint,
    family: str,
    preset: str,
    memory_gib: float,
    pixdim: Sequence[float] | None = None,
    roi_size: Sequence[int] | None = None,
) -> Plan:
    """Decide the settings of a bundle.

    Args:
        fingerprint: of the dataset.
        family: a key of ``lunet_networks.authoring.planning.families.FAMILIES``.
        preset: of that family.
        memory_gib: memory that a training may take.
        pixdim: spacing in mm instead of the rule's.
        roi_size: patch in voxels instead of the rule's.

    Raises:
        ValueError: if the volumes are too small for the network, or no patch fits into the memory.
    """
    about = FAMILIES[family]
    if why := about.cannot_train.get(fingerprint.spatial_dims):
        dims = fingerprint.spatial_dims
        raise ValueError(f"{family} cannot be trained on {dims}D images, {why}: choose another family")
    in_colours = about.colours and fingerprint.of_pictures
    fingerprint = _in_colours(fingerprint) if in_colours else fingerprint
    pixdim = _target_spacing(fingerprint) if pixdim is None else tuple(pixdim)
    shapes = _shapes_at(fingerprint, pixdim)
    published = about.roi_size if fingerprint.of_pictures else None
    patch = _patch(fingerprint, about, preset, memory_gib, shapes, roi_size or published)
    whole = all(side <= most for shape in shapes for side, most in zip(shape, patch.roi_size, strict=True))
    cache_rate, cache_why = _cache(fingerprint, shapes, patch, memory_gib)
    normalise, normalise_in_words, normalise_why = plan_normalisation(fingerprint, about.imagenet)
    turning, turning_why = _turning_axes(fingerprint, pixdim)
    sides = find_sides(fingerprint.label_names)
    mirrored = [] if sides else [0, 1] if fingerprint.of_pictures else [0]
    square = len(set(patch.roi_size)) == 1
    quarter_turns = fingerprint.of_pictures and bool(turning) and square and not sides
    several = len(fingerprint.label_names) > 1
    by_class = fingerprint.ignore_label is not None or (several and not whole)
    overlap = 0.25 if whole else 0.5
    values = {
        "label_names": list(fingerprint.label_names),
        "ignore_label": fingerprint.ignore_label,
        "in_channels": fingerprint.in_channels,
        "pixdim": list(pixdim),
        "normalise": normalise,
        "normalisation": normalise_in_words,
        "roi_size": list(patch.roi_size),
        "batch_size": patch.batch_size,
        "learning_rate": about.learning_rate,
        "num_folds": _num_folds(fingerprint),
        "by_class": by_class,
        "mirrored_axes": mirrored,
        "turning_axes": turning,
        "quarter_turns": quarter_turns,
        "overlap": overlap,
        "cache_rate": cache_rate,
    }
    decisions = [
        _outputs(fingerprint),
        *_ignored(fingerprint),
        *([COLOUR_CHANNELS] if in_colours else []),
        Decision("pixdim", f"{by_axis(pixdim)} mm", _spacing_why(fingerprint, pixdim), "lunet new-bundle --pixdim"),
        Decision("normalisation", normalise_in_words, normalise_why, "lunet new-bundle --modality"),
        Decision(
            "roi_size",
            f"{by_axis(patch.roi_size)} voxels",
            _patch_why(shapes, patch, whole),
            "lunet new-bundle --roi_size",
        ),
        Decision("batch_size", str(patch.batch_size), _batch_why(about, patch), "training --batch_size"),
        Decision(
            "learning_rate",
            f"{values['learning_rate']:g}",
            "published for this size",
            "training --learning_rate",
        ),
        *_fewer_folds(fingerprint),
        Decision("patches", *_sampling(whole, by_class), "crop_transforms in configs/train.json"),
        Decision(
            "augmentation",
            *_augmentation(turning, turning_why, mirrored, quarter_turns, sides),
            TO_MIRROR if sides else "training --augment False",
        ),
        Decision("overlap", f"{overlap:g}", _overlap_why(whole), "inference --overlap"),
        Decision("cache_rate", f"{cache_rate:g}", cache_why, "training --cache_rate"),
    ]
    return Plan(tuple(decisions), values)


def _outputs(fingerprint: Fingerprint) -> Decision:
    names = fingerprint.label_names
    if len(names) == 1:
        return Decision("out_channels", "1, a sigmoid", f"one label, {names[0]}", "the labels in dataset.json")
    why = f"{len(names)} labels that exclude each other, and the background"
    return Decision("out_channels", f"{len(names) + 1}, a softmax", why, "the labels in dataset.json")


def _ignored(fingerprint: Fingerprint) -> Iterable[Decision]:
    if fingerprint.ignore_label is not None:
        why = "dataset.json names it ignore: its voxels count neither in the loss nor in a metric"
        yield Decision("ignore_label", str(fingerprint.ignore_label), why, "the labels in dataset.json")


def _in_colours(fingerprint: Fingerprint) -> Fingerprint:
    """The dataset as a network that takes colours sees it."""
    if fingerprint.in_channels != 1:
        return fingerprint
    modalities, intensities = COLOURS * fingerprint.modalities, COLOURS * fingerprint.intensities
    return dataclasses.replace(fingerprint, modalities=modalities, intensities=intensities)


def _target_spacing(fingerprint: Fingerprint) -> tuple[float, ...]:
    """nnU-Net: the median; along a coarse axis of few slices the 10th percentile, yet not finer than the others."""
    spacing, shape = list(fingerprint.median_spacing), fingerprint.median_shape
    axis = int(np.argmax(spacing))
    others = [step for other, step in enumerate(spacing) if other != axis]
    few_slices = all(shape[axis] * ANISOTROPIC < side for other, side in enumerate(shape) if other != axis)
    if spacing[axis] > ANISOTROPIC * min(others) and few_slices:
        spacing[axis] = max(fingerprint.spacing_percentile(10)[axis], *others)
    return tuple(float(f"{step:.4g}") for step in spacing)


def _spacing_why(fingerprint: Fingerprint, pixdim: Sequence[float]) -> str:
    steps = sorted({case.spacing for case in fingerprint.cases})
    if fingerprint.of_pictures and tuple(pixdim) == (1.0, 1.0):
        return "pictures have no spacing: a pixel counts as 1 mm"
    if tuple(pixdim) != _target_spacing(fingerprint):
        return "as asked for"
    if len(steps) == 1:
        return "all cases have it"
    rule = "median of the cases"
    if not np.allclose(pixdim, fingerprint.median_spacing, rtol=1e-3):
        rule += ", along the coarse axis the 10th percentile"
    return f"{rule}, which range from {by_axis(np.min(steps, axis=0))} to {by_axis(np.max(steps, axis=0))}"


def _shapes_at(fingerprint: Fingerprint, pixdim: Sequence[float]) -> list[tuple[int, ...]]:
    """Of each case after resampling, in voxels."""
    return [
        tuple(
            max(1, round(side * step / target))
            for side, step, target in zip(case.shape, case.spacing, pixdim, strict=True)
        )
        for case in fingerprint.cases
    ]


def _patch(
    fingerprint: Fingerprint,
    about: Family,
    preset: str,
    memory_gib: float,
    shapes: list[tuple[int, ...]],
    roi_size: Sequence[int] | None,
) -> Patch:
    out_channels = count_outputs(fingerprint.label_names)
    network = network_without_weights(
        preset, spatial_dims=fingerprint.spatial_dims, in_channels=fingerprint.in_channels, out_channels=out_channels
    )
    memory_needed = functools.partial(_memory_needed, network, about.loss_name)
    enough_steps = max(LEAST_BATCH, int(len(shapes) * TRAINING_SHARE / STEPS))
    batch_size = min(about.batch_size, enough_steps)
    multiple = getattr(network, "padded_multiple", network.size_multiple)
    limits = (multiple, batch_size, memory_needed, int(memory_gib * GIB))
    return choose_patch(shapes, *limits) if roi_size is None else keep_patch(roi_size, *limits)


@functools.cache
def _memory_needed(network: Network, loss_name: str, batch_size: int, roi: tuple[int, ...]) -> int:
    return estimate_training_memory(network, (batch_size, network.in_channels, *roi), loss_name)


def _patch_why(shapes: list[tuple[int, ...]], patch: Patch, whole: bool) -> str:
    median = by_axis(np.median(shapes, axis=0).round().astype(int))
    holds = "holds every image whole" if whole else f"the images have {median} in the median"
    return f"{holds}; a training takes about {patch.memory / GIB:.1f} GiB"


def _batch_why(about: Family, patch: Patch) -> str:
    if patch.batch_size == about.batch_size:
        return "published for this size"
    return f"published are {about.batch_size}; fewer for the memory's sake, or for {STEPS} steps an epoch"


def _num_folds(fingerprint: Fingerprint) -> int:
    """Five, or one for each case where there are fewer; a validation list takes the place of folds."""
    return FOLDS if fingerprint.num_validation else min(FOLDS, max(2, fingerprint.num_training))


def _fewer_folds(fingerprint: Fingerprint) -> Iterable[Decision]:
    folds, cases = _num_folds(fingerprint), fingerprint.num_training
    if folds < FOLDS:
        why = f"{cases} training cases; more have {FOLDS}" if cases > 1 else "a training needs two cases at least"
        yield Decision("num_folds", str(folds), why, "training --num_folds")


def _sampling(whole: bool, by_class: bool) -> tuple[str, str]:
    if by_class:
        return "half around background, half around labels, each as often", "so that rare labels are seen"
    if whole:
        return "whole images", "they fit"
    return "half around background, half around foreground", "one label"


def _turning_axes(fingerprint: Fingerprint, pixdim: Sequence[float]) -> tuple[list[int], str]:
    """The axes that augmentation turns about: turning mixes voxels that are about equally long."""
    if any(SPECTROGRAM.search(modality) for modality in fingerprint.modalities):
        return [], "not turned: one axis is time, the other frequency"
    coarse = int(np.argmax(pixdim))
    if len(pixdim) == 3 and max(pixdim) > ANISOTROPIC * min(pixdim):
        return [coarse], f"turned in the plane only: slices are {max(pixdim):g} mm apart"
    return list(range(len(pixdim))), ""


def _augmentation(
    turning: list[int], turning_why: str, mirrored: list[int], quarter_turns: bool, sides: Sides
) -> tuple[str, str]:
    what = [
        *(["rotation"] if turning else []),
        "scale",
        "shift",
        *{0: [], 1: ["left-right mirroring"], 2: ["mirroring along both axes"]}[len(mirrored)],
        *(["quarter turns"] if quarter_turns else []),
        "brightness",
        "contrast",
        "noise",
    ]
    why = [turning_why] if turning_why else []
    if sides:
        why.append(f"not mirrored, and flip_tta without effect: {sides.why}")
    return ", ".join(what), "; ".join(why) or "few cases go further"


def _overlap_why(whole: bool) -> str:
    return (
        "a window holds every image whole"
        if whole
        else "as nnU-Net: so that every voxel is near the middle of a window"
    )


def _cache(
    fingerprint: Fingerprint, shapes: list[tuple[int, ...]], patch: Patch, memory_gib: float
) -> tuple[float, str]:
    """The share of the cases that fits into what the training step leaves."""
    bytes_a_voxel = 4 * (fingerprint.in_channels + 1)  # float32, the label too
    cases = sum(math.prod(shape) for shape in shapes) * bytes_a_voxel
    left = memory_gib * GIB - patch.memory
    rate = min(1.0, math.floor(100 * left / cases) / 100)
    return rate, f"all cases take {cases / GIB:.2g} GiB, {left / GIB:.2g} GiB are left"
