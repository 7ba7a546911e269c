"""visualize.json merged over train.json and evaluate.json, and the page that it writes."""

import base64
import dataclasses
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.planning.new_bundle import new_bundle
from lunet_networks.authoring.samples.get_data import phantom
from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.tables import case_rows, read_cases
from lunet_networks.bundle.report.found_training import find_training, read_history
from lunet_networks.bundle.runtime.files import write_csv
from tests.helpers.runnable import RunnableBundle, save_label
from tests.helpers.running import run_bundle
from tests.helpers.trainable import TrainableBundle

VISUALIZE = ("train", "evaluate", "visualize")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """What a report holds."""

    def __init__(self, path):
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.tags, self.images, self.texts = [], [], []
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "img":
            self.images.append(dict(attributes))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    @property
    def pictures(self):
        """The SVG of every image."""
        kind = "data:image/svg+xml;base64,"
        assert all(image["src"].startswith(kind) for image in self.images)
        return [base64.b64decode(image["src"].removeprefix(kind)).decode() for image in self.images]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_dataset):
    """A bundle after a short training and its visualisation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    bundle = TrainableBundle(tmp_path_factory.mktemp("trained") / "lunet_small", tiny_dataset)
    bundle.train()
    settings = bundle.settings(note="A short one, <b>for tests</b>.")
    run_bundle(bundle.root, *VISUALIZE, **settings)
    torch.set_num_threads(threads)
    return bundle


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A bundle for 2D images of two channels and four labels, partly annotated, likewise."""
    folder = tmp_path_factory.mktemp("flat")
    several = {"spatial_dims": 2, "num_channels": 2, "num_labels": 4, "ignore": True, "spacing": (1, 0.5)}
    phantom(str(folder / "data"), num_cases=6, difficulty="easy", shape=(48, 64), **several)
    new_bundle("lunet_small", str(folder / "data"), str(folder / "flat"))
    settings = {"dataset_dir": str(folder / "data"), "num_folds": 2}
    run_bundle(folder / "flat", "train", epochs=2, **settings)
    run_bundle(folder / "flat", *VISUALIZE, channel=1, **settings)
    return folder / "flat"


@pytest.fixture(params=["trained", "flat"])
def output(request):
    bundle = request.getfixturevalue(request.param)
    return bundle / "eval" if isinstance(bundle, Path) else bundle.eval


def test_the_page_stands_alone(output):
    page = Page(output / "report.html")
    assert output.joinpath("report.html").stat().st_size < 2e6
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "iframe", "object", "embed", "audio", "video", "base"}
    loaded = [
        attributes.get(name) for _, attributes in page.tags for name in ("src", "href", "srcset", "data", "action")
    ]
    assert [address for address in loaded if address and not address.startswith(("data:", "#"))] == []
    for text in (page.html, *page.pictures):
        assert not re.search(r"@import|url\((?!['\"]?(?:#|data:))", text)
    for svg in page.pictures:
        hrefs = re.findall(r'href="([^"]*)"', svg)
        assert [address for address in hrefs if not address.startswith(("#", "data:image/png;base64,"))] == []


@pytest.mark.parametrize("preset", ["lunet_small_4f", "unet_small_4f"])
def test_the_reports_in_the_documents_stand_alone_and_name_their_source(repository, preset):
    path = repository / "docs" / "reports" / f"{preset}.html"
    assert path.stat().st_size < 1.5e6
    page = Page(path)
    assert len(page.pictures) == 1 + 3 + 9
    assert "Medical Segmentation Decathlon" in page.text
    assert "CC-BY-SA 4.0" in page.text
    assert {attributes.get("href", "#")[:1] for tag, attributes in page.tags if tag == "a"} == {"#"}


def test_every_picture_has_content_and_says_what_it_is(output):
    page = Page(output / "report.html")
    assert len(page.images) == 1 + 3 + 3 * (3 if "trained" in str(output) else 1)  # Dice, curves, three cases
    for image, svg in zip(page.images, page.pictures, strict=True):
        assert len(image["alt"]) > 20
        root = ElementTree.fromstring(svg)
        assert float(root.get("width").removesuffix("pt")) > 200
        assert len(root.findall(".//{http://www.w3.org/2000/svg}path")) > 5


def test_links_lead_somewhere(output):
    page = Page(output / "report.html")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"} <= set(ids)


