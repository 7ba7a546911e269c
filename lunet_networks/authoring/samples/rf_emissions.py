"""Narrowband radio emissions at baseband, one function for each kind of modulation.

Frequencies are shares of the sampling rate. Every emission is complex, of power 1, and fills the band from
``-bandwidth / 2`` to ``bandwidth / 2`` but for skirts that no filter cuts off.
"""

import numpy as np

MODULATION_DEPTH = (0.7, 1.0)  # of AM
CLIPPED_AT = 1.2  # standard deviations of a message
DEVIATION = 0.7  # share of half the bandwidth that FM and FSK deviate by; Carson's rule leaves the rest to the message
ROLL_OFF = 0.25  # of PSK's root raised cosine
FADING = (0.0, 0.4)  # how much the amplitude comes and goes
FADES = 6  # at most, while an emission lasts


def emission(random: np.random.Generator, modulation: str, length: int, bandwidth: float) -> np.ndarray:
    """One emission, whose amplitude fades a little.

    Args:
        random: draws the message and the fading.
        modulation: a key of ``MODULATIONS``.
        length: in samples.
        bandwidth: share of the sampling rate.

    Returns:
        ``(length,)``, complex.

    Example:
        >>> wave = emission(np.random.default_rng(0), "psk", length=4096, bandwidth=0.1)
        >>> power = np.abs(np.fft.fft(wave)) ** 2
        >>> inside = np.abs(np.fft.fftfreq(4096)) <= 0.05
        >>> bool(power[inside].sum() > 0.95 * power.sum())
        True
    """
    wave = MODULATIONS[modulation](random, length, bandwidth)
    fading = 1 + random.uniform(*FADING) * _message(random, length, FADES / length)
    wave = wave * fading
    return wave / np.sqrt(np.mean(np.abs(wave) ** 2))


def _am(random: np.random.Generator, length: int, bandwidth: float) -> np.ndarray:
    return 1 + random.uniform(*MODULATION_DEPTH) * _message(random, length, bandwidth / 2) + 0j


def _fm(random: np.random.Generator, length: int, bandwidth: float) -> np.ndarray:
    message = _message(random, length, (1 - DEVIATION) * bandwidth / 2)
    return _at_frequency(DEVIATION * bandwidth / 2 * message)


def _fsk(random: np.random.Generator, length: int, bandwidth: float) -> np.ndarray:
    symbols = random.choice([-1.0, 1.0], length)
    rate = (1 - DEVIATION) * bandwidth
    return _at_frequency(DEVIATION * bandwidth / 2 * symbols[(np.arange(length) * rate).astype(int)])


def _psk(random: np.random.Generator, length: int, bandwidth: float) -> np.ndarray:
    rate = bandwidth / (1 + ROLL_OFF)
    count = max(2, int(length * rate))
    impulses = np.zeros(length, complex)
    impulses[(np.arange(count) / rate).astype(int) % length] = np.exp(0.5j * np.pi * random.integers(0, 4, count))
    edge = np.clip((np.abs(np.fft.fftfreq(length)) / rate - 0.5 * (1 - ROLL_OFF)) / ROLL_OFF, 0, 1)
    return np.fft.ifft(np.fft.fft(impulses) * np.cos(0.5 * np.pi * edge))


def _ofdm(random: np.random.Generator, length: int, bandwidth: float) -> np.ndarray:
    subcarriers = int(random.choice([12, 24, 48]))
    frequencies = (np.arange(subcarriers) - (subcarriers - 1) / 2) * bandwidth / subcarriers
    symbol = max(1, round(1.125 * subcarriers / bandwidth))  # the eighth is the cyclic prefix
    keys = np.exp(0.5j * np.pi * random.integers(0, 4, (subcarriers, length // symbol + 1)))
    time = np.arange(length)
    carriers = zip(frequencies, keys, strict=True)
    return sum(key[time // symbol] * np.exp(2j * np.pi * frequency * (time % symbol)) for frequency, key in carriers)


def _chirp(random: np.random.Generator, length: int, bandwidth: float) -> np.ndarray:
    sweeps = int(random.integers(1, 5))
    position = (np.arange(length) * sweeps / length) % 1
    return _at_frequency(random.choice([-1.0, 1.0]) * bandwidth * (position - 0.5))


MODULATIONS = {"am": _am, "fm": _fm, "fsk": _fsk, "psk": _psk, "ofdm": _ofdm, "chirp": _chirp}


def _at_frequency(frequency: np.ndarray) -> np.ndarray:
    """A tone of a frequency that changes from sample to sample."""
    return np.exp(2j * np.pi * np.cumsum(frequency))


def _message(random: np.random.Generator, length: int, bandwidth: float) -> np.ndarray:
    """Noise below a frequency, between -1 and 1: its peaks are cut off, as broadcasters do, so that a carrier does not
    drown it."""
    spectrum = np.zeros(length // 2 + 1, complex)
    highest = min(max(2, int(bandwidth * length)), length // 2)
    spectrum[1:highest] = random.standard_normal(highest - 1) + 1j * random.standard_normal(highest - 1)
    message = np.fft.irfft(spectrum, length)
    return np.clip(message / (CLIPPED_AT * message.std()), -1, 1)
