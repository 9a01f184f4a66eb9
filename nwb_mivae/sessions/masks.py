"""Centroids of ROI masks in pixels, in memory that depends neither on the number of ROIs nor on the field of view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["MaskKind", "Masks"]

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]
MaskKind = Literal["pixel_mask", "voxel_mask", "image_mask"]

#: Bytes of image masks in memory at a time.
_BLOCK_BYTES = 1 << 24
#: Points of pixel masks in memory at a time.
_BLOCK_POINTS = 1 << 20
_FIELDS: dict[str, tuple[str, ...]] = {"pixel_mask": ("x", "y"), "voxel_mask": ("x", "y", "z")}


class Masks:
    """The masks of a ROI table, whichever of the three kinds it has.

    Coordinates are pixel numbers along the axes as they are stored: those of an image mask's array, or the fields x, y
    (and z) of a list of pixels.
    """

    def __init__(self, table: Any, kind: MaskKind) -> None:
        self.kind = kind
        column = table[kind]
        self._points = None if kind == "image_mask" else column.target.data
        self._ends = None if kind == "image_mask" else np.asarray(column.data[:], dtype=np.int64)
        self._images = column.data if kind == "image_mask" else None

    @classmethod
    def of(cls, table: Any) -> Masks | None:
        """Those of a table, or ``None`` where it has none."""
        kinds: tuple[MaskKind, ...] = ("pixel_mask", "voxel_mask", "image_mask")
        return next((cls(table, kind) for kind in kinds if kind in table.colnames), None)

    @property
    def size(self) -> tuple[int, ...] | None:
        """Pixels along each axis, or ``None`` where masks are lists of pixels."""
        return None if self._images is None else tuple(int(size) for size in np.shape(self._images)[1:])

    def pixels(self, rows: RowArray) -> list[list[npt.NDArray[np.int64]]]:
        """Pixel numbers of each of a few masks along each axis; neighbours are best asked for together."""
        if self._images is None:
            listed = (self._listed(*self._span(int(row))) for row in rows)
            return [[axis[weights > 0].astype(np.int64) for axis in points] for points, weights in listed]
        parts: list[list[npt.NDArray[np.int64]]] = [[np.zeros((0, len(self.size or ())), np.int64)] for _ in rows]
        for wanted, images, corner in self._parts(rows):
            for number, image in zip(wanted, images, strict=True):
                parts[number].append(np.argwhere(_weights(image)) + np.asarray(corner))
        return [list(np.concatenate(of_row).T) for of_row in parts]

    def centroids(self, rows: RowArray, boxes: Sequence[tuple[slice, ...] | None] | None = None) -> FloatArray:
        """Centroids (rows, axes) weighted by the masks' values, NaN where a mask is empty.

        Parameters
        ----------
        rows : ndarray of int64
            Of the table.
        boxes : sequence, optional
            Part of each row's image mask that holds all of it, ``None`` where that is not known.
        """
        if self._images is None:
            return self._of_lists(rows)
        # Where a storage chunk spans several ROIs it is cheaper to read it once than a box of it for each.
        chunks = getattr(self._images, "chunks", None)
        if boxes is None or (chunks is not None and chunks[0] > 1):
            return self._of_images(rows)
        found = np.full((len(rows), len(np.shape(self._images)) - 1), np.nan)
        for number, (row, box) in enumerate(zip(rows, boxes, strict=True)):
            if box is None:
                found[number] = self._of_images(np.array([row]))[0]
            else:
                moments = _Moments(1, found.shape[1])
                moments.add(
                    np.array([0]), np.asarray(self._images[(int(row), *box)])[None], [part.start for part in box]
                )
                found[number] = moments.centroids()[0]
        return found

    def _span(self, row: int) -> tuple[int, int]:
        assert self._ends is not None
        return (int(self._ends[row - 1]) if row else 0), int(self._ends[row])

    def _listed(self, start: int, stop: int) -> tuple[list[FloatArray], FloatArray]:
        assert self._points is not None
        points = np.asarray(self._points[start:stop])
        weights = _weights(np.asarray(points["weight"], dtype=np.float64))
        return [np.asarray(points[name], dtype=np.float64) for name in _FIELDS[self.kind]], weights

    def _of_lists(self, rows: RowArray) -> FloatArray:
        found = np.full((len(rows), len(_FIELDS[self.kind])), np.nan)
        spans = np.array([self._span(int(row)) for row in rows], dtype=np.int64).reshape(-1, 2)
        order = np.argsort(spans[:, 0], kind="stable")
        first = 0
        while first < len(order):
            begin = spans[order[first], 0]
            last = first + 1
            while last < len(order) and spans[order[last], 1] - begin <= _BLOCK_POINTS:
                last += 1
            points, weights = self._listed(int(begin), int(spans[order[first:last], 1].max()))
            for number in order[first:last]:
                part = slice(int(spans[number, 0] - begin), int(spans[number, 1] - begin))
                total = weights[part].sum()
                if total > 0:
                    found[number] = [float(axis[part] @ weights[part] / total) for axis in points]
            first = last
        return found

    def _of_images(self, rows: RowArray) -> FloatArray:
        moments = _Moments(len(rows), len(self.size or ()))
        for wanted, images, corner in self._parts(rows):
            moments.add(wanted, images, corner)
        return moments.centroids()

    def _parts(self, rows: RowArray) -> Iterator[tuple[RowArray, npt.NDArray[Any], list[int]]]:
        """Parts of the image masks of these rows: which of the rows, their pixels, and the first pixel's place."""
        assert self._images is not None
        shape = tuple(int(size) for size in np.shape(self._images))
        for block in _blocks(shape, getattr(self._images, "chunks", None), np.dtype(self._images.dtype).itemsize):
            wanted = np.flatnonzero((rows >= block[0].start) & (rows < block[0].stop))
            if len(wanted):
                span = slice(int(rows[wanted].min()), int(rows[wanted].max()) + 1)
                stored = np.asarray(self._images[(span, *block[1:])])
                yield wanted, stored[rows[wanted] - span.start], [part.start for part in block[1:]]


