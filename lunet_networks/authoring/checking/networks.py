"""Whether a bundle's networks have the inputs and outputs of metadata.json, and its weights fit them."""

from collections.abc import Iterator
from pathlib import Path

import torch
from monai.bundle import verify_net_in_out
from torch import nn

from lunet_networks import PRESETS
from lunet_networks.authoring.checking.bundle import INFERENCE, METADATA, TRAIN, Bundle, Fault
from lunet_networks.authoring.checking.isolated_folder import isolated_folder
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.bundle.training.weights import load_weights
from lunet_networks.state_dicts import of_federation

IMAGE, PRED = "network_data_format#inputs#image", "network_data_format#outputs#pred"


def check_networks(bundle: Bundle) -> Iterator[Fault]:
    """The networks of both configs run on an image of the size, channels and dtype in metadata.json."""
    for file in (TRAIN, INFERENCE):
        if file in bundle.runnable and bundle.metadata is not None:
            try:
                with isolated_folder():
                    verify_net_in_out("network_def", str(bundle.root / METADATA), bundle.paths(file), device="cpu")
            except Exception as error:
                yield _in_out_fault(file, str(root_cause(error)).splitlines()[0])


def _in_out_fault(file: str, message: str) -> Fault:
    for key, words in (("num_channels", "output channel number"), ("dtype", "dtype of output")):
        if words in message:
            problem = f"is another than that of network_def in {file} ({message})"
            return Fault(
                METADATA, f"{PRED}#{key}", problem, "write that of the network's output, before any activation"
            )
    problem = f"network_def of {file} cannot be built, or cannot run on such an image ({message})"
    cure = "write a spatial_shape and num_channels that it takes: with D downsamplings 2**(D+1)*n"
    return Fault(METADATA, IMAGE, problem, cure)


def check_weights(bundle: Bundle) -> Iterator[Fault]:
    """Every models/*.pt, all of which MONAI Label offers, is a plain state dict that fits inference.json's network;
    in a folder named after another preset, that preset's."""
    weights = [file for file in bundle.files if file.startswith("models/") and file.endswith(".pt")]
    for file in weights if INFERENCE in bundle.runnable else ():
        folder = Path(file).parent.name
        network = make_network(bundle, folder if folder in PRESETS.names else None)
        if network is None:
            return
        try:
            load_weights(network, bundle.root / file)
        except (ValueError, OSError) as error:
            problem = str(error).replace(f"{bundle.root / file} ", "")
            cure = f"save the state dict of network_def in {INFERENCE}, or correct its preset"
            yield Fault(file, "", problem, cure)
            continue
        content = torch.load(bundle.root / file, map_location="cpu", weights_only=True)
        if of_federation(content) is not content:  # our configs read it, but not MONAI's load and its exports
            problem = "holds no plain state dict, but one under 'model', as a global model of NVIDIA FLARE does"
            yield Fault(file, "", problem, "make a state dict of it with lunet convert-checkpoint")


def make_network(bundle: Bundle, preset: str | None = None) -> nn.Module | None:
    """The network of inference.json, or another preset of it; None where it cannot be built: see ``check_networks``."""
    with isolated_folder():
        try:
            parser = bundle.parser(INFERENCE)
            if preset is not None:
                parser["preset"] = preset
            return parser.get_parsed_content("network_def")
        except Exception:
            return None
