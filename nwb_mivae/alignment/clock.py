"""The stimulus clock: from a table of presentations to frames that follow each other, cut where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment.configuration import AlignmentConfiguration

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StimulusClock", "shown_in_sequence", "stimulus_clock"]

#: Presentations are one showing of a movie while the pause between two of them is below so many frames; only inside a
#: showing does a jump of the frame number mean that frames were dropped, and a missing row that a picture was held.
_SHOWING_PAUSE = 10.0
#: Seconds by which rounding may change a duration.
_ROUNDING = 1e-6
#: Durations count as beyond the tolerance only by this factor more: films of 24 or 25 frames per second on a display of
#: 60 Hz have frames of two and of three refreshes in turn, which are exactly one half longer.
_JUST_BEYOND = 1.05


@dataclass(frozen=True)
class StimulusClock:
    """F frames in order of time.

    ``presentation`` (F,) is the row of the table each frame comes from; ``template`` (F,) counts ``template_names``,
    -1 blank; ``segment`` (F,) numbers stretches without a gap. ``excluded`` counts the rows left out by reason,
    ``stops_filled`` those whose stop time was taken from the start of the next. ``frames_held`` are the frames added
    because the picture before them stood on the screen for longer than one.
    """

    time: npt.NDArray[np.float64]
    stop_time: npt.NDArray[np.float64]
    segment: npt.NDArray[np.int32]
    template: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int64]
    repeat: npt.NDArray[np.int32]
    presentation: npt.NDArray[np.int64]
    template_names: tuple[str, ...]
    excluded: Mapping[str, int]
    frames_dropped: int
    frames_repeated: int
    frames_held: int
    stops_filled: int
    on_clock: int
    jitter_rms: float
    jitter_maximum: float

    @property
    def frame_rate(self) -> float:
        """One over the median duration of a frame, Hz."""
        return float(1.0 / np.median(self.stop_time - self.time))


def usual_step(frame: npt.NDArray[np.int64]) -> int | None:
    """By how much frame numbers, in order of showing, mostly count up; ``None`` where they do not.

    1 for a movie, 2 for one of which every second frame is shown, nothing for images in random order.
    """
    step = np.diff(frame)
    step = step[step != 0]
    steps, counts = np.unique(step[step > 0], return_counts=True)
    if not len(steps):
        return None
    most = int(np.argmax(counts))
    share = counts[most] / len(step)
    # Two images in turn count up by their distance every other time.
    return int(steps[most]) if share > 0.5 or (steps[most] == 1 and share == 0.5) else None


def shown_in_sequence(frame: npt.NDArray[np.int64]) -> bool:
    """Whether frame numbers, in order of showing, mostly count up evenly: a movie, not a set of images."""
    return usual_step(frame) is not None


def stimulus_clock(
    presentations: pd.DataFrame,
    n_frames_of: Mapping[str, int],
    clock_rate: float,
    configuration: AlignmentConfiguration,
) -> StimulusClock:
    """Lay the presentations out as frames.

    Templates whose presentations are usually longer than ``static_longer_than`` are standing images: each presentation
    becomes several frames of equal duration, as near to ``clock_rate`` as a whole number of them allows. Of the others
    each presentation is one frame; one that stood for several ordinary durations is so many frames, and where a movie
    lacks rows but goes on within a few frames, by no more numbers than time went by, the picture before is taken as
    held on the screen. Frames that follow each other within the tolerance share their border, so that no activity falls
    between them. A gap, and a frame of another duration than its neighbour, each begin a new segment.

    Parameters
    ----------
    presentations : DataFrame
        ``Session.presentations``.
    n_frames_of : mapping of str to int
        Frames of every template that has pixels.
    clock_rate : float
        Hz.
    configuration : AlignmentConfiguration
        Tolerances.
    """
    names = presentations["template"].astype(object).to_numpy()
    frame = presentations["frame"].to_numpy(dtype=np.int64)
    start = presentations["start_time"].to_numpy(dtype=np.float64)
    stop = presentations["stop_time"].to_numpy(dtype=np.float64)
    repeat = presentations["repeat"].to_numpy(dtype=np.int64)
    blank = frame < 0

    template_names = tuple(sorted({str(name) for name, empty in zip(names, blank, strict=True) if not empty}))
    with_pixels = tuple(name for name in template_names if name in n_frames_of)
    number_of = {name: number for number, name in enumerate(with_pixels)}
    template = np.array(
        [-1 if empty else number_of.get(str(name), -2) for name, empty in zip(names, blank, strict=True)],
        dtype=np.int64,
    ).reshape(-1)
    length = np.array([n_frames_of[name] for name in with_pixels] + [0, 0], dtype=np.int64)
    stop, stop_filled = _known_stop(start, stop, template)

    excluded = {
        "template without pixels": template == -2,
        "start time unknown": ~np.isfinite(start),
        "frame beyond the template's end": (template >= 0) & (frame >= length[template]),
        "no duration": ~(stop > start),
    }
    keep = np.ones(len(start), dtype=bool)
    counts: dict[str, int] = {}
    for reason, rows in excluded.items():
        counts[reason] = int(np.sum(rows & keep))
        keep &= ~rows
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(start[rows], kind="stable")]
    # Of two presentations that begin together only one can have been on the screen: the later row.
    hidden = np.r_[np.diff(start[rows]) <= 0, False] if len(rows) else np.empty(0, dtype=bool)
    counts["begins together with the next"] = int(hidden.sum())
    rows = rows[~hidden]
    counts = {reason: count for reason, count in counts.items() if count}

    onset, end = start[rows], stop[rows]
    template, frame, repeat = template[rows], np.where(template[rows] < 0, -1, frame[rows]), repeat[rows]
    block = presentations["block"].astype(str).to_numpy()[rows]
    standing = _stands(end - onset, template, configuration)
    end = _joined(onset, end, np.where(standing, np.minimum(end - onset, 1 / clock_rate), end - onset), configuration)
    ordinary = _ordinary_duration(end - onset, template, standing)
    showing, step = _showings(onset, end, template, frame, standing)
    held = _held(onset, end, template, frame, block, ordinary, showing, step, configuration)
    end[:-1] = np.where(held, onset[1:], end[:-1])
    duration = end - onset

    ticks = np.where(standing, np.rint(duration * clock_rate), _frames_filled(duration, ordinary, configuration))
    ticks = np.maximum(1, ticks).astype(np.int64)
    source = np.repeat(np.arange(len(rows)), ticks)
    tick = np.arange(len(source)) - np.repeat(np.cumsum(ticks) - ticks, ticks)
    tick_duration = duration / ticks
    time = onset[source] + tick * tick_duration[source]
    stop_time = np.where(tick == ticks[source] - 1, end[source], onset[source] + (tick + 1) * tick_duration[source])
    # Whatever lay within the tolerance was joined; what is left is a pause. Presentations laid on the clock may have
    # frames of other lengths than their neighbours.
    begins = (time[1:] > stop_time[:-1]) | _differ(stop_time - time, configuration.jitter_tolerance)
    segment = np.cumsum(np.r_[False, begins][: len(source)])
    rms, maximum = _jitter(time, segment, ~standing[source], ordinary[source])
    number = np.diff(frame)
    return StimulusClock(
        time=time,
        stop_time=stop_time,
        segment=segment.astype(np.int32),
        template=template[source].astype(np.int32),
        frame=frame[source],
        repeat=repeat[source].astype(np.int32),
        presentation=rows[source].astype(np.int64),
        template_names=with_pixels,
        excluded=counts,
        frames_dropped=int(np.sum((np.maximum(number, step) // np.maximum(step, 1) - 1)[showing])),
        frames_repeated=int(np.sum(showing & (number == 0))),
        frames_held=int(np.sum((ticks - 1)[~standing])),
        stops_filled=int(np.sum(stop_filled[rows])),
        on_clock=int(standing.sum()),
        jitter_rms=rms,
        jitter_maximum=maximum,
    )


def _known_stop(
    start: npt.NDArray[np.float64], stop: npt.NDArray[np.float64], template: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Stop times with the missing ones taken from the next start, at most 1.5 median steps of the template away.

    Also which of them were missing.
    """
    unknown = ~np.isfinite(stop)
    if not unknown.any():
        return stop, unknown
    filled = stop.copy()
    following = np.r_[start[1:], np.nan]
    for number in np.unique(template[unknown]):
        own = np.flatnonzero(template == number)
        step = np.diff(start[own])
        step = step[np.isfinite(step) & (step > 0)]
        if not len(step):
            continue
        usual = float(np.median(step))
        wanted = own[unknown[own]]
        near = following[wanted] - start[wanted] <= 1.5 * usual
        filled[wanted] = np.where(near, following[wanted], start[wanted] + usual)
    return filled, unknown


