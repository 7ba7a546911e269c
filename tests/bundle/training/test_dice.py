"""Dice in training and validation: MONAI's where nothing is absent, and one rule for what is."""

import math

import ignite.distributed as idist
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.handlers import MeanDice as MonaisMeanDice
from monai.metrics import DiceMetric

from lunet_networks.bundle.data.sharding import share_of
from lunet_networks.bundle.training.dice import LabelDice, MeanDice, dice_of_counts


def label_maps(num_cases: int, num_values: int, size: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Random predictions and truths ``(2, B, 1, ...)``, each with every label."""
    maps = torch.randint(num_values, (2, num_cases, 1, *size), generator=torch.Generator().manual_seed(seed))
    maps.flatten(3)[..., :num_values] = torch.arange(num_values)
    return maps


@pytest.mark.parametrize("num_values", [2, 4])
@pytest.mark.parametrize("size", [(6, 5), (6, 5, 4)])
def test_it_is_monais_dice_to_the_last_bit_where_nothing_is_absent(num_values, size):
    ours, monais = LabelDice(num_values), DiceMetric(include_background=False, num_classes=num_values)
    for seed in range(3):
        predicted, true = label_maps(4, num_values, size, seed)
        assert torch.equal(ours(predicted, true.float()), monais(predicted, true.float()))
    assert torch.equal(ours.aggregate(), monais.aggregate())
    assert torch.equal(ours.get_buffer(), monais.get_buffer())


def run(handler, batches, name="val_mean_dice"):
    """The state of an evaluator after these batches."""
    evaluator = Engine(lambda engine, batch: batch)
    handler.attach(evaluator, name)
    return evaluator.run(batches, max_epochs=1)


def test_the_key_metric_is_monais_to_the_last_bit_where_nothing_is_absent():
    cases = [label_maps(1, 3, (9, 8, 7), seed) for seed in range(5)]
    batches = [([MetaTensor(predicted[0])], [MetaTensor(true[0])]) for predicted, true in cases]  # decollated
    monais = run(MonaisMeanDice(include_background=False, num_classes=3), batches)
    ours = run(MeanDice(3, lambda output: output), batches)
    assert ours.metrics == monais.metrics
    assert torch.equal(ours.metric_details["val_mean_dice"], monais.metric_details["val_mean_dice"])
    assert ours.held_labels == [True, True]


def test_the_rule_for_absent_labels():
    none, half = torch.zeros(1, 1, 4), torch.tensor([[[1, 1, 0, 0]]])
    for predicted, true, dice in [(none, none, math.nan), (half, none, 0), (none, half, 0), (half, half, 1)]:
        assert LabelDice(2)(predicted, true).item() == pytest.approx(dice, nan_ok=True)
    assert dice_of_counts(torch.tensor([0, 0, 0])).isnan()


def test_the_mean_is_over_the_labels_of_a_case_and_then_over_the_cases():
    metric = LabelDice(num_values=3)
    truth = torch.tensor([[1, 1, 2, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]])[:, None]
    found = torch.tensor([[1, 0, 2, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 2, 0]])[:, None]
    metric(found, truth)
    two_thirds = 2 / 3
    of_cases = [(two_thirds + 1) / 2, 1, (1 + 0) / 2]  # the third case has nothing to measure
    assert metric.aggregate().item() == pytest.approx(sum(of_cases) / 3)
    assert metric.held() == [True, True]


def test_false_alarms_alone_are_no_measurement():
    """Otherwise an epoch that finds what is not there would be better than one that finds nothing."""
    truth = torch.zeros(2, 1, 4)
    for predicted in (truth, truth + 1):
        metric = LabelDice(num_values=3)
        metric(predicted, truth)
        assert metric.aggregate().isnan()
        assert metric.held() == [False, False]


class Shared:
    num_cases = 3


def key_metric_of_a_share(rank: int, maps: torch.Tensor, expected: float) -> None:
    cases = share_of(range(3), rank, num_processes=2)
    batches = [(maps[0][[case]], maps[1][[case]]) for case in cases]
    state = run(MeanDice(3, lambda output: output, dataset=Shared), batches)
    assert state.metrics["val_mean_dice"] == expected
    assert state.held_labels == [True, False]
    assert state.metric_details["val_mean_dice"].shape == (3, 2)


@pytest.mark.slow
def test_two_processes_find_what_one_does_to_the_last_bit():
    maps = label_maps(3, 3, (5, 4))
    maps[1][maps[1] == 2] = 0
    expected = run(MeanDice(3, lambda output: output), [(maps[0], maps[1])]).metrics["val_mean_dice"]
    assert expected > 0
    with idist.Parallel(backend="gloo", nproc_per_node=2) as parallel:
        parallel.run(key_metric_of_a_share, maps, expected)
