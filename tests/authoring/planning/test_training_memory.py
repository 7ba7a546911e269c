"""The estimate of a training's memory against what real training steps take, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lunet_networks import create_network
from lunet_networks.authoring.planning.training_memory import TRAINING_BASE_MEMORY, estimate_training_memory

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


def network_for(preset, shape):
    return create_network(
        preset, spatial_dims=len(shape) - 2, in_channels=shape[1], out_channels=OUT_CHANNELS, dropout=0.005
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak memory of a process")
@pytest.mark.parametrize(
    ("preset", "shape"),
    [
        ("lunet_small_1f", (1, 1, 128, 128, 128)),  # oneDNN's copies of a single volume
        ("mednext_small", (2, 1, 64, 64, 64)),
        ("mednext_small", (8, 1, 512, 512)),
        ("lunet_small_4f", (16, 1, 512, 512)),
    ],
)
@pytest.mark.parametrize("kernels", ["off", "auto"])
def test_bounds_the_memory_of_real_steps(preset, shape, kernels):
    process = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps([preset, shape, OUT_CHANNELS])],
        env={**os.environ, "OMP_NUM_THREADS": "1", "LUNET_KERNELS": kernels},
        capture_output=True,
        text=True,
        check=True,
    )
    base, measured = json.loads(process.stdout)
    assert base < TRAINING_BASE_MEMORY
    estimate = estimate_training_memory(network_for(preset, shape), shape, "dice_bce") - TRAINING_BASE_MEMORY
    assert 0.9 * measured < estimate
    if kernels == "off":  # the kernels keep less
        assert estimate < 1.4 * measured


def test_it_is_more_than_an_idle_process_takes():
    shape = (2, 1, 16, 16, 32)
    assert estimate_training_memory(network_for("lunet_small_1f", shape), shape, "dice_bce") > TRAINING_BASE_MEMORY
