"""A companion: a light file of its own that holds the results and, of the source, only what they refer to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.companion_metadata import new_companion
from nwb_mivae.annotation.companion_tables import TableCopies
from nwb_mivae.annotation.file_part import FilePart
from nwb_mivae.annotation.names import MODULE
from nwb_mivae.annotation.results import Results
from nwb_mivae.annotation.source_objects import source_objects
from nwb_mivae.errors import AnnotationError, NwbMivaeError

if TYPE_CHECKING:
    import pynwb

    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["make_companion"]


def make_companion(
    opened: OpenedFile, results: Results, *, part: FilePart, name: str = MODULE, backend: Backend
) -> tuple[pynwb.NWBFile, dict[str, Any]]:
    """Build, in memory, the file that results are added to where the source is too large to copy.

    It stands alone: it opens without the source, and its regions point to tables of its own. Of the source it has

    * what the file says of session and subject. The companion has its own ``object_id``, and the source's
      ``identifier`` with ``-mivae``, the name of the result, appended. Times stay those of the source's clock. A slash
      in ``session_id`` or ``subject_id`` becomes ``-`` (the archive refuses it), and ``notes`` says so;
    * the tables of cells (``PlaneSegmentation`` with imaging plane and device, ``Units``) and of presentations that the
      session was prepared from, at the same place, with the same rows in the same order and the same ids. Columns that
      refer to other objects, hold waveforms or a value for every spike, or weigh more than 16 MiB are left out, and the
      table's description names them. ROI masks come along, since there is no ``PlaneSegmentation`` without; so do spike
      times up to 64 MiB. Above that the units are a plain table, ``processing/ecephys/units``, since there are no
      ``Units`` without. Tables and columns of types from other extensions become the core type they extend. Where
      start and stop times are numbers of samples of a series that stays behind, they become seconds, which is said.

    Image masks are read from the source while the companion is written, block by block, so ``opened`` stays open until
    then.

    Parameters
    ----------
    opened : OpenedFile
        The source, local or on a server.
    results : Results
        What is going to be added; tells which tables it refers to.
    part : FilePart
        What of the session lies in the source.
    name : str
        Name of the result that it is made for.
    backend : Backend
        The format the companion is going to be written in.

    Returns
    -------
    companion : pynwb.NWBFile
        In memory; :func:`~nwb_mivae.annotation.objects.add_results` adds the results.
    objects : dict of str to container or None
        What stands in the companion for each of these objects of the source, by its path in the source: the copy of
        a table; ``None`` for a presentation source that is no table (a series of frames or pictures) and stays behind.
        What the source does not have is not in it.

    Raises
    ------
    AnnotationError
        If a table is damaged.
    ArchiveError
        If a file on a server cannot be read.
    """
    companion = new_companion(opened, name)
    containers = source_objects(opened, results.stored)
    sources = {path: containers[path] for path in _named_paths(results, part) if path in containers}
    copies = TableCopies(opened, companion, backend=backend)
    objects: dict[str, Any] = {}
    for path, source in sources.items():
        try:
            objects[path] = copies.add(path, source)
        except NwbMivaeError:
            raise
        except Exception as problem:  # pynwb, hdmf and h5py raise every builtin there is for a damaged table
            opened.raise_if_broken()
            raise AnnotationError(
                f"a table that cannot be copied ({type(problem).__name__}: {' '.join(str(problem).split())[:300]})",
                expected="columns of one length that can be read",
                remedy="check the source with `nwb-mivae check FILE`, or download it again",
                file=opened.location,
                object_path=path,
            ) from problem
    opened.raise_if_broken()
    return companion, objects


def _named_paths(results: Results, part: FilePart) -> Iterator[str]:
    """Paths in the source of the tables of this part's cells, then of what the presentations were read from."""
    stored = results.stored
    cells = stored.cells["source_path"].to_numpy(dtype=object)[part.cells]
    shown = stored.presentations["source_path"].to_numpy(dtype=object)
    yield from dict.fromkeys(str(path) for path in (*cells, *shown) if path)
