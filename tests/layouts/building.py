"""What the layout builders share: files, tables and series that pynwb reads but would not build today."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from hdmf.build import BuildManager, TypeMap
from hdmf.common import VectorData, VectorIndex
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.base import TimeSeriesReference, TimeSeriesReferenceVectorData
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject

__all__ = [
    "as_old_writers_did",
    "blobs",
    "intervals_table",
    "new_session",
    "replace_timestamps",
    "sampling_times",
    "save",
    "state_unit",
]

FloatArray = npt.NDArray[np.float64]
_START = datetime(2019, 9, 24, 17, 3, 30, 439000, tzinfo=UTC)


def new_session(session_id: str, *, subject: Subject | None = None, **more: Any) -> NWBFile:
    """An empty file of one mouse; ``more`` goes to NWBFile."""
    return NWBFile(
        **{
            "session_description": "session",
            "identifier": session_id,
            "session_start_time": _START,
            "session_id": session_id,
            "institution": "Allen Institute for Brain Science",
            "subject": Subject(subject_id="457841", species="Mus musculus", sex="F", age="P209D")
            if subject is None
            else subject,
            **more,
        }
    )


def save(nwbfile: NWBFile, path: Path, type_map: TypeMap | None = None) -> Path:
    """Write the file with its specifications cached; what pynwb says about old layouts is not the test's subject."""
    path.parent.mkdir(parents=True, exist_ok=True)
    manager = {} if type_map is None else {"manager": BuildManager(type_map)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with NWBHDF5IO(str(path), "w", **manager) as io:
            io.write(nwbfile)
    return path


def as_old_writers_did(kind: Any, **fields: Any) -> Any:
    """An object with fields that its class no longer accepts from who builds it, but still reads from a file."""
    built = kind.__new__(kind, in_construct_mode=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built.__init__(**fields)
    built._in_construct_mode = False
    return built


def intervals_table(
    name: str,
    description: str,
    columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]],
    *,
    descriptions: Mapping[str, str] | None = None,
    ragged: Mapping[str, Sequence[Sequence[Any]]] | None = None,
    refers_to: TimeSeries | None = None,
    tag: str | None = None,
    ids: Sequence[int] | None = None,
) -> TimeIntervals:
    """A table of intervals, dtypes as given.

    With ``refers_to`` every row has a reference into that series, with ``tag`` one tag, both ragged as AllenSDK writes
    them.
    """
    built: list[VectorData] = []
    told = descriptions or {}
    for column, values in columns.items():
        data = list(values) if isinstance(values, np.ndarray) and values.dtype.kind in "OU" else values
        built.append(VectorData(name=column, description=told.get(column, "No description"), data=data))
    n_rows = len(columns["start_time"])
    for column, rows in (ragged or {}).items():
        _add_ragged(built, VectorData, column, told.get(column, "No description"), rows)
    if tag is not None:
        _add_ragged(built, VectorData, "tags", "user-defined tags", [[tag]] * n_rows)
    if refers_to is not None:
        times = np.asarray(refers_to.timestamps)
        first = np.searchsorted(times, np.asarray(columns["start_time"], dtype=np.float64))
        after = np.searchsorted(times, np.asarray(columns["stop_time"], dtype=np.float64))
        references = [
            [TimeSeriesReference(int(start), int(max(stop - start, 0)), refers_to)]
            for start, stop in zip(first, after, strict=True)
        ]
        _add_ragged(built, TimeSeriesReferenceVectorData, "timeseries", "index into a TimeSeries object", references)
    return TimeIntervals(
        name=name,
        description=description,
        columns=built,
        colnames=[column.name for column in built if not isinstance(column, VectorIndex)],
        **({} if ids is None else {"id": list(ids)}),
    )


def _add_ragged(
    built: list[VectorData], kind: type[VectorData], name: str, description: str, rows: Sequence[Sequence[Any]]
) -> None:
    target = kind(name=name, description=description, data=[value for row in rows for value in row])
    ends = np.cumsum([len(row) for row in rows]).astype(np.uint32)
    built += [target, VectorIndex(name=f"{name}_index", data=list(ends), target=target)]


def sampling_times(
    rate: float, duration: float, *, first: float = 0.0, jitter: float = 5e-5, seed: int = 0
) -> FloatArray:
    """Strictly increasing seconds of a clock of nearly that rate, as a sync line records them."""
    number = np.arange(round(rate * duration))
    return np.asarray(first + number / rate + np.random.default_rng(seed).uniform(-jitter, jitter, len(number)))


def blobs(
    n_rois: int, height: int, width: int, *, seed: int = 0
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Masks (n, height, width) of 3 x 5 pixels apart from each other, and centres (n, 2) as column, row in pixels."""
    places = [(row, column) for row in range(2, height - 2, 4) for column in range(3, width - 3, 6)]
    chosen = np.random.default_rng(seed).choice(len(places), n_rois, replace=False)
    masks = np.zeros((n_rois, height, width), dtype=bool)
    for mask, place in zip(masks, chosen, strict=True):
        row, column = places[place]
        mask[row - 1 : row + 2, column - 2 : column + 3] = True
    return masks, np.array([(places[place][1], places[place][0]) for place in chosen], dtype=np.float64)


def replace_timestamps(path: Path, series: str, timestamps: FloatArray) -> None:
    """Store other timestamps, of another length too, in a series of a written file; links to them still hold."""
    with h5py.File(path, "r+") as root:
        group = root[series]
        attributes = dict(group["timestamps"].attrs)
        del group["timestamps"]
        group["timestamps"] = timestamps
        group["timestamps"].attrs.update(attributes)


def state_unit(path: Path, series: str, unit: str) -> None:
    """Store a unit that pynwb would have corrected."""
    with h5py.File(path, "r+") as root:
        root[series]["data"].attrs["unit"] = unit
