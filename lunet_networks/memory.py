"""The memory that a step of training a network takes, before anything is trained."""

from __future__ import annotations

import copy
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["estimate_step_memory"]

# oneDNN's own layout keeps channels in blocks of 16 on CPUs with AVX-512; others take less.
_ONEDNN_BLOCK = 16


def estimate_step_memory(
    network: nn.Module,
    input_shape: Sequence[int],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    resident: Callable[[int], int] = int,
) -> int:
    """Estimate the bytes that the training steps of a network take in addition to the rest of the program.

    One step runs on PyTorch's meta device, which computes and allocates nothing. The tensors that exist at
    the same time are counted: batch, activations, loss and gradients. The weights, their gradients and two moments of
    each weight are added.

    It assumes a CPU, float32, an optimizer with two moments (Adam), images in channels last, and a program that keeps
    the logits until the step ends, as MONAI's trainer does. Single 3D volumes are assumed to go through oneDNN's own
    layout, as ``lunet_networks.nets.fast_layers`` lets them. Kernels of a GPU are not counted.

    Args:
        network: any network of this package; unchanged.
        input_shape: shape of a batch, ``(B, C, [D,] H, W)``.
        loss: takes logits and labels ``(B, 1, [D,] H, W)`` and gives a scalar.
        resident: maps the bytes of a tensor to those that the program holds for it, with its allocator's unused bytes.

    Raises:
        ValueError: if the network cannot take such an input.

    Example:
        >>> from lunet_networks import UNet
        >>> def loss(logits, label):
        ...     return nn.functional.binary_cross_entropy_with_logits(logits, label)
        >>> round(estimate_step_memory(UNet(), (8, 1, 64, 64, 64), loss) / 2**20)  # MiB
        519
    """
    network = copy.deepcopy(network).to("meta").train()
    if input_shape[0] == 1 and len(input_shape) == 5:
        _count_onednn_copies(network)
    memory_format = {2: torch.channels_last, 3: torch.channels_last_3d}.get(len(input_shape) - 2)
    with _LiveMemory(resident) as memory:
        image = torch.empty(tuple(input_shape), device="meta")
        label = torch.empty((input_shape[0], 1, *input_shape[2:]), device="meta")
        logits = network(image.to(memory_format=memory_format))  # kept until the step ends, as MONAI's trainer does
        loss(logits, label).backward()
    parameters = sum(parameter.nbytes for parameter in network.parameters())
    return memory.peak + 4 * parameters


class _LiveMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that were created under it and still exist; ``peak`` is the maximum so far."""

    def __init__(self, resident: Callable[[int], int]) -> None:
        super().__init__()
        self.resident = resident
        self.peak = 0
        self._live = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for output in tree_leaves(outputs):
            if isinstance(output, torch.Tensor):
                self._add(output.untyped_storage())
        return outputs

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # views and results in place share it
        if key in self._storages:
            return
        size = storage.nbytes()
        self._storages.add(key)
        weakref.finalize(storage, self._remove, key, size)
        self._live += self.resident(size)
        self.peak = max(self.peak, self._live)

    def _remove(self, key: int, size: int) -> None:
        self._storages.remove(key)
        self._live -= self.resident(size)


def _count_onednn_copies(network: nn.Module) -> None:
    """Let convolutions take the memory that they take on a CPU for a single volume; see
    lunet_networks.nets.fast_layers."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.groups == 1 and set(module.kernel_size) != {1}:
            module.forward = functools.partial(_in_onednn, module)


def _in_onednn(conv: nn.Conv3d, input: torch.Tensor) -> torch.Tensor:
    return _OneDNN.apply(input, conv.weight, conv.bias, conv._conv_forward)


class _OneDNN(torch.autograd.Function):
    """A convolution in oneDNN's own layout. Only its input is kept for backward. What it is given is copied, and oneDNN
    computes with whole blocks of channels; both are freed when it ends."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, weight: nn.Parameter, bias: nn.Parameter | None, conv: Any) -> Any:
        ctx.save_for_backward(input, weight)
        inside = [input.clone(), _in_blocks(input)]
        output = conv(input, weight, bias)
        inside.append(_in_blocks(output))
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        inside = [each(tensor) for tensor in (gradient, input) for each in (torch.clone, _in_blocks)]
        if not ctx.needs_input_grad[0]:
            return None, torch.empty_like(weight), None, None
        result = _in_blocks(input)
        del inside
        return result[:, : input.shape[1]].clone(), torch.empty_like(weight), None, None


def _in_blocks(tensor: torch.Tensor) -> torch.Tensor:
    batch, channels, *size = tensor.shape
    return tensor.new_empty(batch, -(-channels // _ONEDNN_BLOCK) * _ONEDNN_BLOCK, *size)
