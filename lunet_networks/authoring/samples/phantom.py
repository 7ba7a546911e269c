"""A procedural phantom: an image, MR-like or CT-like, of a curved structure among distractors, and its label.

One random generator per case, made from (seed, group, number): a case is the same however many are made around it.
"""

import numpy as np

from lunet_networks.authoring.samples.phantom_anatomy import make_anatomy
from lunet_networks.authoring.samples.phantom_scan import ct, t1_weighted, t2_weighted
from lunet_networks.authoring.samples.phantom_settings import DIFFICULTIES, PARTS, PhantomSettings

TRAINING, TEST = 0, 1
# In a case that is labelled in part, the share of the volume's length that is not.
IGNORED_SHARE = (0.2, 0.4)


def make_case(settings: PhantomSettings, group: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and label of one case. Settings that differ only in labels, channels or modality show the same anatomy.

    Args:
        settings: the kind of phantom.
        group: ``TRAINING`` or ``TEST``.
        number: of the case within its group.

    Returns:
        The image, int16, and the label, uint8. Both have the same shape, in two or three axes towards right, anterior
        and superior whatever orientation is asked for; an image of two channels has these as its last axis.

    Example:
        >>> image, label = make_case(PhantomSettings(difficulty="easy"), TRAINING, number=1)
        >>> image.shape == label.shape, np.unique(label).tolist()
        (True, [0, 1, 2])
    """
    difficulty = DIFFICULTIES[settings.difficulty]
    random = np.random.default_rng([settings.seed, group, number])
    # Whatever not every phantom has is drawn from this one, so that the rest stays the same without it.
    further_random = np.random.default_rng([settings.seed, group, number, 1])
    anatomy = make_anatomy(random, difficulty, list(PARTS[settings.num_labels].values()), *_volume(settings))
    if settings.spatial_dims == 2:
        anatomy = anatomy.slice(_best_slice(anatomy.label, settings.num_labels))
    if settings.modality == "CT":
        channels = [ct(further_random, difficulty, anatomy)]
    else:
        channels = [t1_weighted(random, difficulty, anatomy)]
        channels += [t2_weighted(further_random, difficulty, anatomy)] * (settings.num_channels - 1)
    label = anatomy.label
    if settings.ignore and group == TRAINING and number % 2 == 0:
        _ignore_one_end(further_random, label, settings.num_labels + 1)
    if settings.spatial_dims == 2:
        channels, label = [channel[:, :, 0] for channel in channels], label[:, :, 0]
    return channels[0] if len(channels) == 1 else np.stack(channels, axis=-1), label


def _volume(settings: PhantomSettings) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Shape and spacing of the volume; slices are cut from one that is as high as it is wide."""
    if settings.spatial_dims == 3:
        return tuple(settings.shape), tuple(settings.spacing)
    step = min(settings.spacing)
    return (*settings.shape, round(settings.shape[0] * settings.spacing[0] / step)), (*settings.spacing, step)


def _best_slice(label: np.ndarray, num_labels: int) -> int:
    """The slice in which the label that is seen least is seen most."""
    seen = [np.count_nonzero(label == value, axis=(0, 1)) for value in range(1, num_labels + 1)]
    return int(np.lexsort((sum(seen), np.min(seen, axis=0)))[-1])


def _ignore_one_end(random: np.random.Generator, label: np.ndarray, value: int) -> None:
    """Mark the front or the back of a volume, in place."""
    thickness = round(label.shape[1] * random.uniform(*IGNORED_SHARE))
    if random.random() < 0.5:
        label[:, :thickness] = value
    else:
        label[:, -thickness:] = value
