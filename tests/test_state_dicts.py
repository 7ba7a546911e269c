"""State dicts written in the past load for ever and give the logits that they gave."""

from pathlib import Path

import pytest
import torch

from lunet_networks import create_network

SAVED = sorted((Path(__file__).parent / "data").glob("*.pt"))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_saved_state_dict_gives_the_saved_logits(path: Path) -> None:
    saved = torch.load(path, weights_only=True)
    network = create_network(path.stem, **saved["keywords"])
    network.load_state_dict(saved["state_dict"])
    with torch.no_grad():
        logits = network.eval()(saved["image"])
    torch.testing.assert_close(logits, saved["logits"], atol=1e-5, rtol=1e-5)


def test_there_is_one_of_each_architecture() -> None:
    networks = {"lunet_small_1f", "lunet_large_6f", "lunetpp_small_1f", "mednext_small", "pspseg_s", "lmsc_unet"}
    assert {path.stem for path in SAVED} >= networks  # lv_unet, too large for a file, has its published weights
