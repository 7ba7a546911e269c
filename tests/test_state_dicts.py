"""State dicts written in the past load for ever and give the logits that they gave."""

import json
from pathlib import Path

import pytest
import torch

from lunet_networks import create_network
from tests.helpers.recipe import make_image, make_weights

DATA = Path(__file__).parent / "data"
SAVED = sorted(DATA.glob("*.pt"))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_saved_state_dict_gives_the_saved_logits(path: Path) -> None:
    saved = torch.load(path, weights_only=True)
    network = create_network(path.stem, **saved["keywords"])
    network.load_state_dict(saved["state_dict"])
    with torch.no_grad():
        logits = network.eval()(saved["image"])
    torch.testing.assert_close(logits, saved["logits"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("preset", ["lv_unet", "mobilenetv3_unet"])
def test_networks_whose_weights_are_too_large_for_a_file(preset: str) -> None:
    saved = json.loads((DATA / f"{preset}.json").read_text())
    network = create_network(preset).double()
    network.load_state_dict(make_weights(saved["shapes"]))
    with torch.no_grad():
        logits = network.eval()(make_image(saved["image"]))[..., ::8, ::8]
    expected = torch.tensor(saved["logits"], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, atol=1e-9 * expected.std().item(), rtol=0)


def test_there_is_one_of_each_architecture() -> None:
    networks = {"lunet_small_1f", "lunet_large_6f", "lunetpp_small_1f", "mednext_small", "pspseg_s", "lmsc_unet"}
    assert {path.stem for path in SAVED} >= networks
