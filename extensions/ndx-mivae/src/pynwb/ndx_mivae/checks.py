"""What constructors check: shapes, references and values, each refusal saying what was found and what would do.

A constructor also runs when a file is read. A file that breaks a rule must still open, so the checks then warn (or say
nothing), and values of datasets on disk are never loaded for a check.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
from hdmf.common import DynamicTable, DynamicTableRegion
from hdmf.data_utils import DataIO
from hdmf.utils import get_data_shape
from pynwb.misc import Units

__all__ = [
    "SPACES",
    "bool_problem",
    "choice_problem",
    "increasing_problem",
    "integer_problem",
    "json_problem",
    "length_problem",
    "number_problem",
    "range_problem",
    "region_problems",
    "report",
    "sha256_problem",
    "shape_of",
    "shapes_differ",
    "space_problem",
    "table_problem",
    "time_problem",
    "values_in_memory",
]

#: The four latent spaces of miVAE: whose posterior, and shared between modalities or private to one.
SPACES = ("neural_shared", "neural_private", "stimulus_shared", "stimulus_private")


def report(container: Any, problems: Iterable[str | None]) -> None:
    """Refuse a new object for its first problem; of an object that is read from a file, warn of each."""
    for problem in problems:
        if problem is None:
            continue
        # As pynwb's _error_on_new_warn_on_construct does, which tables lack in older versions of hdmf.
        if not container._in_construct_mode:
            raise ValueError(problem)
        warnings.warn(problem, stacklevel=2)


def shape_of(data: Any) -> tuple[int | None, ...] | None:
    """Shape of an array, list, dataset or ``H5DataIO``; ``None`` where it cannot be known without loading."""
    return get_data_shape(data, strict_no_data_load=True)


def shapes_differ(shape: tuple[int | None, ...] | None, other: tuple[int | None, ...] | None) -> bool:
    """Whether two shapes cannot be the same; what is ``None`` is not known before data are written, and fits any."""
    if shape is None or other is None:
        return False
    pairs = zip(shape, other, strict=False)
    return len(shape) != len(other) or any(None not in pair and pair[0] != pair[1] for pair in pairs)


def values_in_memory(data: Any) -> np.ndarray | None:
    """The values of ``data`` if they are in memory already, else ``None``."""
    if isinstance(data, DataIO):
        data = data.data
    return np.asarray(data) if isinstance(data, np.ndarray | list | tuple) else None


def choice_problem(name: str, attribute: str, value: str, choices: Iterable[str]) -> str | None:
    """What is wrong with a text that must be one of a few, if anything."""
    choices = tuple(choices)
    if value in choices:
        return None
    return f"'{name}': {attribute} is {value!r}, but must be one of {', '.join(choices)}"


def space_problem(name: str, attribute: str, space: str) -> str | None:
    """What is wrong with the name of a latent space, if anything."""
    return choice_problem(name, attribute, space, SPACES)


def sha256_problem(name: str, attribute: str, digest: str) -> str | None:
    """What is wrong with a SHA-256 digest, if anything."""
    if re.fullmatch(r"[0-9a-f]{64}", digest):
        return None
    return f"'{name}': {attribute} is {digest!r}, but must be 64 lower-case hexadecimal digits"


def json_problem(name: str, attribute: str, text: str) -> str | None:
    """What is wrong with a JSON text, if anything."""
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except ValueError as problem:
        return f"'{name}': {attribute} is not JSON ({problem})"
    return None


def _refuse_constant(text: str) -> None:
    # Python reads and writes NaN and Infinity, which JSON does not have and other languages refuse.
    raise ValueError(f"{text} is no JSON value; use null")


def time_problem(name: str, attribute: str, text: str) -> str | None:
    """What is wrong with a date and time, if anything."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is not None and time.tzinfo is not None:
        return None
    return (
        f"'{name}': {attribute} is {text!r}, but must be a date and time with offset from UTC as in ISO 8601, for "
        "example 2025-01-31T12:00:00+00:00"
    )


def length_problem(name: str, what: str, data: Any, of: str, expected: int | None) -> str | None:
    """What is wrong with the length of ``data``, which must be as long as ``of``, if anything."""
    shape = shape_of(data)
    if shape is None or expected is None or shape[0] is None or shape[0] == expected:
        return None
    return f"'{name}': {what} has length {shape[0]}, but {of} has {expected}"


