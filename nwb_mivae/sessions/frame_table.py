"""From the rows of every source to the one frame table: ordered, expanded, joined, with pauses, each time told once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.configuration import SessionsConfiguration
from nwb_mivae.sessions.drawing import draw
from nwb_mivae.sessions.granularity import judge_granularity
from nwb_mivae.sessions.movies import ExternalMovie
from nwb_mivae.sessions.nwb import OpenedFile
from nwb_mivae.sessions.session import PRESENTATION_COLUMNS, Template
from nwb_mivae.sessions.showings import BLANK, DISPLAY_FRAME_SECONDS, UNKNOWN, WHOLE, Showings
from nwb_mivae.sessions.templates import StoredImages, TemplateCatalogue

__all__ = ["frame_table", "prepared", "told_once"]

#: Rows this much longer than a row apart do not follow each other.
_LARGEST_GAP_IN_ROWS = 1.5
#: Where the display was late, a movie's frame is held for up to so many of its rows.
_LONGEST_HOLD_IN_ROWS = 4.0
#: Frames per second that no display of these experiments exceeds.
_FASTEST_DISPLAY = 150.0
#: Rows longer than this are not a single frame of a movie.
_LONGEST_MOVIE_FRAME_SECONDS = 0.2
_ROW_IS = {
    "display frame": "a refresh of the display",
    "movie frame": "a frame of a movie",
    "image": "a picture",
    "parameters": "a showing told by parameters",
    "whole movie": "a whole movie",
    "none": "a time without a stimulus",
}


def prepared(
    file: OpenedFile, catalogue: TemplateCatalogue, showings: Showings, configuration: SessionsConfiguration
) -> Showings:
    """Rows of one source in order, each with an end, a template and a frame; its granularity is stated."""
    n_rows = len(showings)
    showings = _in_order(file, showings)
    _move_bad_frames(file, catalogue, showings)
    showings, n_display_frames = _collapsed(showings)
    judge_granularity(showings, catalogue)
    message = ""
    if n_display_frames:
        showings.granularity = "display frame"
        message = f", of which {n_display_frames} show {len(showings)} frames; equal ones were joined"
    file.note("info", showings.path, f"{n_rows} rows; a row is {_ROW_IS[showings.granularity]}{message}")
    draw(file, catalogue, showings, configuration)
    showings = _expanded(file, catalogue, showings)
    _mark_pauses(showings, configuration)
    return _with_a_duration(file, showings)


def told_once(file: OpenedFile, catalogue: TemplateCatalogue, sources: Sequence[Showings]) -> list[Showings]:
    """Sources without the rows of times that another tells better, and without those of which too little is known.

    Better is what has pixels of its own, then what has drawn ones, then what names frames and not whole movies, then a
    table before a series, then the finer.
    """

    def preference(source: Showings) -> tuple[int, bool, bool, int]:
        shown = source.template[source.frame >= 0]
        origins = [catalogue.found[name].origin for name in shown if name in catalogue.found]
        pixels = 2 if 2 * len(origins) <= len(shown) else int(2 * origins.count("rendered") > len(origins))
        coarse = len(shown) > 0 and (source.goes_on or source.granularity == "whole movie")
        return pixels, coarse, not source.is_table, -len(source)

    kept: list[Showings] = []
    for source in sorted((source for source in sources if len(source)), key=preference):
        free = np.ones(len(source), dtype=bool)
        # Ends that only follow from the next onset may lie far too late, so onsets count there.
        middle = (source.start + source.stop) / 2 if source.is_table else source.start + DISPLAY_FRAME_SECONDS / 2
        better = []
        for other in kept:
            before = np.searchsorted(other.start, middle, side="right") - 1
            told = (before >= 0) & (middle < other.stop[before])
            if source.is_table:  # a row may be longer than what it holds, such as a trial with a flash at its beginning
                others = np.sort((other.start + other.stop) / 2)
                covers = np.searchsorted(others, source.stop) > np.searchsorted(others, source.start)
                told |= covers & source.shown
            if told.any():
                better.append(other.path)
            free &= ~told
        # A movie that is told better in part is told better as a whole.
        free &= ~np.isin(source.row, source.row[~free])
        if better:
            count = f"{int((~free).sum())} of {len(free)} rows"
            file.note("info", source.path, f"{count} tell of times that {', '.join(better)} tells better; left out")
        if free.any():
            kept.append(source.of(np.flatnonzero(free)))
    return [known for known in (_without_unknown(file, source) for source in kept) if len(known)]


def _without_unknown(file: OpenedFile, showings: Showings) -> Showings:
    unknown = showings.frame == UNKNOWN
    if unknown.any() and showings.unknown_because:
        message = f"{int(unknown.sum())} rows {showings.unknown_because}, left out"
        file.note("warning", showings.path, message)
    return showings.of(~unknown)


def frame_table(file: OpenedFile, sources: Sequence[Showings]) -> pd.DataFrame:
    """All rows in order of time, columns :data:`~nwb_mivae.sessions.session.PRESENTATION_COLUMNS`, repeats counted."""
    parts = [*sources, *_pauses(file, sources)]
    table = pd.DataFrame(
        {
            "start_time": _joined(parts, "start", np.float64),
            "stop_time": _joined(parts, "stop", np.float64),
            "stimulus": _joined(parts, "stimulus", object),
            "template": _joined(parts, "template", object),
            "frame": _joined(parts, "frame", np.int64),
            "parameters": _joined(parts, "parameters", object),
            "omitted": _joined(parts, "omitted", bool),
            "block": _joined(parts, "block", np.int64),
            "source_path": np.repeat(
                np.asarray([part.path for part in parts], dtype=object), [len(part) for part in parts]
            ),
            "source_row": _joined(parts, "row", np.int64),
        }
    )
    table["blank"] = table["frame"] < 0
    table["repeat"] = np.zeros(len(table), dtype=np.int64)
    table = table.sort_values("start_time", kind="stable", ignore_index=True)
    shown = ~table["blank"]
    table.loc[shown, "repeat"] = table[shown].groupby(["template", "frame", "parameters"], sort=False).cumcount()
    return table[list(PRESENTATION_COLUMNS)]


def _joined(parts: Sequence[Showings], name: str, kind: type) -> npt.NDArray[np.generic]:
    return np.concatenate([np.zeros(0, dtype=kind), *(getattr(part, name) for part in parts)])


def _in_order(file: OpenedFile, showings: Showings) -> Showings:
    """Rows sorted by time, each with a stop; rows without a start are left out."""
    known = np.isfinite(showings.start)
    if not known.all():
        file.note("warning", showings.path, f"{int((~known).sum())} rows without a start time, left out")
        showings = showings.of(known)
    showings = _without_copies(file, showings.of(np.argsort(showings.start, kind="stable")))
    endless = ~(showings.stop > showings.start) | np.isinf(showings.stop)
    if len(showings) and endless.any():
        gaps = np.diff(showings.start)
        usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else np.nan
        until_next = np.append(gaps, usual)
        held = not showings.is_table and usual < _LONGEST_MOVIE_FRAME_SECONDS
        largest = _LONGEST_HOLD_IN_ROWS if held else _LARGEST_GAP_IN_ROWS
        until_next[until_next > largest * usual] = usual
        usually = _usual_lengths(showings, endless)
        alike = endless & np.isfinite(usually)
        next_onset = np.append(np.where(gaps > 0, gaps, np.inf), np.inf)
        lasting = np.where(alike, np.minimum(usually, next_onset), until_next)
        showings.stop = np.where(endless, showings.start + lasting, showings.stop)
        if alike.any():
            message = "they were taken to last as long as the others of their stimulus usually do"
            longest = f"up to {float(lasting[alike].max()):.3g} s"
            file.note("guess", showings.path, f"{int(alike.sum())} rows without a stop time; {message} ({longest})")
        if showings.is_table and (endless & ~alike).any():
            count = int((endless & ~alike).sum())
            file.note(
                "guess", showings.path, f"{count} rows without a stop time; they were taken to last until the next"
            )
    return showings


def _without_copies(file: OpenedFile, showings: Showings) -> Showings:
    """Rows without those that tell the same of the same onset as the row before; a copy is no repeat."""
    copied = np.zeros(len(showings), dtype=bool)
    copied[1:] = np.diff(showings.start) == 0
    if not copied.any():
        return showings
    for name in ("frame", "template", "stimulus", "parameters", "block", "omitted", "condition"):
        column = getattr(showings, name)
        copied[1:] &= column[1:] == column[:-1]
    if copied.any():
        file.note("warning", showings.path, f"{int(copied.sum())} rows tell the same as the row before them, left out")
    return showings.of(~copied)


def _usual_lengths(showings: Showings, endless: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Seconds that rows of each row's stimulus last where an end is known, NaN where that is so of none."""
    length = pd.Series(np.where(endless, np.nan, showings.stop - showings.start))
    return np.asarray(length.groupby(showings.stimulus).transform("median"), dtype=np.float64)


