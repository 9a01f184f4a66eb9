"""A session's activity on its stimulus clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment.aligned import AlignedSession, AlignmentReport
from nwb_mivae.alignment.clock import StimulusClock, stimulus_clock
from nwb_mivae.alignment.configuration import LAG_OF_KIND, AlignmentConfiguration
from nwb_mivae.alignment.resampling import counts_in_intervals, interpolated, interval_weights
from nwb_mivae.errors import AlignmentError
from nwb_mivae.sessions.session import SampledTraces, Session, SpikeTrains, Traces

__all__ = ["align"]

#: Upper bound of the default clock for standing images, Hz.
_FASTEST_CLOCK = 30.0
#: Bytes of traces read at a time.
_CHUNK_BYTES = 1 << 26
#: Frames of a session: a day at 60 Hz has a quarter of them.
_MOST_FRAMES = 20_000_000
#: Weights of samples that only rounding of the times brought into a frame.
_NO_WEIGHT = 1e-6


def align(session: Session, configuration: AlignmentConfiguration | None = None) -> AlignedSession:
    """Put a session's activity and behaviour on the clock of its stimulus.

    Parameters
    ----------
    session : Session
        Open.
    configuration : AlignmentConfiguration, optional
        Lag, clocks and tolerances.

    Raises
    ------
    AlignmentError
        If there is no activity, no presentation with pixels, or no frame during which activity is known.
    """
    configuration = AlignmentConfiguration() if configuration is None else configuration
    traces = _usable_traces(session)
    neural_rate = traces.rate if isinstance(traces, SampledTraces) else None
    clock_rate = configuration.clock_rate or min(neural_rate or _FASTEST_CLOCK, _FASTEST_CLOCK)
    _refuse_endless(session, clock_rate)
    n_frames_of = {name: template.n_frames for name, template in session.templates.items()}
    clock = stimulus_clock(session.presentations, n_frames_of, clock_rate, configuration)
    missing = _missing_templates(session)
    _refuse_empty(session, clock, missing)

    lag = LAG_OF_KIND[traces.kind] if configuration.lag is None else configuration.lag
    start, stop = clock.time + lag, clock.stop_time + lag
    gaps, gap_seconds = 0, 0.0
    if isinstance(traces, SampledTraces):
        steps = np.diff(traces.timestamps)
        longest_step = configuration.gap_factor * float(np.median(steps))
        gaps, gap_seconds = int(np.sum(steps > longest_step)), float(np.sum(steps[steps > longest_step]))
        neural, valid, kept = _resampled(session, traces, start, stop, longest_step, configuration)
    elif isinstance(traces, SpikeTrains):
        kept = np.arange(traces.n_cells)
        neural = counts_in_intervals(traces, start, stop, kept)
        valid = _within(start, stop, traces.observed)
        neural[~valid] = 0
    else:
        raise AlignmentError(
            f"activity of type {type(traces).__name__}",
            expected="SampledTraces or SpikeTrains",
            remedy="give the session traces of one of these types",
            file=session.provenance.path,
            object_path=traces.path,
        )
    invalid = _touches(np.minimum(start, clock.time), np.maximum(stop, clock.stop_time), session.invalid_times)
    neural[invalid], valid = 0, valid & ~invalid
    if not valid.any():
        known = traces.interval
        raise AlignmentError(
            f"no stimulus frame with known activity: frames from {clock.time[0]:.3f} s to {clock.stop_time[-1]:.3f} s, "
            f"activity from {known[0]:.3f} s to {known[1]:.3f} s",
            expected="activity and stimulus at the same time, without missing samples",
            remedy="check that both clocks have the same zero and, if cells hold NaN, lower "
            "alignment.maximum_missing_share",
            file=session.provenance.path,
            object_path=traces.path,
        )
    auxiliary, filled = _auxiliary(session, clock, configuration)
    cells = session.cells.iloc[kept].reset_index(drop=True)
    return AlignedSession(
        key=session.key,
        subject=session.provenance.subject_id or session.key,
        provenance=session.provenance,
        trace_kind=traces.kind,
        trace_path=traces.path,
        neural=neural,
        valid=valid,
        time=clock.time,
        stop_time=clock.stop_time,
        segment=clock.segment,
        template=clock.template,
        frame=clock.frame,
        repeat=clock.repeat,
        presentation=clock.presentation,
        presentations=session.presentations,
        auxiliary=auxiliary,
        auxiliary_names=configuration.auxiliary,
        coordinates=cells[["x", "y", "z"]].to_numpy(dtype=np.float32),
        cells=cells,
        templates=[session.templates[name] for name in clock.template_names],
        frame_rate=clock.frame_rate,
        report=AlignmentReport(
            neural_rate=neural_rate,
            frame_rate=clock.frame_rate,
            lag=lag,
            n_frames=len(valid),
            n_valid=int(valid.sum()),
            n_segments=int(clock.segment[-1]) + 1,
            masked_share=float(1.0 - valid.mean()),
            frame_jitter_rms=clock.jitter_rms,
            frame_jitter_maximum=clock.jitter_maximum,
            frames_dropped=clock.frames_dropped,
            frames_repeated=clock.frames_repeated,
            frames_long=clock.frames_long,
            neural_gaps=gaps,
            neural_gap_seconds=gap_seconds,
            presentations=len(session.presentations),
            presentations_used=len(np.unique(clock.presentation)),
            presentations_on_clock=clock.on_clock,
            excluded=dict(clock.excluded),
            missing_templates=list(missing),
            cells=len(kept),
            cells_dropped=traces.n_cells - len(kept),
            auxiliary_filled=filled,
            notes=_notes(session, clock, traces, clock_rate, configuration, int(invalid.sum())),
        ),
    )


def _within(
    start: npt.NDArray[np.float64], stop: npt.NDArray[np.float64], intervals: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Whether each ``[start, stop]`` lies in one of the intervals (K, 2), which are in order and apart."""
    number = np.searchsorted(intervals[:, 0], start, side="right") - 1
    return np.asarray((number >= 0) & (stop <= intervals[number, 1]))


