"""From a network to the steps of a plan: PyTorch exports its graph, and every operator becomes calls of the engine."""

from __future__ import annotations

import contextlib
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from lunet_networks.authoring.web_page.steps import Place, Program, Weight

__all__ = ["network_program"]

RELU, LEAKY_RELU, GELU, HARD_SWISH, HARD_SIGMOID = range(5)  # as in sources/engine/engine.cpp
ACTIVATIONS = {
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "prelu": LEAKY_RELU,
    "gelu": GELU,
    "hardswish": HARD_SWISH,
    "hardsigmoid": HARD_SIGMOID,
}
WITHOUT_EFFECT = ("feature_dropout", "dropout", "alias", "contiguous", "clone")
Value = Place | list[Place]  # a list stands for the concatenation of its channels


@dataclass
class _Conv:
    """A convolution, its parameters and what follows it."""

    node: fx.Node
    kernel: np.ndarray  # (out, in / groups, depth, height, width)
    bias: np.ndarray | None
    stride: tuple[int, int, int]
    padding: tuple[int, int, int]
    groups: int
    norm: fx.Node | None = None
    relu: fx.Node | None = None
    norm_first: bool = False
    limits: list[np.ndarray] | None = None  # least and greatest value of each channel

    def is_kernel_of(self, size: int, padding: int) -> bool:
        """Whether the kernel is this long along all axes (along the depth 1 for a picture), with stride 1."""
        dims = 2 if self.kernel.ndim == 4 or "2d" in _name(self.node) else 3
        expected = ((1,) * (3 - dims) + (size,) * dims, (0,) * (3 - dims) + (padding,) * dims)
        return (self.kernel.shape[2:], self.padding) == expected and self.stride == (1, 1, 1)


def network_program(network: nn.Module, shape: Sequence[int]) -> tuple[Program, Place, Place]:
    """The steps of a network for one shape of input.

    Args:
        network: in evaluation, on the CPU.
        shape: ``(1, C, [D,] H, W)``.

    Returns:
        The program, the place of the image and that of the logits.

    Raises:
        ValueError: if the engine lacks something that the network needs; the message says what.

    Example:
        >>> program, image, logits = network_program(nn.Conv3d(1, 2, 1), (1, 1, 4, 4, 4))
        >>> [function for function, _ in program.steps], logits.channels
        (['pointwise'], 2)
    """
    with torch.no_grad(), _quiet():
        exported = torch.export.export(network.eval(), (torch.zeros(tuple(shape)),))
    return _Translation(exported).run()


