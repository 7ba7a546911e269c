"""CITATION.cff names every paper that model cards cite, and the version stands in one place."""

from pathlib import Path

import pytest
import yaml

import lunet_networks
from lunet_networks.authoring.planning.families import FAMILIES

OTHERS = {paper for family in FAMILIES.values() for _, paper in family.others.values()}
PAPERS = sorted(OTHERS | {paper for family in FAMILIES.values() for paper in family.papers})


@pytest.fixture(scope="module")
def citation(repository: Path) -> dict:
    return yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))


@pytest.mark.parametrize("paper", PAPERS)
def test_papers_of_the_families_are_among_its_references(paper: str, citation: dict) -> None:
    matching = [reference for reference in citation["references"] if reference["title"] in paper]
    assert len(matching) == 1
    assert str(matching[0]["year"]) in paper or f"arxiv.org/abs/{paper.split('arXiv ')[-1]}" in matching[0]["url"]


def test_every_reference_has_what_the_format_requires(citation: dict) -> None:
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys(), reference
        for author in reference["authors"]:
            assert author.keys() in ({"name"}, {"family-names", "given-names"}), reference


def test_the_version_stands_in_the_package_only(repository: Path, citation: dict) -> None:
    version = lunet_networks.__version__
    assert "version" not in citation
    assert f'"{version}"' not in (repository / "pyproject.toml").read_text(encoding="utf-8")
    assert f"\n## {version} " in (repository / "CHANGELOG.md").read_text(encoding="utf-8")
