"""Optical physiology: which RoiResponseSeries to take, how it lies in the file, and where its cells are.

Series are found by neurodata type, grouped by the plane their ROIs point to, and ranked by name and container: dF/F
(also inside a Fluorescence container), deconvolved activity, events, raw fluorescence. Of raw fluorescence dF/F is
computed here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.clock import regular_rate, regular_timestamps, stored_timestamps, usable_rate
from nwb_mivae.sessions.configuration import SessionsConfiguration
from nwb_mivae.sessions.conventions import RESULT_TYPES, TraceWord, plain
from nwb_mivae.sessions.fluorescence import delta_f_over_f
from nwb_mivae.sessions.nwb import OpenedFile, as_text, text_values, truth
from nwb_mivae.sessions.positions import cell_positions, plane_location
from nwb_mivae.sessions.session import CELL_COLUMNS, MultiPlaneTraces, SampledTraces, TraceCandidate, TraceKind

__all__ = ["RoiSeries", "choose_series", "find_series", "read_series"]

FloatArray = npt.NDArray[np.float64]

#: Raw fluorescence, where neither the series nor its container is called anything known.
_WITHOUT_A_WORD = TraceWord(word="", kind="fluorescence", rank=5)
#: Units, in plain form, of what is dF/F whatever it is called.
_RATIOS = ("dff", "dff0", "deltaff", "deltaff0", "dfoverf", "deltafoverf")
#: In a name with neuropil in it, that of a signal from which it was taken off.
_TAKEN_OFF = "correct|subtract|without|minus|free"
#: What contents of an unforeseen kind or shape raise, and HDF5 where it cannot read.
_UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError)
#: Seconds between samples that count as taken at one time.
_SAME_TIME = 1e-4
#: A plane is left out where less than this share of the largest plane's time is its own, too.
_LEAST_OVERLAP = 0.5
#: Seconds between samples that no recording of single cells has; times in milliseconds look like that.
_LONGEST_STEP_SECONDS = 2.0
#: Samples that a window of the baseline has to hold.
_LEAST_SAMPLES_OF_WINDOW = 10


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
    role : str
        Whether neuropil was taken off already, or the series is the neuropil itself.
    neuropil : RoiSeries or None
        Neuropil of the same ROIs at the same times, where that was not taken off.
    problem : SessionError or None
        Why it cannot be used; then ``time_axis`` and ``timestamps`` mean nothing.
    reason : str
        Why it was chosen or not.
    """

    series: Any
    path: str
    kind: TraceKind
    rank: int
    table: Any
    rows: npt.NDArray[np.int64]
    role: str
    shape: tuple[int, ...]
    time_axis: int = 0
    timestamps: FloatArray | None = None
    neuropil: RoiSeries | None = None
    problem: SessionError | None = None
    chosen: bool = False
    reason: str = ""

    @property
    def imaging_plane(self) -> Any:
        """The ImagingPlane object, or ``None`` where the ROIs are in a table of another type."""
        return getattr(self.table, "imaging_plane", None)

    @property
    def plane(self) -> str:
        """Name of the imaging plane."""
        return as_text(self.imaging_plane.name) if self.imaging_plane is not None else ""

    @property
    def times(self) -> FloatArray:
        """Seconds of its samples, of a series that can be used."""
        assert self.timestamps is not None
        return self.timestamps

    def candidate(self) -> TraceCandidate:
        """What the user is told about it."""
        orientation = "time x cells" if self.time_axis == 0 else "cells x time"
        if self.problem is not None:
            orientation = "unknown"
        return TraceCandidate(self.path, self.kind, self.shape, orientation, self.plane, self.chosen, self.reason)


def find_series(file: OpenedFile) -> list[RoiSeries]:
    """Every RoiResponseSeries that holds a recording, best first; results of this package are not among them."""
    from pynwb.ophys import RoiResponseSeries

    found = [_judge(file, item) for item in file.of_type(RoiResponseSeries) if type(item).__name__ not in RESULT_TYPES]
    for item in found:
        if item.kind == "fluorescence" and item.role == "signal" and item.problem is None:
            item.neuropil = next((other for other in found if _is_neuropil_of(other, item)), None)
    return sorted(found, key=lambda item: (item.rank, item.path))


