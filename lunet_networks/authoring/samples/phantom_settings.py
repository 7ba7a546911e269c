"""What can be asked of the procedural phantom: which data, how hard, in what form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

# What the labels are named, and where along the structure (0 the tip of the head, 1 that of the tail) each part ends.
PARTS: Mapping[int, Mapping[str, float]] = {
    1: {"structure": 1.0},
    2: {"anterior": 0.42, "posterior": 1.0},
    4: {"head": 0.42, "anterior body": 0.60, "posterior body": 0.76, "tail": 1.0},
}
MODALITIES = ("MRI", "CT")
LEAST_SIDE = 16
DEFAULT_SHAPES = {2: (64, 64), 3: (48, 64, 48)}


@dataclass(frozen=True)
class Difficulty:
    """How much a case hides its structure; intensities are relative to white matter, angles in degrees.

    Args:
        contrast: how much darker than white matter the structure is, from and to.
        noise: standard deviation of the noise in each of the two MR channels, from and to.
        bias: the smooth gain of MR lies between ``exp(-bias)`` and ``exp(bias)``.
        distractors: tubes and blobs.
        likeness: how far a distractor's intensity lies from the structure's, at most.
        rotation: about each axis, at most.
        shift: in mm along each axis, at most.
        both_sides: the structure bends to the left or to the right, as the two hippocampi do.
        ct_noise: standard deviation of the noise of CT in Hounsfield units, from and to.
    """

    contrast: tuple[float, float]
    noise: tuple[float, float]
    bias: float
    distractors: int
    likeness: float
    rotation: float
    shift: float
    both_sides: bool
    ct_noise: tuple[float, float]


DIFFICULTIES = {
    "easy": Difficulty((0.40, 0.50), (0.02, 0.04), 0.15, 4, 0.20, 8, 3, False, (10, 12)),
    "normal": Difficulty((0.30, 0.45), (0.04, 0.08), 0.30, 8, 0.10, 14, 5, True, (10, 16)),
    "hard": Difficulty((0.20, 0.35), (0.06, 0.12), 0.45, 14, 0.05, 20, 6, True, (14, 20)),
}


@dataclass(frozen=True)
class PhantomSettings:
    """A kind of phantom. Cases are a function of it, their group and their number.

    Args:
        seed: of the dataset.
        difficulty: a key of ``DIFFICULTIES``.
        spatial_dims: 3, or 2 for slices.
        shape: the largest shape in voxels towards right, anterior and superior; a case is up to a sixth smaller along
            each axis. None: 48 x 64 x 48, or 64 x 64.
        spacing: of the voxels in mm, in the order of ``shape``; None: 1 mm. The anatomy scales with the field of view.
        orientation: to where the axes of the stored voxels run, such as ``LPS``; None: RAS, or RA.
        num_labels: parts of the structure, a key of ``PARTS``.
        modality: ``MRI`` in arbitrary units or ``CT`` in Hounsfield units.
        num_channels: 1, or for MRI 2, T1- and T2-weighted.
        ignore: every other training case is labelled in part; the rest of it has the value after the last label.

    Raises:
        ValueError: names the setting that is out of range, and what it can be.

    Example:
        >>> PhantomSettings(num_labels=1, ignore=True).labels
        {0: 'background', 1: 'structure', 2: 'ignore'}
        >>> PhantomSettings(spatial_dims=2, modality="CT").shape
        (64, 64)
    """

    seed: int = 0
    difficulty: str = "normal"
    spatial_dims: int = 3
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    num_labels: int = 2
    modality: str = "MRI"
    num_channels: int = 1
    ignore: bool = False

    def __post_init__(self) -> None:
        if self.spatial_dims not in DEFAULT_SHAPES:
            raise ValueError(f"--spatial_dims takes 2 or 3, not {self.spatial_dims!r}")
        defaults = {
            "shape": DEFAULT_SHAPES[self.spatial_dims],
            "spacing": (1.0,) * self.spatial_dims,
            "orientation": "RAS"[: self.spatial_dims],
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        self._check_choices()
        self._check_geometry()

    @property
    def labels(self) -> dict[int, str]:
        """Names by label value, with background and, where it is asked for, ignore."""
        names = ["background", *PARTS[self.num_labels], *(["ignore"] if self.ignore else [])]
        return dict(enumerate(names))

    @property
    def channels(self) -> dict[int, str]:
        """Modality by channel, in the Decathlon's terms."""
        return {0: self.modality} if self.num_channels == 1 else {0: "T1w", 1: "T2w"}

    @property
    def made_with(self) -> dict[str, Any]:
        """The settings that a reader needs to make the same again: seed, difficulty and grid, others where unusual."""
        usual, always = PhantomSettings(), ("seed", "difficulty", "shape", "spacing")
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        unusual = {name: value for name, value in settings.items() if value != getattr(usual, name)}
        return {name: settings[name] for name in always} | unusual

    def _check_choices(self) -> None:
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"--seed takes a whole number of at least 0, not {self.seed!r}")
        for name, choices in (
            ("difficulty", tuple(DIFFICULTIES)),
            ("num_labels", tuple(PARTS)),
            ("modality", MODALITIES),
            ("num_channels", (1, 2)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"--{name} takes one of {', '.join(map(str, choices))}, not {getattr(self, name)!r}")
        if self.modality == "CT" and self.num_channels != 1:
            raise ValueError(
                f"--num_channels takes 1 with --modality CT, not {self.num_channels}: only MRI has T1 and T2"
            )

    def _check_geometry(self) -> None:
        dims, count = self.spatial_dims, {2: "two", 3: "three"}[self.spatial_dims]
        if not _are(self.shape, dims, lambda side: isinstance(side, int) and side >= LEAST_SIDE):
            example = ",".join(map(str, DEFAULT_SHAPES[dims]))
            right = f"{count} numbers of voxels of at least {LEAST_SIDE}, such as {example}"
            raise ValueError(f"--shape takes {right}, not {self.shape!r}")
        if not _are(self.spacing, dims, lambda step: isinstance(step, (int, float)) and step > 0):
            example = ",".join(["1"] * dims)
            raise ValueError(f"--spacing takes {count} lengths in mm, such as {example}, not {self.spacing!r}")
        axes = ["RL", "AP", "SI"][:dims]
        axis_of = {letter: axis for axis in axes for letter in axis}
        letters = list(self.orientation) if isinstance(self.orientation, str) else []
        if sorted(axis_of.get(letter, "") for letter in letters) != sorted(axes):
            right = f"{count} letters, one of each of {', '.join(map('/'.join, axes))}, such as {'LPS'[:dims]}"
            raise ValueError(f"--orientation takes {right}, not {self.orientation!r}")


def _are(values: object, count: int, is_right: Callable[[object], bool]) -> bool:
    return isinstance(values, (tuple, list)) and len(values) == count and all(map(is_right, values))
