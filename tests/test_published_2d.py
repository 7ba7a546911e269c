"""The lightweight 2D networks: published weights give the published logits, and those of every deep supervision.

A network has one row in ``NETWORKS``. What it has to give stands in ``../shared/reference``: ``io2d/NAME.npz`` holds
weights, inputs and logits of a small configuration, and ``keys_2d.json`` the keys, counts and checksums of the full
one.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lunet_networks import create_network, load_published_weights
from lunet_networks.nets.mobilenet_v3 import mobilenet_v3_large
from lunet_networks.published import published_keys
from lunet_networks.summary import count_macs, count_parameters
from tests.helpers.published_networks import new_network
from tests.helpers.recipe import make_image, uniform


@dataclass(frozen=True)
class Golden:
    """A network of which the logits are known.

    Args:
        small: makes the network of ``io2d/NAME.npz``; None: there is no such file.
        full: makes the network of full size; None: there are no figures.
        deep_supervision: whether its outputs for deep supervision are known too, which it gives in training only.
        keys: gives the key in the reference of each of ours; the published ones, unless it is our reading of a paper.
    """

    small: Callable[[], nn.Module] | None
    full: Callable[[], nn.Module] | None
    deep_supervision: bool = False
    keys: Callable[[nn.Module], dict[str, str]] = published_keys

    def load(self, network: nn.Module, weights: Mapping[str, torch.Tensor]) -> nn.Module:
        """Load weights by their keys in the reference, strictly."""
        if self.keys is published_keys:
            return load_published_weights(network, weights)
        keys = self.keys(network)
        assert sorted(keys.values()) == sorted(weights)
        network.load_state_dict({ours: weights[theirs] for ours, theirs in keys.items()})
        return network


class _MobileNet(nn.Sequential):
    """The encoder alone, by torchvision's keys."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*mobilenet_v3_large(last_block=9))


def _keys_of_mobilenet(network: nn.Module) -> dict[str, str]:
    """The encoder keeps its keys. A unit is its convolution and norm, the second one of a pair three places on."""
    places = {"conv": 0, "adn.N": 1}
    rules = {
        r"(bottleneck|decoders\.\d)\.(\d)\.(conv|adn\.N)\.(\w+)": lambda block, k, layer, entry: (
            f"{block.replace('decoders', 'dec')}.{places[layer] + 3 * int(k)}.{entry}"
        ),
        r"upsamples\.(.+)": lambda rest: f"up.{rest}",
        r"((?:features|head)\..+)": lambda key: key,
    }
    found = {}
    for key in network.state_dict():
        for pattern, rule in rules.items():
            if match := re.fullmatch(pattern, key):
                found[key] = rule(*match.groups())
    return found


NETWORKS = {  # by their name in the reference
    "unext": Golden(partial(create_network, "unext_small"), partial(create_network, "unext")),
    "malunet": Golden(partial(create_network, "malunet"), partial(create_network, "malunet")),
    "egeunet": Golden(
        partial(create_network, "ege_unet", deep_supervision=True),
        partial(create_network, "ege_unet", deep_supervision=True),
        deep_supervision=True,
    ),
    **{
        name: Golden(partial(new_network, small), partial(create_network, preset))
        for name, small, preset in (
            ("ukan", "u_kan_narrow", "u_kan"),
            ("unet", "unet_2d_narrow", "unet_2d_32f"),
            ("attunet", "attention_unet_2d_narrow", "attention_unet_2d_32f"),
            ("unetpp", "unetpp_2d_narrow", "unetpp_2d_32f"),
        )
    },
    "mobilenetv3_unet_candidate": Golden(
        partial(create_network, "mobilenetv3_unet", width_mult=0.35),
        partial(create_network, "mobilenetv3_unet"),
        keys=_keys_of_mobilenet,
    ),
    "mobilenetv3_large_features0_9": Golden(_MobileNet, None, keys=_keys_of_mobilenet),
}


@pytest.fixture(scope="module")
def published(shared: Path) -> dict:
    """Keys, counts and checksums by the name of the network."""
    return json.loads((shared / "reference" / "keys_2d.json").read_text())


