"""Every preset: its size, its output, its gradients, its errors."""

from functools import partial

import pytest
import torch

from lunet_networks import PRESETS, EGEUNet, PSPSeg, UNet, UNetPlusPlus, create_network, list_presets
from lunet_networks.presets import conventional_twin, input_shape, is_lean
from lunet_networks.summary import count_macs, count_parameters, summarise_blocks
from tests.helpers.presets import ONE_PER_ARCHITECTURE, own_dims, with_dims

# Parameters and multiply-accumulates at 1 x 1 x 64 x 64 x 64, 2D at 1 x 3 x 256 x 256, one output channel, measured on
# the published networks. A preset of which nothing is known has no line here. Those of lmsc_unet and unet_2d, of which
# no code is published, follow from the paper's tables. MACs of MedNeXt and PSP-Seg differ. The published MedNeXt pads
# before the pointwise convolutions of its up blocks and so counts 398,952,448; this is the order of MedNeXt's own
# authors. The published PSP-Seg upsamples before its 1 x 1 convolutions and not after them.
PUBLISHED = {
    "unet_small_4f": (353_949, 954_597_376),
    "unet_small_3f": (199_336, 542_466_048),
    "unet_small_2f": (88_807, 245_989_376),
    "unet_small_1f": (22_362, 65_167_360),
    "lunet_small_4f": (9_929, 567_924_736),
    "lunet_small_3f": (5_650, 324_962_688),
    "lunet_small_2f": (2_569, 149_321_216),
    "lunet_small_1f": (686, 41_000_320),
    "unet_large_24f": (4_802_521, 46_314_553_344),
    "unet_large_12f": (1_202_029, 11_622_678_528),
    "unet_large_6f": (301_207, 2_927_689_728),
    "lunet_large_24f": (373_777, 28_846_620_672),
    "lunet_large_12f": (94_009, 7_255_695_360),
    "lunet_large_6f": (23_785, 1_835_943_936),
    "unetpp_small_4f": (410_849, 3_311_796_224),
    "unetpp_small_3f": (231_400, 1_868_390_400),
    "unetpp_small_2f": (103_109, 835_289_088),
    "unetpp_small_1f": (25_976, 212_492_288),
    "lunetpp_small_4f": (22_961, 2_414_794_752),
    "lunetpp_small_3f": (13_012, 1_363_827_072),
    "lunetpp_small_2f": (5_869, 611_038_720),
    "lunetpp_small_1f": (1_532, 156_429_696),
    "unetpp_large_24f": (5_340_889, 102_107_185_152),
    "unetpp_large_12f": (1_336_861, 25_570_836_480),
    "unetpp_large_6f": (335_035, 6_414_729_216),
    "lunetpp_large_24f": (637_153, 76_561_022_976),
    "lunetpp_large_12f": (160_033, 19_184_295_936),
    "lunetpp_large_6f": (40_381, 4_818_094_080),
    "mednext_small": (102_725, 390_051_904),
    "pspseg_s": (5_368_701, 8_189_378_560),
    "pspseg_b": (13_194_450, 16_947_085_312),
    "pspseg_l": (33_126_624, 17_429_397_504),
    "lmsc_unet": (909_025, 6_958_088_192),
    "lv_unet": (934_545, 174_580_480),
    "unet_2d": (31_043_521, 48_167_387_136),
    "unext": (1_471_921, 562_003_968),
    "unext_small": (253_561, 99_229_696),
    "u_kan": (25_359_265, 10_518_069_248),
    "u_kan_small": (6_356_689, 2_647_293_952),
    "mobilenetv3_unet": (2_049_377, 480_419_712),
    "unet_2d_32f": (7_763_041, 12_071_206_912),
    "attention_unet_2d_32f": (8_726_077, 16_636_575_744),
    "unetpp_2d_32f": (9_163_329, 34_485_567_488),
    "malunet": (177_943, 82_740_224),
    "ege_unet": (53_374, 72_096_256),
}
PSPSEG_MACS = {"pspseg_s": 8_409_579_520, "pspseg_b": 17_167_286_272, "pspseg_l": 17_654_185_984}
SIZE_MULTIPLES = {  # published, by the beginning of the name
    **dict.fromkeys(("unet_small", "lunet_small", "unetpp_small", "lunetpp_small", "mednext_small", "pspseg_s"), 16),
    **dict.fromkeys(("unet_large", "lunet_large", "unetpp_large", "lunetpp_large", "lmsc_unet"), 8),
    **dict.fromkeys(("unet_2d", "unetpp_2d", "attention_unet_2d"), 16),
    **dict.fromkeys(("pspseg_l", "unext", "u_kan", "mobilenetv3_unet", "malunet", "ege_unet"), 32),
    "lv_unet": 1,
}
MACS_FOR_ANY_BATCH = {"ege_unet": 239_360}  # to stretch factors that are weights and not of an image
ROUNDING = {"ege_unet": 5e-5}  # of the largest logit; layer norms of few channels magnify it where these are equal,
# and float64 shows that it is nothing else
NO_EFFECT = {"malunet": "query.bias"}  # ends the names of parameters that a softmax over the positions takes back out


