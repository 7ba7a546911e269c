"""Patch and batch size: what fits into the memory, in proportion."""

import math

import pytest

from lunet_networks.authoring.planning.patch_size import GIB, LARGEST_PATCH, choose_patch, keep_patch


def voxels(batch_size, roi):
    return batch_size * math.prod(roi)


def test_hippocampus_sized_volumes_are_held_whole():
    shapes = [(35, 50, 36)] * 80 + [(40, 55, 43)] * 19 + [(43, 59, 47)]
    for multiple in (8, 16):
        assert choose_patch(shapes, multiple, 16, voxels, GIB).roi_size == (48, 64, 48)


def test_a_few_huge_volumes_do_not_blow_up_the_patch():
    shapes = [(60, 60, 60)] * 99 + [(200, 200, 200)]
    assert choose_patch(shapes, 16, 16, voxels, GIB).roi_size == (64, 64, 64)


@pytest.mark.parametrize(("longest", "side"), [(96, 96), (110, 64)])
def test_a_patch_may_have_half_as_many_voxels_again_to_hold_every_volume(longest, side):
    shapes = [(60, 60, 60)] * 99 + [(60, 60, longest)]
    assert choose_patch(shapes, 16, 16, voxels, GIB).roi_size == (64, 64, side)


@pytest.mark.parametrize("shape", [(512, 512, 200), (40, 400, 400), (128, 128, 128)])
@pytest.mark.parametrize("memory", [10**6, 10**7])
def test_a_patch_fits_and_keeps_to_the_volumes_proportions(shape, memory):
    patch = choose_patch([shape] * 10, 16, 16, voxels, memory)
    assert patch.memory == voxels(patch.batch_size, patch.roi_size) <= 0.75 * memory
    assert math.prod(patch.roi_size) <= LARGEST_PATCH[3]
    shares = [side / whole for side, whole in zip(patch.roi_size, shape, strict=True)]
    assert all(side % 16 == 0 for side in patch.roi_size)
    # no axis is longer than its share asks for by more than a step
    assert all(share <= min(shares) + 16 / min(shape) for share in shares)
    # neither another patch nor a longer side would fit
    if patch.batch_size < 16:
        assert voxels(patch.batch_size + 1, patch.roi_size) > 0.75 * memory


def test_the_coarsest_level_is_never_a_single_voxel():
    assert choose_patch([(16, 16, 16)], 16, 16, voxels, GIB).roi_size == (32, 16, 16)
    assert choose_patch([(16, 16)], 16, 16, voxels, GIB).roi_size == (32, 16)


def test_volumes_too_small_for_the_network():
    with pytest.raises(ValueError, match=r"the volumes have 64 x 64 x 5 voxels .* needs multiples of 16: choose"):
        choose_patch([(64, 64, 5)], 16, 16, voxels, GIB)


def test_memory_that_no_patch_fits():
    with pytest.raises(
        ValueError, match=r"--memory_gib 1 is too little: .* 16 x 16 x 32 voxels with batch size 2 needs 1\.7"
    ):
        choose_patch([(64, 64, 64)], 16, 16, lambda batch, roi: GIB + 2**14 * math.prod(roi) * batch, GIB)


@pytest.mark.parametrize("roi", [(40, 32, 32), (16, 16, 16), (32, 32, 0), (32.0, 32, 32)])
def test_a_patch_that_the_network_does_not_take(roi):
    with pytest.raises(ValueError, match="every side has to be a multiple of 16, one at least 32"):
        keep_patch(roi, 16, 16, voxels, GIB)


def test_a_given_patch_is_kept_and_its_batch_found():
    patch = keep_patch((64, 64, 64), 16, 16, voxels, memory=64**3 * 8)
    assert (patch.roi_size, patch.batch_size) == ((64, 64, 64), 6)
