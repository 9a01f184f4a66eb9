"""What was shown when: tables and series of any layout, reduced to one table of presentations.

Rows of the source may be display frames, movie frames, pictures or whole movies. Whole movies are expanded to frames
where the movie can be read; display frames that repeat a movie frame become one row. Where two sources tell of one
time, the one with pixels is kept, then the table, then the finer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.clock import regular_rate, regular_timestamps, stored_timestamps
from nwb_mivae.sessions.conventions import PIXEL_FILE_SUFFIXES, RESULT_TYPES, plain, stimulus_stem
from nwb_mivae.sessions.movies import ExternalMovie
from nwb_mivae.sessions.nwb import OpenedFile, as_text, text_values, truth
from nwb_mivae.sessions.session import PRESENTATION_COLUMNS, Template
from nwb_mivae.sessions.templates import TemplateCatalogue, has_pixels, is_session_movie, stated_files

__all__ = ["read_presentations"]

#: ``frame`` of a row that shows a template from its first frame on, until it is expanded.
WHOLE = -2
BLANK = -1

#: A row shorter than this is one refresh of the display, of which a movie frame may take several.
_DISPLAY_FRAME_SECONDS = 0.025
#: Pictures shown one by one last at least so long; movie frames do not.
_SHORTEST_PICTURE_SECONDS = 0.2
#: Rows this much longer than a row apart do not follow each other.
_LARGEST_GAP_IN_ROWS = 1.5


@dataclass
class _Showings:
    """Rows of one source: seconds, template names, frames (or :data:`WHOLE`, :data:`BLANK`)."""

    path: str
    is_table: bool
    start: npt.NDArray[np.float64]
    stop: npt.NDArray[np.float64]
    template: npt.NDArray[np.object_]
    frame: npt.NDArray[np.int64]
    block: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]

    def of(self, rows: npt.NDArray[Any]) -> _Showings:
        return _Showings(
            self.path,
            self.is_table,
            self.start[rows],
            self.stop[rows],
            self.template[rows],
            self.frame[rows],
            self.block[rows],
            self.row[rows],
        )


def read_presentations(file: OpenedFile, catalogue: TemplateCatalogue) -> pd.DataFrame:
    """The presentation table of a session, columns :data:`~nwb_mivae.sessions.session.PRESENTATION_COLUMNS`.

    Templates that rows name are added to the catalogue, as found or as missing.
    """
    sources = []
    for showings in (*_tables(file, catalogue), *_series(file, catalogue)):
        prepared = _in_order(file, showings)
        _move_bad_frames(file, catalogue, prepared)
        sources.append(_collapsed(file, _with_a_duration(file, _expanded(file, catalogue, prepared))))
    kept = _without_overlap(file, catalogue, [source for source in sources if len(source.start)])
    if not kept:
        return pd.DataFrame({name: np.zeros(0) for name in PRESENTATION_COLUMNS}).astype(
            dict.fromkeys(("stimulus", "template", "parameters", "source_path"), object)
            | dict.fromkeys(("frame", "block", "repeat"), np.int64)
            | {"blank": bool, "omitted": bool}
        )
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "start_time": source.start,
                    "stop_time": source.stop,
                    "stimulus": pd.Series(source.template, dtype=object),
                    "template": pd.Series(source.template, dtype=object),
                    "frame": source.frame,
                    "parameters": pd.Series([""] * len(source.start), dtype=object),
                    "blank": source.frame < 0,
                    "omitted": np.zeros(len(source.start), dtype=bool),
                    "repeat": np.zeros(len(source.start), dtype=np.int64),
                    "block": source.block,
                    "source_path": pd.Series([source.path] * len(source.start), dtype=object),
                    "source_row": source.row,
                }
            )
            for source in kept
        ],
        ignore_index=True,
    ).sort_values("start_time", kind="stable", ignore_index=True)
    shown = table["frame"] >= 0
    table.loc[shown, "repeat"] = table[shown].groupby(["template", "frame"], sort=False).cumcount()
    return table[list(PRESENTATION_COLUMNS)]


def _tables(file: OpenedFile, catalogue: TemplateCatalogue) -> Iterator[_Showings]:
    from hdmf.common import DynamicTable

    root = file.nwbfile
    inside = [*root.intervals.values(), *root.stimulus.values()]
    inside += [table for table in (root.trials, root.epochs, root.invalid_times) if table is not None]
    seen = set()
    for table in inside:
        if not isinstance(table, DynamicTable) or table.object_id in seen or type(table).__name__ in RESULT_TYPES:
            continue
        seen.add(table.object_id)
        if "start_time" not in table.colnames or len(table) == 0:
            continue
        _check_references(file, table)
        showings = _table_rows(file, catalogue, table)
        if showings is not None:
            yield showings


def _table_rows(file: OpenedFile, catalogue: TemplateCatalogue, table: Any) -> _Showings | None:
    path, names, n_rows = file.path_of(table), _single_valued(file, table), len(table)
    template_column = next((name for name in file.conventions.template_columns if name in names), None)
    image_column = next((name for name in file.conventions.image_name_columns if name in names), None)
    frame_column = next((name for name in file.conventions.frame_columns if name in names), None)
    told_by_name = stimulus_stem(as_text(table.name)) != plain(as_text(table.name))
    is_blank_table = stimulus_stem(as_text(table.name)) in file.conventions.blank_names
    nothing_said = template_column is None and image_column is None and frame_column is None
    if as_text(table.name) in file.conventions.no_stimulus_tables or (
        nothing_said and not told_by_name and not is_blank_table
    ):
        file.note("info", path, f"{n_rows} rows that name no stimulus, left out")
        return None
    whole_table = as_text(table.name)
    stated = text_values(_column(table, template_column)) if template_column else np.full(n_rows, whole_table, object)
    stated[stated == ""] = whole_table
    template, frame = stated, np.full(n_rows, WHOLE, dtype=np.int64)
    blank = np.isin([stimulus_stem(str(name)) for name in stated], file.conventions.blank_names) | is_blank_table
    if frame_column is not None and not (image_column is not None and frame_column == "image_index"):
        frame, no_frame = _frame_numbers(file, _column(table, frame_column))
        blank |= no_frame
    if image_column is not None and (frame == WHOLE).all():
        images = text_values(_column(table, image_column))
        blank |= np.isin([plain(name) for name in images], file.conventions.blank_names) | (images == "")
        template, frame = _images_by_name(catalogue, stated, images)
    elif frame_column is None and template_column is None:
        file.note("info", path, f"{n_rows} rows with parameters and no frames")
    for name in file.conventions.blank_columns:
        if name in names:
            blank |= truth(_column(table, name))
    block = np.full(n_rows, -1, dtype=np.int64)
    for name in file.conventions.block_columns:
        if name in names:
            numbers = pd.to_numeric(pd.Series(_column(table, name)), errors="coerce").to_numpy(dtype=np.float64)
            block = np.where(np.isfinite(numbers), numbers, -1).astype(np.int64)
            break
    keys = {name: catalogue.resolve(name) for name in dict.fromkeys(template[~blank])}
    resolved = np.full(n_rows, "", dtype=object)
    resolved[~blank] = [keys[name] for name in template[~blank]]
    frame = np.where(blank, BLANK, frame)
    start = np.asarray(_column(table, "start_time"), dtype=np.float64)
    stop = (
        np.asarray(_column(table, "stop_time"), dtype=np.float64) if "stop_time" in names else np.full(n_rows, np.nan)
    )
    if frame_column is None and image_column is None:
        _say_parameters(catalogue, table, keys.values())
    return _Showings(path, True, start, stop, resolved, frame, block, np.arange(n_rows, dtype=np.int64))


def _say_parameters(catalogue: TemplateCatalogue, table: Any, keys: Any) -> None:
    """A table of gratings has no pixels anywhere: say so instead of naming a file that never was."""
    described = [name for name in table.colnames if "orientation" in name or "spatial_frequency" in name]
    if not described:
        return
    for key in keys:
        if key in catalogue.missing and not key.lower().endswith(PIXEL_FILE_SUFFIXES):
            catalogue.missing[key] = f"described by parameters ({', '.join(described)}), not by pixels"


def _images_by_name(
    catalogue: TemplateCatalogue, stated: npt.NDArray[np.object_], images: npt.NDArray[np.object_]
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Template and frame of pictures called by name: in a set inside the file, a file of that name, or numbered."""
    template, frame = stated.copy(), np.full(len(images), WHOLE, dtype=np.int64)
    for label in dict.fromkeys(images):
        rows = images == label
        inside = catalogue.image(label)
        if inside is not None:
            template[rows], frame[rows] = inside
        elif label.lower().endswith(PIXEL_FILE_SUFFIXES):
            template[rows] = label
    unknown = (frame == WHOLE) & (template == stated)
    for name in dict.fromkeys(stated[unknown]):
        rows = unknown & (stated == name)
        _, frame[rows] = np.unique(images[rows].astype(str), return_inverse=True)
    return template, frame


