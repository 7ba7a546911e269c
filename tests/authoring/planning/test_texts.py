"""The README of a bundle (texts.py) explains every setting and repeats measured figures only."""

import json
from pathlib import Path

import pytest

from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.authoring.planning.texts import bundle_facts, settings_table, templates
from lunet_networks.authoring.planning.values import complete
from lunet_networks.bundle.runtime.outputs import RECORDS
from tools.build_bundles import repository_settings


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["train", "inference"])
def test_every_setting_on_top_of_a_config_is_in_its_table(family: str, name: str, repository: Path) -> None:
    values = complete(repository_settings(family))
    table = settings_table(templates(values, name), values)
    config = json.loads((repository / "bundles" / family / "configs" / f"{name}.json").read_text())
    follows = {"network", "in_channels", "out_channels"}  # from the training, in inference.json
    settings = [key for key, value in config.items() if not isinstance(value, (dict, list)) and key not in follows]
    assert len(settings) > 8
    assert [key for key in settings if f"| `{key}` |" not in table] == []


def test_a_setting_without_a_comment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("epochs: 3 # of all cases\nseed: 42\n")
    with pytest.raises(ValueError, match="'seed' has no comment"):
        settings_table([tmp_path / "train.yaml"], {})


def test_performance_is_that_of_the_training_and_its_evaluation(tmp_path: Path) -> None:
    docs, values = tmp_path, complete(repository_settings("lunet_small"))
    assert "No trained weights" in bundle_facts(values, docs)["performance"]
    settings = {"preset": "lunet_small_2f", "epochs": 3, "seed": 5, "fold": 1, "num_folds": 4}
    cases = {"training": ["a", "b", "c"], "validation": ["d"]}
    (docs / RECORDS["run.json"]).write_text(
        json.dumps({"settings": settings, "versions": {"torch": "2.13.0"}, "cases": cases})
    )
    (docs / RECORDS["history.csv"]).write_text("epoch,seconds,val_mean_dice\n1,60,0.5\n2,60,0.7\n3,60,\n")
    (docs / RECORDS["cases.csv"]).write_text("")
    header = "label,metric,mean,n,cases,chose_best_model\n"
    figures = {"dice": 0.5, "hd95_mm": 2, "nsd_1mm": 0.9}
    rows = [f"tumour,{metric},{mean},1,validation,yes\n" for metric, mean in figures.items()]
    (docs / RECORDS["summary.csv"]).write_text(header + "".join(rows))
    performance = bundle_facts(values, docs)["performance"]
    assert "`lunet_small_2f` after epoch 2 of 3, trained on 3 cases in 3 minutes with torch 2.13.0" in performance
    others = "`--preset lunet_small_2f` `--epochs 3` `--seed 5` `--fold 1` `--num_folds 4`"
    assert f"the settings below but {others} (seed 5, fold 1 of 4)" in performance
    assert "| tumour | 0.500 | 2.000 | 0.900 |" in performance
    assert "Means over the 1 validation cases, which also chose the best epoch." in performance
