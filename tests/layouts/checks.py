"""What a reader must make of every layout: one check per column of the table, each against :class:`LayoutTruth`.

A check returns what the table says of the layout (``"ok: ..."``, ``"not in the file"``, ``"refused: ..."``) or raises
:class:`AssertionError` with every difference from the truth it found, so test and table cannot disagree.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment import AlignedSession, AlignmentConfiguration, align
from nwb_mivae.clips import ClipsConfiguration, ClipStore, prepare
from nwb_mivae.errors import NwbMivaeError, SessionError
from nwb_mivae.sessions import Session, SessionsConfiguration, TraceCandidate, read_session
from nwb_mivae.sessions.nwb import open_nwb
from nwb_mivae.sessions.ophys import choose_series, find_series, read_series
from tests.layouts.cases import Case
from tests.layouts.truth import NO_PICTURE, NOTHING_KNOWN, Presentation, SpikesPerPresentation, number_in

__all__ = ["CHECKS", "Reading", "checks_of", "summary"]

FloatArray = npt.NDArray[np.float64]

#: Seconds that no time may be wrong by.
EXACT = 1e-3
#: Seconds by which copied times may differ.
COPIED = 1e-6
#: Micrometres by which a centre may differ.
NEAR = 1e-3
#: Frames of a clip.
CLIP = 16
#: Pixels of the store, enough for :func:`number_in`.
STORE = ClipsConfiguration(height=24, width=32)
#: Differences that are told of one check.
_MOST_TOLD = 6


class Reading:
    """A case, written, and what the package makes of it, each step once and only when it is asked for."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.folder = folder
        self.truth = case.write(folder / "files")
        self.sources: str | list[str] = [str(path) for path in self.truth.files]
        if len(self.sources) == 1:
            self.sources = self.sources[0]
        self._session: Session | None = None

    @cached_property
    def refusal(self) -> NwbMivaeError | None:
        """Why the files could not be read, if they could not."""
        try:
            self._session = read_session(self.sources)
        except NwbMivaeError as error:
            return error
        return None

    @property
    def session(self) -> Session:
        """The session, open."""
        if self.refusal is not None:
            raise self.refusal
        assert self._session is not None
        return self._session

    @cached_property
    def numbers(self) -> Mapping[str, npt.NDArray[np.int64]]:
        """Of each template with pixels of its own, the number that each of its frames carries."""
        return {
            name: np.array([number_in(frame) for frame in template.read(np.arange(template.n_frames))])
            for name, template in self.session.templates.items()
            if template.origin == "file"
        }

    def number_of(self, template: str, frame: int) -> int:
        """The number in the pixels of a frame; :data:`NO_PICTURE` where it is grey, drawn or missing."""
        numbers = self.numbers.get(template)
        return NO_PICTURE if numbers is None or not 0 <= frame < len(numbers) else int(numbers[frame])

    @cached_property
    def aligned(self) -> AlignedSession:
        """The session with activity taken at the time of the frames."""
        return align(self.session, AlignmentConfiguration(lag=0.0))

    @cached_property
    def store(self) -> ClipStore:
        """The store that is prepared from the files, or in the odd cases from the open session."""
        sources = [str(path) for path in self.truth.files] if self.case.main else [self.session]
        return prepare(sources, self.folder / "store", configuration=STORE)

    def said(self, *words: str, levels: tuple[str, ...] = ("info", "guess", "warning"), path: str = "") -> list[str]:
        """Findings of these levels, of the object with this path if one is named, that hold all of the words."""
        return [
            finding.message
            for finding in self.session.findings
            if finding.level in levels
            and (not path or finding.object_path.startswith(path))
            and all(word.lower() in finding.message.lower() for word in words)
        ]

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Differences:
    """Differences from the truth, collected so that one failing assertion tells of all of them."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        self.example: dict[str, str] = {}

    def expect(self, condition: bool, what: str, detail: str = "") -> None:
        """Note that ``what`` is wrong unless the condition holds; equal ones are counted, the first has its detail."""
        if not condition:
            self.told[what] += 1
            self.example.setdefault(what, detail)

    def raise_any(self) -> None:
        if not self.told:
            return
        lines = [
            f"{what}{f' ({count} times)' if count > 1 else ''}{f': {self.example[what]}' if self.example[what] else ''}"
            for what, count in self.told.most_common(_MOST_TOLD)
        ]
        raise AssertionError("; ".join(lines))


@contextmanager
def _differences() -> Iterator[_Differences]:
    differences = _Differences()
    yield differences
    differences.raise_any()


# --- reads --------------------------------------------------------------------------------------------------------


def check_reads(reading: Reading) -> str:
    """Files are read, the layout and behaviour in them recognised; or refused with what to use instead."""
    case, truth = reading.case, reading.truth
    with _differences() as differences:
        if case.refused:
            differences.expect(isinstance(reading.refusal, SessionError), "read, though it should be refused")
            message = str(reading.refusal)
            for words in case.refused:
                differences.expect(words in message, f"the refusal does not say {words!r}", message)
            differences.expect(len(message.splitlines()) == 1, "the refusal is not one line", message)
            differences.raise_any()
            assert reading.refusal is not None
            return f"refused: {reading.refusal.found}"
        differences.expect(reading.refusal is None, "cannot be read", str(reading.refusal))
        differences.raise_any()
        layout = [message for dandiset in truth.dandisets for message in reading.said("laid out like", dandiset)]
        differences.expect(bool(layout), f"no finding says that the layout is that of {', '.join(truth.dandisets)}")
        session = reading.session
        differences.expect(len(session.files) == len(truth.files), "files", f"{len(session.files)} of the session")
        for name, path in (("running", truth.running), ("pupil", truth.pupil)):
            found = session.behaviour.get(name)
            differences.expect(
                (None if found is None else found.path) == path, f"{name}", f"{found and found.path}, expected {path}"
            )
    behaviour = [name for name in ("running", "pupil") if name in session.behaviour]
    files = f"{len(truth.files)} files joined, " if len(truth.files) > 1 else ""
    return f"ok: {files}{' and '.join(behaviour) or 'no behaviour in the file'}"


# --- traces -------------------------------------------------------------------------------------------------------


def check_traces(reading: Reading) -> str:
    """Kind, path, cells kept and dropped, unit and orientation; every other series of the file on demand."""
    case, truth, session = reading.case, reading.truth, reading.session
    with _differences() as differences:
        if truth.trace_kind is None:
            differences.expect(session.traces is None, "traces where there are none")
            differences.expect(session.candidates == [], "candidates where there are none", str(session.candidates))
            differences.expect(len(session.cells) == 0, "cells where there are none")
            differences.expect(bool(reading.said("no neural activity")), "nothing says that there is no activity")
            differences.raise_any()
            return "not in the file"
        traces = session.traces
        assert traces is not None, "no traces"
        chosen = [candidate for candidate in session.candidates if candidate.chosen]
        stored = {candidate.kind for candidate in chosen}
        differences.expect(stored == {truth.trace_kind}, "kind that is stored", f"{stored}, not {truth.trace_kind}")
        if truth.trace_kind == "fluorescence":
            differences.expect(traces.kind == "dff", "kind computed of raw fluorescence", traces.kind)
            told = reading.said("dF/F was computed", levels=("guess",))
            differences.expect(bool(told), "nothing says that dF/F was computed")
        else:
            differences.expect(traces.kind == truth.trace_kind, "kind", traces.kind)
        differences.expect(traces.path == truth.trace_path, "path", f"{traces.path}, expected {truth.trace_path}")
        differences.expect(
            truth.trace_path in {candidate.path for candidate in chosen}, "the path is not among the chosen candidates"
        )
        orientations = {candidate.orientation for candidate in chosen}
        differences.expect(orientations == {case.orientation}, "orientation", f"{orientations}")
        differences.expect(traces.unit == case.unit, "unit", f"{traces.unit!r}, expected {case.unit!r}")
        kept = (traces.n_cells, len(session.cells))
        differences.expect(kept == (truth.n_cells_valid,) * 2, "cells", f"{kept}, expected {truth.n_cells_valid}")
        dropped, expected = _cells_said_to_be_dropped(reading), truth.n_cells_all - truth.n_cells_valid
        differences.expect(dropped == expected, "cells said to be left out", f"{dropped}, expected {expected}")
        others = _check_others_on_demand(reading, differences)
    computed = " computed of fluorescence" if truth.trace_kind == "fluorescence" else ""
    cells = f"{truth.n_cells_valid} of {truth.n_cells_all} {'units' if traces.kind == 'spikes' else 'cells'}"
    planes = f" of {len(chosen)} planes" if len(chosen) > 1 else ""
    return f"ok: {traces.kind}{computed}, {cells}{planes}{f'; {others} other series on demand' if others else ''}"


def _cells_said_to_be_dropped(reading: Reading) -> int:
    """Sum of the counts in findings; one without a file's name holds for each of the files."""
    names = [path.name for path in reading.truth.files]
    total = 0
    for message in reading.said("left out"):
        for count in re.findall(r"(\d+) of \d+ (?:ROIs|units) left out", message):
            total += int(count) * (1 if any(name in message for name in names) else len(names))
    return total


