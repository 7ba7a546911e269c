"""lunet export --format html, and lunet verify on what it wrote."""

import json
import shutil

import pytest

from lunet_networks.authoring.checking.bundle import Bundle
from lunet_networks.authoring.checking.web_page import check_web_page
from lunet_networks.authoring.exporting.export import export_bundle
from lunet_networks.authoring.web_page import trial
from lunet_networks.authoring.web_page.page import page_part


@pytest.fixture
def bundle(repository, tmp_path):
    ignored = shutil.ignore_patterns("eval", "runs", "*.ts", "*.onnx", "*.xml", "*.bin", "*.html")
    return shutil.copytree(repository / "bundles" / "lunet_small", tmp_path / "lunet_small", ignore=ignored)


@pytest.fixture
def without_browser(monkeypatch):
    """As on a machine without node and without Chromium."""
    monkeypatch.setattr(trial.shutil, "which", lambda name: None)


def test_it_is_tried_by_its_plan_where_nothing_else_is(bundle, capsys, without_browser):
    metadata = bundle / "configs" / "metadata.json"
    described = json.loads(metadata.read_text())
    described["segments"][1]["color"] = [1, 2, 3]
    metadata.write_text(json.dumps(described))
    export_bundle(str(bundle), "html")
    assert "html: tried in Python, by its plan: logits differ by " in capsys.readouterr().out
    html = (bundle / "models" / "lunet_small.html").read_text()
    model = json.loads(page_part(html, "model"))
    assert model["labels"] == [
        {"name": "anterior", "colour": [86, 180, 233]},
        {"name": "posterior", "colour": [1, 2, 3]},
    ]
    for text in ("For research only. Not a medical device.", "CC-BY-SA", "Apache License", "Model Description"):
        assert text in html
    assert not list(check_web_page(Bundle(bundle)))

    with pytest.raises(FileExistsError, match=r"lunet_small\.html is there already: replace it with --overwrite True"):
        export_bundle(str(bundle), "html")
    config = bundle / "configs" / "inference.json"
    config.write_text(config.read_text().replace('"overlap": 0.25', '"overlap": 0.5'))
    (fault,) = check_web_page(Bundle(bundle))
    assert str(fault).startswith(
        "models/lunet_small.html: model: overlap: is not what this bundle gives; export it again"
    )


def test_a_page_that_labels_otherwise_is_not_written(bundle, monkeypatch, without_browser):
    monkeypatch.setattr(trial, "run_plan", lambda plan, weights, image: 0 * image.repeat(3, axis=0))
    with pytest.raises(ValueError, match=r"the page labels otherwise than the bundle .*: nothing is written"):
        export_bundle(str(bundle), "html")
    assert not list((bundle / "models").glob("*.html"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine")
def test_it_is_tried_in_node(bundle, capsys, tmp_path):
    export_bundle(str(bundle), "html", preset="lunet_small_2f", output_dir=str(tmp_path / "pages"))
    told = capsys.readouterr().out
    assert "html: tried in node: 0 of 596418 voxels of 3 made-up images differ" in told
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["lunet_small.html"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"save_probabilities": True}, "a page saves labels only: set save_probabilities to false"),
        ({"output_format": "seg.nrrd"}, r"a page computes with nifti as output_format of inference\.json: it is seg"),
        (
            {"inferer#inferer#mode": "constant"},
            "a page computes with gaussian as inferer's mode of inference",
        ),
        (
            {"preprocessing#transforms#4": {"_target_": "ScaleIntensityd", "keys": "image"}},
            "a page normalises by NormalizeIntensityd, ScaleIntensityRanged, NormalizeChannelsd: preprocessing has",
        ),
        ({"preprocessing#transforms#2#axcodes": "LPS"}, "a page computes with RAS as preprocessing's axcodes"),
    ],
)
def test_an_inference_that_a_page_cannot_do_is_refused(bundle, change, message, without_browser):
    path = bundle / "configs" / "inference.json"
    config = json.loads(path.read_text())
    for name, value in change.items():
        *parents, last = [int(part) if part.isdecimal() else part for part in name.split("#")]
        part = config
        for parent in parents:
            part = part[parent]
        part[last] = value
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        export_bundle(str(bundle), "html")
