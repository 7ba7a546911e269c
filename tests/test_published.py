"""Published weights give the published logits; what does not fit is named."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lunet_networks import (
    LVUNet,
    PSPSeg,
    UNet,
    UNetPlusPlus,
    UNeXt,
    create_network,
    deploy,
    list_presets,
    load_published_weights,
)
from lunet_networks.pruning import active_branches, mask_branches, masked_branches, remove_branches
from lunet_networks.published import published_keys
from tests.helpers.plain_pspseg import plain_pspseg
from tests.helpers.published_networks import PSPSEG, new_network
from tests.helpers.recipe import make_image, make_weights

COMMITTED = Path(__file__).parent / "data" / "published"
U_NET_GOLDENS = [
    "lunet_small_4f",
    "lunet_small_1f",
    "unet_small_4f",
    "lunet_large_6f",
    "unetpp_small_4f",
    "lunetpp_small_4f",
]
Golden = tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], Golden]:
    """Reads published weights, an input and the published logits: of the small files in tests/data, whose logits are
    every fourth voxel's, or of those in ../shared."""

    def read(name: str) -> Golden:
        path = COMMITTED / f"{name}.npz"
        if not path.is_file():
            path = request.getfixturevalue("shared") / "reference" / "io" / path.name
        with np.load(path) as arrays:
            tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        image, logits = tensors.pop("input"), tensors.pop("logits")
        return {key.removeprefix("sd/"): value for key, value in tensors.items()}, image, logits

    return read


