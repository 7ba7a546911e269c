"""Strings of a dataset.json and a command line in the files of a bundle: they stay what they are, and do nothing."""

import dataclasses
import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from lunet_networks.authoring.checking.verify import find_faults
from lunet_networks.authoring.literals import readable
from lunet_networks.authoring.planning.bundle_files import bundle_settings
from lunet_networks.authoring.planning.decisions import Plan, plan_bundle
from lunet_networks.authoring.planning.families import template_dirs
from lunet_networks.authoring.planning.fingerprint import Fingerprint, read_fingerprint
from lunet_networks.authoring.planning.new_bundle import new_bundle
from lunet_networks.authoring.planning.templating import Component, render
from lunet_networks.authoring.planning.texts import authorship, bundle_facts
from lunet_networks.authoring.planning.values import complete
from lunet_networks.authoring.samples.get_data import phantom
from tools import ROOT
from tools.build_bundles import repository_settings

FAMILY, PRESET = "lunet_small", "lunet_small_4f"
LABELS = ("$__import__('os').environ.update(DONE='yes')", "@epochs", "%/etc/hostname.json", "$\\frac$ #2")
SEPARATORS = "a|b, \"c\" 'd'"


@functools.cache
def hippocampus() -> tuple[Fingerprint, Plan]:
    fingerprint = read_fingerprint(ROOT / "tools" / "fingerprints" / "Task04_Hippocampus.json")
    return fingerprint, plan_bundle(fingerprint, FAMILY, PRESET, memory_gib=8)


@functools.cache
def facts() -> dict[str, str]:
    """What the files say of the network."""
    return bundle_facts(complete(repository_settings(FAMILY)), None)


TEXT = st.text(max_size=12) | st.sampled_from(["$1 / 0", "$import os", "@seed", "@#0", "%seed", "%/a.json", "a #1", ""])
NAME = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=9)
NAMES = st.lists(NAME | st.sampled_from(["$1 / 0", "$import os", "@seed", "%seed", "#"]), min_size=1, unique=True)


@settings(deadline=None, max_examples=40)
@given(labels=NAMES, channels=NAMES, texts=st.tuples(*[TEXT] * 5))
def test_parsed_configs_hold_what_the_dataset_says(labels, channels, texts):
    fingerprint, plan = hippocampus()
    names = ("name", "description", "reference", "licence")
    fingerprint = dataclasses.replace(
        fingerprint,
        label_names=tuple(labels),
        modalities=tuple(channels),
        intensities=fingerprint.intensities * len(channels),
        **dict(zip(names, texts, strict=False)),
    )
    plan = Plan(plan.decisions, {**plan.values, "label_names": labels, "in_channels": len(channels)})
    values = {**complete({**bundle_settings(fingerprint, FAMILY, PRESET, plan), **authorship(texts[4])}), **facts()}
    files = render(values, *template_dirs(FAMILY))
    for config in ("train", "inference", "benchmark"):
        parser = ConfigParser(json.loads(files[f"configs/{config}.json"]))
        assert parser.get_parsed_content("label_names") == labels
        assert parser.get_parsed_content("in_channels") == len(channels)
        if config != "benchmark":
            assert parser.get_parsed_content("dataset_dir") == values["dataset_dir"]
    metadata = json.loads(files["configs/metadata.json"])
    expected = {
        "name": values["title"],
        "task": values["task"],
        "authors": values["authors"],
        "copyright": values["copyright"],
        "references": values["references"],
    }
    assert {name: metadata[name] for name in expected} == {name: shown(value) for name, value in expected.items()}
    formats = metadata["network_data_format"]
    assert [*formats["outputs"]["pred"]["channel_def"].values()] == shown(["background", *labels])
    assert [*formats["inputs"]["image"]["channel_def"].values()] == shown(values["channel_names"])
    parser = ConfigParser({"_meta_": json.loads(files["configs/metadata.json"])})
    assert parser.get_parsed_content("_meta_") == with_separators(metadata)


