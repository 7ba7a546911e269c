"""The record tells what is missing, what is no measure, and with what each figure was measured."""

from pathlib import Path

import pytest

from tools.speed.contenders import ENGINES, FORMS, TRAINING
from tools.speed.measurement import static_costs
from tools.tables.networks import Subject
from tools.tables.record import Record, read_record

NET = Subject("lunet_small_1f", 64)
SETUP = {"date": "2030-01-31", "rounds": 3, "load": 0.1}


def _figures(subject: Subject = NET, **changes: object) -> dict[str, object]:
    seconds = {form: [0.001 * number, 0.002 * number, 0.009] for number, form in enumerate(FORMS, start=1)}
    costs = {"network": subject.network, "size": subject.size, **static_costs(subject)}
    return {**costs, "seconds": seconds, "peak_bytes": {"inference": 2**20}, **changes}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record([]).with_figures(SETUP, _figures())
    record.write(tmp_path / "costs.json")
    assert read_record(tmp_path / "costs.json") == record
    assert read_record(tmp_path / "other.json") == Record([])


def test_figures_are_those_of_the_last_run() -> None:
    earlier = _figures(seconds={"ours": [5.0], TRAINING: [7.0]})
    later = {"network": NET.network, "size": NET.size, "seconds": {"ours": [0.004]}}
    record = Record([{**SETUP, "figures": [earlier]}, {**SETUP, "date": "2031-01-31", "figures": [later]}])
    assert record.milliseconds(NET, "ours") == 4
    assert record.milliseconds(NET, TRAINING) == 7000
    assert record.setup(NET, "seconds", "ours")["date"] == "2031-01-31"
    assert record.setup(NET, "seconds", TRAINING) == SETUP
    assert record.mebibytes(NET, "inference") == 1
    assert record.is_provisional(NET)  # as it was measured in two runs


def test_new_figures_take_the_place_of_all_older_ones() -> None:
    other = Subject("UNet", 64)
    record = Record([{**SETUP, "figures": [_figures(), _figures(other)]}])
    later = {**SETUP, "load": 0.2}
    record = record.with_figures(later, _figures(seconds={"ours": [0.005]})).with_figures(later, _figures(other))
    assert [len(run["figures"]) for run in record.runs] == [2]
    assert record.milliseconds(NET, "ours") == 5
    assert record.milliseconds(NET, "published") is None


def test_the_best_engine_is_the_faster_one() -> None:
    record = Record([{**SETUP, "figures": [_figures()]}])
    assert record.best_engine(NET) == min(record.milliseconds(NET, engine) for engine in ENGINES)
    assert record.best_engine(Subject("UNet", 64)) is None


@pytest.mark.parametrize(
    ("setup", "changes", "missing", "provisional"),
    [
        ({}, {}, False, False),
        ({"rounds": 2}, {}, False, True),
        ({"load": 1.5}, {}, False, True),
        ({}, {"parameters": 7}, True, True),
        ({}, {"seconds": {"ours": [1.0]}}, True, True),
    ],
)
def test_what_is_to_be_measured_again(setup: dict, changes: dict, missing: bool, provisional: bool) -> None:
    record = Record([{**SETUP, **setup, "figures": [_figures(**changes)]}])
    assert (record.is_missing(NET), record.is_provisional(NET)) == (missing, provisional)
    assert Record([]).is_missing(NET)


@pytest.mark.parametrize("name", ["lunet_small_4f", "lv_unet", "UNet"])
def test_the_record_is_of_the_networks_as_they_are(name: str) -> None:
    _check([subject for subject in _measured() if subject.network == name])


@pytest.mark.slow
def test_the_record_is_of_all_networks_as_they_are() -> None:
    _check(_measured())


def _measured() -> list[Subject]:
    return [Subject(each["network"], each["size"]) for run in read_record().runs for each in run["figures"]]


def _check(subjects: list[Subject]) -> None:
    assert subjects
    for subject in subjects:
        figures, costs = read_record().figures(subject), static_costs(subject)
        assert {name: figures[name] for name in costs} == costs, subject
