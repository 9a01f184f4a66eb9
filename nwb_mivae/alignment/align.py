"""A session's activity on its stimulus clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment.activity import AlignedActivity, count_spikes, resample
from nwb_mivae.alignment.aligned import AlignedSession, AlignmentReport
from nwb_mivae.alignment.clock import StimulusClock, stimulus_clock
from nwb_mivae.alignment.configuration import LAG_OF_KIND, AlignmentConfiguration
from nwb_mivae.alignment.resampling import interpolated
from nwb_mivae.errors import AlignmentError
from nwb_mivae.sessions.session import MultiPlaneTraces, SampledTraces, Session, SpikeTrains, Traces

__all__ = ["align"]

#: Upper bound of the default clock for standing images, Hz.
_FASTEST_CLOCK = 30.0
#: Frames of a session: a day at 60 Hz has a quarter of them.
_MOST_FRAMES = 20_000_000


def align(
    session: Session, configuration: AlignmentConfiguration | None = None, *, workspace: Path | None = None
) -> AlignedSession:
    """Put a session's activity and behaviour on the clock of its stimulus.

    Parameters
    ----------
    session : Session
        Open.
    configuration : AlignmentConfiguration, optional
        Lag, clocks and tolerances.
    workspace : Path, optional
        A folder. The activity is written there instead of kept in memory, and ``AlignedSession.neural`` is a read-only
        memory map of that file; the caller removes the folder.

    Raises
    ------
    AlignmentError
        If there is no activity, no presentation with pixels, or no frame during which activity is known.
    """
    configuration = AlignmentConfiguration() if configuration is None else configuration
    traces = _usable_traces(session)
    neural_rate = None if isinstance(traces, SpikeTrains) else traces.rate
    clock_rate = configuration.clock_rate or min(neural_rate or _FASTEST_CLOCK, _FASTEST_CLOCK)
    _refuse_endless(session, clock_rate)
    n_frames_of = {name: template.n_frames for name, template in session.templates.items()}
    clock = stimulus_clock(session.presentations, n_frames_of, clock_rate, configuration)
    missing = _missing_templates(session)
    _refuse_empty(session, clock, missing)

    lag = LAG_OF_KIND[traces.kind] if configuration.lag is None else configuration.lag
    start, stop = clock.time + lag, clock.stop_time + lag
    invalid = _touches(np.minimum(start, clock.time), np.maximum(stop, clock.stop_time), session.invalid_times)
    if isinstance(traces, SpikeTrains):
        activity = count_spikes(traces, start, stop, invalid, workspace=workspace)
    else:
        activity = resample(
            traces.planes if isinstance(traces, MultiPlaneTraces) else (traces,),
            start,
            stop,
            invalid,
            configuration,
            file=session.provenance.path,
            workspace=workspace,
        )
    neural, valid, kept, planes = activity
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
            frames_held=clock.frames_held,
            neural_gaps=sum(plane.gaps for plane in planes),
            neural_gap_seconds=float(sum(plane.gap_seconds for plane in planes)),
            presentations=len(session.presentations),
            presentations_used=len(np.unique(clock.presentation)),
            presentations_on_clock=clock.on_clock,
            excluded=dict(clock.excluded),
            missing_templates=list(missing),
            cells=len(kept),
            cells_dropped=traces.n_cells - len(kept),
            auxiliary_filled=filled,
            planes=list(planes),
            values_filled=sum(plane.values_filled for plane in planes),
            notes=_notes(session, clock, traces, activity, clock_rate, lag, configuration, int(invalid.sum())),
            guesses=[
                f"{finding.object_path}: {finding.message}" if finding.object_path else finding.message
                for finding in session.findings
                if finding.level == "guess"
            ],
        ),
    )


def _touches(
    start: npt.NDArray[np.float64], stop: npt.NDArray[np.float64], intervals: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Whether each ``[start, stop]`` shares any time with one of the intervals (K, 2), in any order."""
    begin, end = intervals[np.argsort(intervals[:, 0], kind="stable")].T
    # Of the intervals that begin before the stop, the one that ends last decides.
    latest = np.append(-np.inf, np.maximum.accumulate(end))
    return np.asarray(start < latest[np.searchsorted(begin, stop, side="left")])