def test_every_published_preset_is_there() -> None:
    assert PUBLISHED.keys() <= set(list_presets())


@pytest.mark.parametrize("name", list_presets())
def test_blocks_add_up_to_the_network_which_has_the_published_size(name: str) -> None:
    assert PRESETS.components[name].description
    with torch.device("meta"):
        network, shape = create_network(name), input_shape(name)
    found = count_parameters(network), count_macs(network, shape)
    assert found == PUBLISHED.get(name, found)
    blocks = summarise_blocks(network, shape)
    assert (sum(b.parameters for b in blocks), sum(b.macs for b in blocks)) == found


@pytest.mark.parametrize("name", ONE_PER_ARCHITECTURE)
def test_operations_grow_with_the_batch(name: str) -> None:
    with torch.device("meta"):
        network, shape = create_network(name), input_shape(name)
    macs = count_macs(network, shape)
    assert count_macs(network, (3, *shape[1:])) == 3 * macs - 2 * MACS_FOR_ANY_BATCH.get(name, 0)


@pytest.mark.parametrize("start", SIZE_MULTIPLES)
def test_sizes_are_multiples_of_the_published_number(start: str) -> None:
    names = list_presets(f"{start}*")
    assert names
    for name in names:
        with torch.device("meta"):
            assert create_network(name).size_multiple == SIZE_MULTIPLES[start], name


LEAN = ["lunet_small_4f", "lunet_large_6f", "lunetpp_small_1f", "lunetpp_large_24f"]


@pytest.mark.parametrize("name", LEAN)
def test_the_twin_of_a_lean_network_doubles_its_channels(name: str) -> None:
    twin = conventional_twin(name)
    assert twin == name.removeprefix("l")
    assert (is_lean(name), is_lean(twin), conventional_twin(twin)) == (True, False, None)


def test_a_name_that_begins_with_l_makes_no_lean_network() -> None:
    assert not any(is_lean(name) or conventional_twin(name) for name in ("lmsc_unet", "lv_unet", "mednext_small"))


def test_a_lean_network_may_have_no_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRESETS, "components", {**PRESETS.components})
    PRESETS.add("lean_alone", "a lean network of five channels", partial(UNet, channels=(5, 5, 5)))
    assert is_lean("lean_alone")
    assert conventional_twin("lean_alone") is None


