"""Spectrograms of a wide band in which narrowband emissions come and go, and the boxes that they fill."""

from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lunet_networks.authoring.samples.rf_emissions import MODULATIONS, emission
from lunet_networks.authoring.staging import write_json

TRAINING, TEST = 0, 1
FRAMES = BINS = 256  # columns and rows of a picture: time to the right, frequency upwards
HOP = BINS // 2  # samples between transforms, which overlap by half
TRANSFORMS = 3  # whose power is averaged, a column

EMISSIONS = (2, 7)  # in a picture
DURATION = (24, 160)  # columns
BANDWIDTH = (6, 40)  # rows
LEVEL = (3.0, 20.0)  # dB above the noise, mean over the box
GAP = 4  # pixels between boxes, at least

FLOOR = (-6.0, 6.0)  # dB; the noise differs from picture to picture
TILT, RIPPLE = 3.0, 1.5  # dB by which the receiver's gain varies over the band, at most
SPURS = (0, 3)  # tones of the receiver's own, as long as the picture
SPUR_LEVEL = (3.0, 12.0)  # dB above the noise
BURSTS = (0, 4)  # of noise over the whole band, such as switches make
BURST_LEVEL = (3.0, 9.0)  # dB above the noise
BURST_LENGTH = (1, 4)  # columns
SHOWN = (-20.0, 40.0)  # dB that become black and white


def make_spectrogram(seed: int, group: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture and mask of one case, the same however many are made around it.

    The picture is grey: a colour map would add nothing that a network could learn from.

    Args:
        seed: of the dataset.
        group: ``TRAINING`` or ``TEST``.
        number: of the case within its group.

    Returns:
        The short-time Fourier transform's power in dB and the boxes of the emissions, 0 or 255, both uint8 ``(256,
        256)``, the highest frequency in the first row.

    Example:
        >>> picture, mask = make_spectrogram(seed=0, group=TRAINING, number=0)
        >>> picture.shape, picture.dtype.name, np.unique(mask).tolist()
        ((256, 256), 'uint8', [0, 255])
    """
    random = np.random.default_rng([seed, group, number])
    samples = FRAMES * TRANSFORMS * HOP + HOP
    signal = (random.standard_normal(samples) + 1j * random.standard_normal(samples)) / np.sqrt(2)
    _add_bursts(random, signal)
    _add_spurs(random, signal)
    mask = np.zeros((BINS, FRAMES), np.uint8)
    for row, height, column, width in _boxes(random, random.integers(*EMISSIONS, endpoint=True)):
        mask[row : row + height, column : column + width] = 255
        length, bandwidth = width * TRANSFORMS * HOP, height / BINS
        wave = emission(random, str(random.choice(list(MODULATIONS))), length, bandwidth)
        start, middle = column * TRANSFORMS * HOP, (row + (height - 1) / 2) / BINS - 0.5
        wave *= np.exp(2j * np.pi * middle * np.arange(length))
        signal[start : start + length] += np.sqrt(bandwidth) * _amplitude(random.uniform(*LEVEL)) * wave
    power = _power_in_db(signal) + random.uniform(*FLOOR) + _gain(random)[:, None]
    grey = np.interp(power, SHOWN, (0, 255)).round().astype(np.uint8)
    return grey[::-1], mask[::-1]


def write_spectrograms(folder: Path, num_cases: int, num_test: int, seed: int) -> None:
    """Write pictures and masks into ``folder``, and a dataset.json that lists them."""
    sections: dict[str, list[dict]] = {"training": [], "test": []}
    wanted = [(TRAINING, "training", number) for number in range(num_cases)]
    wanted += [(TEST, "test", number) for number in range(num_test)]
    for place in ("images", "masks"):
        (folder / place).mkdir()
    for group, section, number in tqdm(wanted, desc="spectrograms", unit="case", disable=None):
        name = f"{section}_{number + 1:04d}.png"
        for place, pixels in zip(("images", "masks"), make_spectrogram(seed, group, number), strict=True):
            Image.fromarray(pixels).save(folder / place / name)
        sections[section].append({"image": f"./images/{name}", "label": f"./masks/{name}"})
    write_json(
        folder / "dataset.json",
        {
            "name": "RF spectrograms",
            "description": "Simulated spectrograms of a wide band with narrowband emissions: time runs to the right",
            "reference": "lunet get-data rf_spectrograms",
            "made_with": {"num_cases": num_cases, "num_test": num_test, "seed": seed},
            "licence": "CC0-1.0",
            "release": "1.0",
            "tensorImageSize": "2D",
            "modality": {"0": "spectrogram"},
            "labels": {"0": "background", "1": "emission"},
            "numTraining": num_cases,
            "numTest": num_test,
            **sections,
        },
    )


def _boxes(random: np.random.Generator, count: int) -> list[tuple[int, int, int, int]]:
    """First row, height, first column and width of boxes that do not touch; fewer where there is no room left."""
    taken = np.zeros((BINS, FRAMES), bool)
    boxes = []
    for _ in range(20 * count):
        height, width = random.integers(*BANDWIDTH, endpoint=True), random.integers(*DURATION, endpoint=True)
        row, column = random.integers(BINS - height + 1), random.integers(FRAMES - width + 1)
        around = np.s_[max(0, row - GAP) : row + height + GAP, max(0, column - GAP) : column + width + GAP]
        if not taken[around].any():
            taken[row : row + height, column : column + width] = True
            boxes.append((row, height, column, width))
        if len(boxes) == count:
            break
    return boxes


def _add_bursts(random: np.random.Generator, signal: np.ndarray) -> None:
    for _ in range(random.integers(*BURSTS, endpoint=True)):
        start = random.integers(len(signal))
        length = int(random.uniform(*BURST_LENGTH) * TRANSFORMS * HOP)
        signal[start : start + length] *= _amplitude(random.uniform(*BURST_LEVEL))


def _add_spurs(random: np.random.Generator, signal: np.ndarray) -> None:
    for _ in range(random.integers(*SPURS, endpoint=True)):
        tone = np.exp(2j * np.pi * random.uniform(-0.5, 0.5) * np.arange(len(signal)))
        signal += _amplitude(random.uniform(*SPUR_LEVEL)) / np.sqrt(BINS) * tone


def _amplitude(level: float) -> float:
    return 10 ** (level / 20)


def _gain(random: np.random.Generator) -> np.ndarray:
    """Of the receiver over the band, in dB: a slope and waves, as filters and cables make them."""
    band = np.linspace(-1, 1, BINS)
    waves = np.sin(np.pi * random.uniform(1, 4) * band + random.uniform(0, 2 * np.pi))
    return random.uniform(-TILT, TILT) * band + random.uniform(0, RIPPLE) * waves


def _power_in_db(signal: np.ndarray) -> np.ndarray:
    """Of every frequency, the lowest first, and column; white noise of power 1 has 0 dB."""
    window = np.hanning(BINS)
    frames = np.lib.stride_tricks.sliding_window_view(signal, BINS)[::HOP]
    spectra = np.fft.fftshift(np.fft.fft(frames * window, axis=1), axes=1)
    power = (np.abs(spectra) ** 2 / (window**2).sum()).reshape(FRAMES, TRANSFORMS, BINS).mean(axis=1)
    return 10 * np.log10(power.T)