class _Translation:
    """One pass over the graph."""

    def __init__(self, exported: torch.export.ExportedProgram) -> None:
        self.exported = exported
        self.program = Program()
        self.values: dict[fx.Node, Value] = {}
        self.constants = dict(_constants(exported))
        self.done: set[fx.Node] = set()  # part of a step of another node
        for node in exported.graph.nodes:
            if _name(node) in ("view", "reshape") and node.args[0].name in self.constants:
                self.constants[node.name] = self.constants[node.args[0].name]
                self.done.add(node)
        self.perceptrons = dict(self._find_perceptrons())

    def run(self) -> tuple[Program, Place, Place]:
        image = None
        for node in self.exported.graph.nodes:
            if node.op == "placeholder" and node.name not in self.constants:
                image = self.values[node] = self.program.new(*_layout(node))
            elif node.op == "call_function" and node not in self.done:
                self.values[node] = self._translated(node)
        (result,) = next(node for node in self.exported.graph.nodes if node.op == "output").args[0]
        if image is None or not isinstance(result, fx.Node):
            raise ValueError("a page needs a network that takes one image and gives one tensor")
        return self.program, image, self._whole(result)

    def _translated(self, node: fx.Node) -> Value:
        name = _name(node)
        if name in WITHOUT_EFFECT:
            return self.values[node.args[0]]
        if name in ACTIVATIONS:
            return self._activation(node, ACTIVATIONS[name])
        handler: Callable[[fx.Node], Value] | None = getattr(self, f"_{name}", None)
        if handler is None:
            raise ValueError(f"the engine of a page has no {node.target}, which this network needs")
        return handler(node)

    # ---- convolutions

    def _conv3d(self, node: fx.Node) -> Value:
        conv = self._described(node)
        plain = conv.is_kernel_of(3, 1)
        if plain and conv.groups == 1:
            return self._conv3(self._with_norm_and_relu(conv))
        conv = self._with_folded_norm(conv)
        output = self.program.new(*_layout(node))
        weight, bias = self._put(conv.kernel), self._put(conv.bias)
        if plain and conv.groups == conv.kernel.shape[0] and conv.kernel.shape[1] == 1:
            source = self._whole(node.args[0])
            size = (*_as_volume(source.size, node), 1 if "2d" in _name(node) else 3)
            self.program.call("depthwise3", source, source.channels, weight, bias, output, *size)
        elif conv.is_kernel_of(1, 0) and conv.groups == 1:
            channels = self._channels(node.args[0])
            counts = len(channels), output.channels
            self.program.call("pointwise", channels, *counts, weight, bias, output, output.voxels)
        else:
            self._general("convolution", conv, self._whole(node.args[0]), weight, bias, output)
        return self._last(conv, output)

    _conv2d = _conv3d

    def _conv3(self, conv: _Conv) -> Place:
        source = self._parts(conv.node.args[0])
        output = self.program.new(*_layout(conv.node))
        norm: list[Weight | None] = [None] * 4
        limits: list[Weight | None] = [None] * 2
        eps = 0.0
        if conv.limits is not None:
            limits = [self._put(each) for each in conv.limits]
        elif conv.norm is not None and conv.relu is not None:
            norm, eps = [self._put(each) for each in self._norm_arrays(conv.norm)], float(conv.norm.args[7])
        elif conv.relu is not None:
            limits = [self._put(np.full(output.channels, value)) for value in (0.0, np.inf)]
        size = (*_as_volume(output.size, conv.node), 1 if "2d" in _name(conv.node) else 3)
        self.program.call(
            "conv3",
            source,
            [part.channels for part in source],
            len(source),
            output.channels,
            self._put(conv.kernel),
            self._put(conv.bias),
            *norm,
            eps,
            int(conv.norm_first),
            *limits,
            output,
            *size,
        )
        return self._last(conv, output)

    def _conv_transpose3d(self, node: fx.Node) -> Place:
        weight, bias, stride, padding, extra, groups, dilation = _arguments(node, 1, (None, 1, 0, 0, 1, 1))
        if set(_triple(dilation, 1)) != {1}:
            raise ValueError("the engine of a page has no dilated transposed convolution, which this network needs")
        source, output = self._whole(node.args[0]), self.program.new(*_layout(node))
        kernel = _volume_kernel(self._constant(weight))
        conv = _Conv(node, kernel, self._constant(bias), _triple(stride, 1), _triple(padding, 0), groups)
        taps = 1 if "2d" in _name(node) else 2
        halves = (taps, 2, 2)
        placed, biased = self._put(kernel), self._put(conv.bias)
        each = kernel.shape[0] == groups and kernel.shape[1] == 1
        if conv.stride == halves and kernel.shape[2:] == halves and not any(conv.padding) and groups == 1:
            size = (source.channels, output.channels, placed, biased, output, *source.size, taps)
            self.program.call("up2", source, *size)
        elif (
            (conv.stride == halves and each and not any(_triple(extra, 0)))
            and kernel.shape[2:] == (2 * taps - 1, 3, 3)
            and conv.padding == (taps - 1, 1, 1)
        ):
            size = (*source.size, 2 * taps - 1)
            self.program.call("depthwise_up3", source, source.channels, placed, biased, output, *size)
        else:
            self._general("transposed", conv, source, placed, biased, output)
        return output

    _conv_transpose2d = _conv_transpose3d

    def _general(
        self, function: str, conv: _Conv, source: Place, weight: Weight, bias: Weight | None, output: Place
    ) -> None:
        shape = (source.channels, *source.size, output.channels, *output.size, weight, bias, conv.groups)
        layout = (*conv.kernel.shape[2:], *conv.stride, *conv.padding)
        self.program.call(function, source, *shape, *layout, output)

    def _described(self, node: fx.Node) -> _Conv:
        weight, bias, stride, padding, dilation, groups = _arguments(node, 1, (None, 1, 0, 1, 1))
        if isinstance(padding, str) or set(_triple(dilation, 1)) != {1}:
            raise ValueError(f"the engine of a page has no dilated {_name(node)}, which this network needs")
        kernel = _volume_kernel(self._constant(weight))
        return _Conv(node, kernel, self._constant(bias), _triple(stride, 1), _triple(padding, 0), groups)

    def _with_norm_and_relu(self, conv: _Conv) -> _Conv:
        """With the ReLU and the batch norm behind it, in either order, or a ReLU, or limits, or nothing."""
        first = _only_user(conv.node)
        second = _only_user(first)
        names = [_name(each) for each in (first, second)]
        if names == ["maximum", "minimum"]:
            limits = [self._constant_or_none(each.args[1]) for each in (first, second)]
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
            conv = self._with_folded_norm(conv)
        return conv

    def _with_folded_norm(self, conv: _Conv) -> _Conv:
        """A batch norm right behind it becomes part of its numbers."""
        norm = _only_user(conv.node)
        if _name(norm) == "batch_norm":
            scale, shift = self._scale_and_shift(norm)
            bias = 0.0 if conv.bias is None else conv.bias
            conv.kernel = conv.kernel * scale.reshape(-1, 1, 1, 1, 1)
            conv.bias = bias * scale + shift
            conv.norm = norm
        return conv

    def _last(self, conv: _Conv, output: Place) -> Place:
        """What was computed along with a convolution has the same place."""
        for node in (conv.norm, conv.relu):
            if node is not None:
                self.values[node] = output
                self.done.add(node)
        return output

    # ---- norms

    def _norm_arrays(self, node: fx.Node) -> list[np.ndarray]:
        weight, bias, mean, variance = (self._constant(each) for each in node.args[1:5])
        return [
            np.ones_like(variance) if weight is None else weight,
            np.zeros_like(variance) if bias is None else bias,
            mean,
            variance,
        ]

    def _scale_and_shift(self, node: fx.Node) -> tuple[np.ndarray, np.ndarray]:
        weight, bias, mean, variance = (each.astype(float) for each in self._norm_arrays(node))
        scale = weight / np.sqrt(variance + float(node.args[7]))
        return scale, bias - mean * scale

    def _batch_norm(self, node: fx.Node) -> Place:
        return self._affine(node.args[0], *self._scale_and_shift(node))

    def _instance_norm(self, node: fx.Node) -> Place:
        return self._normalised(node, node.args[1], node.args[2], node.args[7])

    def _group_norm(self, node: fx.Node) -> Place:
        groups, weight, bias, eps = _arguments(node, 1, (None, None, 1e-5))[:4]
        if groups != _layout(node)[0]:
            raise ValueError("the engine of a page has no norm of groups of several channels, which this network needs")
        return self._normalised(node, weight, bias, eps)

    def _normalised(self, node: fx.Node, weight: Any, bias: Any, eps: float) -> Place:
        source, output = self._whole(node.args[0]), self.program.new(*_layout(node))
        numbers = self._put(self._constant(weight)), self._put(self._constant(bias))
        self.program.call("instance_norm", source, source.channels, *numbers, eps, output, source.voxels)
        return output

    # ---- what computes voxel by voxel

    def _activation(self, node: fx.Node, kind: int) -> Place:
        slope = 0.0
        if _name(node) == "leaky_relu":
            slope = node.args[1] if len(node.args) > 1 else 0.01
        elif _name(node) == "prelu":
            slopes = self._constant(node.args[1])
            if slopes.size != 1:
                raise ValueError("the engine of a page has no PReLU of several slopes, which this network needs")
            slope = float(slopes[0])
        if node.kwargs.get("approximate", "none") != "none" or (kind == GELU and len(node.args) > 1):
            raise ValueError("the engine of a page has no approximate GELU, which this network needs")
        source, output = self._whole(node.args[0]), self.program.new(*_layout(node))
        self.program.call("activate", source, output, source.length, kind, slope)
        return output

    def _add(self, node: fx.Node) -> Place:
        if node in self.perceptrons:
            return self._perceptron(node, *self.perceptrons[node])
        return self._of_two("add", node)

    def _mul(self, node: fx.Node) -> Place:
        return self._of_two("multiply", node)

    def _of_two(self, function: str, node: fx.Node) -> Place:
        first, second = node.args[:2]
        if self._constant_or_none(first) is not None:
            first, second = second, first
        number = self._constant_or_none(second)
        channels = _layout(node)[0]
        if number is not None:
            each = _of_channels(number, channels)
            return self._affine(first, each, None) if function == "multiply" else self._affine(first, None, each)
        if node.kwargs.get("alpha", 1) != 1:
            raise ValueError("the engine of a page has no weighted sum, which this network needs")
        a, b = self._whole(first), self._whole(second)
        output = self.program.new(*_layout(node))
        if a.length < b.length:
            a, b = b, a
        if (a.channels, a.size) != (output.channels, output.size):
            raise ValueError(f"the engine of a page has no {function} of these shapes, which this network needs")
        if b.size == (1, 1, 1) and b.channels == a.channels and a.voxels > 1 and function == "multiply":
            self.program.call("affine", a, a.channels, b, None, output, a.voxels)
        elif (b.channels, b.size) == (a.channels, a.size):
            self.program.call(function, a, b, output, a.length)
        else:
            raise ValueError(f"the engine of a page has no {function} of these shapes, which this network needs")
        return output

    def _affine(self, source: Any, scale: np.ndarray | None, shift: np.ndarray | None) -> Place:
        place = self._whole(source)
        output = self.program.new(place.channels, place.size)
        self.program.call("affine", place, place.channels, self._put(scale), self._put(shift), output, place.voxels)
        return output

    def _find_perceptrons(self) -> Iterator[tuple[fx.Node, tuple[fx.Node, fx.Node, Any]]]:
        """Sums whose one side is a pointwise layer, a GELU and another such layer: the package has a kernel for it."""
        for node in self.exported.graph.nodes:
            if _name(node) != "add" or len(node.args) != 2:
                continue
            for narrow, residual in (node.args, node.args[::-1]):
                act = _source(narrow, "conv")
                wide = _source(act, "gelu")
                inputs = _source(wide, "conv")
                if inputs is None or not all(self._is_pointwise(each) for each in (narrow, wide)):
                    continue
                chain = [narrow, *_between(narrow, wide)]
                if all(len(each.users) == 1 for each in chain) and residual not in chain:
                    self.done.update(chain)
                    yield node, (wide, narrow, residual)
                    break

    def _is_pointwise(self, node: fx.Node) -> bool:
        conv = self._described(node)
        return conv.is_kernel_of(1, 0) and conv.groups == 1 and conv.bias is not None

    def _perceptron(self, node: fx.Node, wide: fx.Node, narrow: fx.Node, residual: fx.Node) -> Place:
        source, other, output = self._whole(wide.args[0]), self._whole(residual), self.program.new(*_layout(node))
        layers = [self._described(each) for each in (wide, narrow)]
        numbers = [self._put(each) for layer in layers for each in (layer.kernel, layer.bias)]
        counts = source.channels, layers[0].kernel.shape[0], output.channels
        self.program.call("perceptron", source, other, *counts, *numbers, output, output.voxels)
        return output

    # ---- what changes sizes

    def _max_pool3d(self, node: fx.Node) -> Place:
        kernel, stride, padding, _dilation, ceil = _arguments(node, 1, ((), 0, 1, False))
        source, output = self._whole(node.args[0]), self.program.new(*_layout(node))
        taps = 1 if "2d" in _name(node) else 2
        twos = (taps, 2, 2)
        strides = _triple(stride if stride else kernel, 1)
        if (_triple(kernel, 1), strides, any(_triple(padding, 0)), ceil) != (twos, twos, False, False):
            raise ValueError("the engine of a page pools by 2 only, this network needs something else")
        self.program.call("pool2", source, source.channels, output, *source.size, taps)
        return output

    _max_pool2d = _max_pool3d

    def _cat(self, node: fx.Node) -> Value:
        if (node.args[1] if len(node.args) > 1 else 0) != 1:
            raise ValueError("the engine of a page joins channels only, this network needs something else")
        return [part for each in node.args[0] for part in self._parts(each)]

    def _mean(self, node: fx.Node) -> Place:
        source, output = self._whole(node.args[0]), self.program.new(*_layout(node))
        if sorted(node.args[1]) != list(range(2, node.meta["val"].ndim)):
            raise ValueError("the engine of a page has the mean over all voxels only, this network needs another one")
        self.program.call("mean", source, source.channels, output, source.voxels)
        return output

    def _pad(self, node: fx.Node) -> Place:
        sides = node.args[1]
        if len(node.args) > 2 and (node.args[2] != "constant" or (len(node.args) > 3 and node.args[3])):
            raise ValueError("the engine of a page pads by zeros only, this network needs something else")
        before = [*reversed(sides[::2])]
        start = [-each for each in ([0] * (3 - len(before)) + before)]
        return self._window(node, start, [1, 1, 1])

    def _slice(self, node: fx.Node) -> Place:
        axis, start, _, step = _arguments(node, 1, (0, None, 1))[:4]
        start = start or 0
        if axis == 1 and step == 1:
            return self._whole(node.args[0]).channel(start, _layout(node)[0])
        if axis < 2:
            raise ValueError("the engine of a page has no such part of the channels, which this network needs")
        starts, steps = [0, 0, 0], [1, 1, 1]
        along = axis - node.meta["val"].ndim
        starts[along], steps[along] = start, step
        return self._window(node, starts, steps)

    def _window(self, node: fx.Node, start: Sequence[int], step: Sequence[int]) -> Place:
        source = self._whole(node.args[0])
        channels, size = _layout(node)
        if size == source.size:
            return source
        output = self.program.new(channels, size)
        self.program.call("window", source, channels, *source.size, *size, *start, *step, output)
        return output

    def _upsample_nearest3d(self, node: fx.Node) -> Place:
        source, output = self._whole(node.args[0]), self.program.new(*_layout(node))
        if any(there % here for there, here in zip(output.size, source.size, strict=True)):
            raise ValueError("the engine of a page enlarges by whole numbers only, this network needs something else")
        self.program.call("nearest", source, source.channels, *source.size, *output.size, output)
        return output

    _upsample_nearest2d = _upsample_nearest3d

    def _upsample_bilinear2d(self, node: fx.Node) -> Place:
        if node.args[2]:
            raise ValueError("the engine of a page does not align corners, which this network needs")
        source, output = self._whole(node.args[0]), self.program.new(*_layout(node))
        self.program.call("bilinear", source, source.channels, *source.size[1:], *output.size[1:], output)
        return output

    # ---- values

    def _parts(self, node: Any) -> list[Place]:
        value = self.values[node]
        return value if isinstance(value, list) else [value]

    def _channels(self, node: Any) -> list[Place]:
        return [part.channel(number, 1) for part in self._parts(node) for number in range(part.channels)]

    def _whole(self, node: Any) -> Place:
        parts = self._parts(node)
        if len(parts) > 1:
            joined = self.program.new(sum(part.channels for part in parts), parts[0].size)
            first = 0
            for part in parts:
                self.program.call("copy", part, joined.channel(first, part.channels), part.length)
                first += part.channels
            self.values[node] = parts = [joined]
        return parts[0]

    def _constant(self, argument: Any) -> np.ndarray | None:
        if argument is None:
            return None
        found = self._constant_or_none(argument)
        if found is None:
            raise ValueError(f"the engine of a page needs numbers where this network computes them: {argument}")
        return found

    def _constant_or_none(self, argument: Any) -> np.ndarray | None:
        if isinstance(argument, int | float):
            return np.array([argument], np.float32)
        return self.constants.get(getattr(argument, "name", None))

    def _put(self, values: np.ndarray | None) -> Weight | None:
        return None if values is None else self.program.weights.put(values)