def test_all_cases_are_listed_the_worst_first(output):
    page = Page(output / "report.html")
    measured = read_cases(output / "cases.csv")
    listed = re.findall(r'<th scope="row">([^<]+)(?:<span class="badge">(\w+)</span>)?</th>', page.html)
    listed = [(case, badge) for case, badge in listed if case in measured]
    assert {case for case, _ in listed} == set(measured)
    labels = [label for label in next(iter(measured.values())) if label != WHOLE]
    dice = [sum(measured[case][label].dice for label in labels) / len(labels) for case, _ in listed]
    if "trained" in str(output):  # every case has every label
        assert dice == sorted(dice)
    assert [badge for _, badge in listed if badge] == ["worst", "median", "best"]
    for rank in ("worst", "median", "best"):
        assert imread(output / f"case_{rank}.png").shape[0] > 400


def test_it_tells_the_figures_of_the_summary(trained):
    page = Page(trained.eval / "report.html")
    measured = read_cases(trained.eval / "cases.csv")
    for label in ("anterior", "posterior", WHOLE):
        mean = sum(found[label].dice for found in measured.values()) / len(measured)
        assert f"<strong>{mean:.3f}</strong>" in page.html
    assert "3 validation cases (fold 0 of 2), which also chose the best epoch" in page.text
    assert "2 epochs in" in page.text
    assert "A short one, <b>for tests</b>." in page.text  # as it was written, not as HTML
    assert "lunet_small_4f on" in page.text
    assert "models/model.pt" in page.text
    assert str(trained.root) not in page.html


def test_the_channel_that_was_asked_for_is_shown(flat, tmp_path):
    first = tmp_path / "first"
    places = {"dataset_dir": str(flat.parent / "data"), "output_dir": str(first), "ckpt_dir": str(flat / "models")}
    run_bundle(flat, *VISUALIZE, **places, num_folds=2)
    one, other = (imread(folder / "case_best.png") for folder in (first, flat / "eval"))
    assert one.shape == other.shape
    assert np.abs(one - other).mean() > 0.02


def test_weights_without_a_history_have_no_curves(trained, tmp_path):
    weights = shutil.copytree(trained.root / "models", tmp_path / "models")
    run_bundle(trained.root, *VISUALIZE, **trained.settings(output_dir=str(tmp_path), ckpt_dir=str(weights)))
    page = Page(tmp_path / "report.html")
    assert "No record of the training of these weights was found: there is no history.csv" in page.text
    assert len(page.images) == 1 + 9


def test_a_channel_that_is_not_there(trained):
    with pytest.raises(RuntimeError) as error:
        run_bundle(trained.root, *VISUALIZE, **trained.settings(channel=1))
    assert str(error.value.__cause__) == "channel is 1: the images have 1 channel(s), counted from 0"


@pytest.fixture
def threshold_bundle(tmp_path):
    """A bundle whose network finds what is bright, and three cases for it."""
    shape = (24, 28, 20)
    cases = []
    for number, name in enumerate("abct"):
        mask = np.zeros(shape, np.float32)
        mask[6:16, 6:20, 5:15] = 1
        image = mask + np.random.default_rng(number).normal(scale=0.01, size=shape)
        cases.append({"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz"})
        nib.save(nib.Nifti1Image(image.astype(np.float32), np.eye(4)), tmp_path / cases[-1]["image"])
        save_label(tmp_path / cases[-1]["label"], np.roll(mask, number, axis=0), np.eye(4))
    labels = {"0": "background", "1": "anterior", "2": "posterior"}
    description = {"name": "Blocks", "labels": labels, "training": cases[3:], "validation": cases[:3]}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    bundle = RunnableBundle(tmp_path / "bundle")

    def visualize():
        bundle.workflow(*VISUALIZE, dataset_dir=str(tmp_path), output_dir=str(tmp_path / "out")).run()
        return Page(tmp_path / "out" / "report.html")

    return visualize


