"""Ids and forms that MONAI Label needs in a bundle's configs; MONAI's own check does not know them."""

import re
from collections.abc import Iterator
from typing import Any

from monai.bundle import ConfigComponent, ConfigExpression, ConfigParser

from lunet_networks.authoring.checking.bundle import INFERENCE, TRAIN, Bundle, Fault, strings

TRAIN_IDS = {
    "network": "MONAI Label loads the weights into $@network",
    "train#dataset#data": "MONAI Label puts its list of cases there",
    "validate#dataset#data": "MONAI Label puts its list of cases there",
    "train#trainer#max_epochs": "MONAI Label puts the number of epochs there",
    "bundle_root": "MONAI Label and every run put the bundle's folder there",
    "device": "MONAI Label puts the name of a device there",
}
INFERENCE_IDS = {
    "network_def": "MONAI Label builds the network from it",
    "preprocessing": "MONAI Label prepares images by it",
    "postprocessing": "MONAI Label makes label maps by it",
    "bundle_root": "MONAI Label and every run put the bundle's folder there",
    "device": "MONAI Label puts the name of a device there",
}
ALSO_KNOWN_AS = {"preprocessing": "pre_transforms", "postprocessing": "post_transforms"}
MONAI_SPACING = ("Spacingd", "monai.transforms.Spacingd", "monai.transforms.spatial.dictionary.Spacingd")
STEPS = ("initialize", "run", "finalize")


def check_ids(bundle: Bundle) -> Iterator[Fault]:
    """Both configs have the ids that MONAI Label reads or sets."""
    for file, ids in ((TRAIN, TRAIN_IDS), (INFERENCE, INFERENCE_IDS)):
        if file in bundle.runnable:
            parser = bundle.parser(file)
            for name, purpose in ids.items():
                if name not in parser and ALSO_KNOWN_AS.get(name, name) not in parser:
                    yield Fault(file, name, "is missing", f"define it: {purpose}")
    for file, config in bundle.configs.items():
        for key, text in strings(config):
            if text.startswith("$") and re.search(r"@device\.(?!__)", text):
                problem = f"{text!r} needs a torch.device, but MONAI Label sets device to a str"
                yield Fault(file, key, problem, "write $torch.cuda.is_available(), or torch.device(@device)")


def check_steps(bundle: Bundle) -> Iterator[Fault]:
    """Every config that runs has its steps as lists of expressions or components."""
    for file in bundle.runnable:
        parser = bundle.parser(file)
        if "run" not in parser:
            cure = 'add the list of steps of a run, such as "$@train#trainer.run()"'
            yield Fault(bundle.place(file, "run"), "run", "is missing", cure)
        for step in STEPS:
            steps = parser.get(step, [])
            if not isinstance(steps, list) or not all(_does_something(item) for item in steps):
                cure = "write a list of texts that begin with $, or of components"
                yield Fault(bundle.place(file, step), step, "is not a list of steps", cure)


def _does_something(item: Any) -> bool:
    return ConfigExpression.is_expression(item) or ConfigComponent.is_instantiable(item)


def check_transforms(bundle: Bundle) -> Iterator[Fault]:
    """The transforms of inference.json work in MONAI Label as in a run."""
    if INFERENCE not in bundle.runnable:
        return
    parser = bundle.parser(INFERENCE)
    before, after = (_targets(parser, name) for name in ("preprocessing", "postprocessing"))
    names = [target.rpartition(".")[2] for target in before]
    if {"Orientationd", "Spacingd"} & set(names) and not any(target.endswith("Invertd") for target in after):
        problem = "leaves the label map on resampled voxels instead of those of the image"
        yield Fault(INFERENCE, "postprocessing", problem, "add an Invertd of the preprocessing")
    own = [number for number, target in enumerate(before) if target in MONAI_SPACING]
    if own and "Lambdad" not in names[: own[0]]:
        problem = "MONAI's own Spacingd fails in MONAI Label on every NIfTI file (MONAI 1.6.0 and 1.6.1)"
        yield Fault(INFERENCE, "preprocessing", problem, "name lunet_networks.bundle.data.Spacingd")
    if not isinstance(parser.get("displayable_configs", {}), dict):
        yield Fault(INFERENCE, "displayable_configs", "is not an object", "write an object of settings by name")


MONAI_SPACING = {
    "Spacingd",
    "SpacingD",
    "SpacingDict",
    *(f"monai.transforms.Spacing{end}" for end in ("d", "D", "Dict")),
}


def _targets(parser: ConfigParser, name: str) -> list[str]:
    """The components of preprocessing or postprocessing, a Compose or a list."""
    content = parser.get(name, parser.get(ALSO_KNOWN_AS[name]))
    return [text for key, text in strings(content) if key.split("#")[-1] == "_target_"]