def _check_others_on_demand(reading: Reading, differences: _Differences) -> int:
    """Choose every series by its path, in the main cases; how many there are beside the chosen ones.

    The first of them is chosen the way a user does it, by reading the session again.
    """
    others = {each.path: each for each in reading.session.candidates if not each.chosen and each.kind != "spikes"}
    usable = [path for path, each in others.items() if not each.reason.startswith("cannot be used")]
    if not reading.case.main:
        return len(usable)
    if others:
        file = open_nwb(reading.truth.files[0])
        try:
            for path, candidate in others.items():
                _check_on_demand(file, path, candidate, path in usable, differences)
        finally:
            file.close()
    if usable:
        with read_session(reading.sources, configuration=SessionsConfiguration(trace=usable[0])) as session:
            found = None if session.traces is None else session.traces.path
            differences.expect(found == usable[0], "not chosen with sessions.trace", f"{usable[0]}; found {found}")
    return len(usable)


def _check_on_demand(file: Any, path: str, candidate: TraceCandidate, usable: bool, differences: _Differences) -> None:
    found = find_series(file)
    try:
        traces, cells = read_series(file, choose_series(file, found, path), SessionsConfiguration(trace=path))
    except SessionError as error:
        differences.expect(not usable, "a series that cannot be chosen by its path", f"{path}: {error}")
        differences.expect(path in str(error), "the refusal of a series does not name it", f"{path}: {error}")
        return
    differences.expect(usable, "chosen though it cannot be used", path)
    differences.expect((traces.path, traces.kind) == (path, candidate.kind), "another series was chosen", path)
    differences.expect(len(cells) == traces.n_cells > 0, "cells of a series chosen by its path", path)


