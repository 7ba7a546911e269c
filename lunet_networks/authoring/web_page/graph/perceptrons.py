"""Sums whose one side is a pointwise layer, a GELU and another such layer: the package has a kernel for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import fx

from lunet_networks.authoring.web_page.graph.convolutions import described
from lunet_networks.authoring.web_page.graph.nodes import layout, operator_name, source
from lunet_networks.authoring.web_page.graph.translation import Translation
from lunet_networks.authoring.web_page.steps import Place

__all__ = ["Perceptron", "find", "translated"]


@dataclass(frozen=True)
class Perceptron:
    """One of them, by the nodes of the graph.

    Args:
        sum: that ends it.
        wide: its first layer.
        narrow: its last layer.
        residual: the other side of the sum.
    """

    sum: fx.Node
    wide: fx.Node
    narrow: fx.Node
    residual: fx.Node


def find(translation: Translation) -> Iterator[Perceptron]:
    """Those of a graph; their inner nodes are done."""
    for node in translation.graph.nodes:
        if operator_name(node) != "add" or len(node.args) != 2:
            continue
        for narrow, residual in (node.args, node.args[::-1]):
            wide = source(source(narrow, "conv"), "gelu")
            if source(wide, "conv") is None:
                continue
            if not all(_is_pointwise(translation, each) for each in (narrow, wide)):
                continue
            chain = [narrow, *_between(narrow, wide)]
            if all(len(each.users) == 1 for each in chain) and residual not in chain:
                translation.done.update(chain)
                yield Perceptron(node, wide, narrow, residual)
                break


def translated(translation: Translation, perceptron: Perceptron) -> Place:
    """Its step."""
    inputs, other = (translation.whole(each) for each in (perceptron.wide.args[0], perceptron.residual))
    output = translation.program.new(*layout(perceptron.sum))
    layers = [described(translation, each) for each in (perceptron.wide, perceptron.narrow)]
    numbers = [translation.put(each) for layer in layers for each in (layer.kernel, layer.bias)]
    counts = inputs.channels, layers[0].kernel.shape[0], output.channels
    translation.program.call("perceptron", inputs, other, *counts, *numbers, output, output.voxels)
    return output


def _is_pointwise(translation: Translation, node: fx.Node) -> bool:
    conv = described(translation, node)
    return conv.is_kernel_of(1, 0) and conv.groups == 1 and conv.bias is not None


def _between(last: fx.Node, first: fx.Node) -> list[fx.Node]:
    """The nodes before ``last`` down to ``first``."""
    found = []
    while last is not first:
        last = last.args[0]
        found.append(last)
    return found
