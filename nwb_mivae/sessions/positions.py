"""Where the cells of an imaging plane are, in micrometres: x along the columns of its image, y along the rows, z depth.

Mask centroids times pixel size plus the plane's origin. What files say of axes and units is checked against what else
is in them, because both are often wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.conventions import MICROMETRES_IN
from nwb_mivae.sessions.mask_axes import mask_axes
from nwb_mivae.sessions.masks import Masks
from nwb_mivae.sessions.nwb import OpenedFile, as_text

__all__ = ["PlaneLocation", "cell_positions", "plane_location"]

FloatArray = npt.NDArray[np.float64]

#: Micrometres that a pixel of a microscope can have.
_PLAUSIBLE_PIXEL = (0.01, 1000.0)
#: Micrometres that the largest coordinate of an origin can have unless all are zero: no brain has 10 cm.
_PLAUSIBLE_ORIGIN = (0.001, 1e5)
_LENGTH = r"(\d+(?:\.\d+)?)\s*(?:um|µm|μm|microns?|micromet(?:er|re)s?)\b"
#: Depth in the description of a plane, the surest way to say it first.
_DEPTH_TEXTS = (rf"depth\D{{0,20}}?{_LENGTH}", rf"{_LENGTH}\s*(?:deep|depth|below)", _LENGTH)


def cell_positions(
    file: OpenedFile, table: Any, rows: npt.NDArray[np.int64], micrometres_per_pixel: float | None
) -> FloatArray:
    """Positions (rois, 3) in micrometres of rows of a PlaneSegmentation, NaN where unknown.

    The centroid of a mask is weighted by its values and a pixel's position is its number. Findings say where pixel
    size, axes, origin and depth come from, unless the file says them plainly.
    """
    path = file.path_of(table)
    positions = np.full((len(rows), 3), np.nan)
    plane = getattr(table, "imaging_plane", None)
    masks = Masks.of(table)
    if plane is None or masks is None:
        file.note("warning", path, "no masks of an imaging plane, so the cells have no coordinates")
        return positions
    spacing, unit = _spacing(file, plane, micrometres_per_pixel)
    if spacing is None:
        file.note(
            "warning",
            file.path_of(plane),
            "no pixel size (grid_spacing), so the cells have no coordinates; "
            "give it with sessions.micrometres_per_pixel",
        )
    else:
        axes = mask_axes(file, table, masks, rows)
        centroids = masks.centroids(rows, axes.boxes)
        if axes.y_first:
            centroids[:, [0, 1]] = centroids[:, [1, 0]]
        positions[:, : centroids.shape[1]] = centroids * spacing[: centroids.shape[1]]
        empty = int(np.isnan(positions[:, :2]).any(axis=1).sum())
        if empty:
            file.note("warning", path, f"{empty} of {len(rows)} masks are empty, so these cells have no coordinates")
    origin = _origin(file, plane, unit)
    if origin is None and spacing is not None:
        file.note("info", file.path_of(plane), "no origin: coordinates count from the corner of the field of view")
    elif origin is not None:
        positions[:, : len(origin)] += origin
    unknown = np.isnan(positions[:, 2])
    if unknown.any():
        depth = _depth(file, plane, origin)
        positions[unknown, 2] = np.nan if depth is None else depth
    return positions


class PlaneLocation(NamedTuple):
    """What the location of an imaging plane says: brain area, and depth in micrometres where it is there."""

    area: str
    depth: float | None


def plane_location(file: OpenedFile, plane: Any) -> PlaneLocation:
    """Area and depth, told apart where the location is in one of the known forms; else all of it is the area."""
    location = as_text(plane.location)
    for pattern in file.conventions.location_patterns:
        match = re.search(pattern, location, re.IGNORECASE)
        if match:
            groups = match.groupdict()
            return PlaneLocation(groups.get("area") or "", _number(groups.get("depth")))
    return PlaneLocation(location, None)


def _spacing(file: OpenedFile, plane: Any, micrometres_per_pixel: float | None) -> tuple[FloatArray | None, str | None]:
    """Micrometres per pixel (3,), z NaN where it is not known; and the unit that proved right for the plane."""
    path = file.path_of(plane)
    if micrometres_per_pixel is not None:
        file.note("info", path, f"pixel size {micrometres_per_pixel:g} um, as configured")
        return np.full(3, micrometres_per_pixel), None
    stored = _numbers(plane.grid_spacing)
    if stored is not None and len(stored) >= 2 and (stored[:2] > 0).all():
        unit = _unit(file, plane, "grid_spacing", stored, _PLAUSIBLE_PIXEL, None)
        if unit is not None:
            spacing = stored * MICROMETRES_IN[unit]
            return (spacing if len(spacing) > 2 else np.append(spacing, np.nan)), unit
    if file.layout is None or file.layout.micrometres_per_pixel is None:
        return None, None
    known = file.layout.micrometres_per_pixel
    file.note("guess", path, f"no pixel size in the file; {known:g} um was taken, as known of {file.layout.name}")
    return np.array([known, known, np.nan]), None


def _origin(file: OpenedFile, plane: Any, unit_of_spacing: str | None) -> FloatArray | None:
    stored = _numbers(plane.origin_coords)
    if stored is None:
        return None
    same_unit = _stated(plane, "origin_coords") == _stated(plane, "grid_spacing")
    unit = _unit(file, plane, "origin_coords", stored, _PLAUSIBLE_ORIGIN, unit_of_spacing if same_unit else None)
    return None if unit is None else stored[:3] * MICROMETRES_IN[unit]


def _stated(plane: Any, name: str) -> str:
    return as_text(getattr(plane, f"{name}_unit")).strip().lower() or "meters"


def _unit(
    file: OpenedFile,
    plane: Any,
    name: str,
    stored: FloatArray,
    plausible: tuple[float, float],
    proven: str | None,
) -> str | None:
    """Unit of a length of the plane: the stated one where that is possible, else the first that makes it so.

    ``proven`` is what the same unit turned out to mean for another length of the plane.
    """
    stated = _stated(plane, name)
    largest = float(np.abs(stored).max())
    candidates: Sequence[str] = [unit for unit in (proven, stated, "um", "m", "mm") if unit in MICROMETRES_IN]
    for unit in candidates:
        if largest == 0 or plausible[0] <= largest * MICROMETRES_IN[unit] <= plausible[1]:
            if unit != stated:
                why = "is no unit of length" if stated not in MICROMETRES_IN else "cannot be the unit"
                file.note(
                    "guess",
                    file.path_of(plane),
                    f"{name} {stored.tolist()}: {stated!r} {why}; {unit} was taken instead",
                )
            return unit
    file.note("warning", file.path_of(plane), f"{name} {stored.tolist()} is possible in no unit of length; not used")
    return None


def _numbers(stored: Any) -> FloatArray | None:
    if stored is None:
        return None
    values = np.asarray(stored[:], dtype=np.float64).ravel()
    return values if values.size and bool(np.isfinite(values).all()) else None


def _depth(file: OpenedFile, plane: Any, origin: FloatArray | None) -> float | None:
    """Depth of a plane in micrometres: its origin's, the laboratory's, or what its description says.

    An origin of zero is believed only where nothing else is said.
    """
    path = file.path_of(plane)
    stated = float(origin[2]) if origin is not None and len(origin) > 2 else None
    if stated:
        return stated
    for metadata in file.nwbfile.lab_meta_data.values():
        for name in file.conventions.depth_fields:
            value = _number(getattr(metadata, name, None))
            if value is not None and len(file.nwbfile.imaging_planes) > 1:
                file.note("info", file.path_of(metadata), f"`{name}` of {value:g} um says not which plane it is of")
            elif value is not None:
                file.note("info", file.path_of(metadata), f"depth {value:g} um of every cell from `{name}`")
                return value
    told = plane_location(file, plane).depth
    if told is not None:
        file.note("info", path, f"depth {told:g} um of every cell from the location {as_text(plane.location)!r}")
        return told
    description = as_text(plane.description)
    for pattern in _DEPTH_TEXTS:
        said = {float(text) for text in re.findall(pattern, description, re.IGNORECASE)}
        if len(said) == 1:
            file.note("guess", path, f"depth {min(said):g} um of every cell from the description {description!r}")
            return min(said)
    if stated is None:
        file.note("info", path, "the depth of the cells is not known")
    return stated


def _number(value: Any) -> float | None:
    try:
        number = float(as_text(value)) if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
