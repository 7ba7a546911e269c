"""U-KAN: its arguments and its splines."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from lunet_networks import UKAN
from lunet_networks.nets.u_kan import _basis, _KolmogorovArnold


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, U-KAN has no other form; got 3"),
        ({"channels": (32, 40, 48)}, r"channels must hold 5 integers of at least 1, one for each level; got \(32, 40,"),
        ({"dropout": 1.0}, "dropout must be a probability"),
    ],
)
def test_arguments_that_describe_no_network(keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UKAN(**keywords)


def test_the_basis_is_that_of_cubic_splines_on_any_knots() -> None:
    grid = torch.linspace(-2.2, 2.2, 12, dtype=torch.float64).expand(3, -1) + 0.1 * torch.rand(3, 12)
    x = torch.linspace(-3, 3, 200, dtype=torch.float64)[:, None].expand(-1, 3)
    values = _basis(x, grid)
    for channel in range(3):
        knots, at = grid[channel].numpy(), x[:, channel].numpy()
        for j in range(8):
            expected = np.nan_to_num(BSpline.basis_element(knots[j : j + 5], extrapolate=False)(at))
            np.testing.assert_allclose(values[:, channel, j], expected, atol=1e-12)


def test_a_new_layer_has_nearly_flat_splines_whose_basis_adds_up_to_one() -> None:
    layer = _KolmogorovArnold(4, 6, deployed=False)
    knots = layer.grid[0]
    torch.testing.assert_close(knots, torch.linspace(-2.2, 2.2, 12))
    torch.testing.assert_close(_basis(knots[3:-3].expand(4, -1).T, layer.grid).sum(-1), torch.ones(6, 4))
    splines = _basis(torch.linspace(-1, 1, 101)[:, None], knots[None])[:, 0] @ layer.spline_weight.flatten(0, 1).T
    at_knots = splines[::20]
    assert at_knots.abs().max() <= 0.01 + 1e-6
    assert at_knots.std() > 0.004
