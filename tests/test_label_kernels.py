"""Sums of losses, labels and their agreement are those of PyTorch."""

import pytest
import torch

from lunet_networks.bundle.training.dice import LabelDice, labels_of_batch
from lunet_networks.bundle.training.losses import LOSSES, SegmentationLoss
from lunet_networks.kernels import labels as kernels
from lunet_networks.kernels.labels import agreement, labels_of_logits, loss_sums, plain_loss_sums, takes
from lunet_networks.kernels.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="no C++ compiler")
SIZES = [(5, 7, 9), (33, 40), (1,), (1100,)]


def a_batch(labels: int, size: tuple, scale: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn((2, labels, *size), generator=generator)
    return logits, torch.randint(0, max(labels, 2), (2, 1, *size), generator=generator).float()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("labels", [1, 2, 3, 16])
def test_sums_and_gradients_are_pytorchs(labels, size) -> None:
    logits, label = a_batch(labels, size)
    weights = torch.rand(2 * labels + 1, generator=torch.Generator().manual_seed(1)).double()
    results = []
    for function, dtype in ((loss_sums, torch.float32), (plain_loss_sums, torch.float64)):
        given = logits.to(dtype).requires_grad_()
        sums = function(given, label.to(dtype))
        (gradient,) = torch.autograd.grad((sums * weights).sum(), given)
        results.append((sums, gradient.double()))
    (ours, our_gradient), (exact, exact_gradient) = results
    torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(our_gradient, exact_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "dice_focal"])
@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("ignore_label", [None, 255])
def test_loss_is_the_one_without_kernels(name, labels, ignore_label, monkeypatch) -> None:
    logits, label = a_batch(labels, (6, 10, 11))
    if ignore_label is not None:
        label[0, :, :3] = ignore_label
    loss = SegmentationLoss(name, labels, ignore_label)
    results = []
    for has_kernels in (True, False):
        if not has_kernels:
            monkeypatch.setattr(kernels, "library", lambda: None)
        given = logits.clone().requires_grad_()
        value = loss(given, label)
        results.append((value.detach(), *torch.autograd.grad(value, given)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)


def test_derivatives_of_derivatives_are_pytorchs() -> None:
    logits, label = a_batch(3, (4, 5, 6))
    results = []
    for function in (loss_sums, plain_loss_sums):
        given = logits.clone().requires_grad_()
        (first,) = torch.autograd.grad(function(given, label)[0], given, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), given)[0])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("labels", "wrong"), [(3, 3.0), (3, -1.0), (3, 0.5), (1, 2.0), (3, torch.nan)])
def test_other_label_values_are_refused(labels, wrong) -> None:
    logits, label = a_batch(labels, (5, 6))
    label[1, 0, 2, 2] = wrong
    with pytest.raises(ValueError, match="whole numbers from 0 to"):
        loss_sums(logits, label)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30, -200.0])
def test_numbers_without_end_are_as_in_pytorch(value) -> None:
    logits, label = a_batch(3, (4, 5))
    logits[0, 1, 2, 2] = value
    for ours, theirs in zip(loss_sums(logits, label), plain_loss_sums(logits, label), strict=True):
        assert torch.isfinite(ours) == torch.isfinite(theirs) or value == -torch.inf
    assert torch.equal(labels_of_logits(logits)[:, 0], logits.max(dim=1).indices.float())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("labels", [1, 2, 7])
def test_labels_and_counts_are_pytorchs(labels, size, monkeypatch) -> None:
    logits, label = a_batch(labels, size)
    output = {"pred": logits, "label": label}
    metric = LabelDice(max(labels, 2))
    ours, counted = labels_of_batch(output), metric(*labels_of_batch(output))
    monkeypatch.setattr(kernels, "library", lambda: None)
    theirs = labels_of_batch(output)
    assert torch.equal(ours[0], theirs[0])
    assert ours[0].dtype == theirs[0].dtype
    torch.testing.assert_close(counted, metric(*theirs), rtol=0, atol=0, equal_nan=True)


def test_the_same_bits_on_any_number_of_threads() -> None:
    logits, label = a_batch(3, (11, 17, 23))
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        given = logits.clone().requires_grad_()
        sums = loss_sums(given, label)
        results.append((sums.detach(), *torch.autograd.grad(sums.sum(), given)))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


def test_channels_last_is_taken() -> None:
    logits, label = a_batch(3, (5, 6, 7))
    given = logits.contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(loss_sums(given, label), loss_sums(logits, label))
    assert torch.equal(labels_of_logits(given), labels_of_logits(logits))


def test_operators_are_those_of_pytorch() -> None:
    logits, label = a_batch(3, (4, 5))
    torch.library.opcheck(torch.ops.lunet.loss_sums.default, (logits.requires_grad_(), label))
    torch.library.opcheck(torch.ops.lunet.labels_of_logits.default, (logits.detach(),))
    torch.library.opcheck(torch.ops.lunet.agreement.default, (label, label, 3))


def test_what_the_kernels_do_not_take() -> None:
    logits, label = a_batch(3, (4, 5))
    assert takes(logits, label)
    for wrong in (
        (logits.double(), label),
        (logits, label.long()),
        (logits, label[:, :, :3]),
        (logits[:0], label[:0]),
        (torch.zeros(1, 17, 4), torch.zeros(1, 1, 4)),
        (logits, logits),
    ):
        assert not takes(*wrong)
    assert agreement(label, label, 3).shape == (2, 2, 3)
