"""Sorted units: spike trains, quality, brain area and position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.configuration import SessionsConfiguration, UnitQuality
from nwb_mivae.sessions.conventions import MICROMETRES_IN
from nwb_mivae.sessions.nwb import OpenedFile, text_values
from nwb_mivae.sessions.session import CELL_COLUMNS, SpikeTrains, TraceCandidate
from nwb_mivae.sessions.spike_times import StoredSpikeTimes

__all__ = ["has_units", "read_units", "units_candidate"]

#: Sampling frequency of most extracellular systems; spike times in seconds do not depend on it.
_USUAL_SAMPLING_FREQUENCY = 30000.0
#: Electrode positions all within this many "micrometres", in several areas of a brain, are in fact millimetres.
_LARGEST_MILLIMETRES = 200.0


def has_units(file: OpenedFile) -> bool:
    """Whether the file has sorted units with spike times."""
    units = file.nwbfile.units
    return units is not None and len(units) > 0 and "spike_times" in units.colnames


def units_candidate(file: OpenedFile, *, chosen: bool, reason: str) -> TraceCandidate:
    """What the user is told about the units table."""
    units = file.nwbfile.units
    return TraceCandidate(file.path_of(units), "spikes", (len(units),), "ragged", "", chosen, reason)


def read_units(file: OpenedFile, configuration: SessionsConfiguration) -> tuple[SpikeTrains, pd.DataFrame]:
    """Spike trains and cell table of the units that pass the quality criteria.

    Raises
    ------
    SessionError
        If the spike index does not fit the spike times, or if no unit passes or has a spike.
    """
    path = file.path_of(file.nwbfile.units)
    _refuse_damaged_index(file, path)
    keep = _good_units(file, path, configuration.unit_quality)
    spike_times = StoredSpikeTimes(file, keep, _sampling_frequency(file, configuration))
    unit_ends = spike_times.unit_ends
    if len(spike_times) == 0:
        raise file.refusal("units without a spike", expected="spike times", object_path=f"{path}/spike_times")
    observed = _observed(file, keep, spike_times, unit_ends)
    electrode = _electrode_rows(file)
    cells = pd.DataFrame(index=range(len(keep)), columns=list(CELL_COLUMNS))
    cells["id"] = np.asarray(file.nwbfile.units.id[:])[keep]
    cells[["x", "y", "z"]] = _positions(file, electrode)[keep]
    cells["area"] = _areas(file, electrode)[keep]
    cells["plane"] = ""
    cells["source_row"] = keep
    cells["source_path"] = path
    cells["source_file"] = file.location
    interval = (float(observed[0, 0]), float(observed[-1, 1]))
    return SpikeTrains(spike_times, unit_ends, interval=interval, path=path, observed=observed), cells


def _column(file: OpenedFile, name: str) -> npt.NDArray[Any] | None:
    """A column of the units table with one value per unit, or ``None``; nothing else of the table is read."""
    units = file.nwbfile.units
    if name not in units.colnames or hasattr(units[name], "target") or len(np.shape(units[name].data)) != 1:
        return None
    return np.asarray(units[name].data[:])


def _refuse_damaged_index(file: OpenedFile, path: str) -> None:
    index = file.nwbfile.units.spike_times_index
    ends = np.asarray(index.data[:], dtype=np.int64)
    n_spikes = len(index.target.data)
    beyond = ends > n_spikes
    if beyond.any() or (np.diff(ends, prepend=0) < 0).any():
        row = int(np.flatnonzero(beyond)[0]) if beyond.any() else int(np.flatnonzero(np.diff(ends, prepend=0) < 0)[0])
        raise file.refusal(
            f"unit {row} ending at spike {int(ends[row]):,} of {n_spikes:,} (and {int(beyond.sum())} of "
            f"{len(ends)} units ending beyond the last spike)",
            expected="an index that increases up to the number of spikes",
            remedy="the table was cut after it was written, so its spikes cannot be told apart; get the whole file",
            object_path=f"{path}/spike_times_index",
        )


def _sampling_frequency(file: OpenedFile, configuration: SessionsConfiguration) -> float:
    units = file.nwbfile.units
    if configuration.spike_sampling_frequency is not None:
        return configuration.spike_sampling_frequency
    if units.resolution and np.isfinite(units.resolution) and units.resolution > 0:
        return float(1.0 / units.resolution)
    file.note(
        "info",
        file.path_of(units),
        f"no sampling frequency in the file; {_USUAL_SAMPLING_FREQUENCY:g} Hz was taken (spike times stay in seconds)",
    )
    return _USUAL_SAMPLING_FREQUENCY


def _good_units(file: OpenedFile, path: str, quality: UnitQuality) -> npt.NDArray[np.int64]:
    """Rows of the units that pass every criterion whose column is there, with a count of the others by criterion."""
    n_units = len(file.nwbfile.units)
    keep = np.ones(n_units, dtype=bool)
    failed: list[str] = []
    for entry in file.conventions.unit_criteria:
        column = next((name for name in entry.columns if _column(file, name) is not None), None)
        values = None if column is None else _column(file, column)
        if column is None or values is None:
            continue
        if entry.criterion == "labels":
            if quality.labels is None:
                continue
            if values.dtype.kind in "biuf":
                file.note(
                    "guess", path, f"`{column}` holds numbers and no labels such as {quality.labels[0]!r}; not used"
                )
                continue
            accepted = [label.casefold() for label in quality.labels]
            passes = np.array([label.strip().casefold() in accepted for label in text_values(values)], dtype=bool)
            text = f"`{column}` is not {' or '.join(quality.labels)}"
        else:
            sign, limit = _limit(quality, entry.criterion)
            if limit is None:
                continue
            numbers = pd.to_numeric(pd.Series(text_values(values)), errors="coerce").to_numpy(dtype=np.float64)
            passes = sign * numbers <= sign * limit
            text = f"`{column}` is {'above' if sign > 0 else 'below'} {limit:g} or unknown"
        keep &= passes
        if not passes.all():
            failed.append(f"{int((~passes).sum())} whose {text}")
    listed = f" ({'; '.join(failed)})" if failed else ""
    if not keep.any():
        raise file.refusal(
            f"{n_units} units, none of which passes the quality criteria{listed}",
            expected="at least one unit",
            remedy="relax sessions.unit_quality",
            object_path=path,
        )
    if not keep.all():
        file.note("info", path, f"{int((~keep).sum())} of {n_units} units left out by sessions.unit_quality{listed}")
    return np.flatnonzero(keep)


def _limit(
    quality: UnitQuality, criterion: Literal["isi_violations", "amplitude_cutoff", "presence_ratio", "signal_to_noise"]
) -> tuple[float, float | None]:
    """1 and the largest value, or -1 and the smallest."""
    limits = {
        "isi_violations": (1.0, quality.maximum_isi_violations),
        "amplitude_cutoff": (1.0, quality.maximum_amplitude_cutoff),
        "presence_ratio": (-1.0, quality.minimum_presence_ratio),
        "signal_to_noise": (-1.0, quality.minimum_signal_to_noise),
    }
    return limits[criterion]


def _electrode_rows(file: OpenedFile) -> npt.NDArray[np.int64]:
    """Row of the electrode table each unit was seen best on, -1 where the file does not say."""
    units, electrodes = file.nwbfile.units, file.nwbfile.electrodes
    rows = np.full(len(units), -1, dtype=np.int64)
    if electrodes is None:
        return rows
    for name in file.conventions.peak_channel_columns:
        channel = _column(file, name)
        if channel is not None:
            of_id = {int(number): row for row, number in enumerate(electrodes.id[:])}
            numbers = pd.to_numeric(pd.Series(channel), errors="coerce").fillna(-1)
            rows[:] = [of_id.get(int(number), -1) for number in numbers]
            break
    if (rows < 0).all() and "electrodes" in units.colnames:
        rows[:] = _first_electrode(file, units["electrodes"], len(units))
    rows[(rows < 0) | (rows >= len(electrodes))] = -1
    missing = int((rows < 0).sum())
    if 0 < missing < len(rows):
        file.note("info", file.path_of(units), f"{missing} of {len(rows)} units name no electrode of the table")
    return rows


def _first_electrode(file: OpenedFile, column: Any, n_units: int) -> npt.NDArray[np.int64]:
    """The first electrode each unit names, -1 where it names none, or where all units name the same several ones."""
    if not hasattr(column, "target"):
        return np.asarray(column.data[:], dtype=np.int64)
    path = file.path_of(file.nwbfile.units)
    rows = np.full(n_units, -1, dtype=np.int64)
    ends = np.asarray(column.data[:], dtype=np.int64)
    named = np.asarray(column.target.data[:], dtype=np.int64)
    first = np.concatenate([[0], ends[:-1]])
    count = ends - first
    if (
        n_units > 1
        and count[0] > 1
        and (count == count[0]).all()
        and (named.reshape(n_units, -1) == named[: count[0]]).all()
    ):
        # Writers that name all channels of a probe for every unit say nothing of where a unit is.
        file.note(
            "warning",
            path,
            f"every unit names the same {int(count[0])} electrodes and none names a peak channel: which of them it was "
            "seen best on is unknown, and so is its place",
        )
        return rows
    filled = ends > first
    rows[filled] = named[first[filled]]
    several = int((count > 1).sum())
    if several:
        message = (
            f"{several} of {n_units} units name several electrodes and no peak channel: the first tells their place"
        )
        file.note("guess", path, message)
    return rows


def _areas(file: OpenedFile, electrode: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    for name in file.conventions.area_columns:
        values = _column(file, name)
        if values is not None:
            return text_values(values)
    areas = np.full(len(electrode), "", dtype=object)
    electrodes = file.nwbfile.electrodes
    if electrodes is not None and "location" in electrodes.colnames:
        known = electrode >= 0
        areas[known] = text_values(electrodes["location"].data[:])[electrode[known]]
    return areas


def _positions(file: OpenedFile, electrode: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Electrode coordinates (units, 3) in micrometres, NaN where there are none."""
    positions = np.full((len(electrode), 3), np.nan)
    electrodes = file.nwbfile.electrodes
    known = electrode >= 0
    if electrodes is None or not known.any() or not {"x", "y", "z"} <= set(electrodes.colnames):
        file.note("info", file.path_of(file.nwbfile.units), "the units have no coordinates")
        return positions
    path = file.path_of(electrodes)
    stored = np.stack([np.asarray(electrodes[axis].data[:], dtype=np.float64) for axis in "xyz"], axis=1)
    if not np.isfinite(stored).any() or not np.nan_to_num(stored).any():
        file.note("info", path, "the electrodes' coordinates are empty or all zero, so unknown")
        return positions
    for one, other in ((0, 1), (1, 2), (0, 2)):
        if _duplicated(stored[:, one], stored[:, other]):
            file.note(
                "warning",
                path,
                f"`{'xyz'[other]}` of every electrode equals `{'xyz'[one]}`: a copy and no coordinate, so unknown",
            )
            stored[:, other] = np.nan
    positions[known] = stored[electrode[known]]
    unit, guessed = _unit_of(file, stored)
    if guessed:
        file.note("guess", path, guessed)
    return positions * MICROMETRES_IN[unit]


