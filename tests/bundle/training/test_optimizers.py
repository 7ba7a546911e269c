"""Optimizers by name, with the published settings."""

import pytest
import torch
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


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_step_is_that_of_the_plain_loop_on_any_number_of_threads(name):
    threads, found = torch.get_num_threads(), []
    try:
        for number, fused in ((1, True), (3, True), (1, False)):
            torch.set_num_threads(number)
            torch.manual_seed(0)
            network = nn.Linear(201, 301)
            optimizer = create_optimizer(name, network, learning_rate=0.01)
            assert optimizer.param_groups[0]["fused"]
            optimizer.param_groups[0]["fused"] = fused
            for _ in range(3):
                for parameter in network.parameters():
                    parameter.grad = torch.randn_like(parameter)
                optimizer.step()
            found.append(network.weight.detach())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found[:2])
    torch.testing.assert_close(found[0], found[2], rtol=1e-5, atol=1e-5)
