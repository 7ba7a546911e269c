"""The page: the template filled with the engine, the plan, the weights, the modules and what a reader should know."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from lunet_networks.authoring.web_page import SOURCES

__all__ = ["PageContent", "page_html", "page_part"]

# In the order in which they build on each other; those behind the first line run only beside or in the page.
LIBRARY = ("errors", "bytes", "nifti", "nrrd", "png", "matrices", "grids", "intensities", "labels", "windows")
LIBRARY += ("images", "pipeline", "engine")
WORKER, APP = ("worker",), ("view", "app")
IMPORT = re.compile(r"^import \{ (.*) \} from '\./(\w+)\.mjs';$", re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
PART = r'<script[^>]* id="{}">(.*?)</script>'
INTENDED_USE = "For research only. Not a medical device."


@dataclass(frozen=True)
class PageContent:
    """What a page is made of.

    Args:
        title: of the page.
        model: settings of the inference and what else the page knows of the model, as JSON.
        plan: of the network, as JSON.
        weights: float32, little-endian, as the plan names them.
        documents: texts by their headings: the model card, licences.
        version: of lunet_networks.
    """

    title: str
    model: Mapping[str, Any]
    plan: Mapping[str, Any]
    weights: bytes
    documents: Mapping[str, str]
    version: str


def page_html(content: PageContent) -> str:
    """The page as HTML. Texts are escaped; the policy lets only the page's own scripts and style run."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    library, app = joined_modules(LIBRARY), joined_modules(APP)
    style = (SOURCES / "page.css").read_text(encoding="utf-8").strip()
    several = content.model["channels"] > 1
    return templates.get_template("page.html").render(
        title=content.title,
        policy=_policy([library, app], style),
        version=content.version,
        style=style,
        intended_use=INTENDED_USE,
        invitation=_invitation(content.model),
        several=several,
        documents=list(content.documents.items()),
        model=_as_json(content.model),
        engine=_packed((SOURCES / "engine.wasm").read_bytes()),
        plan=_packed(json.dumps(content.plan, separators=(",", ":")).encode()),
        weights=_packed(content.weights),
        library=library,
        worker=joined_modules(WORKER),
        app=app,
    )


def page_part(html: str, name: str) -> str:
    """The text of one of the page's scripts.

    Example:
        >>> page_part('<script type="application/json" id="model">{}</script>', "model")
        '{}'

    Raises:
        ValueError: if it is not there.
    """
    found = re.search(PART.format(re.escape(name)), html, re.DOTALL)
    if found is None:
        raise ValueError(f"has no part {name}: it is not a page of lunet export, or is damaged")
    return found[1]


def joined_modules(names: Sequence[str], folder: Path = SOURCES) -> str:
    """Modules as one script: each becomes a function that returns what it exports. A page from disk cannot import.

    Args:
        names: of the modules, in the order in which they build on each other.
        folder: that holds them.
    """
    return "\n".join(_as_function(name, (folder / f"{name}.mjs").read_text(encoding="utf-8")) for name in names)


def _as_function(name: str, source: str) -> str:
    exported = EXPORT.findall(source)
    source = IMPORT.sub(r"const { \1 } = \2_module;", source)
    source = EXPORT.sub("", source)
    if re.search(r"^(import|export) ", source, re.MULTILINE) or "</script" in source:
        raise ValueError(f"{name}.mjs has an import or export that a page cannot take, or the end of a script")
    body = f"{source.strip()}\nreturn {{ {', '.join(exported)} }};"
    return f"const {name}_module = (() => {{\n'use strict';\n{body}\n}})();"


def _invitation(model: Mapping[str, Any]) -> str:
    files = "NIfTI or NRRD" if model["dims"] == 3 else "PNG, JPG, NIfTI or NRRD"
    if model["channels"] == 1 or model["greyToColour"]:
        return f"Drop an image here, or choose one ({files})"
    return f"Drop the files of an image here together, in the order of their names: {', '.join(model['channelNames'])}"


def _policy(scripts: Sequence[str], style: str) -> str:
    def digests(texts: Sequence[str]) -> str:
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        )

    return (
        f"default-src 'none'; script-src {digests(scripts)} 'wasm-unsafe-eval'; style-src {digests([style])}; "
        "worker-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode()