def _duplicated(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    """Whether two coordinates are one: equal everywhere, at two different places or more."""
    known = np.isfinite(one)
    return len(np.unique(one[known])) > 1 and np.array_equal(one, other, equal_nan=True)


def _unit_of(file: OpenedFile, stored: npt.NDArray[np.float64]) -> tuple[str, str]:
    """Unit of the electrodes' coordinates, and what to say if it is a guess."""
    if file.layout is not None and file.layout.electrode_unit is not None:
        return file.layout.electrode_unit, ""
    electrodes = file.nwbfile.electrodes
    named = text_values(electrodes["location"].data[:] if "location" in electrodes.colnames else ())
    areas = {area for area in named if area}
    largest = float(np.nanmax(np.abs(stored)))
    if len(areas) > 1 and largest <= _LARGEST_MILLIMETRES:
        return "millimeters", (
            f"coordinates of {len(areas)} areas within {largest:g}: taken as millimetres, though NWB has micrometres "
            "here"
        )
    return "micrometers", ""


def _observed(
    file: OpenedFile,
    keep: npt.NDArray[np.int64],
    spike_times: StoredSpikeTimes,
    unit_ends: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Intervals (K, 2) in which all these units were observed, in order and apart."""
    units = file.nwbfile.units
    path = file.path_of(units)
    if "obs_intervals" in units.colnames:
        column = units["obs_intervals"]
        ends = np.asarray(column.data[:], dtype=np.int64)
        stored = np.asarray(column.target.data[:], dtype=np.float64).reshape(-1, 2)
        own = [stored[ends[row - 1] if row else 0 : ends[row]] for row in keep]
        every = _told_by(own, len(own))
        some = _told_by(own, 1)
        if every.size and 2 * np.diff(every).sum() >= np.diff(some).sum():
            if np.diff(every).sum() < np.diff(some).sum():
                file.note("info", path, "units were observed at different times; used are the times common to all")
            return every
        if some.size:
            file.note(
                "warning",
                path,
                "units were observed at different times with little in common; a unit counts as silent where it was "
                "not observed and others were",
            )
            return some
    file.note("guess", path, "no observation intervals; spikes count as observed from the first to the last one")
    first, last = np.inf, -np.inf
    for start, stop in zip(np.r_[0, unit_ends[:-1]], unit_ends, strict=True):
        train = spike_times[start:stop]
        known = train[: np.searchsorted(train, np.inf)]
        if len(known):
            first, last = min(first, known[0]), max(last, known[-1])
    if first > last:
        raise file.refusal("units without a spike", expected="spike times", object_path=f"{path}/spike_times")
    return np.array([[first, last]], dtype=np.float64)


def _told_by(intervals: Sequence[npt.NDArray[np.float64]], least: int) -> npt.NDArray[np.float64]:
    """Times (K, 2) covered by at least so many of the sets of intervals."""
    edges, steps = [], []
    for own in intervals:
        usable = own[np.isfinite(own).all(axis=1) & (own[:, 1] > own[:, 0])]
        usable = usable[np.argsort(usable[:, 0], kind="stable")]
        # Intervals of one unit that overlap or meet are one: each instant counts once for each unit.
        last = np.maximum.accumulate(usable[:, 1]) if len(usable) else np.zeros(0)
        begins = np.r_[True, usable[1:, 0] > last[:-1]] if len(usable) else np.zeros(0, dtype=bool)
        edges += [usable[begins, 0], last[np.r_[begins[1:], True]] if len(usable) else last]
        steps += [np.ones(int(begins.sum())), -np.ones(int(begins.sum()))]
    edge, step = np.concatenate(edges), np.concatenate(steps)
    # At one instant beginnings come before ends, so that intervals that meet are not torn apart.
    order = np.lexsort((-step, edge))
    edge, covered = edge[order], np.cumsum(step[order]) >= least
    begins = np.flatnonzero(covered & ~np.r_[False, covered[:-1]])
    stops = np.flatnonzero(~covered & np.r_[False, covered[:-1]])
    found = np.stack([edge[begins], edge[stops]], axis=1)
    return found[found[:, 1] > found[:, 0]]
