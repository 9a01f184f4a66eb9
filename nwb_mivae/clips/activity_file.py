"""A session's activity on disk, in half precision where that loses nothing that matters; never whole in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment import iterate_rows

__all__ = ["HALF_PRECISION_ERROR", "HalfPrecisionError", "write_activity"]

#: Bytes of activity that are held in memory at a time.
_CHUNK_BYTES = 1 << 23
#: Bytes whose statistics are taken in one go: what the processor's cache holds.
_CACHE_BYTES = 1 << 20
#: Largest rounding error, in standard deviations of a cell, at which half precision is good enough.
HALF_PRECISION_ERROR = 0.01


class HalfPrecisionError:
    """Measures what rounding activity of N cells to float16 loses, a chunk of frames after the other."""

    def __init__(self, n_cells: int) -> None:
        self._frames = 0
        self._about: npt.NDArray[np.float32] | None = None
        self._total, self._squares, self._lost = (np.zeros(n_cells) for _ in range(3))

    def add(self, rows: npt.NDArray[np.float32], rounded: npt.NDArray[np.float16]) -> None:
        """Take account of frames (frames, N) and what they were rounded to."""
        if not rows.size:
            return
        if self._about is None:
            self._about = rows[0].copy()
        self._frames += len(rows)
        step = max(1, _CACHE_BYTES // (4 * rows.shape[1]))
        # A value beyond the range of float16 makes the error infinite, which is what it is.
        with np.errstate(over="ignore"):
            for first in range(0, len(rows), step):
                chunk = rows[first : first + step]
                error = chunk - rounded[first : first + step]
                self._lost += np.square(error, out=error).sum(axis=0)
                about = chunk - self._about
                self._total += about.sum(axis=0)
                self._squares += np.square(about, out=about).sum(axis=0)

    @property
    def worst(self) -> float:
        """Root mean square of what is lost, in standard deviations, of the worst cell; infinite on overflow."""
        if not self._frames:
            return 0.0
        variance = np.clip(self._squares - self._total**2 / self._frames, 0.0, None)
        # What is left of a cell that never changes is the rounding of its sums.
        varies = (variance > 1e-6 * self._squares) | ~np.isfinite(self._lost)
        with np.errstate(invalid="ignore"):
            share = self._lost[varies] / variance[varies]
        return float(np.sqrt(np.max(share, initial=0.0)))


def write_activity(
    path: Path,
    activity: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_],
    wanted: Literal["float16", "float32"],
) -> tuple[dict[str, Any], list[str]]:
    """Write activity (F, N) as ``.npy``.

    Parameters
    ----------
    path : Path
        New file.
    activity : ndarray of float32, (F, N)
        In memory, or a memory map, which is read from its file.
    valid : ndarray of bool, (F,)
        Frames whose rounding counts.
    wanted : str
        Type to store; ``"float16"`` is taken only where its error stays below :data:`HALF_PRECISION_ERROR`.

    Returns
    -------
    record : dict
        ``sha256``, ``bytes``, ``shape`` and ``dtype`` of the file.
    notes : list of str
        Why the type is not the one that was wanted.
    """
    if wanted == "float16":
        error = HalfPrecisionError(activity.shape[1])
        record = _write(path, _rounded(activity, valid, error), np.dtype(np.float16), activity.shape)
        if error.worst <= HALF_PRECISION_ERROR:
            return record, []
        notes = [
            f"Activity is stored as float32: half precision would lose {error.worst:.3g} standard deviations of some "
            "cell."
        ]
    else:
        notes = []
    return _write(path, _chunks(activity), np.dtype(np.float32), activity.shape), notes


def _chunks(activity: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    return iterate_rows(activity, max(1, _CHUNK_BYTES // (4 * max(1, activity.shape[1]))))


def _rounded(
    activity: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], error: HalfPrecisionError
) -> Iterator[npt.NDArray[np.float16]]:
    first = 0
    for rows in _chunks(activity):
        with np.errstate(over="ignore"):
            rounded = rows.astype(np.float16)
        known = valid[first : first + len(rows)]
        error.add(*((rows, rounded) if known.all() else (rows[known], rounded[known])))
        first += len(rows)
        yield rounded


def _write(
    path: Path, chunks: Iterator[npt.NDArray[Any]], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> dict[str, Any]:
    """Write chunks of rows behind each other, and digest them on the way."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    with path.open("w+b") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.seek(0)
        digest = hashlib.sha256(stream.read())
        for rows in chunks:
            data = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
            digest.update(data)
            stream.write(data)
        length = stream.tell()
    return {"sha256": digest.hexdigest(), "bytes": length, "shape": list(shape), "dtype": str(dtype)}