# --- coordinates --------------------------------------------------------------------------------------------------


def check_coordinates(reading: Reading) -> str:
    """Micrometres as in the truth; what the truth does not know is missing and said so, or called a guess."""
    case, truth, session = reading.case, reading.truth, reading.session
    if truth.trace_kind is None:
        return "not in the file"
    found = session.cells[["x", "y", "z"]].to_numpy(dtype=np.float64)
    guessed = False
    with _differences() as differences:
        differences.expect(found.shape == truth.positions.shape, "cells with coordinates", f"{found.shape}")
        differences.raise_any()
        for axis, name in enumerate("xyz"):
            expected, values = truth.positions[:, axis], found[:, axis]
            missing = np.isnan(expected)
            for cell in np.flatnonzero(~missing):
                differences.expect(
                    abs(values[cell] - expected[cell]) < NEAR,
                    f"{name} of a cell",
                    f"cell {cell} at {values[cell]:g}, expected {expected[cell]:g} um",
                )
            filled = missing & ~np.isnan(values)
            if filled.any():
                known = None
                if axis < 2 and truth.pixels is not None and case.micrometres_per_pixel is not None:
                    known = truth.pixels[:, axis] * case.micrometres_per_pixel
                right = known is not None and bool(np.allclose(values[filled], known[filled], atol=NEAR))
                differences.expect(right, f"{name} of cells of which the file tells none", f"{values[filled][:3]}")
                said = reading.said("pixel size", levels=("guess",))
                differences.expect(bool(said), "a pixel size that the file lacks is not called a guess")
                guessed = True
            if np.isnan(values).any():
                words = ("depth", "`z`", "coordinate") if axis == 2 else ("pixel size", "coordinate", "position")
                said = [message for word in words for message in reading.said(word)]
                differences.expect(bool(said), f"nothing says why {name} is missing")
    guessed = guessed or bool(reading.said("no pixel size", levels=("guess",)))
    known_axes = [name for axis, name in enumerate("xyz") if np.isfinite(found[:, axis]).any()]
    missing_axes = [name for name in "xyz" if name not in known_axes]
    text = f"ok: {', '.join(known_axes)} in um" if known_axes else "not in the file"
    text += " with the pixel size known of the layout" if guessed else ""
    return text + (f", {' and '.join(missing_axes)} not in the file" if known_axes and missing_axes else "")


# --- frame table --------------------------------------------------------------------------------------------------


