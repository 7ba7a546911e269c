"""The moving average of the weights: what it is, what is saved of it, and that it does not touch the training."""

import pytest
import torch
from monai.bundle import ConfigWorkflow
from torch import nn

from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.bundle.training import WeightAverage
from tests.helpers.trainable import same_results

DECAY = 0.75
# soon finds something, with the statistics of a batch norm that sees one volume at a time
QUICK = {"batch_size": 1, "learning_rate": 0.03, "scheduler_name": "none"}


def test_it_is_the_average_computed_by_hand_statistics_of_batch_norm_included():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 1, 1)).double()
    average = WeightAverage(network, DECAY)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    steps = []
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.randn(2, 1, 8, 8, dtype=torch.float64)).square().mean().backward()
        optimizer.step()
        average.update()
        steps.append({name: value.clone() for name, value in network.state_dict().items()})
    shares = [DECAY**4, *((1 - DECAY) * DECAY**later for later in (3, 2, 1, 0))]  # the first step starts it
    for name, found in average.network.state_dict().items():
        if found.is_floating_point():
            by_hand = sum(share * step[name] for share, step in zip(shares, steps, strict=True))
            torch.testing.assert_close(found, by_hand, rtol=1e-12, atol=1e-12)
    assert not torch.equal(average.network[1].running_mean, network[1].running_mean)


def test_without_decay_the_network_itself_is_validated_and_nothing_is_saved():
    network = nn.Linear(1, 1)
    average = WeightAverage(network)
    average.update()
    assert average.network is network
    assert average.state_dict() == {}


def test_the_average_is_saved_and_goes_on_bit_for_bit_when_resumed(new_bundle):
    uninterrupted, resumed = new_bundle("uninterrupted"), new_bundle("resumed")
    settings = {**QUICK, "ema_decay": DECAY, "save_interval": 2}
    uninterrupted.train(epochs=2, **settings)
    resumed.train(epochs=1, **settings)
    resumed.train(epochs=2, **settings, resume=True)
    assert same_results(resumed, uninterrupted)
    weights, average = resumed.weights(), resumed.averaged_weights()
    assert all(torch.equal(value, average[name]) for name, value in uninterrupted.averaged_weights().items())
    saved = torch.load(resumed.eval / "model_epoch0002.pt", weights_only=True)
    assert saved.keys() == weights.keys() == average.keys()
    assert all(torch.equal(value, average[name]) for name, value in saved.items())
    assert not all(torch.equal(value, weights[name]) for name, value in saved.items())
    with pytest.raises(RuntimeError) as caught:
        resumed.train(epochs=2, **QUICK, resume=True)
    assert "ema_decay: 0.75 then, 0.0 now" in str(root_cause(caught.value))


@pytest.mark.slow
def test_the_average_is_validated_and_the_training_goes_on_as_without_it(new_bundle):
    plain, averaged = new_bundle("plain"), new_bundle("averaged")
    plain.train(epochs=2, **QUICK)
    averaged.train(epochs=2, **QUICK, ema_decay=DECAY)
    weights = averaged.weights()
    assert all(torch.equal(weights[name], value) for name, value in plain.weights().items())
    rows, others = averaged.history(), plain.history()
    assert [row["loss"] for row in rows] == [row["loss"] for row in others]
    assert [row["val_mean_dice"] for row in rows] != [row["val_mean_dice"] for row in others]


def test_an_evaluation_measures_the_weights_that_it_loads(bundle):
    configs = [str(bundle.root / "configs" / f"{name}.json") for name in ("train", "evaluate")]
    meta = str(bundle.root / "configs" / "metadata.json")
    run = ConfigWorkflow(
        config_file=configs,
        meta_file=meta,
        logging_file=False,
        run_id="evaluation",
        **bundle.settings(ema_decay=DECAY),
    )
    run.initialize()
    parsed = run.parser.get_parsed_content
    assert parsed("validate#evaluator").network is parsed("network")
