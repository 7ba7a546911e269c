"""Test-time flips."""

import pytest
import torch
from monai.inferers import SimpleInferer, SlidingWindowInferer
from torch import nn

from lunet_networks.bundle.inferers import FlipInferer


class Threshold(nn.Module):
    """Looks at each voxel by itself, so that it commutes with flips."""

    def __init__(self, out_channels):
        super().__init__()
        self.layers = nn.Conv3d(1, out_channels, kernel_size=1)

    def forward(self, x):
        return self.layers(x)


class Slope(nn.Module):
    """Logits that depend on nothing but the position along the last axis."""

    def forward(self, x):
        along = torch.linspace(-2, 2, x.shape[-1]).expand_as(x)
        return torch.cat([along, torch.zeros_like(along)], dim=1)


@pytest.mark.parametrize("out_channels", [1, 3])
def test_a_network_that_commutes_with_flips_predicts_the_same(out_channels):
    activation = nn.Sigmoid() if out_channels == 1 else nn.Softmax(dim=1)
    network, image = Threshold(out_channels), torch.randn(2, 1, 6, 5, 4)
    windows = SlidingWindowInferer(roi_size=(4, 4, 4), overlap=0.5, mode="gaussian")
    plain, flipped = windows(image, network), FlipInferer(windows, (0, 1, 2))(image, network)
    torch.testing.assert_close(activation(flipped), activation(plain))


def test_the_probabilities_are_averaged():
    image = torch.randn(1, 1, 4, 4, 6)
    flipped = FlipInferer(SimpleInferer(), spatial_axes=[0, 2])(image, Slope())
    plain = Slope()(image).softmax(dim=1)
    torch.testing.assert_close(flipped.softmax(dim=1), (plain + plain.flip(-1)) / 2)


def test_every_combination_of_axes_is_predicted_once():
    seen = []

    def network(image):
        seen.append(image.flatten().tolist())
        return image

    FlipInferer(SimpleInferer(), spatial_axes=[0, 1])(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), network)
    assert sorted(seen) == [[1, 2, 3, 4], [2, 1, 4, 3], [3, 4, 1, 2], [4, 3, 2, 1]]


def test_without_axes_nothing_changes():
    network, image = Threshold(3), torch.randn(1, 1, 4, 4, 4)
    assert torch.equal(FlipInferer(SimpleInferer())(image, network), network(image))


def test_sure_predictions_stay_finite():
    logits = torch.tensor([300.0, -300.0]).view(1, 1, 2)
    assert FlipInferer(SimpleInferer(), [0])(torch.zeros(1, 1, 2), lambda _: logits).isfinite().all()
