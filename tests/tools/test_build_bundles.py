import json

import monai
import pytest
import torch
import yaml
from monai.bundle import ConfigParser

import lunet_networks
from lunet_networks.authoring.planning.bundle_files import bundle_files
from lunet_networks.authoring.planning.templating import TEMPLATES, render
from lunet_networks.authoring.planning.values import complete
from tools.build_bundles import build_bundles, repository_settings


@pytest.fixture
def written(tmp_path):
    build_bundles(str(tmp_path))
    return tmp_path


def test_check_names_files_that_differ_or_are_not_there(written):
    build_bundles(str(written), check=True)
    (written / "lunet_small" / "configs" / "train.json").write_text("{}")
    (written / "lunet_small" / "LICENSE").unlink()
    with pytest.raises(ValueError, match=r"not as generated, .*train\.json, .*LICENSE"):
        build_bundles(str(written), check=True)


def test_versions_are_those_of_the_package_and_of_the_tests(written):
    metadata = json.loads((written / "lunet_small" / "configs" / "metadata.json").read_text())
    assert metadata["version"] == lunet_networks.__version__
    assert metadata["required_packages_version"]["lunet-networks"] == lunet_networks.__version__
    assert metadata["monai_version"] == monai.__version__


def test_every_setting_of_a_training_is_explained():
    text = (TEMPLATES / "train.yaml").read_text()
    settings = text[text.index("# ---- how") : text.index("# ---- the rest follows")].splitlines()[1:]
    unexplained = [line for line in settings if line and "#" not in line]
    # the field's own words need no explanation
    assert {line.partition(":")[0] for line in unexplained} <= {"epochs", "batch_size", "learning_rate", "num_folds"}


@pytest.mark.parametrize("family", ["lunet_small", "pspseg_small"])
def test_every_setting_is_checked_and_recorded(family, written):
    config = ConfigParser.load_config_file(written / family / "configs" / "train.json")
    places = {"imports", "bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "device"}
    names = list(config)
    settings = set(names[: names.index("settings")]) - places
    assert settings == config["settings"].keys() - {"_target_"}


def test_one_label_is_one_output():
    values = complete({**repository_settings("lunet_small"), "label_names": ["tumour"]})
    assert values["out_channels"] == 1
    assert values["channel_def"] == {"0": "background", "1": "tumour"}
    train = json.loads(
        bundle_files({**repository_settings("lunet_small"), "label_names": ["tumour"]})["configs/train.json"]
    )
    parser = ConfigParser({"post": train["validate"]["postprocessing"]})
    item = {"pred": torch.tensor([-1.0, 2.0]).view(1, 2, 1, 1), "label": torch.ones(1, 2, 1, 1)}
    assert parser.get_parsed_content("post")(item)["pred"].flatten().tolist() == [0, 1]


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
