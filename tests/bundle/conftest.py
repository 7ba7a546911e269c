"""A bundle on a dataset small enough to be trained in a second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.killing import killed_before_write  # noqa: F401, a fixture
from tests.helpers.trainable import TrainableBundle


@pytest.fixture
def new_bundle(tmp_path: Path, tiny_dataset: Path, one_thread: None) -> Callable[[str], TrainableBundle]:
    """Makes bundles lunet_small on the tiny dataset, by name."""
    return lambda name: TrainableBundle(tmp_path / name, tiny_dataset)


@pytest.fixture
def bundle(new_bundle: Callable[[str], TrainableBundle]) -> TrainableBundle:
    """One such bundle."""
    return new_bundle("lunet_small")
