"""The content of the page of a bundle: its model, its settings and its texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from torch import nn

import lunet_networks
from lunet_networks import PRESETS
from lunet_networks.authoring.web_page import SOURCES
from lunet_networks.authoring.web_page.graph import network_program
from lunet_networks.authoring.web_page.page import PageContent
from lunet_networks.authoring.web_page.settings import page_settings
from lunet_networks.state_dicts import weights_digest

__all__ = ["bundle_content"]

DOCUMENTS = {  # by the heading: a file of the bundle
    "Model card": "docs/README.md",
    "Licence of the data that the weights come from": "docs/data_license.txt",
    "Licence of the model": "LICENSE",
}


def bundle_content(root: Path, parser: ConfigParser, metadata: Mapping[str, Any], network: nn.Module) -> PageContent:
    """What the page of a bundle holds.

    Args:
        root: the bundle's folder, whose card and licences go along.
        parser: of inference.json, with the preset of the network.
        metadata: metadata.json.
        network: with its weights.

    Raises:
        ValueError: if a page cannot compute what the bundle does; the message says what.
    """
    settings = page_settings(root, parser, metadata)
    shape = (1, settings["channels"], *settings["roi"][: settings["dims"]])
    program, image, logits = network_program(network.cpu(), shape)
    title = str(metadata.get("name") or root.name)
    digest = weights_digest(network)
    preset = parser.get("preset")
    named = preset if preset in PRESETS.names else type(network).__name__
    made = f"{named}, weights {digest[:12]}, lunet_networks {lunet_networks.__version__}."
    texts = {heading: root / file for heading, file in DOCUMENTS.items()} | {"Notices": SOURCES / "notices.txt"}
    return PageContent(
        title=title,
        model={**settings, "title": title, "weights": digest, "note": f"{title}: {made}"},
        plan=program.laid_out(image, logits),
        weights=program.weights.content(),
        documents={h: path.read_text(encoding="utf-8").strip() for h, path in texts.items() if path.is_file()},
        version=lunet_networks.__version__,
    )
