"""What is compared takes and gives the same."""

import pytest
import torch

from lunet_networks import list_presets
from tools.tables.networks import PEERS, Subject, make_network, own_shape, subjects, twins


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_takes_and_gives_what_the_presets_do(name: str) -> None:
    shape = own_shape(name)
    with torch.no_grad():
        output = make_network(name).to("meta").eval()(torch.empty(shape, device="meta"))
    assert output.shape == (1, 1, *shape[2:])


def test_every_preset_and_peer_is_compared_once_at_its_own_size(new_preset: str) -> None:
    own = [subject.network for subject in subjects() if subject.is_trained]
    assert sorted(own) == sorted([*list_presets(), *PEERS])
    assert new_preset in own
    assert Subject("UNet", 128).input_shape == (1, 1, 128, 128, 128)
    assert Subject("lv_unet", 256).input_shape == (1, 3, 256, 256)


def test_twins_have_the_same_first_width() -> None:
    pairs = twins()
    assert pairs
    assert all(lean == f"l{twin}" for lean, twin in pairs.items())
    assert "lmsc_unet" not in pairs
