"""The lock file of a download folder: which asset each file is, so that the same bytes can be fetched again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

from nwb_mivae.archive.asset import Asset, checked_asset_path
from nwb_mivae.errors import ArchiveError
from nwb_mivae.outputs import read_json, write_json

__all__ = ["LOCK_FILE", "read_lock", "write_lock"]

LOCK_FILE = "nwb-mivae.lock.json"
_FORMAT = 1


def read_lock(folder: str | PathLike[str]) -> list[Asset]:
    """The assets a folder was downloaded from; none where it has no lock file.

    ``download_assets(read_lock(old), new)`` fetches the same bytes again.

    Raises
    ------
    ArchiveError
        If the lock file has another form than :func:`write_lock` gives it.
    OutputError
        If it is not JSON.
    """
    path = Path(folder) / LOCK_FILE
    if not path.exists():
        return []
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != _FORMAT or not isinstance(content.get("assets"), list):
        raise ArchiveError(
            "a lock file of another form",
            expected=f"format {_FORMAT}, as this version of nwb_mivae writes it",
            remedy="download into a new folder",
            file=path,
        )
    return [_asset(record, path) for record in content["assets"]]


def write_lock(folder: str | PathLike[str], assets: Iterable[Asset]) -> None:
    """Record ``assets``, in order of path; nothing in the file depends on when or where it was written."""
    records = [asdict(asset) for asset in sorted(assets, key=lambda asset: asset.path)]
    write_json(Path(folder) / LOCK_FILE, {"format": _FORMAT, "assets": records})


def _asset(record: Any, path: Path) -> Asset:
    try:
        asset = Asset(**{**record, "modalities": tuple(record.get("modalities", ()))})
    except (TypeError, AttributeError) as problem:
        raise ArchiveError(
            f"an entry that is not an asset ({problem})",
            expected="entries as this package writes them",
            remedy="download into a new folder",
            file=path,
        ) from problem
    checked_asset_path(asset.path, address=str(path))
    return asset
