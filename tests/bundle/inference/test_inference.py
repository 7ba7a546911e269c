"""inference.json on image files: grids, formats, options, and what cannot be read."""

import subprocess
import sys

import monai.bundle
import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from monai.bundle import ConfigWorkflow

import lunet_networks
from lunet_networks.bundle.data import LoadImaged, PrefetchDataLoader
from lunet_networks.bundle.inference.found_images import find_images
from lunet_networks.bundle.inference.images import InferenceImages, ReadableImages
from tests.helpers.runnable import LPS_THICK_SLICES, THRESHOLD_NETWORK, RunnableBundle, bright_block, dice, save_image


def oblique_affine():
    turn = np.deg2rad(25)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([1.1, 0.8, 1.3])
    affine[:3, 3] = [-20, 7, 90]
    return affine


def permuted_affine():
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 0], affine[2, 1], affine[3, 3] = 1.2, -0.7, 1.0, 1
    return affine


GRIDS = {
    "RAS, 1 mm, odd, smaller than a patch": ((37, 29, 33), np.eye(4)),
    "LPS, thick slices": ((53, 61, 17), LPS_THICK_SLICES),
    "oblique": ((45, 51, 39), oblique_affine()),
    "axes permuted": ((40, 44, 36), permuted_affine()),
    "larger than a patch": ((71, 83, 57), np.diag([1, -1, 1, 1])),
}


@pytest.fixture
def bundle(tmp_path):
    return RunnableBundle(tmp_path / "lunet_small")


@pytest.fixture
def image(tmp_path):
    return save_image(tmp_path / "images" / "case.nii.gz", bright_block((24, 32, 20)), np.eye(4))


def label_map(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.mark.parametrize("grid", GRIDS)
def test_labels_lie_on_the_voxels_of_the_image(bundle, tmp_path, grid):
    shape, affine = GRIDS[grid]
    image = save_image(tmp_path / "images" / "case.nii.gz", bright_block(shape), affine)
    bundle.infer(image.parent, tmp_path / "labels")
    written = nib.load(tmp_path / "labels" / "case_seg.nii.gz")
    assert written.shape == shape
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_allclose(written.affine, affine, atol=1e-5)
    labels = np.asarray(written.dataobj)
    assert set(np.unique(labels)) == {0, 1}
    # voxels of 1 mm along the image's own axes are not resampled
    lowest = 1 if np.allclose(np.abs(affine[:3, :3]), np.eye(3)) else 0.85
    assert dice(labels == 1, bright_block(shape)) >= lowest


def test_nrrd(bundle, tmp_path):
    mask = bright_block((30, 26, 22))
    directions = np.diag([-1.5, 1.0, 2.0])  # of LPS, as NRRD has it: to the patient's right, back and top
    header = {"space": "left-posterior-superior", "space directions": directions, "space origin": [5.0, -9.0, 30.0]}
    path = tmp_path / "images" / "ct_1.nrrd"
    path.parent.mkdir()
    nrrd.write(str(path), mask.astype(np.float32), header)
    bundle.infer(path, tmp_path / "labels")
    written = nib.load(tmp_path / "labels" / "ct_1_seg.nii.gz")
    expected = np.diag([1.5, -1.0, 2.0, 1.0])
    expected[:3, 3] = [-5, 9, 30]
    np.testing.assert_allclose(written.affine, expected, atol=1e-5)
    assert dice(np.asarray(written.dataobj) == 1, mask) > 0.85


def test_a_real_network_takes_any_size(bundle, tmp_path):
    torch.save(lunet_networks.create_network("lunet_small_4f", out_channels=3).state_dict(), bundle.model)
    folder = tmp_path / "images"
    for name, shape in (("tiny", (5, 9, 7)), ("flat", (50, 66, 3))):
        save_image(folder / f"{name}.nii.gz", bright_block(shape), np.eye(4))
    own_network = monai.bundle.ConfigParser.load_config_file(bundle.root / "configs" / "inference.json")["network_def"]
    bundle.infer(folder, tmp_path / "labels", network_def=own_network)
    assert label_map(tmp_path / "labels" / "tiny_seg.nii.gz").shape == (5, 9, 7)
    assert label_map(tmp_path / "labels" / "flat_seg.nii.gz").shape == (50, 66, 3)


@pytest.mark.parametrize(("overlap", "windows"), [(0, 2**3), (0.5, 3**3), ("5e-1", 3**3)])
def test_windows_overlap_as_they_are_told(bundle, tmp_path, overlap, windows):
    image = save_image(tmp_path / "images" / "case.nii.gz", bright_block((32, 32, 32)), np.eye(4))
    settings = {"dataset_dir": str(image), "output_dir": str(tmp_path / "labels"), "roi_size": [16, 16, 16]}
    workflow = bundle.workflow("inference", **settings, overlap=overlap, sw_batch_size=5)
    seen = []
    network = workflow.parser.get_parsed_content("network")
    network.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    workflow.run()
    assert sum(seen) == windows
    assert max(seen) == 5


def test_label_maps_and_probabilities_have_both_forms_of_the_image(bundle, tmp_path):
    """A viewer may read either, and MONAI would rewrite the one that does not fit the spacing."""
    path = save_image(tmp_path / "images" / "case.nii.gz", bright_block((24, 32, 1)), np.eye(4))
    image = nib.load(path)
    image.set_sform(permuted_affine(), "aligned")
    image.set_qform(np.diag([2.0, 3.0, 4.0, 1.0]), "scanner")
    nib.save(image, path)
    bundle.infer(path, tmp_path / "labels", save_probabilities=True)
    for name, shape in (("case_seg", (24, 32, 1)), ("case_prob", (24, 32, 1, 3))):
        written = nib.load(tmp_path / "labels" / f"{name}.nii.gz")
        assert written.shape == shape
        for form in ("get_sform", "get_qform"):
            matrix, code = getattr(written, form)(coded=True)
            expected, expected_code = getattr(nib.load(path), form)(coded=True)
            np.testing.assert_array_equal(matrix, expected)
            assert code == expected_code
    image, label = (sitk.ReadImage(str(file)) for file in (path, tmp_path / "labels" / "case_seg.nii.gz"))
    for where in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(label, where)(), getattr(image, where)())


