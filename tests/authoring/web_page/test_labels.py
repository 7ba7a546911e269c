"""The label maps of pages, in node, against those of Python: geometries, formats, settings, and files that are
refused."""

import gzip
import json
import shutil
import struct
import subprocess

import nibabel as nib
import nrrd
import numpy as np
import pytest
from PIL import Image

from lunet_networks import create_network
from lunet_networks.authoring.web_page.trial import label_in_node
from tests.helpers.pages import Page, random_network, saved, volume

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine")
PERMUTED = np.array([[0, 0, -1.1, 20], [0.9, 0, 0, 5], [0, -1.3, 0, 8], [0, 0, 0, 1.0]])
OBLIQUE = np.array([[0.9, -0.3, 0.1, 40], [0.3, 1.1, -0.2, -12], [0.0, 0.3, 1.3, 7], [0, 0, 0, 1.0]])
SHEARED = np.array([[1, 0.2, 0.0, 0], [0, 1.1, 0.3, 0], [0, 0.0, 0.9, 0], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return Page(tmp_path_factory.mktemp("page"))


@pytest.fixture
def in_folder(page, tmp_path):
    page.folder = tmp_path
    return page


def with_forms(path, sform, qform, kind=nib.Nifti1Image, dtype=np.float32):
    image = kind(volume(5).astype(dtype), None)
    image.header.set_sform(OBLIQUE, code=sform)
    image.header.set_qform(np.diag([-1, 1.2, 1, 1.0]), code=qform)
    image.header["pixdim"][1:4] = [1, 1.2, 1]
    nib.save(image, path)
    return path


def big_endian(path):
    image = nib.Nifti1Image(volume(6).astype(">i2"), PERMUTED, nib.Nifti1Header(endianness=">"))
    image.header.set_data_dtype(">i2")
    image.header.set_slope_inter(0.5, -20)
    nib.save(image, path)
    return path


def write_nrrd(path, **header):
    nrrd.write(str(path), volume(7), header)
    return path


def test_geometries_and_formats(in_folder, tmp_path):
    placed = {
        "space": "left-posterior-superior",
        "space directions": OBLIQUE[:3, :3].T.tolist(),
        "space origin": [1, 2, 3],
    }
    cases = [
        saved(tmp_path / "permuted.nii.gz", volume(0), PERMUTED),
        saved(tmp_path / "oblique.nii.gz", volume(1, (70, 31, 22)), OBLIQUE),
        saved(tmp_path / "sheared.nii", volume(2), SHEARED),
        saved(tmp_path / "thick.nii.gz", volume(3, (40, 45, 9)), np.diag([-0.7, -0.8, 4, 1.0])),
        saved(tmp_path / "four_axes.nii.gz", volume(4)[..., None]),
        with_forms(tmp_path / "qform.nii.gz", 0, 1),
        with_forms(tmp_path / "both.nii.gz", 2, 1, dtype=np.float64),
        with_forms(tmp_path / "neither.nii.gz", 0, 0, dtype=np.int32),
        with_forms(tmp_path / "second.nii.gz", 1, 0, nib.Nifti2Image),
        big_endian(tmp_path / "big_endian.nii.gz"),
        write_nrrd(tmp_path / "bare.nrrd"),
        write_nrrd(tmp_path / "raw.nrrd", encoding="raw", **placed),
    ]
    different, labelled = in_folder.differing(label_in_node, [[path] for path in cases])
    assert (different, labelled > 1000) == (0, True)
    for path in cases[:10]:
        name = f"{path.name.split('.')[0]}_seg.nii.gz"
        by_python, by_page = (nib.load(tmp_path / folder / name) for folder in ("by_python", "by_page"))
        for field, value in by_python.header.items():
            np.testing.assert_array_equal(by_page.header[field], value, f"{name}: {field}")
        assert by_page.header.extensions == by_python.header.extensions
        assert b">posterior</Label>" in by_page.header.extensions[0].get_content()


CHANNELS = {
    "in_channels": 2,
    "preprocessing#transforms#4": {
        "_target_": "lunet_networks.bundle.data.NormalizeChannelsd",
        "keys": "image",
        "channels": [{"lower": 100.0, "upper": 800.0, "mean": 400.0, "std": 150.0}, None],
    },
}
CT = {"_target_": "ScaleIntensityRanged", "keys": "image", "clip": True}
SETTINGS = {
    "flip, largest component, overlap": {"flip_tta": True, "largest_component_only": True, "overlap": 0.6},
    "CT": {"preprocessing#transforms#4": {**CT, "a_min": 100.0, "a_max": 900.0, "b_min": -1.7, "b_max": 2.1}},
    "not 0": {"preprocessing#transforms#4#nonzero": True, "pixdim": [1.3, 0.8, 1.0]},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name, tmp_path):
    voxels = volume(8, (40, 30, 36))
    path = saved(tmp_path / "image.nii.gz", np.where(voxels < 300, 0, voxels), PERMUTED)
    network = random_network(create_network("lunet_small_2f", out_channels=3))
    page = Page(tmp_path, {"roi_size": [32, 16, 16], **SETTINGS[name]}, network)
    different, labelled = page.differing(label_in_node, [[path]])
    assert (different, labelled > 100) == (0, True)


@pytest.mark.parametrize("out_channels", [1, 3])
def test_channels_in_a_file_each_and_outputs(out_channels, tmp_path):
    network = random_network(create_network("lunet_small_2f", in_channels=2, out_channels=out_channels))
    changes = {**CHANNELS, "roi_size": [32, 16, 16], "out_channels": out_channels, "flip_tta": out_channels == 1}
    if out_channels == 1:
        changes["label_names"] = ["tumour"]
        network.head.bias.data += 0.3
    files = [saved(tmp_path / f"case_{c:04d}.nii.gz", volume(9 + c), PERMUTED) for c in range(2)]
    together = saved(tmp_path / "both.nii.gz", np.stack([volume(11), volume(12)], axis=-1), PERMUTED)
    page = Page(tmp_path, changes, network)
    different, labelled = page.differing(label_in_node, [files, [together]])
    assert (different, labelled > 100) == (0, True)


def test_pictures(tmp_path, repository):
    root = repository / "bundles" / "lv_unet"
    network = random_network(create_network("lunet_small_2f", spatial_dims=2, in_channels=3, out_channels=1))
    network.head.bias.data -= 0.1
    page = Page(tmp_path, {"roi_size": [32, 48]}, network, root)
    colours = np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8)
    pictures = {
        "colours": Image.fromarray(colours),
        "grey": Image.fromarray(colours[..., 0]),
        "opaque": Image.fromarray(colours).convert("RGBA"),
        "palette": Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE),
        "sixteen": Image.fromarray(colours[..., 0].astype(np.uint16) * 250),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
    cases = [[tmp_path / f"{name}.png"] for name in pictures]
    assert page.differing(label_in_node, cases)[0] == 0


def cut(content):
    return content[: len(content) // 2]


def nan(path):
    voxels = volume(1)
    voxels[3, 4, 5] = np.nan
    return saved(path, voxels)


def dicom(path):
    path.write_bytes(bytes(128) + b"DICM" + bytes(300))


def changed_header(path, offset, kind, value):
    saved(path, volume(1))
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{kind}", content, offset, value)
    path.write_bytes(content)


REFUSED = {
    "cut.nii": (
        lambda path: path.write_bytes(cut(saved(path, volume(1)).read_bytes())),
        "is cut off: its header announces",
    ),
    "cut.nii.gz": (lambda path: path.write_bytes(cut(saved(path, volume(1)).read_bytes())), "is damaged or cut off"),
    "text.nii": (lambda path: path.write_text("no image at all" * 50), "has a format that cannot be read"),
    "text.nii.gz": (lambda path: path.write_bytes(gzip.compress(b"no")), "has a format that cannot be read"),
    "nan.nii": (nan, "holds nan or infinite values, 1 of them in channel 0"),
    "constant.nii": (lambda path: saved(path, np.full((9, 9, 9), 7.0)), "with the value 7 only"),
    "flat.nii": (lambda path: saved(path, volume(1)[:, :, 0]), "has 2 spatial dimensions"),
    "channels.nii": (lambda path: saved(path, np.stack([volume(1)] * 3, -1)), "has 3 channels, 1 are needed"),
    "two_axes.nii": (lambda path: saved(path, np.ones((4, 4, 4, 2, 2))), "it may have one axis of channels"),
    "complex.nii": (lambda path: saved(path, volume(1).astype(np.complex64)), "holds voxels of the type 32"),
    "metre.nii": (lambda path: changed_header(path, 123, "b", 1), "has voxels of 1000 mm along an axis"),
    "vast.nii": (lambda path: saved(path, volume(1), np.diag([40, 40, 40, 1.0])), "GB for its"),
    "series.dcm": (dicom, "is DICOM: convert the series to NIfTI first"),
}


def test_files_that_are_refused(page, tmp_path):
    for name, (write, _) in REFUSED.items():
        write(tmp_path / name)
    (tmp_path / "jobs.json").write_text(
        json.dumps([{"files": [str(tmp_path / name)], "output": str(tmp_path)} for name in REFUSED])
    )
    command = [
        "node",
        "lunet_networks/authoring/web_page/sources/trial.mjs",
        str(page.path),
        str(tmp_path / "jobs.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answers = dict(zip(REFUSED, map(json.loads, done.stdout.splitlines()), strict=True))
    for name, (_, message) in REFUSED.items():
        assert answers[name].get("refused"), (name, answers[name])
        assert message in answers[name]["error"], name