def choose_series(file: OpenedFile, found: Sequence[RoiSeries], trace: str | None) -> list[RoiSeries]:
    """The series to read: what was asked for, or the best kind there is, of every plane that has it.

    Planes that share little time with the largest one are left out.

    Raises
    ------
    SessionError
        If what was asked for is not there or cannot be used, or if nothing that the file has can be used.
    """
    usable = [item for item in found if item.problem is None]
    if trace is not None:
        chosen = _asked_for(file, found, trace)
    elif not usable:
        for item in found:
            if item.problem is not None:
                raise item.problem
        return []
    else:
        best = [item for item in usable if (item.kind, item.rank) == (usable[0].kind, usable[0].rank)]
        chosen = _one_of_each_plane(best)
    chosen = _overlapping(file, chosen)
    for item in chosen:
        item.chosen = True
        item.reason = "as configured" if trace is not None else "the best there is"
        _say_guesses(file, item)
    if len({id(item.imaging_plane) for item in chosen}) < len(chosen):
        file.note(
            "guess", chosen[0].path, "several ROI tables of one imaging plane; a cell in two of them counts twice"
        )
    for item in found:
        _say_why_not(file, item, chosen)
    return chosen


def read_series(
    file: OpenedFile, chosen: Sequence[RoiSeries], configuration: SessionsConfiguration
) -> tuple[SampledTraces | MultiPlaneTraces, pd.DataFrame]:
    """Traces (still lazy) and cell table of the chosen series, planes side by side, invalid ROIs left out.

    Planes whose samples were taken at the same times are one :class:`SampledTraces`; where there are several clocks
    the result is :class:`MultiPlaneTraces`, with the cells in the same order.

    Raises
    ------
    SessionError
        If no ROI is left.
    """
    clocks: list[list[tuple[RoiSeries, npt.NDArray[np.int64]]]] = []
    for item in chosen:
        keep = _valid_columns(file, item, configuration)
        if not len(keep):
            continue
        of_clock = next((clock for clock in clocks if _same_clock(clock[0][0], item)), None)
        if of_clock is None:
            clocks.append([(item, keep)])
        else:
            of_clock.append((item, keep))
    if not clocks:
        raise file.refusal(
            f"{sum(len(item.rows) for item in chosen)} ROIs, none of them marked as a cell",
            expected="at least one cell",
            remedy="set sessions.keep_invalid_cells to true to take them all",
            object_path=chosen[0].path,
        )
    tables = [_cells(file, item, keep, configuration) for clock in clocks for item, keep in clock]
    parts = [_side_by_side([_traces(file, item, keep, configuration) for item, keep in clock]) for clock in clocks]
    if len(chosen) > 1:
        clock_text = "one clock" if len(clocks) == 1 else f"{len(clocks)} clocks"
        file.note(
            "info", parts[0].path, f"{len(chosen)} planes on {clock_text}, {sum(map(len, tables))} cells together"
        )
    together = max(len(clock) for clock in clocks)
    if together > 1:
        file.note(
            "guess",
            parts[0].path,
            f"{together} planes have the same times; if they were imaged in turn, which the file does not say, samples "
            f"are up to {1.0 / parts[0].rate:.3g} s later than that",
        )
    traces = parts[0] if len(parts) == 1 else MultiPlaneTraces(parts)
    return traces, pd.concat(tables, ignore_index=True)


