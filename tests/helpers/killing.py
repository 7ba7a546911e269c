"""A run that ends in the middle of writing a file, within the tests' own process."""

import os
from collections.abc import Callable, Iterator

import pytest

from lunet_networks.bundle.runtime import files


class Killed(BaseException):
    """Ends a run at once; nobody catches it."""


@pytest.fixture
def killed_before_write(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[str]]]:
    """Arranges that the process seems to be killed instead of finishing its n-th file, or none of them with 0; gives
    the list to which every file is added from then on."""

    def arrange(number: int) -> list[str]:
        written: list[str] = []

        def replace(source: str, target: str) -> None:
            written.append(target)
            if len(written) == number:
                raise Killed
            os.rename(source, target)

        monkeypatch.setattr(files.os, "replace", replace)
        return written

    yield arrange
    monkeypatch.undo()