def check_frame_table(reading: Reading) -> str:
    """Every row of the truth is in the table, nothing else but pauses is, and what was lost is counted and said."""
    truth, table = reading.truth, reading.session.presentations
    start, stop = (table[name].to_numpy(dtype=np.float64) for name in ("start_time", "stop_time"))
    middle = (start + stop) / 2
    with _differences() as differences:
        differences.expect(bool((np.diff(start) >= 0).all()), "rows are not in order of time")
        differences.expect(bool((stop > start).all()), "rows without a duration")
        differences.expect(bool((stop[:-1] <= start[1:] + EXACT).all()), "rows that overlap")
        told = np.zeros(len(table), dtype=bool)
        repeats = _repeats(reading)
        records = table.to_dict("records")
        for row, repeat in zip(truth.presentations, repeats, strict=True):
            first, after = np.searchsorted(middle, [row.start, row.stop])
            told[first:after] = True
            _compare(reading, row, repeat, records[first:after], differences)
        pauses = table[~told]
        for pause in pauses.to_dict("records"):
            grey = pause["blank"] and pause["frame"] == -1 and not pause["template"] and not pause["omitted"]
            differences.expect(bool(grey), "a row that the file does not tell of", _brief(pause))
        if len(pauses):
            said = reading.said("pauses", "grey", levels=("guess",))
            differences.expect(bool(said), "nothing says that pauses were taken for grey")
        _check_granularity(reading, differences)
        for path, count in truth.rows_lost.items():
            said = reading.said(str(count), "left out", levels=("guess", "warning"), path=path)
            differences.expect(bool(said), "lost rows are not counted and said", f"{count} of {path}")
    lost = sum(truth.rows_lost.values())
    return (
        f"ok: {len(truth.presentations)} rows as {', '.join(sorted(set(reading.session.granularity.values())))}"
        f"{f', {lost} unusable left out and said' if lost else ''}"
    )


def _brief(row: Mapping[str, Any]) -> str:
    return (
        f"{row['start_time']:.4f}-{row['stop_time']:.4f} s {row['stimulus']!r} {row['template']!r} {row['frame']} "
        f"repeat {row['repeat']} block {row['block']}{' blank' if row['blank'] else ''}"
    )


def _compare(
    reading: Reading, row: Presentation, repeat: int | None, found: list[dict[Any, Any]], differences: _Differences
) -> None:
    """The rows of the table during a row of the truth."""
    case = reading.case
    where = f"{row.start:.4f}-{row.stop:.4f} s, {row.stimulus!r} {row.template!r} {row.frame}"
    if not found:
        differences.expect(False, "a row of the file is not in the table", where)
        return
    first, last = found[0], found[-1]
    detail = f"{where} is {_brief(first)}"
    differences.expect(abs(first["start_time"] - row.start) < COPIED, "start", detail)
    differences.expect(abs(last["stop_time"] - row.stop) < EXACT, "stop", f"{where} is {_brief(last)}")
    names = {row.stimulus, row.template, *case.stimulus_names}
    for record in found:
        differences.expect(record["stimulus"] in names, "stimulus", detail)
        differences.expect(record["block"] == row.block, "block", detail)
        differences.expect(bool(record["blank"]) == row.blank, "blank", detail)
        may_be = case.may_be_omitted and row.blank
        differences.expect(bool(record["omitted"]) == row.omitted or may_be, "omitted", detail)
        differences.expect(repeat is None or record["repeat"] == repeat, f"repeat, expected {repeat}", detail)
    if row.blank:
        differences.expect(len(found) == 1, "several rows for one of grey", f"{len(found)}: {detail}")
        differences.expect(first["frame"] == -1 and not first["template"], "frame or template of grey", detail)
        differences.expect(not first["parameters"], "parameters of grey", f"{detail} {first['parameters']}")
    elif row.frame >= 0 or row.picture >= 0:
        differences.expect(len(found) == 1, "several rows for one frame", f"{len(found)}: {detail}")
        same = (first["template"], first["frame"]) == (row.template, row.frame)
        if case.renamed and not same:
            same = row.picture >= 0 and reading.number_of(first["template"], first["frame"]) == row.picture
        differences.expect(same, "template and frame", detail)
    else:
        _compare_drawn(row, found, detail, differences)


def _compare_drawn(row: Presentation, found: list[dict[Any, Any]], detail: str, differences: _Differences) -> None:
    """What parameters tell of: one row, or the frames in which it is drawn, one after the other."""
    templates = {record["template"] for record in found}
    differences.expect(len(templates) == 1 and "" not in templates, "a condition has one template", detail)
    if row.template is not None and not row.parameters:
        differences.expect(templates == {row.template}, "template", detail)
    if len(found) > 1:
        differences.expect(
            [record["frame"] for record in found] == list(range(len(found))), "frames of what moves", detail
        )
        gaps = [after["start_time"] - before["stop_time"] for before, after in itertools.pairwise(found)]
        differences.expect(max(map(abs, gaps)) < COPIED, "gaps between frames of what moves", detail)
    texts = {record["parameters"] for record in found}
    differences.expect(len(texts) == 1, "one row has several sets of parameters", detail)
    text = str(found[0]["parameters"])
    known = json.loads(text) if text else {}
    for name, value in _standard(row.parameters).items():
        differences.expect(
            name in known and _equal(name, known[name], value), f"parameter {name}", f"{value} is {text}; {detail}"
        )
    _compare_patches(row, known, detail, differences)


