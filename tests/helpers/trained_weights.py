"""What the weights that come with the bundles make of one phantom; ``python -m tests.helpers.trained_weights`` writes
it into tests/data/trained_weights.npz: whenever weights are added or trained anew, and never otherwise."""

import tempfile
from pathlib import Path

import nibabel
import numpy as np

from lunet_networks.authoring.samples.get_data import phantom
from tests.helpers.running import run_bundle

BUNDLES = Path(__file__).parents[2] / "bundles"
TRAINED = {  # by the name of bundle and preset
    path.parent.relative_to(BUNDLES).as_posix().replace("/models", ""): path
    for path in sorted(BUNDLES.glob("*/models/**/model.pt"))
}
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


def label_phantom(name: str, image: Path, output_dir: Path) -> np.ndarray:
    """The label map of the phantom."""
    label(name, image, output_dir)
    (path,) = output_dir.glob("*.nii.gz")
    return np.asarray(nibabel.load(path).dataobj).astype(np.uint8)


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        image = make_phantom(folder)
        labels = {name: label_phantom(name, image, folder / name.replace("/", "_")) for name in TRAINED}
        np.savez_compressed(RECORDED, image=np.asarray(nibabel.load(image).dataobj).mean(), **labels)


if __name__ == "__main__":
    main()
