"""Series that tell of a stimulus by onsets: indices into movies and picture sets, movies with times, external files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.clock import regular_rate, regular_timestamps, stored_timestamps
from nwb_mivae.sessions.conventions import RESULT_TYPES, plain, without_suffix
from nwb_mivae.sessions.nwb import OpenedFile, as_text
from nwb_mivae.sessions.showings import BLANK, UNKNOWN, WHOLE, Showings
from nwb_mivae.sessions.tables import frame_numbers
from nwb_mivae.sessions.templates import TemplateCatalogue, has_pixels, is_session_movie, stated_files
from nwb_mivae.sessions.traps import is_trap

__all__ = ["series_showings"]

#: Pictures shown one by one last at least so long; movie frames do not.
_SHORTEST_PICTURE_SECONDS = 0.2


def series_showings(file: OpenedFile, catalogue: TemplateCatalogue) -> Iterator[Showings]:
    """Rows of every series among the stimuli, and of the screen of a whole session in acquisition."""
    from pynwb.image import ImageSeries, IndexSeries

    root = file.nwbfile
    acquired = [item for item in root.acquisition.values() if is_session_movie(file, item)]
    for item in sorted([*root.stimulus.values(), *acquired], key=file.path_of):
        if type(item).__name__ in RESULT_TYPES:
            continue
        if isinstance(item, IndexSeries):
            yield from _index_series(file, catalogue, item)
        elif isinstance(item, ImageSeries) and has_pixels(item):
            yield from _frame_series(file, catalogue, item)
        elif isinstance(item, ImageSeries) and stated_files(item):
            yield from _external_series(file, catalogue, item)
        elif isinstance(item, ImageSeries):
            file.note("warning", file.path_of(item), "an image series with neither frames nor files, left out")


def _index_series(file: OpenedFile, catalogue: TemplateCatalogue, series: Any) -> Iterator[Showings]:
    stored = np.asarray(series.data[:]).ravel()
    if is_trap(file, series, len(stored)):
        return
    frame, grey, none = frame_numbers(file, stored)
    times = _times(file, series, len(frame))
    if times is None:
        return
    path = file.path_of(series)
    target = series.indexed_images if series.indexed_images is not None else series.indexed_timeseries
    name = catalogue.name_of(target)
    files = stated_files(target)
    if len(files) == 1:
        name = files[0]
    key = name if name in catalogue.found or name in catalogue.missing else catalogue.resolve(name, path)
    n_rows = min(len(times), len(frame))
    is_grey = plain(_stem(series)) in file.conventions.blank_names
    frame = np.where(grey | none | is_grey, BLANK, frame)
    showings = Showings.of_rows(path, times[:n_rows], _stem(series), key, frame[:n_rows])
    if stored.dtype.kind == "u":
        _hide_ambiguous_zero(file, showings)
    yield showings


def _hide_ambiguous_zero(file: OpenedFile, showings: Showings) -> None:
    """Leave out frame 0 of a picture set where blanks (-1) were stored as unsigned numbers and so became 0.

    Written so, picture 0 comes twice as often as any other (dandiset 000728, natural scenes): which of its rows were
    blank cannot be known.
    """
    shown = showings.frame[showings.frame >= 0]
    if len(shown) < 2 or np.median(np.diff(showings.start)) < _SHORTEST_PICTURE_SECONDS:
        return
    counts = np.bincount(shown)
    others = counts[1:][counts[1:] > 0]
    if len(others) < 10 or counts[0] < 2 * np.median(others) or others.max() > 1.2 * np.median(others):
        return
    file.note(
        "guess",
        showings.path,
        f"picture 0 has {int(counts[0])} rows, the others {int(np.median(others))}: blanks were probably stored as 0, "
        "so the rows of picture 0 were left out",
    )
    showings.frame = np.where(showings.frame == 0, UNKNOWN, showings.frame)


def _frame_series(file: OpenedFile, catalogue: TemplateCatalogue, series: Any) -> Iterator[Showings]:
    n_frames = int(np.shape(series.data)[0])
    times = _times(file, series, n_frames)
    if times is not None:
        n_rows = min(len(times), n_frames)
        is_grey = plain(_stem(series)) in file.conventions.blank_names
        key, frame = catalogue.name_of(series), np.full(n_rows, BLANK) if is_grey else np.arange(n_rows)
        yield Showings.of_rows(file.path_of(series), times[:n_rows], _stem(series), key, frame)


def _external_series(file: OpenedFile, catalogue: TemplateCatalogue, series: Any) -> Iterator[Showings]:
    files, path, stimulus = stated_files(series), file.path_of(series), _stem(series)
    keys = np.asarray([catalogue.resolve(name, path) for name in files], dtype=object)
    whole = np.full(len(files), WHOLE, dtype=np.int64)
    stored = stored_timestamps(series)
    if np.size(series.data) and series.data is not None:
        shape = tuple(int(size) for size in np.shape(series.data))
        file.note("info", path, f"data of shape {shape} beside the external files was not taken for pixels")
    first = np.zeros(0, dtype=np.int64)
    if series.starting_frame is not None:
        first = np.asarray(series.starting_frame[:], dtype=np.int64)
    in_sequence = len(first) == len(files) and bool((np.diff(first) > 0).all())
    if stored is None:
        rate, start = regular_rate(series), series.starting_time
        if rate is None or start is None or not np.isfinite(float(start)):
            file.note("info", path, f"{len(files)} external files without times; they are templates only")
        elif not in_sequence:
            file.note("warning", path, f"{len(files)} external files without their first frames, left out")
        else:
            yield Showings.of_rows(path, float(start) + first / rate, stimulus, keys, whole)
        return
    if len(stored) == len(files):
        if len(files) > 1:
            file.note("guess", path, f"{len(files)} files and as many timestamps: taken as one onset per file")
        yield Showings.of_rows(path, stored, stimulus, keys, whole)
        return
    if not in_sequence:
        file.note(
            "warning",
            path,
            f"{len(stored)} timestamps for {len(files)} external files without their first frames, left out",
        )
        return
    which = np.searchsorted(first, np.arange(len(stored)), side="right") - 1
    frame = np.arange(len(stored), dtype=np.int64) - first[which]
    yield Showings.of_rows(path, stored, stimulus, keys[which], frame)


def _times(file: OpenedFile, series: Any, n_samples: int) -> npt.NDArray[np.float64] | None:
    stored = stored_timestamps(series)
    if stored is not None:
        if abs(len(stored) - n_samples) > 1:
            file.note("warning", file.path_of(series), f"{len(stored)} timestamps for {n_samples} frames, left out")
            return None
        return stored
    rate = regular_rate(series)
    if rate is None:
        file.note("info", file.path_of(series), "frames without times; a template only")
        return None
    return regular_timestamps(series, rate, n_samples)


def _stem(series: Any) -> str:
    return without_suffix(as_text(series.name))
