"""Claims are answered by what is recorded, and by nothing else."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.helpers.study_records import made_up
from tools.study.claims import CLAIMS, Claim, claims_table, read_claims
from tools.study.evidence import KINDS, Answer
from tools.study.records import read_records
from tools.study.table import read_table, title

BASE = np.linspace(0.7, 0.9, 8)
PAIR = {"first": "lunet_small_4f", "second": "unet_small_4f"}
RUN = {**PAIR, "dataset": "hippocampus", "part": "fold0", "epochs": 2}


@pytest.fixture
def records(tmp_path: Path):
    """A lean network that is 0.005 worse than its twin, on every case."""
    made_up(tmp_path, "lunet_small_4f", BASE - 0.005)
    made_up(tmp_path, "unet_small_4f", BASE)
    for split in (1, 2, 3):
        for network, dice in (("lv_unet", BASE + 0.02), ("unext", BASE)):
            if (network, split) != ("unext", 3):
                made_up(tmp_path, network, dice, dataset="ultrasound", part=f"split{split}")
    return read_records(tmp_path)


def answer(records, kind: str, **evidence: object) -> Answer:
    return KINDS[kind](records, **evidence)


def test_comparable_and_better_are_answered_by_the_interval(records) -> None:
    told = "Dice 0.795 and 0.800: -0.005 [-0.005, -0.005], 8 cases, 1 and 1 seed"
    assert answer(records, "dice", **RUN, asks="comparable") == Answer(told, True)
    assert answer(records, "dice", **RUN, asks="better") == Answer(told, False)


def test_trainings_that_did_not_learn_are_told(tmp_path: Path) -> None:
    for seed in (0, 1):
        made_up(tmp_path, "lunet_small_4f", BASE, seed=seed)
    made_up(tmp_path, "unet_small_1f", BASE * 0, seed=0)
    evidence = {**RUN, "second": "unet_small_1f", "asks": "better"}
    found = answer(read_records(tmp_path), "dice", **evidence)
    assert found.measured.endswith("8 cases, 2 and 1 seeds")
    assert found.holds is None
    assert found.why == "no training of unet_small_1f learned (Dice below 0.1)"

    made_up(tmp_path, "unet_small_1f", BASE - 0.1, seed=1)
    found = answer(read_records(tmp_path), "dice", **evidence)
    assert found.measured.endswith("8 cases, 2 and 2 seeds; 1 of 2 trainings of unet_small_1f did not learn")
    assert found.holds


def test_gains_are_compared_over_the_same_cases(tmp_path: Path) -> None:
    gain = {**RUN, "first": ["AutoEncoder_4f", "AutoEncoder_lean_4f"], "second": ["unet_small_4f", "lunet_small_4f"]}
    for network, dice in (("unet_small_4f", BASE), ("lunet_small_4f", BASE - 0.01), ("AutoEncoder_4f", BASE - 0.1)):
        made_up(tmp_path, network, dice)
    assert answer(read_records(tmp_path), "gain", **gain) == Answer(why="not run yet")
    made_up(tmp_path, "AutoEncoder_lean_4f", BASE - 0.3)
    told = "Dice 0.700 less 0.500 and 0.800 less 0.790: +0.190 [+0.190, +0.190], 8 cases, 1, 1, 1, 1 seeds"
    assert answer(read_records(tmp_path), "gain", **gain) == Answer(told, True)
    turned = {**gain, "first": gain["second"], "second": gain["first"]}
    assert answer(read_records(tmp_path), "gain", **turned).holds is False


def test_what_is_not_recorded_is_not_answered(records) -> None:
    other = {**RUN, "second": "unet_small_1f"}
    assert answer(records, "dice", **other, asks="better") == Answer(why="not run yet")
    assert answer(records, "minutes", **other, at_least=0.1) == Answer(why="not run yet")
    splits = {"first": "lv_unet", "second": "unext", "dataset": "ultrasound", "part": "splits", "epochs": 2}
    assert answer(records, "dice", **splits, asks="better") == Answer(why="not run yet on all splits")


def test_counts_are_those_of_the_networks() -> None:
    found = answer([], "ratio", of="parameters", **dict(zip(PAIR, reversed(PAIR.values()), strict=True)), at_least=30)
    assert found == Answer("353,949 / 9,929 = 35.65", True)
    assert answer([], "counts", of="parameters", networks={"ege_unet": "53.4K"}) == Answer("`ege_unet` 53,374", True)
    assert not answer([], "counts", of="parameters", networks={"ege_unet": "53.5K"}).holds


def test_prunings_are_compared_over_their_seeds() -> None:
    found = answer([], "pruning", first="lunet_small_4f", second="unet_1_1_3_5_11", at=["last", "last"], asks="better")
    assert found.holds
    assert found.measured.startswith("Dice 0.860 and 0.705: +0.155 [")
    assert found.measured.endswith("interval over seeds only, 2 and 3 seeds")
    assert answer([], "widest", rule="stamp", widths=2).measured.startswith("93% of what it removes")


def test_a_measurement_that_does_not_decide_is_told(records) -> None:
    evidence = {"kind": "dice", **RUN, "asks": "comparable"}
    claim = Claim("lean_unet", "abstract", "It is comparable.", evidence, undecided="it is another organ")
    rows = claims_table([claim], records).splitlines()
    assert rows[0] == "Of 1 claims: 0 yes, 0 no, 1 not answered."
    assert any(row.endswith("seed | not answered: it is another organ |") for row in rows)
    assert claim.answer([]) == Answer(why="not run yet")


def test_every_claim_on_trainings_is_of_runs_that_are_planned() -> None:
    planned = {(title(each.network, each.variant), each.dataset, each.part, each.epochs) for each in read_table()}
    for claim in read_claims():
        given = claim.evidence
        if given["kind"] in ("dice", "gain", "minutes"):
            parts = ["split1", "split2", "split3"] if given["part"] == "splits" else [given["part"]]
            networks = np.ravel([given["first"], given["second"]])
            runs = {(network, given["dataset"], part, given["epochs"]) for network in networks for part in parts}
            assert runs <= planned, claim.claim


def test_a_wrong_claim_is_named(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    lines = yaml.safe_load(CLAIMS.read_text())
    path.write_text(yaml.safe_dump([lines[0], {**lines[1], "paper": "unet"}]))
    with pytest.raises(ValueError, match=r"claims.yaml, claim 2, .*paper is 'unet': it has to be one of lean_unet"):
        read_claims(path)
