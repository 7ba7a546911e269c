"""Reading ahead in a thread."""

from threading import Event

import pytest
from monai.data import DataLoader, Dataset

from lunet_networks.bundle.loaders import AheadDataLoader


class Watched(Dataset):
    """Numbers, which of them were read, and one that cannot be."""

    def __init__(self, length, broken=None):
        super().__init__(range(length))
        self.broken = broken
        self.read = []
        self.second_is_read = Event()

    def __getitem__(self, index):
        if index == self.broken:
            raise OSError(f"{index} cannot be read")
        self.read.append(index)
        if index == 1:
            self.second_is_read.set()
        return index


def test_the_batches_are_those_of_monai():
    for settings in ({"batch_size": 1}, {"batch_size": 4}):
        own, theirs = (loader(Watched(7), **settings) for loader in (AheadDataLoader, DataLoader))
        assert [batch.tolist() for batch in own] == [batch.tolist() for batch in theirs]
        assert [batch.tolist() for batch in own] == [batch.tolist() for batch in theirs], "a second time"
        assert len(own) == len(theirs)


def test_one_batch_is_read_ahead_and_no_more():
    numbers = Watched(5)
    batches = iter(AheadDataLoader(numbers, batch_size=1))
    assert next(batches).item() == 0
    assert numbers.second_is_read.wait(timeout=60)
    assert numbers.read == [0, 1]
    assert next(batches).item() == 1


def test_an_error_comes_after_the_batches_before_it():
    batches = iter(AheadDataLoader(Watched(4, broken=2), batch_size=1))
    assert [next(batches).item(), next(batches).item()] == [0, 1]
    with pytest.raises(OSError, match="2 cannot be read"):
        next(batches)