class _Moments:
    """Sums of weights, and of weights times places, that become centroids."""

    def __init__(self, n_masks: int, n_axes: int) -> None:
        self._total = np.zeros(n_masks)
        self._sums = np.zeros((n_masks, n_axes))

    def add(self, which: RowArray, images: npt.NDArray[Any], corner: Sequence[int]) -> None:
        """Take in parts of masks (masks, ...) whose first pixel is ``corner``."""
        weights = _weights(images)
        axes = range(1, weights.ndim)
        for axis in axes:
            others = tuple(other for other in axes if other != axis)
            along = weights.sum(axis=others, dtype=np.float64)
            self._sums[which, axis - 1] += along @ (corner[axis - 1] + np.arange(along.shape[1], dtype=np.float64))
            if axis == 1:
                self._total[which] += along.sum(axis=1)

    def centroids(self) -> FloatArray:
        total = np.where(self._total > 0, self._total, np.nan)
        return np.asarray(self._sums / total[:, None], dtype=np.float64)


def _weights(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values of a mask that count: finite ones above zero, the others as zero."""
    if values.dtype.kind in "bu":
        return values
    return np.where(np.isfinite(values) & (values > 0), values, np.zeros((), dtype=values.dtype))


def _blocks(shape: tuple[int, ...], chunks: tuple[int, ...] | None, item_bytes: int) -> Iterator[tuple[slice, ...]]:
    """Blocks of whole storage chunks that cover an array, as large as memory allows, the ROIs' axis cut last."""
    block = list(chunks) if chunks is not None else [1] * len(shape)
    for axis in reversed(range(len(shape))):
        times = max(1, _BLOCK_BYTES // (item_bytes * int(np.prod(block))))
        block[axis] = min(shape[axis], block[axis] * times)
    ranges = [range(0, size, step) for size, step in zip(shape, block, strict=True)]
    for start in product(*ranges):
        yield tuple(slice(a, min(a + step, size)) for a, step, size in zip(start, block, shape, strict=True))
