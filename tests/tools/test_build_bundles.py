"""Bundles of the repository as they are generated (templating.py), and what is generated with them."""

import json
import shutil

import monai
import pytest
import torch
import yaml
from monai.bundle import ConfigParser

import lunet_networks
from lunet_networks.authoring.planning.described_settings import END_OF_SETTINGS, TEMPLATES
from lunet_networks.authoring.planning.templating import names_of_settings, render
from lunet_networks.authoring.planning.values import complete
from lunet_networks.bundle.runtime.settings import SETTINGS
from tools.build_bundles import build_bundles, repository_settings


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    build_bundles(str(folder))
    return folder


def test_the_repositorys_bundles_and_what_goes_with_them_are_as_generated(monkeypatch):
    build_bundles(check=True)
    monkeypatch.setattr("tools.build_bundles.page", lambda: {"docs/lunet_small.html": "of another README"})
    with pytest.raises(ValueError, match=r"not as generated, .*build_bundles: \S*docs/lunet_small\.html$"):
        build_bundles(check=True)


def test_check_names_files_that_differ_or_are_not_there(written, tmp_path):
    build_bundles(str(written), check=True)
    edited = shutil.copytree(written, tmp_path / "edited")
    (edited / "lunet_small" / "configs" / "train.json").write_text("{}")
    (edited / "lunet_small" / "LICENSE").unlink()
    with pytest.raises(ValueError, match=r"not as generated, .*train\.json, .*LICENSE"):
        build_bundles(str(edited), check=True)


def test_versions_are_those_of_the_package_and_of_the_tests(written):
    metadata = json.loads((written / "lunet_small" / "configs" / "metadata.json").read_text())
    assert metadata["version"] == lunet_networks.__version__
    assert metadata["required_packages_version"]["lunet-networks"] == lunet_networks.__version__
    assert metadata["monai_version"] == monai.__version__


WITH_SETTINGS = [path for path in sorted(TEMPLATES.rglob("*.yaml")) if END_OF_SETTINGS in path.read_text()]


@pytest.mark.parametrize("path", WITH_SETTINGS, ids=lambda path: path.relative_to(TEMPLATES).as_posix())
def test_what_stands_on_top_of_a_template_is_in_the_registry_of_settings(path):
    top = yaml.safe_load(path.read_text().partition(END_OF_SETTINGS)[0])
    assert list(top.keys() - SETTINGS.keys() - {"imports", "+imports"}) == []


def test_every_setting_of_the_registry_stands_on_top_of_a_template():
    assert {name for path in WITH_SETTINGS for name in names_of_settings(path.read_text())} == SETTINGS.keys()


@pytest.mark.parametrize("family", ["lunet_small", "pspseg_small"])
def test_every_setting_of_a_training_is_checked_and_recorded(family, written):
    config = ConfigParser.load_config_file(written / family / "configs" / "train.json")
    names = list(config)
    settings = [name for name in names[: names.index("settings")] if name in SETTINGS and SETTINGS[name].recorded]
    assert list(config["settings"]) == ["_target_", *settings]
    assert {"epochs", "label_names", *({"deep_supervision"} if family == "pspseg_small" else {})} <= {*settings}


def test_settings_of_a_config_that_is_merged_over_another_are_added_to_those_of_the_other(written):
    configs = [str(written / "lunet_small" / "configs" / f"{name}.json") for name in ("train", "evaluate")]
    merged = ConfigParser.load_config_files(configs)
    assert {"epochs", "save_predictions", "overlap", "sw_batch_size"} < merged["settings"].keys()
    assert "section" not in merged["settings"]


@pytest.mark.parametrize(
    ("names", "ignore_label", "expected"),
    [
        (["tumour"], None, {"outputs": 1, "values": [0, 1], "discrete": [0, 1]}),
        (["core", "rim", "cyst"], 4, {"outputs": 4, "values": [0, 1, 2, 3, 4], "discrete": [1, 1]}),
    ],
    ids=["one", "three and ignored"],
)
def test_a_config_follows_the_names_of_its_labels(written, names, ignore_label, expected):
    train, inference, benchmark = (
        ConfigParser(ConfigParser.load_config_file(written / "lunet_small" / "configs" / f"{name}.json"))
        for name in ("train", "inference", "benchmark")
    )
    for parser in (train, inference, benchmark):
        parser.update({"label_names": names})
        assert parser.get_parsed_content("out_channels") == expected["outputs"]
    train["ignore_label"] = ignore_label
    train["values"] = "$label_values(@label_names, @ignore_label)"
    assert train.get_parsed_content("values") == expected["values"]
    assert train.get_parsed_content("network_def").head.out_channels == expected["outputs"]
    assert train.get_parsed_content("validate#key_metric#val_mean_dice#num_values") == len(names) + 1
    logits = torch.tensor([[-1.0, 2.0], [0.0, 3.0], [-1.0, -1.0], [-1.0, -1.0]])[: expected["outputs"]]
    item = {"pred": logits.view(-1, 2, 1, 1), "label": torch.ones(1, 2, 1, 1)}
    discrete = train.get_parsed_content("validate#postprocessing")(item)["pred"]
    assert discrete.flatten().tolist() == expected["discrete"]


def test_metadata_gives_numbers():
    values = complete({**repository_settings("lunet_small"), "label_names": ["tumour"]})
    assert values["out_channels"] == 1
    assert values["channel_def"] == {"0": "background", "1": "tumour"}


def test_placeholders_keep_types_and_fill_texts(tmp_path):
    (tmp_path / "train.yaml").write_text("roi: <roi>  # voxels\nlist: [<roi>, plain]\nstep: $pad(<roi>)\n")
    (tmp_path / "README.md").write_text("# <title>\n")
    (tmp_path / "logging.conf").write_text("[loggers]\n")
    files = render({"roi": [1, 2], "title": "Lean"}, tmp_path)
    assert json.loads(files.pop("configs/train.json")) == {
        "roi": [1, 2],
        "list": [[1, 2], "plain"],
        "step": "$pad([1, 2])",
    }
    assert files == {"docs/README.md": "# Lean\n", "configs/logging.conf": "[loggers]\n"}


def test_a_later_template_is_merged_over_an_earlier_one(tmp_path):
    for folder, text in {
        "all": "epochs: 3\nsettings: {epochs: '@epochs'}\ntrain: {steps: [{loss: a}, b]}\n",
        "some": "epochs: 5\nweight: <weight>\ntrain#steps#0#loss: c\nother#part: d\n",
    }.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.yaml").write_text(text)
    (tmp_path / "some" / "prune.yaml").write_text("train#steps: []\n")
    files = render({"weight": 0.5}, tmp_path / "all", tmp_path / "some")
    config = json.loads(files["configs/train.json"])
    assert list(config) == ["epochs", "weight", "settings", "train", "other#part"]
    assert config["train"] == {"steps": [{"loss": "c"}, "b"]}
    assert (config["epochs"], config["weight"]) == (5, 0.5)
    assert json.loads(files["configs/prune.json"]) == {"train#steps": []}


def test_a_placeholder_without_a_value_is_an_error(tmp_path):
    (tmp_path / "train.yaml").write_text("roi: <rio>\n")
    with pytest.raises(KeyError, match="rio"):
        render({"roi": 1}, tmp_path)


def test_templates_are_yaml_without_duplicate_keys():
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader, node):
        keys = [loader.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return loader.construct_mapping(node, deep=True)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for path in TEMPLATES.rglob("*.yaml"):
        yaml.load(path.read_text(), Strict)
