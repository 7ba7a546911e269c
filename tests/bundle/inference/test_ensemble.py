"""ensemble.json merged over inference.json: the models of several folds, averaged."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from lunet_networks.bundle.runtime.errors import root_cause
from tests.helpers.runnable import THRESHOLD_NETWORK, THRESHOLD_WEIGHTS, RunnableBundle, bright_block, save_image

MASK = bright_block((24, 32, 20))


@pytest.fixture
def bundle(tmp_path):
    return RunnableBundle(tmp_path / "lunet_small")


@pytest.fixture
def image(tmp_path):
    return save_image(tmp_path / "images" / "case.nii.gz", MASK, np.eye(4))


@pytest.fixture
def folds(tmp_path):
    """Two that see the bright block, of which one is surer than a third that sees nothing."""

    def write(name, bias):
        (tmp_path / name).mkdir()
        torch.save({**THRESHOLD_WEIGHTS, "bias": torch.tensor([0.0, bias, -1000.0])}, tmp_path / name / "model.pt")
        return str(tmp_path / name)

    return {name: write(name, bias) for name, bias in {"sure": -20.0, "doubting": -37.0, "blind": -1000.0}.items()}


def infer(bundle, image, output_dir, **override):
    override = {"dataset_dir": str(image), "output_dir": str(output_dir), "save_probabilities": True, **override}
    bundle.workflow("inference", "ensemble", **override).run()
    return read(output_dir)


def read(output_dir):
    return nib.load(output_dir / "case_prob.nii.gz").get_fdata(), nib.load(output_dir / "case_seg.nii.gz").get_fdata()


@pytest.mark.parametrize("flip_tta", [False, "True"])
def test_the_probabilities_are_averaged(bundle, image, folds, tmp_path, flip_tta):
    alone = [
        infer(bundle, image, tmp_path / f"{name}_alone", ckpt_dirs=[folder], flip_tta=flip_tta)[0]
        for name, folder in folds.items()
    ]
    probabilities, labels = infer(bundle, image, tmp_path / "mean", ckpt_dirs=list(folds.values()), flip_tta=flip_tta)
    np.testing.assert_allclose(probabilities, np.mean(alone, axis=0), atol=1e-5)
    np.testing.assert_array_equal(labels, MASK)
    assert not np.array_equal(alone[2].argmax(-1), MASK)  # which is not what each of them says


def test_one_model_is_plain_inference(bundle, image, folds, tmp_path):
    bundle.infer(image, tmp_path / "plain", ckpt_dir=folds["doubting"], save_probabilities=True)
    ensemble = infer(bundle, image, tmp_path / "one", ckpt_dirs=[folds["doubting"]])
    for one, plain in zip(ensemble, read(tmp_path / "plain"), strict=True):
        np.testing.assert_array_equal(one, plain)


def test_models_that_come_with_the_bundle(bundle, image, tmp_path):
    bundle.model.unlink()  # a single model is not asked for
    for fold in range(5):
        (bundle.root / "models" / f"fold_{fold}").mkdir()
        torch.save(THRESHOLD_WEIGHTS, bundle.root / "models" / f"fold_{fold}" / "model.pt")
    np.testing.assert_array_equal(infer(bundle, image, tmp_path / "labels")[1], MASK)


def test_nothing_is_read_before_the_run(bundle):
    workflow = ConfigWorkflow(
        config_file=[str(bundle.root / "configs" / f"{name}.json") for name in ("inference", "ensemble")],
        meta_file=str(bundle.root / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="inference",
        bundle_root=str(bundle.root),
        network_def=THRESHOLD_NETWORK,
    )
    workflow.initialize()
    assert not workflow.check_properties()


@pytest.mark.parametrize(
    ("ckpt_dirs", "error"),
    [(["absent"], "there are no weights at absent/model.pt"), ("absent", "ckpt_dirs is 'absent': it has to be a list")],
)
def test_models_that_are_not_there(bundle, image, tmp_path, ckpt_dirs, error):
    with pytest.raises(RuntimeError) as caught:
        infer(bundle, image, tmp_path / "labels", ckpt_dirs=ckpt_dirs)
    assert str(root_cause(caught.value)).startswith(error)
