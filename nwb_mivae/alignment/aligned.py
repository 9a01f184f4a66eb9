"""What alignment gives: activity and stimulus frame by frame on one clock, and the report on how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.session import Provenance, Template, TraceKind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AlignedSession", "AlignmentReport", "PlaneReport"]


@dataclass(frozen=True)
class PlaneReport:
    """What alignment found in the traces of one imaging plane.

    Attributes
    ----------
    path : str
        Path of the traces inside the file.
    rate : float
        Median sampling rate, Hz.
    cells, cells_dropped : int
        Cells that were kept, and cells left out for missing samples.
    gaps : int
        Gaps of the plane's clock, ``gap_seconds`` long together.
    samples_lost : int
        Samples that too many cells miss: frames that need them are masked.
    values_filled : int
        Samples of single cells that were missing and were filled from their neighbours.
    """

    path: str
    rate: float
    cells: int
    cells_dropped: int
    gaps: int
    gap_seconds: float
    samples_lost: int
    values_filled: int


@dataclass(frozen=True)
class AlignmentReport:
    """What alignment found, masked, left out and guessed in one session; every value can be written as JSON.

    Attributes
    ----------
    neural_rate : float or None
        Median sampling rate of the traces in Hz, of the slowest plane; ``None`` for spike times.
    frame_rate : float
        One over the median duration of a frame, Hz.
    lag : float
        Seconds by which activity was taken later than the frames.
    n_frames, n_valid, n_segments : int
        Frames on the stimulus clock, those with known activity, and stretches of frames without a gap.
    masked_share : float
        Share of frames whose activity is not known.
    frame_jitter_rms, frame_jitter_maximum : float
        Deviation, in seconds, of frame onsets from a regular clock inside segments (frame to frame).
    frames_dropped, frames_repeated, frames_held : int
        Frame numbers a movie skipped; presentations that showed the same number as the one before; frames added to the
        clock because the picture before them was held on the screen: their presentation lasted a multiple of the
        ordinary duration, or no row of the table covers them.
    neural_gaps : int
        Gaps of the imaging clocks, ``neural_gap_seconds`` long together, over all planes.
    planes : tuple of PlaneReport
        Each imaging plane; empty for spike times.
    values_filled : int
        Missing samples of single cells that were filled from their neighbours.
    presentations, presentations_used, presentations_on_clock : int
        Rows of the presentation table, those that gave frames, and those laid on a regular clock.
    excluded : mapping of str to int
        Presentations left out, by reason.
    missing_templates : list of str
        Templates without pixels whose presentations were left out.
    cells, cells_dropped : int
        Cells that were kept, and cells left out for missing samples.
    auxiliary_filled : mapping of str to float
        Share of frames at which an auxiliary variable was not known and was set to its median (1.0: no such variable).
    notes : list of str
        What alignment guessed or what deserves attention, in sentences.
    guesses : list of str
        What the reader guessed (``Session.findings`` of that level), with the path of the object.
    """

    neural_rate: float | None
    frame_rate: float
    lag: float
    n_frames: int
    n_valid: int
    n_segments: int
    masked_share: float
    frame_jitter_rms: float
    frame_jitter_maximum: float
    frames_dropped: int
    frames_repeated: int
    frames_held: int
    neural_gaps: int
    neural_gap_seconds: float
    presentations: int
    presentations_used: int
    presentations_on_clock: int
    excluded: Mapping[str, int]
    missing_templates: Sequence[str]
    cells: int
    cells_dropped: int
    auxiliary_filled: Mapping[str, float]
    planes: Sequence[PlaneReport] = ()
    values_filled: int = 0
    notes: Sequence[str] = field(default_factory=list)
    guesses: Sequence[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class AlignedSession:
    """F stimulus frames and the activity of N cells on the same clock.

    Attributes
    ----------
    key, subject : str
        Names of the session and of the animal.
    provenance : Provenance
        The file the session was read from.
    trace_kind : str
        What the activity is; ``"spikes"`` are counts per frame.
    trace_path : str
        Path of the traces inside the file.
    neural : ndarray of float32, (F, N)
        Mean activity over each frame's interval, or spike counts; zero where not ``valid``, NaN nowhere. In memory,
        or, where alignment was given a workspace, a read-only memory map of a file there.
    valid : ndarray of bool, (F,)
        Whether activity is known over the whole frame, in every plane.
    time, stop_time : ndarray of float64, (F,)
        Onset and end of each frame in seconds on the session's clock, not overlapping.
    segment : ndarray of int32, (F,)
        Frames of one number follow each other without a gap.
    template : ndarray of int32, (F,)
        Row of ``templates``; -1 blank.
    frame : ndarray of int64, (F,)
        Frame number inside the template; -1 blank.
    repeat : ndarray of int32, (F,)
        Earlier showings of the same frame.
    presentation : ndarray of int64, (F,)
        Row of ``presentations``.
    presentations : DataFrame
        ``Session.presentations``, whole.
    auxiliary : ndarray of float32, (F, U)
        Auxiliary variables, NaN nowhere.
    auxiliary_names : tuple of str
        Names of the U columns.
    coordinates : ndarray of float32, (N, 3)
        Micrometres, NaN where unknown.
    cells : DataFrame
        The N rows of the cell table that were kept.
    templates : list of Template
        The templates that ``template`` counts.
    frame_rate : float
        One over the median duration of a frame, Hz.
    report : AlignmentReport
        How it came about.
    """

    key: str
    subject: str
    provenance: Provenance
    trace_kind: TraceKind
    trace_path: str
    neural: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    time: npt.NDArray[np.float64]
    stop_time: npt.NDArray[np.float64]
    segment: npt.NDArray[np.int32]
    template: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int64]
    repeat: npt.NDArray[np.int32]
    presentation: npt.NDArray[np.int64]
    presentations: pd.DataFrame
    auxiliary: npt.NDArray[np.float32]
    auxiliary_names: tuple[str, ...]
    coordinates: npt.NDArray[np.float32]
    cells: pd.DataFrame
    templates: Sequence[Template]
    frame_rate: float
    report: AlignmentReport
