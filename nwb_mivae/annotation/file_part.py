"""Which file of its session is annotated, and what of the results lies in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.sessions.grouping import source_name

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession

__all__ = ["FilePart", "part_of_session"]


class FilePart(NamedTuple):
    """One file of a session.

    Attributes
    ----------
    number : int
        Its place among the session's files, ``StoredSession.source["files"]``.
    n_files : int
        How many the session was read from.
    digest : str
        SHA-256 of its bytes.
    cells : ndarray of int64, (n,)
        Which of the session's cells have their ROI or unit in it.
    object_id : str
        Object id of its NWBFile; empty where unknown.
    """

    number: int
    n_files: int
    digest: str
    cells: npt.NDArray[np.int64]
    object_id: str = ""


def part_of_session(source: Path, stored: StoredSession) -> FilePart:
    """Find ``source`` among the files of the session.

    It is found by its bytes. Of a file whose digest the store does not know (a URL's, or an asset's whose archive has
    none yet) the ``object_id`` decides, and the name where there is none either.

    Raises
    ------
    AnnotationError
        If it is none of them: it changed since it was prepared, or is another file.
    """
    files = stored.source["files"]
    digest = sha256_of_file(source)
    fits = [number for number, file in enumerate(files) if file["sha256"] == digest]
    if not fits:
        object_id = _object_id(source)
        for number, file in enumerate(files):
            if file["sha256"]:
                continue
            if object_id and file["object_id"]:
                fits += [number] if object_id == file["object_id"] else []
            elif len(files) == 1 or source_name(file["path"]) == source.name:
                fits.append(number)
    if len(fits) != 1:
        raise AnnotationError(
            f"bytes with SHA-256 {digest}: the file changed since the session was prepared, or is another one",
            expected=" or ".join(_told_by(file) for file in files),
            remedy="prepare the session again, or name the file it was prepared from",
            file=source,
        )
    (number,) = fits
    cells = np.flatnonzero(stored.cells["source_file"].to_numpy(dtype=object) == files[number]["path"])
    return FilePart(number, len(files), digest, cells, _object_id(source))


def _told_by(file: Mapping[str, Any]) -> str:
    if file["sha256"]:
        return str(file["sha256"])
    name = source_name(file["path"])
    return f"{name} with object_id {file['object_id']}" if file["object_id"] else name


def _object_id(source: Path) -> str:
    """That of the file itself, or nothing where it cannot be read; whoever opens it says why."""
    import h5py

    from nwb_mivae.sessions.nwb import as_text

    try:
        with h5py.File(source, "r") as root:
            return as_text(root.attrs.get("object_id"))
    except OSError:
        return ""