def _joined(
    onset: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    frame_duration: npt.NDArray[np.float64],
    configuration: AlignmentConfiguration,
) -> npt.NDArray[np.float64]:
    """Ends that meet the next onset where they are within the tolerance of it, and never lie beyond it."""
    if len(onset) < 2:
        return end
    following = onset[1:]
    gap = following - end[:-1]
    shorter = np.minimum(frame_duration[1:], frame_duration[:-1])
    meets = gap <= configuration.jitter_tolerance * shorter
    return np.concatenate([np.where(meets, following, end[:-1]), end[-1:]])


def _stands(
    duration: npt.NDArray[np.float64], template: npt.NDArray[np.int64], configuration: AlignmentConfiguration
) -> npt.NDArray[np.bool_]:
    """Rows that are standing images: all of a template, or none, and blank rows by their own duration.

    One template is judged as a whole, because images shown for just ``static_longer_than`` would otherwise fall on
    either side of it by the jitter, or the rounding, of their times; and because a frame of a movie that stands for
    longer is still one of that movie's clock.
    """
    limit = configuration.static_longer_than + _ROUNDING
    stands = duration > limit
    for number in np.unique(template[template >= 0]):
        own = template == number
        stands[own] = np.median(duration[own]) > limit
    return stands


def _ordinary_duration(
    duration: npt.NDArray[np.float64], template: npt.NDArray[np.int64], standing: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Median duration of the template's frames, standing images apart, for every row."""
    ordinary = duration.copy()
    for number in np.unique(template[~standing]):
        own = (template == number) & ~standing
        ordinary[own] = np.median(duration[own])
    return ordinary


def _showings(
    onset: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    template: npt.NDArray[np.int64],
    frame: npt.NDArray[np.int64],
    standing: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Of each row but the last: whether the next is of the same showing of a movie, and the movie's usual step."""
    step = np.zeros(len(onset), dtype=np.int64)
    for number in np.unique(template[template >= 0]):
        own = template == number
        step[own] = usual_step(frame[own]) or 0
    pause = onset[1:] - end[:-1]
    together = (
        (template[1:] == template[:-1])
        & (step[1:] > 0)
        & ~standing[1:]
        & ~standing[:-1]
        & (pause <= _SHOWING_PAUSE * (end - onset)[:-1])
    )
    return together & (np.diff(frame) >= 0), step[:-1]


def _held(
    onset: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    template: npt.NDArray[np.int64],
    frame: npt.NDArray[np.int64],
    block: npt.NDArray[np.str_],
    ordinary: npt.NDArray[np.float64],
    showing: npt.NDArray[np.bool_],
    step: npt.NDArray[np.int64],
    configuration: AlignmentConfiguration,
) -> npt.NDArray[np.bool_]:
    """Of each row but the last: whether its picture stood until the next, though its stop time is earlier.

    So it is inside a showing where rows are missing and the frame number then goes on by no more than the time did. A
    pause that most frames of the movie have after them is none of those, nor is one between two blocks.
    """
    passed = np.diff(onset) / ordinary[:-1]
    held: npt.NDArray[np.bool_] = showing & (onset[1:] > end[:-1])
    held &= (np.diff(frame) <= step * np.rint(passed)) & (block[1:] == block[:-1])
    for number in np.unique(template[:-1][held]):
        own = template[:-1] == number
        held[own] &= np.median(passed[own & showing]) <= 1 + configuration.jitter_tolerance
    return held


def _frames_filled(
    duration: npt.NDArray[np.float64], ordinary: npt.NDArray[np.float64], configuration: AlignmentConfiguration
) -> npt.NDArray[np.float64]:
    """How many ordinary frames each row lasted: one within the tolerance."""
    long = duration > _JUST_BEYOND * (1 + configuration.jitter_tolerance) * ordinary
    return np.where(long, np.rint(duration / ordinary), 1.0)


def _differ(duration: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.bool_]:
    """Whether each duration differs from the one before by more than the tolerance allows."""
    longer = np.maximum(duration[1:], duration[:-1])
    shorter = np.minimum(duration[1:], duration[:-1])
    differ: npt.NDArray[np.bool_] = longer > _JUST_BEYOND * (1 + tolerance) * shorter
    return differ


def _jitter(
    time: npt.NDArray[np.float64],
    segment: npt.NDArray[np.int64],
    regular: npt.NDArray[np.bool_],
    ordinary: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Root mean square and maximum, in seconds, of onset steps against the ordinary duration, inside segments."""
    inside = (np.diff(segment) == 0) & regular[1:] & regular[:-1]
    deviation = (np.diff(time) - ordinary[:-1])[inside]
    if not len(deviation):
        return 0.0, 0.0
    return float(np.sqrt(np.mean(deviation**2))), float(np.max(np.abs(deviation)))
