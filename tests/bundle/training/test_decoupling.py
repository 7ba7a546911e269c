"""The functional decoupling loss: its terms, and what its second pass leaves alone."""

import math

import pytest
import torch
from monai.losses import DeepSupervisionLoss

from lunet_networks import PSPSeg
from lunet_networks.bundle.training.decoupling import (
    DecouplingInferer,
    DecouplingLoss,
    DecouplingTerms,
    decoder_term,
    feature_term,
    hide_background,
)
from lunet_networks.bundle.training.losses import SegmentationLoss

IGNORED = 9


def terms_of(loss: DecouplingLoss, network: PSPSeg, image: torch.Tensor, label: torch.Tensor) -> DecouplingTerms:
    return loss.terms(DecouplingInferer()(image, network), label)


def new_network(spatial_dims: int = 2, **settings: object) -> PSPSeg:
    network = PSPSeg(spatial_dims, channels=(4, 6, 8, 8), out_channels=3, **settings)
    for parameter in network.parameters():
        if parameter.dim() == 0:
            torch.nn.init.uniform_(parameter, 0.5, 2)
    return network


def new_batch(spatial_dims: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """A normalised image, and labels with voxels that nobody has annotated."""
    shape = (2, 1, *[16] * spatial_dims)
    label = torch.randint(0, 4, shape).float()
    return torch.randn(shape), torch.where(label == 3, IGNORED, label)


def new_loss(**settings: object) -> DecouplingLoss:
    return DecouplingLoss(SegmentationLoss("dice_bce", 3, IGNORED), ignore_label=IGNORED, **settings)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_terms_are_what_the_parts_of_the_network_give(spatial_dims: int) -> None:
    network, (image, label) = new_network(spatial_dims), new_batch(spatial_dims)
    outputs: dict[str, list[torch.Tensor]] = {}
    for name in ("encoders.0", "encoders.1", "encoders.2", "bottleneck", "decoders.1"):
        network.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: outputs.setdefault(name, []).append(output)
        )
    terms = terms_of(new_loss(), network, image, label)
    *encoder, (decoded,) = outputs.values()
    assert decoded.shape[2:] == (8,) * spatial_dims
    expected = 0
    for of_image, of_masked in encoder:
        assert of_image.requires_grad
        assert not of_masked.requires_grad
        cosine = (of_image * of_masked).sum(1) / (of_image.norm(dim=1) * of_masked.norm(dim=1))
        expected += (1 - cosine).mean()
    torch.testing.assert_close(terms.l1, expected, rtol=1e-4, atol=1e-6)
    assert terms.l1 > 0.01
    at_half = label[(..., *[slice(1, None, 2)] * spatial_dims)]
    logits = decoded.mean(1, keepdim=True)
    wrong = torch.where((at_half == 1) | (at_half == 2), -logits, logits)  # minus log sigmoid is softplus
    expected = torch.nn.functional.softplus(wrong[at_half != IGNORED]).mean()
    torch.testing.assert_close(terms.l2, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms.segmentation, SegmentationLoss("dice_bce", 3, IGNORED)(network(image), label))
    torch.testing.assert_close(terms.total, terms.segmentation + 0.1 * (terms.l1 + terms.l2))


def test_the_second_pass_costs_no_gradient() -> None:
    network, (image, label) = new_network(), new_batch()
    terms_of(new_loss(weight=1.0), network, image, label).l1.backward()
    gradients = [parameter.grad for parameter in network.encoders.parameters()]
    with torch.no_grad():
        targets = network.encode(hide_background(image, (label == 1) | (label == 2)))
    features = network.encode(image)
    cosines = [torch.cosine_similarity(x, y, dim=1).mean() for x, y in zip(features, targets, strict=True)]
    expected = torch.autograd.grad(-sum(cosines), list(network.encoders.parameters()))
    for gradient, of_features in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, of_features, rtol=1e-4, atol=1e-6)


def test_the_second_pass_leaves_network_and_random_state_alone() -> None:
    network, (image, label) = new_network(dropout=0.5), new_batch()
    network.bottleneck.eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    torch.manual_seed(1)
    prediction = network(image)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    predicted = DecouplingInferer()(image, network)
    new_loss()(predicted, label)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(predicted.prediction, prediction)
    assert network.training
    assert not network.bottleneck.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("deep_supervision", [True, False])
