"""Layers that take a faster path on a CPU than PyTorch's.

In evaluation they use :py:mod:`lunet_networks.kernels` where these are faster, and a convolution with a kernel of one
voxel is a matrix product. In training they avoid one slow path: at batch size 1 PyTorch gives a ``Conv3d`` to oneDNN
only if ``channels * depth * height > 20480`` (``use_mkldnn`` in ``aten/src/ATen/native/Convolution.cpp``). Narrow or
deep layers fall back to ``slow_conv3d``, which is many times slower, forward and backward. The forms below compute the
same sums. They are used in eager mode only: TorchScript, ``torch.compile`` and ONNX get the plain layers, because their
engines choose their own kernels, and so do ``torch.func`` and forward-mode derivatives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from lunet_networks import kernels

__all__ = ["is_fast", "is_pointwise", "is_standard", "takes_kernel", "use_fast_layers"]

FEW_CHANNELS = 15  # up to this number a kernel is faster than PyTorch for every image size
LONG_ROW = 32  # voxels along the last axis; from here on a convolution's kernel is faster for more channels, too
MORE_CHANNELS = 64  # up to this number


def use_fast_layers(network: nn.Module) -> nn.Module:
    """Let the convolutions, transposed convolutions, instance norms and max pooling of a network take a fast path on a
    CPU.

    Args:
        network: any network; changed in place. Parameters, state-dict keys and results stay the same. Layers of several
            groups that are not depthwise, and layers with another padding mode than zeros, are not changed.

    Returns:
        The same network.

    Example:
        >>> network = use_fast_layers(torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1)))
        >>> network(torch.zeros(1, 1, 8, 8, 8)).shape
        torch.Size([1, 4, 8, 8, 8])
    """
    for module in network.modules():
        fast = _FAST.get(type(module))
        if (
            fast is not None
            and getattr(module, "groups", 1) in (1, getattr(module, "in_channels", 1))
            and getattr(module, "padding_mode", "zeros") == "zeros"
        ):
            module.__class__ = fast  # keeps parameters, hooks and the place in the state dict
    return network


def is_standard(layer: nn.Module, types: tuple[type, ...]) -> bool:
    """Whether a layer is of one of these types of PyTorch, or of the fast form of one, and of no other subclass."""
    return type(layer) in types or type(layer) in map(_FAST.get, types)


def is_fast(layer: nn.Module, types: tuple[type, ...]) -> bool:
    """Whether a layer is of the fast form of one of these types of PyTorch, as :py:func:`use_fast_layers` makes it."""
    return type(layer) in map(_FAST.get, types)


def takes_kernel(conv: nn.Module, inputs: list[torch.Tensor], *others: torch.Tensor) -> bool:
    """Whether a kernel can, and should, compute this convolution of the concatenation of these inputs.

    Args:
        conv: the convolution.
        inputs: ``(B, C_i, [D,] H, W)`` each.
        others: what else the kernel would compute with, such as the parameters of a norm.
    """
    return (
        type(conv) in (_Conv2d, _Conv3d)
        and _has_form(conv, inputs[0], kernel=3, stride=1, padding=1)
        and min(conv.in_channels, conv.out_channels)
        <= (MORE_CHANNELS if inputs[0].shape[-1] >= LONG_ROW else FEW_CHANNELS)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and kernels.apply_to(*inputs, conv.weight, conv.bias, *others)
    )


def is_pointwise(conv: nn.Module) -> bool:
    """Whether a layer is a convolution with a kernel of one voxel and a bias, as this module makes them."""
    return (
        type(conv) in (_Conv2d, _Conv3d)
        and {*conv.kernel_size, *conv.stride} == {1}
        and set(conv.padding) == {0}
        and conv.groups == 1
        and conv.bias is not None
    )


class _Conv2d(nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():  # TorchScript leaves this branch out only if it stands alone
            if takes_kernel(self, [input]):
                return kernels.convolve([input], self.weight, self.bias)
            if _is_depthwise(self, input):
                return kernels.depthwise(input, self.weight, self.bias)
            if _is_product(self, input) and input.is_contiguous():
                return _product(self, input)
        return self._conv_forward(input, self.weight, self.bias)


class _Conv3d(nn.Conv3d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            if takes_kernel(self, [input]):
                return kernels.convolve([input], self.weight, self.bias)
            if _is_depthwise(self, input):
                return kernels.depthwise(input, self.weight, self.bias)
            if _is_product(self, input) and (input.is_contiguous() or len(input) == 1):
                return _product(self, input)
            if _is_single_cpu_volume(input, self.weight) and _onednn_takes(self, input):
                return _onednn(self, input)
        return self._conv_forward(input, self.weight, self.bias)


# In eager mode what follows the branches is PyTorch's own layer, with its checks; TorchScript does not know super().


class _ConvTranspose2d(nn.ConvTranspose2d):
    def forward(self, input: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        if not torch.jit.is_scripting():
            if output_size is None and _is_upsampling_by_two(self, input):
                return kernels.upsample(input, self.weight, self.bias)
            if output_size is None and _is_depthwise_upsampling_by_two(self, input):
                return kernels.depthwise_upsample(input, self.weight, self.bias)
            return super().forward(input, output_size)
        output_padding = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, 2, self.dilation
        )
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups, self.dilation
        )


class _ConvTranspose3d(nn.ConvTranspose3d):
    def forward(self, input: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        if not torch.jit.is_scripting():
            if output_size is None and _is_upsampling_by_two(self, input):
                return kernels.upsample(input, self.weight, self.bias)
            if output_size is None and _is_depthwise_upsampling_by_two(self, input):
                return kernels.depthwise_upsample(input, self.weight, self.bias)
            if output_size is None and _writes_disjoint_patches(self, input):
                return _patchwise(self, input)
            return super().forward(input, output_size)
        output_padding = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, 3, self.dilation
        )
        return F.conv_transpose3d(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups, self.dilation
        )


class _MaxPool2d(nn.MaxPool2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            return kernels.max_pool(input) if _is_pooling_by_two(self, input) else super().forward(input)
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class _MaxPool3d(nn.MaxPool3d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            return kernels.max_pool(input) if _is_pooling_by_two(self, input) else super().forward(input)
        return F.max_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class _InstanceNorm:
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            if not self.track_running_stats and _is_normalised(self, input):
                return kernels.instance_norm(input, self.weight, self.bias, self.eps)
            return super().forward(input)
        return self._apply_instance_norm(input)


class _InstanceNorm2d(_InstanceNorm, nn.InstanceNorm2d):
    pass


class _InstanceNorm3d(_InstanceNorm, nn.InstanceNorm3d):
    pass


class _GroupNorm(nn.GroupNorm):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            if self.num_groups == self.num_channels and _is_normalised(self, input):
                return kernels.instance_norm(input, self.weight, self.bias, self.eps)
            return super().forward(input)
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


_FAST = {
    nn.Conv2d: _Conv2d,
    nn.Conv3d: _Conv3d,
    nn.ConvTranspose2d: _ConvTranspose2d,
    nn.ConvTranspose3d: _ConvTranspose3d,
    nn.GroupNorm: _GroupNorm,
    nn.InstanceNorm2d: _InstanceNorm2d,
    nn.InstanceNorm3d: _InstanceNorm3d,
    nn.MaxPool2d: _MaxPool2d,
    nn.MaxPool3d: _MaxPool3d,
}


_ALONG_ALL_AXES = {length: ((length,) * 2, (length,) * 3) for length in range(4)}


def _has_form(conv: nn.Module, input: torch.Tensor, kernel: int, stride: int, padding: int) -> bool:
    """Whether a convolution is the same along all axes, and takes this input."""
    return (
        conv.kernel_size in _ALONG_ALL_AXES[kernel]
        and conv.stride in _ALONG_ALL_AXES[stride]
        and conv.padding in _ALONG_ALL_AXES[padding]
        and conv.dilation in _ALONG_ALL_AXES[1]
        and conv.output_padding in _ALONG_ALL_AXES[0]
        and input.dim() == conv.weight.dim()
        and input.numel() > 0
    )


def _has_a_kernel_a_channel(conv: nn.Module) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels


def _is_depthwise(conv: nn.Module, input: torch.Tensor) -> bool:
    return (
        _has_a_kernel_a_channel(conv)
        and _has_form(conv, input, kernel=3, stride=1, padding=1)
        and kernels.apply_to(input, conv.weight, conv.bias)
    )


def _is_upsampling_by_two(conv: nn.Module, input: torch.Tensor) -> bool:
    return (
        conv.groups == 1
        and conv.in_channels <= FEW_CHANNELS
        and _has_form(conv, input, kernel=2, stride=2, padding=0)
        and kernels.apply_to(input, conv.weight, conv.bias)
    )


def _is_depthwise_upsampling_by_two(conv: nn.Module, input: torch.Tensor) -> bool:
    return (
        _has_a_kernel_a_channel(conv)
        and _has_form(conv, input, kernel=3, stride=2, padding=1)
        and kernels.apply_to(input, conv.weight, conv.bias)
    )


def _is_normalised(norm: nn.Module, input: torch.Tensor) -> bool:
    dimensions = {_InstanceNorm2d: (4,), _InstanceNorm3d: (5,)}.get(type(norm), (4, 5))
    return (
        input.dim() in dimensions
        and input.numel() > 0
        and input.shape[2:].numel() > 1
        and (norm.weight is None or len(norm.weight) == input.shape[1])
        and kernels.apply_to(input, norm.weight, norm.bias)
    )


def _is_pooling_by_two(pool: nn.Module, input: torch.Tensor) -> bool:
    return (
        (pool.kernel_size, pool.stride, pool.padding, pool.dilation) == (2, 2, 0, 1)
        and not (pool.ceil_mode or pool.return_indices)
        and input.dim() == (5 if isinstance(pool, nn.MaxPool3d) else 4)
        and input.numel() > 0
        and min(input.shape[2:]) >= 2
        and kernels.apply_to(input)
    )


def _is_product(conv: nn.Module, input: torch.Tensor) -> bool:
    return (
        set(conv.kernel_size) == {1}
        and set(conv.padding) == {0}
        and conv.groups == 1
        and input.dim() == conv.weight.dim()
        and conv.weight.shape[1] == input.shape[1]
        and input.numel() > 0
        and kernels.in_plain_eager_mode(input, conv.weight, conv.bias)
    )


def _is_single_cpu_volume(input: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        kernels.in_plain_eager_mode(input, weight)
        and input.dim() == weight.dim()
        and len(input) == 1
        and input.numel() > 0
        and torch.backends.mkldnn.is_available()
    )


def _onednn_takes(conv: nn.Conv3d, input: torch.Tensor) -> bool:
    return conv.groups == 1 and conv.weight.shape[1] == input.shape[1] and not isinstance(conv.padding, str)


def _onednn(conv: nn.Conv3d, input: torch.Tensor) -> torch.Tensor:
    return _OneDNN.apply(input, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation)


class _OneDNN(torch.autograd.Function):
    """A convolution in oneDNN's own layout, in which a tensor takes oneDNN's kernels whatever its size. PyTorch cannot
    differentiate twice in that layout: then the gradients are computed in the ordinary one."""

    @staticmethod
    def forward(ctx, input, weight, bias, stride, padding, dilation) -> torch.Tensor:
        ctx.save_for_backward(input, weight)
        ctx.bias_shape = None if bias is None else list(bias.shape)
        ctx.geometry = stride, padding, dilation, False, [0, 0, 0], 1  # not transposed, one group
        return F.conv3d(input.to_mkldnn(), weight, bias, stride, padding, dilation).to_dense()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple:
        input, weight = ctx.saved_tensors
        if not torch.is_grad_enabled():
            gradient, input = gradient.to_mkldnn(), input.to_mkldnn()
        gradients = torch.ops.aten.convolution_backward(
            gradient, input, weight, ctx.bias_shape, *ctx.geometry, ctx.needs_input_grad[:3]
        )
        return (*(each if each is None else each.to_dense() for each in gradients), None, None, None)


def _product(conv: nn.Module, input: torch.Tensor) -> torch.Tensor:
    """Compute a convolution with a kernel of one voxel as a matrix product over the channels. oneDNN would first copy
    a few channels into a block of 16, and back."""
    if set(conv.stride) != {1}:
        input = input[(..., *(slice(None, None, stride) for stride in conv.stride))]
    weight = conv.weight.flatten(1).expand(len(input), -1, -1)
    if conv.bias is None:
        output = torch.bmm(weight, input.flatten(2))
    else:
        output = torch.baddbmm(conv.bias[None, :, None], weight, input.flatten(2))
    return output.view(len(input), -1, *input.shape[2:])


def _writes_disjoint_patches(conv: nn.ConvTranspose3d, input: torch.Tensor) -> bool:
    return (
        _is_single_cpu_volume(input, conv.weight)
        and conv.groups == 1
        and conv.weight.shape[0] == input.shape[1]
        and all(kernel <= stride for kernel, stride in zip(conv.kernel_size, conv.stride, strict=True))
        and conv.padding == conv.output_padding == (0, 0, 0)
        and conv.dilation == (1, 1, 1)
    )


def _patchwise(conv: nn.ConvTranspose3d, input: torch.Tensor) -> torch.Tensor:
    """A transposed convolution whose kernel is no larger than its stride: every voxel writes its own patch."""
    kernel, stride, size = conv.kernel_size, conv.stride, input.shape[2:]
    patches = (conv.weight.flatten(1).T @ input[0].flatten(1)).view(-1, *kernel, *size)
    grid = (len(patches), *(n for pair in zip(size, stride, strict=True) for n in pair))
    bias = patches.new_zeros(1) if conv.bias is None else conv.bias
    output = bias.view(-1, 1, 1, 1, 1, 1, 1).expand(grid).clone()
    output[:, :, : kernel[0], :, : kernel[1], :, : kernel[2]] += patches.permute(0, 4, 1, 5, 2, 6, 3)
    output = output.view(1, -1, *(n * s for n, s in zip(size, stride, strict=True)))
    return output[(..., *(slice((n - 1) * s + k) for n, s, k in zip(size, stride, kernel, strict=True)))]
