"""Progressive pruning as a workflow: masked, removed, given back, and the same after a kill."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.bundle.training.weights import read_weights
from lunet_networks.pruning import ProgressiveSchedule, active_branches
from lunet_networks.summary import count_parameters
from tests.helpers.killing import Killed
from tests.helpers.running import run_bundle
from tests.helpers.trainable import TrainableBundle

DATA = {"roi_size": [32, 32, 32], "num_folds": 2}
NARROW = {"network_def#channels": [2, 4, 4]}
SETTINGS = {**DATA, **NARROW, "batch_size": 3, "epochs": 6, "stop_fraction": 1.0, "calibration_batches": 1}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def new_prunable(tmp_path: Path, tiny_dataset: Path) -> Callable[[str], Path]:
    """Makes bundles of PSP-Seg on the tiny dataset, by name."""
    return lambda name: TrainableBundle(tmp_path / name, tiny_dataset, "pspseg_small").root


@pytest.fixture
def prune(tiny_dataset: Path) -> Callable[..., Path]:
    """Prunes a bundle; gives the folder of the run."""

    def run(root: Path, **settings: object) -> Path:
        run_bundle(root, "train", "prune", **{"dataset_dir": str(tiny_dataset), **SETTINGS, **settings})
        return root / "pruning"

    return run


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a few epochs does not converge: the schedule says at which epochs it seems to."""
    actions = {1: "prune", 2: "restore", 3: "prune", 4: "prune", 5: "stop"}

    def update(schedule: ProgressiveSchedule, losses: dict[str, float]) -> str:
        assert sorted(losses) == ["l1", "l2", "total"]
        schedule.losses.append(losses)
        return actions.get(len(schedule.losses), "nothing")

    monkeypatch.setattr(ProgressiveSchedule, "update", update)


def network_of(bundle: Path, config: str = "inference") -> torch.nn.Module:
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / f"{config}.json"))
    return parser.get_parsed_content("network_def")


@pytest.mark.usefixtures("scripted")
def test_the_result_is_a_bundle_for_everybody(
    new_prunable: Callable, prune: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    output = prune(new_prunable("pspseg_small"))
    rows = read_rows(output / "pruning_history.csv")
    events = ["masked", "restored", "masked", "masked", "restored"]
    expected = [("0", ""), *((str(step), event) for step, event in enumerate(events, 1) for _ in range(3))]
    assert [(row["step"], row["event"]) for row in rows] == expected
    parameters = [int(row["parameters"]) for row in rows[1::3]]
    assert parameters[0] == parameters[2] < parameters[1] == int(rows[0]["parameters"])
    assert parameters[3] < parameters[4] == parameters[2]  # removed was only what was masked at the third epoch
    history = read_rows(output / "history.csv")
    assert len(history) == 6
    assert all(float(row["l1"]) > 0 and float(row["l2"]) > 0 for row in history)
    pruned = output / "pspseg_small_pruned"
    network = network_of(pruned)
    assert {len(numbers) for numbers in active_branches(network).values()} == {3}
    assert count_parameters(network) == parameters[-1]
    read_weights(network, pruned / "models" / "model.pt")
    run_bundle(pruned, "train", "evaluate", dataset_dir=str(tiny_dataset), **DATA)
    image = sorted((tiny_dataset / "imagesTr").iterdir())[0]
    run_bundle(pruned, "inference", dataset_dir=str(image), output_dir=str(tmp_path / "labels"))
    assert len(list((tmp_path / "labels").glob("*.nii.gz"))) == 1
    run_bundle(pruned, "train", dataset_dir=str(tiny_dataset), **DATA, epochs=1)  # anew, from weights of its own
    assert (output / "pruning.png").stat().st_size > 10_000


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize("every", [31, pytest.param(11, marks=pytest.mark.slow)])
def test_a_kill_anywhere_changes_nothing(
    new_prunable: Callable, prune: Callable, killed_before_write: Callable, every: int
) -> None:
    uninterrupted, killed = new_prunable("uninterrupted"), new_prunable("killed")
    written = killed_before_write(0)
    prune(uninterrupted)
    for number in range(1, len(written), every):
        killed_before_write(number)
        with suppress(Killed):
            prune(killed, resume=True)
    killed_before_write(0)
    prune(killed, resume=True)
    for name in (
        "pruning_history.csv",
        "pspseg_small_pruned/models/model.pt",
        "pspseg_small_pruned/configs/train.json",
    ):
        assert (killed / "pruning" / name).read_bytes() == (uninterrupted / "pruning" / name).read_bytes(), name
    one, other = (torch.load(root / "pruning/checkpoint.pt", weights_only=True) for root in (uninterrupted, killed))
    assert one["description"] == other["description"]
    assert all(torch.equal(tensor, other["network"][name]) for name, tensor in one["network"].items())


def test_real_losses_steer_it(new_prunable: Callable, prune: Callable) -> None:
    output = prune(new_prunable("pspseg_small"), patience=1, learning_rate=1e-9, scheduler_name="none", augment=False)
    rows = read_rows(output / "pruning_history.csv")
    assert {row["event"] for row in rows} >= {"masked"}  # nothing is learnt, so the losses seem to have converged
    assert len(read_rows(output / "history.csv")) == 6


def test_a_training_without_pruning_notes_the_terms(new_prunable: Callable, tiny_dataset: Path, tmp_path: Path) -> None:
    root = new_prunable("pspseg_small")
    for supervision in (True, False):
        settings = {"epochs": 1, "deep_supervision": supervision, "overwrite": True, "batch_size": 3}
        run_bundle(root, "train", dataset_dir=str(tiny_dataset), **DATA, **NARROW, **settings)
        (row,) = read_rows(root / "eval" / "history.csv")
        assert float(row["loss"]) > 0.1 * (float(row["l1"]) + float(row["l2"])) > 0
        weights = torch.load(root / "models" / "model.pt", weights_only=True)
        assert any(name.startswith("supervision_heads") for name in weights) is supervision
    run_bundle(root, "train", "evaluate", dataset_dir=str(tiny_dataset), **DATA, **NARROW)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"branches_per_step": 4}, r"branches_per_step is 4, but at most 3 branches of a module can be removed"),
        ({"branches_per_step": 0}, r"branches_per_step is 0: it has to be a whole number of at least 1"),
        ({"calibration_batches": 0}, r"calibration_batches is 0: it has to be a whole number of at least 1"),
        ({"val_interval": 2}, "val_interval is 2: it has to be 1"),
        ({"decoupling_weight": -1}, r"decoupling_weight is -1: it has to be a number of at least 0"),
        ({"allow_empty": "maybe"}, r"allow_empty is 'maybe': it has to be True or False"),
    ],
)
def test_what_cannot_be(settings: dict, message: str, new_prunable: Callable, prune: Callable) -> None:
    root = new_prunable("pspseg_small")
    with pytest.raises((RuntimeError, ValueError)) as caught:
        prune(root, **settings)
    assert re.search(message, str(root_cause(caught.value))), root_cause(caught.value)
    assert not (root / "pruning" / "pspseg_small_pruned" / "models" / "model.pt").exists()
