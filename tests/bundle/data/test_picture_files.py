"""PNG, JPG and TIFF: what is read of them, what is refused, and label maps that lie over them."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Orientationd
from PIL import Image

from lunet_networks.bundle.data.checks import check_data
from lunet_networks.bundle.data.readable import UnreadableFileError
from lunet_networks.bundle.data.readers import LoadImaged
from lunet_networks.bundle.inference.found_images import find_images
from tests.helpers.runnable import RunnableBundle

SHAPE = (30, 44)  # rows and columns: what is turned or mirrored shows
GREY = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 200, (*SHAPE, 3)).astype(np.uint8)
MASK = np.zeros(SHAPE, bool)
MASK[3:9, 5:30] = MASK[9:20, 5:12] = True
THRESHOLD_NETWORK = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 1}


def load(path: Path, key: str = "image") -> np.ndarray:
    return LoadImaged(key)({key: str(path)})[key].numpy()


def saved(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "LA", "RGBA"])
@pytest.mark.parametrize("ending", ["png", "tif", "TIFF", "PNG"])
def test_grey_is_grey_however_it_is_stored(tmp_path, mode, ending):
    if (mode, ending.lower()) == ("LA", "tif"):
        mode = "L"
    np.testing.assert_array_equal(load(saved(tmp_path / f"a.{ending}", GREY, mode)), GREY.T[None])


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_three_channels(tmp_path, mode):
    read = load(saved(tmp_path / "a.png", COLOUR, mode))
    np.testing.assert_array_equal(read, COLOUR.transpose(2, 1, 0))


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_stay(tmp_path, ending):
    deep = GREY.astype(np.uint16) * 300
    np.testing.assert_array_equal(load(saved(tmp_path / f"a.{ending}", deep)), deep.T[None])


def test_floats_stay(tmp_path):
    np.testing.assert_array_equal(load(saved(tmp_path / "a.tif", GREY / np.float32(7))), GREY.T[None] / np.float32(7))


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 1), (8, 3)])
def test_a_photograph_is_turned_as_a_viewer_turns_it(tmp_path, orientation, turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.rot90(GREY, turns)
    np.testing.assert_array_equal(load(saved(tmp_path / "a.png", stored, exif=exif)), GREY.T[None])


def test_rows_run_downwards(tmp_path):
    case = LoadImaged("image")({"image": str(saved(tmp_path / "a.png", GREY))})
    upwards = Orientationd("image", axcodes="RA", labels=None)(case)["image"]
    np.testing.assert_array_equal(upwards.numpy()[0], GREY[::-1].T)


def test_a_mask_may_be_of_0_and_255_or_0_and_1(tmp_path):
    for scale in (1, 255):
        mask = saved(tmp_path / "mask.png", MASK.astype(np.uint8) * np.uint8(scale))
        np.testing.assert_array_equal(load(mask, "label")[0], MASK.T)
    np.testing.assert_array_equal(load(saved(tmp_path / "bits.png", MASK), "label")[0], MASK.T)
    black_and_white = load(saved(tmp_path / "image.png", MASK.astype(np.uint8) * 255))
    assert black_and_white.max() == 255, "an image keeps its values"


def case(folder: Path, image: np.ndarray = GREY, mask: np.ndarray = MASK * 255, name: str = "a", ending: str = "png"):
    return {
        "image": str(saved(folder / f"{name}.png", image)),
        "label": str(saved(folder / f"{name}_mask.{ending}", mask.astype(np.uint8))),
    }


def fault(datalist: list, in_channels: int = 1) -> str:
    with pytest.raises(ValueError, match="the data cannot be used") as error:
        check_data(datalist, in_channels, range(2), 2)
    return str(error.value)


def test_masks_that_cannot_be_used_are_named(tmp_path):
    three = np.where(GREY > 150, 128, MASK * 255)
    assert "a_mask.png holds the values 128, 255, the labels are 0, 1, or 0 and 255" in fault(
        [case(tmp_path, mask=three)]
    )
    told = fault([case(tmp_path, mask=np.where(MASK, 255, GREY % 3), ending="jpg")])
    assert "the labels are 0, 1, or 0 and 255; JPG alters values, PNG keeps them" in told
    assert "a_mask.png is 30 x 44 voxels, its image 44 x 30: they have to be equal" in fault(
        [case(tmp_path, mask=MASK.T)]
    )
    assert "a_mask.png has 3 channels, a label has one" in fault([case(tmp_path, mask=COLOUR)])


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    good = case(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "short.png").write_bytes(Path(good["image"]).read_bytes()[:700])
    saved(tmp_path / "clear.png", np.dstack([COLOUR, GREY]))
    Image.fromarray(GREY).save(tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(GREY)])
    told = fault([{**good, "image": str(path)} for path in sorted(tmp_path.iterdir()) if path.stem != "a"])
    assert "text.png cannot be read: cannot identify image file" in told
    assert "short.png cannot be read: " in told
    assert "clear.png cannot be read: parts of it are transparent" in told
    assert "pages.tif cannot be read: it holds 2 pages, but only files with one page" in told


def test_grey_among_colours_is_taken_and_told_and_colours_among_grey_are_not(tmp_path, caplog):
    cases = [case(tmp_path), case(tmp_path, COLOUR, name="b"), case(tmp_path, COLOUR, name="c")]
    with caplog.at_level(logging.WARNING):
        assert check_data(cases, in_channels=3, label_values=range(2), spatial_dims=2).in_channels == 3
    assert "1 of 3 pictures are grey: they are read as three equal channels" in caplog.text
    assert check_data(cases).in_channels == 3
    assert "b.png has 3 channels, 1 are needed" in fault(cases)
    for channels, faults in ((3, [[], [], []]), (1, [[], *[["has 3 channels, 1 are needed"]] * 2])):
        load = LoadImaged("image", in_channels=channels, spatial_dims=2)
        assert [load.examine("image", case["image"])[1] for case in cases] == faults


def test_a_colour_that_a_picture_lacks_is_no_fault(tmp_path):
    green = COLOUR * np.uint8([0, 1, 0])
    assert check_data([case(tmp_path, green)], 3, range(2), 2).shapes == ((44, 30),)
    assert "a.png has a channel with the value 7 only" in fault([case(tmp_path, np.full(SHAPE, 7, np.uint8))])


def test_pictures_of_a_folder_are_found_for_a_2d_network(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.tiff", "d.txt"):
        (tmp_path / name).touch()
    assert [Path(path).name for path in find_images(tmp_path, 2)[0]] == ["a.jpg", "b.PNG", "c.tiff"]
    with pytest.raises(ValueError, match="no images in"):
        find_images(tmp_path)


@pytest.fixture
def bundle(tmp_path):
    """A bundle for pictures whose network finds what is brighter than the mean."""
    settings = {"label_names": ["bright"], "roi_size": [32, 32], "pixdim": [1.0, 1.0], "mirrored_axes": [0, 1]}
    bundle = RunnableBundle(tmp_path / "bundle", **settings)
    torch.save({"weight": torch.full((1, 1, 1, 1), 20.0), "bias": torch.zeros(1)}, bundle.model)
    return bundle


@pytest.mark.parametrize("flip_tta", [False, True])
def test_the_label_map_of_a_picture_lies_over_it(bundle, tmp_path, flip_tta):
    bright = np.where(MASK, 200, 20).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(tmp_path / "in" / "grey.png", bright)
    saved(tmp_path / "in" / "rgb.tif", np.dstack([bright] * 3))
    saved(tmp_path / "in" / "photo.jpg", np.rot90(bright), exif=exif, quality=100)
    settings = {"network_def": THRESHOLD_NETWORK, "flip_tta": flip_tta, "save_probabilities": True}
    places = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    workflow = bundle.workflow("inference", **places, **settings)
    workflow.run()
    assert workflow.evaluator.state.output[0]["pred"].shape == SHAPE[::-1], "as MONAI Label writes pictures"
    for name in ("grey", "rgb", "photo"):
        with Image.open(tmp_path / "out" / f"{name}_seg.png") as written:
            assert (written.mode, written.size) == ("L", SHAPE[::-1])
            np.testing.assert_array_equal(np.asarray(written), MASK * 255)
        assert (tmp_path / "out" / f"{name}_prob.nii.gz").is_file()
    assert len(list((tmp_path / "out").glob("*_*.*"))) == 6


def test_several_labels_are_written_as_their_values(tmp_path):
    settings = {"label_names": ["bright", "none"], "roi_size": [32, 32], "pixdim": [1.0, 1.0]}
    bundle = RunnableBundle(tmp_path / "bundle", **settings)
    weights = {"weight": torch.tensor([0.0, 20.0, 0.0]).view(3, 1, 1, 1), "bias": torch.tensor([0.0, 0.0, -1000.0])}
    torch.save(weights, bundle.model)
    image = saved(tmp_path / "grey.png", np.where(MASK, 200, 20).astype(np.uint8))
    bundle.infer(image, tmp_path / "out", network_def={**THRESHOLD_NETWORK, "out_channels": 3})
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "grey_seg.png")), MASK)


@pytest.mark.parametrize(("ending", "settings"), [("png", {}), ("tif", {"compression": "tiff_adobe_deflate"})])
def test_damage_of_compressed_pixels_is_noticed_wherever_it_is(tmp_path, ending, settings):
    whole = saved(tmp_path / f"a.{ending}", COLOUR, **settings).read_bytes()
    start, end = (whole.index(b"IDAT") + 4, len(whole)) if ending == "png" else (8, 8 + strip_bytes(tmp_path / "a.tif"))
    for place in range(start, end, 101):
        (tmp_path / f"b.{ending}").write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(UnreadableFileError, match=rf"b.{ending} cannot be read: "):
            load(tmp_path / f"b.{ending}")


def strip_bytes(path: Path) -> int:
    with Image.open(path) as picture:
        assert picture.tag_v2[273] == (8,)
        return sum(picture.tag_v2[279])
