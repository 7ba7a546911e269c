"""The table of layers is written where it belongs, whatever their speed."""

from unittest.mock import patch

import pytest
import torch

from lunet_networks import kernels
from tools.bench_layers import COMMAND, bench_layers, layers

pytestmark = pytest.mark.skipif(not kernels.apply_to(torch.zeros(1)), reason="there is no C++ compiler")


@torch.no_grad()
def test_kernels_compute_what_their_layers_compute():
    for name, layer, image, kernel in layers():
        with patch.object(kernels, "apply_to", return_value=False):
            plain = layer(image)
        assert torch.allclose(plain, kernel(), rtol=1e-4, atol=1e-4), name


def test_a_row_for_each_layer(tmp_path):
    document = tmp_path / "speed.md"
    document.write_text(f"before\n<!-- layers: written by {COMMAND} -->\n<!-- end of layers -->\nafter\n")
    bench_layers(rounds=1, document=str(document))
    rows = [line.strip("| ").split(" | ") for line in document.read_text().splitlines() if line.startswith("|")]
    assert {row[-1] for row in rows[2:]} == {"yes", "no"}
    assert all(float(cell) > 0 for row in rows[2:] for cell in row[1:4])
    assert kernels.apply_to(torch.zeros(1))  # as before
