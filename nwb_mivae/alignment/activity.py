"""Activity over the frames of the stimulus clock: every plane read once, in order, a little at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment.aligned import PlaneReport
from nwb_mivae.alignment.configuration import AlignmentConfiguration
from nwb_mivae.alignment.missing import MissingSamples, Verdict, fill
from nwb_mivae.alignment.resampling import IntervalWeights, counts_in_intervals, interval_weights
from nwb_mivae.alignment.storage import CellColumns, activity_rows
from nwb_mivae.errors import AlignmentError
from nwb_mivae.sessions.session import SampledTraces, SpikeTrains

__all__ = ["AlignedActivity", "count_spikes", "resample"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Bytes of traces, and of aligned activity, that are in memory at a time.
_CHUNK_BYTES = 1 << 24
#: Bytes up to which whole storage chunks are read, so that none is decompressed twice.
_STORAGE_CHUNK_BYTES = 1 << 27
#: Weights of samples that only rounding of the times brought into a frame.
_NO_WEIGHT = 1e-6


class AlignedActivity(NamedTuple):
    """Activity (F, N) float32, zero where not ``valid`` (F,); the N cells ``kept``; and one report per plane."""

    neural: npt.NDArray[np.float32]
    valid: BoolArray
    kept: npt.NDArray[np.int64]
    planes: tuple[PlaneReport, ...]


def resample(
    planes: Sequence[SampledTraces],
    start: FloatArray,
    stop: FloatArray,
    masked: BoolArray,
    configuration: AlignmentConfiguration,
    *,
    file: str,
    workspace: Path | None,
) -> AlignedActivity:
    """Mean activity over each ``[start, stop]``, every plane by its own timestamps, planes side by side.

    An interval is valid where it is known in every plane: it lies within the plane's samples and touches neither a gap
    of its clock nor a lost sample (:mod:`nwb_mivae.alignment.missing`). The traces are read once, and once more where
    samples are missing: which cells are kept is known only when all have been seen.

    Parameters
    ----------
    planes : sequence of SampledTraces
        One or more.
    start, stop : ndarray of float64, (F,)
        Seconds, in order, not overlapping.
    masked : ndarray of bool, (F,)
        Intervals that are not valid whatever the traces say.
    configuration : AlignmentConfiguration
        Gaps and missing samples.
    file : str
        The recording, for messages.
    workspace : Path or None
        Folder for the activity; ``None`` keeps it in memory.

    Raises
    ------
    AlignmentError
        If no cell has enough samples.
    """
    parts = [_Plane.of(plane, start, stop, configuration) for plane in planes]
    written = _write(parts, masked, workspace)
    if written is None:
        parts = [part.surveyed(configuration) for part in parts]
        used = [part for part in parts if len(part.kept)]
        if not used:
            silent = all(part.verdict is not None and part.verdict.lost[part.used].all() for part in parts)
            raise AlignmentError(
                "activity that is NaN throughout" if silent else "no cell with few enough missing samples",
                expected=f"cells with at most {configuration.maximum_missing_share:.3g} of their samples missing",
                remedy="raise alignment.maximum_missing_share, or name another series with sessions.trace",
                file=file,
                object_path=planes[0].path,
            )
        written = _write(used, masked, workspace)
        assert written is not None, "every missing sample was judged"
    neural, valid = written
    first_cells = np.cumsum([0, *(plane.n_cells for plane in planes)])
    kept = np.concatenate([first + part.kept for first, part in zip(first_cells, parts, strict=False)])
    return AlignedActivity(neural, valid, kept, tuple(part.report() for part in parts))


def count_spikes(
    trains: SpikeTrains, start: FloatArray, stop: FloatArray, masked: BoolArray, *, workspace: Path | None
) -> AlignedActivity:
    """Spike counts in each ``[start, stop)``; valid where every unit was observed throughout."""
    valid = _within(start, stop, trains.observed) & ~masked
    cells = np.arange(trains.n_cells)
    if workspace is None:
        counts = counts_in_intervals(trains, start, stop, cells)
        counts[~valid] = 0
        return AlignedActivity(counts, valid, cells, ())
    # Spikes are read unit by unit, each once, and the activity is wanted frame by frame.
    columns = CellColumns(workspace, len(start))
    for some in np.array_split(cells, _pieces(len(cells), 4 * len(start))):
        counts = counts_in_intervals(trains, start, stop, some)
        counts[~valid] = 0
        columns.append(counts)
    rows = activity_rows((len(start), len(cells)), workspace)
    for frames in np.array_split(np.arange(len(start)), _pieces(len(start), 4 * len(cells))):
        rows.write(int(frames[0]), columns.read(int(frames[0]), int(frames[-1]) + 1))
    columns.close()
    return AlignedActivity(rows.finish(), valid, cells, ())


def _pieces(count: int, n_bytes: int) -> int:
    """In how many pieces ``count`` things of so many bytes are worked on, none of them empty."""
    return min(count, -(-count * n_bytes // _CHUNK_BYTES))


@dataclass
class _Plane:
    """One plane on its way to the stimulus clock.

    ``complete`` samples from the first were seen without a missing one; ``verdict`` is there once the others were seen.
    """

    traces: SampledTraces
    weights: IntervalWeights
    kept: npt.NDArray[np.int64]
    gaps: int
    gap_seconds: float
    complete: int = 0
    verdict: Verdict | None = None
    values_filled: int = 0

    @classmethod
    def of(
        cls, traces: SampledTraces, start: FloatArray, stop: FloatArray, configuration: AlignmentConfiguration
    ) -> _Plane:
        steps = np.diff(traces.timestamps)
        longest_step = configuration.gap_factor * float(np.median(steps))
        gaps = steps[steps > longest_step]
        return cls(
            traces,
            interval_weights(traces.timestamps, start, stop, longest_step=longest_step),
            np.arange(traces.n_cells),
            len(gaps),
            float(gaps.sum()),
        )

    @property
    def used(self) -> BoolArray:
        """Samples that frames are made of, (samples,)."""
        used = np.zeros(len(self.traces.timestamps), dtype=bool)
        used[self.weights.matrix.indices] = True
        return used

    def report(self) -> PlaneReport:
        return PlaneReport(
            path=self.traces.path,
            rate=self.traces.rate,
            cells=len(self.kept),
            cells_dropped=self.traces.n_cells - len(self.kept),
            gaps=self.gaps,
            gap_seconds=self.gap_seconds,
            samples_lost=0 if self.verdict is None else int(np.sum(self.verdict.lost & self.used)),
            values_filled=self.values_filled,
        )

    def surveyed(self, configuration: AlignmentConfiguration) -> _Plane:
        """The plane with the cells that were kept, and its lost samples."""
        used, length = self.used, len(self.traces.timestamps)
        missing = MissingSamples(length, self.traces.n_cells)
        rows = _rows_at_a_time(self.traces)
        for first in range(self.complete, length, rows):
            last = min(first + rows, length)
            if used[first:last].any():
                missing.add(first, self.traces.read(first, last))
        verdict = missing.judge(used, self.traces.rate, configuration)
        return _Plane(self.traces, self.weights, verdict.kept, self.gaps, self.gap_seconds, self.complete, verdict)


def _write(
    planes: Sequence[_Plane], masked: BoolArray, workspace: Path | None
) -> tuple[npt.NDArray[np.float32], BoolArray] | None:
    """Activity and validity; ``None`` as soon as a missing sample turns up in a plane that was not surveyed."""
    valid = ~masked
    for plane in planes:
        valid = valid & plane.weights.known
    n_cells = sum(len(plane.kept) for plane in planes)
    rows = activity_rows((len(masked), n_cells), workspace)
    windows = [_Window(plane.traces) for plane in planes]
    for frames in _blocks(planes):
        parts = []
        for plane, window in zip(planes, windows, strict=True):
            part, known = _resampled(plane, window, frames)
            if part is None:
                for seen, its_window in zip(planes, windows, strict=True):
                    seen.complete = its_window.complete
                return None
            valid[frames] &= known
            parts.append(part)
        activity = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        activity[~valid[frames]] = 0
        rows.write(frames.start, activity)
    return rows.finish(), valid


def _resampled(plane: _Plane, window: _Window, frames: slice) -> tuple[npt.NDArray[np.float32] | None, BoolArray]:
    """Mean activity of a plane over these frames, and which of them touch no lost sample."""
    known = np.ones(frames.stop - frames.start, dtype=bool)
    weights = plane.weights.matrix[frames]
    if not weights.nnz:
        return np.zeros((len(known), len(plane.kept)), dtype=np.float32), known
    first, last = int(weights.indices.min()), int(weights.indices.max()) + 1
    part: Any = weights[:, first:last]
    if plane.verdict is None:
        samples = window.read(first, last)
        return (part @ samples if window.complete >= last else None), known
    # Neighbours to fill from may lie outside the block.
    low, high = max(0, first - plane.verdict.longest), min(last + plane.verdict.longest, window.length)
    around = window.read(low, high)[:, plane.kept]
    filled, left, count = fill(plane.traces.timestamps[low:high], around, plane.verdict.longest)
    inside = slice(first - low, last - low)
    lost = plane.verdict.lost[first:last] | left[inside]
    plane.values_filled += int(count[inside][~lost & (window.fresh(first, last))].sum())
    known = np.asarray((part > _NO_WEIGHT) @ lost.astype(np.float32) == 0)
    return part @ filled[inside], known


class _Window:
    """Samples of a plane read forwards, each of them once, in whole storage chunks where they are known and fit.

    All that was read before sample ``complete`` was finite.
    """

    def __init__(self, traces: SampledTraces) -> None:
        self._traces = traces
        self._chunk = _rows_of_chunk(traces)
        self._first = 0
        self._rows = np.zeros((0, traces.n_cells), dtype=np.float32)
        self._counted = 0
        self.length = len(traces.timestamps)
        self.complete = 0

    def read(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """Samples ``first`` to ``last``; ``first`` is never smaller than in the call before."""
        end = self._first + len(self._rows)
        if last > end:
            begin = max(end, first - first % self._chunk)
            whole = min(self.length, last + -last % self._chunk)
            new = self._traces.read(begin, whole)
            # The sum is finite if all of them are, unless it overflowed.
            if self.complete >= end and (np.isfinite(new.sum()) or np.isfinite(new).all()):
                self.complete = whole
            self._rows = np.concatenate([self._rows[first - self._first :], new]) if first < end else new
            self._first = first if first < end else begin
        return self._rows[first - self._first : last - self._first]

    def fresh(self, first: int, last: int) -> BoolArray:
        """Which of these samples were not asked about before, so that none is counted twice."""
        fresh = np.arange(first, last) >= self._counted
        self._counted = max(self._counted, last)
        return fresh


def _rows_of_chunk(traces: SampledTraces) -> int:
    """Rows of a storage chunk (one where that is not known), as many of them as fit in memory."""
    return max(1, min(traces.preferred_rows or 1, _STORAGE_CHUNK_BYTES // (4 * traces.n_cells)))


def _rows_at_a_time(traces: SampledTraces) -> int:
    rows = max(2, _CHUNK_BYTES // (4 * traces.n_cells))
    return rows + -rows % _rows_of_chunk(traces)


def _blocks(planes: Sequence[_Plane]) -> Iterator[slice]:
    """Consecutive frames, few enough that they, and the samples they are made of, fit in memory; in order."""
    n_cells = sum(plane.traces.n_cells for plane in planes)
    rows = max(2, _CHUNK_BYTES // (4 * n_cells))
    n_frames = planes[0].weights.matrix.shape[0]
    borders = [_sample_borders(plane.weights.matrix) for plane in planes]
    first = 0
    while first < n_frames:
        last = min(first + rows, n_frames)
        for low, high in borders:
            # Frames whose samples all lie within `rows` of the first sample of the block.
            last = min(last, int(np.searchsorted(high, low[first] + rows, side="right")))
        last = max(last, first + 1)
        yield slice(first, last)
        first = last


def _sample_borders(matrix: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First sample, and one behind the last, of each frame and of all before it, (F,); both never decrease."""
    pointer, columns = matrix.indptr, matrix.indices
    filled = np.flatnonzero(np.diff(pointer) > 0)
    low, high = (np.zeros(matrix.shape[0], dtype=np.int64) for _ in range(2))
    if len(filled):
        low[filled] = np.minimum.reduceat(columns, pointer[filled])
        high[filled] = np.maximum.reduceat(columns, pointer[filled]) + 1
    # A frame without samples begins where the next one with samples does.
    low[np.diff(pointer) == 0] = matrix.shape[1]
    return np.minimum.accumulate(low[::-1])[::-1], np.maximum.accumulate(high)


def _within(start: FloatArray, stop: FloatArray, intervals: FloatArray) -> BoolArray:
    """Whether each ``[start, stop]`` lies in one of the intervals (K, 2), which are in order and apart."""
    number = np.searchsorted(intervals[:, 0], start, side="right") - 1
    return np.asarray((number >= 0) & (stop <= intervals[number, 1]))
