"""Versions of the extension's schema: that of a file, the one known here, and what a newer one means for reading."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from nwb_mivae.archive import is_remote
from nwb_mivae.errors import AnnotationError, SessionError

if TYPE_CHECKING:
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = [
    "KNOWN_SCHEMA",
    "cached_versions",
    "explain_newer_schema",
    "newer_schema",
    "newest",
    "refuse_other_meaning",
    "warn_of_newer_schema",
]

#: Version of ``ndx-mivae`` that annotations are written with and read by.
KNOWN_SCHEMA = "0.2.0"

_NAMESPACE = "specifications/ndx-mivae"


def newer_schema(opened: OpenedFile) -> str | None:
    """The version of the schema in a file, where it is newer than the one known here."""
    return newest(opened.io._file.get(_NAMESPACE, {}))


def warn_of_newer_schema(version: str, location: str) -> None:
    """Say that a newer version wrote an annotation, and that it could be read all the same."""
    warnings.warn(
        f"{location}: annotated with version {version} of the ndx-mivae schema, newer than {KNOWN_SCHEMA}, which this "
        "version of nwb_mivae knows; all that it knows of was read. Update nwb_mivae to read the rest.",
        stacklevel=3,
    )


def refuse_other_meaning(version: str, location: str) -> None:
    """Refuse a version whose first part is later: fields may have changed their meaning and look as they did.

    Raises
    ------
    AnnotationError
        If it is such a version.
    """
    if _numbers(version)[:1] > _numbers(KNOWN_SCHEMA)[:1]:
        raise AnnotationError(
            f"version {version} of the ndx-mivae schema, whose fields need not mean what they did in {KNOWN_SCHEMA}",
            expected=f"a version with the same first part as {KNOWN_SCHEMA}",
            remedy="update nwb_mivae and ndx-mivae, or read the file with pynwb in a program that does not import "
            "ndx_mivae",
            file=location,
            object_path=_NAMESPACE,
        )


@contextmanager
def explain_newer_schema(path: str | PathLike[str]) -> Iterator[None]:
    """Where a file cannot be opened, tell whether that is because its schema is too new.

    Raises
    ------
    AnnotationError
        In place of the ``SessionError``, if so.
    """
    try:
        yield
    except SessionError as problem:
        version = None if is_remote(fspath(path)) else newest(cached_versions(path))
        if version is None:
            raise
        raise AnnotationError(
            f"version {version} of the ndx-mivae schema, with something that version {KNOWN_SCHEMA} does not have "
            f"({problem.found})",
            expected=f"an annotation of version {KNOWN_SCHEMA} or older",
            remedy="update nwb_mivae and ndx-mivae",
            file=path,
            object_path=problem.object_path,
        ) from problem


def cached_versions(source: str | PathLike[str]) -> list[str]:
    """Versions of the extension's schema in a local file or Zarr folder; none where it cannot be opened."""
    import h5py

    path = Path(source)
    if path.is_dir():
        folder = path / _NAMESPACE
        return [each.name for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
    try:
        with h5py.File(path, "r") as root:
            return list(root.get(_NAMESPACE, {}))
    except OSError:  # whoever opens it as NWB says why
        return []


def newest(versions: Iterable[str], *, than: str = KNOWN_SCHEMA) -> str | None:
    """The newest version, if it is newer than one."""
    found = max(versions, key=_numbers, default=than)
    return found if _numbers(found) > _numbers(than) else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
