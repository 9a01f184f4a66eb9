"""Downloads that are checked by digest, go on where they stopped, and appear in their place only when whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from nwb_mivae.archive.asset import Asset, checked_asset_path
from nwb_mivae.archive.lock import LOCK_FILE, read_lock, write_lock
from nwb_mivae.errors import ArchiveError
from nwb_mivae.outputs import sha256_of_file, whole_file

if TYPE_CHECKING:
    from nwb_mivae.archive.client import ArchiveClient

__all__ = ["DownloadPlan", "download_assets", "plan_download"]

#: Where unfinished downloads wait to be resumed, inside the output folder.
_UNFINISHED = ".nwb-mivae-unfinished"
_SHA256 = "dandi:sha2-256"


@dataclass(frozen=True)
class DownloadPlan:
    """What a download would do to a folder.

    Attributes
    ----------
    folder : Path
        Where the files go.
    targets : tuple of (Asset, Path)
        Each asset and its file, in the order they were asked for.
    missing : frozenset of str
        Paths of the assets that are not there yet.
    total_bytes, missing_bytes : int
        Of all files, and of those that are missing; part of the latter may have arrived already.
    free_bytes : int
        What the folder's disk has left.
    """

    folder: Path
    targets: tuple[tuple[Asset, Path], ...]
    missing: frozenset[str]
    total_bytes: int
    missing_bytes: int
    free_bytes: int


def plan_download(assets: Sequence[Asset], out: str | PathLike[str]) -> DownloadPlan:
    """Find out what is to be downloaded into a folder; nothing is asked of the archive and nothing written.

    Raises
    ------
    ArchiveError
        If the assets do not fit each other or the folder, or the files the disk.
    """
    folder = Path(out)
    targets = tuple((asset, folder / checked_asset_path(asset.path, address=asset.address)) for asset in assets)
    locked = {asset.path: asset for asset in read_lock(folder)}
    wanted: dict[str, Asset] = {}
    for asset, target in targets:
        _refuse_conflict(asset, wanted.setdefault(asset.path, asset), target)
        if asset.path in locked:
            _refuse_conflict(asset, locked[asset.path], target)
        _refuse_other_version(asset, locked.values(), folder)
    missing = frozenset(asset.path for asset, target in targets if not _is_there(asset, target))
    plan = DownloadPlan(
        folder,
        targets,
        missing,
        total_bytes=sum(asset.size for asset in wanted.values()),
        missing_bytes=sum(wanted[path].size for path in missing),
        free_bytes=_free_bytes(folder),
    )
    if plan.missing_bytes - _arrived_bytes(folder) > plan.free_bytes:
        raise ArchiveError(
            f"{plan.free_bytes:,} bytes free",
            expected=f"{plan.missing_bytes:,} bytes for what is to be downloaded",
            remedy="choose a folder on another disk or fewer assets",
            file=folder,
        )
    return plan


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
    plan = plan_download(assets, out)
    missing = set(plan.missing)
    locked = {asset.path: asset for asset in read_lock(plan.folder)}
    done = plan.total_bytes - plan.missing_bytes
    for asset, target in plan.targets:
        if asset.path in missing:
            before = done

            def report(of_this: int, asset: Asset = asset, before: int = before) -> None:
                if progress is not None:
                    progress(asset.path, before + of_this, plan.total_bytes)

            report(0)
            _download(asset, target, plan.folder / _UNFINISHED / asset.asset_id, report)
            missing.discard(asset.path)
            done += asset.size
            report(asset.size)
        digests = {**asset.digests, _SHA256: asset.digests.get(_SHA256) or sha256_of_file(target)}
        locked[asset.path] = replace(asset, digests=digests)
        write_lock(plan.folder, locked.values())
    return [target for _, target in plan.targets]


def _refuse_conflict(asset: Asset, other: Asset, target: Path) -> None:
    if asset.asset_id != other.asset_id:
        raise ArchiveError(
            f"two assets of one path ({other.address}, {other.asset_id}, and {asset.address}, {asset.asset_id})",
            expected="a folder of one version of each file",
            remedy="download into a new folder",
            file=target,
        )


def _refuse_other_version(asset: Asset, locked: Iterable[Asset], folder: Path) -> None:
    for other in locked:
        if (other.instance, other.dandiset) == (asset.instance, asset.dandiset) and other.version != asset.version:
            raise ArchiveError(
                f"files of version {other.version} of dandiset {other.dandiset}, as {LOCK_FILE} says",
                expected=f"the version that is asked for, {asset.version}, or a new folder",
                remedy=f"ask for version {other.version}, or download into a new folder",
                file=folder,
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


def _arrived_bytes(folder: Path) -> int:
    """What unfinished downloads have on the disk already."""
    return sum(path.stat().st_size for path in (folder / _UNFINISHED).rglob("*") if path.is_file())


def _free_bytes(folder: Path) -> int:
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.is_dir())
    return shutil.disk_usage(existing).free


def _download(asset: Asset, target: Path, unfinished: Path, report: Callable[[int], None]) -> None:
    """Fetch one asset through the dandi client's downloader, check it against the asset, move it into place."""
    from nwb_mivae.archive.client import ArchiveClient, archive_errors, with_token_if_asked

    fetched = unfinished / "content"
    try:
        with archive_errors(asset.address), ArchiveClient(asset.instance) as client:
            with_token_if_asked(client, lambda: client.get_dandiset(asset.dandiset, asset.version, lazy=False))
            _fetch(asset, client, unfinished, fetched.name, report)
    except OSError as problem:
        raise ArchiveError(
            f"a folder that cannot be written ({problem.strerror or problem})",
            expected="room for the file",
            remedy="make room or choose another folder, then repeat: what has arrived is kept",
            file=unfinished,
        ) from problem
    if not fetched.is_file():
        raise ArchiveError(
            "a download that ended without a file",
            expected="the whole file",
            remedy="repeat the command, which goes on where it stopped",
            file=asset.address,
        )
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
    """Run the downloader; what it got is ``folder / name``, unless it says that the digest differs."""
    from dandi.download import Downloader, DownloadExisting
    from dandi.exceptions import NotFoundError

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
    try:
        for record in downloader.download_generator():
            if "done" in record:
                report(int(record["done"]))
            # A digest that differs is found again, and said with both digests, by the check against the asset itself.
            if record.get("status") == "error" and record.get("checksum") != "differs":
                raise ArchiveError(
                    f"a download that stopped ({record.get('message', 'no reason given')})",
                    expected="the whole file",
                    remedy="repeat the command, which goes on where it stopped",
                    file=asset.address,
                )
    except NotFoundError:
        raise
    except RuntimeError as problem:
        # The client's way to say that another process is at the same file.
        raise ArchiveError(
            f"a download that could not start ({problem})",
            expected="one download of this file at a time",
            remedy="wait for the other one, then repeat",
            file=asset.address,
        ) from problem
