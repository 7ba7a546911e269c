"""``python -m tests.helpers.record_published``: write tests/data/published/ and the files of ``BY_OWN_KEYS`` anew.

Only after tests/test_published.py and test_published_2d.py have passed beside ../shared: what the networks compute then
is what the published ones compute, for any weights. So the logits that are written here, of weights made by a recipe,
guard the published function for everybody, in a file a hundred times smaller than the weights.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lunet_networks import create_network, load_published_weights
from tests.helpers.published_networks import new_network
from tests.helpers.recipe import make_image, make_weights

DATA = Path(__file__).parents[1] / "data"
GOLDENS = DATA.parents[2] / "shared" / "reference" / "io"
GOLDENS_2D = GOLDENS.with_name("io2d")
COPIED = ("lunet_small_1f", "lunetpp_small_4f")  # small enough to be committed themselves
STEP = 8  # every eighth voxel of the logits along each axis
BY_RECIPE = (
    "unet_small_4f",
    "lunet_large_6f",
    "lunetpp_small_4f",
    "mednext_small",
    "stamp_4f",
    "pspseg_s_narrow",
    "pspseg_b_narrow_srm",
    "lvunet_train_act0",
)
BY_RECIPE_2D = {  # and the names of their goldens
    "unext_small": "unext",
    "malunet": "malunet",
    "ege_unet": "egeunet",
    "u_kan_narrow": "ukan",
    "unet_2d_narrow": "unet",
    "attention_unet_2d_narrow": "attunet",
    "unetpp_2d_narrow": "unetpp",
}
BY_OWN_KEYS = {"lv_unet": (1, 3, 128, 128), "mobilenetv3_unet": (1, 3, 96, 96)}  # and the shape of the image


def main() -> None:
    """Write all of them."""
    warnings.simplefilter("ignore")  # of load_published_weights
    for name in COPIED:
        _copy(name)
    goldens = {name: GOLDENS / name for name in BY_RECIPE}
    goldens |= {name: GOLDENS_2D / golden for name, golden in BY_RECIPE_2D.items()}
    for name, path in goldens.items():
        with np.load(f"{path}.npz") as golden:
            shapes = {key[3:]: golden[key].shape for key in golden.files if key.startswith("sd/")}
            image_shape = golden["input"].shape
        network = load_published_weights(new_network(name).double(), make_weights(shapes))
        _write(DATA / "published" / f"{name}.json", network, shapes, image_shape)
    for preset, image_shape in BY_OWN_KEYS.items():
        network = create_network(preset).double().eval()
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        network.load_state_dict(make_weights(shapes))
        _write(DATA / f"{preset}.json", network, shapes, image_shape)


def _copy(name: str) -> None:
    """The golden itself: its weights and input are exact in float16; of its logits every fourth voxel."""
    with np.load(GOLDENS / f"{name}.npz") as golden:
        arrays = {
            key: value.astype(np.float16) if value.dtype == np.float32 else value for key, value in golden.items()
        }
        assert all((arrays[key] == golden[key]).all() for key in golden.files if key != "logits")
        arrays["logits"] = golden["logits"][..., ::4, ::4, ::4]
    np.savez_compressed(DATA / "published" / f"{name}.npz", **arrays)


def _write(path: Path, network: nn.Module, shapes: dict[str, tuple[int, ...]], image_shape: tuple[int, ...]) -> None:
    image = make_image(image_shape)
    with torch.no_grad():
        logits = network(image)[(..., *[slice(None, None, STEP)] * (image.dim() - 2))]
    lines = [f"  {json.dumps(key)}: {json.dumps(shape)}" for key, shape in shapes.items()]
    parts = [f' "image": {json.dumps(image_shape)}', f' "logits": {json.dumps(logits.tolist())}', ' "shapes": {\n']
    text = ",\n".join(parts) + ",\n".join(lines)
    path.write_text(f"{{\n{text}\n }}\n}}\n", encoding="utf-8")  # a key a line, so that a change shows


if __name__ == "__main__":
    main()