@pytest.mark.parametrize("name", PSPSEG_MACS)
def test_pspseg_saves_seven_eighths_of_its_upsampling_and_nothing_else(name: str) -> None:
    network = create_network(name)
    upsampling = 0
    for level, (width, deeper) in enumerate(zip(network.channels, network.channels[1:], strict=False)):
        upsampling += width * deeper * (64 // 2**level) ** 3
    assert PUBLISHED[name][1] == PSPSEG_MACS[name] - upsampling * 7 // 8


def _small(name: str) -> tuple[int, ...]:
    """The smallest volume that a network takes, in 2D 32 x 32, or 64 x 64 if 32 x 32 leaves a single position."""
    multiple = create_network(name).size_multiple
    if own_dims(name) == 2:
        return (64, 64) if multiple == 32 else (32, 32)
    return (multiple, multiple, 2 * multiple)


@pytest.mark.parametrize("name", list_presets())
def test_the_output_depends_on_every_parameter(name: str) -> None:
    network = create_network(name, in_channels=2, out_channels=3)
    size = _small(name)
    batch = 4 - len(size)  # in 2D there is a single value per channel left at the lowest resolution
    logits = network(image := torch.rand(batch, 2, *size))
    assert logits.shape == (batch, 3, *size)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    # With positive weights and fixed statistics no ReLU is dead and no norm takes a bias back out.
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 1)
        parameter.data /= parameter.shape[1:].numel()  # so that nothing overflows or saturates in wide networks
    network.zero_grad()
    logits = network.eval()(image)
    (logits * torch.rand_like(logits)).sum().backward()
    unused = [key for key, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert not [key for key in unused if not key.endswith(NO_EFFECT.get(name, ()))]


@pytest.mark.parametrize(
    ("name", "spatial_dims"),
    sorted({*((name, own_dims(name)) for name in list_presets()), *with_dims(ONE_PER_ARCHITECTURE)}),
)
def test_a_batch_gives_what_its_volumes_give_alone(name: str, spatial_dims: int) -> None:
    network = create_network(name, spatial_dims=spatial_dims, in_channels=2, out_channels=3).eval()
    multiple = network.size_multiple
    images = torch.randn(3, 2, *(2 * multiple, 3 * multiple, multiple)[:spatial_dims])
    together, alone = _together_and_alone(network, images)
    assert together.shape == (3, 3, *images.shape[2:])
    atol = ROUNDING.get(name, 1e-5) * max(1, together.abs().max())
    torch.testing.assert_close(together, alone, atol=atol, rtol=1e-5)
    if name in ROUNDING:
        torch.testing.assert_close(*_together_and_alone(network.double(), images.double()), atol=1e-10, rtol=0)


@torch.no_grad()
def _together_and_alone(network: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return network(images), torch.cat([network(image[None]) for image in images])


@pytest.mark.parametrize(("name", "spatial_dims"), with_dims(ONE_PER_ARCHITECTURE))
def test_no_convolution_of_one_voxel_is_strided(name: str, spatial_dims: int) -> None:
    """In 2D, channels last, torch 2.13's own corrupts the memory of a training on a CPU."""
    network = create_network(name, spatial_dims=spatial_dims)
    convs = [module for module in network.modules() if isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d))]
    assert convs
    assert not [conv for conv in convs if {*conv.kernel_size} == {1} and {*conv.stride} != {1}]


@pytest.mark.parametrize("name", ONE_PER_ARCHITECTURE)
def test_the_output_is_logits(name: str) -> None:
    network = create_network(name).eval()
    with torch.no_grad():
        [*network.modules()][-1].bias.fill_(-9)
        assert network(torch.randn(1, network.in_channels, *_small(name))).min() < 0


@pytest.mark.parametrize("name", ONE_PER_ARCHITECTURE)
def test_dropout_acts_in_training_only_and_on_whole_channels(name: str) -> None:
    network = create_network(name, dropout=0.5)
    image = torch.randn(2, network.in_channels, *_small(name))
    dropout = torch.nn.Dropout3d if image.dim() == 5 else torch.nn.Dropout2d
    assert not torch.equal(network(image), network(image))
    dropouts = [module for module in network.modules() if isinstance(module, torch.nn.modules.dropout._DropoutNd)]
    assert dropouts
    assert all(type(module) is dropout and module.p == 0.5 for module in dropouts)
    network.eval()
    assert torch.equal(network(image), network(image))


def test_list_presets_takes_wild_cards() -> None:
    assert list_presets("lunet*_large_12f") == ["lunet_large_12f", "lunetpp_large_12f"]
    assert list_presets("nothing*") == []


def test_an_unknown_preset_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match=r"no preset 'lunet_smal_4f': did you mean lunet_small_4f"):
        create_network("lunet_smal_4f")


