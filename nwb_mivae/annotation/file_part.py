"""Which file of its session is annotated, and what of the results lies in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.annotation.changed_tables import presentations_told_elsewhere, refuse_changed_tables
from nwb_mivae.annotation.names import annotations_in
from nwb_mivae.archive import is_address, parse_address
from nwb_mivae.errors import AnnotationError
from nwb_mivae.sessions.grouping import source_name
from nwb_mivae.sessions.nwb import as_text

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.sessions.nwb import OpenedFile

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
        SHA-256 of the bytes the session was prepared from, which an annotated file's own are not; empty where unknown.
    cells : ndarray of int64, (n,)
        Which of the session's cells have their ROI or unit in it.
    object_id : str
        Object id of the NWBFile the session was prepared from; empty where unknown.
    told_elsewhere : frozenset of str
        Paths of the presentation tables that another file of the session has told of: not in this file, or with other
        start times.
    """

    number: int
    n_files: int
    digest: str
    cells: npt.NDArray[np.int64]
    object_id: str = ""
    told_elsewhere: frozenset[str] = frozenset()


def part_of_session(opened: OpenedFile, stored: StoredSession, *, digest: str) -> FilePart:
    """Find an open source among the files of the session.

    It is found by its bytes, or by the asset it is. Else it may be a file that results were added to before: the
    annotation inside says which file that was. Of a file whose bytes cannot be compared (a server's, a Zarr folder, or
    one whose digest the store does not know) the ``object_id`` decides, and the name where there is none either. Of all
    that are not the same bytes the tables of cells and presentations are compared with what the store knows.

    Parameters
    ----------
    opened : OpenedFile
        The source.
    stored : StoredSession
        The session in the clip store.
    digest : str
        SHA-256 of the source's bytes; empty where there is none to be had.

    Raises
    ------
    AnnotationError
        If it is none of them: it changed since it was prepared, or is another file; or if a table was changed.
    """
    files: list[Mapping[str, Any]] = list(stored.source["files"])
    if not digest and opened.asset is not None:
        digest = opened.asset.digests.get("dandi:sha2-256", "")
    object_id = as_text(opened.nwbfile.object_id)
    origins = list(_origins(opened.nwbfile))
    same = [number for number, file in enumerate(files) if _has_these_bytes(file, digest, opened)]
    if len(same) == 1:
        (number,) = same
        return _part(opened, stored, number, files[number]["sha256"] or digest, object_id)
    fits = [] if same else [number for number, file in enumerate(files) if _came_from(file, origins)]
    derived = bool(fits)
    if not same and not derived and not origins:
        fits = [number for number, file in enumerate(files) if _may_be(file, digest, object_id, opened, len(files))]
    if len(fits) != 1:
        # The same file with other contents: what of it changed is more than that it did.
        for number, file in enumerate(files):
            if object_id and object_id == file["object_id"]:
                refuse_changed_tables(opened, stored, _cells(stored, number))
        raise AnnotationError(
            f"{_says(digest, object_id)}: the file changed since the session was prepared, or is another one",
            expected=" or ".join(_told_by(file) for file in files),
            remedy="prepare the session again, or name the file it was prepared from",
            file=opened.location,
        )
    (number,) = fits
    file = files[number]
    if derived:
        known = next(origin for origin in origins if _came_from(file, [origin]))
        part = _part(opened, stored, number, file["sha256"] or known.sha256, known.object_id or file["object_id"] or "")
    else:
        part = _part(opened, stored, number, file["sha256"] or digest, object_id)
    refuse_changed_tables(opened, stored, part.cells)
    return part


class _Origin(NamedTuple):
    """What an annotation says of the file it was added to."""

    sha256: str
    object_id: str


def _origins(nwbfile: Any) -> Iterator[_Origin]:
    # Each annotation names the original and not the copy it was added to, so that no chain has to be followed.
    for annotation in annotations_in(nwbfile).values():
        yield _Origin(as_text(annotation.source_sha256), as_text(annotation.source_object_id))


def _has_these_bytes(file: Mapping[str, Any], digest: str, opened: OpenedFile) -> bool:
    if digest and file["sha256"]:
        return bool(digest == file["sha256"])
    asset, prepared = opened.asset, str(file["asset"] or "")
    if asset is None or not is_address(prepared):
        return False
    return parse_address(prepared).asset_id == asset.asset_id


def _came_from(file: Mapping[str, Any], origins: list[_Origin]) -> bool:
    for origin in origins:
        if origin.sha256 and file["sha256"]:
            if origin.sha256 == file["sha256"]:
                return True
        elif origin.object_id and origin.object_id == file["object_id"]:
            return True
    return False


def _may_be(file: Mapping[str, Any], digest: str, object_id: str, opened: OpenedFile, n_files: int) -> bool:
    """Whether an unannotated source may be this file, as far as can be told where digests cannot be compared."""
    if digest and file["sha256"]:
        return False
    if object_id and file["object_id"]:
        return bool(object_id == file["object_id"])
    return n_files == 1 or source_name(file["path"]) == source_name(opened.location)


def _part(opened: OpenedFile, stored: StoredSession, number: int, digest: str, object_id: str) -> FilePart:
    n_files = len(stored.source["files"])
    # Of one file a table that is missing or too short is an error, and said where the results are added.
    elsewhere = presentations_told_elsewhere(opened, stored) if n_files > 1 else frozenset()
    return FilePart(number, n_files, digest, _cells(stored, number), object_id, elsewhere)


def _cells(stored: StoredSession, number: int) -> npt.NDArray[np.int64]:
    path = stored.source["files"][number]["path"]
    return np.flatnonzero(stored.cells["source_file"].to_numpy(dtype=object) == path)


def _says(digest: str, object_id: str) -> str:
    return f"bytes with SHA-256 {digest}" if digest else f"the object_id {object_id or '(none)'}"


def _told_by(file: Mapping[str, Any]) -> str:
    if file["sha256"]:
        return str(file["sha256"])
    name = source_name(file["path"])
    return f"{name} with object_id {file['object_id']}" if file["object_id"] else name