def _move_bad_frames(file: OpenedFile, catalogue: TemplateCatalogue, showings: Showings) -> None:
    """A frame number beyond its template means that the template is another one: say so and use none of its pixels."""
    shown = showings.frame >= 0
    if not shown.any():
        return
    last = pd.Series(showings.frame[shown]).groupby(showings.template[shown]).max()
    for key, frame in last.items():
        template = catalogue.found.get(str(key))
        if template is not None and frame >= template.n_frames:
            message = f"{showings.path} asks for frame {frame} of {template.n_frames} (counting from 0)"
            lowest = int(showings.frame[shown & (showings.template == key)].min())
            if lowest == 1 and frame == template.n_frames:
                message += "; its frames seem to be counted from 1, so correct them in a copy of the file"
            del catalogue.found[template.name]
            catalogue.missing[template.name] = message
            file.note("warning", showings.path, f"template {template.name!r} is not used: {message}")


def _collapsed(showings: Showings) -> tuple[Showings, int]:
    """Refreshes of the display that show the same as one row; how many rows there were, or 0 where all differ."""
    n_rows = len(showings)
    if n_rows < 2 or not float(np.median(showings.stop - showings.start)) < DISPLAY_FRAME_SECONDS:
        return showings, 0
    refresh = float(np.median(showings.stop - showings.start))
    follows = np.zeros(n_rows, dtype=bool)
    gap = (showings.start[1:] - showings.stop[:-1]) / refresh
    follows[1:] = gap < np.where(showings.frame[1:] >= 0, _LONGEST_HOLD_IN_ROWS - 0.5, 0.5)
    for name in ("frame", "template", "stimulus", "parameters", "block", "omitted", "condition"):
        column = getattr(showings, name)
        follows[1:] &= column[1:] == column[:-1]
    if not follows.any():
        return showings, 0
    first = np.flatnonzero(~follows)
    last = np.append(first[1:], n_rows) - 1
    collapsed = showings.of(first)
    collapsed.stop = showings.stop[last]
    return collapsed, n_rows


