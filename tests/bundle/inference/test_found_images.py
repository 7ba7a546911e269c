"""The images of a folder for networks of one and of several channels."""

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from PIL import Image

from lunet_networks.bundle.inference.found_images import find_images
from lunet_networks.bundle.inference.images import InferenceImages

SHAPE = (4, 5, 6)


def write(folder: Path, *names: str, channels: int = 1) -> None:
    """Images of noise."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for name in names:
        path = folder / name
        shape = SHAPE if channels == 1 else (*SHAPE, channels)
        if path.suffix.lower() == ".png":
            shape = shape[:2] if channels == 1 else (*shape[:2], channels)
            Image.fromarray(random.integers(0, 255, shape).astype(np.uint8)).save(path)
        elif path.suffix.lower() == ".nrrd":
            nrrd.write(str(path), random.normal(size=shape))
        else:
            nib.save(nib.Nifti1Image(random.normal(size=shape).astype(np.float32), np.eye(4)), path)


def found(folder: Path, dims: int, channels: int) -> tuple[list, list[str]]:
    """The names of the found files, and the refusals."""
    images, refused = find_images(folder, dims, channels)
    names = [Path(image).name if isinstance(image, str) else [Path(path).name for path in image] for image in images]
    return names, [f"{path} {reason}" for path, reason in refused]


def test_channels_of_a_case_are_joined(tmp_path):
    write(tmp_path, "b_0001.nii.gz", "b_0000.nii.gz", "a_0000.NII.GZ", "a_0001.NII.GZ", "._a_0000.nii.gz")
    write(tmp_path, "c.nii.gz", channels=2)
    images = [["a_0000.NII.GZ", "a_0001.NII.GZ"], ["b_0000.nii.gz", "b_0001.nii.gz"], "c.nii.gz"]
    assert found(tmp_path, 3, 2) == (images, [])


def test_incomplete_cases_are_refused_and_the_others_found(tmp_path):
    write(
        tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii.gz", "c_0000.nii.gz", "c_0001.nii.gz", "c_0002.nii.gz"
    )
    (tmp_path / "d.nii.gz").mkdir()
    images, refused = found(tmp_path, 3, 2)
    assert images == [["a_0000.nii.gz", "a_0001.nii.gz"]]
    assert refused == [
        f"{tmp_path}/d.nii.gz is a folder, not an image",
        f"{tmp_path}/b_0001.nii.gz has no 0000 beside it: case b needs 0000, 0001",
        ", ".join(f"{tmp_path}/c_000{n}.nii.gz" for n in range(3)) + " are too many: case c needs 0000, 0001",
    ]


def test_a_network_of_one_channel_takes_every_file(tmp_path):
    write(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz")
    assert found(tmp_path, 3, 1) == (["a_0000.nii.gz", "a_0001.nii.gz"], [])


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_numbered_files_of_several_channels_are_images_of_their_own(tmp_path, ending):
    names = [f"scan_000{number}{ending}" for number in range(2)]
    write(tmp_path, *names, channels=2)
    assert found(tmp_path, 3, 2) == (names, [])


def test_pictures_in_colour_are_images_of_their_own(tmp_path):
    names = [f"frame_000{number}.PNG" for number in range(3)]
    write(tmp_path, *names, channels=3)
    assert found(tmp_path, 2, 3) == (names, [])


def test_grey_pictures_for_a_network_of_two_channels_are_joined(tmp_path):
    write(tmp_path, "a_0000.png", "a_0001.png", "b_0000.png")
    images, refused = found(tmp_path, 2, 2)
    assert images == [["a_0000.png", "a_0001.png"]]
    assert refused == [f"{tmp_path}/b_0000.png has no 0001 beside it: case b needs 0000, 0001"]


def test_grey_pictures_for_a_network_of_colours_may_be_channels(tmp_path):
    write(
        tmp_path, *(f"cell_000{number}.png" for number in range(3)), *(f"frame_000{number}.png" for number in range(4))
    )
    images, refused = found(tmp_path, 2, 3)
    assert images == [f"frame_000{number}.png" for number in range(4)]
    assert len(refused) == 1
    assert "cell_0000.png, " in refused[0]
    assert "may be grey pictures or the channels of one: name them in a list" in refused[0]


def test_a_file_without_a_number_beside_those_with_one(tmp_path):
    write(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    write(tmp_path, "a.nii.gz", channels=2)
    images, refused = found(tmp_path, 3, 2)
    assert images == [["b_0000.nii.gz", "b_0001.nii.gz"]]
    assert "are all case a: keep the file without a number, or those with one" in refused[0]


def test_label_maps_of_joined_channels_have_the_name_of_the_case(tmp_path):
    images = [["one/a_0000.nii.gz", "one/a_0001.nii.gz"], "two/a.nii.gz"]
    with pytest.raises(ValueError, match=r"label maps of one/a_0000.nii.gz and two/a.nii.gz would have the same name"):
        InferenceImages(images, tmp_path / "labels", in_channels=2).open()


def test_an_incomplete_case_is_among_the_refused_of_an_inference(tmp_path):
    write(tmp_path / "images", "a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii.gz")
    images = InferenceImages(tmp_path / "images", tmp_path / "labels", in_channels=2)
    images.open()
    files = [str(tmp_path / "images" / f"a_000{number}.nii.gz") for number in range(2)]
    assert images.data == [{"image": files, "case_name": "a"}]
    assert [path for path, _ in images.refused] == [str(tmp_path / "images" / "b_0001.nii.gz")]
    with pytest.raises(
        SystemExit, match=r"1 of 2 images could not be labelled:\n.*b_0001.nii.gz has no 0000 beside it"
    ):
        images.finish()
