"""Where the aligned activity of a session goes: into memory, or row by row into a file of a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["ActivityRows", "CellColumns", "activity_rows", "iterate_rows"]

#: Name of the file inside a workspace.
_FILE_NAME = "activity.npy"


class ActivityRows(Protocol):
    """Takes rows (frames, cells) in order; what is never written is zero."""

    def write(self, first: int, rows: npt.NDArray[np.float32]) -> None:
        """Put ``rows`` at frame ``first``, which lies behind all rows written before."""

    def finish(self) -> npt.NDArray[np.float32]:
        """All rows (F, N): an array, or a read-only memory map of the file."""


def activity_rows(shape: tuple[int, int], workspace: Path | None) -> ActivityRows:
    """Room for activity of ``shape`` (F, N) in memory, or in a new file of the folder ``workspace``."""
    return _RowsInMemory(shape) if workspace is None else _RowsInFile(workspace / _FILE_NAME, shape)


class _RowsInMemory:
    def __init__(self, shape: tuple[int, int]) -> None:
        self._rows = np.zeros(shape, dtype=np.float32)

    def write(self, first: int, rows: npt.NDArray[np.float32]) -> None:
        self._rows[first : first + len(rows)] = rows

    def finish(self) -> npt.NDArray[np.float32]:
        return self._rows


class _RowsInFile:
    """An ``.npy`` file written from front to back.

    Rows go through plain writes, because pages of a writable memory map count as the process's own memory until they
    are on disk.
    """

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self._path = path
        self._shape = shape
        with path.open("wb") as stream:
            _write_header(stream, shape)
            self._offset = stream.tell()
            stream.truncate(self._offset + 4 * shape[0] * shape[1])

    def write(self, first: int, rows: npt.NDArray[np.float32]) -> None:
        with self._path.open("r+b", buffering=0) as stream:
            stream.seek(self._offset + 4 * first * self._shape[1])
            np.ascontiguousarray(rows, dtype=np.float32).tofile(stream)

    def finish(self) -> npt.NDArray[np.float32]:
        if 0 in self._shape:
            return np.zeros(self._shape, dtype=np.float32)
        rows: npt.NDArray[np.float32] = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return rows


class CellColumns:
    """A file to which activity is written cell by cell, and from which it is read frame by frame.

    Parameters
    ----------
    workspace : Path
        Folder of the file, which is removed with :meth:`close`.
    n_frames : int
        F.
    """

    def __init__(self, workspace: Path, n_frames: int) -> None:
        self._path = workspace / "by_cell.bin"
        self._stream = self._path.open("w+b")
        self._n_frames = n_frames
        self._n_cells = 0

    def append(self, columns: npt.NDArray[np.float32]) -> None:
        """Write the next cells, (F, cells)."""
        self._stream.write(np.ascontiguousarray(columns.T, dtype=np.float32).data)
        self._n_cells += columns.shape[1]

    def read(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """Frames ``first`` to ``last`` of every cell, (frames, cells)."""
        rows = np.empty((self._n_cells, last - first), dtype=np.float32)
        for cell in range(self._n_cells):
            self._stream.seek(4 * (cell * self._n_frames + first))
            self._stream.readinto(rows[cell].data)
        return rows.T

    def close(self) -> None:
        """Remove the file."""
        self._stream.close()
        self._path.unlink()


def _write_header(stream: BinaryIO, shape: tuple[int, int]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def iterate_rows(activity: npt.NDArray[np.float32], rows: int) -> Iterator[npt.NDArray[np.float32]]:
    """The activity, ``rows`` frames at a time, in order.

    What is in a file is read from the file: pages of a memory map count as memory of the process once they are touched.
    """
    if not isinstance(activity, np.memmap) or activity.filename is None:
        for first in range(0, len(activity), rows):
            yield activity[first : first + rows]
        return
    n_frames, n_cells = activity.shape
    with Path(activity.filename).open("rb", buffering=0) as stream:
        stream.seek(activity.offset)
        for first in range(0, n_frames, rows):
            count = min(rows, n_frames - first)
            yield np.fromfile(stream, dtype=np.float32, count=count * n_cells).reshape(count, n_cells)
