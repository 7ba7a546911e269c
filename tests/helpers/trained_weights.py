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


def label(name: str, images: Path, output_dir: Path, **settings: object) -> None:
    """Label images with the weights of that name."""
    bundle, _, preset = name.partition("/")
    of_preset = {"preset": preset, "ckpt_dir": str(TRAINED[name].parent)} if preset else {}
    places = {"dataset_dir": str(images), "output_dir": str(output_dir)}
    run_bundle(BUNDLES / bundle, "inference", **places, **of_preset, **settings)


def make_phantom(folder: Path) -> Path:
    """An image in which all of them find some of every label, with other axes and voxels than they were trained on."""
    geometry = {"orientation": "LPS", "spacing": (0.8, 1.0, 1.25)}
    phantom(str(folder / "phantom"), num_cases=1, seed=14, difficulty="hard", **geometry)
    return folder / "phantom" / "imagesTr" / "phantom_tr001.nii.gz"


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


def label_sample(name: str, phantom_image: Path, output_dir: Path) -> np.ndarray:
    """The label map of the phantom, or of the tile."""
    if is_for_pictures(name):
        label(name, TILE, output_dir)
    else:
        label(name, phantom_image, output_dir)
    (path,) = (path for path in output_dir.iterdir() if path.name.endswith((".png", ".nii.gz")))
    return read_labels(path).astype(np.uint8)


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        image = make_phantom(folder)
        labels = {name: label_sample(name, image, folder / name.replace("/", "_")) for name in TRAINED}
        np.savez_compressed(RECORDED, image=read_labels(image).mean(), **labels)


if __name__ == "__main__":
    main()
