"""LMSC-UNet has the counts of the plan that reproduces the paper's tables."""

import pytest
import torch

from lunet_networks import LMSCUNet, create_network
from lunet_networks.summary import count_macs, count_parameters

# Parameters and multiply-accumulates at 1 x 3 x 256 x 256 with one output, by the levels that have a BRB.
PLANS = {
    (): (900_257, 6_819_676_160),
    (1,): (902_529, 6_958_088_192),
    (2,): (909_025, 6_958_088_192),
    (3,): (934_689, 6_958_088_192),
    (1, 2): (911_297, 7_096_500_224),
    (2, 3): (943_457, 7_096_500_224),
    (1, 2, 3): (945_729, 7_234_912_256),
}
PAPER = {(): 0.90, (1,): 0.90, (2,): 0.91, (3,): 0.93, (1, 2): 0.91, (2, 3): 0.94, (1, 2, 3): 0.95}  # million, table 3


@pytest.mark.parametrize("brb_levels", PLANS)
def test_every_choice_of_levels_has_the_counts_of_the_plan(brb_levels: tuple[int, ...]) -> None:
    network = LMSCUNet(brb_levels=brb_levels)
    assert (count_parameters(network), count_macs(network, (1, 3, 256, 256))) == PLANS[brb_levels]
    two_outputs = count_parameters(LMSCUNet(out_channels=2, brb_levels=list(brb_levels)))
    assert two_outputs == PLANS[brb_levels][0] + 33
    assert round(two_outputs / 1e6, 2) == PAPER[brb_levels]


def test_the_standard_u_net_of_the_paper() -> None:
    network = create_network("unet_2d", out_channels=2)
    assert count_parameters(network) == 31_043_586
    units = [module for module in network.modules() if type(module).__name__ == "ConvUnit"]
    for unit in units:  # norm before activation
        assert [type(layer) for layer in unit.adn if not isinstance(layer, torch.nn.Dropout2d)] == [
            torch.nn.BatchNorm2d,
            torch.nn.ReLU,
        ]


def test_weights_are_initialised_after_he() -> None:
    for name, module in LMSCUNet().named_modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 10_000:
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05), name


def test_the_third_dimension() -> None:
    network = LMSCUNet(spatial_dims=3, in_channels=1, channels=(4, 8, 8)).eval()
    assert network(torch.zeros(2, 1, 8, 12, 4)).shape == (2, 1, 8, 12, 4)


@pytest.mark.parametrize("brb_levels", [(0,), (4,), (2, 2), ("2",), 2])
def test_levels_that_have_no_skip(brb_levels: object) -> None:
    with pytest.raises(ValueError, match=r"brb_levels must hold levels with a skip, each once, out of 1, 2, 3 .*; got"):
        LMSCUNet(brb_levels=brb_levels)


def test_sizes_that_it_cannot_take() -> None:
    with pytest.raises(ValueError, match=r"multiple of 8, got \[64, 60\]"):
        LMSCUNet().eval()(torch.zeros(1, 3, 64, 60))


def test_an_order_of_layers_that_is_none() -> None:
    with pytest.raises(ValueError, match="adn_ordering must hold each of A, D and N once, such as 'NDA', got 'NA'"):
        create_network("unet_2d", adn_ordering="NA")
