"""What the user named, as one text per recording: local files, folders of them, addresses of archives, URLs."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path

from nwb_mivae.archive import LOCK_FILE, Asset, find_asset, find_assets, is_address, is_remote, parse_address, read_lock
from nwb_mivae.errors import ArchiveError, SessionError

__all__ = ["find_wanted", "nwb_files", "resolve_sources"]


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
        if is_address(text):
            found += [asset.pinned_address for asset in find_wanted([text])]
        elif is_remote(text):
            found.append(text)
        else:
            found += [str(path.resolve()) for path in nwb_files([text])]
    return list(dict.fromkeys(found))


def find_wanted(
    wanted: Iterable[str | PathLike[str]],
    *,
    pattern: str | None = None,
    subject: str | None = None,
    modalities: Iterable[str] = (),
    version: str | None = None,
    instance: str | None = None,
) -> list[Asset]:
    """The assets that ``wanted`` name: dandisets by number, addresses, and lock files or folders that hold one.

    The other parameters narrow what addresses and dandisets mean; an address's own path, version and archive win.

    Raises
    ------
    ArchiveError
        If one of them names nothing, or its archive cannot be reached.
    """
    found: dict[str, Asset] = {}
    for each in wanted:
        text = fspath(each)
        if is_address(text) or (text.isdecimal() and len(text) == 6):
            address = parse_address(text if is_address(text) else f"dandi://{text}")
            if address.asset_id is not None:
                assets = [find_asset(address)]
            else:
                assets = find_assets(
                    address.dandiset,
                    version=address.version or version,
                    pattern=address.path or pattern or "*.nwb",
                    subject=subject,
                    modalities=tuple(modalities),
                    instance=address.instance or instance,
                )
        else:
            assets = _locked(Path(text))
        found |= {asset.pinned_address: asset for asset in assets}
    return list(found.values())


def _locked(path: Path) -> list[Asset]:
    folder = path if path.is_dir() else path.parent
    if (path.is_dir() or path.name == LOCK_FILE) and (folder / LOCK_FILE).is_file():
        return read_lock(folder)
    raise ArchiveError(
        "neither a dandiset nor a lock file",
        expected=f"six digits, an address dandi://DANDISET[@VERSION][/PATH], or a folder with {LOCK_FILE}",
        remedy="correct it",
        file=path,
    )
