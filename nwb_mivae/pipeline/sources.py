"""What the user named, as one text per recording: local files, folders of them, addresses of archives, URLs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from os import PathLike, fspath
from pathlib import Path

from nwb_mivae.archive import expand_address, is_remote
from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.zarr_folder import is_zarr_folder

__all__ = ["nwb_files", "resolve_sources"]


def nwb_files(sources: Iterable[str | PathLike[str]]) -> list[Path]:
    """NWB files among local ``sources``: files and Zarr folders as they are, other folders searched, in order of name.

    Raises
    ------
    SessionError
        If a source does not exist, or a folder holds no NWB file.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir() and not is_zarr_folder(source):
            inside = sorted(_inside(source))
            if not inside:
                raise SessionError(
                    "a folder without NWB files",
                    expected="files ending in .nwb or folders ending in .nwb.zarr",
                    remedy="check the path",
                    file=source,
                )
            found += inside
        elif source.exists():
            found.append(source)
        else:
            raise SessionError("no such file or folder", expected="an NWB file", remedy="check the path", file=source)
    return list(dict.fromkeys(found))


def _inside(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        zarr = [name for name in folders if name.endswith(".zarr")]
        # A Zarr folder is one recording, and has a file for every chunk of it.
        folders[:] = [name for name in folders if name not in zarr]
        for name in (*files, *zarr):
            if name.endswith((".nwb", ".nwb.zarr")) and not name.startswith("."):
                yield Path(place, name)


def resolve_sources(sources: Iterable[str | PathLike[str]]) -> list[str]:
    """Every recording that ``sources`` name, once, as :func:`nwb_mivae.sessions.read_session` takes it.

    Parameters
    ----------
    sources : iterable of path-like
        Local NWB files, Zarr folders, and folders of these; addresses ``dandi://DANDISET[@VERSION][/PATH]`` whose path
        may be a glob pattern or, ending in ``/``, a folder; http(s) URLs of NWB files.

    Returns
    -------
    list of str
        Absolute local paths, addresses pinned to one asset each, and URLs as they are.

    Raises
    ------
    SessionError
        If a local source does not exist, or a folder holds no NWB file.
    ArchiveError
        If an address names nothing, or its archive cannot be reached.
    """
    found: list[str] = []
    for source in sources:
        text = fspath(source)
        if is_remote(text):
            found += expand_address(text)
        else:
            found += [str(path.resolve()) for path in nwb_files([text])]
    return list(dict.fromkeys(found))
