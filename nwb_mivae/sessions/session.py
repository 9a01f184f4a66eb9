"""The nouns of a recording: :class:`Session` and what it is made of. Nothing here knows a file format.

All times are seconds on the session's own clock (NWB's reference time), all positions micrometres. Rows of every
per-frame table are in order of time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = [
    "CELL_COLUMNS",
    "PRESENTATION_COLUMNS",
    "BehaviourSeries",
    "Finding",
    "Granularity",
    "MultiPlaneTraces",
    "Provenance",
    "SampledTraces",
    "Session",
    "SpikeTimes",
    "SpikeTrains",
    "Template",
    "TraceCandidate",
    "TraceKind",
    "Traces",
]

TraceKind = Literal["dff", "deconvolved", "events", "fluorescence", "spikes"]
#: What one row of a stimulus table of the source is: a refresh of the display, a frame of a movie, a standing image, a
#: presentation of a grating or patch told by parameters, a whole movie, or a time without a stimulus.
Granularity = Literal["display frame", "movie frame", "image", "parameters", "whole movie", "none"]
FloatArray = npt.NDArray[np.float64]

#: Columns of :attr:`Session.cells`, one row per cell in the order of the traces' columns.
#: ``source_row`` and ``source_path`` are the row and the ROI or unit table inside ``source_file``.
CELL_COLUMNS = ("id", "x", "y", "z", "area", "plane", "source_row", "source_path", "source_file")

#: Columns of :attr:`Session.presentations`, one row per shown frame or image in order of ``start_time``.
PRESENTATION_COLUMNS = (
    "start_time",
    "stop_time",
    "stimulus",
    "template",
    "frame",
    "parameters",
    "blank",
    "omitted",
    "block",
    "repeat",
    "source_path",
    "source_row",
)


class Traces(ABC):
    """Neural activity of the cells of one session: either sampled on a clock or a list of spike trains."""

    kind: TraceKind
    #: Unit of the values as the file states it, or ``"unknown"``.
    unit: str
    #: Path of the object inside the file.
    path: str

    @property
    @abstractmethod
    def n_cells(self) -> int:
        """Number of cells (columns)."""

    @property
    @abstractmethod
    def interval(self) -> tuple[float, float]:
        """First and last time, in seconds, at which activity is known."""


class SampledTraces(Traces):
    """Traces sampled at given times: dF/F, deconvolved activity, events, raw fluorescence.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives rows ``start`` to ``stop`` as float32 ``(time, cells)``, conversion and offset
        applied, in the cells' order, whatever the orientation in the file.
    timestamps : ndarray of float64, (time,)
        Seconds, strictly increasing.
    preferred_rows : int, optional
        Samples that lie together in the file (a storage chunk's), so that whoever reads a part of the traces can read
        whole chunks.
    """

    def __init__(
        self,
        read: Callable[[int, int], npt.NDArray[np.float32]],
        timestamps: FloatArray,
        n_cells: int,
        *,
        kind: TraceKind,
        unit: str,
        path: str,
        preferred_rows: int | None = None,
    ) -> None:
        self._read = read
        self.preferred_rows = preferred_rows
        self.timestamps = timestamps
        self._n_cells = n_cells
        self.kind = kind
        self.unit = unit
        self.path = path

    @property
    def n_cells(self) -> int:
        return self._n_cells

    @property
    def shape(self) -> tuple[int, int]:
        """(time, cells)."""
        return len(self.timestamps), self._n_cells

    @property
    def rate(self) -> float:
        """Median sampling rate in Hz, from the timestamps."""
        return float(1.0 / np.median(np.diff(self.timestamps))) if len(self.timestamps) > 1 else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return float(self.timestamps[0]), float(self.timestamps[-1])

    def read(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """Rows ``start`` to ``stop`` (default: all) as float32 ``(time, cells)``."""
        return self._read(start, len(self.timestamps) if stop is None else stop)


class MultiPlaneTraces(Traces):
    """Traces of several imaging planes of one session, each on its own clock.

    The cells are those of the first plane, then those of the second, and so on, as in ``Session.cells``. Kind, unit
    and path are those of the first plane.

    Parameters
    ----------
    planes : sequence of SampledTraces
        Two or more, of one kind, that overlap in time.
    """

    def __init__(self, planes: Sequence[SampledTraces]) -> None:
        self.planes = tuple(planes)
        self.kind = self.planes[0].kind
        self.unit = self.planes[0].unit
        self.path = self.planes[0].path

    @property
    def n_cells(self) -> int:
        return sum(plane.n_cells for plane in self.planes)

    @property
    def rate(self) -> float:
        """Sampling rate of the slowest plane in Hz."""
        return min(plane.rate for plane in self.planes)

    @property
    def interval(self) -> tuple[float, float]:
        starts, stops = zip(*(plane.interval for plane in self.planes), strict=True)
        return max(starts), min(stops)


class SpikeTimes(Protocol):
    """Spike times in seconds, sliced like an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> FloatArray: ...


class SpikeTrains(Traces):
    """Spike times of sorted units.

    Parameters
    ----------
    spike_times : ndarray of float64, (spikes,), or SpikeTimes
        Seconds, sorted within each unit (NaN last), the units one after the other in the order of the cells. Of a file
        they are read when a unit is asked for, a block of neighbouring units at a time.
    unit_ends : ndarray of int64, (cells,)
        Where each unit's spikes end in ``spike_times`` (NWB's index convention).
    interval : tuple of float
        First and last time, in seconds, at which spikes could have been seen.
    observed : ndarray of float64, (K, 2), optional
        Intervals in which every cell was observed, in order and apart; by default ``interval`` is the only one.
    """

    kind: TraceKind = "spikes"
    unit = "spikes"

    def __init__(
        self,
        spike_times: FloatArray | SpikeTimes,
        unit_ends: npt.NDArray[np.int64],
        *,
        interval: tuple[float, float],
        path: str,
        observed: FloatArray | None = None,
    ) -> None:
        self.spike_times = spike_times
        self.unit_ends = unit_ends
        self.observed = np.array([interval]) if observed is None else observed
        self._interval = interval
        self.path = path

    @property
    def n_cells(self) -> int:
        return len(self.unit_ends)

    @property
    def interval(self) -> tuple[float, float]:
        return self._interval

    def of_cell(self, cell: int) -> FloatArray:
        """Spike times, in seconds, of the cell at row ``cell`` of the cell table."""
        start = 0 if cell == 0 else int(self.unit_ends[cell - 1])
        return self.spike_times[start : int(self.unit_ends[cell])]


class Template(ABC):
    """Frames of one stimulus by number: a movie or a set of images, read only when asked for."""

    name: str
    n_frames: int
    height: int
    width: int
    #: Where the pixels come from: inside the NWB file, a movie beside it, or drawn from parameters.
    origin: Literal["file", "external", "rendered"]

    @abstractmethod
    def read(self, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Frames by number, luminance as uint8 ``(len(frames), height, width)``, 255 the brightest."""


@dataclass(frozen=True)
class BehaviourSeries:
    """One behavioural variable: ``values`` (time,) at ``timestamps`` (time,) seconds, NaN where unknown."""

    name: str
    timestamps: FloatArray
    values: FloatArray
    unit: str
    path: str


@dataclass(frozen=True)
class Finding:
    """Something the reader saw, chose, guessed or left out, in a sentence the user can act on."""

    level: Literal["info", "guess", "warning"]
    object_path: str
    message: str


@dataclass(frozen=True)
class TraceCandidate:
    """Neural activity that a file offers: what was chosen, and what was not and why.

    Attributes
    ----------
    path : str
        Path of the object inside the file; ``SessionsConfiguration(trace=path)`` chooses it.
    kind : TraceKind
        What the values are, judged by name and container.
    shape : tuple of int
        As stored; for units ``(units,)``.
    orientation : str
        How it is stored: ``"time x cells"``, ``"cells x time"``, ``"ragged"`` or ``"unknown"``.
    plane : str
        Imaging plane, or an empty string.
    chosen : bool
        Whether ``Session.traces`` holds it.
    reason : str
        Why it was chosen or not.
    """

    path: str
    kind: TraceKind
    shape: tuple[int, ...]
    orientation: str
    plane: str
    chosen: bool
    reason: str


@dataclass(frozen=True)
class Provenance:
    """Where a session came from: the file and the identifiers inside it."""

    path: str
    nwb_version: str
    identifier: str
    object_id: str
    session_id: str
    subject_id: str
    species: str
    #: Session start as ISO 8601 text.
    session_start_time: str
    #: DANDI asset the file was opened from, if any.
    asset: str | None = None


@dataclass
class Session:
    """One recording of one subject, opened lazily; use it as a context manager, or call :meth:`close`.

    Attributes
    ----------
    traces : Traces or None
        Neural activity, or ``None`` where the file holds none that can be used (``findings`` says why).
    cells : DataFrame
        One row per cell, columns :data:`CELL_COLUMNS`; ``x, y, z`` in micrometres, NaN where unknown.
    presentations : DataFrame
        One row per shown frame or image, columns :data:`PRESENTATION_COLUMNS`. ``template`` is a key of
        ``templates`` or of ``missing_templates``; ``frame`` counts from 0 in the template. Where nothing but a grey
        screen was shown ``blank`` is true, ``frame`` -1 and ``template`` empty; ``omitted`` is true where that is so in
        place of an image that was expected. ``stimulus`` is what the file calls what was shown. ``parameters`` is JSON
        text of what the file says of a grating, patch or noise frame under standard names, sorted, or empty.
        ``repeat`` counts earlier showings of the same frame, ``block`` is the file's own block number or -1. Where a
        movie is missing its frames cannot be told apart: its row then covers the whole showing, with frame 0.
    templates : mapping of str to Template
        Frames by template name, for every template whose pixels can be read.
    missing_templates : mapping of str to str
        Template name to the file that was looked for, or the reason why there are no pixels.
    behaviour : mapping of str to BehaviourSeries
        ``"running"`` and ``"pupil"`` where present; other names as in the file.
    granularity : mapping of str to Granularity
        Path of each source table or series inside the file to what its rows are.
    files : tuple of Provenance
        Every file the session was read from, ``provenance`` first; several where each holds one imaging plane.
    invalid_times : ndarray of float64, (K, 2)
        Intervals, in seconds, that the file says are not to be used; infinite where they have no start or no end.
    findings : list of Finding
        What was found, chosen, guessed and left out.
    candidates : list of TraceCandidate
        Every set of traces the file offers, the chosen ones included.
    """

    key: str
    traces: Traces | None
    cells: pd.DataFrame
    presentations: pd.DataFrame
    templates: Mapping[str, Template]
    missing_templates: Mapping[str, str]
    behaviour: Mapping[str, BehaviourSeries]
    provenance: Provenance
    granularity: Mapping[str, Granularity] = field(default_factory=dict)
    files: tuple[Provenance, ...] = ()
    invalid_times: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    findings: list[Finding] = field(default_factory=list)
    candidates: list[TraceCandidate] = field(default_factory=list)
    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        """Close the file; lazily read parts cannot be read any more."""
        if self.on_close is not None:
            self.on_close()
            self.on_close = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
