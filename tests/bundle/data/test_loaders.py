"""The loader that makes the next batch during a step."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from monai.data import DataLoader, Dataset

from lunet_networks.bundle.data.loaders import PrefetchDataLoader

CASES = [torch.full((2,), float(number)) for number in range(7)]


class Recorded(Dataset):
    """Remembers which cases were taken; the last one is broken."""

    def __init__(self, length: int) -> None:
        super().__init__(CASES[:length])
        self.taken: list[int] = []

    def __getitem__(self, index):
        self.taken.append(index)
        if index == len(CASES) - 1:
            raise OSError("a broken file")
        return super().__getitem__(index)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_those_of_a_plain_loader(num_workers):
    def batches(loader_class):
        settings = {"batch_size": 2, "shuffle": True, "num_workers": num_workers, "persistent_workers": num_workers > 0}
        loader = loader_class(CASES, generator=torch.Generator().manual_seed(1), **settings)
        return [batch for _ in range(2) for batch in loader]

    plain = batches(DataLoader)
    assert len(plain) == 2 * 4
    for batch, expected in zip(batches(PrefetchDataLoader), plain, strict=True):
        assert torch.equal(batch, expected)


def test_the_next_batch_is_made_during_a_step_and_no_further_one():
    dataset = Recorded(6)
    batches = iter(PrefetchDataLoader(dataset, batch_size=2))
    assert dataset.taken == []
    next(batches)
    wait_until(lambda: len(dataset.taken) == 4)
    time.sleep(0.05)
    assert dataset.taken == [0, 1, 2, 3]


def test_an_error_reaches_whoever_asks_for_the_batch():
    batches = iter(PrefetchDataLoader(Recorded(7), batch_size=2))
    assert [next(batches)[0, 0].item() for _ in range(3)] == [0, 2, 4]
    with pytest.raises(OSError, match="a broken file"):
        next(batches)


def test_an_epoch_that_is_left_leaves_nothing_behind():
    threads, num_threads = threading.active_count(), torch.get_num_threads()
    for _ in PrefetchDataLoader(Recorded(6), batch_size=2):
        assert threading.active_count() == threads + 1
        break
    assert threading.active_count() == threads
    assert torch.get_num_threads() == num_threads
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(torch.get_num_threads).result() == num_threads


def wait_until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError
