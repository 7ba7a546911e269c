"""Remove channels from a network and from the state of the optimizer that trains it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from lunet_networks.pruning.channel_graph import IMAGE, prunable_convolutions, refuse_deployed, wiring
from lunet_networks.pruning.state_transfer import transfer_state

__all__ = ["remove_channels"]

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
Channels = Mapping[str, torch.Tensor]  # numbers of those that stay, by the name of the convolution


def remove_channels(
    network: nn.Module, removals: Iterable[tuple[str, int]], optimizer: Optimizer | None = None
) -> nn.Module:
    """Make a network without some of its channels. Apart from rounding it computes what the network computes when these
    channels are zero after the batch norm.

    Args:
        network: a :class:`UNet` or :class:`UNetPlusPlus`; it stays as it is.
        removals: names of :py:func:`prunable_convolutions`, each with the number of an output channel as the network
            counts them now.
        optimizer: that trains the network. It is changed in place and trains the new network from then on. It keeps its
            state for the channels that stay.

    Returns:
        A network of the same class, in the same mode, on the same device. Hooks are not carried over.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if there is no such convolution or channel, a channel is named twice, a convolution would have none
            left, the optimizer trains something else, or the network is a deployed one.

    Source:
        The removal of STAMP (Dinsdale et al., Medical Image Analysis 2022).

    Example:
        >>> import torch
        >>> from lunet_networks import UNet
        >>> network = remove_channels(UNet(channels=(2, 4)), [("encoders.0.1", 0), ("bottleneck.0", 3)])
        >>> network.encoders[0][1].conv.out_channels, network.decoders[0][0].conv.in_channels
        (1, 3)
    """
    kept = _kept_channels(network, removals)
    refuse_deployed(network)
    widths = {name: len(kept[name]) for name in prunable_convolutions(network)}
    pruned = network.rebuild(conv_channels=widths).train(network.training)
    transfer_state(network, pruned, _Cutter(network, kept), optimizer)
    return pruned


def _kept_channels(network: nn.Module, removals: Iterable[tuple[str, int]]) -> dict[str, torch.Tensor]:
    removals, units = list(removals), prunable_convolutions(network)
    kept = {name: list(range(_out_channels(network, name))) for name in wiring(network)}
    for name, channel in removals:
        if name not in units:
            raise ValueError(f"no channels can be removed from {name!r}; they can be from {', '.join(units)}")
        width = _out_channels(network, name)
        if not 0 <= channel < width:
            raise ValueError(f"{name} has channels 0 to {width - 1}, {channel} cannot be removed")
        if channel not in kept[name]:
            raise ValueError(f"channel {channel} of {name} is named twice")
        if len(kept[name]) == 1:
            raise ValueError(f"all {width} channels of {name} would be removed, at least one has to stay")
        kept[name].remove(channel)
    return {name: torch.tensor(channels) for name, channels in kept.items()}


def _out_channels(network: nn.Module, name: str) -> int:
    return _convolution(network, name).out_channels


def _convolution(network: nn.Module, name: str) -> nn.Module:
    module = network.get_submodule(name)
    return getattr(module, "conv", module)  # a unit holds its convolution, an upsampling is one


class _Cutter:
    """Cuts tensors down to the channels that stay.

    Args:
        network: whose parameters and buffers are to be cut.
        kept: output channels that stay, by the name of the convolution.
    """

    def __init__(self, network: nn.Module, kept: Channels) -> None:
        self.outputs = kept
        self.inputs = {name: _kept_inputs(network, sources, kept) for name, sources in wiring(network).items()}
        self.transposed = {
            name for name in kept if isinstance(_convolution(network, name), (nn.ConvTranspose2d, nn.ConvTranspose3d))
        }

    def __call__(self, key: str, tensor: torch.Tensor) -> torch.Tensor:
        """A part of an entry of the state dict, or of something of the same shape that belongs to it."""
        if tensor.dim() == 0:
            return tensor.clone()
        name = next(name for name in self.outputs if key.startswith(f"{name}."))
        outputs, inputs = self.outputs[name].to(tensor.device), self.inputs[name].to(tensor.device)
        if tensor.dim() == 1:
            return tensor.index_select(0, outputs)
        axis_of_outputs = 1 if name in self.transposed else 0
        part = tensor.index_select(axis_of_outputs, outputs).index_select(1 - axis_of_outputs, inputs)
        channels_last = CHANNELS_LAST[tensor.dim()]
        if tensor.is_contiguous(memory_format=channels_last) and not tensor.is_contiguous():
            part = part.contiguous(memory_format=channels_last)
        return part


def _kept_inputs(network: nn.Module, sources: list[str], kept: Channels) -> torch.Tensor:
    """Numbers of the concatenated input channels that stay."""
    parts, offset = [], 0
    for source in sources:
        width = network.in_channels if source == IMAGE else _out_channels(network, source)
        parts.append(offset + (torch.arange(width) if source == IMAGE else kept[source]))
        offset += width
    return torch.cat(parts)
