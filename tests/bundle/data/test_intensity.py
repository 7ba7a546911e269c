"""Images of any contrast are normalised alike, and constant ones have none."""

import pytest
import torch
from monai.data import MetaTensor

from lunet_networks.bundle.data import NormalizeChannelsd


@pytest.mark.parametrize("gain", [1e-12, 1e-9, 1e-5, 1.0, 1e7, 1e12])
@pytest.mark.parametrize("offset", [0.0, 100.0, -100.0])
def test_a_channel_gets_mean_0_and_standard_deviation_1(gain, offset):
    image = MetaTensor(gain * (torch.randn(1, 12, 14, 10) + offset))
    normalised = NormalizeChannelsd("image", [None])({"image": image})["image"]
    assert normalised.mean().item() == pytest.approx(0, abs=1e-4)
    assert normalised.std(correction=0).item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e7, 1e-9])
def test_a_constant_channel_has_no_contrast(value):
    image = torch.full((2, 30, 30, 30), value)
    image[1] *= 1 + 1e-7 * torch.randn(30, 30, 30)  # as resampling leaves it
    normalised = NormalizeChannelsd("image", [None, None])({"image": image})["image"]
    assert normalised.isfinite().all()
    assert normalised.abs().max() < 1


def test_the_image_that_is_given_stays_as_it_is():
    image = torch.arange(8.0).view(1, 2, 4)
    NormalizeChannelsd("image", [None])({"image": image})
    assert image.flatten().tolist() == list(range(8))
