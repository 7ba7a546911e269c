"""The estimate of a training step's memory against what real training steps take, in processes of their own."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lunet_networks import create_network
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.memory import TRAINING_BASE_MEMORY, estimate_training_memory

MIB = 2**20
OUT_CHANNELS = 3
MEASURE = """
import json, sys
import monai.engines, torch
from lunet_networks import create_network
from lunet_networks.bundle.runtime.memory_format import channels_last, prepare_batch
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.bundle.training.optimizers import create_optimizer

def resident(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key + ":"))

def train(preset, shape, steps):
    dims = len(shape) - 2
    network = create_network(preset, spatial_dims=dims, in_channels=shape[1], out_channels=out_channels, dropout=0.005)
    network.to(memory_format=channels_last(dims)).train()
    loss = SegmentationLoss("dice_bce", out_channels)
    optimizer = create_optimizer("adam", network, 1e-3)
    for _ in range(steps):
        label = torch.randint(0, out_channels, (shape[0], 1, *shape[2:])).float()
        image, label = prepare_batch({"image": torch.rand(shape), "label": label})
        optimizer.zero_grad()
        logits = network(image)
        loss(logits, label).backward()
        optimizer.step()

preset, shape, out_channels = json.loads(sys.argv[1])
keep_freed_memory()
train("lunet_small_4f", (2, 1, 16, 16, 32), steps=1)
base = resident("VmRSS")
train(preset, shape, steps=2)
print(json.dumps([base, resident("VmHWM") - base]))
"""


def estimate(preset: str, shape: tuple[int, ...], out_channels: int = OUT_CHANNELS) -> int:
    network = create_network(
        preset, spatial_dims=len(shape) - 2, in_channels=shape[1], out_channels=out_channels, dropout=0.005
    )
    return estimate_training_memory(network, shape, SegmentationLoss("dice_bce", out_channels))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak memory of a process")
@pytest.mark.parametrize(
    ("preset", "shape"),
    [
        ("lunet_small_1f", (1, 1, 128, 128, 128)),  # oneDNN's copies of a single volume
        ("mednext_small", (2, 1, 64, 64, 64)),
        ("lunet_small_4f", (16, 1, 512, 512)),
    ],
)
def test_bounds_the_memory_of_real_steps(preset, shape):
    process = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps([preset, shape, OUT_CHANNELS])],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    base, measured = json.loads(process.stdout)
    assert base < TRAINING_BASE_MEMORY
    assert 0.9 * measured < estimate(preset, shape) < 1.4 * measured


@pytest.mark.parametrize("preset", ["lunet_small_4f", "unetpp_large_6f", "mednext_small"])
def test_grows_linearly_with_the_batch(preset):
    of_batch = {batch: estimate(preset, (batch, 1, 32, 32, 32)) for batch in (2, 4, 6)}
    assert of_batch[2] > 0
    assert of_batch[4] - of_batch[2] == pytest.approx(of_batch[6] - of_batch[4], rel=0.01)


def test_grows_with_volume_and_outputs():
    sizes = [(2, 1, 32, 32, 32), (2, 1, 32, 32, 64), (2, 1, 64, 64, 64)]
    small, double, eightfold = (estimate("lunet_small_4f", shape) for shape in sizes)
    assert double == pytest.approx(2 * small, rel=0.02)
    assert eightfold == pytest.approx(8 * small, rel=0.02)
    assert estimate("lunet_small_4f", sizes[0], out_channels=10) > small


def test_weights_count_with_gradients_and_moments():
    shape = (2, 1, 16, 16, 32)
    network = create_network("unet_large_24f")
    parameters = sum(parameter.nbytes for parameter in network.parameters())
    assert 4 * parameters < estimate("unet_large_24f", shape, out_channels=1) < 4 * parameters + 100 * MIB


def test_network_stays_as_it_is_and_nothing_is_allocated():
    network = create_network("lunet_small_4f").eval()
    before = copy.deepcopy(network.state_dict())
    shape = (64, 1, 1024, 1024, 1024)  # tebibytes
    assert estimate_training_memory(network, shape, SegmentationLoss("dice_bce", 1)) > 2**40
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(not module._forward_hooks for module in network.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_input_that_the_network_cannot_take():
    with pytest.raises(ValueError, match="multiple of 16"):
        estimate("lunet_small_4f", (2, 1, 48, 50, 48))
