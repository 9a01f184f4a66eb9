"""What constructors check: shapes, spaces and values, each refusal saying what was found and what would do.

A constructor also runs when a file is read. A file that breaks a rule must still open, so the checks then warn (or say
nothing), and values of datasets on disk are never loaded for a check.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from hdmf.data_utils import DataIO
from hdmf.utils import get_data_shape

__all__ = ["SPACES", "json_problem", "sha256_problem", "shape_of", "space_problem", "values_in_memory"]

#: The four latent spaces of miVAE: whose posterior, and shared between modalities or private to one.
SPACES = ("neural_shared", "neural_private", "stimulus_shared", "stimulus_private")


def shape_of(data: Any) -> tuple[int | None, ...] | None:
    """Shape of an array, list, dataset or ``H5DataIO``; ``None`` where it cannot be known without loading."""
    return get_data_shape(data, strict_no_data_load=True)


def values_in_memory(data: Any) -> np.ndarray | None:
    """The values of ``data`` if they are in memory already, else ``None``."""
    if isinstance(data, DataIO):
        data = data.data
    return np.asarray(data) if isinstance(data, np.ndarray | list | tuple) else None


def space_problem(name: str, attribute: str, space: str) -> str | None:
    """What is wrong with the name of a latent space, if anything."""
    if space in SPACES:
        return None
    return f"'{name}': {attribute} is {space!r}, but must be one of {', '.join(SPACES)}"


def sha256_problem(name: str, attribute: str, digest: str) -> str | None:
    """What is wrong with a SHA-256 digest, if anything."""
    if re.fullmatch(r"[0-9a-f]{64}", digest):
        return None
    return f"'{name}': {attribute} is {digest!r}, but must be 64 lower-case hexadecimal digits"


def json_problem(name: str, attribute: str, text: str) -> str | None:
    """What is wrong with a JSON text, if anything."""
    try:
        json.loads(text)
    except ValueError as problem:
        return f"'{name}': {attribute} is not JSON ({problem})"
    return None