def test_probabilities(bundle, image, tmp_path):
    bundle.infer(image, tmp_path / "labels", save_probabilities="true")
    written = nib.load(tmp_path / "labels" / "case_prob.nii.gz")
    probabilities = written.get_fdata()
    assert written.get_data_dtype() == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(-1), label_map(tmp_path / "labels" / "case_seg.nii.gz"))


def test_reading_ahead_changes_nothing(bundle, tmp_path):
    torch.save(lunet_networks.create_network("lunet_small_2f", out_channels=3).state_dict(), bundle.model)
    network = monai.bundle.ConfigParser.load_config_file(bundle.root / "configs" / "inference.json")["network_def"]
    for number, shape in enumerate([(24, 32, 20), (9, 13, 11), (50, 20, 30)]):
        save_image(tmp_path / "images" / f"{number}.nii.gz", bright_block(shape), np.diag([1, 1, 1.6, 1]))
    settings = {"network_def": network, "preset": "lunet_small_2f"}
    bundle.infer(tmp_path / "images", tmp_path / "ahead", **settings)
    bundle.infer(tmp_path / "images", tmp_path / "plain", **settings, **{"dataloader#_target_": "DataLoader"})
    for number in range(3):
        ahead, plain = (tmp_path / folder / f"{number}_seg.nii.gz" for folder in ("ahead", "plain"))
        np.testing.assert_array_equal(label_map(ahead), label_map(plain))


def test_only_label_maps_are_written_unless_told(bundle, image, tmp_path):
    bundle.infer(image, tmp_path / "labels")
    assert [path.name for path in (tmp_path / "labels").glob("*.nii.gz")] == ["case_seg.nii.gz"]


def test_flips_change_nothing_for_a_network_that_commutes_with_them(bundle, image, tmp_path):
    bundle.infer(image, tmp_path / "plain")
    bundle.infer(image, tmp_path / "flipped", flip_tta="True")
    np.testing.assert_array_equal(
        label_map(tmp_path / "plain" / "case_seg.nii.gz"), label_map(tmp_path / "flipped" / "case_seg.nii.gz")
    )


def test_largest_component_only(bundle, tmp_path):
    mask = bright_block((24, 32, 20))
    largest = mask.copy()
    mask[20:23, 28:31, 15:18] = True
    image = save_image(tmp_path / "images" / "case.nii.gz", mask, np.eye(4))
    bundle.infer(image, tmp_path / "all")
    bundle.infer(image, tmp_path / "largest", largest_component_only=True)
    np.testing.assert_array_equal(label_map(tmp_path / "all" / "case_seg.nii.gz"), mask)
    np.testing.assert_array_equal(label_map(tmp_path / "largest" / "case_seg.nii.gz"), largest)


@pytest.mark.parametrize("setting", ["flip_tta", "largest_component_only", "save_probabilities"])
def test_a_boolean_that_is_none(bundle, image, tmp_path, setting):
    with pytest.raises(RuntimeError) as error:
        bundle.infer(image, tmp_path / "labels", **{setting: "yes"})
    assert f"{setting} is 'yes': it has to be True or False" in messages(error.value)


def messages(error):
    """All that an error says: MONAI wraps those of a config's components in its own."""
    return "" if error is None else f"{error} {messages(error.__cause__)}"


