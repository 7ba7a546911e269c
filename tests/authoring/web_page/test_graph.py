"""From networks to plans: the plan computes what the network does, in PyTorch and in the engine."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from lunet_networks import create_network, deploy
from lunet_networks.authoring.web_page import SOURCES
from lunet_networks.authoring.web_page.graph import network_program
from lunet_networks.authoring.web_page.reference import run_plan
from tests.helpers.pages import random_network

NETWORKS = {
    "unet": ("lunet_small_4f", {"spatial_dims": 3, "out_channels": 3}, (1, 16, 32, 16)),
    "wide rows": ("lunet_small_2f", {"spatial_dims": 3, "in_channels": 2}, (2, 16, 16, 48)),
    "unet of pictures": ("unet_small_4f", {"spatial_dims": 2, "in_channels": 3}, (3, 32, 48)),
    "norm first": ("lunet_small_2f", {"spatial_dims": 3, "adn_ordering": "NDA"}, (1, 16, 16, 16)),
    "unet++": ("lunetpp_small_2f", {"spatial_dims": 3}, (1, 16, 16, 32)),
    "mednext": ("mednext_small", {"out_channels": 2}, (1, 16, 16, 32)),
    "pspseg": ("pspseg_s", {"channels": (4, 6, 8)}, (1, 16, 16, 8)),
    "pspseg of many channels": ("pspseg_s", {"channels": (16, 32)}, (1, 8, 16, 8)),
    "pspseg of pictures": ("pspseg_s", {"spatial_dims": 2, "channels": (4, 6, 8)}, (1, 16, 32)),
    "lv_unet": ("lv_unet", {}, (3, 128, 128)),
    "lmsc_unet": ("lmsc_unet", {}, (3, 32, 48)),
}
ENGINE = """
import fs from 'node:fs';
import { createEngine } from SOURCE;
const [plan, weights, image, logits, wasm] = process.argv.slice(2);
const engine = await createEngine(fs.readFileSync(wasm), JSON.parse(fs.readFileSync(plan)), fs.readFileSync(weights));
const pixels = new Float32Array(new Uint8Array(fs.readFileSync(image)).buffer);
engine.run(pixels);
fs.writeFileSync(logits, new Uint8Array(engine.run(pixels).slice().buffer)); // a second run finds the memory used
"""


def planned(network, shape):
    program, image, logits = network_program(network, (1, *shape))
    return program.laid_out(image, logits), program.weights.content()


def run_engine(folder, plan, weights, image):
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "weights").write_bytes(weights)
    (folder / "image").write_bytes(image.tobytes())
    (folder / "run.mjs").write_text(ENGINE.replace("SOURCE", repr(str(SOURCES / "engine.mjs"))))
    files = [str(folder / name) for name in ("run.mjs", "plan.json", "weights", "image", "logits")]
    subprocess.run(["node", *files, str(SOURCES / "engine.wasm")], check=True, capture_output=True)
    return np.fromfile(folder / "logits", "<f4")


SLOW = ("unet++", "lv_unet", "lmsc_unet", "pspseg", "pspseg of many channels", "norm first", "wide rows")


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in NETWORKS])
def test_a_plan_gives_the_logits_of_its_network(name, tmp_path):
    preset, settings, shape = NETWORKS[name]
    network = random_network(create_network(preset, **settings))
    image = torch.randn(shape)
    with torch.no_grad():
        logits = network(image[None])[0].numpy()
    plan, weights = planned(network, shape)
    tolerance = 1e-5 * np.abs(logits).max()
    np.testing.assert_allclose(run_plan(plan, weights, image.numpy()).reshape(logits.shape), logits, atol=tolerance)
    if shutil.which("node"):
        np.testing.assert_allclose(
            run_engine(tmp_path, plan, weights, image.numpy()).reshape(logits.shape), logits, atol=tolerance
        )


MANY_CHANNELS = {
    "volume": (
        nn.Conv3d(16, 32, (1, 3, 3), padding=(0, 1, 1)),
        nn.Conv3d(32, 16, (3, 1, 3), padding=(1, 0, 1), bias=False),
        nn.Conv3d(16, 48, 3, stride=2, padding=1),
        nn.Conv3d(48, 16, 1, stride=2),
    ),
    "picture": (
        nn.Conv2d(16, 32, (1, 3), padding=(0, 1)),
        nn.Conv2d(32, 48, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(48, 16, 3, stride=2, padding=1),
    ),
}


@pytest.mark.parametrize("kind", MANY_CHANNELS)
def test_one_kernel_computes_convolutions_of_many_channels(kind, tmp_path):
    network = nn.Sequential(*MANY_CHANNELS[kind])
    image = torch.randn(16, *(5, 7, 9)[: len(network[0].kernel_size)])
    with torch.no_grad():
        logits = network(image[None])[0].numpy()
    plan, weights = planned(network, image.shape)
    assert {function for function, *_ in plan["steps"]} == {"conv_wide"}
    tolerance = 1e-5 * np.abs(logits).max()
    np.testing.assert_allclose(run_plan(plan, weights, image.numpy()).reshape(logits.shape), logits, atol=tolerance)
    if shutil.which("node"):
        found = run_engine(tmp_path, plan, weights, image.numpy())
        np.testing.assert_allclose(found.reshape(logits.shape), logits, atol=tolerance)


def test_a_deployed_network_has_a_plan():
    network = deploy(random_network(create_network("lunet_small_2f")))
    image = torch.randn(1, 16, 16, 16)
    with torch.no_grad():
        logits = network(image[None])[0].numpy()
    found = run_plan(*planned(network, image.shape), image.numpy())
    np.testing.assert_allclose(found, logits, atol=1e-5 * np.abs(logits).max())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Tanh()), r"no aten\.tanh\.default, which this network needs"),
        (nn.Conv3d(1, 2, 3, padding=2, dilation=2), "no dilated conv3d"),
        (nn.Sequential(nn.Conv3d(1, 4, 1), nn.GroupNorm(2, 4)), "no norm of groups of several channels"),
        (nn.MaxPool3d(3), "pools by 2 only"),
    ],
)
def test_what_the_engine_lacks_is_named(network, message):
    with pytest.raises(ValueError, match=message):
        network_program(network, (1, 1, 8, 8, 8))
