"""Kernels can be turned off for a process, and are told apart."""

import os

import pytest

from lunet_networks.kernels.choice import SWITCH, describe_kernels, use_kernels
from lunet_networks.kernels.library import library


def test_off_is_undone_by_auto() -> None:
    before = os.environ.get(SWITCH), describe_kernels()
    use_kernels("off")
    assert library() is None
    assert describe_kernels() is None
    use_kernels("auto")
    assert (os.environ.get(SWITCH), describe_kernels()) == before


def test_other_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="kernels is 'on': it has to be auto or off"):
        use_kernels("on")