def _usable_traces(session: Session) -> SampledTraces | MultiPlaneTraces | SpikeTrains:
    traces = session.traces
    if traces is None or traces.n_cells == 0:
        why = next((finding.message for finding in session.findings if finding.level == "warning"), None)
        raise AlignmentError(
            f"no activity that can be used{f' ({why})' if why else ''}",
            expected="a RoiResponseSeries or units with spike times",
            remedy="name the series with sessions.trace, or leave this file out",
            file=session.provenance.path,
        )
    if isinstance(traces, SpikeTrains):
        return traces
    if not isinstance(traces, SampledTraces | MultiPlaneTraces):
        raise AlignmentError(
            f"activity of type {type(traces).__name__}",
            expected="SampledTraces, MultiPlaneTraces or SpikeTrains",
            remedy="give the session traces of one of these types",
            file=session.provenance.path,
            object_path=traces.path,
        )
    for plane in traces.planes if isinstance(traces, MultiPlaneTraces) else (traces,):
        times = plane.timestamps
        if len(times) < 2 or not np.all(np.diff(times) > 0):
            raise AlignmentError(
                f"{len(times)} imaging times that do not increase" if len(times) > 1 else f"{len(times)} imaging times",
                expected="two or more finite, strictly increasing times",
                remedy="correct the timestamps of the series, or name another one with sessions.trace",
                file=session.provenance.path,
                object_path=plane.path,
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
    activity: AlignedActivity,
    clock_rate: float,
    lag: float,
    configuration: AlignmentConfiguration,
    n_invalid: int,
) -> list[str]:
    notes = []
    if not session.provenance.subject_id:
        notes.append(
            "The file names no subject: the session counts as an animal of its own. If another session is of the same "
            "animal, holding one of them out does not hold out the animal."
        )
    if configuration.lag is None:
        notes.append(
            f"Activity was taken {lag:g} s later than the frames, which is the usual delay of {traces.kind}; it was "
            "not measured in this session. Set alignment.lag to choose another."
        )
    if n_invalid:
        notes.append(f"{n_invalid} frames lie in times that the file marks as invalid; they were masked.")
    if clock.on_clock:
        chosen = "" if configuration.clock_rate else ", the rate of the traces but at most 30 Hz"
        notes.append(
            f"{clock.on_clock} presentations longer than {configuration.static_longer_than:g} s were laid on a clock "
            f"of about {clock_rate:.4g} Hz{chosen}."
        )
    if clock.stops_filled:
        notes.append(f"{clock.stops_filled} presentations have no stop time; it was taken from the start of the next.")
    if clock.frames_held:
        notes.append(
            f"{clock.frames_held} frames were not refreshed in time: the picture before them was taken as held on the "
            "screen."
        )
    if isinstance(traces, MultiPlaneTraces):
        notes.append(f"{len(traces.planes)} imaging planes were resampled, each by its own timestamps.")
    notes += _notes_on_missing(activity, configuration)
    slowest = min((plane.rate for plane in activity.planes), default=np.inf)
    if slowest < 0.75 * clock.frame_rate:
        notes.append(
            f"Activity was sampled at {slowest:.4g} Hz and frames shown at {clock.frame_rate:.4g} Hz: between samples "
            "it is interpolated linearly, and neighbouring frames are not independent."
        )
    return notes


def _notes_on_missing(activity: AlignedActivity, configuration: AlignmentConfiguration) -> list[str]:
    dropped, lost, filled = (
        sum(getattr(plane, name) for plane in activity.planes)
        for name in ("cells_dropped", "samples_lost", "values_filled")
    )
    notes = []
    if dropped:
        notes.append(
            f"{dropped} cells were left out: they miss more than {configuration.maximum_missing_share:.3g} of their "
            f"samples, or a stretch longer than {configuration.maximum_filled_gap:g} s."
        )
    if lost:
        notes.append(
            f"{lost} samples of the traces are missing in more than {configuration.maximum_missing_cells:.3g} of the "
            "cells; frames that need them were masked."
        )
    if filled:
        notes.append(f"{filled} missing samples of single cells were filled between their neighbours in time.")
    return notes
