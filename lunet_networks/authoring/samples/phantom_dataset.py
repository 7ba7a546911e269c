"""Phantoms as files: NIfTI in the layout of the Medical Segmentation Decathlon."""

from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform
from tqdm import tqdm

from lunet_networks.authoring.samples.phantom import TEST, TRAINING, make_case
from lunet_networks.authoring.samples.phantom_settings import PhantomSettings
from lunet_networks.authoring.staging import write_json


def write_phantoms(settings: PhantomSettings, folder: Path, num_cases: int, num_test: int) -> None:
    """Write ``num_cases`` training and ``num_test`` test cases into ``folder``, and a dataset.json that lists them."""
    sections: dict[str, list[dict]] = {"Tr": [], "Ts": []}
    wanted = [(TRAINING, "Tr", number) for number in range(num_cases)]
    wanted += [(TEST, "Ts", number) for number in range(num_test)]
    for group, suffix, number in tqdm(wanted, desc="phantoms", unit="case", disable=None):
        image, label = make_case(settings, group, number)
        name = f"phantom_{suffix.lower()}{number + 1:03d}"
        case = {"image": f"./images{suffix}/{name}.nii.gz", "label": f"./labels{suffix}/{name}.nii.gz"}
        if image.ndim > settings.spatial_dims == 2:  # a third axis would be read as one of space
            case["image"] = [f"./images{suffix}/{name}_{channel:04d}.nii.gz" for channel in settings.channels]
            for channel, path in enumerate(case["image"]):
                _save(image[..., channel], settings, folder / path)
        else:
            _save(image, settings, folder / case["image"])
        _save(label, settings, folder / case["label"])
        sections[suffix].append(case)
    write_json(
        folder / "dataset.json",
        {
            "name": "Phantom",
            "description": "Procedural phantoms: a curved structure with a head and a tail among distractors",
            "reference": "lunet get-data phantom",
            "made_with": settings.made_with,
            "licence": "CC0-1.0",
            "release": "1.0",
            "tensorImageSize": _image_size(settings),
            "modality": {str(channel): name for channel, name in settings.channels.items()},
            "labels": {str(value): name for value, name in settings.labels.items()},
            "numTraining": num_cases,
            "numTest": num_test,
            "training": sections["Tr"],
            "test": sections["Ts"],
        },
    )


def _image_size(settings: PhantomSettings) -> str:
    """The axes of an image's file, as the Decathlon counts them."""
    channels_in_file = settings.spatial_dims == 3 and settings.num_channels > 1
    return f"{settings.spatial_dims + channels_in_file}D"


def _save(voxels: np.ndarray, settings: PhantomSettings, path: Path) -> None:
    """Store voxels, whose axes run to the right, anterior and superior, in the orientation that is asked for."""
    path.parent.mkdir(exist_ok=True)
    flat = settings.spatial_dims == 2
    if flat:
        voxels = voxels[:, :, None]
    affine = np.diag([*(*settings.spacing, 1.0)[:3], 1.0])
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt((settings.orientation + "S")[:3]))
    image = nibabel.Nifti1Image(voxels, affine).as_reoriented(turn)
    if flat:
        image = nibabel.Nifti1Image(np.asarray(image.dataobj)[:, :, 0], image.affine)
    nibabel.save(image, path)
