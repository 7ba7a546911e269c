"""Published weights give the published logits; what does not fit is named."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from lunet_networks import LVUNet, PSPSeg, UNet, UNetPlusPlus, create_network, list_presets, load_published_weights
from lunet_networks.published import published_keys

U_NET_GOLDENS = [
    "lunet_small_4f",
    "lunet_small_1f",
    "unet_small_4f",
    "lunet_large_6f",
    "unetpp_small_4f",
    "lunetpp_small_4f",
]


def _golden(shared: Path, name: str) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    with np.load(shared / "reference" / "io" / f"{name}.npz") as arrays:
        state_dict = {key[3:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith("sd/")}
        return state_dict, torch.from_numpy(arrays["input"]), torch.from_numpy(arrays["logits"])


def _assert_gives(network: torch.nn.Module, image: torch.Tensor, logits: torch.Tensor) -> None:
    with torch.no_grad():
        single, double = network.eval()(image), network.double()(image.double())
    torch.testing.assert_close(double, logits.double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(single, logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", U_NET_GOLDENS)
def test_published_u_nets(name: str, shared: Path) -> None:
    state_dict, image, logits = _golden(shared, name)
    _assert_gives(load_published_weights(create_network(name, dropout=0.005), state_dict), image, logits)


def test_stamp(shared: Path) -> None:
    state_dict, image, logits = _golden(shared, "stamp_4f")
    _assert_gives(load_published_weights(create_network("unet_small_4f", out_channels=2), state_dict), image, logits)


def test_published_lv_unet_keeps_the_slope_with_a_warning(shared: Path) -> None:
    state_dict, image, logits = _golden(shared, "lvunet_train_act0")
    network = create_network("lv_unet")
    with pytest.warns(UserWarning, match="this network keeps its own, 0: "):
        load_published_weights(network, state_dict)
    _assert_gives(network, image, logits)
    network.float().set_slope(0.5)
    with pytest.warns(UserWarning, match=r"this network keeps its own, 0\.5: "):
        load_published_weights(network, state_dict)
    assert (network(image) - logits).abs().max() > 1  # so the warning is due


def test_published_mednext_is_loaded_in_the_official_order_with_a_warning(shared: Path) -> None:
    state_dict, image, other_logits = _golden(shared, "mednext_small")
    network = create_network("mednext_small")
    with pytest.warns(UserWarning, match="compute another function"):
        load_published_weights(network, state_dict)
    with np.load(shared / "reference" / "io" / "mednext_official_order.npz") as arrays:
        logits = torch.from_numpy(arrays["logits"])
    _assert_gives(network, image, logits)
    assert (logits - other_logits).abs().max() > 1  # so the warning is due


PSPSEG_GOLDENS = {
    "pspseg_s_narrow": {"channels": (4, 8, 16, 32, 64), "expansion": 0.5, "num_branches": 4},
    "pspseg_b_narrow_srm": {"channels": (4, 6, 8, 12, 16), "expansion": 2, "num_branches": 7, "parallel": False},
}


@pytest.mark.parametrize("name", PSPSEG_GOLDENS)
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_published_pspseg(name: str, deep_supervision: bool, shared: Path) -> None:
    state_dict, image, logits = _golden(shared, name)
    network = PSPSeg(out_channels=2, deep_supervision=deep_supervision, **PSPSEG_GOLDENS[name])
    heads = range(1, 5)  # the published network has one at the lowest resolution too, which nothing trains
    for level in heads:
        shape = (2, PSPSEG_GOLDENS[name]["channels"][level], 1, 1, 1)
        state_dict[f"out_{level}.weight"], state_dict[f"out_{level}.bias"] = torch.rand(shape), torch.rand(2)
    _assert_gives(load_published_weights(network, state_dict), image, logits)
    supervised = [state_dict[f"out_{level}.bias"] for level in heads[:-1]] if deep_supervision else []
    assert [head.bias.tolist() for head in network.supervision_heads] == [bias.tolist() for bias in supervised]


def test_masks_of_a_published_pspseg_are_kept(shared: Path) -> None:
    state_dict, *_ = _golden(shared, "pspseg_s_narrow")
    state_dict["bottleneck.0.active_paths"] = torch.tensor([True, False, True, False])
    network = PSPSeg(out_channels=2, **PSPSEG_GOLDENS["pspseg_s_narrow"])
    load_published_weights(network, state_dict)
    assert network.bottleneck.masked_branches() == [1, 3]
    assert network.decoders[0].masked_branches() == []


def test_published_pspseg_of_other_branches(shared: Path) -> None:
    state_dict, *_ = _golden(shared, "pspseg_s_narrow")
    settings = {"out_channels": 2, **PSPSEG_GOLDENS["pspseg_s_narrow"]}
    seven = PSPSeg(**{**settings, "num_branches": 7})
    _assert_refused(seven, state_dict, r"'enc_block_1.0.active_paths' has shape \(4,\).* takes \(7,\)")
    fewer = PSPSeg(**settings, branches={"bottleneck": [0, 1, 2]})
    _assert_refused(fewer, state_dict, r"'bottleneck.0.active_paths' has shape \(4,\).* takes \(3,\)")


def test_keys_shapes_and_order_of_all_published_networks(shared: Path) -> None:
    published = json.loads((shared / "reference" / "keys.json").read_text())
    published["lv_unet"] = published["lvunet_train"]
    names = [name for name in list_presets() if name in published]
    assert len(names) >= 33
    for name in [*names, "stamp_4f"]:
        if name == "stamp_4f":
            network, stamp = create_network("unet_small_4f", out_channels=2), True
        else:
            network, stamp = create_network(name), False
        own = network.state_dict()
        ours = {theirs: tuple(own[key].shape) for key, theirs in published_keys(network, stamp).items()}
        if name == "mednext_small":
            ours["out_conv.weight"] = (ours["out_conv.weight"][1], ours["out_conv.weight"][0], 1, 1, 1)
        if isinstance(network, PSPSeg):  # a scale a branch here, a vector of them a module there
            ours.update((key, (network.num_branches,)) for key in ours if key.endswith(".weights"))
        assert ours == {key: tuple(shape) for key, shape, _ in published[name]}, name


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    """Published weights of a small lean U-Net."""
    network = UNet(channels=(2, 2, 2))
    own = network.state_dict()
    return {theirs: own[key] for key, theirs in published_keys(network).items()}


def _assert_refused(network: torch.nn.Module, weights: dict[str, torch.Tensor], message: str) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_published_weights(network, weights)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_missing_key_is_named(weights: dict) -> None:
    del weights["decoders.1.dec_final_conv0.bias"], weights["out_conv.bias"]
    message = r"lack 'decoders.1.dec_final_conv0.bias' \(no shape\).* with shape \(2,\)"
    _assert_refused(UNet(channels=(2, 2, 2)), weights, message)


def test_a_key_that_is_left_over_is_named(weights: dict) -> None:
    weights["encoders.0.enc0_conv2.weight"] = torch.zeros(2, 2, 3, 3, 3)
    message = r"hold 'encoders.0.enc0_conv2.weight' with shape \(2, 2, 3, 3, 3\).*no place, of any shape"
    _assert_refused(UNet(channels=(2, 2, 2)), weights, message)


def test_another_shape_is_named_with_both_shapes(weights: dict) -> None:
    message = r"'encoders.1.enc1_conv0.weight' has shape \(2, 2, 3, 3, 3\).*'encoders.1.0.conv.weight' takes \(4, 2"
    _assert_refused(UNet(channels=(2, 4, 8)), weights, message)


def test_weights_of_another_architecture_or_number_of_levels(weights: dict) -> None:
    _assert_refused(UNetPlusPlus(channels=(2, 2, 2)), weights, r"lack 'encoders.2.enc2_conv0.weight'")
    _assert_refused(UNet(channels=(2, 2)), weights, r"of another preset\?")
    _assert_refused(UNet(channels=(2, 2, 2, 2)), weights, r"of another preset\?")


def test_stamps_keys_fit_a_unet_only() -> None:
    _assert_refused(UNetPlusPlus(channels=(2, 2)), {"unet.conv": torch.zeros(1)}, "STAMP's keys .* belong to a UNet")


def test_a_whole_checkpoint_is_recognised(weights: dict) -> None:
    _assert_refused(UNet(channels=(2, 2, 2)), {"model_state_dict": weights}, "pass its 'model_state_dict'")


def test_a_network_of_another_class() -> None:
    with pytest.raises(TypeError, match=r"of UNet, .*, PSPSeg, LVUNet, not of Linear"):
        load_published_weights(torch.nn.Linear(1, 1), {})


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (UNet(channels=(2, 2), adn_ordering="NDA"), "of units in the order 'AND', this network has NDA"),
        (LVUNet(mobilenet_blocks=5), "of an LVUNet with mobilenet_blocks=9 and skip='add'"),
        (LVUNet(deployed=True), "before deployment"),
    ],
)
def test_networks_of_which_nothing_was_published(network: torch.nn.Module, message: str) -> None:
    _assert_refused(network, {}, message)


def test_u_nets_load_without_a_warning(weights: dict) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_published_weights(UNet(channels=(2, 2, 2)), weights)
