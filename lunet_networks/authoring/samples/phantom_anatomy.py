"""The anatomy of a phantom: a curved structure with a head and a tail, among distractors of its own grey."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from lunet_networks.authoring.samples.phantom_settings import Difficulty

# Intensities relative to white matter.
WHITE, FLUID = 1.0, 0.15
# Fine cells a voxel along each axis: each is inside or outside, their mean is the partial volume.
FINE = 2
# The anatomy is given in millimetres for this field of view and scaled to that of the case.
REFERENCE_FIELD_OF_VIEW = (48.0, 64.0, 48.0)
# Where along the structure (0 the tip of the head, 1 that of the tail) the head is thickest.
HEAD_CENTRE = 0.21


@dataclass(frozen=True)
class Tube:
    """A bent tube with round ends, along y from the head (+y) to the tail before it is rotated; lengths in mm.

    Args:
        centre: x, y, z from the middle of the volume.
        rotation: from the volume's axes to the tube's, 3 x 3.
        length: from tip to tip.
        radius: half the thickness in x.
        bend: how far the middle stands out in x and z.
        flatness: thickness in z over thickness in x.
        taper: share of the radius that is lost towards the tail.
        bulge: share of the radius that the head has more.
    """

    centre: np.ndarray
    rotation: np.ndarray
    length: float
    radius: float
    bend: tuple[float, float] = (0.0, 0.0)
    flatness: float = 1.0
    taper: float = 0.0
    bulge: float = 0.0

    def box(self, axes: list[np.ndarray]) -> tuple[slice, ...]:
        """The cells that the tube can reach at any rotation."""
        reach = self.length / 2 + max(map(abs, self.bend)) + self.radius * (1 + self.bulge) * max(1.0, self.flatness)
        return tuple(
            slice(*np.searchsorted(axis, (middle - reach, middle + reach)))
            for axis, middle in zip(axes, self.centre, strict=True)
        )

    def fill(self, axes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """For the cells at ``axes``: inside or not, and the place along the tube (0 head's tip, 1 tail's tip)."""
        grid = np.ix_(*(axis - middle for axis, middle in zip(axes, self.centre, strict=True)))
        x, y, z = (sum(weight * axis for weight, axis in zip(row, grid, strict=True)) for row in self.rotation)
        along = 0.5 - y / self.length
        arch = 4 * along * (1 - along) - 2 / 3  # its mean is 0: bending does not move the tube
        ends = np.clip(1 - np.square(np.square(2 * along - 1)), 0, None)  # ** 4 is many times slower
        profile = 1 - self.taper * along
        if self.bulge:
            profile = profile + self.bulge * np.exp(-(((along - HEAD_CENTRE) / 0.16) ** 2))
        across = (x - self.bend[0] * arch) ** 2 + ((z - self.bend[1] * arch) / self.flatness) ** 2
        return across < (self.radius * profile) ** 2 * ends, along


@dataclass(frozen=True)
class Anatomy:
    """What lies in the scanner.

    Args:
        cells: intensity relative to white matter, of the fine cells, ``FINE`` a voxel along each axis.
        axes: where the cells lie along each axis, in mm from the middle of the volume.
        label: of the voxels, uint8.
        structure: what is labelled.
        grey: its intensity.
        scale: the size of things here over their size in the reference field of view.
    """

    cells: np.ndarray
    axes: list[np.ndarray]
    label: np.ndarray
    structure: Tube
    grey: float
    scale: float

    def slice(self, index: int) -> "Anatomy":
        """The slice ``index`` of the last axis, still of three axes."""
        fine = slice(index * FINE, (index + 1) * FINE)
        return replace(
            self,
            cells=self.cells[:, :, fine],
            axes=[*self.axes[:2], self.axes[2][fine]],
            label=self.label[:, :, index : index + 1],
        )


def make_anatomy(
    random: np.random.Generator,
    setting: Difficulty,
    parts: Sequence[float],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> Anatomy:
    """A volume with one structure in it.

    Args:
        random: draws the case.
        setting: how much it hides its structure.
        parts: where along the structure each label ends, in order; the last is 1.
        shape: the largest shape in voxels; the case is up to a sixth smaller along each axis.
        spacing: of the voxels in mm.
    """
    shape = tuple(int(side - random.integers(0, side // 6 + 1)) for side in shape)
    scale = min(n * step / full for n, step, full in zip(shape, spacing, REFERENCE_FIELD_OF_VIEW, strict=True))
    axes = [
        ((np.arange(n * FINE) + 0.5) / FINE - n / 2).astype(np.float32) * np.float32(step)
        for n, step in zip(shape, spacing, strict=True)
    ]
    grey = WHITE - random.uniform(*setting.contrast)

    cells = _fine(_folds(random, shape, spacing, scale, grey))
    for _ in range(setting.distractors):
        distractor = make_distractor(random, axes, scale)
        if random.random() < 0.4:  # else a dark slit would give the structure away
            paint(cells, axes, _fluid_beside(random, distractor), FLUID)
        paint(cells, axes, distractor, grey + setting.likeness * random.uniform(-1, 1))
    structure = _structure(random, setting, scale)
    paint(cells, axes, _fluid_beside(random, structure), FLUID)
    paint(cells, axes, structure, grey)
    return Anatomy(cells, axes, _label(axes, structure, parts), structure, grey, scale)


def paint(cells: np.ndarray, axes: list[np.ndarray], tube: Tube, intensity: float) -> None:
    """Set the cells within ``tube``, in place."""
    box = tube.box(axes)
    inside, _ = tube.fill([axis[part] for axis, part in zip(axes, box, strict=True)])
    cells[box][inside] = intensity


def coarse(cells: np.ndarray) -> np.ndarray:
    """The mean over the cells of each voxel."""
    x, y, z = (n // FINE for n in cells.shape)
    return cells.reshape(x, FINE, y, FINE, z, FINE).mean((1, 3, 5))


def _fine(voxels: np.ndarray) -> np.ndarray:
    for axis in range(3):
        voxels = voxels.repeat(FINE, axis)
    return voxels


def _label(axes: list[np.ndarray], structure: Tube, parts: Sequence[float]) -> np.ndarray:
    """For each voxel the part that has most of it, where the structure has half of it, otherwise 0."""
    box = structure.box(axes)
    inside, along = structure.fill([axis[part] for axis, part in zip(axes, box, strict=True)])
    shares = []
    for start, end in pairwise([0.0, *parts]):
        cells = np.zeros([len(axis) for axis in axes], np.float32)
        cells[box] = inside & (start <= along) & (along < end)
        shares.append(coarse(cells))
    return np.where(sum(shares) < 0.5, 0, 1 + np.argmax(shares, axis=0)).astype(np.uint8)


def _structure(random: np.random.Generator, setting: Difficulty, scale: float) -> Tube:
    side = random.choice([-1, 1]) if setting.both_sides else 1
    angles = random.uniform(-setting.rotation, setting.rotation, 3)
    return Tube(
        centre=random.uniform(-setting.shift, setting.shift, 3) * scale,
        rotation=Rotation.from_euler("xyz", angles, degrees=True).as_matrix().astype(np.float32),
        length=random.uniform(40, 48) * scale,
        radius=random.uniform(5.0, 6.4) * scale,
        bend=(side * random.uniform(4, 7) * scale, random.uniform(3, 6) * scale),
        flatness=random.uniform(0.75, 1.0),
        taper=random.uniform(0.25, 0.45),
        bulge=random.uniform(0.35, 0.55),
    )


def _fluid_beside(random: np.random.Generator, structure: Tube) -> Tube:
    """A dark slit of the same course, of which the structure leaves a rim uncovered, as the ventricle does."""
    offset = np.array([0, 0, random.uniform(0.3, 0.6) * structure.radius]) @ structure.rotation
    return Tube(
        centre=structure.centre + offset,
        rotation=structure.rotation,
        length=structure.length * random.uniform(0.7, 0.95),
        radius=structure.radius,
        bend=structure.bend,
        flatness=structure.flatness,
        taper=structure.taper,
        bulge=structure.bulge,
    )


def make_distractor(random: np.random.Generator, axes: list[np.ndarray], scale: float) -> Tube:
    """A tube or a blob anywhere, at any angle."""
    tube = random.random() < 0.6
    radius = random.uniform(2, 5) * scale
    return Tube(
        centre=np.array([random.uniform(axis[0], axis[-1]) for axis in axes]),
        rotation=Rotation.random(rng=random).as_matrix().astype(np.float32),
        length=random.uniform(20, 45) * scale if tube else 2.5 * radius,
        radius=radius,
        bend=tuple(random.uniform(-6, 6, 2) * scale) if tube else (0.0, 0.0),
        flatness=random.uniform(0.6, 1.0),
        taper=random.uniform(0, 0.4),
    )


def _folds(
    random: np.random.Generator, shape: tuple[int, ...], spacing: tuple[float, ...], scale: float, grey: float
) -> np.ndarray:
    """White matter with folds of grey: smooth noise, cut at a level."""
    noise = gaussian_filter(random.standard_normal(shape, np.float32), [3.0 * scale / step for step in spacing])
    share = 1 / (1 + np.exp(-(noise / noise.std() - 0.8) / 0.15))
    return (WHITE - share * (WHITE - grey)).astype(np.float32)
