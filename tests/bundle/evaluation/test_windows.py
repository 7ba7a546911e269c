"""Which intensities a picture shows."""

import json

import numpy as np
import pytest
from monai.transforms import Compose, NormalizeIntensityd, ScaleIntensityRanged

from lunet_networks.authoring.planning.templating import Component
from lunet_networks.bundle.data import NormalizeChannelsd
from lunet_networks.bundle.evaluation.windows import clip_range, intensity_window
from tests.helpers.runnable import RunnableBundle

CT = {"lower": -17.0, "upper": 201.0, "mean": 100.0, "std": 25.0}


def scaled(clip: bool) -> ScaleIntensityRanged:
    return ScaleIntensityRanged("image", a_min=-17, a_max=201, b_min=-4.7, b_max=4.0, clip=clip)


@pytest.mark.parametrize(
    ("steps", "channel", "shown"),
    [
        ([scaled(clip=True)], 0, (-17.0, 201.0)),
        ([Compose([]), Compose([scaled(clip=True)])], 0, (-17.0, 201.0)),
        ([scaled(clip=False)], 0, None),
        ([NormalizeChannelsd("image", [None, CT])], 1, (-17.0, 201.0)),
        ([NormalizeChannelsd("image", [None, CT])], 0, None),
        ([NormalizeIntensityd("image")], 0, None),
        ([], 0, None),
    ],
)
def test_a_channel_is_shown_in_the_range_to_which_the_bundle_clips_it(steps, channel, shown):
    assert clip_range(Compose(steps), channel) == shown


def test_other_channels_are_shown_without_their_extremes():
    pixels = np.arange(101.0)
    assert intensity_window([pixels[:50], pixels[50:]]) == (1.0, 99.0)
    low, high = intensity_window([np.full(4, 7.0)])
    assert low == 7.0 < high


def test_the_configs_tell_the_pictures_of_the_range(tmp_path):
    normalise = Component(_target_="ScaleIntensityRanged", keys="image", a_min=-17, a_max=201, clip=True)
    bundle = RunnableBundle(tmp_path / "bundle", normalise=normalise)
    preprocessing = bundle.workflow("train", "evaluate", output_dir=str(tmp_path)).parser.get_parsed_content(
        "validate#preprocessing"
    )
    assert clip_range(preprocessing, 0) == (-17.0, 201.0)
    config = json.loads((bundle.root / "configs" / "evaluate.json").read_text())
    assert config["pictures"]["preprocessing"] == "@validate#preprocessing"
