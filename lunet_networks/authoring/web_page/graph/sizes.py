"""What changes the size of a volume or the number of its channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from lunet_networks.authoring.web_page.graph.nodes import arguments, is_flat, layout, triple
from lunet_networks.authoring.web_page.graph.translation import Operator, Translation, Value
from lunet_networks.authoring.web_page.steps import Place

__all__ = ["OPERATORS"]


def _max_pool(translation: Translation, node: fx.Node) -> Place:
    kernel, stride, padding, _dilation, ceil = arguments(node, 1, ((), 0, 1, False))
    source, output = translation.whole(node.args[0]), translation.program.new(*layout(node))
    taps = 1 if is_flat(node) else 2
    twos = (taps, 2, 2)
    strides = triple(stride if stride else kernel, 1)
    if (triple(kernel, 1), strides, any(triple(padding, 0)), ceil) != (twos, twos, False, False):
        raise ValueError("the engine of a page pools by 2 only, this network needs something else")
    translation.program.call("pool2", source, source.channels, output, *source.size, taps)
    return output


def _cat(translation: Translation, node: fx.Node) -> Value:
    if (node.args[1] if len(node.args) > 1 else 0) != 1:
        raise ValueError("the engine of a page joins channels only, this network needs something else")
    return [part for each in node.args[0] for part in translation.parts(each)]


def _mean(translation: Translation, node: fx.Node) -> Place:
    source, output = translation.whole(node.args[0]), translation.program.new(*layout(node))
    if sorted(node.args[1]) != list(range(2, node.meta["val"].ndim)):
        raise ValueError("the engine of a page has the mean over all voxels only, this network needs another one")
    translation.program.call("mean", source, source.channels, output, source.voxels)
    return output


def _pad(translation: Translation, node: fx.Node) -> Place:
    sides = node.args[1]
    if len(node.args) > 2 and (node.args[2] != "constant" or (len(node.args) > 3 and node.args[3])):
        raise ValueError("the engine of a page pads by zeros only, this network needs something else")
    before = [*reversed(sides[::2])]
    start = [-each for each in ([0] * (3 - len(before)) + before)]
    return _window(translation, node, start, [1, 1, 1])


def _slice(translation: Translation, node: fx.Node) -> Place:
    axis, start, _, step = arguments(node, 1, (0, None, 1))[:4]
    start = start or 0
    if axis == 1 and step == 1:
        return translation.whole(node.args[0]).channel(start, layout(node)[0])
    if axis < 2:
        raise ValueError("the engine of a page has no such part of the channels, which this network needs")
    starts, steps = [0, 0, 0], [1, 1, 1]
    along = axis - node.meta["val"].ndim
    starts[along], steps[along] = start, step
    return _window(translation, node, starts, steps)


def _window(translation: Translation, node: fx.Node, start: Sequence[int], step: Sequence[int]) -> Place:
    source = translation.whole(node.args[0])
    channels, size = layout(node)
    if size == source.size:
        return source
    output = translation.program.new(channels, size)
    translation.program.call("window", source, channels, *source.size, *size, *start, *step, output)
    return output


def _nearest(translation: Translation, node: fx.Node) -> Place:
    source, output = translation.whole(node.args[0]), translation.program.new(*layout(node))
    if any(there % here for there, here in zip(output.size, source.size, strict=True)):
        raise ValueError("the engine of a page enlarges by whole numbers only, this network needs something else")
    translation.program.call("nearest", source, source.channels, *source.size, *output.size, output)
    return output


def _bilinear(translation: Translation, node: fx.Node) -> Place:
    if node.args[2]:
        raise ValueError("the engine of a page does not align corners, which this network needs")
    source, output = translation.whole(node.args[0]), translation.program.new(*layout(node))
    translation.program.call("bilinear", source, source.channels, *source.size[1:], *output.size[1:], output)
    return output


OPERATORS: dict[str, Operator] = {
    "max_pool3d": _max_pool,
    "max_pool2d": _max_pool,
    "cat": _cat,
    "mean": _mean,
    "pad": _pad,
    "slice": _slice,
    "upsample_nearest3d": _nearest,
    "upsample_nearest2d": _nearest,
    "upsample_bilinear2d": _bilinear,
}