def _expanded(file: OpenedFile, catalogue: TemplateCatalogue, showings: Showings) -> Showings:
    """Rows of whole movies as one row per frame, where the movie can be read; else as frame 0."""
    whole = showings.frame == WHOLE
    spread: set[str] = set()
    parts: dict[int, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]] = {}
    cut, short, n_movies = 0, 0, 0
    goes_on = showings.goes_on & (showings.frame >= 0) & (showings.parameters == "")
    goes_on &= showings.stop - showings.start > _LONGEST_MOVIE_FRAME_SECONDS
    for row in np.flatnonzero(whole | goes_on).tolist():
        start, stop = float(showings.start[row]), float(showings.stop[row])
        template = catalogue.found.get(showings.template[row])
        if template is None or template.n_frames == 1:
            continue
        if isinstance(template, StoredImages):
            showings.frame[row] = UNKNOWN
            showings.unknown_because = "name a set of pictures and do not say which of them"
            continue
        if not (stop > start or _has_own_length(catalogue, template)):
            continue
        if goes_on[row] and not _has_own_length(catalogue, template):
            showings.frame[row] = UNKNOWN
            showings.unknown_because = "say with which frame they begin, and no rate says which follow"
            continue
        if not _has_own_length(catalogue, template) and template.n_frames > _FASTEST_DISPLAY * (stop - start):
            showings.frame[row] = UNKNOWN
            showings.unknown_because = "are shorter than the movie they name could be shown in, which states no rate"
            continue
        onset, end = _frame_times(catalogue, template, stop - start, spread)
        first = max(0, int(showings.frame[row]))
        onset, end = onset[first:] - onset[first], end - onset[first]
        length = stop - start if np.isfinite(stop) and showings.is_table else end
        frame_length = end / len(onset)
        is_drawn = template.origin == "rendered"
        cut += bool(end > length + frame_length) and not is_drawn
        short += bool(end < length - frame_length) and not is_drawn
        n_movies += not is_drawn
        # What remains of a row after the last frame that is shown for at least half its time belongs to that frame.
        number = np.flatnonzero(onset < max(length - 0.5 * frame_length, 1e-6))
        ends = np.minimum(np.append(onset[1:], end)[number], length)
        if end > length - 0.5 * frame_length:
            ends[-1] = length
        parts[row] = start + onset[number], start + ends, first + number
    counts = np.ones(len(showings), dtype=np.int64)
    for row, (onset, _, _) in parts.items():
        counts[row] = len(onset)
    expanded = showings.of(np.repeat(np.arange(len(showings)), counts))
    place = np.cumsum(counts) - counts
    for row, (onset, ends, number) in parts.items():
        span = slice(int(place[row]), int(place[row]) + len(number))
        expanded.start[span], expanded.stop[span], expanded.frame[span] = onset, ends, number
    expanded.frame[expanded.frame == WHOLE] = 0
    if n_movies and len(expanded) > len(showings):
        message = f"{int(whole.sum())} whole movies as {len(expanded)} frames, timed by the movies' own rate"
        if cut or short:
            message += f" from the row's start; {cut} rows end before their movie, {short} after it"
        file.note("guess", showings.path, message)
    for name in sorted(spread):
        file.note("guess", showings.path, f"template {name!r} has no rate; its frames were spread evenly over each row")
    return expanded


