"""Label maps as DICOM Segmentation objects, which refer to the images they belong to."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from monai.utils import optional_import

import lunet_networks
from lunet_networks.bundle.data.dicom_series import NEEDED, DicomSeries
from lunet_networks.bundle.inference.segments import Segment

__all__ = ["DICOM_SEG", "dicom_seg_content", "require_highdicom"]

DICOM_SEG = "dicom_seg"
NUMBER = 300  # of the new series, beside those of the scanner
LONGEST = 64  # characters that DICOM allows in a label or a meaning


def require_highdicom() -> None:
    """Raise a ValueError that says what to install if DICOM SEG cannot be written."""
    if find_spec("highdicom") is None:
        raise ValueError(NEEDED)


def dicom_seg_content(labels: np.ndarray, series: DicomSeries, segments: Sequence[Segment]) -> bytes:
    """The content of a DICOM SEG file with a binary segment for each label.

    Args:
        labels: ``(columns, rows, slices)`` on the voxels of the series.
        series: the images.
        segments: what the values stand for, in the order 1, 2, ...

    Example::

        dicom_seg_content(labels, find_series("dicom")[0], read_segments("bundles/liver", ["liver"]))
    """
    highdicom, _ = optional_import("highdicom")
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of each attribute that it copies
    sources = [series.read(number, stop_before_pixels=True) for number in range(len(series.files))]
    frames = np.ascontiguousarray(labels.transpose(2, 1, 0))
    if series.affine is None:  # one file of several frames, which have an order of their own
        geometry = highdicom.Image.from_dataset(series.read(0)).get_volume_geometry()
        frames = geometry.with_array(frames)
    segmentation = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=frames,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(segment) for segment in segments],
        series_instance_uid=highdicom.UID(),
        series_number=NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="lunet-bundles",
        manufacturer_model_name="lunet_networks",
        software_versions=lunet_networks.__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        series_description="Segmentation, for research only",
    )
    content = io.BytesIO()
    segmentation.save_as(content)
    return content.getvalue()


def _description(segment: Segment) -> Any:
    highdicom, _ = optional_import("highdicom")
    code, _ = optional_import("pydicom.sr.coding", name="Code")
    category, kind = (
        code(value, scheme, meaning[:LONGEST]) for value, scheme, meaning in (segment.category, segment.kind)
    )
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="lunet_networks",
        version=lunet_networks.__version__,
        family=code("123109", "DCM", "Artificial Intelligence"),
    )
    return highdicom.seg.SegmentDescription(
        segment_number=segment.value,
        segment_label=segment.name[:LONGEST],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        display_color=highdicom.color.CIELabColor.from_rgb(*segment.colour),
    )
