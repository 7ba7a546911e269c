"""Convolutions, transposed ones too, and the norm, the ReLU or the limits behind them that become part of the same
step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import fx

from lunet_networks.authoring.web_page.graph.nodes import arguments, is_flat, layout, only_user, operator_name, triple
from lunet_networks.authoring.web_page.graph.norms import norm_arrays, norm_eps, scale_and_shift
from lunet_networks.authoring.web_page.graph.translation import Operator, Translation
from lunet_networks.authoring.web_page.steps import Place, Weight

__all__ = ["OPERATORS", "Convolution", "described"]

Triple = tuple[int, int, int]
GROUP = 16  # channels that the kernel of many channels takes together


@dataclass
class Convolution:
    """A convolution, its parameters and what follows it.

    Args:
        node: of the graph.
        kernel: ``(out, in / groups, depth, height, width)``; of a transposed one ``(in, out / groups, ...)``.
        bias: one number for each output channel, or None.
        stride: along the axes, as the next.
        padding: zeros on each side.
        groups: of channels.
        norm: the batch norm behind it that its step computes, or the last of its limits.
        relu: the ReLU behind it that its step computes, or the first of its limits.
        norm_first: whether the norm comes before the ReLU.
        limits: least and greatest value of each channel.
    """

    node: fx.Node
    kernel: np.ndarray
    bias: np.ndarray | None
    stride: Triple
    padding: Triple
    groups: int
    norm: fx.Node | None = None
    relu: fx.Node | None = None
    norm_first: bool = False
    limits: list[np.ndarray] | None = None

    def is_kernel_of(self, size: int, padding: int) -> bool:
        """Whether the kernel is this long along all axes (along the depth 1 for a picture), with stride 1."""
        flat = is_flat(self.node)
        expected = (1 if flat else size, size, size), (0 if flat else padding, padding, padding), (1, 1, 1)
        return (self.kernel.shape[2:], self.padding, self.stride) == expected

    @property
    def is_wide(self) -> bool:
        """Whether it is one for the kernel of many channels: groups of 16, one or three taps along an axis with zeros
        that keep the size, and one stride of 1 or 2."""
        taps, strides = self.kernel.shape[2:], {*self.stride[is_flat(self.node) :]}
        return (
            self.groups == 1
            and not any(count % GROUP for count in self.kernel.shape[:2])
            and {*taps} <= {1, 3}
            and self.padding == tuple(length // 2 for length in taps)
            and strides in ({1}, {2})
        )

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is computed of one channel of its own."""
        return self.groups == self.kernel.shape[0] and self.kernel.shape[1] == 1


def described(translation: Translation, node: fx.Node) -> Convolution:
    """The convolution of a node."""
    weight, bias, stride, padding, dilation, groups = arguments(node, 1, (None, 1, 0, 1, 1))
    if isinstance(padding, str) or set(triple(dilation, 1)) != {1}:
        raise ValueError(f"the engine of a page has no dilated {operator_name(node)}, which this network needs")
    numbers = _volume_kernel(translation.constant(weight)), translation.constant(bias)
    return Convolution(node, *numbers, triple(stride, 1), triple(padding, 0), groups)


def _convolution(translation: Translation, node: fx.Node) -> Place:
    conv = described(translation, node)
    if conv.is_kernel_of(3, 1) and conv.groups == 1:
        return _conv3(translation, _with_norm_and_relu(translation, conv))
    conv = _with_folded_norm(translation, conv)
    output = translation.program.new(*layout(node))
    weight, bias = translation.put(conv.kernel), translation.put(conv.bias)
    if conv.is_kernel_of(3, 1) and conv.is_depthwise:
        source = translation.whole(node.args[0])
        size = (*_as_volume(source.size, node), 1 if is_flat(node) else 3)
        translation.program.call("depthwise3", source, source.channels, weight, bias, output, *size)
    elif conv.is_kernel_of(1, 0) and conv.groups == 1:
        channels = translation.channels(node.args[0])
        counts = len(channels), output.channels
        translation.program.call("pointwise", channels, *counts, weight, bias, output, output.voxels)
    elif conv.is_wide:
        source = translation.whole(node.args[0])
        layers = (source.channels, output.channels, weight, bias, output)
        taps = (*conv.kernel.shape[2:], conv.stride[-1])
        translation.program.call("conv_wide", source, *layers, *source.size, *taps)
    else:
        _general("convolution", translation, conv, translation.whole(node.args[0]), weight, bias, output)
    return _last(translation, conv, output)