def _compare_patches(row: Presentation, known: dict[str, Any], detail: str, differences: _Differences) -> None:
    """000037: the orientations of the patches of a picture scatter around the mean that the row tells."""
    if "gabor_mean_orientation" not in row.parameters:
        return
    mean, count = (float(row.parameters[name]) for name in ("gabor_mean_orientation", "gabor_number"))
    patches = np.atleast_1d(known.get("orientation", []))
    differences.expect(len(patches) == count, "patches of a picture", detail)
    away = np.abs((patches - mean + 180.0) % 360.0 - 180.0)
    differences.expect(bool((away < 60.0).all()), "orientations of patches", f"{patches} around {mean}; {detail}")


#: Columns of the files, the standard name of what they say, and how many standard units their unit is.
_STANDARD = {
    "orientation_in_degrees": ("orientation", 1.0),
    "orientation": ("orientation", 1.0),
    "direction": ("orientation", 1.0),
    "oris": ("orientation", 1.0),
    "Orientation": ("orientation", 180.0 / math.pi),
    "spatial_frequency_in_cycles_per_degree": ("spatial_frequency", 1.0),
    "spatial_frequency": ("spatial_frequency", 1.0),
    "Spatial_Frequency": ("spatial_frequency", 1.0),
    "temporal_frequency_in_hz": ("temporal_frequency", 1.0),
    "temporal_frequency": ("temporal_frequency", 1.0),
    "Temporal_Frequency": ("temporal_frequency", 1.0),
    "phase": ("phase", 1.0),
    "Phase": ("phase", 0.5 / math.pi),
    "contrast": ("contrast", 1.0),
    "Contrast": ("contrast", 1.0),
    "x_position": ("x_position", 1.0),
    "y_position": ("y_position", 1.0),
}
_PERIOD = {"orientation": 360.0, "phase": 1.0}


def _standard(parameters: Mapping[str, float | str]) -> dict[str, FloatArray]:
    """What the columns say in standard units; a list of equal numbers is one number, text may be a number."""
    standard = {}
    for column, value in parameters.items():
        if column not in _STANDARD:
            continue
        name, factor = _STANDARD[column]
        numbers = np.atleast_1d(np.asarray(json.loads(value) if isinstance(value, str) else value, dtype=np.float64))
        standard[name] = factor * (numbers[:1] if np.ptp(numbers) == 0 else numbers)
    return standard


def _equal(name: str, found: Any, expected: FloatArray) -> bool:
    values = np.atleast_1d(np.asarray(found, dtype=np.float64))
    if values.shape != expected.shape:
        return False
    away = np.abs(values - expected)
    if name in _PERIOD:
        period = _PERIOD[name]
        away = np.abs((values - expected + period / 2) % period - period / 2)
    return bool((away < 1e-4).all())


def _repeats(reading: Reading) -> list[int | None]:
    """How often each row of the truth was shown before, ``None`` where that is not known or has no meaning."""
    if reading.case.repeats == "pictures":
        return _repeats_of_pictures(reading)
    seen: Counter[object] = Counter()
    repeats: list[int | None] = []
    for row in reading.truth.presentations:
        told = (row.template, row.frame) if row.frame >= 0 else (row.stimulus, tuple(row.parameters.items()))
        unknown = row.blank or (row.frame < 0 and (reading.case.repeats == "unknown" or not row.parameters))
        repeats.append(None if unknown else seen[told])
        seen[told] += 1
    return repeats


def _repeats_of_pictures(reading: Reading) -> list[int | None]:
    """000402: a frame is a refresh of a trial; the trials of one condition show the same pictures.

    Trials end with the onset of their last refresh, so whether that one is of the trial is a choice, and it is not
    judged; neither is grey.
    """
    rows = reading.truth.presentations
    picture = np.array([row.picture for row in rows])
    seen: Counter[tuple[int, int]] = Counter()
    repeats: list[int | None] = []
    turn = 0
    for number, row in enumerate(rows):
        turn = turn + 1 if number and picture[number - 1] == row.picture else 0
        is_last = number + 1 < len(rows) and picture[number + 1] == NO_PICTURE
        repeats.append(None if row.picture == NO_PICTURE or is_last else seen[row.picture, turn])
        seen[row.picture, turn] += 1
    return repeats


def _check_granularity(reading: Reading, differences: _Differences) -> None:
    granularity = reading.session.granularity
    sources = set(reading.session.presentations["source_path"])
    differences.expect(sources <= set(granularity), "sources without a granularity", str(sources - set(granularity)))
    for path, found in granularity.items():
        accepted = [kinds for pattern, kinds in reading.case.granularity.items() if fnmatchcase(path, pattern)]
        differences.expect(bool(accepted), "a source of presentations that is none", path)
        if accepted:
            differences.expect(found in accepted[-1], "granularity", f"{path} is {found!r}, expected {accepted[-1]}")


# --- frames -------------------------------------------------------------------------------------------------------


