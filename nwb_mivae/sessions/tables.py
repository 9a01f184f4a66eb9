"""Tables of intervals that tell of a stimulus: their rows, told by frame, by the name of a picture or by parameters.

Each column is read once and whole, and only those that are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.conventions import PIXEL_FILE_SUFFIXES, RESULT_TYPES, plain, stimulus_stem, without_suffix
from nwb_mivae.sessions.nwb import OpenedFile, as_text, text_values, truth
from nwb_mivae.sessions.parameters import parameters_from_text, parameters_text, standard_parameters
from nwb_mivae.sessions.rendering import drawable
from nwb_mivae.sessions.sample_times import in_seconds
from nwb_mivae.sessions.showings import BLANK, PARAMETERS, WHOLE, Showings, by_value
from nwb_mivae.sessions.templates import StoredImages, TemplateCatalogue
from nwb_mivae.sessions.traps import is_trap

__all__ = ["frame_numbers", "table_showings"]

#: Parameters that only gratings and patches have.
_TELLING = ("orientation", "spatial_frequency", "temporal_frequency", "x_position", "y_position")

#: Text (lower case) that stands for no value.
_GAPS = ("", "n/a", "nan", "none", "null", "nat")


def table_showings(file: OpenedFile, catalogue: TemplateCatalogue) -> Iterator[Showings]:
    """Rows of every table, in `intervals` and among the stimuli, that tells of a stimulus; the others are noted."""
    from hdmf.common import DynamicTable

    root = file.nwbfile
    tables = [*root.intervals.values(), *root.stimulus.values()]
    tables += [table for table in (root.trials, root.epochs, root.invalid_times) if table is not None]
    among_stimuli = {item.object_id for item in root.stimulus.values()}
    seen = set()
    for table in tables:
        if not isinstance(table, DynamicTable) or table.object_id in seen or type(table).__name__ in RESULT_TYPES:
            continue
        seen.add(table.object_id)
        if "start_time" not in table.colnames or len(table) == 0 or is_trap(file, table, len(table)):
            continue
        try:
            _check_references(file, table)
            showings = _Rows(file, table, is_stimulus=table.object_id in among_stimuli).showings(catalogue)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as problem:
            # One damaged table is no reason to lose the others and the recording.
            why = " ".join(str(problem).split())
            file.note("warning", file.path_of(table), f"a table that cannot be read, left out ({why})")
            continue
        if showings is None:
            file.note("info", file.path_of(table), f"{len(table)} rows that name no stimulus, left out")
        else:
            yield showings


def frame_numbers(
    file: OpenedFile, values: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Frame numbers, where a code says grey instead, and where there is no number: NaN, or text such as "N/A"."""
    if values.dtype.kind in "iub":
        numbers = values.astype(np.float64)
    else:
        decoded = values if values.dtype.kind == "f" else text_values(values)
        numbers = pd.to_numeric(pd.Series(decoded), errors="coerce").to_numpy(dtype=np.float64)
    none = ~np.isfinite(numbers)
    grey = np.isin(numbers, file.conventions.blank_codes) | (numbers < 0)
    if values.dtype.kind == "u" and values.dtype.itemsize > 1:
        grey |= values == np.iinfo(values.dtype).max
    return np.where(grey | none, BLANK, np.nan_to_num(numbers)).astype(np.int64), grey, none


