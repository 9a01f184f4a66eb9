"""Which axis of a mask is x: NWB says the first, many files have rows first, and a few have exchanged even x and y.

Told by the boxes around the masks where the table has them, else by pictures of the plane: their shape, and where they
are bright. A picture only tells how masks lie in it, so what its own axes are has to be known of the layout; by itself
it can confirm what NWB says and not refute it. Else it is what is known of such files, and else what NWB says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.conventions import plain
from nwb_mivae.sessions.masks import Masks
from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["MaskAxes", "mask_axes"]

RowArray = npt.NDArray[np.int64]

#: Masks that are looked at.
_SAMPLED_MASKS = 50
#: Masks that must tell the axes apart, and standard errors by which brightness under them must differ.
_LEAST_MASKS = 4
_LEAST_STANDARD_ERRORS = 4.0


class MaskAxes(NamedTuple):
    """Whether the first axis is y, and the part of each image mask that holds all of it, where boxes tell."""

    y_first: bool
    boxes: list[tuple[slice, ...] | None] | None


def mask_axes(file: OpenedFile, table: Any, masks: Masks, rows: RowArray) -> MaskAxes:
    """Find out for the masks of these rows, and note it unless the file says it plainly."""
    path = file.path_of(table)
    if masks.kind == "voxel_mask" or not len(rows):
        return MaskAxes(False, None)
    # Neighbours, because they are likely to share chunks of storage.
    first = max(0, (len(rows) - _SAMPLED_MASKS) // 2)
    sample = np.sort(rows)[first : first + _SAMPLED_MASKS]
    pixels = dict(zip(sample.tolist(), masks.pixels(sample), strict=True))
    boxes = _boxes(file, table)
    if boxes is not None and masks.kind == "image_mask" and len(masks.size or ()) == 2:
        y_first = _told_by_boxes(boxes, pixels)
        if y_first is not None:
            _say(file, path, y_first, "as the boxes around them say")
            return MaskAxes(y_first, [_part(boxes[row], y_first, masks.size or ()) for row in rows])
    pictures_known = None if file.layout is None else file.layout.picture_axes
    lies_alike = ""
    for picture_path, picture in _pictures(file, table):
        y_first = _told_by_picture(picture, masks, pixels)
        if y_first is None:
            continue
        if pictures_known is None and y_first:
            lies_alike = f"; the picture `{picture_path}` lies as they do"
            continue
        y_first = y_first if pictures_known != "x, y" else not y_first
        _say(file, path, y_first, f"as the picture `{picture_path}` of the plane shows")
        return MaskAxes(y_first, None)
    if file.layout is not None and file.layout.mask_axes is not None and masks.kind == "image_mask":
        y_first = file.layout.mask_axes == "y, x"
        _say(file, path, y_first, f"as known of {file.layout.name}")
        return MaskAxes(y_first, None)
    if masks.kind == "image_mask" or lies_alike:
        which = (
            "which axis of the masks is x; the first was taken"
            if masks.kind == "image_mask"
            else ("whether x and y of the masks are exchanged; they were taken")
        )
        file.note("guess", path, f"nothing tells {which}, as NWB has it{lies_alike}")
    return MaskAxes(False, None)


def _say(file: OpenedFile, path: str, y_first: bool, why: str) -> None:
    if y_first:
        file.note("guess", path, f"the masks have y first and x second, unlike in NWB, {why}")
    else:
        file.note("info", path, f"the masks have x first and y second, {why}")


def _boxes(file: OpenedFile, table: Any) -> npt.NDArray[np.float64] | None:
    """Columns x, y, width and height (rows, 4) of the table's boxes."""
    for names in file.conventions.box_columns:
        columns = (names.x, names.y, names.width, names.height)
        if set(columns) <= set(table.colnames):
            stored = [np.asarray(table[name].data[:]) for name in columns]
            if all(values.ndim == 1 and values.dtype.kind in "iuf" for values in stored):
                return np.stack([values.astype(np.float64) for values in stored], axis=1)
    return None


def _told_by_boxes(boxes: npt.NDArray[np.float64], pixels: dict[int, list[RowArray]]) -> bool | None:
    """Whether all masks lie in their boxes with y first, or with x first; ``None`` where both do, or neither."""
    fits = np.ones(2, dtype=bool)
    looked_at = 0
    for row, (first, second) in pixels.items():
        if not len(first) or not np.isfinite(boxes[row]).all():
            continue
        x, y, width, height = boxes[row]
        for number, (a, b) in enumerate(((second, first), (first, second))):
            inside = a.min() >= x and a.max() < x + width and b.min() >= y and b.max() < y + height
            fits[number] &= bool(inside)
        looked_at += 1
    return None if not looked_at or fits[0] == fits[1] else bool(fits[0])


def _part(box: npt.NDArray[np.float64], y_first: bool, size: Sequence[int]) -> tuple[slice, ...] | None:
    if not np.isfinite(box).all():
        return None
    x, y, width, height = box
    spans = ((y, height), (x, width)) if y_first else ((x, width), (y, height))
    return tuple(
        slice(max(0, int(start)), min(int(np.ceil(start + length)), limit))
        for (start, length), limit in zip(spans, size, strict=True)
    )


def _pictures(file: OpenedFile, table: Any) -> list[tuple[str, npt.NDArray[np.float64]]]:
    """Pictures of the table's plane, with their paths: those in its processing module."""
    from pynwb.base import Image
    from pynwb.ophys import PlaneSegmentation

    module = "/".join(file.path_of(table).split("/")[:2]) + "/"
    tables = [item for item in file.of_type(PlaneSegmentation) if file.path_of(item).startswith(module)]
    found = []
    for picture in file.of_type(Image):
        path = file.path_of(picture)
        # Where there are several planes, a picture has to say by its name which one it is of.
        names = [plain(str(item.imaging_plane.name)) for item in tables]
        if not path.startswith(module) or (
            len(set(names)) > 1 and plain(str(table.imaging_plane.name)) not in plain(path)
        ):
            continue
        if len(np.shape(picture.data)) == 2:
            found.append((path, np.asarray(picture.data[:], dtype=np.float64)))
    return found


def _told_by_picture(picture: npt.NDArray[np.float64], masks: Masks, pixels: dict[int, list[RowArray]]) -> bool | None:
    """Whether y is first if the picture has rows first, by its shape or where it is bright; ``None`` where unclear."""
    height, width = picture.shape
    masked = [axes for axes in pixels.values() if len(axes[0])]
    if not masked or len(masked[0]) != 2:
        return None
    if masks.size is not None:
        fits = (masks.size == (height, width), masks.size == (width, height))
    else:
        most = [max(int(axes[number].max()) for axes in masked) for number in (0, 1)]
        fits = (most[0] < height and most[1] < width, most[0] < width and most[1] < height)
    if fits[0] != fits[1]:
        return fits[0]
    if not fits[0]:
        return None
    difference = np.array([picture[first, second].mean() - picture[second, first].mean() for first, second in masked])
    difference = difference[np.isfinite(difference) & (difference != 0)]
    if len(difference) < _LEAST_MASKS:
        return None
    mean, error = difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(mean > 0) if abs(mean) > _LEAST_STANDARD_ERRORS * error else None