def test_every_parameter_is_trained_with_and_without_deep_supervision(deep_supervision: bool) -> None:
    """The published one cannot do without."""
    network, (image, label) = new_network(deep_supervision=deep_supervision), new_batch()
    segmentation = SegmentationLoss("dice_bce", 3, IGNORED)
    if deep_supervision:
        segmentation = DeepSupervisionLoss(segmentation)
    predicted = DecouplingInferer()(image, network)
    assert isinstance(predicted.prediction, list) is deep_supervision
    loss = DecouplingLoss(segmentation, ignore_label=IGNORED)
    total = loss(predicted, label)
    assert loss.last_terms["total"] == total
    assert not loss.last_terms["l1"].requires_grad
    total.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_background_gets_a_value_of_the_normalised_image() -> None:
    """The published one gets a raw intensity, such as -1000 where the normalised image ends at -3."""
    image, label = torch.randn(2, 2, 8, 8), torch.randint(0, 2, (2, 1, 8, 8))
    hidden = hide_background(image, label == 1)
    assert torch.equal(hidden.amin((2, 3)), image.amin((2, 3)))
    assert hidden.max() <= image.max()
    foreground = (label == 1).expand_as(image)
    assert torch.equal(hidden[foreground], image[foreground])
    given = hide_background(image, label == 1, mask_value=-2.5)
    assert torch.equal(given, torch.where(foreground, image, -2.5))
    network = PSPSeg(2, in_channels=2, channels=(4, 6, 8))
    terms = terms_of(DecouplingLoss(SegmentationLoss("bce", 1), mask_value=-2.5), network, image, label.float())
    torch.testing.assert_close(terms.l1, feature_term(network.encode(image), network.encode(given)))


def test_what_nobody_has_annotated_is_no_foreground() -> None:
    """The published one takes everything but 0 for foreground."""
    network, (image, label) = new_network().eval(), new_batch()
    as_background = torch.where(label == IGNORED, 0, label)
    of_both = [terms_of(loss, network, image, y) for loss, y in ((new_loss(), label), (new_loss(), as_background))]
    assert torch.equal(of_both[0].l1, of_both[1].l1)
    decoded = torch.randn(2, 4, 16, 16)
    masks = new_loss().foreground(label)
    flipped = torch.where(label == IGNORED, -50, decoded)
    assert torch.equal(decoder_term(decoded, *masks), decoder_term(flipped, *masks))


def test_a_batch_without_a_single_annotated_voxel() -> None:
    network, (image, label) = new_network(), new_batch()
    terms = terms_of(new_loss(), network, image, torch.full_like(label, IGNORED))
    assert terms.l2 == 0
    terms.total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)


def test_without_weight_the_terms_are_logged_only() -> None:
    network, (image, label) = new_network(), new_batch()
    terms = terms_of(new_loss(weight=0), network, image, label)
    assert torch.equal(terms.total, terms.segmentation)
    assert terms.l1 > 0
    assert terms.l2 > 0


def test_gradients_in_half_precision() -> None:
    network, (image, label) = new_network(), new_batch()
    with torch.autocast("cpu", torch.bfloat16):
        terms = terms_of(new_loss(), network, image, label)
    assert {term.dtype for term in terms} == {torch.float32}
    terms.total.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_settings_and_networks_that_do_not_fit() -> None:
    for weight in (-0.1, math.nan):
        with pytest.raises(ValueError, match="weight of the decoupling terms is"):
            new_loss(weight=weight)
    with pytest.raises(ValueError, match=r"mask_value is inf: it has to be finite, in the units"):
        new_loss(mask_value=math.inf)
    with pytest.raises(ValueError, match="needs a network with at least three levels, this one has 2"):
        terms_of(new_loss(), PSPSeg(2, channels=(4, 6), out_channels=3), *new_batch())
    with pytest.raises(TypeError, match="needs a PSPSeg that is not compiled, not a Linear"):
        terms_of(new_loss(), torch.nn.Linear(1, 1), *new_batch())
