"""The rules of docs/new_bundle.md (decisions.py, normalisation.py), each on a dataset that is all made up."""

import dataclasses
import math

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import NormalizeIntensityd

from lunet_networks import create_network, list_presets
from lunet_networks.authoring.planning.decisions import plan_bundle
from lunet_networks.authoring.planning.families import FAMILIES, choose_preset
from lunet_networks.authoring.planning.fingerprint import (
    CaseFingerprint,
    ChannelIntensities,
    Fingerprint,
    read_fingerprint,
)
from lunet_networks.authoring.planning.texts import bundle_texts
from lunet_networks.bundle.runtime.settings import check_settings
from tools import ROOT

OF_VOLUMES = [name for name, about in FAMILIES.items() if not (about.colours or 3 in about.cannot_train)]
INTENSITIES = ChannelIntensities(
    mean=40.0,
    std=20.0,
    median=41.0,
    min=-1000.0,
    max=900.0,
    percentile_00_5=-60.0,
    percentile_99_5=120.0,
    zero_share=0.01,
    one_valued_cases=0,
    histogram_edges=(0.0, 1.0),
    foreground_counts=(1,),
    whole_counts=(1,),
)


def dataset(shapes=((60, 60, 60),) * 50, spacing=(1.0, 1.0, 1.0), modalities=("MRI",), labels=("tumour",), **changes):
    steps = spacing if isinstance(spacing[0], tuple) else (spacing,) * len(shapes)
    cases = tuple(
        CaseFingerprint(f"case_{number}", shape, step, "LPS", dict.fromkeys(labels, 1.0))
        for number, (shape, step) in enumerate(zip(shapes, steps, strict=True))
    )
    made_up = Fingerprint(
        name="Made up",
        description="",
        reference="",
        licence="",
        spatial_dims=len(shapes[0]),
        modalities=modalities,
        label_names=labels,
        ignore_label=None,
        num_training=len(cases),
        num_validation=0,
        num_test=0,
        cases=cases,
        intensities=(INTENSITIES,) * len(modalities),
    )
    return dataclasses.replace(made_up, **changes)


def plan(fingerprint, family="lunet_small", memory_gib=8, **given):
    return plan_bundle(fingerprint, family, FAMILIES[family].preset, memory_gib, **given)


def why(planned, setting):
    (found,) = [decision for decision in planned.decisions if decision.setting == setting]
    return found.why


@pytest.mark.parametrize("family", OF_VOLUMES)
def test_the_hippocampus(family):
    about = FAMILIES[family]
    values = plan(read_fingerprint(ROOT / "tools" / "fingerprints" / "Task04_Hippocampus.json"), family).values
    multiple = create_network(about.preset, spatial_dims=3).size_multiple
    assert values["roi_size"] == [math.ceil(side / multiple) * multiple for side in (48, 64, 48)]
    assert values["pixdim"] == [1.0, 1.0, 1.0]
    assert values["label_names"] == ["anterior", "posterior"]
    assert values["normalise"]["_target_"] == "NormalizeIntensityd"
    assert (values["batch_size"], values["learning_rate"]) == (about.batch_size, about.learning_rate)
    assert (values["cache_rate"], values["overlap"], values["by_class"]) == (1.0, 0.25, False)


def test_spacing_is_the_median():
    varied = dataset(spacing=((0.5, 0.5, 0.5),) * 20 + ((0.75, 1.0, 1.25),) * 30)
    assert plan(varied).values["pixdim"] == [0.75, 1.0, 1.25]


def test_thick_slices_are_resampled_to_the_finer_ones_among_them():
    shapes = ((200, 200, 20),) * 50
    spacing = ((0.8, 0.8, 3.0),) * 10 + ((0.8, 0.8, 6.0),) * 40
    planned = plan(dataset(shapes, spacing))
    assert planned.values["pixdim"] == [0.8, 0.8, 3.0]
    assert "10th percentile" in why(planned, "pixdim")
    assert planned.values["turning_axes"] == [2]
    many_slices = dataset(((200, 200, 120),) * 50, spacing)
    assert plan(many_slices).values["pixdim"] == [0.8, 0.8, 6.0]