def _outputs(network: nn.Module, golden: Golden, image: torch.Tensor) -> list[torch.Tensor]:
    """The logits, and those of deep supervision behind them. Norms stay in evaluation."""
    with torch.no_grad():
        logits = network(image)
        if not golden.deep_supervision:
            return [logits]
        network.training = True
        supervised, *others = network(image)
        network.training = False
    assert torch.equal(supervised, logits)
    return [logits, *others]


@pytest.mark.parametrize("name", [name for name, golden in NETWORKS.items() if golden.small])
def test_published_weights_give_the_published_logits(name: str, shared: Path) -> None:
    with np.load(shared / "reference" / "io2d" / f"{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    weights = {key.removeprefix("sd/"): value for key, value in arrays.items() if key.startswith("sd/")}
    golden = NETWORKS[name]
    network = golden.load(golden.small(), weights).eval()
    with torch.no_grad():
        single = network(arrays["input"])
    logits = arrays["logits"]
    torch.testing.assert_close(single.double(), logits, atol=1e-3 * logits.std().item(), rtol=0)
    network.double()
    found, *others = _outputs(network, golden, arrays["input"].double())
    torch.testing.assert_close(found, logits, atol=1e-9, rtol=0)
    torch.testing.assert_close(network(arrays["input_b"].double()), arrays["logits_b"], atol=1e-9, rtol=0)
    aux = sorted(key for key in arrays if key.startswith("aux"))
    assert len(others) == len(aux)
    for other, key in zip(others, aux, strict=True):
        torch.testing.assert_close(other, arrays[key], atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", [name for name, golden in NETWORKS.items() if golden.full])
def test_keys_and_counts_are_the_published_ones(name: str, published: dict) -> None:
    golden, known = NETWORKS[name], published[name]["full"]
    network = golden.full()
    empty = {key: torch.empty(shape) for key, shape in known["keys"].items()}
    golden.load(network, empty)
    assert {*golden.keys(network).values()} == empty.keys()
    assert count_parameters(network) == known["params"]
    assert count_macs(network, (1, 3, 256, 256)) == known["macs_conv_linear_3x256x256"]


@pytest.mark.parametrize("name", [name for name, golden in NETWORKS.items() if golden.full])
def test_the_network_of_full_size_gives_the_published_checksums(name: str, published: dict) -> None:
    golden, known = NETWORKS[name], published[name]["full"]
    network, checksum = golden.full(), known["checksum"]
    keys = golden.keys(network)
    constructed = {theirs: network.state_dict()[key] for key, theirs in keys.items()}
    weights = {}
    for k, (key, shape) in enumerate(known["keys"].items()):
        value = _recipe(key, shape, k, checksum["gain"])
        weights[key] = constructed[key] if value is None else torch.from_numpy(value)
    golden.load(network.double().eval(), weights)
    logits, *others = _outputs(network, golden, make_image((1, 3, 96, 96)))
    logits = logits.flatten()
    found = {
        "mean": logits.mean(),
        "std": logits.std(correction=0),
        "min": logits.min(),
        "max": logits.max(),
        "wsum": logits @ torch.from_numpy(uniform(logits.shape, 777)),
        "0,0": logits[0],
        "mid": logits[48 * 96 + 31],
        "last": logits[-1],
        **{f"aux{k}_mean": other.mean() for k, other in enumerate(others)},
    }
    wanted = {key: value for key, value in {**checksum, **checksum["at"]}.items() if key not in ("at", "gain")}
    assert {key: value.item() for key, value in found.items()} == pytest.approx(wanted, rel=1e-8)


def _recipe(key: str, shape: list[int], k: int, gain: float) -> np.ndarray | None:
    """The entry of a state dict at the place k; None: it stays as the network was made."""
    name, u = key.rpartition(".")[2], uniform(shape, k)
    if name in ("num_batches_tracked", "grid"):
        return None
    if name == "running_mean":
        return 0.1 * (2 * u - 1)
    if name == "running_var":
        return 0.5 + u
    if len(shape) > 1:
        return gain * np.sqrt(6 * shape[0] / u.size) * (2 * u - 1)
    return 0.75 + 0.5 * u if name == "weight" else 0.2 * (2 * u - 1)
