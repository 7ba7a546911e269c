"""The configs of a packed bundle: they name the network's class and arguments and check the package's version."""

import copy
from typing import Any

import lunet_networks
from lunet_networks import PRESETS
from lunet_networks.authoring.checking.bundle import INFERENCE
from lunet_networks.authoring.planning.families import FAMILIES, check_preset, presets_of
from lunet_networks.bundle.pruning.derived_bundle import without_preset

FACTORY = "lunet_networks.create_network"
NETS = "lunet_networks.nets"
IMPORT_CHECK = "$from lunet_networks.bundle.runtime import require_version"
FIRST_STEP = "$show_root_cause()"


def own_preset(configs: dict[str, dict[str, Any]]) -> str | None:
    """The preset of the network that infers; None where the config names a class, also if a preset is left in it.

    Example:
        >>> own_preset({INFERENCE: {"preset": "lunet_small_4f", "network_def": {"_target_": FACTORY}}})
        'lunet_small_4f'
        >>> own_preset({INFERENCE: {"preset": "lunet_small_4f", "network_def": {"_target_": "torch.nn.Conv3d"}}})
    """
    return _preset(configs[INFERENCE])


def _preset(config: dict[str, Any]) -> str | None:
    return config.get("preset") if config.get("network_def", {}).get("_target_") == FACTORY else None


def choose_packed_preset(configs: dict[str, dict[str, Any]], preset: str | None) -> str | None:
    """The preset to pack: the bundle's own, or another of its family; None where the configs name a class.

    Raises:
        ValueError: if ``preset`` is of another family, the configs name a class, or some of them do.
    """
    own = own_preset(configs)
    for file, config in configs.items():
        if "network_def" in config and _preset(config) != own:
            raise ValueError(f"network_def of {file} is another than that of {INFERENCE}: write the same into both")
    if own is None:
        if preset is not None:
            raise ValueError(
                f"--preset {preset}: leave it out, the configs of this bundle name a class instead of a preset"
            )
        return None
    families = {name: presets_of(name) for name in FAMILIES}
    families |= {other: [other] for family in FAMILIES.values() for other in family.others}
    name = next((name for name, presets in families.items() if own in presets), None)
    if name is None:
        raise ValueError(f"the bundle's preset {own!r} belongs to none of the families {', '.join(FAMILIES)}")
    if preset is None:
        return own
    check_preset(name, preset, families[name])  # title and papers of the bundle would not fit another architecture
    return preset


def packed_configs(configs: dict[str, dict[str, Any]], preset: str | None) -> dict[str, dict[str, Any]]:
    """Configs that do not depend on the table of presets, and run only with the package's version packed with them.

    Args:
        configs: by file.
        preset: of the network; None leaves the network as it is.

    Example:
        >>> network_def = {"_target_": "lunet_networks.create_network", "preset": "@preset", "spatial_dims": 3}
        >>> packed = packed_configs({"a": {"preset": "lunet_small_4f", "network_def": network_def}}, "lunet_small_2f")
        >>> del packed["a"]["network_def"]["_requires_"]
        >>> packed["a"]["network_def"]
        {'_target_': 'lunet_networks.nets.UNet', 'spatial_dims': 3, 'channels': [2, 2, 2, 2, 2], 'convs_per_block': 2}
    """
    return {file: _packed(copy.deepcopy(config), preset) for file, config in configs.items()}


def _packed(config: dict[str, Any], preset: str | None) -> dict[str, Any]:
    check = f"$require_version({lunet_networks.__version__!r})"
    config = without_preset(config)
    if "network_def" in config:
        network = config["network_def"]
        if preset is not None and network.get("_target_") == FACTORY:
            network = _spelled_out(network, preset)
        # MONAI Label, monai.bundle.load and federated clients build the network without running any step
        config["network_def"] = {"_target_": network["_target_"], "_requires_": check} | {
            name: value for name, value in network.items() if name not in ("_target_", "_requires_")
        }
        imports = [line for line in config.get("imports", []) if line != IMPORT_CHECK]
        config = {"imports": [IMPORT_CHECK, *imports]} | {k: v for k, v in config.items() if k != "imports"}
    for steps in config.values():
        if isinstance(steps, list) and FIRST_STEP in steps:
            steps[:] = [step for step in steps if not str(step).startswith("$require_version(")]
            steps.insert(steps.index(FIRST_STEP) + 1, check)
    return config


def _spelled_out(network_def: dict[str, Any], preset: str) -> dict[str, Any]:
    factory = PRESETS[preset]
    keywords = {name: list(value) if isinstance(value, tuple) else value for name, value in factory.keywords.items()}
    given = {name: value for name, value in network_def.items() if name not in ("_target_", "preset")}
    return {"_target_": f"{NETS}.{factory.func.__name__}"} | given | {**keywords, **given}
