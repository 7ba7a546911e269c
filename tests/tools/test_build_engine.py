"""The engine of web pages in the repository is what its sources give."""

import pytest

from tools.build_engine import ENGINE, can_build, compiled


@pytest.mark.skipif(not can_build(), reason="clang-19 and lld-19 for WebAssembly are not on this machine")
def test_the_committed_engine_is_that_of_the_sources():
    assert ENGINE.read_bytes() == compiled(), "python -m tools.build_engine writes it"
