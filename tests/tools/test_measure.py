"""Networks are measured into the record one after the other."""

from pathlib import Path

import pytest

from lunet_networks import list_presets, presets
from lunet_networks.bundle.benchmark.steps import Inference, TrainingStep
from tools import measure as tool
from tools.measure import choose_subjects, measure
from tools.speed.contenders import FORMS
from tools.speed.measurement import static_costs
from tools.tables.networks import Subject
from tools.tables.record import Record, read_record

EMPTY = Record([])


def _names(*arguments: object) -> set[str]:
    return {subject.network for subject in choose_subjects(*arguments)}


def test_a_network_is_measured_in_all_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(presets._SIZE_OF_COSTS, 3, (32, 32, 32))
    peaks = {Inference: 2**20, TrainingStep: 2**21}  # measured for real in the tests of lunet_networks.bundle.benchmark
    monkeypatch.setattr("tools.speed.measurement.measure_peak_memory", lambda step, _: peaks[type(step)])
    path, subject = tmp_path / "costs.json", Subject("lunet_small_1f", 32)
    measure(subject.network, sizes=32, rounds=1, num_threads=1, record=str(path))
    (run,) = read_record(path).runs
    assert (run["rounds"], run["num_threads"]) == (1, 1)
    (figures,) = run["figures"]
    assert (figures["network"], figures["size"]) == subject
    assert {name: figures[name] for name in ("parameters", "macs")} == static_costs(subject)
    assert [*figures["seconds"]] == [*FORMS]
    assert all(second > 0 for (second,) in [*figures["seconds"].values(), figures["product_seconds"]])
    assert figures["peak_bytes"] == {"inference": 2**20, "training_step": 2**21}


def test_a_stopped_measurement_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, measured = tmp_path / "costs.json", []

    def until_stopped(subject: Subject, *_: object) -> dict[str, object]:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(subject.network)
        return {
            "network": subject.network,
            "size": subject.size,
            **static_costs(subject),
            "seconds": {form: [0.1] for form in FORMS},
        }

    monkeypatch.setattr(tool, "measure_costs", until_stopped)
    monkeypatch.setattr("tools.speed.setup.load_average", lambda: 0.1)
    names = ("lunet_small_4f", "lunet_small_3f", "lunet_small_2f")
    monkeypatch.setattr(tool, "subjects", lambda: [Subject(name, 64) for name in names])
    with pytest.raises(KeyboardInterrupt):
        measure("all", rounds=3, num_threads=1, record=str(path))
    assert measured == ["lunet_small_4f", "lunet_small_3f"]
    measured.clear()
    measure("provisional", rounds=3, num_threads=1, record=str(path))
    assert measured == ["lunet_small_2f"]
    assert len(read_record(path).runs) == 1  # all with the same set-up


def test_networks_are_chosen() -> None:
    assert _names("lunet_small*", 64, EMPTY) == set(list_presets("lunet_small*"))
    assert choose_subjects(["UNet", "pspseg_s"], [64, 128], EMPTY) == [
        *(Subject("pspseg_s", 64), Subject("UNet", 64)),
        Subject("UNet", 128),
    ]
    assert _names("lv_unet,UNet_2d", None, EMPTY) == {"lv_unet", "UNet_2d"}
    assert {subject.size for subject in choose_subjects("all", None, EMPTY)} == {64, 128, 256}
    assert choose_subjects("missing", 128, EMPTY) == choose_subjects("all", 128, EMPTY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": "lunet_smal_4f"}, "networks is 'lunet_smal_4f': it has to be one of all, missing, provisional"),
        ({"networks": "lv_unet", "sizes": 64}, "networks is 'lv_unet'"),
        ({"sizes": 32}, "--sizes is '32': it has to be one of 64, 128, 256"),
        ({"rounds": 0}, "--rounds is 0"),
        ({"num_threads": 0.5}, "--num_threads is 0.5"),
    ],
)
def test_wrong_options(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        measure(**options, record=str(tmp_path / "costs.json"))
