"""A bundle of the deployed network gives the masks of the trained one, and is a bundle for everyone."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from lunet_networks import create_network
from lunet_networks.authoring.checking.verify import find_faults
from lunet_networks.authoring.exporting.deploy import deploy_bundle
from lunet_networks.authoring.packaging.package import package_bundle
from lunet_networks.authoring.samples.get_data import NUCLEI, nuclei
from lunet_networks.bundle.report.summaries import read_rows
from tests.helpers.randomised import randomise
from tests.helpers.running import run_bundle

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def trained(repository: Path, tmp_path: Path) -> Path:
    """The bundle lv_unet with weights that tell pixels apart, as a training leaves them at its end."""
    bundle = shutil.copytree(repository / "bundles" / "lv_unet", tmp_path / "trained")
    write_weights(bundle, slope=1.0)
    return bundle


def write_weights(bundle: Path, slope: float) -> None:
    tiles = [np.asarray(Image.open(path)) for path in sorted((NUCLEI / "images").iterdir())]
    image = ((torch.tensor(np.stack(tiles)).float() - 116) / 57)[:, None].expand(-1, 3, -1, -1)
    network = create_network("lv_unet")
    network.set_slope(slope)
    randomise(network, image)
    with torch.no_grad():
        network.head.bias -= network(image).median()
    (bundle / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), bundle / "models" / "model.pt")


def masks(bundle: Path, images: Path, output: Path) -> dict[str, np.ndarray]:
    run_bundle(bundle, "inference", dataset_dir=str(images), output_dir=str(output))
    return {path.name: np.asarray(Image.open(path)) for path in sorted(output.glob("*.png"))}


def test_the_deployed_bundle_gives_the_same_masks_and_figures(trained: Path, tmp_path: Path) -> None:
    deployed, data = tmp_path / "deployed", tmp_path / "nuclei"
    nuclei(str(data))
    deploy_bundle(str(trained), str(deployed))
    assert sum(value.numel() for value in torch.load(deployed / "models" / "model.pt").values()) == 510_985

    before, after = (masks(bundle, data / "images", tmp_path / bundle.name / "eval") for bundle in (trained, deployed))
    assert len(before) == 16
    assert any(0 < mask.mean() < 255 for mask in before.values())
    for name, mask in before.items():
        assert (mask != after[name]).mean() < 1e-3, "a logit of zero may fall to either side"

    for bundle in (trained, deployed):
        folders = {"output_dir": str(bundle / "figures"), "ckpt_dir": str(bundle / "models")}
        run_bundle(bundle, "train", "evaluate", dataset_dir=str(data), **folders)
    before, after = (read_rows(bundle / "figures" / "cases.csv") for bundle in (trained, deployed))
    dice = [float(row["dice"]) for row in before]
    assert [float(row["dice"]) for row in after] == pytest.approx(dice, abs=1e-3)


def test_it_is_a_bundle_for_every_consumer(trained: Path, tmp_path: Path) -> None:
    deployed = tmp_path / "deployed"
    deploy_bundle(str(trained), str(deployed))
    assert [str(fault) for faults in find_faults(deployed).values() for fault in faults] == []
    metadata = json.loads((deployed / "configs" / "metadata.json").read_text())
    assert "510,985 of 934,545 parameters are left" in metadata["description"]
    card = (deployed / "docs" / "README.md").read_text()
    assert "| `deep_training` | `none` |" in card


@pytest.mark.slow
def test_it_can_be_packed(trained: Path, tmp_path: Path) -> None:
    deployed = tmp_path / "deployed"
    deploy_bundle(str(trained), str(deployed))
    package_bundle(str(deployed), str(deployed / "models" / "model.pt"), output_dir=str(tmp_path / "dist"))
    assert len(list((tmp_path / "dist").glob("deployed_v*.zip"))) == 1


def test_a_lean_bundle_gives_the_same_probabilities(repository: Path, tmp_path: Path) -> None:
    source, deployed = repository / "bundles" / "lunet_small", tmp_path / "deployed"
    deploy_bundle(str(source), str(deployed))
    assert [str(fault) for faults in find_faults(deployed).values() for fault in faults] == []
    assert not [name for name in torch.load(deployed / "models" / "model.pt") if "running_mean" in name]
    image = tmp_path / "image.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((40, 50, 40), np.float32), np.eye(4)), image)
    probabilities = []
    for bundle in (source, deployed):
        output = tmp_path / bundle.name / "labels"
        run_bundle(bundle, "inference", dataset_dir=str(image), output_dir=str(output), save_probabilities="True")
        probabilities.append(nib.load(output / "image_prob.nii.gz").get_fdata())
    assert probabilities[0].std() > 0.1
    assert np.abs(probabilities[0] - probabilities[1]).max() < 1e-4


def test_what_is_refused(trained: Path, repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "deployed"
    with pytest.raises(ValueError, match="is the bundle itself"):
        deploy_bundle(str(trained), str(trained), overwrite=True)
    with pytest.raises(ValueError, match=r"the MedNeXt of .* cannot be fused: its norms depend on the image"):
        deploy_bundle(str(repository / "bundles" / "mednext_small"), str(output))
    (trained / "models" / "model.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.pt"):
        deploy_bundle(str(trained), str(output))
    write_weights(trained, slope=0.99)
    with pytest.raises(ValueError, match=r"the slope in the blocks of this LV-UNet is 0\.99, but it has to be 1"):
        deploy_bundle(str(trained), str(output))
    assert not output.exists()
    (output / "configs").mkdir(parents=True)
    (output / "configs" / "metadata.json").write_text("{}")
    with pytest.raises(FileExistsError, match="is not empty"):
        deploy_bundle(str(trained), str(output))
