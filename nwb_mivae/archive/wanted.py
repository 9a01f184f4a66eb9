"""Which assets a user means by dandisets, addresses and lock files."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path

from nwb_mivae.archive.address import is_address, parse_address
from nwb_mivae.archive.asset import Asset
from nwb_mivae.archive.find import find_asset, find_assets
from nwb_mivae.archive.lock import LOCK_FILE, read_lock
from nwb_mivae.errors import ArchiveError

__all__ = ["expand_address", "find_wanted"]


def expand_address(source: str) -> list[str]:
    """An address as one pinned address for each asset it means; any other source as it is.

    Raises
    ------
    ArchiveError
        If the address names nothing, or its archive cannot be reached.
    """
    return [asset.pinned_address for asset in find_wanted([source])] if is_address(source) else [source]


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
