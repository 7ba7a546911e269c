"""Norms, and the numbers of a batch norm that become part of other steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from lunet_networks.authoring.web_page.graph.nodes import arguments, layout
from lunet_networks.authoring.web_page.graph.translation import Operator, Translation
from lunet_networks.authoring.web_page.graph.voxelwise import affine
from lunet_networks.authoring.web_page.steps import Place

__all__ = ["OPERATORS", "norm_arrays", "norm_eps", "scale_and_shift"]


def norm_arrays(translation: Translation, node: fx.Node) -> list[np.ndarray]:
    """Weight, bias, mean and variance of a batch norm."""
    weight, bias, mean, variance = (translation.constant(each) for each in node.args[1:5])
    return [
        np.ones_like(variance) if weight is None else weight,
        np.zeros_like(variance) if bias is None else bias,
        mean,
        variance,
    ]


def norm_eps(node: fx.Node) -> float:
    """What is added to the variance of a batch norm."""
    return float(node.args[7])


def scale_and_shift(translation: Translation, node: fx.Node) -> tuple[np.ndarray, np.ndarray]:
    """What a batch norm multiplies each channel by, and then adds, float64."""
    weight, bias, mean, variance = (each.astype(float) for each in norm_arrays(translation, node))
    scale = weight / np.sqrt(variance + norm_eps(node))
    return scale, bias - mean * scale


def _batch_norm(translation: Translation, node: fx.Node) -> Place:
    return affine(translation, node.args[0], *scale_and_shift(translation, node))


def _instance_norm(translation: Translation, node: fx.Node) -> Place:
    return _normalised(translation, node, node.args[1], node.args[2], node.args[7])


def _group_norm(translation: Translation, node: fx.Node) -> Place:
    groups, weight, bias, eps = arguments(node, 1, (None, None, 1e-5))[:4]
    if groups != layout(node)[0]:
        raise ValueError("the engine of a page has no norm of groups of several channels, which this network needs")
    return _normalised(translation, node, weight, bias, eps)


def _normalised(translation: Translation, node: fx.Node, weight: Any, bias: Any, eps: float) -> Place:
    source, output = translation.whole(node.args[0]), translation.program.new(*layout(node))
    numbers = [translation.put(translation.constant(each)) for each in (weight, bias)]
    translation.program.call("instance_norm", source, source.channels, *numbers, eps, output, source.voxels)
    return output


OPERATORS: dict[str, Operator] = {
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
}