def check_frames(reading: Reading) -> str:
    """Pixels carry the right numbers, what can be drawn is drawn and called so, what is missing is named."""
    truth, session = reading.truth, reading.session
    with _differences() as differences:
        for name in truth.templates_with_pixels:
            found = session.templates.get(name)
            differences.expect(found is not None and found.origin == "file", "pixels of the file not found", name)
        n_pictures = 0
        for row in truth.presentations:
            if row.picture < 0 or row.template not in session.templates:
                continue
            assert row.template is not None
            number = reading.number_of(row.template, row.frame)
            n_pictures += 1
            differences.expect(
                number == row.picture,
                "another picture",
                f"frame {row.frame} of {row.template} carries {number}, expected {row.picture}",
            )
        drawn, missing = _check_without_pixels(reading, differences)
        _check_drawn(reading, drawn, differences)
    parts = [
        f"{len(truth.templates_with_pixels)} templates of the file" if truth.templates_with_pixels else "",
        f"{', '.join(sorted(drawn))} drawn" if drawn else "",
        f"{', '.join(sorted(missing))} not in the file" if missing else "",
    ]
    return f"ok: {'; '.join(part for part in parts if part)}"


def _check_without_pixels(reading: Reading, differences: _Differences) -> tuple[set[str], set[str]]:
    """Stimuli whose pixels are drawn, and those whose pixels are missing and named."""
    case, session = reading.case, reading.session
    drawn, missing = set(), set()
    known = {*session.templates, *session.missing_templates}
    used = set(session.presentations.loc[session.presentations["frame"] >= 0, "template"])
    differences.expect(used <= known, "templates that are neither found nor missing", str(used - known))
    without = set(reading.truth.templates_without_pixels)
    told = {row.stimulus for row in reading.truth.presentations if row.frame < 0 and row.parameters}
    for row in reading.truth.presentations:
        if row.blank or (row.frame >= 0 and row.template not in without):
            continue
        name = row.stimulus if row.template is None or row.stimulus in told else row.template
        if name in drawn or name in missing:
            continue
        start = session.presentations["start_time"].to_numpy(dtype=np.float64)
        at = int(np.searchsorted(start, (row.start + row.stop) / 2, side="right")) - 1
        template = str(session.presentations["template"].iloc[at]) if at >= 0 else ""
        origin = session.templates[template].origin if template in session.templates else "missing"
        if origin == "rendered":
            drawn.add(name)
            differences.expect(name not in without - set(case.drawn) or name in told, "drawn without parameters", name)
            said = reading.said("drawn from parameters", repr(name), levels=("guess",))
            differences.expect(bool(said), "nothing says that it was drawn", name)
            continue
        missing.add(template or name)
        differences.expect(origin == "missing", "pixels of the file where it has none", f"{name}: {template}")
        differences.expect(name not in case.drawn, "not drawn from its parameters", name)
        reason = session.missing_templates.get(template, "")
        differences.expect(bool(reason), "missing without a reason", f"{name}: {template!r}")
        if name in case.told_by_parameters:
            differences.expect("parameter" in reason, "missing for another reason than parameters", f"{name}: {reason}")
    return drawn, missing


def _check_drawn(reading: Reading, drawn: set[str], differences: _Differences) -> None:
    """Different conditions have different pixels; but for flashes, none is uniform."""
    session = reading.session
    table = session.presentations
    rendered = {name: template for name, template in session.templates.items() if template.origin == "rendered"}
    table = table[table["template"].isin(list(rendered)) & (table["frame"] >= 0)]
    pixels: dict[tuple[str, str], bytes] = {}
    for (stimulus, parameters), rows in table.groupby(["stimulus", "parameters"], sort=False):
        frames = rows.drop_duplicates(["template", "frame"])
        name = str(frames["template"].iloc[0])
        shown = rendered[name].read(frames["frame"].to_numpy(dtype=np.int64))
        if stimulus != "flashes":
            differences.expect(bool((np.ptp(shown, axis=(1, 2)) > 0).all()), "uniform frames drawn", f"{name}")
        pixels[str(stimulus), str(parameters)] = shown.tobytes()
    for stimulus in {name for name, _ in pixels}:
        of_it = [drawing for (name, _), drawing in pixels.items() if name == stimulus]
        differences.expect(len(set(of_it)) == len(of_it), "two conditions drawn alike", stimulus)


# --- alignment ----------------------------------------------------------------------------------------------------


def check_alignment(reading: Reading) -> str:
    """At lag 0 each frame has the activity and the picture of its own time."""
    truth = reading.truth
    if truth.trace_kind is None:
        return "not in the file"
    aligned = reading.aligned
    with _differences() as differences:
        _check_pictures(reading, aligned, differences)
        _check_validity(reading, aligned, differences)
        if truth.spikes is not None:
            text = _check_counts(reading, aligned, truth.spikes, differences)
        else:
            text = _check_lateness(reading, aligned, differences)
    return f"ok: {text}"


