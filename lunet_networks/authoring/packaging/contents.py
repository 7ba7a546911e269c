"""All files of a packed bundle."""

from pathlib import Path
from typing import Any

from torch import nn

from lunet_networks import PRESETS
from lunet_networks.authoring.checking.bundle import INFERENCE, METADATA, TRAIN, Bundle, strings
from lunet_networks.authoring.checking.torchscript import metadata_shape
from lunet_networks.authoring.literals import literal_value
from lunet_networks.authoring.packaging.configs import own_preset
from lunet_networks.authoring.packaging.hub_card import DATA_LICENCE, HUB_CARD, hub_card
from lunet_networks.authoring.packaging.metadata import INFERENCE_NEEDS, PICTURES_NEED, Costs, packed_metadata
from lunet_networks.authoring.packaging.model_card import packed_card
from lunet_networks.authoring.packaging.models import state_dict_bytes, torchscript_bytes
from lunet_networks.authoring.packaging.package_part import NAME, package_part
from lunet_networks.authoring.packaging.packed_record import Records
from lunet_networks.bundle.runtime.files import config_text
from lunet_networks.bundle.runtime.outputs import RECORDS
from lunet_networks.summary import count_macs, count_parameters

CARD, LICENCE = "docs/README.md", "LICENSE"
DOCUMENTS = {".jpg", ".md", ".pdf", ".png", ".svg", ".txt"}
MACS_SIZE = 64  # voxels along each axis
NO_RECORDS = "There is no record of how the weights in `models/model.pt` were trained and evaluated."


def packed_files(
    source: Bundle,
    configs: dict[str, dict[str, Any]],
    preset: str | None,
    network: nn.Module,
    records: Records | None,
    own_notes: bool,
) -> dict[str, bytes]:
    """Content of all files, by path in the packed bundle.

    Args:
        source: the bundle.
        configs: that are packed.
        preset: of the network; None where the bundle names a class.
        network: with its weights.
        records: of their training and evaluation.
        own_notes: whether the card's notes below its figures are about these weights.
    """
    costs = _costs(network, source.metadata)
    metadata = packed_metadata(source.metadata, own_preset(source.configs), preset, costs, records)
    card = packed_card(
        (source.root / CARD).read_text(encoding="utf-8"),
        _model(configs[INFERENCE]["network_def"], preset, costs),
        NO_RECORDS if records is None else records.performance(literal_value(source.configs[TRAIN])),
        _system(metadata),
        own_notes,
    )
    texts = {file: config_text(config) for file, config in configs.items()}
    terms = (source.root / DATA_LICENCE).read_text(encoding="utf-8")
    texts |= {METADATA: config_text(metadata), CARD: card, HUB_CARD: hub_card(card, metadata, terms)}
    texts |= {} if records is None else records.files()
    return {
        **{file: (source.root / file).read_bytes() for file in source.files if _goes_along(file)},
        **{file: text.encode() for file, text in texts.items()},
        "models/model.pt": state_dict_bytes(network),
        "models/model.ts": torchscript_bytes(network, metadata_shape(metadata), metadata, configs[INFERENCE]),
        **package_part(_named(configs)),
    }


def _goes_along(file: str) -> bool:
    """Whether a file of the bundle is packed as it is. Files of other names stay out: they might be data."""
    first, *rest = file.split("/")
    if first == "docs":
        return rest[0] not in {*RECORDS.values(), *PRESETS.names} and Path(file).suffix in DOCUMENTS
    return first in ("configs", "scripts") or file == LICENCE


def _costs(network: nn.Module, metadata: dict[str, Any]) -> Costs:
    image = metadata["network_data_format"]["inputs"]["image"]
    shape = [1, image["num_channels"], *[MACS_SIZE] * len(image["spatial_shape"])]
    return Costs(count_parameters(network), count_macs(network, shape), shape)


def _named(configs: dict[str, dict[str, Any]]) -> list[str]:
    """The components of this package that configs name."""
    texts = (text for config in configs.values() for key, text in strings(config) if key.endswith("_target_"))
    return [text for text in texts if text.startswith(f"{NAME}.")]


def _model(network_def: dict[str, Any], preset: str | None, costs: Costs) -> str:
    """What the model card says of the network."""
    title = "" if preset is None else f"`{preset}`, {PRESETS.components[preset].description}. "
    arguments = ", ".join(
        f"{name}={value!r}" for name, value in network_def.items() if not name.startswith("_") and "@" not in str(value)
    )
    return (
        f"{title}`{network_def['_target_']}({arguments})`: {costs.parameters:,} parameters and "
        f"{costs.macs / 1e9:.3f} G multiply-accumulates for {' x '.join(map(str, costs.input_shape[2:]))} voxels."
    )


def _system(metadata: dict[str, Any]) -> str:
    """What the model card says of what has to be installed."""
    versions = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    packages = {name: metadata[key] for name, key in versions.items()} | metadata["required_packages_version"]
    of_pictures = len(metadata["network_macs_input_shape"]) == 4
    needed = {*versions, *INFERENCE_NEEDS, *(PICTURES_NEED if of_pictures else ())}
    for_inference = [name for name in packages if name in needed]
    others = [name for name in packages if name not in for_inference]

    def listed(names: list[str]) -> str:
        return " ".join(f"{name}=={packages[name]}" for name in names)

    return (
        f"The folder `{NAME}` holds the part of that package that this bundle needs, so it need not be installed. "
        "Start the commands below in this folder, where Python finds it, or set `PYTHONPATH` to this folder.\n\n"
        f"Inference needs `{listed(for_inference)}`; training, evaluation and NRRD files need "
        f"`{listed(others)}` as well."
    )
