"""The table of runs: every line names what exists, and a wrong one is refused by name."""

from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser
from torch import nn

from lunet_networks import PRESETS
from tools import ROOT
from tools.study.datasets import DATASETS
from tools.study.peers import peer_config
from tools.study.table import read_table

RIGHT = {"network": "lunet_small_4f", "dataset": "hippocampus", "part": "fold0", "epochs": 2, "seeds": [0, 1]}


def test_every_run_names_a_bundle_and_a_network_that_exist() -> None:
    for planned in read_table():
        assert (ROOT / "bundles" / planned.bundle / "configs" / "train.json").is_file(), planned.name
        assert (planned.network in PRESETS) is not planned.is_peer


def test_every_peer_takes_the_images_of_its_datasets() -> None:
    for network, dataset in {(planned.network, planned.dataset) for planned in read_table() if planned.is_peer}:
        dims, shape = DATASETS[dataset].spatial_dims, {"in_channels": 1, "out_channels": 2}
        config = {"network_def": {**peer_config(network), **shape}}
        built = ConfigParser(config).get_parsed_content("network_def")
        weights = {each.weight.ndim for each in built.modules() if isinstance(each, nn.Conv2d | nn.Conv3d)}
        assert weights == {dims + 2}, f"{network} on {dataset}"


def test_a_line_is_a_run_a_seed(tmp_path: Path) -> None:
    path = tmp_path / "runs.yaml"
    path.write_text(yaml.safe_dump([RIGHT, {**RIGHT, "settings": {"batch_size": 8}, "variant": "batch8"}]))
    assert [planned.name for planned in read_table(path)] == [
        "hippocampus-fold0-lunet_small_4f-2epochs-seed0",
        "hippocampus-fold0-lunet_small_4f-2epochs-seed1",
        "hippocampus-fold0-lunet_small_4f-batch8-2epochs-seed0",
        "hippocampus-fold0-lunet_small_4f-batch8-2epochs-seed1",
    ]
    assert {planned.bundle for planned in read_table(path)} == {"lunet_small"}


def test_a_pruned_network_has_a_run_before_it_and_other_records_know_nothing_of_pruning(tmp_path: Path) -> None:
    path = tmp_path / "runs.yaml"
    pruned = {"network": "unet_small_4f", "pruned": {"selection": "stamp"}, "variant": "stamp", "seeds": [1]}
    path.write_text(yaml.safe_dump([{**RIGHT, **pruned}]))
    (planned,) = read_table(path)
    assert planned.name == "hippocampus-fold0-unet_small_4f-stamp-2epochs-seed1"
    assert planned.described()["pruned"] == {"selection": "stamp"}
    before = planned.before_pruning()
    assert before.name == "hippocampus-fold0-unet_small_4f-2epochs-seed1"
    assert "pruned" not in before.described()


def test_a_network_without_a_family_is_trained_by_the_recipe_that_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "runs.yaml"
    picture = {**RIGHT, "dataset": "ultrasound", "part": "split1", "seeds": [0]}
    pictures = [{**picture, "network": name} for name in ("unet_2d_32f", "unext", "malunet", "UNet_2d")]
    path.write_text(yaml.safe_dump([*pictures, {**RIGHT, "network": "UNet", "seeds": [0]}]))
    assert [planned.bundle for planned in read_table(path)] == ["unext", "unext", "malunet", "malunet", "lunet_small"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"network": "lunet_smal_4f"}, "network is 'lunet_smal_4f': it has to be one of"),
        ({"dataset": "liver"}, "dataset is 'liver': it has to be one of hippocampus, heart"),
        ({"part": "split1"}, "part is 'split1': it has to be one of fold0, fold1"),
        ({"bundle": "unet_small"}, "network lunet_small_4f is not of the bundle unet_small"),
        ({"network": "lv_unet"}, "lv_unet cannot be trained on hippocampus: its MobileNet is 2D"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seeds": 3}, r"seeds is 3: it has to be a list, such as \[0, 1, 2\]"),
        ({"epoch": 3}, "unexpected keyword argument 'epoch'"),
        ({"settings": {"loss_name": "dic"}, "variant": "x"}, "loss_name is 'dic'"),
        ({"settings": {"seed": 3}, "variant": "x"}, "settings has seed: that is given by a column"),
        ({"settings": {"batch_size": 3}}, "settings and variant go together"),
        ({"pruned": {"selection": "stamp"}}, "settings and variant go together"),
        ({"pruned": {"selection": "stam"}, "variant": "x"}, "selection is 'stam'"),
        ({"pruned": {"epochs": 3}, "variant": "x"}, "pruned has epochs: that is given by a column"),
        ({"network": "mednext_small", "pruned": {"max_steps": 3}, "variant": "x"}, "mednext_small has no channels"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, changed: dict, error: str) -> None:
    path = tmp_path / "runs.yaml"
    path.write_text(yaml.safe_dump([RIGHT, {**RIGHT, **changed}]))
    with pytest.raises(ValueError, match=rf"runs.yaml, run 2, .*{error}"):
        read_table(path)


def test_a_run_stands_there_once(tmp_path: Path) -> None:
    path = tmp_path / "runs.yaml"
    path.write_text(yaml.safe_dump([RIGHT, RIGHT]))
    with pytest.raises(ValueError, match="has hippocampus-fold0-lunet_small_4f-2epochs-seed0 twice"):
        read_table(path)
