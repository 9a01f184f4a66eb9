"""What a file says of a grating, a patch or a flash, under standard names and in standard units.

================== =================== ==========================================================================
name               unit                meaning
================== =================== ==========================================================================
orientation        degrees, 0 to 360   0 is a vertical grating, positive turns clockwise (PsychoPy ``ori``); a moving
                                       one drifts to the right at 0, downwards at 90
spatial_frequency  cycles per degree
temporal_frequency Hz                  0 stands still
phase              cycles, 0 to 1      at 0 the middle of the stimulus is brightest
contrast           0 to 1              amplitude as a share of the mean luminance (Michelson)
x_position         degrees             to the right of the screen's centre
y_position         degrees             above the screen's centre
size               degrees             width of the stimulus, or width and height
colour             -1 to 1             -1 black, 0 the grey screen, 1 white
mask               text                ``"circle"``, ``"gauss"``
================== =================== ==========================================================================

Several patches at one time have lists of equal length as positions; their other values are then lists of that length,
or hold for all of them. Where positions are not known the lists stay, and nothing is drawn from them. How long
something was shown is in the table's times and no part of what was shown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.conventions import Conventions, ParameterKind

__all__ = ["ParameterValue", "Parameters", "parameters_from_text", "parameters_text", "standard_parameters"]

ParameterValue = float | str | list[float]
Parameters = dict[str, ParameterValue]
#: Receives what was guessed or left out: level, column, sentence.
Note = Callable[[Literal["guess", "warning"], str, str], None]

#: Text that stands for no value.
_NOTHING = ("", "null", "n/a", "nan", "none", "[]")
_TEXT_KINDS = ("mask", "units")
#: Kinds that may be a list: one value for each of several patches.
_PATCH_KINDS = ("x_position", "y_position", "size", "orientation", "colour", "phase", "spatial_frequency", "contrast")
#: Kinds that PsychoPy keeps for both axes of a texture, of which a grating has the first.
_AXIS_KINDS = ("phase", "spatial_frequency")
#: Values that agree in so many decimals are equal.
_DECIMALS = 6


def standard_parameters(
    columns: Mapping[str, npt.NDArray[Any]], n_rows: int, conventions: Conventions, *, note: Note | None = None
) -> list[Parameters]:
    """The parameters of each row of a stimulus table.

    Parameters
    ----------
    columns : mapping of str to ndarray, (n_rows, ...)
        Columns by their own names, others than those of ``conventions.parameter_names`` ignored. Numbers, numbers as
        text (``"0.08"``, ``"[0.08, 0.08]"``, ``"[[-12.5, 3.0], [40.0, -8.0]]"``), booleans, or one list a row for
        ragged columns. NaN, empty text, ``"null"`` and ``"N/A"`` are no value.
    n_rows : int
        Rows of the table.
    conventions : Conventions
        Where column names are translated.
    note : callable, optional
        ``note(level, column, sentence)`` is told what was guessed or left out, once per column.

    Returns
    -------
    list of dict
        One per row, with the names and units of this module; a name without a value is not there.
    """
    rows: list[Parameters] = [{} for _ in range(n_rows)]
    lengths: list[str] = [""] * n_rows
    column_of: dict[str, str] = {}
    for entry in conventions.parameter_names:
        if entry.column not in columns:
            continue
        column_of.setdefault(entry.name, entry.column)
        parsed, unread = _parsed(columns[entry.column], is_text=entry.name in _TEXT_KINDS, of_pair=entry.of_pair)
        if unread and note is not None:
            note("warning", entry.column, f"{unread!r} is no number; such rows have no {entry.name}")
        if entry.name == "units":
            lengths = [unit.lower() if isinstance(unit, str) else "" for unit in parsed]
            continue
        values = _in_standard_range(entry.name, entry.factor, parsed, entry.column, note)
        for row, value in zip(rows, values, strict=True):
            if value is not None:
                row.setdefault(entry.name, value)
    _keep_patches_together(rows, column_of, note)
    _leave_out_pixels(rows, lengths, note)
    return rows


def parameters_text(parameters: Mapping[str, ParameterValue]) -> str:
    """Parameters as one line of JSON, sorted by name and rounded, so that equal conditions have equal text.

    No parameters at all are an empty text.
    """
    if not parameters:
        return ""
    return json.dumps({name: _rounded(value) for name, value in parameters.items()}, sort_keys=True, allow_nan=False)


def parameters_from_text(text: str) -> Parameters:
    """What :func:`parameters_text` made its text of, rounded."""
    parameters: Parameters = json.loads(text) if text else {}
    return parameters


def _parsed(column: npt.NDArray[Any], *, is_text: bool, of_pair: int | None) -> tuple[list[ParameterValue | None], str]:
    """Each row's value, and an example of text that should have been a number."""
    known: dict[str, ParameterValue | None] = {}
    values: list[ParameterValue | None] = []
    unread = ""
    for stored in column.tolist() if isinstance(column, np.ndarray) else list(column):
        raw = stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored
        if not isinstance(raw, str):
            values.append(None if is_text else _number(raw, of_pair))
            continue
        if raw not in known:
            known[raw] = _from_text(raw, is_text=is_text, of_pair=of_pair)
            if known[raw] is None and raw.strip().lower() not in _NOTHING:
                unread = raw
        values.append(known[raw])
    return values, unread


