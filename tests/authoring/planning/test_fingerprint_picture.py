"""The picture of a fingerprint."""

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from lunet_networks.authoring.planning.fingerprint import CaseFingerprint, Fingerprint
from lunet_networks.authoring.planning.fingerprint_picture import draw_fingerprint, fingerprint_figure
from lunet_networks.authoring.planning.intensities import Sample, describe_channel


def a_fingerprint(cases=6, channels=1, labels=2, dims=3, varied=True, scale=1.0):
    random = np.random.default_rng(0)
    names = tuple(f"label {number}" for number in range(labels))
    samples = [
        Sample(random.normal(100, 9, 500), random.normal(60, 30, 900) * scale, (50.0, 150.0), 0.0, False)
        for _ in range(cases)
    ]
    return Fingerprint(
        name="Test",
        description="",
        reference="",
        licence="",
        spatial_dims=dims,
        modalities=tuple(f"channel {number}" for number in range(channels)),
        label_names=names,
        ignore_label=None,
        num_training=cases,
        num_validation=0,
        num_test=0,
        cases=tuple(
            CaseFingerprint(
                name=f"case {number}",
                shape=(40 + varied * number, 50, 60)[:dims],
                spacing=(1.0 + 0.1 * varied * number, 1.0, 3.0)[:dims],
                orientation="RAS"[:dims],
                label_volumes={name: 100.0 * (1 + varied * number) * 3**row for row, name in enumerate(names)},
            )
            for number in range(cases)
        ),
        intensities=(describe_channel(samples),) * channels,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cases": 1},
        {"varied": False},
        {"labels": 20},
        {"labels": 1, "channels": 4},
        {"channels": 3, "dims": 2},
        {"scale": 1000.0},
    ],
    ids=str,
)
def test_a_page_with_something_in_every_panel(tmp_path, settings):
    fingerprint = a_fingerprint(**settings)
    draw_fingerprint(fingerprint, tmp_path / "new" / "fingerprint.png")
    page = matplotlib.image.imread(tmp_path / "new" / "fingerprint.png")[..., :3]
    assert 900 < page.shape[1] < 1100
    figure = fingerprint_figure(fingerprint)
    assert "Test" in figure.get_suptitle()
    assert len(figure.axes) == 2 * fingerprint.spatial_dims + fingerprint.in_channels + 1
    figure.set_dpi(120)
    figure.canvas.draw()
    for axes in figure.axes:
        left, bottom, right, top = axes.get_window_extent().extents.astype(int)
        panel = page[len(page) - top : len(page) - bottom, left:right]
        coloured = np.ptp(panel, axis=-1) > 0.1
        assert coloured.mean() > 0.005, axes.get_title()


def test_every_case_is_in_its_histograms():
    fingerprint = a_fingerprint(cases=7)
    shape, *_, volumes = fingerprint_figure(fingerprint).axes
    assert sum(patch.get_height() for patch in shape.patches) == 7
    assert [label.get_text() for label in volumes.get_yticklabels()] == ["label 0", "label 1"]


def test_labels_that_cases_lack_are_said_so():
    fingerprint = a_fingerprint()
    lacking = tuple(
        replace(case, label_volumes={"label 0": case.label_volumes["label 0"] * (number > 1), "label 1": 0.0})
        for number, case in enumerate(fingerprint.cases)
    )
    volumes = fingerprint_figure(replace(fingerprint, cases=lacking)).axes[-1]
    labels = [label.get_text() for label in volumes.get_yticklabels()]
    assert labels == ["label 0 (absent in 2)", "label 1 (absent in 6)"]


def test_scales():
    narrow, wide = fingerprint_figure(a_fingerprint(labels=1)), fingerprint_figure(a_fingerprint(labels=5))
    assert (narrow.axes[-1].get_xscale(), wide.axes[-1].get_xscale()) == ("linear", "log")


@pytest.mark.parametrize("value", [0.0, 0.1, -40.0, 1e7, 1e-7])
def test_a_page_of_images_of_one_value(tmp_path, value):
    sample = Sample(np.full(9, value), np.full(50, value), (value, value), float(value == 0), bool(value))
    fingerprint = replace(a_fingerprint(), intensities=(describe_channel([sample] * 6),))
    draw_fingerprint(fingerprint, tmp_path / "fingerprint.png")
    panel = fingerprint_figure(fingerprint).axes[6]
    low, high = panel.get_xlim()
    assert low < value < high


def test_a_page_of_a_foreground_that_is_in_no_bin(tmp_path):
    whole = np.concatenate([np.zeros(500), np.linspace(0.5, 1, 400), np.full(100, 5000.0)])
    channel = describe_channel([Sample(np.zeros(9), whole, (0.0, 0.0), 0.5, False)])
    assert sum(channel.foreground_counts) == 0, "the scale is logarithmic"
    draw_fingerprint(replace(a_fingerprint(), intensities=(channel,)), tmp_path / "fingerprint.png")


ODD = ("$x^2$", r"$\frac$", "a_b$", "$", "_hidden", "肝臓", "كبد", r"\$1", "<b>&amp;", "a" * 60)


def test_a_page_with_any_names(tmp_path):
    fingerprint = replace(
        a_fingerprint(labels=len(ODD)), name=r"$\frac$ of ^_{", modalities=(r"$\undefined$",), label_names=ODD
    )
    volumes = dict.fromkeys(ODD, 10.0)
    fingerprint = replace(fingerprint, cases=tuple(replace(case, label_volumes=volumes) for case in fingerprint.cases))
    draw_fingerprint(fingerprint, tmp_path / "fingerprint.png")
    assert (tmp_path / "fingerprint.png").stat().st_size > 10_000
