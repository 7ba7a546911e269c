"""Whatever a string holds, a config that MONAI has parsed gives it back, and nothing of it has been done."""

import json
import warnings
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from lunet_networks.authoring.literals import literal, literal_value, readable
from lunet_networks.bundle.runtime.files import config_text

PIECES = ["$", "@", "%", "#", "::", ":", "'", '"', "\\", "\n", "a", "import os", "label", "0", " ", "é", "肝", "{", "}"]
TEXTS = st.text() | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
MISTAKEN = [
    "$__import__('os').abort()",
    "$import antigravity",
    "$import",
    "$",
    "@",
    "@label",
    "@label::0",
    "see @#label and %##0",
    "%",
    "%/etc/passwd.json",
    "%label",
    "organ #1",
    "a@::b",
    "@:#",
    "a %:##",
    "$'already\\x24quoted'",
    "\udcff",
    "_target_",
]


def parsed(content: dict[str, Any]) -> ConfigParser:
    """A config that has been a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ConfigParser(json.loads(config_text(content)))


def mistaken(test: Any) -> Any:
    for text in MISTAKEN:
        test = example(text)(test)
    return test


@mistaken
@given(TEXTS)
def test_a_literal_is_the_same_string_when_it_has_been_parsed(text: str) -> None:
    config = {
        "label": literal([text, "b"]),
        "again": "@label",
        "alone": literal(text),
        "passed": "@alone",
        "code": "$[@alone, *@label]",
        "component": {"_target_": "builtins.dict", "name": literal(text), "names": "@label"},
    }
    parser = parsed(config)
    assert parser.get_parsed_content("alone") == text
    assert parser.get_parsed_content("passed") == text
    assert parser.get_parsed_content("label") == parser.get_parsed_content("again") == [text, "b"]
    assert parser.get_parsed_content("code") == [text, text, "b"]
    assert parser.get_parsed_content("component") == {"name": text, "names": [text, "b"]}


@mistaken
@given(TEXTS)
def test_who_reads_a_config_without_parsing_it_finds_the_string_too(text: str) -> None:
    assert literal_value(literal(text)) == text
    assert literal_value({"names": literal([text])}) == {"names": [text]}


@mistaken
@given(TEXTS)
def test_a_readable_string_is_safe_in_metadata(text: str) -> None:
    shown = readable(text)
    assert shown.replace(" ", "") == text.replace(" ", "").replace("\udcff", "?")
    parser = parsed({"label": "a", "_meta_": {"name": shown, "names": {"0": shown}}})
    assert parser.get_parsed_content("label") == "a"
    meant = shown.replace("#", "::")  # of every string, MONAI does that
    assert parser.get_parsed_content("_meta_") == {"name": meant, "names": {"0": meant}}


@pytest.mark.parametrize("text", ["left kidney", "a$b", "50 %", "me@example.org", "10:30", 'it\'s "so"', "肝臓", ""])
def test_harmless_strings_stay_as_they_are(text: str) -> None:
    assert literal(text) == readable(text) == text


def test_only_strings_change() -> None:
    value = {"paths": (PurePosixPath("/data/study#1"), "a"), "number": 3, "none": None, "yes": True}
    assert literal(value) == {**value, "paths": ("$'/data/study\\x231'", "a")}


@pytest.mark.parametrize("text", ["$@bundle_root + '/eval'", "$'a' + @b + 'c'", "$'a' if 1 else 'b'", "$'unfinished"])
def test_other_expressions_are_no_literals(text: str) -> None:
    assert literal_value(text) == text