def _number(raw: Any, of_pair: int | None) -> float | list[float] | None:
    """A number, a list of them, or of a list of pairs the first or the second numbers; None for anything else."""
    if raw is None:
        return None
    try:
        numbers = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):  # lists of different lengths, or of something else
        return None
    if of_pair is not None:
        if numbers.ndim not in (1, 2) or numbers.shape[-1] != 2:
            return None
        numbers = numbers[..., of_pair]
    elif numbers.ndim == 2 and numbers.shape[1] == 2 and (numbers[:, 0] == numbers[:, 1]).all():
        numbers = numbers[:, 0]  # width and height of each patch
    if numbers.ndim > 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        return None
    value: float | list[float] = numbers.tolist()
    return value


def _from_text(raw: str, *, is_text: bool, of_pair: int | None) -> ParameterValue | None:
    plain = raw.strip()
    if plain.lower() in _NOTHING:
        return None
    if is_text:
        return plain.lower()
    return _number(_nested_numbers(plain), of_pair)


def _nested_numbers(text: str) -> Any:
    """Numbers and lists of them as Python or NumPy write them; None where there is anything else, such as ``...``."""
    lists: list[list[Any]] = [[]]
    for token in re.findall(r"[\[\]()]|[^\[\](),\s]+", text):
        if token in "[(":
            lists.append([])
        elif token in "])":
            if len(lists) == 1:
                return None
            complete = lists.pop()
            lists[-1].append(complete)
        else:
            try:
                lists[-1].append(float(token))
            except ValueError:
                return None
    if len(lists) > 1:
        return None
    return lists[0][0] if len(lists[0]) == 1 else lists[0]


def _in_standard_range(
    kind: ParameterKind, factor: float, values: list[ParameterValue | None], column: str, note: Note | None
) -> list[ParameterValue | None]:
    """Values in standard units; what is beyond their range is brought into it or left out, and that is said."""
    if kind == "contrast":
        greatest = max((max(_listed(value)) for value in values if value is not None), default=0.0)
        if 1.0 < greatest <= 100.0:
            factor /= 100.0
            _say(note, "guess", column, f"contrasts up to {greatest:g} were taken as percent")
    scaled = [_each(value, lambda number: number * factor) for value in values]
    if kind == "orientation":
        return [_each(value, lambda number: number % 360.0) for value in scaled]
    if kind == "phase":
        if any(abs(number) > 1.0 for value in scaled if value is not None for number in _listed(value)):
            _say(
                note,
                "guess",
                column,
                "phases beyond one cycle are what the display program had counted up to, not where a stimulus began; "
                "their whole cycles were taken off, and the phase at which a moving one began is not known",
            )
        return [_each(value, _of_one_cycle) for value in scaled]
    limits = {
        "contrast": (0.0, 1.0),
        "colour": (-1.0, 1.0),
        "spatial_frequency": (0.0, math.inf),
        "size": (0.0, math.inf),
    }
    low, high = limits.get(kind, (-math.inf, math.inf))
    beyond = [value is not None and not all(low <= number <= high for number in _listed(value)) for value in scaled]
    if any(beyond):
        _say(note, "warning", column, f"{sum(beyond)} rows beyond {low:g} to {high:g} have no {kind}")
    return [None if is_beyond else value for value, is_beyond in zip(scaled, beyond, strict=True)]


def _keep_patches_together(rows: list[Parameters], column_of: Mapping[str, str], note: Note | None) -> None:
    """Lists mean patches only beside positions in lists; else they are the two axes or three colours of one."""
    unequal: dict[str, int] = {}
    for row in rows:
        across = row.get("x_position")
        n_patches = len(across) if isinstance(across, list) else 0
        for kind in _PATCH_KINDS:
            value = row.get(kind)
            if not isinstance(value, list) or (n_patches > 1 and len(value) == n_patches):
                continue
            if kind == "size" and len(value) == 2 and value[0] != value[1]:
                continue
            if kind == "colour":
                row[kind] = math.fsum(value) / len(value)
            elif len(set(value)) == 1 or (kind in _AXIS_KINDS and len(value) == 2 and n_patches < 2):
                row[kind] = value[0]
            elif n_patches > 1:
                del row[kind]
                unequal[kind] = unequal.get(kind, 0) + 1
    for kind, count in unequal.items():
        _say(note, "warning", column_of[kind], f"{count} rows have more or fewer values than patches, left out")


def _leave_out_pixels(rows: list[Parameters], lengths: list[str], note: Note | None) -> None:
    """Sizes and positions in pixels of an unknown screen cannot be brought to degrees; where they matter, that is said.

    They do not for movies and images, whose tables have the same columns.
    """
    count = 0
    for row, unit in zip(rows, lengths, strict=True):
        if unit and not unit.startswith("deg"):
            drawn = "spatial_frequency" in row or "x_position" in row
            left_out = [row.pop(kind) for kind in ("size", "x_position", "y_position") if kind in row]
            count += drawn and bool(left_out)
    if count:
        _say(note, "warning", "units", f"{count} rows have sizes and positions in other units than degrees, left out")


def _say(note: Note | None, level: Literal["guess", "warning"], column: str, sentence: str) -> None:
    if note is not None:
        note(level, column, sentence)


def _of_one_cycle(phase: float) -> float:
    return round(phase % 1.0, _DECIMALS) % 1.0


def _listed(value: ParameterValue) -> list[float]:
    if isinstance(value, str):
        return []
    return value if isinstance(value, list) else [value]


def _each(value: ParameterValue | None, change: Callable[[float], float]) -> ParameterValue | None:
    if value is None or isinstance(value, str):
        return value
    return [change(number) for number in value] if isinstance(value, list) else change(value)


def _rounded(value: ParameterValue) -> ParameterValue:
    # Adding zero makes of minus zero a zero, and of a whole number a float.
    rounded = _each(value, lambda number: round(float(number), _DECIMALS) + 0.0)
    assert rounded is not None
    return rounded