@pytest.mark.parametrize(
    ("slice_spacing", "shape", "target"),
    [
        (3.0, (200, 200, 20), 3.0),  # three times the others is not coarse yet
        (3.05, (200, 200, 20), 2.0),
        (6.0, (198, 198, 66), 6.0),  # a third of the others' voxels is not few yet
        (6.0, (200, 200, 65), 2.0),
    ],
)
def test_an_axis_is_coarse_above_three_times_the_spacing_and_below_a_third_of_the_voxels(slice_spacing, shape, target):
    finer, coarser = (1.0, 1.0, 2.0), (1.0, 1.0, slice_spacing)
    planned = plan(dataset((shape,) * 50, (finer,) * 10 + (coarser,) * 40))
    assert planned.values["pixdim"] == [1.0, 1.0, target]


@pytest.mark.parametrize(
    ("pixdim", "axes"),
    [((1.0, 1.0, 3.0), [0, 1, 2]), ((1.0, 1.0, 3.05), [2]), ((3.05, 1.0, 1.0), [0]), ((2.0, 6.1, 2.5), [1])],
)
def test_volumes_are_turned_in_the_plane_only_above_three_times_the_spacing(pixdim, axes):
    assert plan(dataset(((120, 120, 120),) * 50), pixdim=pixdim).values["turning_axes"] == axes


def test_pictures_of_any_spacing_are_turned():
    assert plan(dataset(((128, 128),) * 50, (1.0, 4.0))).values["turning_axes"] == [0, 1]


def test_a_given_spacing_decides_the_patch():
    assert plan(dataset(), pixdim=(2, 2, 2)).values["roi_size"] == [32, 32, 32]


def test_ct_is_clipped_and_scaled_by_the_foreground_of_all_cases():
    transform = plan(dataset(modalities=("CT",))).values["normalise"]
    assert transform == {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": -60.0,
        "a_max": 120.0,
        "b_min": -5.0,
        "b_max": 4.0,
        "clip": True,
    }


@pytest.mark.parametrize("modality", ["MRI", "OCT", "T1", "unknown", "fluorescence microscopy"])
def test_what_is_no_ct_is_normalised_image_by_image(modality):
    transform = plan(dataset(modalities=(modality,))).values["normalise"]
    assert (transform["_target_"], transform["nonzero"], transform["channel_wise"]) == (
        "NormalizeIntensityd",
        False,
        True,
    )


@pytest.mark.parametrize(("zero_share", "inside"), [(0.25, False), (0.26, True)])
def test_images_are_normalised_inside_above_a_quarter_of_zeros(zero_share, inside):
    channels = (dataclasses.replace(INTENSITIES, zero_share=zero_share),)
    assert plan(dataset(intensities=channels)).values["normalise"]["nonzero"] is inside


def test_stripped_images_are_normalised_inside():
    stripped = dataset(intensities=(dataclasses.replace(INTENSITIES, zero_share=0.6),))
    planned = plan(stripped)
    assert planned.values["normalise"]["nonzero"]
    assert "60% of an image is 0" in why(planned, "normalisation")


def test_ct_beside_another_channel():
    transform = plan(dataset(modalities=("PET", "CT"))).values["normalise"]
    assert transform["channels"] == [None, {"lower": -60.0, "upper": 120.0, "mean": 40.0, "std": 20.0}]