def test_unreadable_files_are_listed_and_the_rest_is_done(bundle, image, tmp_path):
    (image.parent / "broken.nii.gz").write_text("no image")
    content = image.read_bytes()
    (image.parent / "cut.nii.gz").write_bytes(content[: len(content) // 2])
    run = subprocess.run(
        [
            *(sys.executable, "-m", "monai.bundle", "run", "inference"),
            *("--config_file", "configs/inference.json", "--network_def", str(THRESHOLD_NETWORK)),
            *("--dataset_dir", str(image.parent), "--output_dir", str(tmp_path / "labels")),
        ],
        cwd=bundle.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    last_lines = run.stderr.strip().splitlines()[-3:]
    assert "2 of 3 images could not be labelled" in last_lines[0]
    assert all(name in line for name, line in zip(("broken.nii.gz", "cut.nii.gz"), last_lines[1:], strict=True))
    assert [path.name for path in (tmp_path / "labels").glob("*.nii.gz")] == ["case_seg.nii.gz"]


def test_it_loads_from_anywhere_and_touches_nothing(bundle, tmp_path, monkeypatch):
    network = lunet_networks.create_network("lunet_small_4f", out_channels=3)
    torch.save(network.state_dict(), bundle.model)
    monkeypatch.chdir(tmp_path)
    loaded = monai.bundle.load("lunet_small", bundle_dir=str(tmp_path), workflow_type="inference", source="github")
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())


def test_it_has_what_monai_asks_of_an_inference_config(bundle):
    workflow = ConfigWorkflow(
        config_file=str(bundle.root / "configs" / "inference.json"),
        meta_file=str(bundle.root / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="inference",
    )
    workflow.initialize()
    assert not workflow.check_properties()


def test_without_weights(bundle, image, tmp_path):
    bundle.model.unlink()
    with pytest.raises(RuntimeError) as error:
        bundle.infer(image, tmp_path / "labels")
    assert "there are no weights at" in messages(error.value)


def test_weights_of_another_preset(bundle, image, tmp_path):
    torch.save(lunet_networks.create_network("lunet_small_2f", out_channels=3).state_dict(), bundle.model)
    with pytest.raises(RuntimeError) as error:
        bundle.infer(image, tmp_path / "labels")
    assert "are preset and network_def those of its training?" in messages(error.value)


def test_a_pickled_module_is_refused(bundle, image, tmp_path):
    torch.save(torch.nn.Conv3d(1, 3, 1), bundle.model)
    with pytest.raises(RuntimeError) as error:
        bundle.infer(image, tmp_path / "labels")
    assert "state dict is needed" in messages(error.value)


def test_images_of_a_folder(tmp_path):
    for name in ("b.nii", "a.nii.gz", "c.nrrd", "._a.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    assert find_images(tmp_path) == ([str(tmp_path / name) for name in ("a.nii.gz", "b.nii", "c.nrrd")], [])


def test_images_of_a_dataset(tmp_path):
    (tmp_path / "imagesTs").mkdir()
    (tmp_path / "imagesTs" / "a.nii.gz").touch()
    assert find_images(str(tmp_path)) == ([str(tmp_path / "imagesTs" / "a.nii.gz")], [])


def test_a_list_of_images():
    assert find_images(("a.nii.gz", ["b_0000.nii.gz", "b_0001.nii.gz"]))[0] == [
        "a.nii.gz",
        ["b_0000.nii.gz", "b_0001.nii.gz"],
    ]


def test_nothing_to_label(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_images(tmp_path / "absent")
    with pytest.raises(ValueError, match="imagesTs"):
        find_images(tmp_path)
    with pytest.raises(ValueError, match="empty list"):
        find_images([])


def test_files_that_cannot_be_read_are_named_and_the_others_labelled(tmp_path, caplog):
    good = [str(tmp_path / f"{name}.nii.gz") for name in "ac"]
    for path in good:
        nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(4, 4, 4)), np.eye(4)), path)
    two = str(tmp_path / "b.nii.gz")
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(4, 4, 4, 2)), np.eye(4)), two)
    absent = str(tmp_path / "absent.nii.gz")
    images = InferenceImages([good[0], two, good[1], absent], tmp_path / "labels")
    loader = PrefetchDataLoader(
        ReadableImages(images, LoadImaged("image", in_channels=1, spatial_dims=3)), batch_size=1
    )
    images.open()
    assert len(loader) == 4
    assert [batch["image"].meta["filename_or_obj"] for batch in loader] == [[path] for path in good]
    assert images.refused == [(two, "has 2 channels, 1 are needed"), (absent, "does not exist")]
    assert f"{two} has 2 channels, 1 are needed" in caplog.text
    with pytest.raises(SystemExit, match=r"(?s)2 of 4 images could not be labelled:.*absent.nii.gz does not exist"):
        images.finish()


def test_label_maps_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="same name"):
        InferenceImages(["one/a.nii.gz", "two/a.nrrd"], tmp_path / "labels").open()


def test_the_folder_of_the_images_is_refused_for_label_maps(image):
    with pytest.raises(ValueError, match="choose another folder"):
        InferenceImages(image, image.parent).open()
