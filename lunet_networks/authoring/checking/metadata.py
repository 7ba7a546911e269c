"""Whether metadata.json has the form of MONAI's specification and agrees with the configs."""

import json
from collections.abc import Iterator
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from lunet_networks.authoring.checking.bundle import METADATA, Bundle, Fault
from lunet_networks.authoring.literals import literal_value, readable

SCHEMA = Path(__file__).with_name("metadata_schema.json")
FORMAT = "network_data_format"
NAMES = {"inputs": "image", "outputs": "pred"}


def check_metadata(bundle: Bundle) -> Iterator[Fault]:
    """metadata.json follows the schema, and the rules that a schema cannot express."""
    if bundle.metadata is None:
        return
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    errors = sorted(Draft202012Validator(schema).iter_errors(bundle.metadata), key=lambda error: str(error.json_path))
    for error in errors:
        yield Fault(METADATA, _key(error), *_what_is_wrong(error, schema["$defs"]))
    if not errors:
        yield from _version_faults(bundle.metadata)
        yield from _order_faults(bundle.metadata)
        yield from _label_faults(bundle)


def _key(error: ValidationError) -> str:
    parts = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        parts.append(_missing(error))
    elif "propertyNames" in error.absolute_schema_path:
        parts.append(str(error.instance))
    return "#".join(parts)


def _missing(error: ValidationError) -> str:
    return next(name for name in error.validator_value if error.message.startswith(f"{name!r} "))


def _what_is_wrong(error: ValidationError, definitions: dict) -> tuple[str, str]:
    """The problem, and as its cure the description that the schema has of the value."""
    wanted = error.schema
    if error.validator == "required":
        wanted = wanted["properties"][_missing(error)]
        wanted = definitions[wanted["$ref"].rpartition("/")[2]] if "$ref" in wanted else wanted
        return "is missing", wanted["description"]
    value = json.dumps(error.instance, ensure_ascii=False)
    return f"is {value if len(value) <= 60 else value[:57] + '...'}", wanted["description"]


def _version_faults(metadata: dict) -> Iterator[Fault]:
    version = metadata["version"]
    if version not in metadata["changelog"]:
        yield Fault(METADATA, "changelog", f"has no entry for version {version}", f'add "{version}": what is new in it')


def _order_faults(metadata: dict) -> Iterator[Fault]:
    for side, name in NAMES.items():
        first = next(iter(metadata[FORMAT][side]))
        if first != name:
            problem = f"begins with {first}, but MONAI Label reads the first as the {name}"
            yield Fault(METADATA, f"{FORMAT}#{side}", problem, f"put {name} first")


def _label_faults(bundle: Bundle) -> Iterator[Fault]:
    """The labels have the same names in all files, and different names for MONAI Label, which ignores capitals."""
    key = f"{FORMAT}#outputs#pred#channel_def"
    channels = bundle.metadata[FORMAT]["outputs"]["pred"]["channel_def"]
    if list(channels) != [str(number) for number in range(len(channels))]:
        numbers = ", ".join(channels)
        yield Fault(METADATA, key, f"numbers the labels {numbers}", "number them 0, 1, 2 ... in order")
        return
    lowered = [name.lower() for name in channels.values()]
    for name in sorted({name for name in lowered if lowered.count(name) > 1}):
        yield Fault(METADATA, key, f"gives the name {name} twice, capitals aside", "name every label differently")
    for file, config in bundle.configs.items():
        labels = literal_value(config.get("label_names"))
        if isinstance(labels, list) and list(channels.values()) != ["background", *map(readable, map(str, labels))]:
            names = ", ".join(channels.values())
            cure = f"write background, {', '.join(map(str, labels))}, or correct label_names"
            yield Fault(METADATA, key, f"names {names}, which are not the label_names of {file}", cure)
