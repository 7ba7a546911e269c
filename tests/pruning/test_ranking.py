"""Scores are those of the published code, and behave where its own do not."""

import json
import math

import numpy as np
import pytest
import torch

from lunet_networks import UNet, UNetPlusPlus, create_network, load_published_weights
from lunet_networks.pruning import (
    normalise_scores,
    prunable_convolutions,
    rank_channels,
    select_channels,
    targeted_dropout,
)
from tests.helpers.random_networks import new_network

PUBLISHED = {"taylor": "Taylor", "l1": "L1", "l2": "L2", "l1_std": "L1_std"}


@pytest.fixture(scope="module")
def published(shared):
    folder = shared / "reference" / "io"
    arrays = np.load(folder / "stamp_ranks.npz")
    return arrays, json.loads((folder / "stamp_ranks.json").read_text())


@pytest.fixture(scope="module")
def stamp_network(published):
    arrays, _ = published
    network = create_network("unet_small_4f", out_channels=2, dropout=0.005)
    weights = {key[3:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith("sd/")}
    return load_published_weights(network, weights)


@pytest.fixture(scope="module")
def stamp_batches(published):
    arrays, _ = published
    return [(torch.from_numpy(x), torch.from_numpy(y).float()) for x, y in zip(arrays["inputs"], arrays["targets"])]  # noqa: B905


def published_dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Soft Dice of each class over batch and space."""
    probabilities, over = logits.sigmoid(), (0, 2, 3, 4)
    dice = 2 * (probabilities * target).sum(over) / ((probabilities + target).sum(over) + 1e-7)
    return 1 - dice.mean()


@pytest.mark.parametrize("ranking", PUBLISHED)
def test_published_scores(ranking, published, stamp_network, stamp_batches):
    arrays, facts = published
    losses = []

    def loss(logits, target):
        losses.append(published_dice_loss(logits, target))
        return losses[-1]

    scores = rank_channels(stamp_network, stamp_batches, loss, ranking)
    assert [value.item() for value in losses] == pytest.approx(facts["Taylor"]["losses"], abs=1e-6)
    normalised = normalise_scores(scores)
    assert list(scores) == prunable_convolutions(stamp_network)
    for place, name in enumerate(scores):
        for found, kind in ((scores, "raw"), (normalised, "norm")):
            golden = arrays[f"{PUBLISHED[ranking]}/{kind}/{place}"]
            np.testing.assert_allclose(found[name], golden, rtol=1e-4, atol=1e-5 * np.abs(golden).max())


def test_published_dropout(published, stamp_network, stamp_batches):
    arrays, _ = published
    scores = normalise_scores(rank_channels(stamp_network, stamp_batches, published_dice_loss, "taylor"))
    np.testing.assert_allclose(list(targeted_dropout(scores).values()), arrays["Taylor/new_dropout"], atol=3e-4)


@pytest.fixture
def batches():
    return [(torch.randn(b, 2, 8, 8, dtype=torch.float64), torch.rand(b, 2, 8, 8).round().double()) for b in (3, 2)]


LOSS = torch.nn.BCEWithLogitsLoss()


@pytest.mark.parametrize("ranking", ["taylor", "taylor_abs"])
def test_taylor_is_what_autograd_says(ranking, batches):
    network = new_network(UNet, 2, 0)
    maps = {}
    for name in prunable_convolutions(network):
        unit = network.get_submodule(name)
        unit.adn.A.register_forward_hook(lambda _, __, output, name=name: maps.__setitem__(name, output))
    expected = dict.fromkeys(prunable_convolutions(network), 0)
    for image, label in batches:
        gradients = torch.autograd.grad(LOSS(network(image), label), list(maps.values()))
        for (name, activation), gradient in zip(maps.items(), gradients, strict=True):
            of_samples = (activation * gradient).mean((2, 3)).detach()
            expected[name] = expected[name] + (of_samples.abs() if ranking == "taylor_abs" else of_samples).mean(0)
    scores = rank_channels(network, batches, LOSS, ranking)
    for name, score in scores.items():
        torch.testing.assert_close(score, expected[name], rtol=1e-9, atol=1e-15)


NORMS = {
    "l1": lambda maps: np.abs(maps).sum(axis=2).mean(axis=0),
    "l2": lambda maps: np.sqrt((maps**2).sum(axis=2)).mean(axis=0),
    "l1_std": lambda maps: np.abs(maps).sum(axis=2).std(axis=0, ddof=1),
}


@pytest.mark.parametrize("ranking", NORMS)
def test_norms_are_of_every_sample_and_summed_over_batches(ranking, batches):
    network = new_network(UNet, 2, 0)
    maps = []
    network.encoders[0][0].adn.A.register_forward_hook(lambda _, __, output: maps.append(output.detach().flatten(2)))
    for image, _ in batches:
        network(image)
    expected = sum(NORMS[ranking](of_batch.numpy()) for of_batch in maps)
    found = rank_channels(network, batches, LOSS, ranking)["encoders.0.0"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_taylor_of_small_steps(batches):
    """The score says how the loss changes when a channel shrinks."""
    network, [(image, label), *_] = new_network(UNetPlusPlus, 2, 1), batches
    scores = rank_channels(network, [(image, label)], LOSS, "taylor")
    name, step = "nodes.0.1.0", 1e-6
    with torch.no_grad():
        before = LOSS(network(image), label)
        voxels = []

        def shrink(_, __, output):
            voxels.append(output[0, 0].numel() * len(output))
            output[:, 2] *= 1 - step
            return output

        hook = network.get_submodule(name).adn.A.register_forward_hook(shrink)
        after = LOSS(network(image), label)
        hook.remove()
    assert (before - after) / step == pytest.approx(scores[name][2].item() * voxels[0], rel=1e-3)


def test_samples_that_cancel_out_count_in_taylor_abs():
    network = new_network(UNet, 2, 2)
    image = torch.randn(1, 2, 8, 8, dtype=torch.float64).repeat(2, 1, 1, 1)
    sign = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    opposite = [(image, sign)]

    def loss(logits, sign):
        return (logits * sign).mean()

    signed, absolute = (rank_channels(network, opposite, loss, ranking) for ranking in ("taylor", "taylor_abs"))
    assert max(score.abs().max() for score in signed.values()) < 1e-15
    assert min(score.max() for score in absolute.values()) > 1e-12


@pytest.mark.parametrize("ranking", ["taylor", "l1"])
def test_the_network_is_as_before(ranking, batches):
    network = new_network(UNet, 2, 3).train()
    network.bottleneck.eval()
    network.head.weight.requires_grad_(False)
    network.head.bias.grad = torch.ones(2, dtype=torch.float64)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rank_channels(network, batches, LOSS, ranking)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training
    assert not network.bottleneck[0].training
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["head.weight"]
    assert [name for name, p in network.named_parameters() if p.grad is not None] == ["head.bias"]
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("ranking", ["taylor", "taylor_abs", "l1", "l2", "l1_std"])
def test_a_dead_convolution_gives_no_nan(ranking, batches):
    network = new_network(UNet, 2, 4)
    torch.nn.init.zeros_(network.encoders[1][0].conv.weight)
    torch.nn.init.constant_(network.encoders[1][0].conv.bias, -1)
    scores = normalise_scores(rank_channels(network, batches, LOSS, ranking))
    assert torch.equal(scores["encoders.1.0"], torch.zeros(4, dtype=torch.float64))
    assert {name for name, _ in select_channels(scores, 3)} == {"encoders.1.0"}
    assert all(math.isfinite(p) for p in targeted_dropout(scores).values())


def test_scores_too_small_for_their_squares():
    scores = normalise_scores({"encoders.0.0": torch.tensor([3e-200, 4e-200], dtype=torch.float64)})
    assert scores["encoders.0.0"].tolist() == pytest.approx([0.6, 0.8])


def test_a_seed_makes_the_random_ones_the_same():
    network = new_network(UNet, 2, 5)

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        scores = rank_channels(network, [], LOSS, "random", generator)
        return [
            (selection, select_channels(scores, 4, selection, generator)) for selection in ("random_in_layer", "stamp")
        ]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_batch_that_is_too_small(batches):
    network = new_network(UNet, 2, 6)
    single = [(image[:1], label[:1]) for image, label in batches]
    with pytest.raises(ValueError, match="needs batches of two or more"):
        rank_channels(network, single, LOSS, "l1_std")
    both = rank_channels(network, [batches[0], single[0]], LOSS, "l1_std")  # the last batch of an epoch may be one
    assert all(
        torch.equal(score, both[name]) for name, score in rank_channels(network, batches[:1], LOSS, "l1_std").items()
    )
    with pytest.raises(ValueError, match="no batch to rank"):
        rank_channels(network, [], LOSS, "taylor")


def test_a_loss_that_is_nan_and_a_ranking_that_is_none(batches):
    network = new_network(UNet, 2, 7)
    with pytest.raises(ValueError, match=r"the scores of encoders\.0\.0 are not finite"):
        rank_channels(network, batches, lambda logits, _: logits.sum() * math.nan, "taylor")
    with pytest.raises(ValueError, match="no ranking 'gradient'; there are taylor, taylor_abs, l1, l2, l1_std, random"):
        rank_channels(network, batches, LOSS, "gradient")