@pytest.mark.parametrize("scale", [1e-7, 1e-5, 1.0, 1e7])
@pytest.mark.parametrize("modalities", [("CT",), ("PET", "CT")])
def test_ct_of_any_scale_is_normalised_alike(scale, modalities):
    """As of attenuation per micrometre, or with a gain."""
    scaled = {
        name: scale * getattr(INTENSITIES, name) for name in ("mean", "std", "percentile_00_5", "percentile_99_5")
    }
    made_up = dataset(
        modalities=modalities, intensities=(dataclasses.replace(INTENSITIES, **scaled),) * len(modalities)
    )
    transform = ConfigParser(plan(made_up).values["normalise"]).get_parsed_content()
    voxels = scale * torch.tensor([-1000.0, -60.0, 20.0, 40.0, 60.0, 120.0, 900.0])
    normalised = transform({"image": voxels.repeat(len(modalities), 1)})["image"][-1]
    assert normalised.tolist() == pytest.approx([-5.0, -5.0, -1.0, 0.0, 1.0, 4.0, 4.0], abs=1e-5)


SINGLE = dataclasses.replace(INTENSITIES, mean=40.0, std=0.0, percentile_00_5=40.0, percentile_99_5=40.0)
PEAKED = dataclasses.replace(INTENSITIES, mean=41.0, std=31.6, percentile_00_5=40.0, percentile_99_5=40.0)


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        (SINGLE, "the foreground of channel 0 (CT) holds the single value 40, which gives no statistics"),
        (
            PEAKED,
            "the foreground of channel 0 (CT) has the percentiles 40 and 40, too close for its standard dev",
        ),
    ],
)
def test_a_ct_whose_foreground_gives_no_statistics_is_normalised_image_by_image(channel, reason):
    planned = plan(dataset(modalities=("CT",), intensities=(channel,)))
    assert planned.values["normalise"] == {
        "_target_": "NormalizeIntensityd",
        "keys": "image",
        "nonzero": False,
        "channel_wise": True,
    }
    assert why(planned, "normalisation").startswith(reason)
    assert planned.values["normalisation"] == "mean 0, standard deviation 1 of each image"


def test_one_channel_of_two_gives_no_statistics():
    planned = plan(dataset(modalities=("CT", "CT"), intensities=(INTENSITIES, SINGLE)))
    assert planned.values["normalise"]["channels"] == [
        {"lower": -60.0, "upper": 120.0, "mean": 40.0, "std": 20.0},
        None,
    ]
    assert "the foreground of channel 1 (CT) holds the single value 40" in why(planned, "normalisation")
    assert "CT has a scale" in why(planned, "normalisation")
    assert planned.values["normalisation"].endswith("; the other channels mean 0, standard deviation 1 of each image")


def test_images_that_hold_one_value_beside_0_are_normalised_as_a_whole():
    """The z-score of their other voxels would be 0, as the background is."""
    mask = dataclasses.replace(INTENSITIES, zero_share=0.6, one_valued_cases=3)
    planned = plan(dataset(intensities=(mask,)))
    assert planned.values["normalise"]["nonzero"] is False
    reason = "60% of an image is 0, but the voxels that are not 0 all hold one value in 3 of 50 cases"
    assert reason in why(planned, "normalisation")
    beside = dataclasses.replace(INTENSITIES, zero_share=0.6)
    assert plan(dataset(modalities=("T1", "mask"), intensities=(beside, mask))).values["normalise"]["nonzero"] is False
    assert plan(dataset(intensities=(beside,))).values["normalise"]["nonzero"] is True


def test_patches_of_several_labels_are_drawn_label_by_label():
    large, small = ((300, 300, 300),) * 20, ((40, 40, 40),) * 20
    assert plan(dataset(large, labels=("a", "b"))).values["by_class"]
    assert not plan(dataset(large)).values["by_class"]
    assert not plan(dataset(small, labels=("a", "b"))).values["by_class"]
    assert plan(dataset(small, ignore_label=2)).values["by_class"]


@pytest.mark.parametrize(
    ("name", "mirror"),
    [
        *[("left kidney", False), ("kidney_right", False), ("Hippocampus-L", False), ("r", False)],
        *[("kidney", True), ("bright spot", True), ("cleft", True), ("lower lobe", True)],
    ],
)
def test_labels_that_tell_left_from_right_are_not_mirrored(name, mirror):
    planned = plan(dataset(labels=("other", name)))
    assert planned.values["mirrored_axes"] == ([0] if mirror else [])
    assert (name in why(planned, "augmentation")) != mirror


