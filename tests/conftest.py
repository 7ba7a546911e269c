"""What several tests need."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lunet_networks.authoring.samples.get_data import phantom
from tests.helpers.crashes import pytest_configure, pytest_terminal_summary, pytest_testnodedown  # noqa: F401

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


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms of about 32 x 32 x 32 voxels; with two folds three of them train."""
    folder = tmp_path_factory.mktemp("data") / "phantom"
    phantom(str(folder), num_cases=6, difficulty="easy", shape=(32, 32, 32))
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Volumes this small are computed fastest by one thread, and as fast while the other cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