def _cells(
    file: OpenedFile, item: RoiSeries, keep: npt.NDArray[np.int64], configuration: SessionsConfiguration
) -> pd.DataFrame:
    rows = item.rows[keep]
    cells = pd.DataFrame(index=range(len(rows)), columns=list(CELL_COLUMNS))
    cells["id"] = np.asarray(item.table.id[:])[rows]
    try:
        cells[["x", "y", "z"]] = cell_positions(file, item.table, rows, configuration.micrometres_per_pixel)
    except _UNREADABLE as problem:
        cells[["x", "y", "z"]] = np.nan
        path = file.path_of(item.table)
        file.note(
            "warning", path, f"masks or plane cannot be read ({_said(problem)}), so the cells have no coordinates"
        )
    cells["area"] = "" if item.imaging_plane is None else plane_location(file, item.imaging_plane).area
    cells["plane"] = item.plane
    cells["source_row"] = rows
    cells["source_path"] = file.path_of(item.table)
    cells["source_file"] = file.location
    return cells


def _traces(
    file: OpenedFile, item: RoiSeries, keep: npt.NDArray[np.int64], configuration: SessionsConfiguration
) -> SampledTraces:
    stored = _stored(file, item, keep)
    compute = configuration.trace is None if configuration.compute_dff is None else configuration.compute_dff
    if item.kind != "fluorescence" or not compute:
        return stored
    if item.role == "neuropil":
        file.note("warning", item.path, "this is the neuropil around the cells, and all there is; no dF/F is computed")
        return stored
    baseline = configuration.baseline
    if baseline.window * stored.rate < _LEAST_SAMPLES_OF_WINDOW:
        raise file.refusal(
            f"{stored.rate:.3g} samples per second, {baseline.window * stored.rate:.3g} in a window of the baseline",
            expected=f"at least {_LEAST_SAMPLES_OF_WINDOW}",
            remedy="raise sessions.baseline.window, or set sessions.compute_dff to false",
            object_path=item.path,
        )
    neuropil = None if item.neuropil is None else _stored(file, item.neuropil, keep)
    computed = delta_f_over_f(stored, neuropil, baseline)
    subtracted = "of which no neuropil was taken off"
    if item.role == "corrected":
        subtracted = "of which the neuropil was taken off before"
    elif neuropil is not None and baseline.neuropil_factor > 0:
        subtracted = f"less {baseline.neuropil_factor:g} times the neuropil `{neuropil.path}`"
    low, empty = "", ""
    if computed.n_low:
        low = f"; {computed.n_low} of {len(keep)} ROIs have a baseline near zero or below: their noise takes its place"
    if computed.n_constant:
        empty = f"; {computed.n_constant} ROIs hold nothing and have no dF/F"
    file.note(
        "guess",
        item.path,
        f"dF/F was computed from raw fluorescence, {subtracted}: F0 is the running percentile "
        f"{baseline.percentile:g} over {baseline.window:g} s{low}{empty}. Set sessions.compute_dff to false for raw "
        "values",
    )
    return computed.traces


def _stored(file: OpenedFile, item: RoiSeries, keep: npt.NDArray[np.int64]) -> SampledTraces:
    unit = as_text(item.series.unit) or "unknown"
    chunks = getattr(item.series.data, "chunks", None)
    return SampledTraces(
        _StoredTraces(file, item, keep).read,
        item.times,
        len(keep),
        kind=item.kind,
        unit=unit,
        path=item.path,
        preferred_rows=None if chunks is None else int(chunks[item.time_axis]),
    )


def _side_by_side(parts: Sequence[SampledTraces]) -> SampledTraces:
    """Planes on one clock as one; where one is a sample shorter the others are, too."""
    if len(parts) == 1:
        return parts[0]
    return SampledTraces(
        lambda start, stop: np.concatenate([part.read(start, stop) for part in parts], axis=1),
        parts[0].timestamps[: min(len(part.timestamps) for part in parts)],
        sum(part.n_cells for part in parts),
        kind=parts[0].kind,
        unit=parts[0].unit,
        path=parts[0].path,
        preferred_rows=max(part.preferred_rows or 1 for part in parts),
    )


