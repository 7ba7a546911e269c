"""Random transforms that replace MONAI's give the same results."""

import monai.transforms
import pytest
import torch
from monai.data import MetaTensor

from lunet_networks.bundle.data import augmentation
from lunet_networks.bundle.data.augmentation import RandAffined, RandCropByPosNegLabeld, Voxels, between_voxels
from lunet_networks.kernels.affine import resample
from lunet_networks.kernels.library import library

needs_kernels = pytest.mark.skipif(library() is None, reason="no C++ compiler")
SIZES = [  # of the case and of the result
    ((48, 40, 44), (48, 40, 44)),
    ((50, 33, 21), (48, 40, 24)),
    ((1, 20, 30), (1, 16, 32)),
    ((12, 1, 30), (12, 1, 30)),
    ((65, 48), (64, 48)),
    ((7, 200), (32, 176)),
]


def both(size_in: tuple, size_out: tuple, channels: int = 2, prob: float = 1.0) -> tuple[dict, dict, int]:
    """A case transformed by ours and MONAI's with the same seed, and the number that both draw next."""
    generator = torch.Generator().manual_seed(0)
    case = {
        "image": torch.rand((channels, *size_in), generator=generator),
        "label": torch.randint(0, 4, (1, *size_in), generator=generator).float(),
    }
    axes = len(size_in)
    settings = {
        "keys": ["image", "label"],
        "prob": prob,
        "rotate_range": [0.3] * axes if axes == 3 else 0.3,
        "scale_range": [0.2] * axes,
        "translate_range": [4.0] * axes,
        "shear_range": [0.1] * axes,
        "mode": ["bilinear", "nearest"],
        "padding_mode": "zeros",
        "spatial_size": size_out,
    }
    ours = RandAffined(**settings).set_random_state(3)
    theirs = monai.transforms.RandAffined(**settings).set_random_state(3)
    results = ours(dict(case)), theirs(dict(case))
    assert ours.R.randint(10**6) == theirs.R.randint(10**6)
    assert ours.rand_affine.R.randint(10**6) == theirs.rand_affine.R.randint(10**6)
    return results


@needs_kernels
@pytest.mark.parametrize(("size_in", "size_out"), SIZES)
def test_affine_is_monais(size_in, size_out, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(augmentation, "resample", lambda *all: calls.append(all) or resample(*all))
    ours, theirs = both(size_in, size_out)
    assert len(calls) == 2
    assert ours["image"].shape == theirs["image"].shape == (2, *size_out)
    torch.testing.assert_close(ours["image"], theirs["image"].as_tensor(), atol=1e-4, rtol=0)
    # linear interpolation is continuous, the nearest voxel is not: rounding decides between two that are equally near
    differ = (ours["label"] != theirs["label"]).sum().item()
    assert differ <= max(2, ours["label"].numel() / 10_000)


@needs_kernels
@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_affine_is_monais_where_nothing_turns(prob) -> None:
    ours, theirs = both((9, 8, 7), (9, 8, 7) if prob == 0 else (11, 8, 5), prob=prob)
    torch.testing.assert_close(ours["image"], theirs["image"].as_tensor(), atol=1e-5, rtol=0)


@needs_kernels
def test_labels_are_those_at_the_nearest_voxel_but_for_ties() -> None:
    matrix = torch.tensor(
        [[0.913, 0.207, -0.103, 1.31], [-0.211, 1.097, 0.109, 0.71], [0.053, -0.117, 0.953, 2.13], [0, 0, 0, 1]]
    )
    size = (30, 28, 26)
    label = torch.randint(1, 9, (1, 32, 30, 31), generator=torch.Generator().manual_seed(1)).float()
    places = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in size), indexing="ij"), dim=-1)
    places = places @ matrix[:3, :3].double().T + matrix[:3, 3].double()
    tie = ((places - places.floor() - 0.5).abs() < 1e-4).any(-1)
    index = places.round().long()
    outside = ((index < 0) | (index >= torch.tensor(label.shape[1:]))).any(-1)
    index = index.clamp(min=0).minimum(torch.tensor(label.shape[1:]) - 1)
    expected = label[0][index.unbind(-1)].masked_fill(outside, 0)
    result = resample(label, matrix, size, False)[0]
    assert torch.equal(result[~tie], expected[~tie])
    assert tie.float().mean() < 0.01


