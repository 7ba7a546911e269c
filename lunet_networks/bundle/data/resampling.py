"""Resampling to a spacing: MONAI's transforms, computed axis by axis wherever that gives the same result."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from monai import transforms
from monai.config import DtypeLike
from monai.data import MetaTensor
from monai.data.utils import AFFINE_TOL, affine_to_spacing, compute_shape_offset, to_affine_nd, zoom_affine
from monai.utils import GridSampleMode, GridSamplePadMode, ImageMetaKey, TraceKeys, get_equivalent_dtype

from lunet_networks.bundle.data.readable import UnreadableFileError

__all__ = ["AxiswiseResample", "Spacingd"]

PLANES = 4  # planes of the result computed at a time, so that intermediate results stay in the cache of the CPU

SMALL_SHARE = 0.01  # of a voxel
LARGEST_SCALE = 200  # slices of 10 mm resampled to 0.1 mm are a hundred times as many

Neighbours = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # voxel below, voxel above, distance from the voxel below


class AxiswiseResample(transforms.SpatialResample):
    """MONAI's ``SpatialResample``, which interpolates axis by axis if the new axes are parallel to the old ones.

    It takes the same arguments. It needs a fraction of the time and no memory beyond image and result; MONAI makes a
    grid of three float64 for every voxel and float64 copies of image and result. The values differ in the last bit at
    most. Axes count as parallel if no voxel moves by ``AFFINE_TOL`` of a voxel or more, MONAI's tolerance for equal
    affines. MONAI's own code runs for other modes than linear, for padding other than by the border, and for lazy
    resampling. But MONAI compares affines in mm, so it would leave voxels of a micrometre as they are and resample
    voxels of a metre to their own grid; here the tolerance is one of voxels.

    Shapes:
        Image ``(C, [D,] H, W)``; result ``(C, *spatial_size)`` in float32.

    Example:
        >>> image = MetaTensor(torch.tensor([[[0.0, 4.0], [2.0, 6.0]]]), affine=torch.eye(3))
        >>> half_as_wide = torch.diag(torch.tensor([1.0, 0.5, 1.0]))
        >>> AxiswiseResample()(image, half_as_wide, spatial_size=(2, 3)).as_tensor()
        tensor([[[0., 2., 4.],
                 [2., 4., 6.]]])
    """

    def __call__(
        self,
        img: torch.Tensor,
        dst_affine: torch.Tensor | None = None,
        spatial_size: Sequence[int] | torch.Tensor | int | None = None,
        mode: str | int | None = None,
        padding_mode: str | None = None,
        align_corners: bool | None = None,
        dtype: DtypeLike = None,
        lazy: bool | None = None,
    ) -> torch.Tensor:
        mode = self.mode if mode is None else mode
        padding_mode = self.padding_mode if padding_mode is None else padding_mode
        at_once = not (self.lazy if lazy is None else lazy)
        steps = _steps(img, dst_affine, spatial_size) if at_once and padding_mode == GridSamplePadMode.BORDER else None
        if steps is not None and _is_same_grid(steps, img, spatial_size):
            steps, dst_affine = None, img.affine
        nearest = mode == GridSampleMode.NEAREST and steps is not None and _looks_equal(img, dst_affine)
        if steps is None or not (nearest or mode == GridSampleMode.BILINEAR):
            return super().__call__(img, dst_affine, spatial_size, mode, padding_mode, align_corners, dtype, lazy)
        dtype = get_equivalent_dtype(dtype or self.dtype or img.dtype, torch.Tensor)
        meta = self.track_transform_meta(
            img,
            sp_size=spatial_size,
            affine=torch.as_tensor(steps),
            extra_info={  # as MONAI keeps it
                "dtype": str(dtype).removeprefix("torch."),
                "mode": str(mode),
                "padding_mode": str(padding_mode),
                "align_corners": self.align_corners if align_corners is None else align_corners,
                "src_affine": to_affine_nd(img.ndim - 1, img.affine),
            },
            orig_size=tuple(img.shape[1:]),
            transform_info=self.get_transform_info(),
        )
        size = tuple(int(side) for side in spatial_size)
        return MetaTensor(_interpolate(img.as_tensor(), steps, size, dtype, nearest)).copy_meta_from(meta)

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        applied = self.pop_transform(data)
        info: dict[str, Any] = applied[TraceKeys.EXTRA_INFO]
        corners = info["align_corners"]
        with self.trace_transform(False):
            return self(
                data,
                dst_affine=info["src_affine"],
                spatial_size=applied[TraceKeys.ORIG_SIZE],
                mode=info["mode"],
                padding_mode=info["padding_mode"],
                align_corners=False if corners == TraceKeys.NONE else corners,
                dtype=getattr(torch, info["dtype"]),
            )


def _steps(img: torch.Tensor, dst_affine: Any, spatial_size: Any) -> np.ndarray | None:
    """The affine from voxels of the result to voxels of the image; None if axes are not parallel."""
    if not isinstance(img, MetaTensor) or dst_affine is None or not isinstance(spatial_size, Sequence | np.ndarray):
        return None
    rank = img.ndim - 1
    if len(spatial_size) != rank or rank not in (2, 3) or min(spatial_size) < 1:
        return None
    source, target = (to_affine_nd(rank, np.asarray(affine, float)) for affine in (img.affine, dst_affine))
    steps = np.linalg.solve(source, target)
    turned = steps[:rank, :rank] * (1 - np.eye(rank))
    parallel = (np.abs(turned) @ np.asarray(spatial_size)).max() < AFFINE_TOL
    return steps if parallel else None


def _is_same_grid(steps: np.ndarray, img: MetaTensor, spatial_size: Sequence[int]) -> bool:
    same_size = tuple(int(side) for side in spatial_size) == tuple(img.shape[1:])
    return same_size and np.allclose(steps, np.eye(len(steps)), atol=AFFINE_TOL)


def _looks_equal(img: MetaTensor, affine: Any) -> bool:
    """Whether MONAI takes the affine for that of the image, although it is that of another grid."""
    rank = img.ndim - 1
    both = (to_affine_nd(rank, np.asarray(each, float)) for each in (img.affine, affine))
    return np.allclose(*both, atol=AFFINE_TOL)


def _interpolate(
    image: torch.Tensor, steps: np.ndarray, size: tuple[int, ...], dtype: torch.dtype, nearest: bool
) -> torch.Tensor:
    axes = [
        _neighbours(there, here, steps[axis, axis], steps[axis, -1], dtype, image.device)
        for axis, (there, here) in enumerate(zip(size, image.shape[1:], strict=True))
    ]
    if nearest:
        axes = [(below, above, weight.round()) for below, above, weight in axes]
    result = torch.empty((len(image), *size), dtype=torch.float32, device=image.device)
    for channel, target in zip(image, result, strict=True):
        for first in range(0, size[0], PLANES):
            chunk = slice(first, first + PLANES)
            planes = channel
            for axis, neighbours in enumerate([tuple(some[chunk] for some in axes[0]), *axes[1:]]):
                planes = _between(planes, axis, neighbours)
            target[chunk] = planes
    return result


def _neighbours(
    there: int, here: int, scale: float, shift: float, dtype: torch.dtype, device: torch.device
) -> Neighbours:
    position = torch.arange(there, dtype=torch.float64, device=device).mul(scale).add(shift).clamp(0, here - 1)
    below = position.long()
    return below, (below + 1).clamp(max=here - 1), (position - below).to(dtype)


def _between(planes: torch.Tensor, axis: int, neighbours: Neighbours) -> torch.Tensor:
    below, above, weight = neighbours
    low, high = (planes.index_select(axis, voxels).to(weight.dtype) for voxels in (below, above))
    return torch.lerp(low, high, weight.view(-1, *[1] * (planes.ndim - axis - 1)))


class _Spacing(transforms.Spacing):
    """MONAI's ``Spacing``, which leaves a spacing alone that is within 0.001 mm of the wanted one.

    For voxels below 0.1 mm, which that rule would leave as they are, a hundredth of the voxel counts instead.
    """

    def __call__(self, data_array: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if not isinstance(data_array, MetaTensor):
            return super().__call__(data_array, *args, **kwargs)
        rank = data_array.ndim - 1
        pixdim = np.resize(self.pixdim, rank) if len(self.pixdim) == 1 else self.pixdim[:rank]
        affine = to_affine_nd(rank, np.asarray(data_array.affine, float))
        spacing = affine_to_spacing(affine, rank)
        _check_scale(data_array, spacing / pixdim, spacing)
        if pixdim.min() * SMALL_SHARE >= AFFINE_TOL:
            return super().__call__(data_array, *args, **kwargs)
        tolerance = np.minimum(AFFINE_TOL, SMALL_SHARE * pixdim)
        target = zoom_affine(affine, np.where(abs(spacing - pixdim) <= tolerance, spacing, pixdim), diagonal=False)
        shape, offset = compute_shape_offset(data_array.shape[1:], affine, target)
        target[:rank, -1] = offset[:rank]
        names = ("mode", "padding_mode", "align_corners", "dtype")
        settings = {**dict(zip(names, args, strict=False)), **kwargs}
        chosen = {name: settings[name] for name in names if name in settings}
        return self.sp_resample(data_array, torch.as_tensor(target), [int(side) for side in shape], **chosen)


def _check_scale(image: MetaTensor, scale: np.ndarray, spacing: np.ndarray) -> None:
    """A damaged header, or one in another unit of length, would ask for a volume without end, or for one voxel."""
    axis = int(np.argmax(np.abs(np.log(scale))))
    if not 1 / LARGEST_SCALE <= scale[axis] <= LARGEST_SCALE:
        path = image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "the image")
        wanted = f"{scale[axis]:.3g} times the spacing to which it is resampled"
        raise UnreadableFileError(
            path, [f"has voxels of {spacing[axis]:g} mm along axis {axis}, {wanted}: correct the spacing in its header"]
        )


class Spacingd(transforms.Spacingd):
    """MONAI's ``Spacingd``, which resamples with ``AxiswiseResample`` and leaves items such as ``image_path`` alone.

    For a NIfTI file MONAI 1.6.0 and 1.6.1 call ``.update`` on every item whose name starts with ``image_``, as if it
    were a dictionary of metadata; MONAI Label stores the path of the file there, which is a ``str``.
    ``tests/bundle/data/test_resampling.py`` fails as soon as MONAI no longer needs this workaround.

    The arguments are those of :py:class:`monai.transforms.Spacingd`, and ``Invertd`` works as with that class.

    Example:
        >>> from monai.data import MetaTensor
        >>> image = MetaTensor(torch.zeros(1, 4, 4, 4), meta={"filename_or_obj": "case.nii.gz"})
        >>> data = {"image": image, "image_path": "case.nii.gz"}
        >>> resampled = Spacingd("image", pixdim=(0.5, 1, 2))(data)
        >>> tuple(resampled["image"].shape), resampled["image_path"]
        ((1, 7, 4, 2), 'case.nii.gz')
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        monai = self.spacing_transform
        names = ("pixdim", "diagonal", "recompute_affine", "min_pixdim", "max_pixdim")
        self.spacing_transform = _Spacing(**{name: getattr(monai, name) for name in names}, lazy=self.lazy)
        self.spacing_transform.sp_resample = AxiswiseResample(lazy=self.lazy)

    def __call__(self, data: Mapping[Hashable, torch.Tensor], lazy: bool | None = None) -> dict[Hashable, torch.Tensor]:
        kept = {name: item for name, item in data.items() if self._only_looks_like_metadata(name, item)}
        resampled = super().__call__({name: item for name, item in data.items() if name not in kept}, lazy)
        return {**resampled, **kept}

    def _only_looks_like_metadata(self, name: Hashable, item: object) -> bool:
        named_like_it = name not in self.keys and str(name).startswith(tuple(f"{key}_" for key in self.keys))
        return named_like_it and not isinstance(item, MutableMapping)
