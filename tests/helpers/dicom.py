"""Volumes written as series of DICOM files, one slice a file, as a scanner sends them."""

from pathlib import Path
from typing import Any

import numpy as np

MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"
TO_LPS = np.diag([-1.0, -1.0, 1.0])


def write_series(
    folder: Path,
    voxels: np.ndarray,
    affine: np.ndarray,
    name: str = "{:03d}.dcm",
    series: str = "1.2.826.0.1.3680043.8.498.1.1",
    modality: str = "MR",
    slope: float = 1.0,
    intercept: float = 0.0,
    order: list[int] | None = None,
    **tags: Any,
) -> list[Path]:
    """Write a volume ``(W, H, D)`` of integers slice by slice.

    Args:
        folder: of the files; it is made.
        voxels: stored values.
        affine: from voxels to mm, in RAS as NIfTI has it.
        name: of a file, by its number.
        series: UID of the series.
        modality: MR or CT.
        slope: with ``intercept`` it makes values of stored ones.
        intercept: see ``slope``.
        order: which slice each file holds, in the order of their names and InstanceNumbers.
        tags: of all files, by keyword.
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    directions = TO_LPS @ (affine[:3, :3] / steps)
    paths = []
    for number, k in enumerate(range(voxels.shape[2]) if order is None else order, start=1):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CT if modality == "CT" else MR
        meta.MediaStorageSOPInstanceUID = f"{series}.{k + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        file.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
        file.SeriesInstanceUID, file.FrameOfReferenceUID = series, "1.2.826.0.1.3680043.8.498.2"
        file.Modality, file.SeriesNumber, file.InstanceNumber = modality, 3, number
        file.PatientName, file.PatientID, file.PatientBirthDate, file.PatientSex = "Doe^Jane", "0815", "19700101", "F"
        file.StudyDate, file.StudyTime, file.StudyID, file.AccessionNumber = "20260102", "101112", "1", "A1"
        file.SeriesDescription, file.Manufacturer, file.PositionReferenceIndicator = "T1 head", "none", ""
        file.ReferringPhysicianName, file.StudyDescription = "", "head"
        file.Rows, file.Columns = voxels.shape[1], voxels.shape[0]
        file.PixelSpacing = [float(steps[1]), float(steps[0])]
        file.SliceThickness = float(steps[2])
        file.ImageOrientationPatient = [float(value) for value in (*directions[:, 0], *directions[:, 1])]
        position = TO_LPS @ (affine @ [0, 0, k, 1])[:3]
        file.ImagePositionPatient = [float(f"{value:.9g}") for value in position]
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, 1
        file.RescaleSlope, file.RescaleIntercept = slope, intercept
        file.PixelData = np.ascontiguousarray(voxels[:, :, k].T.astype("<i2")).tobytes()
        for keyword, value in tags.items():
            setattr(file, keyword, value)
        path = folder / name.format(number)
        pydicom.dcmwrite(path, file, enforce_file_format=True)
        paths.append(path)
    return paths
