"""Whether the tables that results refer to are still those the session was prepared from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.annotation.source_objects import source_objects
from nwb_mivae.clips import evenly
from nwb_mivae.errors import AnnotationError
from nwb_mivae.sessions.grouping import SAME_TIME
from nwb_mivae.sessions.masks import Masks
from nwb_mivae.sessions.nwb import text_values
from nwb_mivae.sessions.sample_times import in_seconds

if TYPE_CHECKING:
    import pandas as pd

    from nwb_mivae.clips import StoredSession
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["presentations_told_elsewhere", "refuse_changed_tables"]

FloatArray = npt.NDArray[np.float64]

#: Pixels by which a mask may lie from where its cell's coordinates put it: they are kept in single precision.
_SAME_PLACE = 0.05
#: Cells whose pairs tell the line; all pairs of thousands would fill the memory.
_CELLS_OF_LINE = 300
_REMEDY = "annotate the file the session was prepared from, or prepare the session again from this one"


def refuse_changed_tables(opened: OpenedFile, stored: StoredSession, cells: npt.NDArray[np.int64]) -> None:
    """Refuse a file whose tables of cells or presentations are not those the store knows.

    The store knows the rows and ids of the cells that were read, where they lie, and the start times of the
    presentations; whatever else a table holds is not looked at.

    Parameters
    ----------
    opened : OpenedFile
        The file.
    stored : StoredSession
        The session in the clip store.
    cells : ndarray of int64, (n,)
        Which of its cells lie in this file.

    Raises
    ------
    AnnotationError
        Naming the table and the first row that differs.
    """
    objects = source_objects(opened, stored)
    _refuse_changed_cells(opened, stored, cells, objects)
    _refuse_changed_presentations(opened, stored, objects)


def _refuse_changed_cells(
    opened: OpenedFile, stored: StoredSession, cells: npt.NDArray[np.int64], objects: dict[str, Any]
) -> None:
    of_file = stored.cells.iloc[cells]
    # Cells whose table no path names are told of where the results are added, which needs the table anyhow.
    for path, rows_of_table in of_file[of_file["source_path"] != ""].groupby("source_path", sort=False):
        rows = rows_of_table["source_row"].to_numpy(dtype=np.int64)
        known = text_values(rows_of_table["id"])
        table = objects.get(str(path))
        if table is None or not hasattr(table, "id"):
            raise _changed(opened, str(path), "no table of cells", f"one with the ids of {len(rows)} cells")
        ids = np.asarray(table.id[:])
        if (rows.min() if len(rows) else 0) < 0 or (rows.max() if len(rows) else -1) >= len(ids):
            raise _changed(
                opened,
                str(path),
                f"a table of {len(ids)} rows",
                f"at least {int(rows.max()) + 1}, as the store knows it",
            )
        differ = np.flatnonzero(text_values(ids[rows]) != known)
        if len(differ):
            first = differ[np.argmin(rows[differ])]
            raise _changed(
                opened,
                str(path),
                f"id {ids[rows[first]]} in row {rows[first]}, and {len(differ)} of {len(rows)} cells with another id",
                f"id {known[first]} there, as when the session was prepared",
            )
        _refuse_moved_masks(opened, str(path), table, rows_of_table)


def _refuse_moved_masks(opened: OpenedFile, path: str, table: Any, cells: pd.DataFrame) -> None:
    """Refuse masks that lie elsewhere among each other than the cells' coordinates say.

    Pixel size, origin and the order of axes are whatever they were taken for when the session was prepared: for one of
    the two orders a line must lead from the masks' pixels to the coordinates of every cell.
    """
    masks = Masks.of(table) if hasattr(table, "colnames") and {"x", "y"} <= set(cells.columns) else None
    if masks is None:
        return
    rows = cells["source_row"].to_numpy(dtype=np.int64)
    known = cells[["x", "y"]].to_numpy(dtype=np.float64)
    found = masks.centroids(rows)[:, :2]
    placed = np.isfinite(known).all(axis=1)
    lost = placed & ~np.isfinite(found).all(axis=1)
    apart = np.minimum(*(_pixels_apart(found[placed][:, order], known[placed]) for order in ([0, 1], [1, 0])))
    moved = lost.copy()
    moved[placed] |= ~(apart <= _SAME_PLACE)
    if moved.any():
        row = rows[moved].min()
        raise _changed(
            opened,
            path,
            f"a mask in row {row} that lies elsewhere, and {int(moved.sum())} of {len(rows)} such masks",
            "the masks that the cells' coordinates were computed from",
        )


def _pixels_apart(pixels: FloatArray, coordinates: FloatArray) -> FloatArray:
    """How far each cell (n, 2) lies from the line through the others, in pixels, the larger of both axes.

    The line is the one on which most cells lie, so that those that moved do not bend it.
    """
    apart = np.zeros(len(pixels))
    if len(pixels) < 3:
        return apart
    some = evenly(np.arange(len(pixels)), _CELLS_OF_LINE)
    for pixel, coordinate in zip(pixels.T, coordinates.T, strict=True):
        steps, rise = (values[some, None] - values[some] for values in (pixel, coordinate))
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = float(np.nanmedian(np.where(np.abs(steps) > 1.0, rise / steps, np.nan)))
        if not np.isfinite(slope) or slope == 0:
            continue  # all in one row of pixels
        offset = float(np.median(coordinate - slope * pixel))
        apart = np.maximum(apart, np.abs((coordinate - offset) / slope - pixel))
    return apart


def presentations_told_elsewhere(opened: OpenedFile, stored: StoredSession) -> frozenset[str]:
    """Paths of the tables whose presentations the file does not have; the session's came from the file that tells most.

    It has no such table, or one with other rows or start times, or a series, which has no rows.
    """
    objects = source_objects(opened, stored)
    elsewhere = set()
    for path, rows, expected in _presentations(stored):
        starts = _start_times(opened, objects.get(path))
        if starts is None or (len(rows) and rows.max() >= len(starts)) or _apart(starts, rows, expected).any():
            elsewhere.add(path)
    return frozenset(elsewhere)


def _refuse_changed_presentations(opened: OpenedFile, stored: StoredSession, objects: dict[str, Any]) -> None:
    for path, rows, expected in _presentations(stored):
        table = objects.get(path)
        if table is None and (path in objects or len(stored.source["files"]) > 1):
            continue  # what was shown was read from a series that stayed in the source, or from another file
        if table is None:
            raise _changed(opened, path, "no such object", "the presentations the session was prepared from")
        starts = _start_times(opened, table)
        if starts is None:
            continue  # a series, whose samples are onsets or files and stay what they are
        if len(rows) and rows.max() >= len(starts):
            raise _too_short(opened, path, len(starts), rows)
        apart = _apart(starts, rows, expected)
        if apart.any():
            row = rows[apart][0]
            raise _changed(
                opened,
                path,
                f"a presentation at {starts[row]:.6g} s in row {row}, and {int(apart.sum())} of {len(rows)} at other "
                "times",
                f"one at {expected[apart][0]:.6g} s, as when the session was prepared",
            )


def _presentations(stored: StoredSession) -> Iterator[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """By path of a table, its rows and when they begin: one that was told frame by frame begins with its first."""
    shown = stored.presentations
    for path, presentations in shown[shown["source_path"] != ""].groupby("source_path", sort=False):
        begins = presentations[presentations["source_row"] >= 0].groupby("source_row")["start_time"].min()
        yield str(path), begins.index.to_numpy(dtype=np.int64), begins.to_numpy(dtype=np.float64)


def _start_times(opened: OpenedFile, table: Any) -> npt.NDArray[np.float64] | None:
    """When the rows of a table begin, in seconds; ``None`` of what has no such column."""
    if "start_time" not in getattr(table, "colnames", ()):
        return None
    (starts,) = in_seconds(opened, table, np.asarray(table["start_time"].data[:], dtype=np.float64))
    return starts


def _apart(
    starts: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], expected: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    return ~(np.abs(starts[rows] - expected) <= SAME_TIME)


def _too_short(opened: OpenedFile, path: str, n_rows: int, rows: npt.NDArray[np.int64]) -> AnnotationError:
    return _changed(opened, path, f"a table of {n_rows} rows", f"at least {rows.max() + 1}, as the store knows it")


def _changed(opened: OpenedFile, path: str, found: str, expected: str) -> AnnotationError:
    return AnnotationError(
        f"{found}: the table changed since the session was prepared",
        expected=expected,
        remedy=_REMEDY,
        file=opened.location,
        object_path=path,
    )
