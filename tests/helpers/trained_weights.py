"""What the weights that come with the bundles make of one phantom, those for pictures of one tile of nuclei;
``python -m tests.helpers.trained_weights`` writes it into tests/data/trained_weights.npz: whenever weights are added or
trained anew, and never otherwise."""

import json
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.authoring.samples.get_data import NUCLEI, phantom
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.outputs import RECORDS
from tests.helpers.running import run_bundle

BUNDLES = Path(__file__).parents[2] / "bundles"
TRAINED = {  # by the name of bundle and preset
    path.parent.relative_to(BUNDLES).as_posix().replace("/models", ""): path
    for path in sorted(BUNDLES.glob("*/models/**/model.pt"))
}
TILE = NUCLEI / "images" / "nuclei_r3c0.png"  # of those that ``lunet get-data nuclei`` copies
RECORDED = Path(__file__).parents[1] / "data" / "trained_weights.npz"
SEED = 14  # of a phantom in which most of them find some of every label
OTHER_SEEDS = {"unet_large/unet_large_6f": 42}  # of phantoms for those that do not in the first


def label(name: str, images: Path, output_dir: Path, **settings: object) -> None:
    """Label images with the weights of that name."""
    bundle, _, preset = name.partition("/")
    of_preset = {"preset": preset, "ckpt_dir": str(TRAINED[name].parent)} if preset else {}
    places = {"dataset_dir": str(images), "output_dir": str(output_dir)}
    run_bundle(BUNDLES / bundle, "inference", **places, **of_preset, **settings)


def make_phantom(name: str, folder: Path) -> Path:
    """An image in which these weights find some of every label; its axes and voxels are others than in training."""
    seed, target = OTHER_SEEDS.get(name, SEED), folder / "phantom"
    phantom(str(target), num_cases=1, seed=seed, difficulty="hard", orientation="LPS", spacing=(0.8, 1.0, 1.25))
    return target / "imagesTr" / "phantom_tr001.nii.gz"


def is_for_pictures(name: str) -> bool:
    """Whether the bundle of these weights takes pictures."""
    return FAMILIES[name.partition("/")[0]].colours


def validation_cases(name: str) -> list[str]:
    """The label maps that their training has validated, as its record in the bundle names them."""
    bundle, _, preset = name.partition("/")
    record = BUNDLES / bundle / "docs" / preset / RECORDS[outputs.RUN_RECORD]
    return json.loads(record.read_text(encoding="utf-8"))["cases"]["validation"]


def read_labels(path: Path) -> np.ndarray:
    """The voxels of a label map or of a picture of labels, an image as well."""
    voxels = Image.open(path) if path.suffix == ".png" else nibabel.load(path).dataobj
    return np.asarray(voxels)


def label_sample(name: str, folder: Path) -> tuple[float, np.ndarray]:
    """The mean of the phantom, or of the tile, and its label map.

    Args:
        name: of the weights.
        folder: where the phantom and what becomes of it may lie.
    """
    image, output_dir = TILE if is_for_pictures(name) else make_phantom(name, folder), folder / "labels"
    label(name, image, output_dir)
    (path,) = (path for path in output_dir.iterdir() if path.name.endswith((".png", ".nii.gz")))
    return float(read_labels(image).mean()), read_labels(path).astype(np.uint8)


def mean_key(name: str) -> str:
    """Under which the mean of the image is recorded that these weights have labelled."""
    return f"image of {name}"


def main() -> None:
    """Write the file."""
    recorded: dict[str, float | np.ndarray] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in TRAINED:
            recorded[mean_key(name)], recorded[name] = label_sample(name, Path(temporary, name))
    np.savez_compressed(RECORDED, **recorded)


if __name__ == "__main__":
    main()
