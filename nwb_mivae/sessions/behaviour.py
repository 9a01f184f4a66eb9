"""Behaviour beside the recording: running speed, pupil size and other single traces, with conversion applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.clock import regular_rate, regular_timestamps, stored_timestamps
from nwb_mivae.sessions.conventions import plain
from nwb_mivae.sessions.nwb import OpenedFile, as_text, truth
from nwb_mivae.sessions.session import BehaviourSeries

__all__ = ["read_behaviour"]

FloatArray = npt.NDArray[np.float64]


def read_behaviour(file: OpenedFile) -> dict[str, BehaviourSeries]:
    """``"running"`` and ``"pupil"`` where a series or table is called so, and other traces of behavioural containers.

    They are found by type in acquisition and processing; names decide only which is running and which the pupil. Units
    are the file's. The pupil is NaN where the file says that the eye was shut, and where it has no size.
    """
    from hdmf.common import DynamicTable
    from pynwb.base import TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, PupilTracking

    behavioural = [
        item
        for item in file.of_type((TimeSeries, DynamicTable))
        if file.path_of(item).startswith(("processing/", "acquisition/")) and type(item).__module__ != "pynwb.ophys"
    ]
    found: dict[str, BehaviourSeries] = {}
    taken: set[str] = set()
    for name, conventions in (("running", file.conventions.running_names), ("pupil", file.conventions.pupil_names)):
        for item in _by_convention(behavioural, conventions):
            series = _read_or_leave_out(file, name, item)
            if series is not None:
                found[name] = series
                taken.add(item.object_id)
                break
    for item in behavioural:
        if item.object_id in taken or not isinstance(item.parent, (BehavioralTimeSeries, PupilTracking)):
            continue
        name = as_text(item.name)
        series = _read_or_leave_out(file, name, item)
        if series is not None and name not in found:
            found[name] = series
    return found


def _by_convention(items: Sequence[Any], conventions: Sequence[str]) -> list[Any]:
    ranked = [
        (conventions.index(plain(as_text(item.name))), number)
        for number, item in enumerate(items)
        if plain(as_text(item.name)) in conventions
    ]
    return [items[number] for _, number in sorted(ranked)]


def _read_or_leave_out(file: OpenedFile, name: str, item: Any) -> BehaviourSeries | None:
    """One trace, or ``None`` where it cannot be used: a damaged one is said and costs no more than itself."""
    try:
        return _read(file, name, item)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as problem:
        said = " ".join(str(problem).split())
        file.note(
            "warning", file.path_of(item), f"cannot be read ({type(problem).__name__}: {said}); left out of behaviour"
        )
        return None


def _read(file: OpenedFile, name: str, item: Any) -> BehaviourSeries | None:
    path = file.path_of(item)
    stored, unit = _values_of(file, item)
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
    if stored is getattr(item, "data", None):
        values = values * float(item.conversion) + float(item.offset or 0.0)
    values[~np.isfinite(values)] = np.nan
    if name == "pupil":
        _leave_out_shut_eyes(file, path, values)
    times = _times(file, item, len(values))
    if times is None:
        file.note("warning", path, "neither timestamps nor a rate; left out of behaviour")
        return None
    n_samples = min(len(times), len(values))
    times, values = times[:n_samples], values[:n_samples]
    usable = np.isfinite(times)
    usable[usable] = np.diff(times[usable], prepend=-np.inf) > 0
    if not usable.all():
        file.note("warning", path, f"{int((~usable).sum())} samples with missing or repeated times, left out")
    return BehaviourSeries(name, times[usable], values[usable], unit, path)


def _values_of(file: OpenedFile, item: Any) -> tuple[Any, str]:
    """The data that tell the variable, not read, or ``None``; and their unit."""
    if hasattr(item, "colnames"):
        column = _column(item, file.conventions.pupil_columns)
        return (None if column is None else column.data), "unknown"
    unit = as_text(item.unit) or "unknown"
    # An ellipse fitted to the pupil (dandiset 000711) is a path in the image; its size is the area beside it.
    area = getattr(item, "area", None)
    return (item.data, unit) if area is None else (area, "unknown" if unit == "unknown" else f"{unit}^2")


def _column(table: Any, conventions: Sequence[str]) -> Any:
    """The first column of a table that is called by one of these plain names, or ``None``."""
    names = {plain(name): name for name in table.colnames}
    return next((table[names[word]] for word in conventions if word in names), None)


def _times(file: OpenedFile, item: Any, n_samples: int) -> FloatArray | None:
    if hasattr(item, "colnames"):
        column = _column(item, file.conventions.time_columns)
        return None if column is None else np.asarray(column.data[:], dtype=np.float64)
    stored = stored_timestamps(item)
    if stored is not None:
        return stored
    rate = regular_rate(item)
    return None if rate is None else regular_timestamps(item, rate, n_samples)


def _leave_out_shut_eyes(file: OpenedFile, path: str, values: FloatArray) -> None:
    """Put NaN where a series beside the pupil says the eye was shut, and for the value that failed fits have."""
    from pynwb.base import TimeSeries

    known = int(np.isfinite(values).sum())
    beside = path.rpartition("/")[0]
    for other in file.of_type(TimeSeries):
        if plain(as_text(other.name)) not in file.conventions.blink_names:
            continue
        if file.path_of(other).rpartition("/")[0] == beside and np.shape(other.data) == values.shape:
            values[truth(np.asarray(other.data[:]))] = np.nan
    # Sizes are above zero unless they were standardised; then values below it differ from each other.
    impossible = values <= 0
    if impossible.any() and len(np.unique(values[impossible])) == 1:
        values[impossible] = np.nan
    left_out = known - int(np.isfinite(values).sum())
    if left_out:
        file.note("info", path, f"{left_out} of {len(values)} samples are of a shut eye or a failed fit, so unknown")
