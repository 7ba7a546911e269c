"""What is random in an epoch is a function of seed and number."""

from types import SimpleNamespace

import ignite.distributed as idist
import pytest
import torch
from monai.data import DistributedSampler
from monai.transforms import Compose, RandAffined, RandGaussianNoised, ToTensord

from lunet_networks.bundle.data.loaders import PrefetchDataLoader
from lunet_networks.bundle.data.seeding import EpochSeed, SeededCacheDataset


def a_dataset(cache_rate: float = 1.0, seed: int = 1) -> SeededCacheDataset:
    random = [RandAffined("image", prob=0.9, rotate_range=[0.2] * 3), RandGaussianNoised("image", prob=0.5)]
    images = [{"image": torch.full((1, 4, 4, 4), float(number))} for number in range(5)]
    return SeededCacheDataset(images, Compose([ToTensord("image"), *random]), seed, cache_rate)


def an_epoch(dataset: SeededCacheDataset, epoch: int, num_workers: int = 0) -> torch.Tensor:
    dataset.set_epoch(epoch)
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True, seed=1)
    sampler.set_epoch(epoch)
    settings = {"batch_size": 2, "num_workers": num_workers, "generator": torch.Generator()}
    loader = PrefetchDataLoader(dataset, sampler=sampler, **settings)
    return torch.cat([batch["image"].as_tensor() for batch in loader])


@pytest.mark.parametrize(("num_workers", "cache_rate"), [(0, 0.4), (1, 1.0), (2, 1.0)])
def test_an_epoch_depends_on_seed_and_number_only(num_workers, cache_rate):
    dataset = a_dataset()
    earlier = an_epoch(dataset, 1)
    once = an_epoch(dataset, 2)
    assert not torch.equal(once, earlier)
    assert torch.equal(an_epoch(a_dataset(cache_rate), 2, num_workers), once)
    assert not torch.equal(an_epoch(a_dataset(seed=2), 2), once)


def test_processes_and_epochs_drop_out_other_channels(monkeypatch):
    drawn = {}
    for rank, epoch in [(0, 1), (1, 1), (0, 2), (1, 2), (0, 1)]:
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        dataset = a_dataset()
        EpochSeed(7, dataset)(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
        assert dataset.epoch == epoch
        drawn.setdefault((rank, epoch), set()).add(torch.rand(()).item())
    assert all(len(values) == 1 for values in drawn.values())
    assert len(set.union(*drawn.values())) == 4


def test_loading_draws_nothing_that_dropout_draws_from():
    torch.manual_seed(5)
    expected = torch.rand(3)
    for num_workers in (0, 1):
        torch.manual_seed(5)
        an_epoch(a_dataset(), 1, num_workers)
        assert torch.equal(torch.rand(3), expected)
