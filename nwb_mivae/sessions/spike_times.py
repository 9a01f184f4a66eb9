"""Spike times of the units of a file, read through SpikeInterface a block of units at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["StoredSpikeTimes"]

FloatArray = npt.NDArray[np.float64]

#: Spikes read at a time: 32 MiB.
_SPIKES_PER_BLOCK = 1 << 22


class StoredSpikeTimes:
    """Spike times of some units one after the other, sliced like an array; what is sliced is read then.

    They are the seconds of the file, not rounded to samples, sorted within each unit (NaN last). Units are best asked
    for in order: a block of neighbours is read at once and kept until another is wanted.

    Parameters
    ----------
    file : OpenedFile
        Open for as long as spikes are read.
    rows : ndarray of int64, (cells,)
        Units wanted, as rows of the units table.
    sampling_frequency : float
        Hz, for SpikeInterface; times in seconds do not depend on it.
    """

    def __init__(self, file: OpenedFile, rows: npt.NDArray[np.int64], sampling_frequency: float) -> None:
        from spikeinterface.core import BaseSorting
        from spikeinterface.extractors.nwbextractors import NwbSortingSegment

        index = file.nwbfile.units.spike_times_index
        ends = np.asarray(index.data[:], dtype=np.int64)
        self._rows = rows
        self._ends = np.cumsum(np.diff(ends, prepend=0)[rows])
        # SpikeInterface would open the file once more by its path, and read every column of the table; given the
        # open dataset it reads local and remote files alike, and only what is asked for.
        self._sorting = BaseSorting(sampling_frequency, np.arange(len(ends)))
        self._sorting.add_sorting_segment(
            NwbSortingSegment(
                spike_times_data=_Blocks(file, index.target.data),
                spike_times_index_data=ends,
                sampling_frequency=sampling_frequency,
                t_start=0.0,
            )
        )

    @property
    def unit_ends(self) -> npt.NDArray[np.int64]:
        """Where the spikes of each unit end (cells,)."""
        return self._ends

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, part: slice) -> FloatArray:
        start, stop, _ = part.indices(len(self))
        first, last = np.searchsorted(self._ends, start, side="right"), np.searchsorted(self._ends, stop, side="left")
        trains = [self._of_unit(cell) for cell in range(int(first), min(int(last) + 1, len(self._ends)))]
        begin = start - (int(self._ends[first - 1]) if first else 0)
        whole = trains[0] if len(trains) == 1 else np.concatenate([np.empty(0), *trains])
        return np.asarray(whole[begin : begin + max(0, stop - start)])

    def _of_unit(self, cell: int) -> FloatArray:
        times = self._sorting.get_unit_spike_train_in_seconds(unit_id=int(self._rows[cell]), segment_index=0)
        return times if bool((np.diff(times) >= 0).all()) else np.sort(times)


class _Blocks:
    """The file's spike times, of which the block read last is kept, because neighbouring units share chunks."""

    def __init__(self, file: OpenedFile, stored: Any) -> None:
        self._file = file
        self._stored = stored
        self._start = 0
        self._block: FloatArray = np.empty(0)

    def __getitem__(self, part: slice) -> FloatArray:
        start, stop = int(part.start), int(part.stop)
        if not self._start <= start <= stop <= self._start + len(self._block):
            end = min(max(stop, start + _SPIKES_PER_BLOCK), len(self._stored))
            self._block = np.empty(0)
            try:
                self._block = np.asarray(self._stored[start:end], dtype=np.float64)
            except (OSError, RuntimeError, ValueError, TypeError) as problem:
                raise SessionError(
                    f"spike times that cannot be read ({' '.join(str(problem).split())})",
                    expected="an open and undamaged file",
                    remedy="read while the session is open; if it is, download the file again",
                    file=self._file.location,
                    object_path=f"{self._file.path_of(self._file.nwbfile.units)}/spike_times",
                ) from problem
            self._start = start
        return self._block[start - self._start : stop - self._start]
