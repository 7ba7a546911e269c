"""A run takes over the settings of the training whose weights it uses, and refuses others."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lunet_networks import create_network
from lunet_networks.authoring.running.bundle_run import BundleRun
from lunet_networks.authoring.running.taken_over import TakenOver, taken_over
from lunet_networks.bundle.training.records import read_record, write_record
from lunet_networks.commands import main
from lunet_networks.state_dicts import weights_digest
from tests.helpers.trainable import TrainableBundle

LABELS = ["anterior", "posterior"]
OTHER = {"preset": "lunet_small_2f", "pixdim": [2.0, 2.0, 2.0], "fold": 1}  # than in the configs
SAME = {"label_names": LABELS, "in_channels": 1, "roi_size": [48, 64, 48], "num_folds": 5, "learning_rate": 0.5}
MODEL = {name: OTHER[name] for name in ("preset", "pixdim")}


@pytest.fixture
def bundle(tmp_path: Path, tiny_dataset: Path) -> Path:
    """As a training with settings other than those in the configs leaves it."""
    root = TrainableBundle(tmp_path / "mine", tiny_dataset).root
    trained(root / "models", root / "eval", tiny_dataset)
    return root


def trained(weights: Path, output_dir: Path, dataset_dir: Path, **changes: Any) -> None:
    settings = {**SAME, **OTHER, "epochs": 7, "resume": False, "overwrite": True, **changes}
    network = create_network(settings["preset"], out_channels=3)
    weights.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), weights / "model.pt")
    held_out = sorted(f"./labelsTr/{path.name}" for path in (dataset_dir / "labelsTr").iterdir())[:2]
    record = {"settings": settings, "cases": {"training": [], "validation": held_out}}
    weights_of = {"weights": {"sha256": weights_digest(network), "epoch": 3}, "dataset_dir": str(dataset_dir)}
    write_record(output_dir / "run.json", {**record, **weights_of})


def found(name: str, bundle: Path, **given: Any) -> TakenOver:
    return taken_over(BundleRun.of(name, bundle, given))


@pytest.mark.parametrize("name", ["evaluation", "visualize"])
def test_an_evaluation_has_the_model_the_cases_and_the_data_of_its_training(
    name: str, bundle: Path, tiny_dataset: Path
) -> None:
    taken = found(name, bundle)
    assert taken.settings == {"dataset_dir": str(tiny_dataset), **OTHER}
    assert str(taken) == (
        f"as in the training, {bundle}/eval/run.json: --dataset_dir {tiny_dataset} --preset lunet_small_2f "
        '--pixdim "[2.0, 2.0, 2.0]" --fold 1'
    )


def test_labels_are_written_with_the_model(bundle: Path) -> None:
    assert found("inference", bundle, dataset_dir="images", output_dir="labels").settings == MODEL


def test_what_is_given_goes_first_unless_the_weights_depend_on_it(bundle: Path) -> None:
    taken = found("evaluation", bundle, fold=2, pixdim=2, roi_size=[64, 64, 64])
    assert taken.settings.keys() == {"dataset_dir", "preset"}
    for name in ("evaluation", "inference"):
        with pytest.raises(ValueError, match="preset is 'lunet_small_4f', but the weights are those of a training"):
            found(name, bundle, dataset_dir="data", preset="lunet_small_4f")
        with pytest.raises(ValueError, match=r"pixdim is 1, .* \[2.0, 2.0, 2.0\], as .* says: leave --pixdim out"):
            found(name, bundle, dataset_dir="data", pixdim=1)


def test_another_dataset_has_folds_of_its_own(bundle: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    assert found("evaluation", bundle, dataset_dir=str(tmp_path)).settings == MODEL
    (tmp_path / "moved").symlink_to(tiny_dataset)
    assert found("evaluation", bundle, dataset_dir=str(tmp_path / "moved")).settings == OTHER


def test_a_training_is_continued_as_it_was_begun(bundle: Path, tiny_dataset: Path) -> None:
    taken = found("training", bundle, resume=True)
    assert taken.settings == {"dataset_dir": str(tiny_dataset), **OTHER, "learning_rate": 0.5, "epochs": 7}
    assert found("training", bundle, resume="true", epochs=9).settings == {
        name: value for name, value in taken.settings.items() if name != "epochs"
    }
    for others in ({}, {"resume": False}, {"overwrite": True}, {"resume": True, "output_dir": "another"}):
        assert found("training", bundle, **others).settings == {}


def test_the_record_is_the_one_of_the_weights(bundle: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    trained(tmp_path / "second/models", tmp_path / "second", tiny_dataset, preset="lunet_small_1f", fold=3)
    second = {**OTHER, "preset": "lunet_small_1f", "fold": 3}
    there, weights = str(tmp_path / "second"), str(tmp_path / "second/models")
    data = {"dataset_dir": str(tiny_dataset)}
    for given in ({"output_dir": there}, {"ckpt_dir": weights}, {"output_dir": there, "ckpt_dir": weights}):
        assert found("evaluation", bundle, **data, **given).settings == second
    assert found("inference", bundle, **data, ckpt_dir=weights).settings == {**MODEL, "preset": "lunet_small_1f"}
    # weights that somebody has put there
    torch.save(create_network("lunet_small_4f", out_channels=3).state_dict(), bundle / "models" / "model.pt")
    assert found("evaluation", bundle).settings == {}
    assert found("inference", bundle, dataset_dir="images", preset="lunet_small_4f").settings == {}


def test_models_of_an_ensemble_are_alike(bundle: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    for fold in range(3):
        trained(tmp_path / f"fold_{fold}/models", tmp_path / f"fold_{fold}", tiny_dataset, fold=fold)
    folds = [str(tmp_path / f"fold_{fold}/models") for fold in range(3)]
    taken = found("ensemble", bundle, dataset_dir="images", ckpt_dirs=folds)
    assert taken.settings == MODEL
    assert len(taken.records) == 3
    trained(tmp_path / "fold_1/models", tmp_path / "fold_1", tiny_dataset, pixdim=1.0)
    with pytest.raises(ValueError, match=r"same pixdim: .*fold_0/run.json has \[2.0, 2.0, .*fold_1/run.json has 1"):
        found("ensemble", bundle, dataset_dir="images", ckpt_dirs=folds)


def test_weights_that_come_with_a_bundle(bundle: Path) -> None:
    record = read_record(bundle / "eval" / "run.json")
    for folder in ("", "lunet_small_2f"):
        (bundle / "models" / folder).mkdir(exist_ok=True)
        (bundle / "models" / "model.pt").rename(bundle / "models" / folder / "model.pt")
        packed = {name: value for name, value in record.items() if name != "dataset_dir"}
        write_record(bundle / "docs" / folder / "training_run.json", packed)
        (bundle / "eval" / "run.json").unlink(missing_ok=True)
        given = {"ckpt_dir": str(bundle / "models" / folder)} if folder else {}
        assert found("evaluation", bundle, dataset_dir="data", **given).settings == MODEL
        assert found("evaluation", bundle, **given).settings == OTHER


def test_without_weights_or_a_record_nothing_is_taken_over(bundle: Path) -> None:
    (bundle / "models" / "model.pt").rename(bundle / "models" / "other.pt")
    assert found("evaluation", bundle).settings == {}
    (bundle / "models" / "other.pt").rename(bundle / "models" / "model.pt")
    (bundle / "eval" / "run.json").unlink()
    assert found("inference", bundle, dataset_dir="images").settings == {}


def test_a_training_needs_data_unless_it_is_continued(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["train", str(bundle)])
    assert exit_.value.code == 2
    assert "lunet train needs DATASET_DIR, unless --resume True continues" in capsys.readouterr().err
