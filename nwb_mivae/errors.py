"""The exception family of nwb_mivae: every refusal says where, what was found, what was expected and what to do.

A user of the package needs to catch one class, :class:`NwbMivaeError`. Each subclass names a part of the work that
failed, so that a script over hundreds of sessions can tell a bad file from a bad configuration.
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

__all__ = [
    "AlignmentError",
    "AnnotationError",
    "ArchiveError",
    "AttributionError",
    "ConfigurationError",
    "EvaluationError",
    "ModelError",
    "NwbMivaeError",
    "OutputError",
    "SessionError",
    "SimulationError",
    "StoreError",
    "TrainingError",
]


class NwbMivaeError(Exception):
    """Something this package refuses to do, in five parts.

    Parameters
    ----------
    found : str
        What was found, in a sentence without a final period.
    expected : str, optional
        What would have been accepted.
    remedy : str, optional
        What the reader can do about it.
    file : path-like, optional
        The file (or folder, or address) it happened in.
    object_path : str, optional
        The object inside the file: an HDF5 path, a column, a configuration key.

    Examples
    --------
    >>> print(SessionError("3 rows", expected="about 6000", remedy="use the v1 file", file="a.nwb",
    ...                    object_path="stimulus/static_gratings"))
    a.nwb, stimulus/static_gratings: found 3 rows; expected about 6000. Use the v1 file.
    """

    def __init__(
        self,
        found: str,
        *,
        expected: str | None = None,
        remedy: str | None = None,
        file: str | PathLike[str] | None = None,
        object_path: str | None = None,
    ) -> None:
        self.found = found
        self.expected = expected
        self.remedy = remedy
        self.file = None if file is None else fspath(file)
        self.object_path = object_path
        super().__init__(self._sentence())

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the five parts, so that an error crosses the border of a worker process unchanged."""
        return (_rebuild, (type(self), self.found, self.expected, self.remedy, self.file, self.object_path))

    def _sentence(self) -> str:
        where = ", ".join(part for part in (self.file, self.object_path) if part)
        text = f"{where}: found {self.found}" if where else f"Found {self.found}"
        if self.expected:
            text += f"; expected {self.expected}"
        text = text.rstrip(".") + "."
        if self.remedy:
            text += f" {self.remedy[0].upper()}{self.remedy[1:].rstrip('.')}."
        return text

    def as_dict(self) -> dict[str, Any]:
        """The five parts and the class name, for ``--json`` output."""
        return {
            "error": type(self).__name__,
            "file": self.file,
            "object": self.object_path,
            "found": self.found,
            "expected": self.expected,
            "remedy": self.remedy,
        }


def _rebuild(
    kind: type[NwbMivaeError],
    found: str,
    expected: str | None,
    remedy: str | None,
    file: str | None,
    object_path: str | None,
) -> NwbMivaeError:
    return kind(found, expected=expected, remedy=remedy, file=file, object_path=object_path)


class ConfigurationError(NwbMivaeError):
    """A configuration key is unknown, or its value impossible."""


class OutputError(NwbMivaeError):
    """An output could not be written whole, or would overwrite something."""


class ArchiveError(NwbMivaeError):
    """The DANDI archive could not be reached, or answered something other than what was asked for."""


class SessionError(NwbMivaeError):
    """A file could not be read as a recording session."""


class AlignmentError(NwbMivaeError):
    """Neural activity and stimulus could not be put on one clock."""


class StoreError(NwbMivaeError):
    """A clip store is missing, incomplete, damaged, or cannot give the clips that were asked for."""


class ModelError(NwbMivaeError):
    """Weights, configuration and data do not fit each other."""


class TrainingError(NwbMivaeError):
    """Training cannot start, go on or resume."""


class EvaluationError(NwbMivaeError):
    """There is nothing to evaluate, or the result would have no meaning."""


class AttributionError(NwbMivaeError):
    """Latents could not be traced back to their sources."""


class AnnotationError(NwbMivaeError):
    """Results could not be written into NWB, or do not belong to the file they were meant for."""


class SimulationError(NwbMivaeError):
    """The simulated animals that were asked for cannot be made."""