def test_names_that_do_not_say_are_not_mirrored_and_the_decision_tells():
    planned = plan(dataset(labels=("label_1", "label_2")))
    assert planned.values["mirrored_axes"] == []
    (decision,) = [decision for decision in planned.decisions if decision.setting == "augmentation"]
    assert "left-right mirroring" not in decision.value
    assert "label_1, label_2 may be a left and a right part, the names do not say" in decision.why
    assert decision.change == (
        "names of the labels in dataset.json, augmentation in configs/train.json, training --augment False"
    )
    assert plan(dataset(labels=("label_1",))).values["mirrored_axes"] == [0]


def pictures(shape=(128, 128), **changes):
    flat = dataset((shape,) * 20, (1.0, 1.0), **changes)
    cases = tuple(dataclasses.replace(case, orientation="") for case in flat.cases)
    return dataclasses.replace(flat, cases=cases)


def test_pictures_are_turned_and_mirrored_in_every_way():
    planned = plan(pictures())
    assert (planned.values["mirrored_axes"], planned.values["quarter_turns"]) == ([0, 1], True)
    assert "a pixel counts as 1 mm" in why(planned, "pixdim")
    assert not plan(pictures((128, 64))).values["quarter_turns"], "patches of a batch have one shape"
    slices = plan(dataset(((128, 128),) * 20, (1.0, 1.0))).values
    assert (slices["mirrored_axes"], slices["quarter_turns"]) == ([0], False)
    sided = plan(pictures(labels=("left eye",))).values
    assert (sided["mirrored_axes"], sided["quarter_turns"]) == ([], False)


def test_spectrograms_are_not_turned():
    planned = plan(pictures(modalities=("spectrogram",)))
    assert (planned.values["turning_axes"], planned.values["quarter_turns"]) == ([], False)
    assert planned.values["mirrored_axes"] == [0, 1]
    assert "one axis is time" in why(planned, "augmentation")


def test_networks_that_take_colours_are_given_them():
    planned = plan(pictures(), "lmsc_unet").values
    assert (planned["in_channels"], planned["roi_size"], planned["batch_size"]) == (3, [128, 128], 3)
    assert planned["normalise"]["nonzero"] is False
    slices = plan(dataset(((128, 128),) * 20, (1.0, 1.0)), "lmsc_unet")
    assert slices.values["in_channels"] == 1, "no pictures: nothing makes three channels of one"


def test_lv_unet_sees_colours_as_they_are_published():
    eight_bits = (dataclasses.replace(INTENSITIES, max=255.0),)
    planned = plan(pictures(intensities=eight_bits), "lv_unet").values
    assert planned["roi_size"] == [256, 256], "at 128 its coarsest level would be a single pixel"
    assert planned["quarter_turns"]
    white = NormalizeIntensityd(**{key: value for key, value in planned["normalise"].items() if key != "_target_"})
    assert white({"image": torch.full((3, 1, 1), 255.0)})["image"].flatten().tolist() == pytest.approx(
        [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], abs=1e-4
    )
    assert "subtrahend" not in plan(pictures(), "lv_unet").values["normalise"], "16 bits have another white"
    assert plan(pictures((128, 128)), "lv_unet", roi_size=(128, 256)).values["roi_size"] == [128, 256]
    with pytest.raises(ValueError, match="every side has to be a multiple of 128, one at least 256"):
        plan(pictures(), "lv_unet", roi_size=(128, 128))


def test_less_memory_smaller_patch_less_cache():
    large = dataset(((300, 300, 300),) * 120)
    roomy, tight = plan(large, memory_gib=24), plan(large, memory_gib=2)
    assert roomy.values["roi_size"] == [128, 128, 128]
    assert sum(tight.values["roi_size"]) < sum(roomy.values["roi_size"])
    assert 0 < tight.values["cache_rate"] < roomy.values["cache_rate"] < 1
    assert roomy.values["overlap"] == 0.5


