"""Downloads that are checked by digest, go on where they stopped, and appear in their place only when whole."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from nwb_mivae.archive.asset import Asset, checked_asset_path
from nwb_mivae.archive.lock import read_lock, write_lock
from nwb_mivae.errors import ArchiveError
from nwb_mivae.outputs import sha256_of_file, whole_file

if TYPE_CHECKING:
    from nwb_mivae.archive.client import ArchiveClient

__all__ = ["download_assets"]

#: Where unfinished downloads wait to be resumed, inside the output folder.
_UNFINISHED = ".nwb-mivae-unfinished"
_SHA256 = "dandi:sha2-256"


def download_assets(
    assets: Sequence[Asset],
    out: str | PathLike[str],
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Download assets into a folder that keeps the dandiset's own tree, and lock the folder to them.

    Files that are already there with the right digest are left alone; an interrupted download goes on where it
    stopped. ``nwb-mivae.lock.json`` in the folder records the identifiers and digests of all its files.

    Parameters
    ----------
    assets : sequence of Asset
        From :func:`find_assets`, or from :func:`read_lock` of another folder.
    out : path-like
        The folder.
    progress : callable, optional
        ``progress(description, done, total)`` in bytes over all assets.

    Returns
    -------
    list of Path
        The files, in the order of ``assets``.

    Raises
    ------
    ArchiveError
        If the archive cannot be reached, a digest differs from the asset's, an asset is gone, a file of another
        content is already in its place, or the disk is too small. Nothing is left in the place of a file that failed.
    """
    folder = Path(out)
    targets = [folder / checked_asset_path(asset.path, address=asset.address) for asset in assets]
    locked = {asset.path: asset for asset in read_lock(folder)}
    wanted: dict[str, Asset] = {}
    for asset, target in zip(assets, targets, strict=True):
        _refuse_conflict(asset, wanted.setdefault(asset.path, asset), target)
        if asset.path in locked:
            _refuse_conflict(asset, locked[asset.path], target)
    missing = {asset.path for asset, target in zip(assets, targets, strict=True) if not _is_there(asset, target)}
    _refuse_small_disk(sum(wanted[path].size for path in missing), folder)

    total = sum(asset.size for asset in wanted.values())
    done = total - sum(wanted[path].size for path in missing)
    for asset, target in zip(assets, targets, strict=True):
        if asset.path in missing:
            before = done

            def report(of_this: int, asset: Asset = asset, before: int = before) -> None:
                if progress is not None:
                    progress(asset.path, before + of_this, total)

            report(0)
            _download(asset, target, folder / _UNFINISHED / asset.asset_id, report)
            missing.discard(asset.path)
            done += asset.size
            report(asset.size)
        digests = {**asset.digests, _SHA256: asset.digests.get(_SHA256) or sha256_of_file(target)}
        locked[asset.path] = Asset(
            asset.instance, asset.dandiset, asset.version, asset.path, asset.asset_id, asset.size, digests
        )
        write_lock(folder, locked.values())
    return targets


def _refuse_conflict(asset: Asset, other: Asset, target: Path) -> None:
    if asset.asset_id != other.asset_id:
        raise ArchiveError(
            f"two assets of one path ({other.address}, {other.asset_id}, and {asset.address}, {asset.asset_id})",
            expected="a folder of one version of each file",
            remedy="download into a new folder",
            file=target,
        )


def _is_there(asset: Asset, target: Path) -> bool:
    if not os.path.lexists(target):
        return False
    if target.is_file() and target.stat().st_size == asset.size and _digest_differs(asset, target) is None:
        return True
    raise ArchiveError(
        "a file of another content",
        expected=f"nothing, or the {asset.size} bytes of asset {asset.asset_id}",
        remedy="move it away or download into a new folder; it was not changed",
        file=target,
    )


def _digest_differs(asset: Asset, file: Path) -> str | None:
    """What differs, as text, or ``None`` where the bytes are the asset's."""
    from dandi.support.digests import get_digest

    if _SHA256 in asset.digests:
        algorithm, found = _SHA256, sha256_of_file(file)
    else:
        algorithm, found = "dandi:dandi-etag", str(get_digest(file, "dandi-etag"))
    expected = asset.digests.get(algorithm)
    return None if found == expected else f"{algorithm} {found} instead of {expected}"


def _refuse_small_disk(needed: int, folder: Path) -> None:
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise ArchiveError(
            f"{free:,} bytes free",
            expected=f"{needed:,} bytes for what is to be downloaded",
            remedy="choose a folder on another disk or fewer assets",
            file=folder,
        )


def _download(asset: Asset, target: Path, unfinished: Path, report: Callable[[int], None]) -> None:
    """Fetch one asset through the dandi client's downloader, check it against the asset, move it into place."""
    from nwb_mivae.archive.client import ArchiveClient, archive_errors

    fetched = unfinished / "content"
    with archive_errors(asset.address), ArchiveClient(asset.instance) as client:
        _fetch(asset, client, unfinished, fetched.name, report)
    size = fetched.stat().st_size
    wrong = f"{size} bytes instead of {asset.size}" if size != asset.size else _digest_differs(asset, fetched)
    if wrong is not None:
        # What arrived whole but wrong must not be resumed from.
        shutil.rmtree(unfinished)
        raise ArchiveError(
            f"bytes that are not the asset's ({wrong})",
            expected="the bytes whose digest the archive states",
            remedy="repeat the command; if it fails again, report the asset to the archive",
            file=asset.address,
        )
    with whole_file(target, overwrite=False) as beside:
        os.replace(fetched, beside)
    shutil.rmtree(unfinished)
    if not any(unfinished.parent.iterdir()):
        unfinished.parent.rmdir()


def _fetch(asset: Asset, client: ArchiveClient, folder: Path, name: str, report: Callable[[int], None]) -> None:
    """Run the downloader; what it got is ``folder / name``, unless it says that the digest differs or it gave up."""
    from dandi.download import Downloader, DownloadExisting

    from nwb_mivae.archive.pinned import PinnedAssetURL

    downloader = Downloader(
        url=PinnedAssetURL.of(asset, client, name),
        output_dir=folder,
        existing=DownloadExisting.OVERWRITE,
        get_metadata=False,
        get_assets=True,
        preserve_tree=False,
        jobs_per_zarr=None,
        on_error="raise",
    )
    for record in downloader.download_generator():
        if "done" in record:
            report(int(record["done"]))
        # A digest that differs is found again, and said with both digests, by the check against the asset itself.
        if record.get("status") == "error" and record.get("checksum") != "differs":
            # The downloader quotes the signed address; its query is a key to the data.
            reason = re.sub(r"\?\S+", "", str(record.get("message", "no reason given")))
            raise ArchiveError(
                f"a download that stopped ({reason})",
                expected="the whole file",
                remedy="repeat the command, which goes on where it stopped; under embargo, set the archive's token",
                file=asset.address,
            )