@needs_kernels
def test_result_does_not_depend_on_threads_and_keeps_what_is_not_a_number() -> None:
    image = torch.rand(1, 20, 20, 20)
    image[0, 10, 10, 10] = torch.nan
    matrix = between_voxels(torch.diag(torch.tensor([1.1, 0.9, 1.0, 1.0])), image.shape[1:], (24, 20, 18))
    before, results = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(resample(image, matrix, (24, 20, 18), True))
    torch.set_num_threads(before)
    torch.testing.assert_close(*results, rtol=0, atol=0, equal_nan=True)
    assert 1 <= results[0].isnan().sum() <= 27


@pytest.mark.parametrize("matrix", [torch.full((4, 4), torch.nan), torch.full((4, 4), 1e30), -torch.full((4, 4), 3e9)])
@needs_kernels
def test_places_far_outside_are_zero(matrix) -> None:
    for linear in (False, True):
        assert not resample(torch.ones(1, 5, 5, 5), matrix, (4, 4, 4), linear)[0, 1:, 1:, 1:].any()


def test_refuses_a_matrix_of_other_axes() -> None:
    with pytest.raises(ValueError, match="4 x 4"):
        resample(torch.ones(1, 5, 5, 5), torch.eye(3), (4, 4, 4), True)


@pytest.mark.parametrize("reason", ["double", "compiler", "mode", "lazy"])
def test_leaves_to_monai_what_it_cannot_do(reason, monkeypatch) -> None:
    def never(*_: object) -> None:
        pytest.fail("the kernel was used")

    monkeypatch.setattr(augmentation, "resample", never)
    if reason == "compiler":
        monkeypatch.setattr("lunet_networks.kernels.affine.library", lambda: None)
    image = torch.rand(1, 9, 9, 9, dtype=torch.float64 if reason == "double" else torch.float32)
    turn = RandAffined(
        "image",
        prob=1.0,
        rotate_range=[0.2] * 3,
        mode=3 if reason == "mode" else "bilinear",
        padding_mode="constant" if reason == "mode" else "zeros",
    )
    if reason == "lazy":
        image = monai.transforms.Flip(0, lazy=True)(MetaTensor(image))
    result = turn({"image": image})["image"]
    assert result.shape == (1, 9, 9, 9)
    assert type(result) is torch.Tensor


def test_drops_metadata() -> None:
    settings = {"keys": "image", "prob": 1.0, "rotate_range": [0.2] * 3, "padding_mode": "zeros"}
    image = torch.rand(1, 9, 9, 9)
    results = [
        RandAffined(**settings).set_random_state(1)({"image": each})["image"] for each in (image, MetaTensor(image))
    ]
    assert type(results[1]) is torch.Tensor
    assert torch.equal(*results)


def test_operator_is_one_of_pytorch() -> None:
    arguments = (torch.rand(2, 6, 7), torch.eye(3), [5, 5], True)
    if library() is not None:
        torch.library.opcheck(torch.ops.lunet.resample.default, arguments)


@pytest.mark.parametrize("tensor", [torch.Tensor, MetaTensor])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("size", [(20, 17, 30), (40, 31)])
@pytest.mark.filterwarnings("ignore:Num foregrounds")
def test_patches_are_monais(share, size, tensor) -> None:
    generator = torch.Generator().manual_seed(2)
    label = torch.rand((1, *size), generator=generator).lt(share).float() * 2
    image = torch.rand((2, *size), generator=generator)
    case = {"image": tensor(image), "label": tensor(label), "name": ["a case"]}
    patch = [6, -1, 5][: len(size)]
    settings = {"keys": ["image", "label"], "label_key": "label", "spatial_size": patch, "num_samples": 8}
    ours = RandCropByPosNegLabeld(**settings).set_random_state(5)(case)
    theirs = monai.transforms.RandCropByPosNegLabeld(**settings).set_random_state(5)(case)
    for mine, his in zip(ours, theirs, strict=True):
        assert torch.equal(mine["image"], his["image"])
        assert torch.equal(mine["label"], his["label"])
        assert type(mine["image"]) is tensor
        assert mine["name"] == ["a case"]
    assert ours[0]["name"] is not ours[1]["name"]


@pytest.mark.parametrize("value", [True, False])
def test_voxels_are_those_of_the_mask(value) -> None:
    mask = torch.rand(5, 7, 3, generator=torch.Generator().manual_seed(1)).numpy() < 0.3
    mask[0] = mask[-1] = mask[2] = not value  # rows without any
    expected = [place for place, is_true in enumerate(mask.ravel()) if is_true == value]
    voxels = Voxels(mask, value)
    assert [voxels[place] for place in range(len(voxels))] == expected