def shown(value: str | list[str]) -> str | list[str]:
    return [readable(each) for each in value] if isinstance(value, list) else readable(value)


def with_separators(value: Any) -> Any:
    """As MONAI gives every string that it has parsed."""
    if isinstance(value, dict):
        return {name: with_separators(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_separators(each) for each in value]
    return value.replace("#", "::") if isinstance(value, str) else value


@pytest.fixture
def odd(tmp_path: Path) -> tuple[Path, list[str]]:
    """A dataset whose every text would do something, and the names of its labels."""
    folder = tmp_path / "study#1 $x$"
    phantom(str(folder), num_cases=5, difficulty="easy", shape=(32, 32, 32), num_labels=4)
    content = json.loads((folder / "dataset.json").read_text())
    labels = list(LABELS)
    content["labels"] = {"0": "background", **{str(value): name for value, name in enumerate(labels, start=1)}}
    content |= dict.fromkeys(("name", "description", "reference"), LABELS[0])
    content |= {"modality": {"0": "@epochs"}, "licence": "%/etc/hostname.json\n#2"}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder, labels


def test_a_bundle_for_a_dataset_that_would_do_something(odd, tmp_path, capsys):
    folder, labels = odd
    new_bundle("lunet_small", str(folder), str(tmp_path / "mine"), authors="$1 / 0")
    assert "--dataset_dir '$'" in capsys.readouterr().out, "as a literal, for a shell"
    assert [str(fault) for faults in find_faults(tmp_path / "mine").values() for fault in faults] == []
    parser = ConfigParser()
    parser.read_meta(str(tmp_path / "mine" / "configs" / "metadata.json"))
    parser.read_config(str(tmp_path / "mine" / "configs" / "train.json"))
    assert parser.get_parsed_content("settings")["label_names"] == labels
    assert parser.get_parsed_content("network_def").head.out_channels == 5
    assert "Licence: %/etc/hostname.json #2." in (tmp_path / "mine" / "docs" / "data_license.txt").read_text()
    assert "DONE" not in os.environ


def test_tables_of_a_card_keep_their_columns():
    fingerprint, plan = hippocampus()
    values = {**plan.values, "label_names": [SEPARATORS]}
    made = bundle_settings(dataclasses.replace(fingerprint, label_names=(SEPARATORS,)), FAMILY, PRESET, plan)
    card = bundle_facts(complete({**made, **values}), None)
    (row,) = [line for line in card["train_settings"].splitlines() if line.startswith("| `label_names`")]
    assert row.replace("\\|", "").count("|") == 4


@pytest.mark.parametrize(
    ("template", "value", "message"),
    [
        ("step: $f(<value>)", "1) or g(", "<value> in '$f(<value>)' is '1) or g(': only a number or a word becomes"),
        ("<value>: 3", "_target_#0", "only a number or a word becomes part of code"),
        ("part: <value>", {"_target_": "os.system"}, "value has the key '_target_', which MONAI would interpret"),
        ("part: [<*value>]", [{"a#b": 1}], "value has the key 'a#b'"),
    ],
)
def test_a_value_never_becomes_code(tmp_path, template, value, message):
    (tmp_path / "train.yaml").write_text(template)
    with pytest.raises(ValueError, match=r"(value|code)") as caught:
        render({"value": value}, tmp_path)
    assert message in str(caught.value)


def test_components_are_taken_as_they_are(tmp_path):
    (tmp_path / "train.yaml").write_text("part: <part>\nitems: [<*items>]\ntext: 'see <word>'\nstep: $f(<axes>)\n")
    part = Component(_target_="Compose", transforms="@items")
    files = render({"part": part, "items": [part, "@items"], "word": "#1", "axes": [0, 1]}, tmp_path)
    config = json.loads(files["configs/train.json"])
    assert config["part"] == config["items"][0] == part
    assert ConfigParser(config).get_parsed_content("items#1") == "@items"
    assert ConfigParser(config).get_parsed_content("text") == "see #1"
    assert config["step"] == "$f([0, 1])"