@pytest.mark.parametrize(
    ("number", "title", "ranks"), [(2, "Best and worst case", ["best", "worst"]), (1, "A case", ["only"])]
)
def test_few_cases_have_no_picture_twice_and_no_deviation_of_one(threshold_bundle, tmp_path, number, title, ranks):
    description = json.loads((tmp_path / "dataset.json").read_text())
    description["validation"] = description["validation"][:number]
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    page = threshold_bundle()
    assert title in page.texts
    assert sorted(path.name for path in (tmp_path / "out").glob("case_*.png")) == [f"case_{rank}.png" for rank in ranks]
    assert page.html.count('<article class="case">') == number
    assert ("±" in page.text) == (number > 1)
    assert "nan" not in page.text


def test_a_label_that_no_case_has_is_told_honestly(threshold_bundle):
    page = threshold_bundle()
    assert "posterior: in neither" in page.text
    assert "nan" not in page.text
    assert page.html.count("posterior in neither") == 3  # a remark on every case
    assert "Blocks" in page.text


def test_a_case_without_truth_is_listed_and_not_drawn(threshold_bundle, tmp_path):
    save_label(tmp_path / "c_label.nii.gz", np.zeros((24, 28, 20)), np.eye(4))
    page = threshold_bundle()
    assert "anterior not in the truth" in page.text
    assert not any("of c " in image["alt"] for image in page.images)
    assert sorted(path.name for path in (tmp_path / "out").glob("case_*.png")) == ["case_best.png", "case_worst.png"]
    assert "missing in 1 of 3" in page.text  # its HD95


def test_no_case_with_a_label_is_an_error(threshold_bundle, tmp_path):
    for name in "abc":
        save_label(tmp_path / f"{name}_label.nii.gz", np.zeros((24, 28, 20)), np.eye(4))
    with pytest.raises(RuntimeError) as error:
        threshold_bundle()
    assert "there is no case to draw: the labels of a, b, c hold none of anterior, posterior" in str(
        error.value.__cause__
    )


def test_a_label_file_that_is_missing_is_named(threshold_bundle, tmp_path):
    (tmp_path / "b_label.nii.gz").unlink()
    with pytest.raises(RuntimeError) as error:
        threshold_bundle()
    cause = error.value
    while cause.__cause__:
        cause = cause.__cause__
    assert "b_label.nii.gz" in str(cause)


def test_names_stay_text(tmp_path):
    """Of cases, labels, a dataset, and what a note says."""
    folder = tmp_path / "data"
    phantom(str(folder), num_cases=6, difficulty="easy", shape=(32, 32), spatial_dims=2, num_labels=2)
    script = "$\\frac$ <script>alert('{}')</script> & \"{}\" #1, @#2"
    description = json.loads((folder / "dataset.json").read_text())
    names = list(description["labels"].values())
    labels = [names[0], *(script.format(name, name) for name in names[1:])]
    description["labels"] = dict(zip(description["labels"], labels, strict=True))
    description["name"] = script.format("data", "data")
    for number, case in enumerate(description["training"]):
        for key, path in case.items():
            case[key] = f"{number}$x^$<script>{key}<b>{''.join(Path(path).suffixes)}"
            (folder / path).rename(folder / case[key])
    (folder / "dataset.json").write_text(json.dumps(description))
    new_bundle("lunet_small", str(folder), str(tmp_path / "bundle"))
    settings = {"dataset_dir": str(folder), "num_folds": 2}
    run_bundle(tmp_path / "bundle", "train", epochs=1, **settings)
    run_bundle(tmp_path / "bundle", *VISUALIZE, note=literal(script.format("note", "note")), **settings)
    page = Page(tmp_path / "bundle" / "eval" / "report.html")
    assert not {tag for tag, _ in page.tags} & {"script", "b"}
    assert page.text.count(script.format("note", "note")) == 1
    assert page.text.count(script.format("data", "data")) > 2  # title, heading, source
    for label in labels[1:]:
        assert page.text.count(label) > 5  # figures, legend, cards, settings, table
        assert any(label in image["alt"] for image in page.images)
    assert sum("<script>image<b>" in image["alt"] for image in page.images) == 3
    assert len(re.findall("<script>image<b>", page.text)) == 3 + 3  # cards and table


METRICS = CaseMetrics(0.9, 1.0, 1.0, 20.0, 20.0)
MEASURED = {name: {"lesion": METRICS, WHOLE: METRICS} for name in ("a", "b")}


