"""What is random in an epoch is a function of seed and number."""

import os
from types import SimpleNamespace

import ignite.distributed as idist
import pytest
import torch
from monai.data import DistributedSampler
from monai.transforms import (
    Compose,
    OneOf,
    RandAffine,
    RandAffined,
    RandGaussianNoise,
    RandGaussianNoised,
    Randomizable,
    RandScaleIntensity,
    RandShiftIntensity,
    ScaleIntensity,
    ToTensord,
    Transform,
)

from lunet_networks.bundle.data.loaders import PrefetchDataLoader
from lunet_networks.bundle.data.seeding import EpochSeed, RandomStates, SeededCacheDataset


def a_dataset(cache_rate: float = 1.0, seed: int = 1) -> SeededCacheDataset:
    random = [RandAffined("image", prob=0.9, rotate_range=[0.2] * 3), RandGaussianNoised("image", prob=0.5)]
    images = [{"image": torch.full((1, 4, 4, 4), float(number))} for number in range(5)]
    return SeededCacheDataset(images, Compose([ToTensord("image"), *random]), seed, cache_rate)


def a_loader(dataset: SeededCacheDataset, num_workers: int = 0, start: str | None = None) -> PrefetchDataLoader:
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True, seed=1)
    processes = {"num_workers": num_workers, "multiprocessing_context": start}
    return PrefetchDataLoader(dataset, sampler=sampler, batch_size=2, generator=torch.Generator(), **processes)


def an_epoch(
    dataset: SeededCacheDataset, epoch: int, num_workers: int = 0, loader: PrefetchDataLoader | None = None
) -> torch.Tensor:
    loader = loader or a_loader(dataset, num_workers)
    dataset.set_epoch(epoch)
    loader.sampler.set_epoch(epoch)
    return torch.cat([batch["image"].as_tensor() for batch in loader])


@pytest.mark.parametrize(("num_workers", "cache_rate"), [(0, 0.4), (1, 1.0), (2, 1.0)])
def test_an_epoch_depends_on_seed_and_number_only(num_workers, cache_rate):
    dataset = a_dataset()
    earlier = an_epoch(dataset, 1)
    once = an_epoch(dataset, 2)
    assert not torch.equal(once, earlier)
    assert torch.equal(an_epoch(a_dataset(cache_rate), 2, num_workers), once)
    assert not torch.equal(an_epoch(a_dataset(seed=2), 2), once)


@pytest.mark.parametrize(
    ("num_workers", "start"),
    [
        (0, None),
        (1, "fork"),
        (2, "fork"),
        *(
            pytest.param(number, start, marks=pytest.mark.slow)
            for number in (1, 2)
            for start in ("spawn", "forkserver")
        ),
    ],
)
def test_workers_that_stay_are_told_the_epoch(num_workers, start):
    expected = {epoch: an_epoch(a_dataset(), epoch) for epoch in (1, 2, 3)}
    dataset = a_dataset()
    loader = a_loader(dataset, num_workers, start)
    for epoch in (1, 2, 3):
        assert torch.equal(an_epoch(dataset, epoch, loader=loader), expected[epoch])
    dataset.set_epoch(1)
    next(iter(loader))  # an epoch that is left, as by a calibration on some batches
    assert torch.equal(an_epoch(dataset, 2, loader=loader), expected[2])


class OwnNoise(Randomizable, Transform):
    """Noise that nobody knows: its state is in a dict."""

    def __init__(self):
        self.parts = {"noise": RandGaussianNoise(prob=1)}

    def set_random_state(self, seed=None, state=None):
        self.parts["noise"].set_random_state(seed, state)
        return super().set_random_state(seed, state)

    def __call__(self, image):
        return self.parts["noise"](image)


@pytest.mark.parametrize("seeded_by_others", [False, True])
def test_states_are_seeded_as_monai_does(seeded_by_others):
    def make():
        one_of = OneOf([RandGaussianNoise(prob=0.5), RandShiftIntensity(1.0, prob=1)])
        nested = Compose([RandGaussianNoise(prob=0.7), RandScaleIntensity(0.5, prob=1)])
        return Compose([RandAffine(prob=0.9, rotate_range=[0.2] * 3), ScaleIntensity(), one_of, nested, OwnNoise()])

    ours, theirs, states = make(), make(), RandomStates()
    for seed in (3, 1, 2, 3):
        states.seed(ours, seed)
        theirs.set_random_state(seed=seed)
        image = torch.rand(1, 6, 6, 6)
        assert torch.equal(ours(image), theirs(image))
        if seeded_by_others:
            ours.set_random_state(seed=9)
    other = make()  # as if the dataset had got other transforms
    states.seed(other, 1)
    theirs.set_random_state(seed=1)
    assert torch.equal(other(image), theirs(image))


def test_workers_stay(tmp_path):
    dataset = WritesProcess(tmp_path)
    loader = PrefetchDataLoader(dataset, num_workers=2)
    for _ in range(3):
        assert len(list(loader)) == 4
    assert len(list(tmp_path.iterdir())) == 2


class WritesProcess:
    """Leaves a file for each process that takes a case."""

    def __init__(self, folder):
        self.folder = folder

    def __len__(self):
        return 4

    def __getitem__(self, index):
        (self.folder / str(os.getpid())).touch()
        return index


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