def _frame_times(
    catalogue: TemplateCatalogue, template: Template, length: float, spread: set[str]
) -> tuple[npt.NDArray[np.float64], float]:
    """Onsets of a template's frames and the end of the last, seconds from its start."""
    if isinstance(template, ExternalMovie):
        return template.frame_times, template.duration
    rate = catalogue.rates.get(template.name)
    if rate is None:
        spread.add(template.name)
        rate = template.n_frames / length
    return np.arange(template.n_frames) / rate, template.n_frames / rate


def _has_own_length(catalogue: TemplateCatalogue, template: Template) -> bool:
    return isinstance(template, ExternalMovie) or template.name in catalogue.rates


def _mark_pauses(showings: Showings, configuration: SessionsConfiguration) -> None:
    """Mark pauses between standing rows of one block; what is unknown, or a movie's, is no pause.

    They are part of the stimulus where most are so short; where only some are, the subject's or the experimenter's
    doings made them, and what was on the screen is not known.
    """
    if configuration.grey_pause is None or len(showings) < 2:
        return
    calm = (showings.standing & showings.shown) | (showings.frame == BLANK)
    picture = showings.standing & showings.shown
    length = showings.start[1:] - showings.stop[:-1]
    pause = (
        calm[1:]
        & calm[:-1]
        & (picture[1:] | picture[:-1])
        & (showings.block[1:] == showings.block[:-1])
        & (length > DISPLAY_FRAME_SECONDS)
    )
    short = pause & (length <= configuration.grey_pause + DISPLAY_FRAME_SECONDS)
    if 2 * short.sum() > pause.sum():
        showings.grey_until[:-1] = np.where(short, showings.start[1:], np.nan)


def _with_a_duration(file: OpenedFile, showings: Showings) -> Showings:
    """Rows that last: a single onset of something of unknown length says too little to be used."""
    lasting = (showings.stop > showings.start) & np.isfinite(showings.stop)
    if not lasting.all():
        count = f"{int((~lasting).sum())} of {len(lasting)} rows"
        file.note("warning", showings.path, f"{count} last no time or an unknown one, left out")
    return showings.of(lasting)


def _pauses(file: OpenedFile, sources: Sequence[Showings]) -> list[Showings]:
    """Marked pauses of each source during which no source tells of anything, as rows of grey."""
    starts = np.sort(np.concatenate([np.zeros(0), *(source.start for source in sources)]))
    stops = np.sort(np.concatenate([np.zeros(0), *(source.stop for source in sources)]))
    pauses = []
    for source in sources:
        rows = np.flatnonzero(np.isfinite(source.grey_until))
        begin, end = source.stop[rows], source.grey_until[rows]
        tolerance = 1e-6
        begun = np.searchsorted(starts, end - tolerance, side="left")
        over = np.searchsorted(stops, begin + tolerance, side="right")
        rows = rows[begun == over]
        if not len(rows):
            continue
        grey = source.of(rows)
        grey.start, grey.stop = source.stop[rows], source.grey_until[rows]
        grey.frame = np.full(len(rows), BLANK, dtype=np.int64)
        grey.omitted = np.zeros(len(rows), dtype=bool)
        for name in ("stimulus", "template", "parameters"):
            setattr(grey, name, np.full(len(rows), "", dtype=object))
        longest = float((grey.stop - grey.start).max())
        message = f"{len(rows)} pauses of up to {longest:.3g} s between rows were taken for a grey screen"
        file.note("guess", source.path, f"{message} (sessions.grey_pause)")
        pauses.append(grey)
    return pauses
