"""Sorted units, read through SpikeInterface: spike trains, quality, brain area and position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.configuration import SessionsConfiguration, UnitQuality
from nwb_mivae.sessions.nwb import OpenedFile, text_values
from nwb_mivae.sessions.session import CELL_COLUMNS, SpikeTrains, TraceCandidate

__all__ = ["has_units", "read_units", "units_candidate"]

#: Sampling frequency of most extracellular systems; spike times in seconds do not depend on it.
_USUAL_SAMPLING_FREQUENCY = 30000.0
#: Electrode positions all within this many "micrometres", in several areas of a brain, are in fact millimetres.
_LARGEST_MILLIMETRES = 200.0
_MICROMETRES_PER_MILLIMETRE = 1000.0


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
        If the spike index does not fit the spike times, if SpikeInterface cannot read the table, or if no unit passes.
    """
    path = file.path_of(file.nwbfile.units)
    _refuse_damaged_index(file, path)
    sorting = _sorting(file, configuration)
    try:
        ids = list(sorting.unit_ids)
        properties = {name: np.asarray(sorting.get_property(name)) for name in sorting.get_property_keys()}
        keep = _good_units(file, path, len(ids), properties, configuration.unit_quality)
        trains = [
            np.sort(sorting.get_unit_spike_train_in_seconds(unit_id=ids[row], segment_index=0)).astype(np.float64)
            for row in keep
        ]
    finally:
        sorting._reader.close()
    trains = [train[np.isfinite(train)] for train in trains]
    electrode = _electrode_rows(file, len(ids), properties)
    cells = pd.DataFrame(index=range(len(keep)), columns=list(CELL_COLUMNS))
    cells["id"] = np.asarray(file.nwbfile.units.id[:])[keep]
    cells[["x", "y", "z"]] = _positions(file, electrode)[keep]
    cells["area"] = _areas(file, properties, electrode)[keep]
    cells["plane"] = ""
    cells["source_row"] = keep
    cells["source_path"] = path
    cells["source_file"] = str(file.path)
    spike_times = np.concatenate(trains) if trains else np.zeros(0)
    if spike_times.size == 0:
        raise file.refusal("units without a spike", expected="spike times", object_path=f"{path}/spike_times")
    unit_ends = np.cumsum([len(train) for train in trains], dtype=np.int64)
    observed = _observed(file, keep, spike_times)
    interval = (float(observed[0, 0]), float(observed[-1, 1]))
    return SpikeTrains(spike_times, unit_ends, interval=interval, path=path, observed=observed), cells


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


def _sorting(file: OpenedFile, configuration: SessionsConfiguration) -> Any:
    from pynwb.ecephys import ElectricalSeries
    from spikeinterface.extractors.nwbextractors import NwbSortingExtractor

    units = file.nwbfile.units
    frequency = configuration.spike_sampling_frequency
    if frequency is None and not units.resolution:
        frequency = _USUAL_SAMPLING_FREQUENCY
        file.note(
            "guess",
            file.path_of(units),
            f"no sampling frequency in the file; {frequency:g} Hz was taken (spike times stay in seconds)",
        )
    # A recording in the file does not say that the units were sorted from it; seconds are on the session's clock, so
    # the grid of samples starts at 0 whatever lies beside.
    t_start = 0.0 if file.of_type(ElectricalSeries) else None
    try:
        return NwbSortingExtractor(
            file_path=str(file.path),
            unit_table_path=file.path_of(units),
            sampling_frequency=frequency,
            t_start=t_start,
        )
    except Exception as problem:  # SpikeInterface raises ValueError, KeyError, AssertionError and others alike
        raise file.refusal(
            f"units that SpikeInterface cannot read ({' '.join(str(problem).split())})",
            expected="a units table with spike times",
            remedy="choose other traces with sessions.trace",
            object_path=file.path_of(units),
        ) from problem


def _good_units(
    file: OpenedFile, path: str, n_units: int, properties: dict[str, npt.NDArray[Any]], quality: UnitQuality
) -> npt.NDArray[np.int64]:
    keep = np.ones(n_units, dtype=bool)
    if quality.labels is not None and "quality" in properties:
        keep &= np.isin(text_values(properties["quality"]), np.asarray(quality.labels, dtype=object))
    for column, limit, sign in (
        ("isi_violations", quality.maximum_isi_violations, 1.0),
        ("amplitude_cutoff", quality.maximum_amplitude_cutoff, 1.0),
        ("presence_ratio", quality.minimum_presence_ratio, -1.0),
    ):
        if limit is not None and column in properties:
            keep &= sign * pd.to_numeric(pd.Series(properties[column]), errors="coerce").to_numpy() <= sign * limit
    if not keep.any():
        raise file.refusal(
            f"{n_units} units, none of which passes the quality criteria",
            expected="at least one unit",
            remedy="relax sessions.unit_quality",
            object_path=path,
        )
    if not keep.all():
        file.note("info", path, f"{int((~keep).sum())} of {n_units} units left out by sessions.unit_quality")
    return np.flatnonzero(keep)


def _electrode_rows(file: OpenedFile, n_units: int, properties: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """Row of the electrode table each unit was seen best on, -1 where the file does not say."""
    rows = np.full(n_units, -1, dtype=np.int64)
    electrodes, units = file.nwbfile.electrodes, file.nwbfile.units
    if electrodes is None:
        return rows
    if "peak_channel_id" in properties:
        of_id = {int(number): row for row, number in enumerate(electrodes.id[:])}
        rows[:] = [of_id.get(int(number), -1) for number in properties["peak_channel_id"]]
    elif "electrodes" in units.colnames:
        column = units["electrodes"]
        first = np.arange(n_units)
        if hasattr(column, "target"):
            ends = np.asarray(column.data[:], dtype=np.int64)
            first = np.concatenate([[0], ends[:-1]])
            filled = ends > first
            column = column.target
        else:
            filled = np.ones(n_units, dtype=bool)
        stored = np.asarray(column.data[:], dtype=np.int64)
        rows[filled] = stored[first[filled]]
    rows[(rows < 0) | (rows >= len(electrodes))] = -1
    return rows


def _areas(
    file: OpenedFile, properties: dict[str, npt.NDArray[Any]], electrode: npt.NDArray[np.int64]
) -> npt.NDArray[np.object_]:
    for column in file.conventions.area_columns:
        if column in properties:
            return text_values(properties[column])
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
    positions[known] = stored[electrode[known]]
    if not np.isfinite(positions).any() or not np.nan_to_num(positions).any():
        file.note("info", path, "the electrodes' coordinates are empty or all zero, so unknown")
        return np.full_like(positions, np.nan)
    areas = {area for area in text_values(electrodes["location"].data[:]) if area}
    if len(areas) > 1 and np.nanmax(np.abs(stored)) <= _LARGEST_MILLIMETRES:
        file.note(
            "guess",
            path,
            f"coordinates of {len(areas)} areas within {np.nanmax(np.abs(stored)):g}: taken as millimetres, though "
            "NWB has micrometres here",
        )
        positions *= _MICROMETRES_PER_MILLIMETRE
    return positions


def _observed(
    file: OpenedFile, keep: npt.NDArray[np.int64], spike_times: npt.NDArray[np.float64]
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
    return np.array([[spike_times.min(), spike_times.max()]], dtype=np.float64)


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
