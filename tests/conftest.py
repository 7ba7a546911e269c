"""What several tests need."""

from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data that stands beside the repository for its developers."""
    path = REPOSITORY.parent / "shared"
    if not (path / "reference").is_dir():
        pytest.skip("the reference data in ../shared are not on this machine")
    return path


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)