def _touches(
    start: npt.NDArray[np.float64], stop: npt.NDArray[np.float64], intervals: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Whether each ``[start, stop]`` shares any time with one of the intervals (K, 2), in any order."""
    touches = np.zeros(len(start), dtype=bool)
    for begin, end in intervals:
        touches |= (start < end) & (stop > begin)
    return touches


def _usable_traces(session: Session) -> Traces:
    traces = session.traces
    if traces is None or traces.n_cells == 0:
        why = next((finding.message for finding in session.findings if finding.level == "warning"), None)
        raise AlignmentError(
            f"no activity that can be used{f' ({why})' if why else ''}",
            expected="a RoiResponseSeries or units with spike times",
            remedy="name the series with sessions.trace, or leave this file out",
            file=session.provenance.path,
        )
    if isinstance(traces, SampledTraces) and (len(traces.timestamps) < 2 or not np.all(np.diff(traces.timestamps) > 0)):
        raise AlignmentError(
            f"{len(traces.timestamps)} imaging times that do not increase"
            if len(traces.timestamps) > 1
            else f"{len(traces.timestamps)} imaging times",
            expected="two or more finite, strictly increasing times",
            remedy="correct the timestamps of the series, or name another one with sessions.trace",
            file=session.provenance.path,
            object_path=traces.path,
        )
    return traces


def _refuse_endless(session: Session, clock_rate: float) -> None:
    """Refuse, before memory is asked for, presentations that fill more frames than any recording has."""
    lasting = (session.presentations["stop_time"] - session.presentations["start_time"]).to_numpy(dtype=np.float64)
    seconds = float(np.nansum(np.where(lasting > 0, lasting, 0.0)))
    if not seconds * clock_rate <= _MOST_FRAMES:
        row = int(np.nanargmax(lasting))
        where = session.presentations.iloc[row]
        raise AlignmentError(
            f"presentations that last {seconds:.3g} s together, row {where['source_row']} alone {lasting[row]:.3g} s",
            expected=f"at most {_MOST_FRAMES / clock_rate:.3g} s",
            remedy="check that the times of the table are in seconds and its last row has the right stop time",
            file=session.provenance.path,
            object_path=str(where["source_path"]),
        )


def _missing_templates(session: Session) -> tuple[str, ...]:
    """Templates shown but without pixels, in order of name."""
    shown = session.presentations.loc[session.presentations["frame"] >= 0, "template"]
    return tuple(sorted({str(name) for name in shown.unique()} - set(session.templates)))


def _refuse_empty(session: Session, clock: StimulusClock, missing: tuple[str, ...]) -> None:
    if np.any(clock.template >= 0):
        return
    path = session.provenance.path
    where = None if session.presentations.empty else str(session.presentations["source_path"].iloc[0])
    if missing:
        listed = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        why = session.missing_templates.get(missing[0])
        raise AlignmentError(
            f"no presented stimulus with pixels; missing are {listed}{f' ({why})' if why else ''}",
            expected="the frames of at least one presented stimulus, in the file or in a folder",
            remedy="put these movies into a folder and name it with --stimulus-folder (stimulus_folder=...)",
            file=path,
            object_path=where,
        )
    reasons = ", ".join(f"{count} x {reason}" for reason, count in clock.excluded.items())
    raise AlignmentError(
        f"no presentation of a stimulus that can be used{f' ({reasons})' if reasons else ''}",
        expected="presentations with a start, a duration and a frame",
        remedy="check the stimulus tables with `nwb-mivae inspect`",
        file=path,
        object_path=where,
    )


def _resampled(
    session: Session,
    traces: SampledTraces,
    start: npt.NDArray[np.float64],
    stop: npt.NDArray[np.float64],
    longest_step: float,
    configuration: AlignmentConfiguration,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Mean activity over each frame (F, N), whether it is known (F,), and the cells that were kept."""
    rows = max(2, _CHUNK_BYTES // (4 * traces.n_cells))
    missing = np.zeros(traces.n_cells, dtype=np.int64)
    counted = 0
    for first in range(0, len(traces.timestamps), rows):
        unknown = ~np.isfinite(traces.read(first, min(first + rows, len(traces.timestamps))))
        # Samples without any cell say nothing about single cells; they are masked below.
        unknown = unknown[~unknown.all(axis=1)]
        missing += unknown.sum(axis=0)
        counted += len(unknown)
    kept = np.flatnonzero(missing <= configuration.maximum_missing_share * counted)
    if not counted or not len(kept):
        raise AlignmentError(
            "activity that is NaN throughout" if not counted else "no cell with few enough missing samples",
            expected=f"cells with at most {configuration.maximum_missing_share:.3g} of their samples missing",
            remedy="raise alignment.maximum_missing_share, or name another series with sessions.trace",
            file=session.provenance.path,
            object_path=traces.path,
        )
    weights = interval_weights(traces.timestamps, start, stop, longest_step=longest_step)
    neural = np.zeros((len(start), len(kept)), dtype=np.float32)
    valid = weights.known.copy()
    for frames, samples in _blocks(weights.matrix, rows):
        activity = traces.read(samples.start, samples.stop)[:, kept]
        unknown = ~np.isfinite(activity)
        part: Any = weights.matrix[frames, samples]
        valid[frames] &= (part > _NO_WEIGHT) @ unknown.any(axis=1).astype(np.float32) == 0
        neural[frames] = part @ np.where(unknown, np.float32(0), activity)
    neural[~valid] = 0
    return neural, valid, kept


def _blocks(matrix: Any, rows: int) -> list[tuple[slice, slice]]:
    """Consecutive frames, and the samples they are made of, such that few samples are in memory at a time."""
    pointer, columns = matrix.indptr, matrix.indices
    used = np.flatnonzero(np.diff(pointer) > 0)
    blocks: list[tuple[slice, slice]] = []
    first = 0
    low = np.minimum.reduceat(columns, pointer[used]) if len(used) else np.empty(0, dtype=np.int64)
    high = np.maximum.reduceat(columns, pointer[used]) if len(used) else np.empty(0, dtype=np.int64)
    while first < len(used):
        last = max(first + 1, int(np.searchsorted(high, low[first] + rows, side="left")))
        blocks.append(
            (slice(int(used[first]), int(used[last - 1]) + 1), slice(int(low[first]), int(high[last - 1]) + 1))
        )
        first = last
    return blocks


def _auxiliary(
    session: Session, clock: StimulusClock, configuration: AlignmentConfiguration
) -> tuple[npt.NDArray[np.float32], dict[str, float]]:
    """Auxiliary variables at the middle of each frame (F, U), and the share that is not known of each."""
    middle = 0.5 * (clock.time + clock.stop_time)
    values = np.zeros((len(middle), len(configuration.auxiliary)), dtype=np.float32)
    filled: dict[str, float] = {}
    for column, name in enumerate(configuration.auxiliary):
        if name == "time":
            values[:, column] = clock.time - clock.time[0]
            filled[name] = 0.0
        elif name in session.behaviour:
            series = session.behaviour[name]
            values[:, column], unknown = interpolated(
                series.timestamps, series.values, middle, longest_step=configuration.auxiliary_gap
            )
            filled[name] = float(unknown.mean())
        else:
            filled[name] = 1.0
    return values, filled


def _notes(
    session: Session,
    clock: StimulusClock,
    traces: Traces,
    clock_rate: float,
    configuration: AlignmentConfiguration,
    n_invalid: int,
) -> list[str]:
    notes = []
    if not session.provenance.subject_id:
        notes.append(
            "The file names no subject: the session counts as an animal of its own. If another session is of the same "
            "animal, holding one of them out does not hold out the animal."
        )
    if n_invalid:
        notes.append(f"{n_invalid} frames lie in times that the file marks as invalid; they were masked.")
    if clock.on_clock:
        notes.append(
            f"{clock.on_clock} presentations longer than {configuration.static_longer_than:g} s were laid on a clock "
            f"of about {clock_rate:.4g} Hz."
        )
    unknown_stop = int(session.presentations["stop_time"].isna().sum())
    if unknown_stop:
        notes.append(f"{unknown_stop} presentations have no stop time; it was taken from the start of the next.")
    if isinstance(traces, SampledTraces) and traces.rate < 0.75 * clock.frame_rate:
        notes.append(
            f"Activity was sampled at {traces.rate:.4g} Hz and frames shown at {clock.frame_rate:.4g} Hz: between "
            "samples it is interpolated linearly, and neighbouring frames are not independent."
        )
    return notes