def _check_pictures(reading: Reading, aligned: AlignedSession, differences: _Differences) -> None:
    truth = reading.truth
    names = [template.name for template in aligned.templates]
    middle = (aligned.time + aligned.stop_time) / 2
    expected = truth.picture_shown(middle)
    for number, template, frame, at in zip(expected, aligned.template, aligned.frame, middle, strict=True):
        shown = reading.number_of(names[template], int(frame)) if template >= 0 else NO_PICTURE
        wanted = NO_PICTURE if number == NOTHING_KNOWN else number
        differences.expect(
            shown == wanted, "another picture on the screen", f"{shown}, expected {wanted} at {at:.4f} s"
        )
        differences.expect(number != NOTHING_KNOWN or template == -1, "not grey in a pause", f"at {at:.4f} s")
    rows = [row for row in truth.presentations if row.picture >= 0 and row.template in reading.session.templates]
    wanted_at = np.array([(row.start + row.stop) / 2 for row in rows])
    if len(rows):
        at = np.searchsorted(aligned.time, wanted_at, side="right") - 1
        covered = (at >= 0) & (wanted_at < aligned.stop_time[at])
        lost = f"{int((~covered).sum())} of {len(rows)}"
        differences.expect(bool(covered.all()), "pictures on the screen that no frame shows", lost)


def _check_validity(reading: Reading, aligned: AlignedSession, differences: _Differences) -> None:
    """Frames inside the recording are valid, those outside it or in times that the file calls invalid are not."""
    truth = reading.truth
    invalid = np.zeros(len(aligned.time), dtype=bool)
    for start, stop in truth.invalid_times:
        invalid |= (aligned.time < stop - COPIED) & (aligned.stop_time > start + COPIED)
    differences.expect(not (aligned.valid & invalid).any(), "valid frames in times that the file calls invalid")
    if not len(truth.trace_times):
        return
    begin, end = truth.trace_times[0], truth.trace_times[-1]
    # Planes imaged in turn begin and end within a cycle of each other, and a timestamp may be missing.
    cycle = 2.5 * float(np.median(np.diff(truth.trace_times)))
    inside = (aligned.time > begin + cycle) & (aligned.stop_time < end - cycle)
    outside = (aligned.stop_time < begin) | (aligned.time > end)
    differences.expect(bool(aligned.valid[inside & ~invalid].all()), "frames inside the recording that are not valid")
    differences.expect(not aligned.valid[outside].any(), "valid frames outside the recording")


def _check_lateness(reading: Reading, aligned: AlignedSession, differences: _Differences) -> str:
    truth = reading.truth
    assert truth.encodes is not None
    middle = ((aligned.time + aligned.stop_time) / 2)[aligned.valid]
    values = aligned.neural[aligned.valid].astype(np.float64)
    shape = (len(middle), truth.n_cells_valid)
    differences.expect(values.shape == shape and len(middle) > 0, "aligned activity", f"{values.shape}, not {shape}")
    differences.raise_any()
    late = truth.encodes.lateness(middle, values)
    earliest = -(truth.time_uncertainty + EXACT)
    for cell in range(late.shape[1]):
        of_cell = late[:, cell]
        worst = float(of_cell[np.argmax(np.abs(of_cell))])
        differences.expect(
            bool((of_cell <= EXACT).all() and (of_cell >= earliest).all()),
            "activity of another time",
            f"cell {cell} is late by {1000 * worst:.3f} ms, allowed are {1000 * earliest:.3f} to {1000 * EXACT:.3f} ms",
        )
    if truth.time_uncertainty:
        differences.expect(_uncertainty_is_said(reading), "nothing says by how much true times may be later")
        return f"within {1000 * np.abs(late).max():.1f} ms, of which the file leaves {_ms(truth.time_uncertainty)} open"
    return f"within {_ms(float(np.abs(late).max()))}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2g} ms"


def _uncertainty_is_said(reading: Reading) -> bool:
    """Whether a finding names an uncertainty that covers the true one, and is no larger than a sampling step."""
    step = float(np.median(np.diff(reading.truth.trace_times)))
    for message in reading.said(levels=("guess", "warning")):
        for number, unit in re.findall(r"(\d+(?:\.\d+)?) (ms|s)\b", message):
            seconds = float(number) / (1000 if unit == "ms" else 1)
            if 0.99 * reading.truth.time_uncertainty <= seconds <= 1.01 * step and re.search("later|in turn", message):
                return True
    return False


