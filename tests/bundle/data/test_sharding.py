"""Cases are dealt out to processes, and their results put together again."""

import pytest
import torch
from monai.data import MetaTensor

from lunet_networks.bundle.data.sharding import join_shares, share_of


@pytest.mark.parametrize("num_cases", range(8))
@pytest.mark.parametrize("num_processes", range(1, 6))
def test_every_case_counts_once_in_its_order(num_cases, num_processes):
    values = torch.rand(num_cases, 2)
    shares = [share_of(values.tolist(), rank, num_processes) for rank in range(num_processes)]
    assert len({len(share) for share in shares}) == 1  # all take part as often
    gathered = torch.tensor([value for share in shares for value in share]).reshape(-1, 2)
    if num_cases:
        assert torch.equal(join_shares(gathered, num_cases, num_processes), values)
    else:
        assert not gathered.numel()  # nothing is validated then


def test_values_that_carry_meta_data():
    values = MetaTensor(torch.arange(6.0).reshape(3, 2))
    assert torch.equal(join_shares(values, num_cases=3, num_processes=1), values)
