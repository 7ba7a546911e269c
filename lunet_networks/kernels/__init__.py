"""Float32 layers on a CPU that are faster than PyTorch's for few channels, as operators of PyTorch, their build and
their cache.

They compute the same as PyTorch's layers, except for rounding: convolution with what follows it, max pooling,
transposed convolution, the depthwise forms of both, instance norm, the perceptron of a MedNeXt block and the blocks of
PSP-Seg. Where a kernel cannot be used, such as for gradients, the operator computes with PyTorch's layers.
"""

from lunet_networks.kernels.blocks import instance_norm, perceptron
from lunet_networks.kernels.layers import convolve, depthwise, depthwise_upsample, max_pool, upsample
from lunet_networks.kernels.library import library
from lunet_networks.kernels.operators import apply_to, in_plain_eager_mode
from lunet_networks.kernels.residuals import GROUP, downsample_unit, redundant_module, residual_unit

__all__ = [
    "GROUP",
    "apply_to",
    "convolve",
    "depthwise",
    "depthwise_upsample",
    "downsample_unit",
    "in_plain_eager_mode",
    "instance_norm",
    "library",
    "max_pool",
    "perceptron",
    "redundant_module",
    "residual_unit",
    "upsample",
]
