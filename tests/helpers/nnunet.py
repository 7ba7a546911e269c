"""A small dataset in nnU-Net's format."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

DESCRIPTION = {
    "channel_names": {"0": "T1", "1": "T2"},
    "labels": {"background": 0, "head": 1, "tail": 2},
    "numTraining": 5,
    "file_ending": ".nii.gz",
    "overwrite_image_reader_writer": "SimpleITKIO",
}


def nnunet_dataset(folder: Path, cases: int = 5, shape: tuple[int, ...] = (32, 40, 32), **description: object) -> Path:
    """Two channels of noise, brighter in two blocks, which are the labels, and one test case without a label.

    Args:
        folder: to write.
        cases: number of training cases.
        shape: of the images.
        description: entries of dataset.json other than ``DESCRIPTION``'s.
    """
    random = np.random.default_rng(0)
    for place in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / place).mkdir(parents=True)
    for number in range(cases + 1):
        label = np.zeros(shape, np.uint8)
        label[6:16, 8:20, 8:24] = 1
        label[18:26, 20:34, 8:24] = 2
        section = "Tr" if number < cases else "Ts"
        for channel in range(2):
            image = (random.normal(size=shape) + (channel + 1) * label).astype(np.float32)
            nib.save(nib.Nifti1Image(image, np.eye(4)), folder / f"images{section}/case_{number}_{channel:04d}.nii.gz")
        if section == "Tr":
            nib.save(nib.Nifti1Image(label, np.eye(4)), folder / f"labelsTr/case_{number}.nii.gz")
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION | description))
    return folder