def test_few_cases_get_small_batches():
    assert plan(dataset(((60, 60, 60),) * 14)).values["batch_size"] == 2
    assert plan(dataset(((60, 60, 60),) * 4), "lunet_large").values["batch_size"] == 1


@pytest.mark.parametrize(
    ("training", "validation", "folds", "said"),
    [
        (50, 0, 5, None),
        (5, 0, 5, None),
        (3, 0, 3, "3 training cases; more have 5"),
        (2, 0, 2, "2 training cases; more have 5"),
        (1, 0, 2, "a training needs two cases at least"),
        (3, 1, 5, None),  # not used
    ],
)
def test_no_more_folds_than_cases(training, validation, folds, said):
    planned = plan(dataset(num_training=training, num_validation=validation))
    assert planned.values["num_folds"] == folds
    assert [decision.why for decision in planned.decisions if decision.setting == "num_folds"] == (
        [said] if said else []
    )


def test_every_decision_says_what_why_and_how_to_change_it():
    planned = plan(dataset(ignore_label=2, labels=("left", "b"), modalities=("CT", "PET")))
    for decision in planned.decisions:
        assert all((decision.setting, decision.value, decision.why, decision.change)), decision


@pytest.mark.parametrize(("family", "dims"), [(name, dims) for name in FAMILIES for dims in (2, 3)])
def test_every_family_takes_the_dimensions_that_its_row_does_not_refuse(family, dims):
    images = dataset(((64, 64, 64)[:dims],) * 50, spacing=(1.0, 1.0, 1.0)[:dims])
    if why_not := FAMILIES[family].cannot_train.get(dims):
        with pytest.raises(ValueError, match=f"{family} cannot be trained on {dims}D images, {why_not}: choose anoth"):
            plan(images, family)
    else:
        assert len(plan(images, family).values["roi_size"]) == dims


@pytest.mark.parametrize("preset", ["u_kan_small", "unetpp_2d_32f"])
def test_a_network_to_compare_with_is_planned_and_called_by_its_own_name(preset):
    images = pictures((200, 230))
    planned = plan_bundle(images, "unext", choose_preset("unext", preset), 8)
    with torch.device("meta"):
        multiple = create_network(preset).size_multiple
    assert all(side % multiple == 0 for side in planned.values["roi_size"])
    texts = bundle_texts(images, "unext", preset, planned)
    assert "UNeXt" not in str(texts)
    assert texts["title"].startswith(FAMILIES["unext"].others[preset][0])


def test_the_published_recipes():
    """A family of which nothing is noted here is no failure."""
    published = {  # batch size, learning rate, epochs, loss, schedule, dropout
        **dict.fromkeys(("unet_small", "lunetpp_small", "mednext_small"), (16, 0.01, 100, "dice_bce", "poly", 0.005)),
        **dict.fromkeys(("unet_large", "lunetpp_large"), (1, 0.001, 100, "dice_bce", "poly", 0.005)),
        **dict.fromkeys(("pspseg_small", "pspseg_large"), (2, 0.001, 100, "dice_bce", "poly", 0.0)),
        "lmsc_unet": (32, 0.01, 200, "dice_focal", "poly", 0.0),
        "lv_unet": (8, 0.001, 300, "dice_half_bce", "cosine", 0.0),
        "unext": (8, 0.0001, 500, "dice_half_bce", "cosine", 0.0),
        **dict.fromkeys(("malunet", "ege_unet"), (8, 0.001, 300, "dice_bce", "cosine", 0.0)),
    }
    for name, recipe in published.items():
        about = FAMILIES[name]
        given = (about.batch_size, about.learning_rate, about.epochs, about.loss_name, about.scheduler_name)
        assert (*given, about.dropout) == recipe, name


@pytest.mark.parametrize("family", FAMILIES)
def test_the_settings_of_a_row_are_known_to_the_training(family):
    settings = FAMILIES[family].training_settings()
    assert check_settings(**settings) == settings
    assert FAMILIES[family].preset in list_presets()
