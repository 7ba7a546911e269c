"""Learning rates by epoch are those of PyTorch's schedulers."""

import pytest
import torch
from ignite.engine import Engine
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, PolynomialLR, StepLR

from lunet_networks.bundle.training.schedules import LearningRateSchedule

EPOCHS = 70
PYTORCH = {
    "none": lambda optimizer: LambdaLR(optimizer, lambda epoch: 1),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, T_max=EPOCHS),
    "step": lambda optimizer: StepLR(optimizer, step_size=30, gamma=0.1),
    "poly": lambda optimizer: PolynomialLR(optimizer, total_iters=EPOCHS, power=0.9),
}


def an_optimizer():
    return SGD([torch.zeros(1, requires_grad=True)], lr=0.01)


def rates_of(name: str, *runs_up_to: int) -> list[float]:
    """The learning rates of a trainer that is run until each of the given epochs."""
    optimizer, rates = an_optimizer(), []
    engine = Engine(lambda engine, batch: rates.append(optimizer.param_groups[0]["lr"]))
    LearningRateSchedule(optimizer, name).attach(engine)
    for epochs in runs_up_to:
        engine.run([0], max_epochs=epochs)
    return rates


@pytest.mark.parametrize("name", PYTORCH)
def test_rates_are_those_of_pytorch_stepped_per_epoch(name):
    optimizer, expected = an_optimizer(), []
    scheduler = PYTORCH[name](optimizer)
    for _ in range(EPOCHS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates_of(name, EPOCHS) == pytest.approx(expected)


def test_federated_rounds_of_one_epoch_never_get_a_rate_of_zero():
    assert min(rates_of("poly", 1, 2, 3)) > 0


def test_unknown_scheduler():
    with pytest.raises(ValueError, match="scheduler_name is 'plateau': it has to be one of none, cosine, step, poly"):
        LearningRateSchedule(an_optimizer(), "plateau")