@pytest.mark.parametrize("name", ["unet_small_1f", "unetpp_small_1f"])
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"channels": (4,)}, "channels must hold one integer of at least 1 for each of two or more levels"),
        ({"channels": (4, 0, 4)}, "channels must hold"),
        ({"channels": (4, 2.5)}, "channels must hold"),
        ({"channels": 4}, "channels must hold"),
        ({"channels": "48"}, "channels must hold"),
        ({"in_channels": 0}, "in_channels must be an integer of at least 1, got 0"),
        ({"out_channels": -1}, "out_channels must be"),
        ({"convs_per_block": 0}, "convs_per_block must be"),
        ({"dropout": 1.0}, "dropout must be a probability"),
        ({"spatial_dims": 1}, "spatial_dims must be 2 or 3, got 1"),
    ],
)
def test_arguments_that_describe_no_network(name: str, keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_network(name, **keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"init_filters": 0}, "init_filters must be"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"spatial_dims": 4}, "spatial_dims must be 2 or 3"),
    ],
)
def test_arguments_that_describe_no_mednext(keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_network("mednext_small", **keywords)


@pytest.mark.parametrize(("name", "spatial_dims"), with_dims(ONE_PER_ARCHITECTURE))
def test_inputs_that_a_network_cannot_take(name: str, spatial_dims: int) -> None:
    network = create_network(name, spatial_dims=spatial_dims, in_channels=1).eval()
    multiple, size = network.size_multiple, [32] * spatial_dims
    network(torch.zeros(1, 1, *[multiple] * (spatial_dims - 1), 2 * multiple))
    first = next(module for module in network.modules() if isinstance(module, torch.nn.modules.conv._ConvNd))
    first.register_forward_pre_hook(lambda *_: pytest.fail("the first convolution ran"))
    if multiple > 1:
        with pytest.raises(ValueError, match=rf"multiple of {multiple}, got \[33, .*DivisiblePad\({multiple}\)"):
            network(torch.zeros(1, 1, 33, *size[1:]))
    with pytest.raises(ValueError, match=r"takes 1 input channel\(s\), got 2"):
        network(torch.zeros(1, 2, *size))
    with pytest.raises(ValueError, match=rf"{spatial_dims}D network takes a tensor of shape .*, got \[1, 1, 32\]"):
        network(torch.zeros(1, 1, 32))


def test_a_single_value_at_the_lowest_resolution_is_too_few_for_its_norm() -> None:
    unet = create_network("unet_small_1f").train()
    with pytest.raises(ValueError, match=r"too few for its batch norm; give one spatial size of 32 or more, or a larg"):
        unet(torch.zeros(1, 1, 16, 16, 16))
    unet(torch.zeros(2, 1, 16, 16, 16))
    unet.eval()(torch.zeros(1, 1, 16, 16, 16))
    for name in ("mednext_small", "pspseg_s"):
        with pytest.raises(ValueError, match=r"too few for its instance norm; give one spatial size of 32 or more$"):
            create_network(name).eval()(torch.zeros(2, 1, 16, 16, 16))


@pytest.mark.parametrize("convs_per_block", [1, 2, 3])
def test_the_last_decoder_block_has_one_unit_less_but_one_at_least(convs_per_block: int) -> None:
    network = UNet(channels=(2, 2, 2), convs_per_block=convs_per_block)
    assert [len(block) for block in network.decoders] == [convs_per_block, max(1, convs_per_block - 1)]


@pytest.mark.parametrize("preset", ONE_PER_ARCHITECTURE)
def test_every_network_goes_without_deep_supervision_and_some_with_it(preset: str) -> None:
    assert create_network(preset, deep_supervision=False).describe() == create_network(preset).describe()
    if PRESETS[preset].func in (UNet, UNetPlusPlus, PSPSeg, EGEUNet):
        assert create_network(preset, deep_supervision=True).deep_supervision
    else:
        with pytest.raises(ValueError, match=rf"^{preset} is a \w+, which has no deep supervision: .* to be False$"):
            create_network(preset, deep_supervision=True)
