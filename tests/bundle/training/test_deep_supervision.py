"""A training with deep supervision leaves weights that every other run takes as those of the plain network."""

import torch

from lunet_networks import create_network
from lunet_networks.bundle.report.summaries import read_rows
from tests.helpers.running import run_bundle
from tests.helpers.trainable import same_results

SETTINGS = {"batch_size": 1, "deep_supervision": True}


def test_it_resumes_bit_for_bit_and_is_evaluated_without_its_heads(new_bundle):
    uninterrupted, resumed = new_bundle("uninterrupted"), new_bundle("resumed")
    uninterrupted.train(epochs=2, **SETTINGS)
    for epochs in (1, 2):
        resumed.train(epochs=epochs, **SETTINGS, resume=epochs == 2)
    assert same_results(resumed, uninterrupted)
    start = create_network("lunet_small_4f", out_channels=3, deep_supervision=True).state_dict()
    assert resumed.weights().keys() == start.keys()

    plain = new_bundle("plain")
    plain.model.parent.mkdir()
    plain.model.write_bytes(resumed.model.read_bytes())
    for each, supervision in ((plain, False), (resumed, True)):
        run_bundle(each.root, "train", "evaluate", **{**each.settings(), "deep_supervision": supervision})
    assert read_rows(plain.eval / "summary.csv") == read_rows(resumed.eval / "summary.csv")


def test_every_block_counts_in_the_loss(new_bundle):
    """The loss of a step adds those of the lower levels, each half as much as the one before."""
    losses = {}
    for supervision in (False, True):
        bundle = new_bundle(f"supervision_{supervision}")
        bundle.train(epochs=1, batch_size=1, deep_supervision=supervision, learning_rate=1e-12, augment=False)
        losses[supervision] = float(bundle.history()[0]["loss"])
        heads = [name for name in bundle.weights() if name.startswith("supervision_heads.")]
        assert len(heads) == (6 if supervision else 0)
    assert 1.5 < losses[True] / losses[False] < 2.3  # 1 + 1/2 + 1/4 + 1/8, each of heads that know nothing yet


def test_it_starts_from_weights_of_a_training_without_it(new_bundle):
    plain, supervised = new_bundle("plain"), new_bundle("supervised")
    plain.train(epochs=1, batch_size=1)
    supervised.train(epochs=1, **SETTINGS, pretrained=str(plain.model), learning_rate=1e-12)
    started, given = supervised.weights(), torch.load(plain.model, weights_only=True)
    trained = [name for name in given if "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(started[name], given[name], atol=1e-6) for name in trained)
