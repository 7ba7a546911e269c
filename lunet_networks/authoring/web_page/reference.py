"""The functions of the engine in PyTorch: what a plan means, for a trial where neither node nor a browser is there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["run_plan"]

Tensor = torch.Tensor
ACTIVATIONS: tuple[Callable[[Tensor, float], Tensor], ...] = (  # in the order of the engine
    lambda x, _: F.relu(x),
    lambda x, slope: F.leaky_relu(x, slope),
    lambda x, _: F.gelu(x),
    lambda x, _: F.hardswish(x),
    lambda x, _: F.hardsigmoid(x),
)


def run_plan(plan: Mapping[str, Any], weights: bytes, image: np.ndarray) -> np.ndarray:
    """The logits of an image.

    Args:
        plan: of the network, as ``Program.laid_out`` gives it.
        weights: that it names.
        image: ``(C, [D,] H, W)``.

    Returns:
        ``(out_channels, depth, height, width)``.

    Example:
        >>> from lunet_networks.authoring.web_page.graph import network_program
        >>> program, image, logits = network_program(torch.nn.Conv2d(1, 1, 1, bias=False), (1, 1, 2, 2))
        >>> plan, weights = program.laid_out(image, logits), program.weights.content()
        >>> run_plan(plan, weights, np.zeros((1, 2, 2), np.float32)).shape
        (1, 1, 2, 2)
    """
    memory = _Memory(plan["arena"], weights)
    memory.write(plan["image"]["at"], torch.from_numpy(np.ascontiguousarray(image)))
    with torch.no_grad():
        for name, *arguments in plan["steps"]:
            getattr(memory, name)(*arguments)
    return memory.read(plan["logits"]["at"], plan["logits"]["channels"], *plan["logits"]["size"]).numpy().copy()


class _Memory:
    def __init__(self, arena: int, weights: bytes) -> None:
        self.parts = {"a": torch.zeros(arena), "w": torch.from_numpy(np.frombuffer(weights, "<f4").copy())}

    def read(self, place: str | None, *shape: int) -> Tensor | None:
        if place is None:
            return None
        start = int(place[1:])
        return self.parts[place[0]][start : start + math.prod(shape)].view(shape)

    def write(self, place: str, values: Tensor) -> None:
        self.read(place, values.numel()).copy_(values.reshape(-1))

    # ---- by the names of sources/engine/engine.cpp

    def conv3(self, inputs, widths, count, out, kernel, bias, *others):
        *norm, eps, norm_first, low, high, output, depth, height, width, taps = others
        size = depth, height, width
        x = torch.cat([self.read(place, width, *size) for place, width in zip(inputs, widths, strict=True)])
        weight = self.read(kernel, out, len(x), 3, taps, 3)
        x = F.conv3d(x[None], weight, self.read(bias, out), padding=(1, taps // 2, 1))
        if norm[0] is not None:
            scale, shift, mean, variance = (self.read(place, out) for place in norm)
            x = x if norm_first else x.relu()
            x = F.batch_norm(x, mean, variance, scale, shift, eps=eps)
            x = x.relu() if norm_first else x
        if low is not None:
            limits = (self.read(place, out, 1, 1, 1) for place in (low, high))
            x = x.clamp(*limits)
        self.write(output, x)

    def conv_wide(self, place, channels, out, kernel, bias, output, depth, height, width, *others):
        *taps, stride = others
        x, weight = self.read(place, 1, channels, depth, height, width), self.read(kernel, out, channels, *taps)
        padding = [length // 2 for length in taps]
        self.write(output, F.conv3d(x, weight, self.read(bias, out), stride, padding))

    def depthwise3(self, place, channels, kernel, bias, output, depth, height, width, taps):
        x = self.read(place, 1, channels, depth, height, width)
        weight = self.read(kernel, channels, 1, 3, taps, 3)
        bias = self.read(bias, channels)
        self.write(output, F.conv3d(x, weight, bias, padding=(1, taps // 2, 1), groups=channels))

    def depthwise_up3(self, place, channels, kernel, bias, output, depth, height, width, taps):
        x = self.read(place, 1, channels, depth, height, width)
        weight = self.read(kernel, channels, 1, taps, 3, 3)
        layout = {"stride": (1 + taps // 2, 2, 2), "padding": (taps // 2, 1, 1), "groups": channels}
        self.write(output, F.conv_transpose3d(x, weight, self.read(bias, channels), **layout))

    def pool2(self, place, channels, output, depth, height, width, taps):
        self.write(output, F.max_pool3d(self.read(place, 1, channels, depth, height, width), (taps, 2, 2)))

    def up2(self, place, channels, out, kernel, bias, output, depth, height, width, taps):
        x, weight = self.read(place, 1, channels, depth, height, width), self.read(kernel, channels, out, taps, 2, 2)
        self.write(output, F.conv_transpose3d(x, weight, self.read(bias, out), stride=(taps, 2, 2)))

    def instance_norm(self, place, channels, weight, bias, eps, output, size):
        numbers = {"weight": self.read(weight, channels), "bias": self.read(bias, channels)}
        self.write(output, F.instance_norm(self.read(place, 1, channels, size), **numbers, eps=eps))

    def perceptron(self, place, residual, channels, hidden, out, weight, bias, out_weight, out_bias, output, size):
        x = self.read(place, channels, size)
        x = F.gelu(self.read(weight, hidden, channels) @ x + self.read(bias, hidden, 1))
        x = self.read(out_weight, out, hidden) @ x + self.read(out_bias, out, 1)
        self.write(output, self.read(residual, out, size) + x)

    def pointwise(self, places, channels, out, weight, bias, output, size):
        x = torch.stack([self.read(place, size) for place in places])
        x = self.read(weight, out, channels) @ x
        self.write(output, x if bias is None else x + self.read(bias, out, 1))

    def convolution(self, place, channels, depth, height, width, out, *others):
        _, weight, bias, groups, kernel, stride, padding, output = _layout(others)
        x, taps = self.read(place, 1, channels, depth, height, width), (out, channels // groups, *kernel)
        self.write(output, F.conv3d(x, self.read(weight, *taps), self.read(bias, out), stride, padding, 1, groups))

    def transposed(self, place, channels, depth, height, width, out, *others):
        size, weight, bias, groups, kernel, stride, padding, output = _layout(others)
        x, taps = self.read(place, 1, channels, depth, height, width), (channels, out // groups, *kernel)
        sizes = zip(size, x.shape[2:], kernel, stride, padding, strict=True)
        extra = [there - ((here - 1) * step - 2 * pad + side) for there, here, side, step, pad in sizes]
        layout = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups}
        self.write(output, F.conv_transpose3d(x, self.read(weight, *taps), self.read(bias, out), **layout))

    def affine(self, place, channels, scale, shift, output, size):
        x = self.read(place, channels, size)
        x = x if scale is None else x * self.read(scale, channels, 1)
        self.write(output, x if shift is None else x + self.read(shift, channels, 1))

    def activate(self, place, output, size, kind, slope):
        self.write(output, ACTIVATIONS[kind](self.read(place, size), slope))

    def add(self, first, second, output, size):
        self.write(output, self.read(first, size) + self.read(second, size))

    def multiply(self, first, second, output, size):
        self.write(output, self.read(first, size) * self.read(second, size))

    def copy(self, place, output, size):
        self.write(output, self.read(place, size))

    def mean(self, place, channels, output, size):
        self.write(output, self.read(place, channels, size).mean(dim=1))

    def window(self, place, channels, *others):
        size, out, start, step = (others[k : k + 3] for k in (0, 3, 6, 9))
        x, result = self.read(place, channels, *size), torch.zeros(channels, *out)
        to, source = [slice(None)], [slice(None)]
        for here, there, first, stride in zip(size, out, start, step, strict=True):
            begin, end = -(min(first, 0) // stride), min(there, (here - 1 - first) // stride + 1)
            to.append(slice(begin, end))
            source.append(slice(begin * stride + first, (end - 1) * stride + first + 1, stride))
        result[tuple(to)] = x[tuple(source)]
        self.write(others[12], result)

    def nearest(self, place, channels, *others):
        size, out = others[:3], others[3:6]
        self.write(others[6], F.interpolate(self.read(place, 1, channels, *size), out, mode="nearest"))

    def bilinear(self, place, channels, height, width, out_height, out_width, output):
        x = self.read(place, 1, channels, height, width)
        self.write(output, F.interpolate(x, (out_height, out_width), mode="bilinear"))


def _layout(others: tuple) -> tuple:
    """Output size, weight, bias, groups, kernel, stride, padding and output of a convolution's arguments."""
    size, (weight, bias, groups) = others[:3], others[3:6]
    return size, weight, bias, groups, others[6:9], others[9:12], others[12:15], others[15]
