"""Whether a bundle's web page is made of its weights and settings, and labels as the bundle does."""

import json
from collections.abc import Iterator

from lunet_networks import PRESETS
from lunet_networks.authoring.checking.bundle import INFERENCE, Bundle, Fault
from lunet_networks.authoring.checking.isolated_folder import isolated_folder
from lunet_networks.authoring.web_page.content import bundle_content
from lunet_networks.authoring.web_page.page import page_html, page_part
from lunet_networks.authoring.web_page.trial import MOST_DIFFERENT, try_page
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.bundle.training.weights import load_weights

EXPORT = "export it again: lunet export BUNDLE --format html --overwrite True"
GENERATOR = '<meta name="generator" content="lunet_networks'


def check_web_page(bundle: Bundle) -> Iterator[Fault]:
    """Every page in models is what lunet export writes of this bundle, and labels made-up images as the bundle does."""
    pages = [file for file in bundle.files if file.startswith("models/") and file.endswith(".html")]
    for file in pages if INFERENCE in bundle.runnable else ():
        html = (bundle.root / file).read_text(encoding="utf-8", errors="replace")
        if GENERATOR in html:
            yield from _faults(bundle, file, html)


def _faults(bundle: Bundle, file: str, html: str) -> Iterator[Fault]:
    folder, parser = (bundle.root / file).parent, bundle.parser(INFERENCE)
    if folder.name in PRESETS.names:
        parser["preset"] = folder.name
    try:
        with isolated_folder():
            network = parser.get_parsed_content("network_def")
            load_weights(network, folder / "model.pt")
            content = bundle_content(bundle.root, parser, bundle.metadata or {}, network.eval())
    except Exception as error:  # weights or settings that a page cannot have
        yield Fault(file, "", f"cannot be made of this bundle ({root_cause(error)})", "remove it")
        return
    expected = page_html(content)
    if html != expected:
        yield Fault(file, _part_that_differs(html, expected), "is not what this bundle gives", EXPORT)
        return
    try:
        trial = try_page(bundle.root / file, content, parser, bundle.root, network)
    except RuntimeError as error:
        yield Fault(file, "", f"does not label ({str(error).splitlines()[0]})", EXPORT)
        return
    if not trial.share <= MOST_DIFFERENT:
        yield Fault(file, "", f"labels otherwise than the bundle: {trial.text}, tried in {trial.where}", EXPORT)


def _part_that_differs(html: str, expected: str) -> str:
    """The setting of the model, or the part of the page."""
    try:
        found, right = (json.loads(page_part(each, "model")) for each in (html, expected))
    except ValueError:
        return "model"
    for name in right:
        if found.get(name) != right[name]:
            return f"model: {name}"
    parts = ("plan", "weights", "engine", "library", "worker", "app")
    return next((part for part in parts if page_part(html, part) != page_part(expected, part)), "")