class _Rows:
    """The rows of one table, told from the columns that its dandiset is known to use."""

    def __init__(self, file: OpenedFile, table: Any, *, is_stimulus: bool) -> None:
        self.file = file
        self.table = table
        self.is_stimulus = is_stimulus
        self.path = file.path_of(table)
        self.name = as_text(table.name)
        self.n_rows = len(table)
        self._read: dict[str, npt.NDArray[Any]] = {}

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column in one read, also if it is asked for again."""
        if name not in self._read:
            self._read[name] = _column(self.table, name)
        return self._read[name]

    @cached_property
    def single(self) -> list[str]:
        """Columns with one value a row. What a ragged column stores is where its rows end, and means nothing here."""
        names = self.file.conventions
        single = [name for name in self.table.colnames if _is_plain(self.table[name])]
        known = (
            *names.stimulus_columns,
            *names.template_columns,
            *names.image_name_columns,
            *names.frame_columns,
            *names.first_frame_columns,
            *names.block_columns,
            *names.blank_columns,
            *names.omitted_columns,
        )
        left_out = [name for name in self.table.colnames if name in known and name not in single]
        if left_out:
            message = f"columns with several values a row, not used: {', '.join(left_out)}"
            self.file.note("warning", self.path, message)
        return single

    def first(self, names: Iterable[str]) -> npt.NDArray[Any] | None:
        """The first of these columns that the table has."""
        name = next((name for name in names if name in self.single), None)
        return None if name is None else self.column(name)

    def text(self, names: Iterable[str]) -> npt.NDArray[np.object_] | None:
        """The first of these columns as text, empty where it says nothing."""
        values = self.first(names)
        if values is None:
            return None
        return by_value(text_values(values), lambda text: "" if text.strip().lower() in _GAPS else text)

    @cached_property
    def parameters(self) -> npt.NDArray[np.object_]:
        """What each row says of a grating, patch or flash, as JSON text; rows that say the same are converted once."""
        wanted = [item.column for item in self.file.conventions.parameter_names]
        columns = {name: self.column(name) for name in dict.fromkeys(wanted) if name in self.table.colnames}
        if not columns:
            return np.full(self.n_rows, "", dtype=object)
        codes = np.stack([_codes(column) for column in columns.values()], axis=1)
        _, first, which = np.unique(codes, axis=0, return_index=True, return_inverse=True)
        different = standard_parameters(
            {name: column[first] for name, column in columns.items()},
            len(first),
            self.file.conventions,
            note=lambda level, column, sentence: self.file.note(level, f"{self.path}/{column}", sentence),
        )
        texts = np.empty(len(first), dtype=object)
        texts[:] = [parameters_text(parameters) for parameters in different]
        return texts[which.ravel()]

    def showings(self, catalogue: TemplateCatalogue) -> Showings | None:
        names, n_rows = self.file.conventions, self.n_rows
        stem = without_suffix(self.name)
        template, image = self.text(names.template_columns), self.text(names.image_name_columns)
        number = self.first([name for name in names.frame_columns if image is None or name != "image_index"])
        goes_on = number is None
        if goes_on:
            number = self.first(names.first_frame_columns)
        goes_on = goes_on and number is not None
        is_blank_table = plain(stem) in names.blank_names
        condition = self.text(names.condition_columns)
        if self.name in names.no_stimulus_tables:
            if number is None and not self._oriented().any():
                return None
        elif template is None and image is None and number is None:
            named = self.is_stimulus or stem != self.name or is_blank_table or condition is not None
            if not named and not self._oriented().any():
                return None
        stated = (
            np.full(n_rows, self.name, object) if template is None else np.where(template == "", self.name, template)
        )
        called = self.text(names.stimulus_columns)
        stimulus = np.full(n_rows, stem, object) if called is None else np.where(called == "", stem, called)

        frame, blank = (
            np.full(n_rows, WHOLE, dtype=np.int64),
            self._grey(stated) | self._grey(stimulus) | is_blank_table,
        )
        template_of, standing = stated.copy(), np.zeros(n_rows, dtype=bool)
        untold = np.ones(n_rows, dtype=bool)
        if number is not None:
            numbers, grey, none = frame_numbers(self.file, number)
            blank |= grey
            # Where the pixels are missing, parameters tell more than the number of a row's first frame.
            frame, untold = np.where(none, WHOLE, numbers), none | goes_on
        omitted = np.zeros(n_rows, dtype=bool)
        for name in names.omitted_columns:
            if name in self.single:
                omitted |= self._left_out(self.column(name))
        for name in names.blank_columns:
            if name in self.single:
                blank |= truth(self.column(name))
        if image is not None and untold.any():
            omitted |= untold & self._named(image, names.omitted_names)
            blank |= untold & self._grey(image)
            labelled = untold & (image != "") & ~blank & ~omitted
            template_of[labelled], frame[labelled] = _images_by_name(
                catalogue, self.path, stated[labelled], image[labelled]
            )
            standing |= labelled
            untold &= ~labelled
        blank |= omitted
        parameters = np.full(n_rows, "", dtype=object)
        if (untold & ~blank).any():
            asked = untold & ~blank
            if goes_on:
                asked &= ~by_value(
                    template_of, lambda name: catalogue.resolve(name, self.path) in catalogue.found
                ).astype(bool)
            is_movie = by_value(template_of, lambda name: self._is_movie(catalogue, name)).astype(bool)
            told = asked & self._told_by_parameters(stimulus, is_movie)
            sweeps = self._blank_sweeps(asked, stimulus) | (told & self._without_contrast())
            told &= ~sweeps
            blank |= sweeps
            parameters[told], frame[told], standing[told] = self.parameters[told], PARAMETERS, True
            untold &= ~told & ~sweeps
        if (number is not None or image is not None) and not untold.all() and not goes_on:
            blank |= untold
        frame = np.where(blank, BLANK, frame)
        shown = ~blank
        keys = np.full(n_rows, "", dtype=object)
        if shown.any():
            keys[shown] = by_value(template_of[shown], lambda name: catalogue.resolve(name, self.path))
        stop = self.first(["stop_time"])
        stop = np.full(n_rows, np.nan) if stop is None else np.asarray(stop, dtype=np.float64)
        start, stop = in_seconds(self.file, self.table, self.column("start_time").astype(np.float64), stop)
        showings = Showings.of_rows(self.path, start, stimulus, keys, frame, stop=stop, is_table=True)
        showings.parameters, showings.omitted, showings.standing = parameters, omitted, standing & shown
        showings.goes_on = goes_on
        showings.block = self._blocks()
        if condition is not None:
            showings.condition = condition
        return showings

    def _grey(self, values: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
        names = self.file.conventions.blank_names
        return by_value(values, lambda name: plain(without_suffix(name)) in names or plain(name) in names).astype(bool)

    def _named(self, values: npt.NDArray[Any], names: Sequence[str]) -> npt.NDArray[np.bool_]:
        return by_value(values, lambda name: plain(name) in names).astype(bool)

    def _left_out(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Rows that a column calls omitted, by a truth value or a name."""
        if values.dtype.kind in "biuf":
            return truth(values)
        return truth(values) | self._named(text_values(values), self.file.conventions.omitted_names)

    def _oriented(self) -> npt.NDArray[np.bool_]:
        return by_value(self.parameters, lambda text: "orientation" in parameters_from_text(text)).astype(bool)

    @staticmethod
    def _is_movie(catalogue: TemplateCatalogue, name: str) -> bool:
        stem = stimulus_stem(name)
        return any(
            stimulus_stem(key) == stem and item.n_frames > 1 and not isinstance(item, StoredImages)
            for key, item in catalogue.found.items()
        )

    def _told_by_parameters(
        self, stimulus: npt.NDArray[np.object_], is_movie: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Rows whose parameters say what was shown, and are not just the size, contrast and turn of a movie."""

        def told(row: tuple[str, str, bool]) -> bool:
            parameters = parameters_from_text(row[1])
            if not row[2] and any(name in parameters for name in _TELLING):
                return True
            return drawable(row[0], parameters, self.file.conventions, self.file.layout) is not None

        codes, pairs = pd.factorize(pd.MultiIndex.from_arrays([stimulus, self.parameters, is_movie]))
        return np.asarray(np.array([told(pair) for pair in pairs], dtype=bool)[codes])

    def _without_contrast(self) -> npt.NDArray[np.bool_]:
        """Rows of a grating without any contrast, which is a grey screen."""
        return by_value(self.parameters, lambda text: parameters_from_text(text).get("contrast") == 0.0).astype(bool)

    def _blank_sweeps(self, asked: npt.NDArray[np.bool_], stimulus: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
        """Rows without an orientation among rows of gratings."""
        oriented = self._oriented() & asked
        sweeps = np.zeros(self.n_rows, dtype=bool)
        for name in dict.fromkeys(stimulus[oriented]):
            rows = asked & (stimulus == name)
            if 2 * (oriented & rows).sum() > rows.sum():
                sweeps |= rows & ~oriented
        if sweeps.any():
            count = int(sweeps.sum())
            self.file.note("guess", self.path, f"{count} rows without an orientation were taken for a grey screen")
        return sweeps

    def _blocks(self) -> npt.NDArray[np.int64]:
        values = self.first(self.file.conventions.block_columns)
        if values is None:
            return np.full(self.n_rows, -1, dtype=np.int64)
        decoded = values if values.dtype.kind in "biuf" else text_values(values)
        numbers = pd.to_numeric(pd.Series(decoded), errors="coerce").to_numpy(dtype=np.float64)
        return np.where(np.isfinite(numbers), numbers, -1).astype(np.int64)


def _images_by_name(
    catalogue: TemplateCatalogue, path: str, stated: npt.NDArray[np.object_], images: npt.NDArray[np.object_]
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Template and frame of pictures called by name: in a set inside the file, a file of that name, or numbered."""
    template, frame = stated.copy(), np.full(len(images), WHOLE, dtype=np.int64)
    codes, pairs = pd.factorize(pd.MultiIndex.from_arrays([stated, images]))
    for code, (name, label) in enumerate(pairs):
        inside = catalogue.image(label, name, path)
        if inside is not None:
            rows = codes == code
            template[rows], frame[rows] = inside
        elif label.lower().endswith(PIXEL_FILE_SUFFIXES):
            template[codes == code] = label
    unknown = (frame == WHOLE) & (template == stated)
    for name in dict.fromkeys(stated[unknown]):
        rows = unknown & (stated == name)
        _, frame[rows] = np.unique(images[rows].astype(str), return_inverse=True)
    return template, frame


def _is_plain(column: Any) -> bool:
    from hdmf.common import VectorIndex

    return not isinstance(column, VectorIndex) and len(np.shape(column.data)) == 1


def _column(table: Any, name: str) -> npt.NDArray[Any]:
    """A column in one read; of a ragged one the values and where its rows end, as one array of lists."""
    from hdmf.common import VectorIndex

    column = table[name]
    if not isinstance(column, VectorIndex):
        return np.asarray(column.data[:])
    ends = np.asarray(column.data[:], dtype=np.int64)
    values = column.target
    stored = np.asarray(values.data[:]) if not isinstance(values, VectorIndex) else np.zeros(0)
    rows = np.empty(len(ends), dtype=object)
    rows[:] = np.split(stored, ends[:-1]) if len(stored) else [np.zeros(0)] * len(ends)
    return rows


def _codes(column: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """A number for each row of a column, equal where the rows are equal."""
    if column.ndim > 1 or (column.dtype == object and len(column) and isinstance(column[0], np.ndarray)):
        column = np.array([np.asarray(row).astype(str).tobytes() for row in column], dtype=object)
    return np.asarray(pd.factorize(column, use_na_sentinel=False)[0], dtype=np.int64)


def _check_references(file: OpenedFile, table: Any) -> None:
    """Say so where a table's ``timeseries`` column points beyond its series; the column itself is never used."""
    if "timeseries" not in table.colnames:
        return
    column = table["timeseries"]
    stored = getattr(column, "target", column).data
    dataset = getattr(stored, "dataset", stored)
    if getattr(getattr(dataset, "dtype", None), "names", None) != ("idx_start", "count", "timeseries"):
        return
    spans = dataset["idx_start", "count"]
    ends = spans["idx_start"].astype(np.int64) + spans["count"]
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
