"""A procedural MR-like phantom: a curved structure with a head and a tail, among distractors of its own grey.

One random generator per case, made from (seed, group, number): a case is the same however many are made around it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

BACKGROUND, ANTERIOR, POSTERIOR = 0, 1, 2

# Intensities relative to white matter.
WHITE, FLUID = 1.0, 0.15
# Fine cells a voxel along each axis: each is inside or outside, their mean is the partial volume.
FINE = 2
# The anatomy is given in millimetres for this field of view and scaled to that of the case.
REFERENCE_FIELD_OF_VIEW = (48.0, 64.0, 48.0)
# Where along the structure (0 the tip of the head, 1 that of the tail) the head ends.
HEAD_END = 0.42


@dataclass(frozen=True)
class Difficulty:
    """How much a case hides its structure; intensities are relative to white matter, angles in degrees.

    Args:
        contrast: how much darker than white matter the structure is, from and to.
        noise: standard deviation of the noise in each of the two MR channels, from and to.
        bias: the smooth gain lies between ``exp(-bias)`` and ``exp(bias)``.
        distractors: tubes and blobs.
        likeness: how far a distractor's intensity lies from the structure's, at most.
        rotation: about each axis, at most.
        shift: in mm along each axis, at most.
        both_sides: the structure bends to the left or to the right, as the two hippocampi do.
    """

    contrast: tuple[float, float]
    noise: tuple[float, float]
    bias: float
    distractors: int
    likeness: float
    rotation: float
    shift: float
    both_sides: bool


DIFFICULTIES = {
    "easy": Difficulty((0.40, 0.50), (0.02, 0.04), 0.15, 4, 0.20, 8, 3, False),
    "normal": Difficulty((0.30, 0.45), (0.04, 0.08), 0.30, 8, 0.10, 14, 5, True),
    "hard": Difficulty((0.20, 0.35), (0.06, 0.12), 0.45, 14, 0.05, 20, 6, True),
}


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
            profile = profile + self.bulge * np.exp(-(((along - HEAD_END / 2) / 0.16) ** 2))
        across = (x - self.bend[0] * arch) ** 2 + ((z - self.bend[1] * arch) / self.flatness) ** 2
        return across < (self.radius * profile) ** 2 * ends, along


def make_case(
    seed: int,
    group: int,
    number: int,
    difficulty: str,
    shape: tuple[int, int, int] = (48, 64, 48),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Image and label of one case.

    Args:
        seed: of the dataset.
        group: 0 for training cases, 1 for test cases.
        number: of the case within its group.
        difficulty: a key of ``DIFFICULTIES``.
        shape: the largest shape in voxels; a case is up to a sixth smaller along each axis.
        spacing: of the voxels in mm. The anatomy scales with the field of view.

    Returns:
        Two arrays of the same shape: the image, int16 in arbitrary units, and the label, uint8 (0, 1 anterior,
        2 posterior).

    Example:
        >>> image, label = make_case(seed=0, group=0, number=1, difficulty="easy")
        >>> image.shape == label.shape, np.unique(label).tolist()
        (True, [0, 1, 2])
    """
    setting = DIFFICULTIES[difficulty]
    random = np.random.default_rng([seed, group, number])
    shape = tuple(int(side - random.integers(0, side // 6 + 1)) for side in shape)
    scale = min(n * step / full for n, step, full in zip(shape, spacing, REFERENCE_FIELD_OF_VIEW, strict=True))
    axes = [
        ((np.arange(n * FINE) + 0.5) / FINE - n / 2).astype(np.float32) * np.float32(step)
        for n, step in zip(shape, spacing, strict=True)
    ]
    grey = WHITE - random.uniform(*setting.contrast)

    scene = _fine(_folds(random, shape, spacing, scale, grey))
    for _ in range(setting.distractors):
        distractor = _distractor(random, axes, scale)
        if random.random() < 0.4:  # else a dark slit would give the structure away
            _paint(scene, axes, _fluid_beside(random, distractor), FLUID)
        _paint(scene, axes, distractor, grey + setting.likeness * random.uniform(-1, 1))
    structure = _structure(random, setting, scale)
    _paint(scene, axes, _fluid_beside(random, structure), FLUID)
    box = structure.box(axes)
    inside, along = structure.fill([axis[part] for axis, part in zip(axes, box, strict=True)])
    scene[box][inside] = grey

    head, tail = np.zeros(scene.shape, np.float32), np.zeros(scene.shape, np.float32)
    head[box] = inside & (along < HEAD_END)
    tail[box] = inside & (along >= HEAD_END)
    head, tail = _coarse(head), _coarse(tail)
    label = np.where(head + tail < 0.5, BACKGROUND, np.where(head >= tail, ANTERIOR, POSTERIOR)).astype(np.uint8)
    return _scan(random, setting, _coarse(scene)), label


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


def _distractor(random: np.random.Generator, axes: list[np.ndarray], scale: float) -> Tube:
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


def _paint(scene: np.ndarray, axes: list[np.ndarray], tube: Tube, intensity: float) -> None:
    box = tube.box(axes)
    inside, _ = tube.fill([axis[part] for axis, part in zip(axes, box, strict=True)])
    scene[box][inside] = intensity


def _scan(random: np.random.Generator, setting: Difficulty, scene: np.ndarray) -> np.ndarray:
    """What a scanner makes of the scene: a smooth gain, Rician noise, arbitrary units."""
    x, y, z = np.ix_(*(np.linspace(-1, 1, n) for n in scene.shape))
    terms = [x, y, z, x * y, y * z, z * x, x * x, y * y, z * z]
    gain = sum(weight * term for weight, term in zip(random.uniform(-1, 1, len(terms)), terms, strict=True))
    gain = gain - (gain.max() + gain.min()) / 2
    signal = scene * np.exp(setting.bias * gain / gain.max())
    noise = random.uniform(*setting.noise) * random.standard_normal((2, *scene.shape))
    return np.round(np.hypot(signal + noise[0], noise[1]) * random.uniform(300, 1500)).astype(np.int16)


def _fine(values: np.ndarray) -> np.ndarray:
    for axis in range(3):
        values = values.repeat(FINE, axis)
    return values


def _coarse(cells: np.ndarray) -> np.ndarray:
    x, y, z = (n // FINE for n in cells.shape)
    return cells.reshape(x, FINE, y, FINE, z, FINE).mean((1, 3, 5))
