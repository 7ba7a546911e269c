"""Filling the templates of a bundle: placeholders, settings, and templates that are merged over others.

Only templates and instances of ``Component`` hold expressions and references. All other values may come from a user,
and are written so that MONAI takes their strings as they are.
"""

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from lunet_networks.authoring.literals import literal, readable
from lunet_networks.authoring.planning.described_settings import END_OF_SETTINGS
from lunet_networks.bundle.runtime.files import config_text
from lunet_networks.bundle.runtime.settings import SETTINGS

METADATA = "metadata"  # the only config that programs read without parsing it
PLACEHOLDER = re.compile(r"<([a-z_]+)>")
SPLICE = re.compile(r"<\*([a-z_]+)>")
CODE = ("$", "@", "%")  # a text of a template that begins so is an expression, a reference or a macro
WORD = re.compile(r"[A-Za-z0-9_]+")
KEY = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)

Quote = Callable[[str], str]


class Component(dict[str, Any]):
    """A value for a placeholder that this package has made up, such as a transform: its strings keep the meaning that
    MONAI gives them. Nothing in it may come from a user but numbers."""


def render(values: Mapping[str, Any], *template_dirs: str | Path) -> dict[str, str]:
    """Fill the templates of a bundle.

    A placeholder ``<key>`` that is a whole YAML scalar becomes the value with its type; within a text, or a key, it
    becomes part of that. An item ``<*key>`` of a list becomes the items of the value, which may be none.

    Settings stand on top of a template, each with its default. Those that are to be recorded get an entry in the
    config's ``settings``; a config without these is merged over one that has them when it runs, and gets entries
    ``settings#NAME``.

    Args:
        values: by placeholder. A string is what the parsed config holds, whatever stands in it, and so are the strings
            in lists and dicts; a ``Component`` is a part of a config.
        template_dirs: NAME.yaml become configs/NAME.json, logging.conf is copied, README.md and *.txt go to docs. A
            NAME.yaml that an earlier folder has too is merged over that one, as MONAI merges configs; settings that it
            adds stand behind those there are.

    Returns:
        Text by path in the bundle.

    Raises:
        KeyError: if a template has a placeholder without a value.
        ValueError: if a value would become code: a text in an expression or a key, or a dict that could be a component.
    """
    files: dict[str, str] = {}
    configs: dict[str, dict[str, Any]] = {}
    settings: dict[str, dict[str, None]] = {}
    for path in (path for folder in template_dirs for path in sorted(Path(folder).iterdir()) if path.is_file()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yaml":
            config = _fill(_parsed(text), values, readable if path.stem == METADATA else literal)
            configs[path.stem] = _merge(configs[path.stem], config) if path.stem in configs else config
            settings.setdefault(path.stem, {}).update(dict.fromkeys(names_of_settings(text)))
        elif path.suffix in (".md", ".txt"):
            files[f"docs/{path.name}"] = PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)
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
    return [name for name in _parsed(template.partition(END_OF_SETTINGS)[0]) if name in SETTINGS]


@functools.cache
def _parsed(template: str) -> Any:
    """A template, which is not to be changed: it is parsed once for all bundles."""
    return yaml.safe_load(template)


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


def _fill(template: Any, values: Mapping[str, Any], quote: Quote) -> Any:
    if isinstance(template, dict):
        return {_in_code(key, values): _fill(value, values, quote) for key, value in template.items()}
    if isinstance(template, list):
        return [item for part in template for item in _items(part, values, quote)]
    if not isinstance(template, str) or not PLACEHOLDER.search(template):
        return template
    if whole := PLACEHOLDER.fullmatch(template):
        return _value(whole[1], values[whole[1]], quote)
    if template.startswith(CODE):
        return _in_code(template, values)
    return quote(PLACEHOLDER.sub(lambda match: str(values[match[1]]), template))


def _items(part: Any, values: Mapping[str, Any], quote: Quote) -> list[Any]:
    spliced = SPLICE.fullmatch(part) if isinstance(part, str) else None
    return _value(spliced[1], values[spliced[1]], quote) if spliced else [_fill(part, values, quote)]


def _value(name: str, value: Any, quote: Quote) -> Any:
    """A value as a config holds it."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list | tuple):
        return [_value(name, item, quote) for item in value]
    if isinstance(value, dict) and not isinstance(value, Component):
        if wrong := [key for key in value if not KEY.fullmatch(key)]:
            raise ValueError(f"{name} has the key {wrong[0]!r}, which MONAI would interpret: make it a Component")
        return {key: _value(name, item, quote) for key, item in value.items()}
    return value


def _in_code(template: Any, values: Mapping[str, Any]) -> Any:
    """A key or an expression with its placeholders filled, by numbers and single words only."""
    if not isinstance(template, str):
        return template

    def fill(match: re.Match[str]) -> str:
        value = values[match[1]]
        if not _is_number(value) and not (isinstance(value, str) and WORD.fullmatch(value)):
            raise ValueError(f"{match[0]} in {template!r} is {value!r}: only a number or a word becomes part of code")
        return str(value)

    return PLACEHOLDER.sub(fill, template)


def _is_number(value: Any) -> bool:
    return all(map(_is_number, value)) if isinstance(value, list) else isinstance(value, int | float)