def _series(file: OpenedFile, catalogue: TemplateCatalogue) -> Iterator[_Showings]:
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


def _index_series(file: OpenedFile, catalogue: TemplateCatalogue, series: Any) -> Iterator[_Showings]:
    target = series.indexed_images if series.indexed_images is not None else series.indexed_timeseries
    frame, blank = _frame_numbers(file, np.asarray(series.data[:]).ravel())
    times = _times(file, series, len(frame))
    if times is None:
        return
    name = catalogue.name_of(target)
    key = name if name in catalogue.found or name in catalogue.missing else catalogue.resolve(name)
    frame = np.where(blank, BLANK, frame)
    n_rows = min(len(times), len(frame))
    showings = _plain_rows(file.path_of(series), times[:n_rows], key, frame[:n_rows])
    yield _without_ambiguous_zero(file, showings)


def _without_ambiguous_zero(file: OpenedFile, showings: _Showings) -> _Showings:
    """Leave out frame 0 of a picture set where blanks (-1) were stored as unsigned numbers and so became 0.

    Written so, picture 0 comes twice as often as any other (dandiset 000728, natural scenes): which of its rows were
    blank cannot be known.
    """
    shown = showings.frame[showings.frame >= 0]
    if len(shown) < 2 or np.median(np.diff(showings.start)) < _SHORTEST_PICTURE_SECONDS:
        return showings
    counts = np.bincount(shown)
    others = counts[1:][counts[1:] > 0]
    if len(others) < 10 or counts[0] < 2 * np.median(others) or others.max() > 1.2 * np.median(others):
        return showings
    file.note(
        "guess",
        showings.path,
        f"picture 0 has {int(counts[0])} rows, the others {int(np.median(others))}: blanks were probably stored as 0, "
        "so the rows of picture 0 were left out",
    )
    return showings.of(showings.frame != 0)


