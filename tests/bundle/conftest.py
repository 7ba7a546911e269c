"""A dataset and a bundle small enough to be trained in a second."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.bundle.trainable import TrainableBundle
from tools.get_data import phantom


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


@pytest.fixture
def new_bundle(tmp_path: Path, tiny_dataset: Path, one_thread: None) -> Callable[[str], TrainableBundle]:
    """Makes bundles lunet_small on the tiny dataset, by name."""
    return lambda name: TrainableBundle(tmp_path / name, tiny_dataset)


@pytest.fixture
def bundle(new_bundle: Callable[[str], TrainableBundle]) -> TrainableBundle:
    """One such bundle."""
    return new_bundle("lunet_small")
