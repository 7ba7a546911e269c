"""The comparison of speed: contenders compute what they say, and the committed table is of the committed figures."""

from pathlib import Path

import pytest
import torch
from tools.bench_speed import bench_speed, choose_networks
from tools.speed.results import draw_latency, speed_table, trained_dice
from tools.tables.peers import VOLUME_PEERS

from lunet_networks import create_network
from tools.speed.contenders import FORMS, PRODUCT, Contender, Contest, make_network

SHAPE = (1, 1, 16, 16, 16)


@pytest.mark.parametrize("name", ["lunet_small_2f", "unetpp_small_1f", "mednext_small"])
def test_every_form_computes_the_same(name: str) -> None:
    outputs = []
    for form in FORMS:
        torch.manual_seed(0)
        run = Contender(name, form, (1, 1, 32, 16, 16), num_threads=1).prepare()
        outputs.append(run())
        torch.set_grad_enabled(True)
    assert outputs[0].std() > 0
    for form, output in zip(FORMS, outputs, strict=True):
        torch.testing.assert_close(output, outputs[0], rtol=1e-4, atol=1e-5, msg=form)


def test_contenders_take_turns_in_processes_of_their_own() -> None:
    contenders = [Contender("lunet_small_1f", form, SHAPE, 1) for form in ("published", "ours", "deployed")]
    with Contest([*contenders, Contender(PRODUCT, PRODUCT, SHAPE, 1)]) as contest:
        assert len({process.pid for process in contest.processes}) == 4
        for number in (3, 0, 2, 1):
            assert 0 < contest.visit(number) < 60
    assert not any(process.is_alive() for process in contest.processes)


def test_what_cannot_be_measured_is_named() -> None:
    too_small = Contender("lunet_small_1f", "ours", (1, 1, 12, 16, 16), 1)
    refusal = r"lunet_small_1f, ours, cannot be measured: ValueError: .*multiple of 16"
    with Contest([too_small]) as contest, pytest.raises(RuntimeError, match=refusal):
        contest.visit(0)


def test_networks_are_chosen() -> None:
    assert choose_networks("lunet_small*", [64]) == {64: [f"lunet_small_{filters}f" for filters in (4, 3, 2, 1)]}
    assert choose_networks(["UNet", "pspseg_s"], [64, 128]) == {64: ["UNet", "pspseg_s"], 128: ["UNet", "pspseg_s"]}
    assert len(choose_networks("", [64])[64]) == 32 + 4
    with pytest.raises(ValueError, match="lv_unet"):
        choose_networks("lv_unet", [64])
    with pytest.raises(ValueError, match="lunet_smal_4f"):
        choose_networks("lunet_smal_4f", [64])
    with pytest.raises(ValueError, match="--sizes"):
        choose_networks("", [32])


def _row(name: str, form: str, seconds: float) -> dict[str, str]:
    figures = {"parameters": 10, "macs": 2048**3, "seconds": seconds, "product_seconds": 0.5, "size": 64}
    return {"network": name, "form": form, "conditions": "cpu X", **{key: str(value) for key, value in figures.items()}}


def test_the_table_tells_ratios_of_what_was_measured() -> None:
    seconds = dict(zip(FORMS, (8.0, 2.0, 1.0, 4.0, 3.0), strict=True))
    rows = [_row("lunet_small_4f", form, each) for form, each in seconds.items()]
    rows += [_row("UNet", form, seconds[form]) for form in ("published", "onnx", "openvino")]
    lines = speed_table(rows).splitlines()
    assert lines[2] == "| `lunet_small_4f` | 8000.0 | 2000.0 | 1000.0 | 4000.0 | 3000.0 | 8.0 | 3.00 | 50% |"
    assert lines[3] == "| MONAI's UNet | 8000.0 |  |  | 4000.0 | 3000.0 |  |  | 17% |"
    assert lines[-1] == "Measured with: cpu X."
    assert len(draw_latency(rows).axes) == 2


def test_the_document_shows_what_was_measured(repository: Path) -> None:
    bench_speed(str(repository / "docs" / "speed.md"), check=True)
    assert {"lunet_small_4f", "unet_small_4f"} <= trained_dice().keys()


def test_networks_are_presets_and_peers() -> None:
    assert type(make_network("UNet")) is type(VOLUME_PEERS["UNet"].make_network())
    assert type(make_network("unet_small_4f")) is type(create_network("unet_small_4f"))