def _assert_gives(network: torch.nn.Module, image: torch.Tensor, logits: torch.Tensor) -> None:
    step = image.shape[-1] // logits.shape[-1]
    at = (..., *[slice(None, None, step)] * (image.dim() - 2))
    with torch.no_grad():
        single, double = network.eval()(image)[at], network.double()(image.double())[at]
    torch.testing.assert_close(double, logits.double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(single, logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", U_NET_GOLDENS)
def test_published_u_nets(name: str, golden: Callable) -> None:
    state_dict, image, logits = golden(name)
    _assert_gives(load_published_weights(new_network(name, dropout=0.005), state_dict), image, logits)


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*.json")), ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of what published weights leave out
def test_published_keys_give_the_same_logits_for_ever(path: Path) -> None:
    """For those who have no ../shared: weights by a recipe, of all published keys and shapes.

    The logits were recorded by tests/helpers/record_published.py from the networks that give the published ones.
    """
    recorded = json.loads(path.read_text())
    network = load_published_weights(new_network(path.stem).double(), make_weights(recorded["shapes"]))
    logits = torch.tensor(recorded["logits"], dtype=torch.float64)
    image = make_image(recorded["image"])
    step = image.shape[-1] // logits.shape[-1]
    with torch.no_grad():
        found = network(image)[(..., *[slice(None, None, step)] * (image.dim() - 2))]
    torch.testing.assert_close(found, logits, atol=1e-9 * logits.std().item(), rtol=0)


def test_stamp(golden: Callable) -> None:
    state_dict, image, logits = golden("stamp_4f")
    _assert_gives(load_published_weights(new_network("stamp_4f"), state_dict), image, logits)


def test_published_lv_unet_keeps_the_slope_with_a_warning(golden: Callable) -> None:
    state_dict, image, logits = golden("lvunet_train_act0")
    network = create_network("lv_unet")
    with pytest.warns(UserWarning, match=r"this network keeps its own, 0\. "):
        load_published_weights(network, state_dict)
    _assert_gives(network, image, logits)
    network.float().set_slope(0.5)
    with pytest.warns(UserWarning, match=r"this network keeps its own, 0\.5\. "):
        load_published_weights(network, state_dict)
    assert (network(image) - logits).abs().max() > 1  # so the warning is due


def test_published_mednext_is_loaded_in_the_official_order_with_a_warning(golden: Callable, shared: Path) -> None:
    state_dict, image, other_logits = golden("mednext_small")
    network = create_network("mednext_small")
    with pytest.warns(UserWarning, match="compute another function"):
        load_published_weights(network, state_dict)
    with np.load(shared / "reference" / "io" / "mednext_official_order.npz") as arrays:
        logits = torch.from_numpy(arrays["logits"])
    _assert_gives(network, image, logits)
    assert (logits - other_logits).abs().max() > 1  # so the warning is due


@pytest.mark.parametrize("name", PSPSEG)
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_published_pspseg(name: str, deep_supervision: bool, golden: Callable) -> None:
    state_dict, image, logits = golden(name)
    network = new_network(name, deep_supervision=deep_supervision)
    heads = range(1, 5)  # the published network has one at the lowest resolution too, which nothing trains
    for level in heads:
        shape = (2, PSPSEG[name]["channels"][level], 1, 1, 1)
        state_dict[f"out_{level}.weight"], state_dict[f"out_{level}.bias"] = torch.rand(shape), torch.rand(2)
    _assert_gives(load_published_weights(network, state_dict), image, logits)
    supervised = [state_dict[f"out_{level}.bias"] for level in heads[:-1]] if deep_supervision else []
    assert [head.bias.tolist() for head in network.supervision_heads] == [bias.tolist() for bias in supervised]


@pytest.fixture
def pspseg_weights() -> dict[str, torch.Tensor]:
    """Weights by the published keys of PSP-Seg."""
    return make_weights(json.loads((COMMITTED / "pspseg_s_narrow.json").read_text())["shapes"])


def test_masks_of_a_published_pspseg_are_kept(pspseg_weights: dict) -> None:
    pspseg_weights["bottleneck.0.active_paths"] = torch.tensor([True, False, True, False])
    network = load_published_weights(new_network("pspseg_s_narrow"), pspseg_weights)
    assert network.bottleneck.masked_branches() == [1, 3]
    assert network.decoders[0].masked_branches() == []


@pytest.mark.parametrize("name", PSPSEG)
def test_the_plain_computation_gives_the_published_logits(name: str, golden: Callable) -> None:
    state_dict, image, logits = golden(name)
    weights = {key: value.double() for key, value in state_dict.items()}
    found = plain_pspseg(weights, image.double(), PSPSEG[name].get("parallel", True))
    torch.testing.assert_close(found, logits.double(), atol=1e-5, rtol=0)


ALL_MODULES = ["bottleneck.0", *(f"{coder}_block_{level}.0" for coder in ("enc", "dec") for level in (1, 2, 3))]


@pytest.mark.parametrize("empty", [[], ["bottleneck.0"], ["enc_block_1.0", "dec_block_3.0"], ALL_MODULES])
@pytest.mark.parametrize("name", PSPSEG)
def test_branches_that_are_masked_removed_or_deleted_give_the_published_logits(name: str, empty: list[str]) -> None:
    """Also those of a module that has no active branch: it is the identity, without the leaky ReLU."""
    recorded = json.loads((COMMITTED / f"{name}.json").read_text())
    weights, image = make_weights(recorded["shapes"]), make_image(recorded["image"])
    whole = load_published_weights(new_network(name).double(), weights)
    weights["enc_block_2.0.active_paths"][1] = False
    for module in empty:
        weights[f"{module}.active_paths"][:] = False
    expected = plain_pspseg(weights, image, PSPSEG[name].get("parallel", True))
    assert expected.std() > 0.01

    loaded = load_published_weights(new_network(name).double(), weights)
    left = active_branches(loaded)
    assert [*left.values()].count([]) == len(empty)
    mask_branches(whole, masked_branches(loaded), allow_empty=True)
    removed = remove_branches(loaded)
    described = new_network(name, branches=left).double()
    described.load_state_dict(removed.state_dict())
    of_deleted = load_published_weights(new_network(name, branches=left).double(), _without_masked(weights))
    for network in (loaded, whole, removed, described, of_deleted, deploy(loaded), deploy(removed)):
        with torch.no_grad():
            torch.testing.assert_close(network(image), expected, atol=1e-10, rtol=0)
    for network in (removed, of_deleted):
        assert masked_branches(network) == {}


def _without_masked(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Published weights whose masked branches are deleted: scales and masks keep their length."""
    masked = [
        f"{key.removesuffix('active_paths')}blocks.{number}."
        for key, paths in weights.items()
        if key.endswith("active_paths")
        for number, active in enumerate(paths.tolist())
        if not active
    ]
    return {key: value for key, value in weights.items() if not key.startswith(tuple(masked))}


def test_published_pspseg_of_other_branches(pspseg_weights: dict) -> None:
    settings = {"out_channels": 2, **PSPSEG["pspseg_s_narrow"]}
    seven = PSPSeg(**{**settings, "num_branches": 7})
    _assert_refused(seven, pspseg_weights, r"'enc_block_1.0.active_paths' has shape \(4,\).* takes \(7,\)")
    for numbers in ([0, 1, 2], []):
        fewer = PSPSeg(**settings, branches={"bottleneck": numbers})
        _assert_refused(fewer, pspseg_weights, rf"hold 'bottleneck.0.blocks.{len(numbers)}.convs.0.weight' with shape")
    pspseg_weights["bottleneck.0.active_paths"][2] = False
    deleted = _without_masked(pspseg_weights)
    _assert_refused(PSPSeg(**settings), deleted, r"lack 'bottleneck.0.blocks.2.convs.0.weight'")


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
    message = r"hold 'encoders.0.enc0_conv2.weight' with shape \(2, 2, 3, 3, 3\).*no such entry, of any shape"
    _assert_refused(UNet(channels=(2, 2, 2)), weights, message)


def test_another_shape_is_named_with_both_shapes(weights: dict) -> None:
    message = r"'encoders.1.enc1_conv0.weight' has shape \(2, 2, 3, 3, 3\).*'encoders.1.0.conv.weight' takes \(4, 2"
    _assert_refused(UNet(channels=(2, 4, 8)), weights, message)


def test_weights_of_another_architecture_or_number_of_levels(weights: dict) -> None:
    _assert_refused(UNetPlusPlus(channels=(2, 2, 2)), weights, r"lack 'encoders.2.enc2_conv0.weight'")
    _assert_refused(UNet(channels=(2, 2)), weights, r"to another preset\?")
    _assert_refused(UNet(channels=(2, 2, 2, 2)), weights, r"to another preset\?")


def test_stamps_keys_fit_a_unet_only() -> None:
    _assert_refused(UNetPlusPlus(channels=(2, 2)), {"unet.conv": torch.zeros(1)}, "STAMP's keys .* belong to a UNet")


def test_a_whole_checkpoint_is_recognised(weights: dict) -> None:
    _assert_refused(UNet(channels=(2, 2, 2)), {"model_state_dict": weights}, "pass its 'model_state_dict'")


def test_a_network_of_another_class() -> None:
    with pytest.raises(TypeError, match=r"for UNet, .*, PSPSeg, LVUNet, .*, not for Linear"):
        load_published_weights(torch.nn.Linear(1, 1), {})


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            UNet(channels=(2, 2), adn_ordering="NDA"),
            "in a UNet without bias, .* has 2 of 'NDA', bias=True",
        ),
        (UNetPlusPlus(channels=(2, 2), upsample="bilinear"), "this network has 2 of 'AND', .* upsample='bilinear'"),
        (UNet(channels=(2, 2), adn_ordering="NDA", bias=False, deployed=True), "before deployment"),
        (LVUNet(mobilenet_blocks=5), "need an LVUNet with mobilenet_blocks=9 and skip='add'"),
        (LVUNet(deployed=True), "before deployment"),
        (UNet(channels=(2, 2), deployed=True), "before deployment"),
        (UNeXt(deployed=True), "before deployment"),
    ],
)
def test_networks_of_which_nothing_was_published(network: torch.nn.Module, message: str) -> None:
    _assert_refused(network, {}, message)


def test_u_nets_load_without_a_warning(weights: dict) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_published_weights(UNet(channels=(2, 2, 2)), weights)