@pytest.fixture
def docs(tmp_path):
    """A bundle's docs with the records of a training."""
    folder = tmp_path / "bundle" / "docs"
    folder.mkdir(parents=True)
    record = {"settings": {"preset": "lunet_small_4f"}, "cases": {"training": 5, "validation": ["a", "b"]}}
    (folder / "training_run.json").write_text(json.dumps(record))
    history = "epoch,loss,val_mean_dice,seconds\n1,0.5,,60\n2,0.4,0.8,70\n"
    (folder / "training_history.csv").write_text(history)
    write_csv(folder / "evaluation_cases.csv", case_rows(MEASURED))
    return folder


def find(docs, measured=MEASURED, ckpt_dir="models", **settings):
    settings = {"preset": "lunet_small_4f", "label_names": ["lesion"], **settings}
    root = docs.parent
    return find_training(root / "eval", root, root / ckpt_dir, settings, measured)


def test_the_records_that_came_with_the_weights(docs):
    training, _ = find(docs)
    assert training.sources == ("docs/training_run.json", "docs/training_history.csv")
    assert (training.num_cases("training"), training.num_cases("validation")) == (5, 2)
    assert training.duration == "2 minutes"
    assert training.history.best["epoch"] == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"preset": "lunet_small_2f"}, "a training with the preset lunet_small_4f"),
        ({"ckpt_dir": "models/lunet_small_2f"}, "there is no docs/lunet_small_2f/training_history.csv"),
        ({"ckpt_dir": "elsewhere"}, "there is no history.csv"),
        (
            {"measured": {"a": {WHOLE: dataclasses.replace(METRICS, dice=0.8)}}},
            "docs/training_history.csv belongs to weights with another mean Dice",
        ),
    ],
    ids=["another preset", "other weights of the bundle", "weights from elsewhere", "another Dice"],
)
def test_records_of_other_weights_are_not_taken(docs, change, reason):
    training, why = find(docs, **change)
    assert training is None
    assert reason in why


def test_a_training_whose_validation_had_no_label(docs):
    history = "epoch,loss,train_mean_dice,val_mean_dice,seconds\n1,0.5,0.3,nan,60\n2,0.4,0.6,nan,70\n3,0.3,0.5,nan,1\n"
    (docs / "training_history.csv").write_text(history)
    training, _ = find(docs)
    assert (training.history.best["epoch"], training.history.criterion) == (2, "train_mean_dice")


def test_what_could_not_be_measured_says_nothing_about_whose_record_it_is(docs):
    absent = dataclasses.replace(METRICS, dice=math.nan, hd95=math.nan, nsd=math.nan)
    training, _ = find(docs, measured={**MEASURED, "a": {"lesion": absent, WHOLE: absent}})
    assert training is not None


def test_a_history_is_read_as_it_was_written(trained):
    history = read_history(trained.eval / "history.csv", ["anterior", "posterior"])
    text = history.path.read_bytes()
    history.write()
    again = read_history(history.path, ["anterior", "posterior"])
    assert again.rows == history.rows
    history.path.write_bytes(text)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_all_of_it(output, tmp_path, width):
    """A page around the report looks into it: every picture has a size, nothing sticks out, no request goes out."""
    probe = tmp_path / "probe.html"
    probe.write_text(
        f"""<body><iframe id="report" style="width:{width}px;height:3000px" src="{(output / "report.html").as_uri()}">
        </iframe><pre id="found">nothing</pre><script>
        const errors = []; addEventListener("error", event => errors.push(event.message));
        addEventListener("load", () => {{
          const page = document.getElementById("report").contentDocument;
          const images = [...page.images];
          document.getElementById("found").textContent = JSON.stringify({{
            errors, loaded: images.map(image => image.complete && image.naturalWidth > 0),
            widths: images.map(image => image.getBoundingClientRect().width),
            sticksOut: page.documentElement.scrollWidth - page.documentElement.clientWidth,
            requests: page.defaultView.performance.getEntriesByType("resource").map(entry => entry.name)
              .filter(name => !name.startsWith("data:")),
          }});
        }});</script></body>"""
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", "--enable-logging=stderr"]
    command += ["--dump-dom", probe.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', run.stdout, re.DOTALL)[1])
    assert found["errors"] == found["requests"] == []
    assert found["loaded"] == [True] * len(Page(output / "report.html").images)
    assert min(found["widths"]) > 280
    assert found["sticksOut"] <= 0
    assert not [line for line in run.stderr.splitlines() if "CONSOLE" in line]
