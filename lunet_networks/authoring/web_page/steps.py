"""The steps of a plan: calls of the engine's functions with numbers and places in memory, and the memory they need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["ALIGNMENT", "FUNCTIONS", "Buffer", "Place", "Program", "Weights"]

FUNCTIONS = (  # of sources/engine/engine.cpp
    *("conv3", "conv_wide", "depthwise3", "depthwise_up3", "pool2", "up2", "instance_norm", "perceptron"),
    *("pointwise", "convolution", "transposed", "affine", "activate", "add", "multiply", "copy", "mean"),
    *("window", "nearest", "bilinear"),
)
ALIGNMENT = 4  # floats: those of a vector


@dataclass(eq=False)
class Buffer:
    """Memory of a result of the network.

    Args:
        length: in floats.
    """

    length: int
    start: int = -1  # in the arena, once it is known


@dataclass(frozen=True)
class Place:
    """A tensor ``(C, [D,] H, W)`` in memory.

    Args:
        buffer: that holds it.
        channels: of the tensor.
        size: its depth, height and width; the depth of a picture is 1.
        offset: of its first float in the buffer.
    """

    buffer: Buffer
    channels: int
    size: tuple[int, int, int]
    offset: int = 0

    @property
    def voxels(self) -> int:
        """Of one channel."""
        return math.prod(self.size)

    @property
    def length(self) -> int:
        """In floats."""
        return self.channels * self.voxels

    def channel(self, first: int, count: int) -> Place:
        """Some of its channels."""
        return Place(self.buffer, count, self.size, self.offset + first * self.voxels)


class Weights:
    """The numbers of a network, one behind the other."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self.length = 0

    def put(self, values: np.ndarray) -> Weight:
        """Add an array; a step names it by what this returns."""
        array = np.ascontiguousarray(values, "<f4").ravel()
        padded = np.pad(array, (0, -array.size % ALIGNMENT))
        self._parts.append(padded)
        self.length += padded.size
        return Weight(self.length - padded.size)

    def content(self) -> bytes:
        """All of them, float32, little-endian."""
        return np.concatenate(self._parts).tobytes() if self._parts else b""


@dataclass(frozen=True)
class Weight:
    """Where numbers lie among the weights, in floats."""

    start: int


Argument = int | float | None | Place | Weight | Sequence[int] | Sequence[Place]


@dataclass
class Program:
    """Steps in the order in which they run.

    Args:
        weights: that they name.
        steps: function, arguments, and what it reads and writes.
    """

    weights: Weights = field(default_factory=Weights)
    steps: list[tuple[str, list[Argument]]] = field(default_factory=list)

    def new(self, channels: int, size: tuple[int, int, int]) -> Place:
        """Memory for a result."""
        return Place(Buffer(channels * math.prod(size)), channels, size)

    def call(self, function: str, *arguments: Argument) -> None:
        """Add a step."""
        if function not in FUNCTIONS:
            raise ValueError(f"{function} is no function of the engine")
        self.steps.append((function, list(arguments)))

    def laid_out(self, image: Place, logits: Place) -> dict:
        """The plan as JSON: numbers stay numbers, ``"a8"`` is the float 8 of the arena, ``"w8"`` that of the weights,
        null no memory; a list of places becomes a list of pointers.

        Args:
            image: what the network takes, written before the first step.
            logits: what it gives, read after the last one.

        Example:
            >>> program = Program()
            >>> image = program.new(1, (1, 2, 2))
            >>> logits = program.new(1, (1, 2, 2))
            >>> program.call("add", image, image, logits, 4)
            >>> plan = program.laid_out(image, logits)
            >>> plan["steps"], plan["arena"]
            ([['add', 'a0', 'a0', 'a4', 4]], 8)
        """
        arena = self._place_buffers(image, logits)
        return {
            "image": {"at": _named(image), "channels": image.channels, "size": list(image.size)},
            "logits": {"at": _named(logits), "channels": logits.channels, "size": list(logits.size)},
            "arena": arena,
            "steps": [[function, *map(_named, arguments)] for function, arguments in self.steps],
        }

    def _place_buffers(self, image: Place, logits: Place) -> int:
        """Give every buffer its start, so that those in use at the same time do not overlap; the floats of all."""
        first: dict[Buffer, int] = {image.buffer: -1}
        last: dict[Buffer, int] = {}
        for number, (_, arguments) in enumerate(self.steps):
            for place in _places(arguments):
                first.setdefault(place.buffer, number)
                last[place.buffer] = number
        last[logits.buffer] = len(self.steps)
        needed, placed = 0, []
        for buffer in sorted(first, key=lambda each: (first[each], -each.length)):
            busy = sorted((other.start, other.start + other.length) for other in placed if last[other] >= first[buffer])
            start = 0
            for begin, end in busy:
                if begin - start >= buffer.length:
                    break
                start = max(start, -(-end // ALIGNMENT) * ALIGNMENT)
            buffer.start = start
            placed.append(buffer)
            needed = max(needed, start + buffer.length)
        return needed


def _places(arguments: Sequence[Argument]) -> list[Place]:
    found = []
    for each in arguments:
        if isinstance(each, Place):
            found.append(each)
        elif isinstance(each, list):
            found += [item for item in each if isinstance(item, Place)]
    return found


def _named(argument: Argument) -> int | float | str | list | None:
    if isinstance(argument, Place):
        return f"a{argument.buffer.start + argument.offset}"
    if isinstance(argument, Weight):
        return f"w{argument.start}"
    return [_named(each) for each in argument] if isinstance(argument, list) else argument