class _StoredTraces:
    """Rows of one series as they lie in the file, read on demand."""

    def __init__(self, file: OpenedFile, item: RoiSeries, columns: npt.NDArray[np.int64]) -> None:
        self._file = file.location
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
    word = _word(file, series)
    region = series.rois
    table = region.table if region is not None else None
    rows = np.asarray(region.data[:], dtype=np.int64) if region is not None else np.zeros(0, dtype=np.int64)
    shape = tuple(int(size) for size in np.shape(series.data))
    item = RoiSeries(series, path, word.kind, word.rank, table, rows, word.role, shape)
    try:
        _place_in_time(file, item)
    except SessionError as problem:
        item.problem = problem
    except _UNREADABLE as problem:
        item.problem = file.refusal(
            f"traces that cannot be read ({_said(problem)})",
            expected="an undamaged file",
            remedy="choose other traces with sessions.trace, or download the file again",
            object_path=path,
        )
    if item.problem is not None:
        item.reason = f"cannot be used: found {item.problem.found}"
    return item


def _said(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"


def _word(file: OpenedFile, series: Any) -> TraceWord:
    """What its name or its containers' say it is; where they say raw fluorescence and its unit dF/F, it is dF/F."""
    named = _word_of_names(file, series)
    if named.kind == "fluorescence" and named.role == "signal" and _is_ratio(series):
        return TraceWord(word=named.word, kind="dff", rank=0)
    return named


def _is_ratio(series: Any) -> bool:
    return plain(as_text(series.unit)) in _RATIOS


def _word_of_names(file: OpenedFile, series: Any) -> TraceWord:
    from pynwb import NWBFile, ProcessingModule

    names = [plain(series.name)]
    parent = series.parent
    while parent is not None and not isinstance(parent, (ProcessingModule, NWBFile)):
        names.append(plain(parent.name))
        parent = parent.parent
    for name in names:
        found = [entry for entry in file.conventions.trace_words if entry.word in name]
        of_neuropil = [entry for entry in found if entry.role == "neuropil"]
        if of_neuropil and not re.search(_TAKEN_OFF, name):
            return of_neuropil[0]  # also where the name says in what form, such as `dff_neuropil`
        if found:
            return found[0]
    return _WITHOUT_A_WORD


def _place_in_time(file: OpenedFile, item: RoiSeries) -> None:
    """Decide which axis is time and when its samples were taken, or raise."""
    stored_type = getattr(item.series.data, "dtype", None)
    if stored_type is not None and stored_type.kind not in "biuf":
        raise file.refusal(
            f"values of type {stored_type}",
            expected="real numbers",
            remedy="choose other traces with sessions.trace",
            object_path=f"{item.path}/data",
        )
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
    rate = regular_rate(item.series) or _imaging_rate(item)
    if rate is None:
        raise file.refusal(
            f"no timestamps, a rate of {item.series.rate} Hz and an imaging plane without one",
            expected="timestamps or a rate",
            remedy="choose other traces with sessions.trace; the samples of these have no times",
            object_path=item.path,
        )
    item.timestamps = regular_timestamps(item.series, rate, n_samples)


def _imaging_rate(item: RoiSeries) -> float | None:
    return None if item.imaging_plane is None else usable_rate(item.imaging_plane.imaging_rate)


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
    stored = stored_timestamps(item.series)
    n_samples = item.shape[item.time_axis]
    step = float(np.median(np.diff(item.times)))
    if step > _LONGEST_STEP_SECONDS:
        message = f"a sample every {step:.4g} s, slower than any such recording; NWB has times in seconds"
        file.note("warning", item.path, message)
    if item.kind == "dff" and _word_of_names(file, item.series).kind == "fluorescence":
        file.note("guess", item.path, f"taken for dF/F by its unit {as_text(item.series.unit)!r}, not by its name")
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
        rate = _imaging_rate(item)
        file.note(
            "guess",
            item.path,
            f"the series has a rate of {item.series.rate} Hz; the imaging plane's {rate:g} Hz was taken instead",
        )
    if stored is None and (item.series.starting_time is None or not np.isfinite(float(item.series.starting_time))):
        file.note("guess", item.path, "no starting time; 0 s was taken")


def _asked_for(file: OpenedFile, found: Sequence[RoiSeries], trace: str) -> list[RoiSeries]:
    wanted = trace.strip("/")
    exact = [item for item in found if item.path == wanted]
    within = [item for item in found if item.path.rpartition("/")[0] == wanted]
    # A container may be named for one series of each plane in it, but not for a choice between several of one.
    asked = exact or within
    if not asked or len({id(item.table) for item in asked}) < len(asked):
        raise file.refusal(
            "no such traces" if not asked else f"{len(asked)} sets of traces there",
            expected="one of " + ", ".join(item.path for item in found) if found else "a file with traces",
            remedy="correct sessions.trace",
            object_path=wanted,
        )
    for item in asked:
        if item.problem is not None:
            raise item.problem
    return asked


def _one_of_each_plane(series: Sequence[RoiSeries]) -> list[RoiSeries]:
    """The first series of each ROI table, in order of path."""
    first: dict[int, RoiSeries] = {}
    for item in series:
        first.setdefault(id(item.table), item)
    return sorted(first.values(), key=lambda item: item.path)


def _overlapping(file: OpenedFile, planes: Sequence[RoiSeries]) -> list[RoiSeries]:
    """The plane with most ROIs and those recorded at the same time, in their order; the others are warned of."""
    lead = max(planes, key=lambda item: len(item.rows))
    begin, end = lead.times[0], lead.times[-1]
    kept = []
    for item in planes:
        shared = max(0.0, min(end, item.times[-1]) - max(begin, item.times[0]))
        if item is lead or shared >= _LEAST_OVERLAP * (end - begin):
            kept.append(item)
            continue
        item.reason = f"left out: it has {shared:.0f} s of the {end - begin:.0f} s of the largest plane"
        file.note(
            "warning",
            item.path,
            f"another plane ({item.plane}, {len(item.rows)} ROIs) was recorded at another time and left out: it has "
            f"{shared:.0f} s of the {end - begin:.0f} s of the largest plane; choose it with sessions.trace",
        )
    return kept


def _say_why_not(file: OpenedFile, item: RoiSeries, chosen: Sequence[RoiSeries]) -> None:
    """Give what was not chosen a reason, and note what a user would miss."""
    if item.chosen:
        return
    best = chosen[0]
    if item.problem is not None:
        # A series without an axis of time beside good traces is no loss: 000711 stores scores per ROI like that.
        matters = item.rank <= best.rank
        file.note("warning" if matters else "info", item.path, f"left out: found {item.problem.found}")
    elif any(item.table is other.table for other in chosen):
        preferred = next(other for other in chosen if other.table is item.table)
        item.reason = f"`{preferred.path}` was preferred"
        others = np.setdiff1d(item.rows, np.concatenate([one.rows for one in chosen if one.table is item.table]))
        if len(others) and (item.kind, item.role) == (best.kind, best.role):
            message = f"{len(others)} ROIs that are in no traces that were read; choose them with sessions.trace"
            file.note("warning", item.path, message)
    elif not item.reason:
        item.reason = f"another plane, without {best.kind} as in `{best.path}`"
        file.note("info", item.path, f"not read: {item.reason}; choose it with sessions.trace")


def _is_neuropil_of(other: RoiSeries, item: RoiSeries) -> bool:
    return (
        other.role == "neuropil"
        and other.problem is None
        and other.table is item.table
        and np.array_equal(other.rows, item.rows)
        and _same_clock(other, item)
        and len(other.times) == len(item.times)
    )


def _same_clock(one: RoiSeries, other: RoiSeries) -> bool:
    n_samples = min(len(one.times), len(other.times))
    if abs(len(one.times) - len(other.times)) > 1:
        return False
    return bool(np.allclose(one.times[:n_samples], other.times[:n_samples], rtol=0.0, atol=_SAME_TIME))


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