def increasing_problem(name: str, attribute: str, data: Any) -> str | None:
    """What is wrong with times that must increase, if anything."""
    values = values_in_memory(data)
    if values is None:
        return None
    if values.dtype.kind not in "iuf":
        return f"'{name}': {attribute} are of type {values.dtype}, but must be numbers"
    if not np.all(np.isfinite(values)):
        return f"'{name}': {attribute} are not all finite"
    values = values.astype(np.float64)  # differences of unsigned integers are never negative
    return f"'{name}': {attribute} do not increase" if np.any(np.diff(values) <= 0) else None


def integer_problem(name: str, attribute: str, data: Any) -> str | None:
    """What is wrong with numbers that count or number something, if anything: a mask or a fraction is neither."""
    return _kind_problem(name, attribute, data, "iu", "integers")


def bool_problem(name: str, attribute: str, data: Any) -> str | None:
    """What is wrong with values that must be true or false, if anything: the text 'False' would be true."""
    return _kind_problem(name, attribute, data, "b", "booleans")


def _kind_problem(name: str, attribute: str, data: Any, kinds: str, expected: str) -> str | None:
    values = values_in_memory(data)
    if values is not None and not values.size:
        return None
    dtype = getattr(data, "dtype", None) if values is None else values.dtype
    if not isinstance(dtype, np.dtype) or dtype.kind in kinds:
        return None
    return f"'{name}': {attribute} is of type {dtype}, but must be {expected}"


def number_problem(name: str, attribute: str, data: Any) -> str | None:
    """What is wrong with an array of numbers, if anything; NaN, which says that there is no value, is not wrong."""
    values = values_in_memory(data)
    dtype = getattr(data, "dtype", None) if values is None else values.dtype
    if isinstance(dtype, np.dtype) and not (dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (4, 8))):
        return f"'{name}': {attribute} is of type {dtype}, but must be integers or floats of 32 or 64 bits"
    if values is None or values.dtype.kind != "f":
        return None
    infinite = int(np.count_nonzero(np.isinf(values)))
    return f"'{name}': {attribute} has {infinite} infinite values; use NaN where there is none" if infinite else None


def range_problem(name: str, attribute: str, data: Any, lowest: float, highest: float) -> str | None:
    """What is wrong with values that must lie in a range, if anything; NaN says that there is no value."""
    values = values_in_memory(data)
    if values is None or not values.size or values.dtype.kind not in "iuf":
        return None
    outside = values[(values < lowest) | (values > highest)]
    if not outside.size:
        return None
    expected = f"at least {lowest:g}" if np.isinf(highest) else f"from {lowest:g} to {highest:g}"
    return f"'{name}': {attribute} has {outside.size} values such as {outside[0]:g}, but all must be {expected}"


def table_problem(name: str, attribute: str, table: DynamicTable, kinds: tuple[type, ...]) -> str | None:
    """What is wrong with the type of a table that a region refers to, if anything."""
    if isinstance(table, kinds):
        return None
    # A file without spike times cannot have Units (the NWB Inspector calls them critical): a plain table has the rows.
    if Units in kinds and type(table) is DynamicTable:
        return None
    expected = " or ".join(kind.__name__ for kind in kinds)
    return f"'{name}': {attribute} refers to a {type(table).__name__}, but must refer to {expected}"


def region_problems(
    name: str, attribute: str, region: DynamicTableRegion, kinds: tuple[type, ...] = (DynamicTable,)
) -> list[str | None]:
    """What is wrong with a region: no table, a table of another kind, no row numbers, or rows the table has not."""
    table = region.table
    if table is None:
        return [f"'{name}': {attribute} refers to no table; give the DynamicTableRegion its table"]
    not_integers = integer_problem(name, attribute, region.data)
    problems = [table_problem(name, attribute, table, kinds), not_integers]
    rows = values_in_memory(region.data)
    if not_integers is None and rows is not None and rows.size and (rows.min() < 0 or rows.max() >= len(table)):
        problems.append(
            f"'{name}': {attribute} has rows {rows.min()} to {rows.max()}, but '{table.name}' has {len(table)} rows"
        )
    return problems
