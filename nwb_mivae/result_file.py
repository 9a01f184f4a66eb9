"""Files of a session's results: arrays, and beside them a header of plain values; nothing in them is ever executed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

from nwb_mivae.errors import NwbMivaeError
from nwb_mivae.outputs import whole_file

__all__ = ["read_result", "write_result"]

Result = TypeVar("Result")


def write_result(path: str | PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write one ``.npz`` file, whole or not at all."""
    text = json.dumps(header, allow_nan=False)
    with whole_file(path) as beside, open(beside, "wb") as stream:
        np.savez(stream, header=np.array(text), **arrays)


def read_result(
    path: str | PathLike[str],
    make: Callable[[dict[str, Any], Mapping[str, Any]], Result],
    *,
    what: str,
    written_by: str,
    error: type[NwbMivaeError],
) -> Result:
    """Make a result of the header and the arrays of a file that :func:`write_result` wrote.

    Parameters
    ----------
    path : path-like
    make : callable
        ``make(header, arrays)``.
    what : str
        What the file should hold, for the message: ``"attribution"``.
    written_by : str
        Name of the class whose ``save`` writes such files.
    error : type
        Of the error raised.

    Raises
    ------
    NwbMivaeError
        The ``error``, if the file is missing or damaged, or does not hold what ``make`` needs.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as arrays:
            return make(json.loads(str(arrays["header"])), arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as problem:
        raise error(
            f"a file that holds no {what} ({problem})",
            expected=f"an .npz file written by {written_by}.save",
            remedy=f"compute the {what} again",
            file=path,
        ) from problem
