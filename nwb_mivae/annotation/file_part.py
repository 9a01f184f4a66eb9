"""Which file of its session is annotated, and what of the results lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
    """

    number: int
    n_files: int
    digest: str
    cells: npt.NDArray[np.int64]


def part_of_session(source: Path, stored: StoredSession) -> FilePart:
    """Find ``source`` among the files of the session, by its bytes, or by name where the store knows no digest.

    Raises
    ------
    AnnotationError
        If it is none of them: it changed since it was prepared, or is another file.
    """
    files = stored.source["files"]
    digest = sha256_of_file(source)
    fits = [number for number, file in enumerate(files) if file["sha256"] == digest]
    if not fits:
        unknown = [number for number, file in enumerate(files) if not file["sha256"]]
        fits = [number for number in unknown if len(files) == 1 or source_name(files[number]["path"]) == source.name]
    if len(fits) != 1:
        raise AnnotationError(
            f"bytes with SHA-256 {digest}: the file changed since the session was prepared, or is another one",
            expected=" or ".join(str(file["sha256"] or source_name(file["path"])) for file in files),
            remedy="prepare the session again, or name the file it was prepared from",
            file=source,
        )
    (number,) = fits
    cells = np.flatnonzero(stored.cells["source_file"].to_numpy(dtype=object) == files[number]["path"])
    return FilePart(number, len(files), digest, cells)
