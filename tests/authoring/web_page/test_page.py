"""How a page is put together."""

import re

import pytest

from lunet_networks.authoring.web_page import SOURCES
from lunet_networks.authoring.web_page.page import (
    APP,
    LIBRARY,
    WORKER,
    PageContent,
    joined_modules,
    page_html,
    page_part,
)

MODEL = {"dims": 3, "channels": 1, "greyToColour": False, "labels": [], "title": "</script><b>"}


def html(**changes):
    content = {"title": "<b>A & B", "model": MODEL, "plan": {}, "weights": b"", "documents": {"Card": "<i>x"}}
    return page_html(PageContent(**{**content, "version": "1", **changes}))


def test_texts_of_a_bundle_cannot_become_parts_of_the_page():
    page = html()
    assert "<title>&lt;b&gt;A &amp; B</title>" in page
    assert "<pre>&lt;i&gt;x</pre>" in page
    assert "</script><b>" not in page


def test_the_same_content_gives_the_same_page():
    assert html() == html()


def test_the_page_names_no_address():
    shown = re.sub(r"(?s)<pre>.*?</pre>", "", html())
    assert not re.search(r"\w+://", shown)


def test_modules_are_joined_in_an_order_in_which_each_finds_what_it_imports():
    names = [*LIBRARY, *WORKER, *APP]
    assert {path.stem for path in SOURCES.glob("*.mjs")} - {"trial"} == set(names)
    defined = set()
    for name in names:
        imported = re.findall(r"from '\./(\w+)\.mjs'", (SOURCES / f"{name}.mjs").read_text())
        assert set(imported) <= defined, name
        defined.add(name)


def test_a_module_that_cannot_be_joined_is_refused(tmp_path):
    (tmp_path / "odd.mjs").write_text("import fs from 'node:fs';\n")
    with pytest.raises(ValueError, match=r"odd\.mjs has an import or export that a page cannot take"):
        joined_modules(["odd"], tmp_path)


def test_a_file_that_is_no_page_is_told():
    with pytest.raises(ValueError, match="has no part model: it is not a page of lunet export"):
        page_part("<html></html>", "model")
