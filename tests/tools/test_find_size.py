"""The smallest network within a margin: known answers from made-up records, and a family that is really trained."""

from pathlib import Path

import numpy as np
import pytest

from lunet_networks.bundle.report.summaries import read_rows
from tests.helpers.study_records import made_up
from tools import ROOT
from tools.find_size import find_size
from tools.study.records import Record
from tools.study.sizes import Costs, Size, draw, sizes, smallest_within, verdict

BUNDLE = str(ROOT / "bundles" / "lunet_small")
BASE = np.linspace(0.75, 0.85, 20)
NAMES = ("lunet_small_1f", "lunet_small_2f", "lunet_small_4f")


def family(folder: Path, *less: float, spread: float = 0.0) -> dict[str, list[Record]]:
    """Networks with two seeds, so much below the best."""
    seeds = (-spread, spread)
    return {
        name: [
            made_up(folder, name, BASE - below + shift, seed, parameters=10**number) for seed, shift in enumerate(seeds)
        ]
        for number, (name, below) in enumerate(zip(NAMES, less, strict=True), start=1)
    }


def found(records: dict[str, list[Record]]) -> list[Size]:
    return sizes(records, {name: Costs(10.0 * number, 5.0 * number) for number, name in enumerate(records, start=1)})


def test_the_smallest_within_the_margin(tmp_path: Path) -> None:
    compared = found(family(tmp_path, 0.05, 0.008, 0.0))
    assert smallest_within(compared, 0.01).name == "lunet_small_2f"
    assert smallest_within(compared, 0.005).name == "lunet_small_4f"
    assert smallest_within(compared, 0.1).name == "lunet_small_1f"
    assert verdict(compared, 0.01) == (
        "lunet_small_2f, 100 parameters, is the smallest network within 0.01 of the best, lunet_small_4f, 1,000 "
        "parameters, Dice 0.800: its Dice less that is -0.008 [-0.008, -0.008] (20 cases, 2 seeds); the smaller ones "
        "are outside: lunet_small_1f."
    )


def test_the_verdict_says_what_is_not_sure(tmp_path: Path) -> None:
    said = verdict(found(family(tmp_path, 0.015, 0.008, 0.0, spread=0.004)), 0.01)
    assert "less that is -0.008 [-0.016, +0.000]" in said
    assert "its interval reaches beyond the margin, so it may be outside: more seeds or cases can tell" in said
    assert "the intervals of lunet_small_1f reach into the margin, so they may be within it" in said


def test_the_best_may_be_the_smallest(tmp_path: Path) -> None:
    said = verdict(found(family(tmp_path, 0.0, 0.02, 0.02)), 0.01)
    assert said == (
        "lunet_small_1f, 10 parameters, is the smallest network within 0.01 of the best, which it is itself: Dice "
        "0.800 (20 cases, 2 seeds)."
    )


def test_the_picture_names_every_network_in_every_chart(tmp_path: Path) -> None:
    figure = draw(found(family(tmp_path, 0.05, 0.008, 0.0)), 0.01)
    assert len(figure.axes) == 3
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == [*NAMES]


@pytest.mark.slow
def test_from_records(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    family(tmp_path / "records", 0.05, 0.008, 0.0)
    find_size(BUNDLE, str(tmp_path / "sizes"), records=str(tmp_path / "records"))
    assert "lunet_small_2f, 100 parameters, is the smallest network within 0.01" in capsys.readouterr().out
    rows = read_rows(tmp_path / "sizes" / "sizes.csv")
    assert [row["network"] for row in rows] == [*NAMES]
    assert all(float(row["milliseconds"]) > 0 for row in rows)


def test_records_of_unequal_budgets_are_not_compared(tmp_path: Path) -> None:
    family(tmp_path, 0.05, 0.008, 0.0)
    made_up(tmp_path, "lunet_small_4f", BASE, epochs=3)
    with pytest.raises(ValueError, match=r"one dataset, part and number of epochs, not .*-2epochs, .*-3epochs"):
        find_size(BUNDLE, str(tmp_path), records=str(tmp_path))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"within": 1}, "--within is 1: it has to be a number above 0"),
        ({"presets": "unet_small_4f"}, "--presets is 'unet_small_4f': it has to be one of lunet_small_4f"),
        ({"presets": "lunet_small_4f"}, "nothing to compare: lunet_small has the presets"),
        ({"epoch": 3}, "epoch"),
        ({"seed": 3}, "--seed is not for find_size, which gives it by itself"),
        ({"loss_name": "dic"}, "loss_name is 'dic'"),
        ({"dataset_dir": None}, "needs --dataset_dir to train on, or --records to read"),
        ({"records": "nowhere"}, "nowhere has records of none of lunet_small_4f"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, given: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        find_size(BUNDLE, str(tmp_path), **{"dataset_dir": str(tmp_path), **given})
    with pytest.raises(FileNotFoundError, match="is not a bundle, there is no "):
        find_size(str(tmp_path), str(tmp_path), str(tmp_path))


@pytest.mark.slow
def test_a_family_is_trained_from_small_to_large_and_only_once(
    tmp_path: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    given = {"presets": ("lunet_small_2f", "lunet_small_1f"), "epochs": 1, "roi_size": (32, 32, 32), "num_folds": 2}
    find_size(BUNDLE, str(tmp_path), str(tiny_dataset), **given)
    said = capsys.readouterr().out
    assert said.splitlines()[:2] == ["lunet_small_1f-seed0 ...", "lunet_small_2f-seed0 ..."]
    find_size(BUNDLE, str(tmp_path), str(tiny_dataset), **given)
    assert "seed0 ..." not in capsys.readouterr().out
    assert (tmp_path / "sizes.png").is_file()
    with pytest.raises(ValueError, match=r"seed0 is of another run, .*batch_size.*: name another --output_dir"):
        find_size(BUNDLE, str(tmp_path), str(tiny_dataset), **given, batch_size=3)
