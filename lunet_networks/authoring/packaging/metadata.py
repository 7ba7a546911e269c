"""metadata.json of a packed bundle."""

from dataclasses import dataclass
from typing import Any

from lunet_networks import PRESETS
from lunet_networks.authoring.packaging.packed_record import Records
from lunet_networks.authoring.planning.values import tested_versions

DISTRIBUTION = "lunet-networks"
INFERENCE_NEEDS = ("nibabel", "pytorch-ignite", "tqdm", "fire")  # fire for python -m monai.bundle
PICTURES_NEED = ("pillow",)
OTHERS_NEED = ("Jinja2", "matplotlib", *PICTURES_NEED, "pynrrd", "scipy", "tensorboard")


@dataclass(frozen=True)
class Costs:
    """What a network costs.

    Args:
        parameters: their number.
        macs: multiply-accumulates for one input.
        input_shape: of that input.
    """

    parameters: int
    macs: int
    input_shape: list[int]


def packed_metadata(
    metadata: dict[str, Any], own_preset: str | None, preset: str | None, costs: Costs, records: Records | None
) -> dict[str, Any]:
    """metadata.json of a bundle that holds its weights and the package.

    Args:
        metadata: of the bundle.
        own_preset: of the bundle, named in its description.
        preset: that is packed.
        costs: of the network.
        records: of its training and evaluation.
    """
    versions = tested_versions()
    # MONAI reads optional_packages_version as an older name of required_packages_version
    required = dict(metadata.get("required_packages_version") or {})
    required.pop(DISTRIBUTION, None)
    needed = {name: versions[name] for name in (*INFERENCE_NEEDS, *OTHERS_NEED)}
    packed = {**metadata, "required_packages_version": {**needed, **required}}
    if own_preset is not None:
        older, newer = (PRESETS.components[name].description for name in (own_preset, preset))
        packed["description"] = packed["description"].replace(older, newer)
    packed |= {"network_parameters": costs.parameters, "network_macs": costs.macs}
    packed["network_macs_input_shape"] = costs.input_shape
    packed.pop("eval_metrics", None)
    if records is not None:
        packed["eval_metrics"] = records.metrics()
    return packed
