"""What computes voxel by voxel: activations, sums and products."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from lunet_networks.authoring.web_page.graph.nodes import layout, operator_name
from lunet_networks.authoring.web_page.graph.translation import Operator, Translation
from lunet_networks.authoring.web_page.steps import Place

__all__ = ["OPERATORS", "affine"]

RELU, LEAKY_RELU, GELU, HARD_SWISH, HARD_SIGMOID = range(5)  # as in sources/engine/engine.cpp
ACTIVATIONS = {
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "prelu": LEAKY_RELU,
    "gelu": GELU,
    "hardswish": HARD_SWISH,
    "hardsigmoid": HARD_SIGMOID,
}


def affine(translation: Translation, source: Any, scale: np.ndarray | None, shift: np.ndarray | None) -> Place:
    """Each channel of a node's value times a factor, plus a shift; either may be None."""
    place = translation.whole(source)
    output = translation.program.new(place.channels, place.size)
    numbers = translation.put(scale), translation.put(shift)
    translation.program.call("affine", place, place.channels, *numbers, output, place.voxels)
    return output


def _activation(translation: Translation, node: fx.Node) -> Place:
    name, slope = operator_name(node), 0.0
    if name == "leaky_relu":
        slope = node.args[1] if len(node.args) > 1 else 0.01
    elif name == "prelu":
        slopes = translation.constant(node.args[1])
        if slopes.size != 1:
            raise ValueError("the engine of a page has no PReLU of several slopes, which this network needs")
        slope = float(slopes[0])
    if node.kwargs.get("approximate", "none") != "none" or (name == "gelu" and len(node.args) > 1):
        raise ValueError("the engine of a page has no approximate GELU, which this network needs")
    source, output = translation.whole(node.args[0]), translation.program.new(*layout(node))
    translation.program.call("activate", source, output, source.length, ACTIVATIONS[name], slope)
    return output


def _add(translation: Translation, node: fx.Node) -> Place:
    return _of_two("add", translation, node)


def _multiply(translation: Translation, node: fx.Node) -> Place:
    return _of_two("multiply", translation, node)


def _of_two(function: str, translation: Translation, node: fx.Node) -> Place:
    first, second = node.args[:2]
    if translation.constant_or_none(first) is not None:
        first, second = second, first
    number = translation.constant_or_none(second)
    if number is not None:
        each = _of_channels(number, layout(node)[0])
        return affine(translation, first, *((each, None) if function == "multiply" else (None, each)))
    if node.kwargs.get("alpha", 1) != 1:
        raise ValueError("the engine of a page has no weighted sum, which this network needs")
    a, b = translation.whole(first), translation.whole(second)
    output = translation.program.new(*layout(node))
    if a.length < b.length:
        a, b = b, a
    if (a.channels, a.size) != (output.channels, output.size):
        raise ValueError(f"the engine of a page has no {function} of these shapes, which this network needs")
    if b.size == (1, 1, 1) and b.channels == a.channels and a.voxels > 1 and function == "multiply":
        translation.program.call("affine", a, a.channels, b, None, output, a.voxels)
    elif (b.channels, b.size) == (a.channels, a.size):
        translation.program.call(function, a, b, output, a.length)
    else:
        raise ValueError(f"the engine of a page has no {function} of these shapes, which this network needs")
    return output


def _of_channels(values: np.ndarray, channels: int) -> np.ndarray:
    if values.size not in (1, channels):
        raise ValueError(f"the engine of a page has no constant of {values.size} numbers for {channels} channels")
    return np.broadcast_to(values.ravel(), (channels,))


OPERATORS: dict[str, Operator] = {**dict.fromkeys(ACTIVATIONS, _activation), "add": _add, "mul": _multiply}
