"""The application of docs/deploy_app.md in the real MONAI Deploy, with a packed bundle as a file and as a folder."""

import os
import re
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from lunet_networks.authoring.packaging.package import package_bundle
from tests.helpers.consumers import REPOSITORY, call
from tests.helpers.running import run_bundle

DEPLOY_PYTHON = os.environ.get("DEPLOY_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DEPLOY_PYTHON, reason="DEPLOY_PYTHON names no Python that has MONAI Deploy"),
]
APP = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
WRITE_SERIES = """
import sys
from pathlib import Path
import nibabel
import numpy as np
from tests.helpers.dicom import write_series
image = nibabel.load(sys.argv[1])
write_series(Path(sys.argv[2]), np.asarray(image.dataobj), image.affine)
"""
LABELS = """
import sys
import highdicom
import nibabel
import numpy as np
segmentation = highdicom.seg.segread(sys.argv[1])
names = [segmentation.get_segment_description(number).segment_label for number in segmentation.segment_numbers]
assert names == ["anterior", "posterior"], names
volume = segmentation.get_volume(combine_segments=True)
image = nibabel.load(sys.argv[2])
found = np.argwhere(volume.array)
places = np.c_[found, np.ones(len(found))] @ volume.affine.T @ np.diag([-1, -1, 1, 1])
voxels = np.rint(places @ np.linalg.inv(image.affine).T)[:, :3].astype(int)
labels = np.zeros(image.shape, np.uint8)
labels[tuple(voxels.T)] = volume.array[tuple(found.T)]
np.save(sys.argv[3], labels)
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    bundle = REPOSITORY / "bundles" / "lunet_small"
    package_bundle(str(bundle), str(bundle / "models" / "model.pt"), output_dir=str(folder))
    with zipfile.ZipFile(next(folder.glob("*.zip"))) as archive:
        archive.extractall(folder)
    return folder / "lunet_small_4f"


@pytest.fixture
def image(tmp_path: Path, tiny_dataset: Path) -> Path:
    """A phantom of whole numbers, with thin slices from the head to the feet."""
    source = nibabel.load(next((tiny_dataset / "imagesTr").iterdir()))
    voxels = np.asarray(source.dataobj, float)
    voxels = np.round(1000 * (voxels - voxels.min()) / np.ptp(voxels)).astype(np.int16)
    path = tmp_path / "phantom.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1, -1, -1.25, 1])), path)
    return path


@pytest.mark.parametrize("model", ["file", "folder"])
def test_an_application_gives_the_labels_of_an_inference(packed: Path, image: Path, tmp_path: Path, model: str) -> None:
    run_bundle(packed, "inference", dataset_dir=str(image), output_dir=str(tmp_path / "labels"))
    expected = np.asarray(nibabel.load(tmp_path / "labels" / "phantom_seg.nii.gz").dataobj)
    call(DEPLOY_PYTHON, "-c", WRITE_SERIES, str(image), str(tmp_path / "dicom"), folder=tmp_path)
    (tmp_path / "app.py").write_text(APP.search((REPOSITORY / "docs" / "deploy_app.md").read_text())[1])
    words = ["app.py", "-i", "dicom", "-o", "seg"]
    if model == "file":
        call(DEPLOY_PYTHON, *words, "-m", str(packed / "models" / "model.ts"), folder=tmp_path, path=[packed])
    else:
        call(DEPLOY_PYTHON, *words, folder=tmp_path, path=[], BUNDLE=str(packed))
    (segmentation,) = (tmp_path / "seg").glob("*.dcm")
    call(DEPLOY_PYTHON, "-c", LABELS, str(segmentation), str(image), str(tmp_path / "found.npy"), folder=tmp_path)
    assert (np.load(tmp_path / "found.npy") == expected).all()
    assert set(np.unique(expected)) == {0, 1, 2}
