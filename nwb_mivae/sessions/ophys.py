"""Optical physiology: which RoiResponseSeries to take, how it lies in the file, and where its cells are.

Series are found by neurodata type, grouped by the plane their ROIs point to, and ranked by name and container: dF/F
(also inside a Fluorescence container), deconvolved activity, events, raw fluorescence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.clock import regular_rate, regular_timestamps, stored_timestamps, usable_rate
from nwb_mivae.sessions.configuration import SessionsConfiguration
from nwb_mivae.sessions.conventions import RESULT_TYPES, plain
from nwb_mivae.sessions.nwb import OpenedFile, as_text, text_values, truth
from nwb_mivae.sessions.positions import cell_positions
from nwb_mivae.sessions.session import CELL_COLUMNS, SampledTraces, TraceCandidate, TraceKind

__all__ = ["RoiSeries", "choose_series", "find_series", "read_series"]

FloatArray = npt.NDArray[np.float64]

_RANK_WITHOUT_A_WORD = 5


@dataclass
class RoiSeries:
    """A RoiResponseSeries of the file, judged but not read.

    Attributes
    ----------
    rows : ndarray of int64, (rois,)
        Row of the ROI table that each column of the series belongs to.
    time_axis : int
        Axis of the stored data that is time.
    timestamps : ndarray of float64, (time,)
        Seconds, as many as samples are used.
    problem : SessionError or None
        Why it cannot be used; then ``time_axis`` and ``timestamps`` mean nothing.
    """

    series: Any
    path: str
    kind: TraceKind
    rank: int
    table: Any
    rows: npt.NDArray[np.int64]
    shape: tuple[int, ...]
    time_axis: int = 0
    timestamps: FloatArray | None = None
    problem: SessionError | None = None
    chosen: bool = False

    @property
    def plane(self) -> str:
        """Name of the imaging plane."""
        plane = self.table.imaging_plane if self.table is not None else None
        return as_text(plane.name) if plane is not None else ""

    def candidate(self) -> TraceCandidate:
        """What the user is told about it."""
        orientation = "time x cells" if self.time_axis == 0 else "cells x time"
        if self.problem is not None:
            orientation, reason = "unknown", f"cannot be used: found {self.problem.found}"
        else:
            reason = "the best there is" if self.chosen else "another was preferred"
        return TraceCandidate(self.path, self.kind, self.shape, orientation, self.plane, self.chosen, reason)


def find_series(file: OpenedFile) -> list[RoiSeries]:
    """Every RoiResponseSeries that holds a recording, best first; results of this package are not among them."""
    from pynwb.ophys import RoiResponseSeries

    found = [_judge(file, item) for item in file.of_type(RoiResponseSeries) if type(item).__name__ not in RESULT_TYPES]
    return sorted(found, key=lambda item: (item.rank, item.path))


def choose_series(file: OpenedFile, found: Sequence[RoiSeries], trace: str | None) -> list[RoiSeries]:
    """The series to read: the one that was asked for, or the best of each plane where the planes share a clock.

    Raises
    ------
    SessionError
        If what was asked for is not there or cannot be used, or if nothing that the file has can be used.
    """
    if trace is not None:
        chosen = [_asked_for(file, found, trace)]
    else:
        usable = [item for item in found if item.problem is None]
        if not usable:
            for item in found:
                if item.problem is not None:
                    raise item.problem
            return []
        for item in found:
            if item.problem is not None:
                file.note("warning", item.path, f"left out: found {item.problem.found}")
        chosen = _planes_together(file, usable)
    for item in chosen:
        item.chosen = True
        _say_guesses(file, item)
    return chosen


def read_series(
    file: OpenedFile, chosen: Sequence[RoiSeries], configuration: SessionsConfiguration
) -> tuple[SampledTraces, pd.DataFrame]:
    """Traces (still lazy) and cell table of the chosen series, planes side by side, invalid ROIs left out.

    Raises
    ------
    SessionError
        If no ROI is left.
    """
    first = chosen[0]
    assert first.timestamps is not None
    tables, parts = [], []
    for item in chosen:
        keep = _valid_columns(file, item, configuration)
        rows = item.rows[keep]
        cells = pd.DataFrame(index=range(len(rows)), columns=list(CELL_COLUMNS))
        cells["id"] = np.asarray(item.table.id[:])[rows]
        cells[["x", "y", "z"]] = cell_positions(file, item.table, rows, configuration.micrometres_per_pixel)
        cells["area"] = as_text(item.table.imaging_plane.location)
        cells["plane"] = item.plane
        cells["source_row"] = rows
        cells["source_path"] = file.path_of(item.table)
        cells["source_file"] = str(file.path)
        tables.append(cells)
        parts.append(_StoredTraces(file, item, keep))
    n_samples = min(len(item.timestamps) for item in chosen if item.timestamps is not None)
    cells = pd.concat(tables, ignore_index=True)
    if cells.empty:
        raise file.refusal(
            f"{sum(len(item.rows) for item in chosen)} ROIs, none of them marked as a cell",
            expected="at least one cell",
            remedy="set sessions.keep_invalid_cells to true to take them all",
            object_path=first.path,
        )
    traces = SampledTraces(
        lambda start, stop: np.concatenate([part.read(start, stop) for part in parts], axis=1),
        first.timestamps[:n_samples],
        len(cells),
        kind=first.kind,
        unit=as_text(first.series.unit) or "unknown",
        path=first.path,
    )
    return traces, cells


class _StoredTraces:
    """Rows of one series as they lie in the file, read on demand."""

    def __init__(self, file: OpenedFile, item: RoiSeries, columns: npt.NDArray[np.int64]) -> None:
        self._file = file.path
        self._path = item.path
        self._data = item.series.data
        self._time_axis = item.time_axis
        self._columns = columns
        self._all_columns = len(columns) == len(item.rows)
        self._conversion = float(item.series.conversion)
        self._offset = float(item.series.offset or 0.0)

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        try:
            if self._time_axis == 0:
                stored = np.asarray(self._data[start:stop])
            else:
                stored = np.asarray(self._data[:, start:stop]).T
        except (OSError, RuntimeError, ValueError, TypeError) as problem:
            raise SessionError(
                f"traces that cannot be read ({' '.join(str(problem).split())})",
                expected="an open and undamaged file",
                remedy="read while the session is open; if it is, download the file again",
                file=self._file,
                object_path=self._path,
            ) from problem
        values = stored.reshape(len(stored), -1)
        if not self._all_columns:
            values = values[:, self._columns]
        if self._conversion != 1.0 or self._offset != 0.0:
            values = values.astype(np.float64) * self._conversion + self._offset
        return np.ascontiguousarray(values, dtype=np.float32)


def _judge(file: OpenedFile, series: Any) -> RoiSeries:
    path = file.path_of(series)
    kind, rank = _kind_and_rank(file, series)
    region = series.rois
    table = region.table if region is not None else None
    rows = np.asarray(region.data[:], dtype=np.int64) if region is not None else np.zeros(0, dtype=np.int64)
    shape = tuple(int(size) for size in np.shape(series.data))
    item = RoiSeries(series, path, kind, rank, table, rows, shape)
    try:
        _place_in_time(file, item)
    except SessionError as problem:
        item.problem = problem
    return item


def _kind_and_rank(file: OpenedFile, series: Any) -> tuple[TraceKind, int]:
    from pynwb import NWBFile, ProcessingModule

    names = [plain(series.name)]
    parent = series.parent
    while parent is not None and not isinstance(parent, (ProcessingModule, NWBFile)):
        names.append(plain(parent.name))
        parent = parent.parent
    for name in names:
        for entry in file.conventions.trace_words:
            if entry.word in name:
                return entry.kind, entry.rank
    return "fluorescence", _RANK_WITHOUT_A_WORD


def _place_in_time(file: OpenedFile, item: RoiSeries) -> None:
    """Decide which axis is time and when its samples were taken, or raise."""
    n_rois = len(item.rows)
    if item.table is None or n_rois == 0:
        raise file.refusal("no ROIs", expected="rows of a ROI table in `rois`", object_path=item.path)
    if len(item.table) <= int(item.rows.max()) or int(item.rows.min()) < 0:
        raise file.refusal(
            f"row {int(item.rows.max())} of a ROI table of {len(item.table)} rows",
            expected="rows of the table",
            remedy="the file is damaged; download it again or write it anew",
            object_path=item.path,
        )
    stored = stored_timestamps(item.series)
    item.time_axis = _time_axis(file, item, None if stored is None else len(stored))
    n_samples = item.shape[item.time_axis]
    if stored is not None:
        item.timestamps = stored[:n_samples]
        if not np.isfinite(item.timestamps).all() or (np.diff(item.timestamps) <= 0).any():
            raise file.refusal(
                "timestamps that are missing, repeated or run backwards",
                expected="strictly increasing seconds",
                remedy="choose other traces with sessions.trace",
                object_path=f"{item.path}/timestamps",
            )
        return
    rate = regular_rate(item.series) or usable_rate(item.table.imaging_plane.imaging_rate)
    if rate is None:
        raise file.refusal(
            f"no timestamps, a rate of {item.series.rate} Hz and an imaging rate of "
            f"{item.table.imaging_plane.imaging_rate} Hz",
            expected="timestamps or a rate",
            remedy="choose other traces with sessions.trace; the samples of these have no times",
            object_path=item.path,
        )
    item.timestamps = regular_timestamps(item.series, rate, n_samples)


def _time_axis(file: OpenedFile, item: RoiSeries, n_timestamps: int | None) -> int:
    shape, n_rois = item.shape, len(item.rows)
    if len(shape) == 1 and n_rois == 1:
        shape = (*shape, 1)
    fits = [
        len(shape) == 2
        and shape[1 - axis] == n_rois
        and shape[axis] > 1
        and (n_timestamps is None or abs(shape[axis] - n_timestamps) <= 1)
        for axis in (0, 1)
    ]
    if fits[0]:
        return 0
    if fits[1]:
        return 1
    times = "no timestamps" if n_timestamps is None else f"{n_timestamps} timestamps"
    raise file.refusal(
        f"data of shape {item.shape} for {n_rois} ROIs and {times}",
        expected="one axis of time and one of ROIs",
        remedy="choose other traces with sessions.trace",
        object_path=f"{item.path}/data",
    )


def _say_guesses(file: OpenedFile, item: RoiSeries) -> None:
    assert item.timestamps is not None
    stored = stored_timestamps(item.series)
    n_samples = item.shape[item.time_axis]
    if item.time_axis == 1:
        file.note("info", item.path, f"stored as cells x time, shape {item.shape}; read as time x cells")
    elif len(item.shape) == 2 and item.shape[0] == item.shape[1]:
        file.note(
            "guess", item.path, f"shape {item.shape} fits both ways; the first axis was taken as time, as NWB says"
        )
    if stored is not None and len(stored) != n_samples:
        file.note(
            "guess",
            item.path,
            f"{len(stored)} timestamps for {n_samples} samples; the last of the longer was left out",
        )
    if stored is None and regular_rate(item.series) is None:
        rate = usable_rate(item.table.imaging_plane.imaging_rate)
        file.note(
            "guess",
            item.path,
            f"the series has a rate of {item.series.rate} Hz; the imaging plane's {rate:g} Hz was taken instead",
        )
    if stored is None and (item.series.starting_time is None or not np.isfinite(float(item.series.starting_time))):
        file.note("guess", item.path, "no starting time; 0 s was taken")


def _asked_for(file: OpenedFile, found: Sequence[RoiSeries], trace: str) -> RoiSeries:
    wanted = trace.strip("/")
    matching = [item for item in found if item.path == wanted or item.path.rpartition("/")[0] == wanted]
    exact = [item for item in matching if item.path == wanted]
    if len(exact or matching) != 1:
        raise file.refusal(
            "no such traces" if not matching else f"{len(matching)} sets of traces there",
            expected="one of " + ", ".join(item.path for item in found) if found else "a file with traces",
            remedy="correct sessions.trace",
            object_path=wanted,
        )
    (item,) = exact or matching
    if item.problem is not None:
        raise item.problem
    return item


def _planes_together(file: OpenedFile, usable: Sequence[RoiSeries]) -> list[RoiSeries]:
    kind = usable[0].kind
    best: dict[int, RoiSeries] = {}
    for item in usable:
        if item.kind == kind and item.rank == usable[0].rank:
            best.setdefault(id(item.table), item)
    planes = sorted(best.values(), key=lambda item: item.path)
    lead = max(planes, key=lambda item: len(item.rows))
    chosen = [item for item in planes if _same_clock(item, lead)]
    for item in planes:
        if not any(item is other for other in chosen):
            file.note(
                "warning",
                item.path,
                f"another plane ({item.plane}, {len(item.rows)} ROIs) on another clock was left out; "
                f"choose it with sessions.trace",
            )
    if len(chosen) > 1:
        count = sum(len(item.rows) for item in chosen)
        file.note("info", lead.path, f"{len(chosen)} planes share a clock and were put side by side ({count} ROIs)")
    return [lead, *(item for item in chosen if item is not lead)]


def _same_clock(one: RoiSeries, other: RoiSeries) -> bool:
    assert one.timestamps is not None
    assert other.timestamps is not None
    n_samples = min(len(one.timestamps), len(other.timestamps))
    if abs(len(one.timestamps) - len(other.timestamps)) > 1:
        return False
    return bool(np.allclose(one.timestamps[:n_samples], other.timestamps[:n_samples], rtol=0.0, atol=1e-3))


def _valid_columns(file: OpenedFile, item: RoiSeries, configuration: SessionsConfiguration) -> npt.NDArray[np.int64]:
    keep = np.ones(len(item.rows), dtype=bool)
    if configuration.keep_invalid_cells:
        return np.flatnonzero(keep)
    names = item.table.colnames
    for name in file.conventions.valid_cell_columns:
        if name in names:
            flags = np.asarray(item.table[name].data[:])
            flags = flags.reshape(len(flags), -1)[:, 0]
            keep &= truth(flags)[item.rows]
            _say_dropped(file, item, keep, f"`{name}` is false")
            break
    for name in file.conventions.mask_type_columns:
        if name not in names:
            continue
        types = np.char.lower(text_values(item.table[name].data[:]).astype(str))
        artifact = np.isin(types[item.rows], file.conventions.invalid_mask_types)
        if artifact.any():
            _say_dropped(file, item, ~artifact, f"`{name}` says they are no cells")
        keep &= ~artifact
    return np.flatnonzero(keep)


def _say_dropped(file: OpenedFile, item: RoiSeries, keep: npt.NDArray[np.bool_], why: str) -> None:
    dropped = int((~keep).sum())
    if dropped:
        file.note("info", file.path_of(item.table), f"{dropped} of {len(keep)} ROIs left out: {why}")
