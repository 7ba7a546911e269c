"""Optimizers by name, with the published settings."""

import pytest
from torch import nn

from lunet_networks.bundle.training.optimizers import create_optimizer


@pytest.mark.parametrize(("name", "kind", "weight_decay"), [("adam", "Adam", 0), ("adamw", "AdamW", 1e-5)])
def test_published_optimizers(name, kind, weight_decay):
    optimizer = create_optimizer(name, nn.Linear(1, 1), learning_rate=0.01)
    assert type(optimizer).__name__ == kind
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.01, weight_decay)


def test_unknown_optimizer():
    with pytest.raises(ValueError, match="optimizer_name is 'lion': it has to be one of adam, adamw, sgd"):
        create_optimizer("lion", nn.Linear(1, 1), 0.01)
