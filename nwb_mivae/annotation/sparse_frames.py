"""Values known at some frames, written at all of them, piece by piece: NaN where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from hdmf.data_utils import GenericDataChunkIterator

__all__ = ["SparseFrames"]


class SparseFrames(GenericDataChunkIterator):
    """Values (n, ...) at ``n`` of ``n_frames`` frames, as an array (n_frames, ...) that is never whole in memory.

    Attribution covers some clips of a session. Given at all of its frames it shares the latents' clock; but for
    thousands of cells the whole array would not fit beside everything else, and most of it is NaN.

    Parameters
    ----------
    values : ndarray of float32, (n, ...)
    frames : ndarray of int64, (n,)
        Row of each value among the frames, increasing.
    n_frames : int
    chunk_frames : int
        How many frames are given at a time.
    gaps : bool
        Leave out chunks without a value: whoever writes the array lets it be filled with NaN.
    """

    def __init__(
        self,
        values: npt.NDArray[np.float32],
        frames: npt.NDArray[np.int64],
        n_frames: int,
        *,
        chunk_frames: int,
        gaps: bool = False,
    ) -> None:
        self._values = np.asarray(values, dtype=np.float32)
        self._frames = frames
        self._n_frames = n_frames
        chunk = (chunk_frames, *self._values.shape[1:])
        super().__init__(chunk_shape=chunk, buffer_shape=chunk)
        if gaps:
            every: Iterator[tuple[slice, ...]] = self.buffer_selection_generator  # type: ignore[has-type]
            self.buffer_selection_generator = (selection for selection in every if self._has_values(selection[0]))

    def _has_values(self, rows: slice) -> bool:
        first, last = np.searchsorted(self._frames, (rows.start, rows.stop))
        return bool(last > first)

    def _get_data(self, selection: tuple[slice, ...]) -> npt.NDArray[np.float32]:
        first, last = selection[0].start, selection[0].stop
        piece = np.full((last - first, *self._values.shape[1:]), np.nan, dtype=np.float32)
        known = slice(*np.searchsorted(self._frames, (first, last)))
        piece[self._frames[known] - first] = self._values[known]
        return np.asarray(piece[(slice(None), *selection[1:])])

    def _get_maxshape(self) -> tuple[int, ...]:
        return (self._n_frames, *self._values.shape[1:])

    def _get_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)