def _check_counts(
    reading: Reading, aligned: AlignedSession, spikes: SpikesPerPresentation, differences: _Differences
) -> str:
    """The spikes in the frames of a row tell which row it is."""
    truth = reading.truth
    differences.expect(aligned.neural.shape[1] == spikes.n_units, "units", str(aligned.neural.shape))
    differences.raise_any()
    middle = (aligned.time + aligned.stop_time) / 2
    checked, shown = 0, 0
    for number, row in enumerate(truth.presentations):
        frames = (middle > row.start) & (middle < row.stop)
        seconds = float((aligned.stop_time - aligned.time)[frames].sum())
        if abs(seconds - (row.stop - row.start)) > COPIED:
            continue
        shown += 1
        if not aligned.valid[frames].all():
            continue
        checked += 1
        found = int(spikes.rows(aligned.neural[frames].sum(axis=0)[None])[0])
        differences.expect(found == number, "spikes of another row", f"row {number} has those of row {found}")
    differences.expect(checked > 0.75 * shown > 0, "rows whose spikes are known", f"{checked} of {shown}")
    return f"spikes of {checked} rows exact to {_ms(spikes.margin)}"


# --- report -------------------------------------------------------------------------------------------------------


def check_report(reading: Reading) -> str:
    """A store with clips is prepared, and its report tells every guess; or it is refused with the reason."""
    case, session = reading.case, reading.session
    with _differences() as differences:
        if case.not_prepared:
            message = ""
            try:
                reading.store  # noqa: B018
            except NwbMivaeError as error:
                message = str(error)
            differences.expect(bool(message), "prepared, though it should be refused")
            for words in case.not_prepared:
                differences.expect(words in message, f"the refusal does not say {words!r}", message)
            differences.raise_any()
            return f"refused: {message.partition('found ')[2].partition(';')[0]}"
        store = reading.store
        differences.expect(store.manifest["failures"] == [], "failures", str(store.manifest["failures"]))
        differences.expect(len(store.sessions) == 1, "sessions of the store", str(list(store.sessions)))
        differences.raise_any()
        (stored,) = store.sessions.values()
        guesses = [finding for finding in session.findings if finding.level == "guess"]
        for finding in guesses:
            told = any(finding.message in text for text in stored.report["guesses"])
            differences.expect(told, "a guess that is not in the report", f"{finding.object_path}: {finding.message}")
        n_clips = _clips(stored.valid, stored.segment)
        differences.expect(n_clips > 0, f"no clip of {CLIP} frames")
        differences.expect(stored.n_cells == reading.truth.n_cells_valid, "cells of the store", str(stored.n_cells))
        _check_stored_pictures(reading, store, differences)
    return f"ok: {len(guesses)} guesses told, {n_clips} clips of {CLIP} frames"


def _clips(valid: npt.NDArray[np.bool_], segment: npt.NDArray[np.int32]) -> int:
    """Rows at which a whole valid clip of one segment starts."""
    if len(valid) < CLIP:
        return 0
    valid_frames = np.convolve(valid, np.ones(CLIP), "valid") == CLIP
    return int((valid_frames & (segment[CLIP - 1 :] == segment[: 1 - CLIP])).sum())


def _check_stored_pictures(reading: Reading, store: ClipStore, differences: _Differences) -> None:
    """The frames of the store are the pictures that were on the screen, where they have a number."""
    (stored,) = store.sessions.values()
    numbers = np.array([number_in(frame) for frame in store.stimulus])
    expected = reading.truth.picture_shown((stored.time + stored.stop_time) / 2)
    wrong = (expected >= 0) & (numbers[stored.stimulus_row] != expected)
    differences.expect(not wrong.any(), "frames of the store with another picture", f"{int(wrong.sum())}")


Check = Callable[[Reading], str]

#: The columns of the table, in order.
CHECKS: Mapping[str, Check] = {
    "reads": check_reads,
    "traces": check_traces,
    "coordinates": check_coordinates,
    "frame table": check_frame_table,
    "frames": check_frames,
    "alignment": check_alignment,
    "report": check_report,
}


def checks_of(case: Case) -> tuple[str, ...]:
    """The checks that a case can pass or fail: of files that are refused by design, only whether they are."""
    return ("reads",) if case.refused else tuple(CHECKS)


def summary(case: Case, folder: Path) -> dict[str, str]:
    """What every check says of a case; ``"WRONG: ..."`` where it differs from the truth."""
    told = {}
    with warnings.catch_warnings(), Reading(case, folder) as reading:
        warnings.simplefilter("ignore")
        for name in checks_of(case):
            try:
                told[name] = CHECKS[name](reading)
            except AssertionError as difference:
                told[name] = f"WRONG: {difference}"
            except NwbMivaeError as error:
                told[name] = f"WRONG: {error}"
    return {name: told.get(name, "refused") for name in CHECKS}