def _constants(exported: torch.export.ExportedProgram) -> Iterator[tuple[str, np.ndarray]]:
    """The parameters and buffers of the graph by the names of their nodes."""
    for spec in exported.graph_signature.input_specs:
        if spec.target is not None:
            tensors = exported.state_dict if spec.target in exported.state_dict else exported.constants
            yield spec.arg.name, tensors[spec.target].detach().cpu().numpy()


def _name(node: Any) -> str:
    """The operator of a node without its overload: ``conv3d``; "" for other nodes."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return ""
    if node.target is operator.getitem:
        return "getitem"
    return str(node.target).split(".")[1].rstrip("_")


def _arguments(node: fx.Node, first: int, defaults: Sequence[Any]) -> list[Any]:
    """The arguments from ``first`` on; where the last ones are left out, their defaults."""
    given = list(node.args[first:])
    return [*given, *defaults[max(0, len(given) - 1) :]]


def _layout(node: fx.Node) -> tuple[int, tuple[int, int, int]]:
    batch, channels, *size = node.meta["val"].shape
    if batch != 1 or len(size) not in (2, 3):
        raise ValueError("a page needs a network of images with two or three axes")
    return int(channels), tuple([1] * (3 - len(size)) + [int(side) for side in size])


def _as_volume(size: tuple[int, int, int], node: fx.Node) -> tuple[int, int, int]:
    """The rows of a picture are planes of one row to a convolution of three taps."""
    return (size[1], 1, size[2]) if "2d" in _name(node) else size


def _triple(values: Any, fill: int) -> tuple[int, int, int]:
    """A number for depth, height and width; ``fill`` for the depth of a picture."""
    given = [values] * 3 if isinstance(values, int) else list(values)
    given = given * 3 if len(given) == 1 else given
    return tuple([fill] * (3 - len(given)) + given)


def _volume_kernel(kernel: np.ndarray) -> np.ndarray:
    return kernel[:, :, None] if kernel.ndim == 4 else kernel


def _of_channels(values: np.ndarray, channels: int) -> np.ndarray:
    if values.size not in (1, channels):
        raise ValueError(f"the engine of a page has no constant of {values.size} numbers for {channels} channels")
    return np.broadcast_to(values.ravel(), (channels,))


def _only_user(node: fx.Node | None) -> fx.Node | None:
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None


def _source(node: Any, kind: str) -> Any:
    """What a node of this kind takes, past nodes without effect; None if it is of another kind."""
    if not _name(node).startswith(kind) or "transpose" in _name(node):
        return None
    source = node.args[0]
    while _name(source) in WITHOUT_EFFECT:
        source = source.args[0]
    return source


def _between(last: fx.Node, first: fx.Node) -> list[fx.Node]:
    """The nodes before ``last`` down to ``first``."""
    found = []
    while last is not first:
        last = last.args[0]
        found.append(last)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's warnings for developers of exporters."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
