"""Prunings beside each other: real runs, resumed, never mixed with others."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import fire
import monai.bundle
import pytest

from lunet_networks import create_network
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.summary import count_parameters
from tests.helpers.trainable import TrainableBundle
from tools.compare_pruning import FINISHED, LOG, compare_pruning, doubling_twin
from tools.study.pruning_results import Result, Step, dice_table, width_table

SETTINGS = {"batch_size": 3, "roi_size": (32, 32, 32), "num_folds": 2, "device": "cpu", "channels_per_step": 3}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path) -> TrainableBundle:
    """A trained U-Net."""
    bundle = TrainableBundle(tmp_path_factory.mktemp("bundles") / "unet_small", tiny_dataset, "unet_small")
    train = bundle.root / "configs" / "train.json"
    train.write_text(json.dumps({**json.loads(train.read_text()), "preset": "unet_small_1f"}))
    bundle.train(epochs=1)
    return bundle


def compare(bundle: TrainableBundle, output: Path, **changed: object) -> None:
    options = {"seeds": 1, "epochs": 1, "max_steps": 2, "selections": ("stamp", "largest_layer"), **SETTINGS, **changed}
    compare_pruning(str(bundle.dataset_dir), str(output), bundle=str(bundle.root), **options)


@pytest.mark.slow
def test_a_failing_run_shows_its_log(bundle: TrainableBundle, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"(?s)stamp with seed 0 failed; .*run.log ends with.*target_params is 5"):
        compare(bundle, tmp_path, selections="stamp", presets=(), target_params=5)


@contextmanager
def in_this_process() -> Iterator[None]:
    """The runs are done within this process, which is quicker, each as soon as it is started."""

    def run(command: list[str], **_: object) -> SimpleNamespace:
        assert command[1:6] == ["-W", "ignore", "-m", "monai.bundle", "run"]
        fire.Fire(monai.bundle.run, command=[*command[6:], "--logging_file", "False"])
        return SimpleNamespace(poll=lambda: 0, returncode=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.compare_pruning.subprocess", SimpleNamespace(Popen=run))
        patch.setattr("tools.compare_pruning.time", SimpleNamespace(sleep=lambda seconds: None))
        yield


@pytest.fixture(scope="module")
def done(bundle: TrainableBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison, with its tables in a document."""
    folder = tmp_path_factory.mktemp("comparison")
    document = folder / "docs" / "pruning.md"
    document.parent.mkdir()
    document.write_text("<!-- comparison: written by python -m tools.compare_pruning -->\n<!-- end of comparison -->\n")
    with in_this_process():
        compare(bundle, folder, presets="lunet_small_2f", document=str(document))
    return folder


@pytest.mark.slow
def test_the_table_tells_of_every_network(done: Path) -> None:
    rows = read_rows(done / "comparison.csv")
    counts = {name: sum(row["contender"] == name for row in rows) for name in {row["contender"] for row in rows}}
    assert counts == {"stamp": 3, "largest_layer": 3, "lunet_small_2f": 1, "unet_1_1_1_3_5": 1}
    for row in rows:
        channels = {name: int(width) for name, _, width in (word.partition("=") for word in row["channels"].split())}
        if row["contender"] in ("stamp", "largest_layer"):
            network = create_network("unet_small_1f", out_channels=3, conv_channels=channels)
            assert count_parameters(network) == int(row["parameters"])
        assert 0 <= float(row["dice"]) <= 1
    starts = [row for row in rows if row["step"] == "0" and row["contender"] in ("stamp", "largest_layer")]
    assert starts[0]["dice"] == starts[1]["dice"]  # the same network, the same epoch


@pytest.mark.slow
def test_the_document_gets_tables_and_pictures(done: Path) -> None:
    text = (done / "docs" / "pruning.md").read_text()
    assert "| `stamp` | 0 | 22," in text
    assert "| of what `largest_layer` removed, all |" in text
    assert (done / "docs" / "pruning_comparison.csv").read_bytes() == (done / "comparison.csv").read_bytes()
    assert {path.name for path in (done / "docs" / "pictures").iterdir()} == {
        "pruning_dice.png",
        "pruning_channels.png",
    }


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(done: Path, bundle: TrainableBundle) -> None:
    logs = {path: path.stat().st_mtime_ns for path in done.glob(f"*/*/{LOG}")}
    assert len(logs) == 4
    (done / "largest_layer" / "seed_0" / FINISHED).unlink()  # as if killed at the very end
    with in_this_process():
        compare(bundle, done, presets="lunet_small_2f")
    assert {path.parts[-3] for path, time in logs.items() if path.stat().st_mtime_ns != time} == {"largest_layer"}


@pytest.mark.slow
def test_other_settings_are_refused(done: Path, bundle: TrainableBundle) -> None:
    with pytest.raises(ValueError, match=r"(?s)was done by.*and not by.*another --output_dir"):
        compare(bundle, done, presets="lunet_small_2f", batch_size=2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"selections": "best"}, "--selections is 'best': it has to be one of stamp"),
        ({"presets": "lunet_tiny"}, "there is no preset 'lunet_tiny'"),
        ({"epoch": 3}, "a setting is 'epoch': it has to be one of .*batch_size"),
        ({"seeds": 0}, "--seeds is 0"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"start": "nowhere"}, "there are no weights in .*nowhere"),
    ],
)
def test_bad_options(bundle: TrainableBundle, tmp_path: Path, changed: dict, message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        compare(bundle, tmp_path, **changed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("preset", ["lunet_small_4f", "lunet_large_6f", "lunetpp_small_2f"])
def test_twin_is_the_nearest_in_parameters(preset: str) -> None:
    network = create_network(preset)
    twin = doubling_twin(network)
    channels = twin.describe()["channels"]
    assert channels == sorted(channels)
    assert channels[-1] > channels[0]
    near = count_parameters(network)
    assert abs(count_parameters(twin) - near) < 0.25 * near


def result(name: str, seed: int, dice: list[float], removed: list[int]) -> Result:
    first = {"narrow": 4, "wide": 16}
    steps = [
        Step(1000 - 100 * number, 10**9, value, {**first, "wide": 16 - gone})
        for number, (value, gone) in enumerate(zip(dice, removed, strict=True))
    ]
    return Result(name, seed, True, steps)


def test_tables_give_mean_and_deviation_over_the_seeds() -> None:
    results = [result("stamp", 0, [0.8, 0.7], [0, 2]), result("stamp", 1, [0.8, 0.6], [0, 4])]
    assert dice_table(results).splitlines()[2:] == [
        "| `stamp` | 0 | 1,000 | 1.000 | 0.8000 ± 0.0000 | 2 |",
        "|  | 1 | 900 | 1.000 | 0.6500 ± 0.0707 | 2 |",
        "| | 1 to 1 | | | 0.6500 ± 0.0707 | 2 |",
    ]
    assert width_table(results).splitlines()[2:] == [
        "| of all channels | 20% | 80% |",
        "| of what `stamp` removed, first third | 0% | 0% |",
        "| of what `stamp` removed, all | 0% | 100% |",
    ]
