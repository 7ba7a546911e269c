"""What scanners make of a phantom: MR in arbitrary units with a gain that varies, CT in Hounsfield units."""

import numpy as np

from lunet_networks.authoring.samples.phantom_anatomy import Anatomy, coarse, make_distractor, paint
from lunet_networks.authoring.samples.phantom_settings import Difficulty

# T1-weighted intensities (fluid, dark grey, white matter) and what they are in a T2-weighted image.
T1_WEIGHTED, T2_WEIGHTED = (0.15, 0.5, 1.0), (1.6, 0.85, 0.6)
T2_NOISE = 1.5  # times that of the T1-weighted image

# Hounsfield units of white matter, and by how many one unit of intensity differs: fluid comes out as water.
WHITE_HU, HU_PER_INTENSITY = 70, 80
AIR_HU, BONE_HU, LEAST_HU = -1000, (400, 1000), -1024
# Distance from the body's axis, as a share of half the field of view: the rim of bone begins and ends, the body ends.
BONE_BEGINS, BONE_ENDS, BODY_ENDS = 0.88, 0.94, 0.97
LOOSE_BONES = 2


def t1_weighted(random: np.random.Generator, setting: Difficulty, anatomy: Anatomy) -> np.ndarray:
    """An MR image, int16, the structure darker than white matter and fluid darkest."""
    return _mr(random, setting.bias, setting.noise, coarse(anatomy.cells))


def t2_weighted(random: np.random.Generator, setting: Difficulty, anatomy: Anatomy) -> np.ndarray:
    """An MR image, int16, the structure brighter than white matter and fluid brightest; noisier than T1."""
    signal = np.interp(anatomy.cells, T1_WEIGHTED, T2_WEIGHTED)
    return _mr(random, setting.bias, tuple(T2_NOISE * noise for noise in setting.noise), coarse(signal))


def ct(random: np.random.Generator, setting: Difficulty, anatomy: Anatomy) -> np.ndarray:
    """A CT image, int16 in Hounsfield units: soft tissue within a rim of bone, loose bones, air around the body."""
    cells = WHITE_HU + HU_PER_INTENSITY * (anatomy.cells - 1)
    for _ in range(LOOSE_BONES):
        paint(cells, anatomy.axes, make_distractor(random, anatomy.axes, anatomy.scale), random.uniform(*BONE_HU))
    x, y = (axis / abs(axis).max() for axis in anatomy.axes[:2])
    distance = np.hypot(*np.ix_(x, y))  # the body is a cylinder, head to foot
    cells[(distance > BONE_BEGINS) & (distance < BONE_ENDS)] = random.uniform(*BONE_HU)
    cells[distance > BODY_ENDS] = AIR_HU
    paint(cells, anatomy.axes, anatomy.structure, WHITE_HU + HU_PER_INTENSITY * (anatomy.grey - 1))
    voxels = coarse(cells)
    noise = random.uniform(*setting.ct_noise) * random.standard_normal(voxels.shape)
    return np.round(np.maximum(voxels + noise, LEAST_HU)).astype(np.int16)


def _mr(random: np.random.Generator, bias: float, noise_range: tuple[float, float], signal: np.ndarray) -> np.ndarray:
    """A smooth gain, Rician noise, arbitrary units."""
    x, y, z = np.ix_(*(np.linspace(-1, 1, n) for n in signal.shape))
    terms = [x, y, z, x * y, y * z, z * x, x * x, y * y, z * z]
    gain = sum(weight * term for weight, term in zip(random.uniform(-1, 1, len(terms)), terms, strict=True))
    gain = gain - (gain.max() + gain.min()) / 2
    signal = signal * np.exp(bias * gain / gain.max())
    noise = random.uniform(*noise_range) * random.standard_normal((2, *signal.shape))
    return np.round(np.hypot(signal + noise[0], noise[1]) * random.uniform(300, 1500)).astype(np.int16)
