"""Which convolution of a U-Net takes its input channels from where."""

from __future__ import annotations

from torch import nn

from lunet_networks.nets import UNet, UNetPlusPlus

__all__ = ["IMAGE", "prunable_convolutions", "refuse_deployed", "wiring"]

IMAGE = "image"  # the input of the network, as a source
KEPT = ("upsamples", "segmenter", "supervision_heads", "head")  # whose output channels stay


def prunable_convolutions(network: nn.Module) -> list[str]:
    """Names of the convolutions whose output channels can be removed, in the order in which they run.

    These are all units of blocks. The transposed convolutions, the segmenter and the heads stay as they are.

    Args:
        network: a :class:`UNet` or :class:`UNetPlusPlus`.

    Raises:
        TypeError: if the network is of another class.

    Source:
        STAMP (Dinsdale et al., Medical Image Analysis 2022), whose 17 prunable convolutions are those of
        ``unet_small_4f``.

    Example:
        >>> prunable_convolutions(UNet(channels=(4, 8)))
        ['encoders.0.0', 'encoders.0.1', 'bottleneck.0', 'bottleneck.1', 'decoders.0.0']
    """
    return [name for name in wiring(network) if name.partition(".")[0] not in KEPT]


def wiring(network: nn.Module) -> dict[str, list[str]]:
    """Every convolution, in the order in which they run, with the names of those whose outputs it takes, concatenated
    in this order.

    Args:
        network: a :class:`UNet` or :class:`UNetPlusPlus`.

    Raises:
        TypeError: if the network is of another class.

    Example:
        >>> wiring(UNet(channels=(4, 8)))["decoders.0.0"]
        ['upsamples.0', 'encoders.0.1']
    """
    if type(network) not in _WIRINGS:
        known = " or ".join(network_class.__name__ for network_class in _WIRINGS)
        raise TypeError(f"channels can only be pruned from a {known}, not from a {type(network).__name__}")
    return _WIRINGS[type(network)](network)


def refuse_deployed(network: nn.Module) -> None:
    """Raise ValueError for a deployed network, which no longer has the batch norms that removal needs."""
    if network.deployed:
        raise ValueError("this is a deployed network: prune the network that it was made from, then deploy the result")


def _unet(network: UNet) -> dict[str, list[str]]:
    wires: dict[str, list[str]] = {}
    skips, last = [], IMAGE
    for i, encoder in enumerate(network.encoders):
        last = _block(wires, f"encoders.{i}", encoder, [last])
        skips.append(last)
    last = _block(wires, "bottleneck", network.bottleneck, [last])
    decoded: list[str] = []  # the last units of the decoder blocks, full resolution first
    for k, decoder in enumerate(network.decoders):
        wires[f"upsamples.{k}"] = [last]
        last = _block(wires, f"decoders.{k}", decoder, [f"upsamples.{k}", skips.pop()])
        decoded.insert(0, last)
    return {**wires, **_heads(network, decoded)}


def _unet_plus_plus(network: UNetPlusPlus) -> dict[str, list[str]]:
    wires: dict[str, list[str]] = {}
    levels: list[list[str]] = []  # levels[i] holds the last units of the nodes X(i, 0), X(i, 1), ...
    for i, encoder in enumerate(network.encoders):
        levels.append([_block(wires, f"encoders.{i}", encoder, [levels[-1][0] if i > 0 else IMAGE])])
    for column, nodes in enumerate(network.nodes):
        for i, node in enumerate(nodes):
            below = levels[i + 1][-1]
            if network.upsample == "deconv":
                upsample = f"upsamples.{column}.{i}"
                wires[upsample], below = [below], upsample
            levels[i].append(_block(wires, f"nodes.{column}.{i}", node, [*levels[i], below]))
    return {**wires, **_heads(network, levels[0][:0:-1])}


def _heads(network: nn.Module, supervised: list[str]) -> dict[str, list[str]]:
    """The wiring behind the blocks that deep supervision looks at; the first of these gives the output."""
    last, *others = supervised
    heads = {f"supervision_heads.{k}": [others[k]] for k in range(len(network.supervision_heads))}
    return {"segmenter": [last], **heads, "head": ["segmenter"]}


def _block(wires: dict[str, list[str]], name: str, block: nn.Sequential, sources: list[str]) -> str:
    """Add the units of a block; gives the name of the last one."""
    for k in range(len(block)):
        wires[f"{name}.{k}"] = sources
        sources = [f"{name}.{k}"]
    return sources[0]


_WIRINGS = {UNet: _unet, UNetPlusPlus: _unet_plus_plus}
