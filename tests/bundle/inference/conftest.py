"""A trained bundle in the files of all engines, which takes most of the time of the tests that read it."""

from pathlib import Path

import pytest
from torch import nn

from tests.helpers.exports import copied, export


@pytest.fixture(scope="session")
def exported_bundle(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> tuple[Path, nn.Module]:
    """The bundle lunet_small with its weights and exports, only to be read, and its network."""
    bundle, network = copied(
        repository / "bundles" / "lunet_small", tmp_path_factory.mktemp("exported") / "lunet_small"
    )
    export(bundle, network, (1, 1, 48, 64, 48))
    return bundle, network
