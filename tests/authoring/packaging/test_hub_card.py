"""The front matter of a packed bundle's README.md."""

from pathlib import Path

import pytest
import yaml

from lunet_networks.authoring.packaging.hub_card import hub_card
from lunet_networks.authoring.planning.licences import licence_document

METADATA = {
    "task": "Liver: a & b: segmentation of liver in CT images",
    "network_data_format": {"inputs": {"image": {"modality": "T1, T2"}}},
    "eval_metrics": {"mean_dice": 0.9, "liver_dice": 0.9, "liver_hd95_mm": 3.0},
}


def front(licence: str, **metadata: object) -> dict:
    card = hub_card("# Liver\n", METADATA | metadata, licence_document("Liver", "", licence))
    _, text, rest = card.split("---\n", 2)
    assert rest == "# Liver\n"
    return yaml.safe_load(text)


def test_the_weights_have_the_licence_of_their_data() -> None:
    assert front("CC-BY-SA 4.0")["license"] == "cc-by-sa-4.0"
    assert "license_name" not in front("CC0-1.0")


@pytest.mark.parametrize("licence", ["by contract: ask --- #1", "CC-BY 9.9", "masks CC0, pictures CC BY-NC 4.0"])
def test_a_licence_that_the_hub_does_not_list_is_named_with_its_text(licence: str) -> None:
    data = front(licence)
    assert data["license"] == "other"
    assert data["license_name"] == licence.lower().replace(" ", "-")
    assert data["license_link"] == "docs/data_license.txt"


def test_terms_of_ones_own_are_linked() -> None:
    card = hub_card("# Liver\n", METADATA, "Ask the hospital.\n")
    data = yaml.safe_load(card.split("---\n")[1])
    assert (data["license"], data["license_link"]) == ("other", "docs/data_license.txt")


def test_data_metrics_and_tags_are_those_of_the_bundle() -> None:
    data = front("MIT")
    assert data["datasets"] == ["Liver:_a_&_b"]
    assert data["metrics"] == ["dice", "hd95_mm"]
    assert data["tags"] == ["monai", "medical", "segmentation", "T1", "T2"]
    assert "metrics" not in front("MIT", eval_metrics={})
    assert "datasets" not in front("MIT", task="something else")


def test_the_bundles_here_have_a_licence_that_the_hub_knows(repository: Path) -> None:
    for document in sorted((repository / "bundles").glob("*/docs/data_license.txt")):
        card = hub_card("", {}, document.read_text(encoding="utf-8"))
        assert yaml.safe_load(card.split("---\n")[1])["license"] in ("cc-by-sa-4.0", "cc0-1.0"), document
