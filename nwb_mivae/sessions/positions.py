"""Where the cells of an imaging plane are: mask centroids times pixel size plus the plane's origin, in micrometres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.conventions import MICROMETRES_IN
from nwb_mivae.sessions.nwb import OpenedFile, as_text

__all__ = ["cell_positions"]

FloatArray = npt.NDArray[np.float64]

#: No microscope has pixels of a millimetre: a spacing above this "in metres" is in fact in micrometres.
_LARGEST_SPACING_UM = 1000.0


def cell_positions(
    file: OpenedFile, table: Any, rows: npt.NDArray[np.int64], micrometres_per_pixel: float | None
) -> FloatArray:
    """Positions (rois, 3) in micrometres of rows of a PlaneSegmentation, NaN where unknown.

    The centroid of a mask is weighted by its values. The first axis of an image mask is x and the second y, and a
    pixel's position is its number, as the NWB schema has it. Masks are read one at a time.
    """
    path = file.path_of(table)
    plane = table.imaging_plane
    positions = np.full((len(rows), 3), np.nan)
    spacing = _spacing(file, plane, micrometres_per_pixel)
    if spacing is None:
        file.note(
            "warning",
            file.path_of(plane),
            "no pixel size (grid_spacing), so the cells have no coordinates; "
            "give it with sessions.micrometres_per_pixel",
        )
    else:
        for number, centroid in enumerate(_centroids(table, rows)):
            positions[number, : len(centroid)] = centroid * spacing[: len(centroid)]
        empty = int(np.isnan(positions[:, :2]).any(axis=1).sum())
        if empty:
            file.note("warning", path, f"{empty} of {len(rows)} masks are empty, so these cells have no coordinates")
    origin = _micrometres(file, plane, "origin_coords")
    if origin is None and spacing is not None:
        file.note("info", file.path_of(plane), "no origin: coordinates count from the corner of the field of view")
    elif origin is not None:
        positions[:, : len(origin)] += origin
        if len(origin) > 2:
            positions[:, 2] = np.where(np.isnan(positions[:, 2]), origin[2], positions[:, 2])
    unknown = np.isnan(positions[:, 2])
    if unknown.any():
        depth = _depth(file)
        if depth is None:
            file.note("info", file.path_of(plane), "the depth of the cells is not known")
        else:
            positions[unknown, 2] = depth
    return positions


def _centroids(table: Any, rows: npt.NDArray[np.int64]) -> Iterator[FloatArray]:
    """Mask centroids in pixels, (2,) or (3,), one mask in memory at a time; NaN for an empty mask.

    pynwb opens no ROI table without one of the three kinds of mask.
    """
    for name, axes in (("pixel_mask", ("x", "y")), ("voxel_mask", ("x", "y", "z"))):
        if name in table.colnames:
            index = table[name]
            ends = np.asarray(index.data[:], dtype=np.int64)
            points = index.target.data
            for row in rows:
                mask = np.asarray(points[int(ends[row - 1]) if row else 0 : int(ends[row])])
                weights = np.asarray(mask["weight"], dtype=np.float64)
                yield _weighted_mean(np.stack([np.asarray(mask[axis], dtype=np.float64) for axis in axes]), weights)
            return
    masks = table["image_mask"].data
    for row in rows:
        image = np.asarray(masks[int(row)], dtype=np.float64)
        where = np.nonzero(image)
        yield _weighted_mean(np.stack([axis.astype(np.float64) for axis in where]), image[where])


def _weighted_mean(points: FloatArray, weights: FloatArray) -> FloatArray:
    usable = np.isfinite(weights) & (weights > 0)
    if not usable.any():
        return np.full(len(points), np.nan)
    return np.asarray(np.average(points[:, usable], axis=1, weights=weights[usable]), dtype=np.float64)


def _spacing(file: OpenedFile, plane: Any, micrometres_per_pixel: float | None) -> FloatArray | None:
    if micrometres_per_pixel is not None:
        file.note("info", file.path_of(plane), f"pixel size {micrometres_per_pixel:g} um, as configured")
        return np.full(3, micrometres_per_pixel)
    spacing = _micrometres(file, plane, "grid_spacing")
    if spacing is None or len(spacing) < 2 or not (spacing[:2] > 0).all():
        return None
    if (spacing > _LARGEST_SPACING_UM).any():
        spacing = np.asarray(_numbers(plane.grid_spacing), dtype=np.float64)
        file.note(
            "guess",
            file.path_of(plane),
            f"grid_spacing {spacing.tolist()} {as_text(plane.grid_spacing_unit)} is no microscope's pixel; "
            "it was taken as micrometres",
        )
    return spacing if len(spacing) > 2 else np.append(spacing, np.nan)


def _micrometres(file: OpenedFile, plane: Any, name: str) -> FloatArray | None:
    values = _numbers(getattr(plane, name))
    if values is None:
        return None
    unit = as_text(getattr(plane, f"{name}_unit")).strip().lower() or "meters"
    if unit not in MICROMETRES_IN:
        file.note("guess", file.path_of(plane), f"unknown unit {unit!r} of {name}; taken as micrometres")
    return values * MICROMETRES_IN.get(unit, 1.0)


def _numbers(stored: Any) -> FloatArray | None:
    if stored is None:
        return None
    values = np.asarray(stored[:], dtype=np.float64).ravel()
    return values if values.size and bool(np.isfinite(values).all()) else None


def _depth(file: OpenedFile) -> float | None:
    for metadata in file.nwbfile.lab_meta_data.values():
        for name in file.conventions.depth_fields:
            value = getattr(metadata, name, None)
            if value is not None and np.isfinite(float(value)):
                file.note("info", file.path_of(metadata), f"depth {float(value):g} um of every cell from `{name}`")
                return float(value)
    return None
