"""Behaviour beside the recording: running speed, pupil size and other single traces, with conversion applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.clock import regular_rate, regular_timestamps, stored_timestamps
from nwb_mivae.sessions.conventions import plain
from nwb_mivae.sessions.nwb import OpenedFile, as_text
from nwb_mivae.sessions.session import BehaviourSeries

__all__ = ["read_behaviour"]


def read_behaviour(file: OpenedFile) -> dict[str, BehaviourSeries]:
    """``"running"`` and ``"pupil"`` where a series is called so, and the other traces of behavioural containers.

    Series are found by type in acquisition and processing; names decide only which is running and which the pupil.
    """
    from pynwb.base import TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, PupilTracking

    behavioural = [
        item
        for item in file.of_type(TimeSeries)
        if file.path_of(item).startswith(("processing/", "acquisition/")) and type(item).__module__ != "pynwb.ophys"
    ]
    found: dict[str, BehaviourSeries] = {}
    taken: set[str] = set()
    for name, conventions in (("running", file.conventions.running_names), ("pupil", file.conventions.pupil_names)):
        for item in _by_convention(behavioural, conventions):
            series = _read(file, name, item)
            if series is not None:
                found[name] = series
                taken.add(item.object_id)
                break
    for item in behavioural:
        if item.object_id in taken or not isinstance(item.parent, (BehavioralTimeSeries, PupilTracking)):
            continue
        name = as_text(item.name)
        series = _read(file, name, item)
        if series is not None and name not in found:
            found[name] = series
    return found


def _by_convention(series: Sequence[Any], conventions: Sequence[str]) -> list[Any]:
    ranked = [
        (conventions.index(plain(as_text(item.name))), number)
        for number, item in enumerate(series)
        if plain(as_text(item.name)) in conventions
    ]
    return [series[number] for _, number in sorted(ranked)]


def _read(file: OpenedFile, name: str, series: Any) -> BehaviourSeries | None:
    path = file.path_of(series)
    # An ellipse fitted to the pupil (dandiset 000711) is a path in the image; its size is the area beside it.
    area = getattr(series, "area", None)
    stored = series.data if area is None else area
    if stored is None:
        return None
    shape = np.shape(stored)
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or shape[0] < 2:
        file.note("info", path, f"data of shape {shape} is no single trace; left out of behaviour")
        return None
    kind = np.asarray(stored[:1]).dtype.kind
    if kind not in "biuf":
        file.note("info", path, "data that are no numbers; left out of behaviour")
        return None
    values = np.asarray(stored[:], dtype=np.float64).ravel()
    if area is None:
        values = values * float(series.conversion) + float(series.offset or 0.0)
    times = _times(series, len(values))
    if times is None:
        file.note("warning", path, "neither timestamps nor a rate; left out of behaviour")
        return None
    n_samples = min(len(times), len(values))
    times, values = times[:n_samples], values[:n_samples]
    usable = np.isfinite(times)
    usable[usable] = np.diff(times[usable], prepend=-np.inf) > 0
    if not usable.all():
        file.note("warning", path, f"{int((~usable).sum())} samples with missing or repeated times, left out")
    return BehaviourSeries(name, times[usable], values[usable], as_text(series.unit) or "unknown", path)


def _times(series: Any, n_samples: int) -> npt.NDArray[np.float64] | None:
    stored = stored_timestamps(series)
    if stored is not None:
        return stored
    rate = regular_rate(series)
    return None if rate is None else regular_timestamps(series, rate, n_samples)