def _frame_series(file: OpenedFile, catalogue: TemplateCatalogue, series: Any) -> Iterator[_Showings]:
    n_frames = int(np.shape(series.data)[0])
    times = _times(file, series, n_frames)
    if times is not None:
        n_rows = min(len(times), n_frames)
        yield _plain_rows(
            file.path_of(series), times[:n_rows], catalogue.name_of(series), np.arange(n_rows, dtype=np.int64)
        )


def _external_series(file: OpenedFile, catalogue: TemplateCatalogue, series: Any) -> Iterator[_Showings]:
    files, path = stated_files(series), file.path_of(series)
    keys = np.asarray([catalogue.resolve(name) for name in files], dtype=object)
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
            return
        if not in_sequence:
            file.note("warning", path, f"{len(files)} external files without their first frames, left out")
            return
        showings = _plain_rows(path, float(start) + first / rate, "", np.full(len(files), WHOLE, dtype=np.int64))
        showings.template = keys
        yield showings
        return
    if len(stored) == len(files):
        showings = _plain_rows(path, stored, "", np.full(len(files), WHOLE, dtype=np.int64))
        showings.template = keys
        if len(files) > 1:
            file.note("guess", path, f"{len(files)} files and as many timestamps: taken as one onset per file")
        yield showings
        return
    if not in_sequence:
        file.note(
            "warning",
            path,
            f"{len(stored)} timestamps for {len(files)} external files without their first frames, left out",
        )
        return
    which = np.searchsorted(first, np.arange(len(stored)), side="right") - 1
    showings = _plain_rows(path, stored, "", np.arange(len(stored), dtype=np.int64) - first[which].astype(np.int64))
    showings.template = keys[which]
    yield showings


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


def _plain_rows(path: str, start: npt.NDArray[np.float64], template: str, frame: npt.NDArray[np.int64]) -> _Showings:
    """Rows with onsets only; :func:`_in_order` lets each last until the next, but no longer than the usual row."""
    n_rows = len(start)
    names = np.full(n_rows, template, dtype=object)
    names[frame == BLANK] = ""
    unknown = np.full(n_rows, np.nan)
    return _Showings(
        path, False, start.astype(np.float64), unknown, names, frame, np.full(n_rows, -1), np.arange(n_rows)
    )


