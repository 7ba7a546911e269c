"""What a training step needs of logits and labels, in a pass each: sums of a loss, labels, and how many agree."""

from __future__ import annotations

import ctypes

import torch
from torch.nn.functional import logsigmoid, one_hot

from lunet_networks.kernels.library import library

__all__ = ["agreement", "labels_of_logits", "loss_sums", "takes"]

LABELS = 16  # LABELS in labels.cpp
CHUNK = 512  # CHUNK in labels.cpp


def takes(*tensors: torch.Tensor) -> bool:
    """Whether the kernels take logits ``(B, C, ...)`` and label values ``(B, 1, ...)``: float32 on a CPU, of one size,
    at most 16 labels, not traced, with a compiler.

    Example:
        >>> takes(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.int64))
        False
    """
    first = tensors[0]
    return (
        all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
        and all(tensor.shape[:1] + tensor.shape[2:] == first.shape[:1] + first.shape[2:] for tensor in tensors)
        and 0 < first.shape[1] <= LABELS
        and all(tensor.shape[1] == 1 and not tensor.requires_grad for tensor in tensors[1:])
        and first.numel() > 0
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
        and library() is not None
    )


def loss_sums(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The sums of which Dice and cross entropy are made. They have gradients, also second ones.

    Args:
        logits: ``(B, C, ...)``; shares are their softmax, their sigmoid if C is 1.
        label: ``(B, 1, ...)``, whole numbers from 0 to C - 1; 0 to 1 if C is 1.

    Returns:
        ``(2 C + 1,)``, float64, over the batch and all voxels: for each label the sum of its shares where the voxel has
        it, and the sum of all its shares and of the voxels that have it; last the sum of the cross entropy.

    Raises:
        ValueError: if the label has other values.

    Example:
        >>> loss_sums(torch.zeros(1, 2, 3), torch.tensor([[[0.0, 1, 1]]]))
        tensor([0.5000, 2.5000, 1.0000, 3.5000, 2.0794], dtype=torch.float64)
    """
    return torch.ops.lunet.loss_sums(logits, label)


def labels_of_logits(logits: torch.Tensor) -> torch.Tensor:
    """The label with the greatest logit of ``(B, C, ...)``, or whether it is positive if C is 1: ``(B, 1, ...)``,
    float32.

    Example:
        >>> labels_of_logits(torch.tensor([[[0.0, 2.0], [1.0, 1.0]]]))
        tensor([[[1., 0.]]])
    """
    return torch.ops.lunet.labels_of_logits(logits)


def agreement(first: torch.Tensor, second: torch.Tensor, values: int) -> torch.Tensor:
    """Count the voxels of each case and each value from 1 to ``values - 1``: where both label maps have it, the first,
    and the second.

    Args:
        first: label values ``(B, 1, ...)``, float32.
        second: of the same shape.
        values: number of label values, including the background.

    Returns:
        Whole numbers ``(B, values - 1, 3)``.

    Example:
        >>> agreement(torch.tensor([[[0.0, 1, 2, 2]]]), torch.tensor([[[1.0, 1, 2, 0]]]), values=3)
        tensor([[[1, 1, 2],
                 [1, 2, 1]]])
    """
    return torch.ops.lunet.agreement(first, second, values)


def plain_loss_sums(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The same sums by PyTorch's functions, for derivatives of derivatives."""
    logits, labels = logits.flatten(2).movedim(1, -1), logits.shape[1]
    label = label.flatten(2)[:, 0]
    if labels == 1:
        share, own = logits.sigmoid(), label[..., None]
        entropy = -own * logsigmoid(logits) - (1 - own) * logsigmoid(-logits)
    else:
        share, own = logits.softmax(-1), one_hot(label.long(), labels).to(logits.dtype)
        entropy = -own * logits.log_softmax(-1)
    both, either = (share * own).sum((0, 1)), (share + own).sum((0, 1))
    return torch.cat([torch.stack([both, either], dim=-1).flatten(), entropy.sum()[None]]).double()


def _loss_sums(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    logits, label = logits.contiguous(), label.contiguous()
    rows, labels, size = _shape(logits)
    sums = torch.empty(2 * labels + 1, dtype=torch.float64)
    parts = torch.empty(rows, -(-size // CHUNK), len(sums))
    are_known = library().lunet_loss_sums(
        *map(_pointer, (logits, label)),
        ctypes.c_int64(rows),
        labels,
        ctypes.c_int64(size),
        *map(_pointer, (parts, sums)),
        torch.get_num_threads(),
    )
    if not are_known:
        raise ValueError(
            f"labels must be whole numbers from 0 to {max(labels - 1, 1)}, found {label.unique().tolist()}"
        )
    return sums


def _loss_sums_backward(logits: torch.Tensor, label: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    logits, label, gradient = logits.contiguous(), label.contiguous(), gradient.float().contiguous()
    rows, labels, size = _shape(logits)
    result = torch.empty_like(logits)
    library().lunet_loss_sums_backward(
        *map(_pointer, (logits, label)),
        ctypes.c_int64(rows),
        labels,
        ctypes.c_int64(size),
        *map(_pointer, (gradient, result)),
        torch.get_num_threads(),
    )
    return result


def _labels_of_logits(logits: torch.Tensor) -> torch.Tensor:
    logits = logits.contiguous()
    rows, labels, size = _shape(logits)
    result = logits.new_empty((rows, 1, *logits.shape[2:]))
    threads = torch.get_num_threads()
    library().lunet_labels(
        _pointer(logits), ctypes.c_int64(rows), labels, ctypes.c_int64(size), _pointer(result), threads
    )
    return result


def _agreement(first: torch.Tensor, second: torch.Tensor, values: int) -> torch.Tensor:
    first, second = first.contiguous(), second.contiguous()
    rows, _, size = _shape(first)
    counts = torch.empty(rows, values - 1, 3, dtype=torch.int64)
    library().lunet_count_labels(
        *map(_pointer, (first, second)),
        ctypes.c_int64(rows),
        values,
        ctypes.c_int64(size),
        _pointer(counts),
        torch.get_num_threads(),
    )
    return counts


def _shape(tensor: torch.Tensor) -> tuple[int, int, int]:
    return tensor.shape[0], tensor.shape[1], tensor[0, 0].numel()


def _pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _keep(ctx, inputs: tuple, output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
    logits, label = ctx.saved_tensors
    if not torch.is_grad_enabled():
        return torch.ops.lunet.loss_sums_backward(logits, label, gradient), None
    (result,) = torch.autograd.grad(plain_loss_sums(logits, label), logits, gradient, create_graph=True)
    return result, None


LIBRARY = torch.library.Library("lunet", "FRAGMENT")
OPERATORS = {  # name: arguments and result, function
    "loss_sums": ("(Tensor logits, Tensor label) -> Tensor", _loss_sums),
    "loss_sums_backward": ("(Tensor logits, Tensor label, Tensor gradient) -> Tensor", _loss_sums_backward),
    "labels_of_logits": ("(Tensor logits) -> Tensor", _labels_of_logits),
    "agreement": ("(Tensor first, Tensor second, int values) -> Tensor", _agreement),
}
for name, (signature, function) in OPERATORS.items():
    LIBRARY.define(name + signature)
    LIBRARY.impl(name, function, "CPU")
torch.library.register_autograd("lunet::loss_sums", _backward, setup_context=_keep, lib=LIBRARY)


@torch.library.register_fake("lunet::loss_sums", lib=LIBRARY)
def _(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return logits.new_empty(2 * logits.shape[1] + 1, dtype=torch.float64)


@torch.library.register_fake("lunet::loss_sums_backward", lib=LIBRARY)
def _(logits: torch.Tensor, label: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


@torch.library.register_fake("lunet::labels_of_logits", lib=LIBRARY)
def _(logits: torch.Tensor) -> torch.Tensor:
    return logits.new_empty((len(logits), 1, *logits.shape[2:]))


@torch.library.register_fake("lunet::agreement", lib=LIBRARY)
def _(first: torch.Tensor, second: torch.Tensor, values: int) -> torch.Tensor:
    return first.new_empty((len(first), values - 1, 3), dtype=torch.int64)
