"""Affine resampling of an image or a label map in one pass, without a grid of coordinates."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch

from lunet_networks.kernels.library import library

__all__ = ["resample", "resamples"]

LARGEST = 2**30  # voxels of a channel, which the kernel counts by 32 bits


def resamples(image: torch.Tensor) -> bool:
    """Whether :py:func:`resample` takes an image: float32 on a CPU, 2D or 3D, without gradients, with a compiler.

    Example:
        >>> resamples(torch.zeros(1, 8, 8, 8, dtype=torch.float64))
        False
    """
    return (
        image.device.type == "cpu"
        and image.dtype == torch.float32
        and image.dim() in (3, 4)
        and 0 < image[0].numel() <= LARGEST
        and not image.requires_grad
        and library() is not None
    )


def resample(image: torch.Tensor, matrix: torch.Tensor, size: Sequence[int], linear: bool) -> torch.Tensor:
    """Resample an image by an affine matrix. Outside of the image there are zeros.

    Args:
        image: ``(C, [D,] H, W)``, see :py:func:`resamples`.
        matrix: ``(N + 1, N + 1)`` for N spatial axes, from voxels of the result to voxels of the image.
        size: of the result, N whole numbers.
        linear: linear interpolation; else the nearest voxel, of two equally near ones that with the even number.

    Returns:
        ``(C, *size)``, float32.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> shift = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
        >>> resample(torch.tensor([[[1.0, 2], [3, 4]]]), shift, [2, 2], True)
        tensor([[[3., 4.],
                 [0., 0.]]])
    """
    return torch.ops.lunet.resample(image, matrix, size, linear)


def _resample(image: torch.Tensor, matrix: torch.Tensor, size: Sequence[int], linear: bool) -> torch.Tensor:
    axes = image.dim() - 1
    if len(size) != axes or matrix.shape != (axes + 1, axes + 1):
        raise ValueError(f"an image of {axes} axes needs a matrix of {axes + 1} x {axes + 1} and as many sizes")
    rows = torch.zeros(3, 4)
    rows[3 - axes :, 3 - axes :] = matrix[:axes]
    image = image.contiguous()
    output = image.new_empty((len(image), *size))
    depth_first = [1] * (3 - axes)
    library().lunet_affine(
        ctypes.c_void_p(image.data_ptr()),
        len(image),
        *depth_first,
        *image.shape[1:],
        ctypes.c_void_p(rows.data_ptr()),
        int(linear),
        ctypes.c_void_p(output.data_ptr()),
        *depth_first,
        *size,
        torch.get_num_threads(),
    )
    return output


def _empty(image: torch.Tensor, matrix: torch.Tensor, size: Sequence[int], linear: bool) -> torch.Tensor:
    return image.new_empty((len(image), *size))


# not by torch.library.custom_op, whose first call imports half of torch.compile, for half a second
LIBRARY = torch.library.Library("lunet", "FRAGMENT")
LIBRARY.define("resample(Tensor image, Tensor matrix, int[] size, bool linear) -> Tensor")
LIBRARY.impl("resample", _resample, "CPU")
torch.library.register_fake("lunet::resample", _empty, lib=LIBRARY)