def _in_order(file: OpenedFile, showings: _Showings) -> _Showings:
    """Rows sorted by time, each with a stop; rows without a start are left out."""
    known = np.isfinite(showings.start)
    if not known.all():
        file.note("warning", showings.path, f"{int((~known).sum())} rows without a start time, left out")
        showings = showings.of(known)
    showings = showings.of(np.argsort(showings.start, kind="stable"))
    n_rows = len(showings.start)
    endless = ~(showings.stop > showings.start) | np.isinf(showings.stop)
    if n_rows and endless.any():
        gaps = np.diff(showings.start)
        usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else np.nan
        until_next = np.append(gaps, usual)
        until_next[until_next > _LARGEST_GAP_IN_ROWS * usual] = usual
        showings.stop = np.where(endless, showings.start + until_next, showings.stop)
        if showings.is_table:
            count = int(endless.sum())
            file.note(
                "guess", showings.path, f"{count} rows without a stop time; they were taken to last until the next"
            )
    return showings


def _move_bad_frames(file: OpenedFile, catalogue: TemplateCatalogue, showings: _Showings) -> None:
    """A frame number beyond its template means that the template is another one: say so and use none of its pixels."""
    for key in dict.fromkeys(showings.template[showings.frame >= 0]):
        template = catalogue.found.get(key)
        if template is None:
            continue
        last = int(showings.frame[showings.template == key].max())
        if last >= template.n_frames:
            message = f"{showings.path} asks for frame {last} of {template.n_frames} (counting from 0)"
            del catalogue.found[key]
            catalogue.missing[key] = message
            file.note("warning", showings.path, f"template {key!r} is not used: {message}")


def _expanded(file: OpenedFile, catalogue: TemplateCatalogue, showings: _Showings) -> _Showings:
    """Rows of whole movies as one row per frame, where the movie can be read; else as frame 0."""
    whole = showings.frame == WHOLE
    if not whole.any():
        return showings
    starts, stops, frames, rows = [], [], [], []
    spread: set[str] = set()
    cut, short = 0, 0
    for row in range(len(showings.start)):
        start, stop = showings.start[row], showings.stop[row]
        template = catalogue.found.get(showings.template[row]) if whole[row] else None
        if template is None or template.n_frames == 1 or not (stop > start or _has_own_length(catalogue, template)):
            starts.append(np.asarray([start]))
            stops.append(np.asarray([stop]))
            frames.append(np.asarray([0 if whole[row] else showings.frame[row]]))
            rows.append(np.asarray([row]))
            continue
        if isinstance(template, ExternalMovie):
            onset, end = template.frame_times, template.duration
        else:
            rate = catalogue.rates.get(template.name)
            if rate is None:
                spread.add(template.name)
                rate = template.n_frames / (stop - start)
            onset, end = np.arange(template.n_frames) / rate, template.n_frames / rate
        length = stop - start if np.isfinite(stop) and showings.is_table else end
        frame_length = end / template.n_frames
        cut += bool(end > length + frame_length)
        short += bool(end < length - frame_length)
        number = np.flatnonzero(onset < length - 1e-6)
        starts.append(start + onset[number])
        stops.append(start + np.minimum(np.append(onset[1:], end)[number], length))
        frames.append(number)
        rows.append(np.full(len(number), row))
    expanded = showings.of(np.concatenate(rows))
    expanded.start, expanded.stop = np.concatenate(starts), np.concatenate(stops)
    expanded.frame = np.concatenate(frames).astype(np.int64)
    if len(expanded.start) > len(showings.start):
        message = f"{int(whole.sum())} whole movies as {len(expanded.start)} frames, timed by the movies' own rate"
        if cut or short:
            message += f" from the row's start; {cut} rows end before their movie, {short} after it"
        file.note("guess", showings.path, message)
    for name in sorted(spread):
        file.note("guess", showings.path, f"template {name!r} has no rate; its frames were spread evenly over each row")
    return expanded


def _has_own_length(catalogue: TemplateCatalogue, template: Template) -> bool:
    return isinstance(template, ExternalMovie) or template.name in catalogue.rates


def _with_a_duration(file: OpenedFile, showings: _Showings) -> _Showings:
    """Rows that last: a single onset of something of unknown length says too little to be used."""
    lasting = (showings.stop > showings.start) & np.isfinite(showings.stop)
    if not lasting.all():
        count = f"{int((~lasting).sum())} of {len(lasting)} rows"
        file.note("warning", showings.path, f"{count} last no time or an unknown one, left out")
    return showings.of(lasting)


