"""Pages are compared with their bundles, and the table says what was recorded."""

import json
import shutil

import pytest

from lunet_networks.authoring.web_page.chromium import chromium_command
from tools.compare_pages import COMMAND, NAME, RECORDS, add_entry, measure, read_entries, table

ENTRY = {
    "bundle": "lunet_small",
    "weights": {"digest": "0123456789ab", "source": "those of the bundle"},
    "dataset": "Task04_Hippocampus",
    "page_bytes": 199_400,
    "images": 20,
    "voxels": 1_292_595,
    "different": {"page": 0, "Chromium": 0, "onnxruntime-web": 1234},
    "seconds": {"Python": [0.3, 0.5, 0.31], "page": [0.2, 0.22, 0.21], "onnxruntime-web": [0.4, 0.41, 0.42]},
    "date": "2030-01-31",
    "machine": {"cpu": "X"},
    "rounds": 3,
    "versions": {"torch": "2.13.0", "node": "20.1.0"},
}


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "web_page.md"
    path.write_text(f"before\n<!-- {NAME}: written by {COMMAND} -->\n<!-- end of {NAME} -->\nafter\n")
    return path


def rows(document):
    lines = [line for line in document.read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_row_a_bundle(tmp_path, document):
    records = tmp_path / "pages.json"
    add_entry(records, {**ENTRY, "page_bytes": 1})
    add_entry(records, {**ENTRY, "bundle": "lv_unet", "weights": {"digest": "0", "source": "30 epochs on tiles"}})
    add_entry(records, {**ENTRY, "different": {"page": 0}, "seconds": {"Python": [1.0], "page": [2.0]}})
    table(str(records), str(document))
    images = "20 of Task04_Hippocampus, 1,292,595 voxels"
    assert rows(document) == [
        ["`lunet_small`", "199 kB", images, "0", "not tried", "not tried", "2.000", "1.000", "not tried"],
        ["`lv_unet`", "199 kB", images, "0", "0", "1,234", "0.210", "0.310", "0.410"],
    ]
    text = document.read_text()
    assert "2030-01-31, 3 rounds on X: torch 2.13.0, node 20.1.0." in text
    assert "Weights of `lv_unet`: 30 epochs on tiles." in text
    assert "Weights of `lunet_small`" not in text
    table(str(records), str(document), check=True)


def test_the_document_says_what_was_recorded():
    table(check=True)
    recorded = {entry["bundle"]: entry["different"] for entry in read_entries(RECORDS)}
    assert recorded.keys() == {"lunet_small", "unet_small", "lunetpp_small", "mednext_small", "lv_unet"}
    assert {different["page"] + different.get("Chromium", 0) for different in recorded.values()} == {0}


def test_what_cannot_be_measured_is_told(tiny_dataset, tmp_path):
    with pytest.raises(ValueError, match="browser is 'firefox': it has to be one of none, chromium"):
        measure("lunet_small", str(tiny_dataset), browser="firefox")
    with pytest.raises(ValueError, match=r"--num_images 20: the validation list of .* has 2"):
        measure("lunet_small", str(tiny_dataset), records=str(tmp_path / "pages.json"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine")
def test_a_page_is_compared_with_its_bundle(tiny_dataset, tmp_path, document):
    records, browser = tmp_path / "pages.json", "chromium" if chromium_command() else "none"
    measure("lunet_small", str(tiny_dataset), 1, browser=browser, rounds=1, records=str(records))
    (entry,) = json.loads(records.read_text())
    assert set(entry["different"].values()) == {0}
    assert entry["voxels"] > 20_000
    assert all(0 < seconds < 100 for (seconds,) in entry["seconds"].values())
    table(str(records), str(document))
    ((name, *_),) = rows(document)
    assert name == "`lunet_small`"