def _conv3(translation: Translation, conv: Convolution) -> Place:
    source = translation.parts(conv.node.args[0])
    output = translation.program.new(*layout(conv.node))
    norm: list[Weight | None] = [None] * 4
    limits: list[Weight | None] = [None] * 2
    eps = 0.0
    if conv.limits is not None:
        limits = [translation.put(each) for each in conv.limits]
    elif conv.norm is not None and conv.relu is not None:
        norm, eps = [translation.put(each) for each in norm_arrays(translation, conv.norm)], norm_eps(conv.norm)
    elif conv.relu is not None:
        limits = [translation.put(np.full(output.channels, value)) for value in (0.0, np.inf)]
    size = (*_as_volume(output.size, conv.node), 1 if is_flat(conv.node) else 3)
    translation.program.call(
        "conv3",
        source,
        [part.channels for part in source],
        len(source),
        output.channels,
        translation.put(conv.kernel),
        translation.put(conv.bias),
        *norm,
        eps,
        int(conv.norm_first),
        *limits,
        output,
        *size,
    )
    return _last(translation, conv, output)


def _transposed(translation: Translation, node: fx.Node) -> Place:
    weight, bias, stride, padding, extra, groups, dilation = arguments(node, 1, (None, 1, 0, 0, 1, 1))
    if set(triple(dilation, 1)) != {1}:
        raise ValueError("the engine of a page has no dilated transposed convolution, which this network needs")
    source, output = translation.whole(node.args[0]), translation.program.new(*layout(node))
    numbers = _volume_kernel(translation.constant(weight)), translation.constant(bias)
    conv = Convolution(node, *numbers, triple(stride, 1), triple(padding, 0), groups)
    taps = 1 if is_flat(node) else 2
    halves = (taps, 2, 2)
    placed, biased = translation.put(conv.kernel), translation.put(conv.bias)
    if conv.stride == halves and conv.kernel.shape[2:] == halves and not any(conv.padding) and groups == 1:
        size = (source.channels, output.channels, placed, biased, output, *source.size, taps)
        translation.program.call("up2", source, *size)
    elif (
        (conv.stride == halves and conv.is_depthwise and not any(triple(extra, 0)))
        and conv.kernel.shape[2:] == (2 * taps - 1, 3, 3)
        and conv.padding == (taps - 1, 1, 1)
    ):
        size = (*source.size, 2 * taps - 1)
        translation.program.call("depthwise_up3", source, source.channels, placed, biased, output, *size)
    else:
        _general("transposed", translation, conv, source, placed, biased, output)
    return output


def _general(
    function: str,
    translation: Translation,
    conv: Convolution,
    source: Place,
    weight: Weight,
    bias: Weight | None,
    output: Place,
) -> None:
    shape = (source.channels, *source.size, output.channels, *output.size, weight, bias, conv.groups)
    layout_of_taps = (*conv.kernel.shape[2:], *conv.stride, *conv.padding)
    translation.program.call(function, source, *shape, *layout_of_taps, output)


def _with_norm_and_relu(translation: Translation, conv: Convolution) -> Convolution:
    """With the ReLU and the batch norm behind it, in either order, or a ReLU, or limits, or nothing."""
    first = only_user(conv.node)
    second = only_user(first)
    names = [operator_name(each) for each in (first, second)]
    if names == ["maximum", "minimum"]:
        limits = [translation.constant_or_none(each.args[1]) for each in (first, second)]
        if all(each is not None and each.size == conv.kernel.shape[0] for each in limits):
            conv.limits, conv.norm, conv.relu = limits, second, first
        return conv
    if names == ["relu", "batch_norm"]:
        conv.relu, conv.norm = first, second
    elif names == ["batch_norm", "relu"]:
        conv.relu, conv.norm, conv.norm_first = second, first, True
    elif names[0] == "relu":
        conv.relu = first
    else:
        conv = _with_folded_norm(translation, conv)
    return conv


def _with_folded_norm(translation: Translation, conv: Convolution) -> Convolution:
    """A batch norm right behind it becomes part of its numbers."""
    norm = only_user(conv.node)
    if operator_name(norm) == "batch_norm":
        scale, shift = scale_and_shift(translation, norm)
        bias = 0.0 if conv.bias is None else conv.bias
        conv.kernel = conv.kernel * scale.reshape(-1, 1, 1, 1, 1)
        conv.bias = bias * scale + shift
        conv.norm = norm
    return conv


def _last(translation: Translation, conv: Convolution, output: Place) -> Place:
    """What was computed along with a convolution has the same place."""
    for node in (conv.norm, conv.relu):
        if node is not None:
            translation.values[node] = output
            translation.done.add(node)
    return output


def _as_volume(size: Triple, node: fx.Node) -> Triple:
    """The rows of a picture are planes of one row to a convolution of three taps."""
    return (size[1], 1, size[2]) if is_flat(node) else size


def _volume_kernel(kernel: np.ndarray) -> np.ndarray:
    return kernel[:, :, None] if kernel.ndim == 4 else kernel


OPERATORS: dict[str, Operator] = {
    "conv3d": _convolution,
    "conv2d": _convolution,
    "conv_transpose3d": _transposed,
    "conv_transpose2d": _transposed,
}
