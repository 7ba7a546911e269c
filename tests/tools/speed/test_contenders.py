"""Contenders compute what they say, in processes of their own."""

import pytest
import torch

from tools.speed.contenders import FORMS, TRAINING, MatrixProduct, NetworkForm
from tools.speed.contest import Contest
from tools.tables.networks import Subject

INFERENCE = [form for form in FORMS if form != TRAINING]


@pytest.mark.parametrize("name", ["lunet_small_2f", "unetpp_small_1f", "mednext_small"])
def test_every_form_of_inference_computes_the_same(name: str) -> None:
    outputs = []
    for form in INFERENCE:
        torch.manual_seed(0)
        run = NetworkForm(Subject(name, 32), form, num_threads=1).prepare()
        outputs.append(run())
        torch.set_grad_enabled(True)
    assert outputs[0].std() > 0
    for form, output in zip(INFERENCE, outputs, strict=True):
        torch.testing.assert_close(output, outputs[0], rtol=1e-4, atol=1e-5, msg=form)


@pytest.mark.parametrize("form", ["published", "deployed"])
def test_an_lv_unet_is_as_at_the_end_of_its_training(form: str) -> None:
    run = NetworkForm(Subject("lv_unet", 32), form, num_threads=1).prepare()
    assert run().shape == (1, 1, 32, 32)
    torch.set_grad_enabled(True)


def test_contenders_take_turns_in_processes_of_their_own() -> None:
    subject = Subject("lunet_small_1f", 32)
    contenders = [NetworkForm(subject, form, 1) for form in ("published", "ours", TRAINING)]
    with Contest([*contenders, MatrixProduct(1)]) as contest:
        assert len({process.pid for process in contest.processes}) == 4
        visits = []
        seconds = contest.rounds(1, done=lambda: visits.append(1))
        assert len(visits) == 4
        assert all(0 < second < 60 for (second,) in seconds)
    assert not any(process.is_alive() for process in contest.processes)


def test_what_cannot_be_measured_is_named() -> None:
    refusal = r"lunet_small_1f, ours, cannot be measured: ValueError: .*multiple of 16"
    with (
        pytest.raises(RuntimeError, match=refusal),
        Contest([NetworkForm(Subject("lunet_small_1f", 12), "ours", 1)]) as contest,
    ):
        contest.visit(0)
