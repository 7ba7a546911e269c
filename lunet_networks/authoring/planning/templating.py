"""Filling the templates of a bundle: placeholders, settings, and templates that are merged over others."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from lunet_networks.bundle.runtime.files import config_text
from lunet_networks.bundle.runtime.settings import SETTINGS

TEMPLATES = Path(__file__).parent / "templates"  # of all bundles; its folders hold more, see families.template_dirs
PLACEHOLDER = re.compile(r"<([a-z_]+)>")
SPLICE = re.compile(r"<\*([a-z_]+)>")
END_OF_SETTINGS = "# ---- the rest follows"  # the line below the settings of a template


def render(values: Mapping[str, Any], *template_dirs: str | Path) -> dict[str, str]:
    """Fill the templates of a bundle.

    A placeholder ``<key>`` that is a whole YAML scalar becomes the value with its type; within a text, or a key, it
    becomes part of that. An item ``<*key>`` of a list becomes the items of the value, which may be none.

    Settings stand on top of a template, each with its default. Those that are to be recorded get an entry in the
    config's ``settings``; a config without these is merged over one that has them when it runs, and gets entries
    ``settings#NAME``.

    Args:
        values: by placeholder.
        template_dirs: NAME.yaml become configs/NAME.json, logging.conf is copied, README.md and *.txt go to docs. A
            NAME.yaml that an earlier folder has too is merged over that one, as MONAI merges configs; settings that it
            adds stand behind those there are.

    Returns:
        Text by path in the bundle.

    Raises:
        KeyError: if a template has a placeholder without a value.
    """
    files: dict[str, str] = {}
    configs: dict[str, dict[str, Any]] = {}
    settings: dict[str, dict[str, None]] = {}
    for path in (path for folder in template_dirs for path in sorted(Path(folder).iterdir()) if path.is_file()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yaml":
            config = _fill(yaml.safe_load(text), values)
            configs[path.stem] = _merge(configs[path.stem], config) if path.stem in configs else config
            settings.setdefault(path.stem, {}).update(dict.fromkeys(names_of_settings(text)))
        elif path.suffix in (".md", ".txt"):
            files[f"docs/{path.name}"] = _fill(text, values)
        else:
            files[f"configs/{path.name}"] = text
    configs = {name: _with_settings(config, settings[name]) for name, config in configs.items()}
    return {**{f"configs/{name}.json": config_text(config) for name, config in configs.items()}, **files}


def names_of_settings(template: str) -> list[str]:
    """Names of the settings of a template: those above the line ``END_OF_SETTINGS`` that are in the registry.

    Example:
        >>> names_of_settings("epochs: 3 # passes\\nimports: []\\n# ---- the rest follows\\nseed: 4")
        ['epochs']
    """
    return [name for name in yaml.safe_load(template.partition(END_OF_SETTINGS)[0]) if name in SETTINGS]


def _with_settings(config: dict[str, Any], names: Mapping[str, None]) -> dict[str, Any]:
    recorded = [name for name in names if SETTINGS[name].recorded]
    if "settings" in config:
        return {**config, "settings": {**config["settings"], **{name: f"@{name}" for name in recorded}}}
    on_top = {name: value for name, value in config.items() if name in names}
    return {**on_top, **{f"settings#{name}": f"@{name}" for name in recorded}, **config}


def _merge(config: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge changes into a config.

    Changes to its parts are named by MONAI's ids; a ``+`` in front adds items to a list. New settings go after the
    existing ones. Ids of parts of another config go to the end."""
    settings = {name: value for name, value in changes.items() if name not in config and "#" not in name}
    parts = {name: name.removeprefix("+").partition("#")[0] for name in changes}
    of_others = {name: value for name, value in changes.items() if parts[name] not in {*config, *settings}}
    own = list(config)
    place = own.index("settings") if "settings" in own else len(own)
    ordered = {name: config.get(name, settings.get(name)) for name in [*own[:place], *settings, *own[place:]]}
    parser = ConfigParser(ordered)
    for name, value in changes.items():
        if name not in {*settings, *of_others}:
            merge_kv(parser, name, value)
    return {**parser.get(), **of_others}


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, dict):
        return {_fill(key, values): _fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [item for part in template for item in _items(part, values)]
    if not isinstance(template, str):
        return template
    whole = PLACEHOLDER.fullmatch(template)
    return values[whole[1]] if whole else PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)


def _items(part: Any, values: Mapping[str, Any]) -> list[Any]:
    spliced = SPLICE.fullmatch(part) if isinstance(part, str) else None
    return values[spliced[1]] if spliced else [_fill(part, values)]