def _collapsed(file: OpenedFile, showings: _Showings) -> _Showings:
    """Refreshes of the display that show the same movie frame as one row."""
    n_rows = len(showings.start)
    if n_rows < 2 or float(np.median(showings.stop - showings.start)) >= _DISPLAY_FRAME_SECONDS:
        return showings
    refresh = float(np.median(showings.stop - showings.start))
    follows = np.zeros(n_rows, dtype=bool)
    follows[1:] = (
        (showings.frame[1:] == showings.frame[:-1])
        & (showings.template[1:] == showings.template[:-1])
        & (showings.block[1:] == showings.block[:-1])
        & (showings.start[1:] - showings.stop[:-1] < 0.5 * refresh)
    )
    if not follows.any():
        return showings
    first = np.flatnonzero(~follows)
    last = np.append(first[1:], n_rows) - 1
    collapsed = showings.of(first)
    collapsed.stop = showings.stop[last]
    file.note("info", showings.path, f"{n_rows} display frames show {len(first)} frames; equal ones were joined")
    return collapsed


def _without_overlap(file: OpenedFile, catalogue: TemplateCatalogue, sources: list[_Showings]) -> list[_Showings]:
    def preference(source: _Showings) -> tuple[bool, bool, int]:
        shown = source.template[source.frame >= 0]
        readable = sum(name in catalogue.found for name in shown)
        return (2 * readable <= len(shown), not source.is_table, -len(source.start))

    kept: list[_Showings] = []
    for source in sorted(sources, key=preference):
        free = np.ones(len(source.start), dtype=bool)
        middle = (source.start + source.stop) / 2
        better = []
        for other in kept:
            before = np.searchsorted(other.start, middle, side="right") - 1
            told = (before >= 0) & (middle < other.stop[before])
            if told.any():
                better.append(other.path)
            free &= ~told
        # A movie that is told better in part is told better as a whole.
        free &= ~np.isin(source.row, source.row[~free])
        if better:
            count = f"{int((~free).sum())} of {len(free)} rows"
            file.note("info", source.path, f"{count} tell of times that {', '.join(better)} tells better; left out")
        if free.any():
            kept.append(source.of(free))
    return kept


def _single_valued(file: OpenedFile, table: Any) -> list[str]:
    """Columns with one value a row. What a ragged column stores is where its rows end, and means nothing here."""
    single = [name for name in table.colnames if _is_plain(table[name])]
    known = (
        *file.conventions.template_columns,
        *file.conventions.image_name_columns,
        *file.conventions.frame_columns,
        *file.conventions.block_columns,
        *file.conventions.blank_columns,
    )
    left_out = [name for name in table.colnames if name in known and name not in single]
    if left_out:
        file.note("warning", file.path_of(table), f"columns with several values a row, not used: {', '.join(left_out)}")
    return single


def _is_plain(column: Any) -> bool:
    from hdmf.common import VectorIndex

    return not isinstance(column, VectorIndex) and len(np.shape(column.data)) == 1


def _column(table: Any, name: str) -> npt.NDArray[Any]:
    """A column in one read, not row by row."""
    return np.asarray(table[name].data[:])


def _frame_numbers(file: OpenedFile, values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Frame numbers and where there is none: NaN, text such as "N/A", or a code for grey."""
    if values.dtype.kind in "iub":
        numbers = values.astype(np.float64)
    else:
        decoded = values if values.dtype.kind == "f" else text_values(values)
        numbers = pd.to_numeric(pd.Series(decoded), errors="coerce").to_numpy(dtype=np.float64)
    blank = ~np.isfinite(numbers) | np.isin(numbers, file.conventions.blank_codes) | (numbers < 0)
    return np.where(blank, BLANK, np.nan_to_num(numbers)).astype(np.int64), blank


def _check_references(file: OpenedFile, table: Any) -> None:
    """Say so where a table's ``timeseries`` column points beyond its series; the column itself is never used."""
    if "timeseries" not in table.colnames:
        return
    column = table["timeseries"]
    stored = getattr(column, "target", column).data
    dataset = getattr(stored, "dataset", stored)
    if getattr(getattr(dataset, "dtype", None), "names", None) != ("idx_start", "count", "timeseries"):
        return
    ends = dataset["idx_start"].astype(np.int64) + dataset["count"]
    row = int(np.argmax(ends)) if len(ends) else -1
    if row < 0:
        return
    group = dataset.file[dataset[row]["timeseries"]]
    if "data" in group and ends[row] > len(group["data"]):
        file.note(
            "warning",
            f"{file.path_of(table)}/timeseries",
            f"row {row} refers to samples up to {int(ends[row])} of {len(group['data'])}; the column was not used",
        )
