"""A preset that nobody has measured."""

from collections.abc import Iterator
from functools import partial

import pytest

from lunet_networks import PRESETS, UNet


@pytest.fixture
def new_preset() -> Iterator[str]:
    """The name of a preset that was added and not measured."""
    PRESETS.add("newest_net", "Newest Net, 2 levels of 2, 4 channels", partial(UNet, channels=(2, 4)))
    yield "newest_net"
    del PRESETS.components["newest_net"]
