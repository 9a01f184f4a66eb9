"""What the user named, as one text per recording: local files, folders of them, addresses of archives, URLs."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path

from nwb_mivae.archive import expand_address, is_remote
from nwb_mivae.errors import SessionError

__all__ = ["nwb_files", "resolve_sources"]


def nwb_files(sources: Iterable[str | PathLike[str]]) -> list[Path]:
    """NWB files among local ``sources``: files as they are, folders searched, in order of name.

    Raises
    ------
    SessionError
        If a source does not exist, or a folder holds no NWB file.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(path for path in source.rglob("*.nwb") if not path.name.startswith("."))
            if not inside:
                raise SessionError(
                    "a folder without NWB files", expected="files ending in .nwb", remedy="check the path", file=source
                )
            found += inside
        elif source.exists():
            found.append(source)
        else:
            raise SessionError("no such file or folder", expected="an NWB file", remedy="check the path", file=source)
    return list(dict.fromkeys(found))


def resolve_sources(sources: Iterable[str | PathLike[str]]) -> list[str]:
    """Every recording that ``sources`` name, once, as :func:`nwb_mivae.sessions.read_session` takes it.

    Parameters
    ----------
    sources : iterable of path-like
        Local NWB files and folders of them; addresses ``dandi://DANDISET[@VERSION][/PATH]`` whose path may be a glob
        pattern or, ending in ``/``, a folder; http(s) URLs of NWB files.

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
