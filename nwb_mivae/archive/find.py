"""Which files of a dandiset match a pattern, each with the identifiers and digests that pin it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from nwb_mivae.archive.asset import Asset, checked_asset_path
from nwb_mivae.errors import ArchiveError

if TYPE_CHECKING:
    from dandi.dandiapi import RemoteAsset

__all__ = ["find_assets"]

# One request per asset is needed for its digests; the archive's own client asks for five pages side by side.
_REQUESTS_AT_ONCE = 5


def find_assets(
    dandiset: str, *, version: str | None = None, pattern: str = "*.nwb", instance: str | None = None
) -> list[Asset]:
    """List the assets of a dandiset whose path matches a glob pattern, in order of path.

    Parameters
    ----------
    dandiset : str
        Six digits.
    version : str, optional
        A published version or ``"draft"``; by default the latest published one, or the draft where there is none. The
        version that was found is in the result, so that a later run can ask for the same.
    pattern : str
        As DANDI's search understands it: ``*`` also matches ``/``.
    instance : str, optional
        Name of the archive or URL of its API; by default ``DANDI_INSTANCE`` or the public archive.

    Raises
    ------
    ArchiveError
        If the archive cannot be reached, the dandiset or version does not exist, nothing matches, or what matches
        cannot be pinned (Zarr assets, assets without digests).
    """
    from nwb_mivae.archive.client import ArchiveClient, archive_errors, with_token_if_asked

    address = f"dandi://{dandiset}" + (f"@{version}" if version else "")
    with archive_errors(address), ArchiveClient(instance) as client:
        name = client.dandi_instance.name

        def describe(remote: RemoteAsset) -> Asset:
            where = f"{address}/{remote.path}"
            checked_asset_path(remote.path, address=where)
            digests = {str(key): str(value) for key, value in remote.get_raw_metadata().get("digest", {}).items()}
            if "dandi:dandi-etag" not in digests:
                raise ArchiveError(
                    "an asset without a digest its bytes could be checked by",
                    expected="a single file with a dandi-etag (Zarr assets are folders)",
                    remedy="narrow the pattern, or wait until the archive has computed it",
                    file=where,
                )
            return Asset(
                instance=name,
                dandiset=remote.dandiset_id,
                version=remote.version_id,
                path=remote.path,
                asset_id=remote.identifier,
                size=remote.size,
                digests=digests,
            )

        remote_dandiset = with_token_if_asked(client, lambda: client.get_dandiset(dandiset, version, lazy=False))
        listed = with_token_if_asked(client, lambda: list(remote_dandiset.get_assets_by_glob(pattern)))
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as threads:
            assets = list(threads.map(describe, listed))
    if not assets:
        raise ArchiveError(
            f"no asset that matches {pattern!r}",
            expected="at least one",
            remedy="widen the pattern; '*.nwb' matches every NWB file",
            file=address,
        )
    return sorted(assets, key=lambda asset: asset.path)
