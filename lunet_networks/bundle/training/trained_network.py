"""Which network a training trains: a preset, a network of this package with other arguments, or anyone's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from lunet_networks.nets.network import Network
from lunet_networks.presets import is_of_preset
from lunet_networks.summary import count_parameters

__all__ = ["describe_network", "differing_networks", "network_name", "settings_of_network"]

ADDRESS = re.compile(r"0x[0-9a-f]+")  # of an object that has no other name, another one in every process


def describe_network(network: nn.Module) -> dict[str, Any]:
    """What a record keeps of a network: of one of this package the ``network_def`` that makes it, of any other its
    class, the number of its parameters and a digest of its layers, so that another network is told from it.

    Example:
        >>> from lunet_networks import UNet
        >>> describe_network(UNet(channels=(2, 4)))["_target_"]
        'lunet_networks.nets.UNet'
        >>> describe_network(nn.Conv3d(1, 4, 3)) == describe_network(nn.Conv3d(1, 4, 3, stride=2))
        False
    """
    if isinstance(network, Network):
        description = {"_target_": f"lunet_networks.nets.{type(network).__name__}", **network.describe()}
        return json.loads(json.dumps(description))  # turns tuples into lists, as in a record
    layers = ADDRESS.sub("", repr(network)).encode()
    return {
        "_target_": f"{type(network).__module__}.{type(network).__qualname__}",
        "parameters": count_parameters(network),
        "layers": hashlib.sha256(layers).hexdigest()[:12],
    }


def differing_networks(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List what differs between two descriptions of networks; of two classes only these.

    Example:
        >>> differing_networks(describe_network(nn.Conv3d(1, 4, 3)), describe_network(nn.ReLU()))
        ["network_def#_target_: 'torch.nn.modules.conv.Conv3d' then, 'torch.nn.modules.activation.ReLU' now"]
    """
    names = sorted(then.keys() | now.keys()) if then["_target_"] == now["_target_"] else ["_target_"]
    return [
        f"network_def#{name}: {then.get(name)!r} then, {now.get(name)!r} now"
        for name in names
        if then.get(name) != now.get(name)
    ]


def settings_of_network(settings: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """Settings without a preset that the network is not of, as where its config has another ``network_def``.

    Example:
        >>> settings_of_network({"preset": "lunet_small_4f", "seed": 1}, nn.Conv3d(1, 4, 3))
        {'seed': 1}
    """
    keep = "preset" in settings and is_of_preset(network, settings["preset"])
    return {name: value for name, value in settings.items() if name != "preset" or keep}


def network_name(settings: Mapping[str, Any], network: nn.Module) -> str:
    """What people call a network: its preset, otherwise its class.

    Example:
        >>> network_name({"preset": "lunet_small_4f"}, nn.Conv3d(1, 4, 3))
        'Conv3d'
    """
    return settings_of_network(settings, network).get("preset", type(network).__name__)
