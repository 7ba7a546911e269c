"""How a kernel becomes an operator of PyTorch, ``torch.ops.lunet.NAME``.

PyTorch then knows its name (profiler), its output's shape (fake tensors, ``torch.compile``), what it computes (FLOP
counter) and how to differentiate and vectorise it. The kernel itself runs only where it can: for plain float32 tensors
on a CPU whose shapes it takes, if no derivative is asked for. Everything else is computed by PyTorch's own layers,
which also say what is wrong with an input.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.utils.flop_counter import register_flop_formula

from lunet_networks.kernels.library import library

__all__ = ["NAMESPACE", "Operator", "address", "apply_to", "call", "in_plain_eager_mode", "is_unwatched"]

NAMESPACE = "lunet"
ARGUMENTS = {"p": ctypes.c_void_p, "i": ctypes.c_int, "l": ctypes.c_int64, "d": ctypes.c_double}

_NO_DISPATCH = torch.Tensor.__torch_dispatch__
_DEFINITIONS = torch.library.Library(NAMESPACE, "FRAGMENT")


def apply_to(*tensors: torch.Tensor | None) -> bool:
    """Whether the kernels can be used for these tensors: they are float32 on a CPU, no derivatives are needed, nothing
    is traced or transformed, and there is a compiler.

    Give all tensors that a layer computes with, its parameters too: a kernel has no gradient.

    Example:
        >>> apply_to(torch.zeros(1, 1, 8, 8, 8, dtype=torch.float64))
        False
    """
    if not in_plain_eager_mode(*tensors) or library() is None:
        return False
    return not (torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors))


def in_plain_eager_mode(*tensors: torch.Tensor | None) -> bool:
    """Whether operators compute at once, and in float32 on a CPU: the tensors are such, nothing is traced, compiled,
    mapped by ``torch.func`` or differentiated in forward mode, and there is no autocast."""
    if (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    for tensor in tensors:  # a loop, because layers of small images take no longer than their checks
        if tensor is not None and not (
            tensor.is_cpu
            and tensor.dtype is torch.float32
            and tensor.layout is torch.strided
            and type(tensor).__torch_dispatch__ is _NO_DISPATCH  # else it may hold no values
        ):
            return False
    return True


def _are_differentiated(arguments: tuple) -> bool:
    if forward_ad._current_level >= 0:
        return True
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in _tensors(arguments))


class Operator:
    """A layer that a kernel can compute.

    Args:
        schema: name, arguments and result, as PyTorch writes them; all arguments are given in every call.
        plain: computes the same with PyTorch's layers.
        takes: whether the kernel can compute it, by the shapes of the arguments.
        kernel: computes it with the kernel.
        multiplications: how many it takes, from the shapes of the arguments and of the result.
        contiguous: whether the kernel's result is; if not, ``plain`` gives a result in the order of the kernel's.
    """

    def __init__(
        self,
        schema: str,
        *,
        plain: Callable[..., torch.Tensor],
        takes: Callable[..., bool],
        kernel: Callable[..., torch.Tensor],
        multiplications: Callable[..., int] | None = None,
        contiguous: bool = True,
    ) -> None:
        self.plain, self.takes, self.kernel, self.contiguous = plain, takes, kernel, contiguous
        name = schema.partition("(")[0]
        _DEFINITIONS.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        self.overload = getattr(getattr(torch.ops, NAMESPACE), name).default
        # Where one is needed, derivatives, mapped axes and reduced precision are those of the plain layers.
        for key in ("CompositeExplicitAutograd", "FuncTorchBatched", "AutocastCPU", "AutocastCUDA"):
            _DEFINITIONS.impl(name, self._plainly, key)
        _DEFINITIONS.impl(name, self._on_cpu, "CPU")
        _DEFINITIONS.impl(name, self, "Autograd")
        torch.library.register_fake(f"{NAMESPACE}::{name}", self._plainly, lib=_DEFINITIONS)
        if multiplications is not None:

            def flops(*shapes: Any, out_shape: Any, **_: Any) -> int:
                return 2 * multiplications(*shapes, out_shape)

            register_flop_formula(self.overload._overloadpacket)(flops)

    def __call__(self, *arguments: Any) -> torch.Tensor:
        """Compute it: what needs derivatives by plain layers, which record them."""
        if _are_differentiated(arguments):
            return self._plainly(*arguments)
        if is_unwatched() and _are_ordinary(arguments) and library() is not None and self.takes(*arguments):
            # what PyTorch would do after 8 microseconds, a third of a small layer's time
            return self.kernel(*arguments)
        with torch._C._AutoDispatchBelowAutograd():
            return self.overload(*arguments)

    def _plainly(self, *arguments: Any) -> torch.Tensor:
        output = self.plain(*arguments)
        return output.contiguous() if self.contiguous else output

    def _on_cpu(self, *arguments: Any) -> torch.Tensor:
        if library() is not None and self.takes(*arguments) and _are_float32(arguments):
            return self.kernel(*arguments)
        return self._plainly(*arguments)


def is_unwatched() -> bool:
    """Whether nobody sees which operators run: no profiler, and no mode such as a FLOP counter or fake tensors."""
    return (
        in_plain_eager_mode()
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._len_torch_function_stack() == 0
        and not torch._C._autograd._profiler_enabled()
    )


def _are_ordinary(arguments: Iterable) -> bool:
    """Whether all tensors are float32 on a CPU and of PyTorch's own classes."""
    for argument in arguments:
        if isinstance(argument, list):
            if not _are_ordinary(argument):
                return False
        elif isinstance(argument, torch.Tensor) and not (
            type(argument) in (torch.Tensor, torch.nn.Parameter)
            and argument.dtype is torch.float32
            and argument.is_cpu
            and argument.layout is torch.strided
            and not argument.is_neg()
        ):
            return False
    return True


def _are_float32(arguments: Iterable) -> bool:
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            if argument.dtype is not torch.float32:
                return False
        elif isinstance(argument, list) and not _are_float32(argument):
            return False
    return True


def _tensors(arguments: tuple) -> Iterator[torch.Tensor]:
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from argument


def call(name: str, types: str, *arguments: Any) -> None:
    """Call a compiled function.

    Args:
        name: of the function; it returns 0, or another number if it could not allocate memory.
        types: of its arguments, a letter each: ``p`` pointer, ``i`` int, ``l`` 64-bit int, ``d`` double.
        arguments: their values. The last argument, the number of threads, is added.

    Raises:
        MemoryError: if there is not enough memory.
    """
    if _function(name, types)(*arguments, torch.get_num_threads()) != 0:
        raise MemoryError(f"not enough memory for the kernel {name}: use a smaller patch or batch, or fewer channels")


@functools.cache
def _function(name: str, types: str) -> Callable[..., int]:
    function = getattr(library(), name)
    function.argtypes = [ARGUMENTS[letter] for letter in types + "i"]
    return function


def address(tensor: torch.Tensor | None) -> int | None:
    """Where the first value of a contiguous tensor lies; None for none."""
    return None if tensor is None else tensor.data_ptr()
