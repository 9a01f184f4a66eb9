"""Which files of a dandiset match a pattern, an animal and a kind of recording, each pinned by what never changes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nwb_mivae.archive.address import Address
from nwb_mivae.archive.asset import MODALITIES, Asset, checked_asset_path, subject_in
from nwb_mivae.archive.contents import AssetContents, contents_of
from nwb_mivae.errors import ArchiveError

if TYPE_CHECKING:
    from dandi.dandiapi import RemoteAsset, RemoteDandiset

    from nwb_mivae.archive.client import ArchiveClient

__all__ = ["find_asset", "find_assets"]

# Archives that do not list metadata are asked for each asset's; the dandi client, too, asks for five pages at once.
_REQUESTS_AT_ONCE = 5


def find_assets(
    dandiset: str,
    *,
    version: str | None = None,
    pattern: str = "*.nwb",
    subject: str | None = None,
    modalities: Sequence[str] = (),
    instance: str | None = None,
) -> list[Asset]:
    """List the assets of a dandiset that match, in order of path.

    Parameters
    ----------
    dandiset : str
        Six digits.
    version : str, optional
        A published version or ``"draft"``; by default the latest published one, or the draft where there is none. The
        version that was found is in the result, so that a later run can ask for the same.
    pattern : str
        Glob pattern of the path; ``*`` also matches ``/``, ``?`` is one character, ``[12]`` one of them.
    subject : str, optional
        Only this animal, as the path or the archive's metadata name it, with or without ``sub-``.
    modalities : sequence of str
        Only assets with all of these, from :data:`~nwb_mivae.archive.MODALITIES`.
    instance : str, optional
        Name of the archive or URL of its API; by default ``DANDI_INSTANCE`` or the public archive.

    Raises
    ------
    ArchiveError
        If the archive cannot be reached, the dandiset or version does not exist, nothing matches, or what matches
        cannot be pinned (Zarr assets, assets without digests).
    """
    from nwb_mivae.archive.client import ArchiveClient, archive_errors, with_token_if_asked

    unknown = sorted(set(modalities) - set(MODALITIES))
    if unknown:
        raise ArchiveError(
            f"modalities that DANDI does not have ({', '.join(unknown)})",
            expected=f"some of {', '.join(MODALITIES)}",
            remedy="correct them",
        )
    address = str(Address(instance, dandiset, version))
    with archive_errors(address), ArchiveClient(instance) as client:
        remote_dandiset = with_token_if_asked(client, lambda: client.get_dandiset(dandiset, version, lazy=False))
        listed = with_token_if_asked(client, lambda: _listed(remote_dandiset, pattern))
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as threads:
            described = list(threads.map(lambda remote: _Described.of(remote, address), listed))
        if not described:
            raise ArchiveError(
                f"no asset that matches {pattern!r}",
                expected="at least one",
                remedy="widen the pattern; '*.nwb' matches every NWB file",
                file=address,
            )
        wanted = [each for each in described if each.is_of(subject) and each.contents.has(modalities)]
        if not wanted:
            animals = _few({each.contents.subject or "nobody named" for each in described})
            kinds = _few({"+".join(each.contents.modalities) or "nothing named" for each in described})
            asked = [*([f"the animal {subject}"] if subject else []), *modalities]
            raise ArchiveError(
                f"{len(described)} assets that match {pattern!r}, of {animals}, with {kinds}",
                expected=" and ".join(asked),
                remedy="ask for another animal, or for less",
                file=address,
            )
        return sorted((each.pinned(client, address) for each in wanted), key=lambda asset: asset.path)


def find_asset(address: Address) -> Asset:
    """The one asset that an address names.

    Raises
    ------
    ArchiveError
        If there is none or more than one, and for the reasons of :func:`find_assets`.
    """
    from nwb_mivae.archive.client import ArchiveClient, archive_errors, with_token_if_asked

    if address.asset_id is None:
        found = find_assets(
            address.dandiset, version=address.version, pattern=address.path or "*.nwb", instance=address.instance
        )
        if len(found) > 1:
            raise ArchiveError(
                f"{len(found)} assets under this address",
                expected="one",
                remedy=f"name one of them, such as {found[0].address}",
                file=str(address),
            )
        return found[0]
    where, asset_id = str(address), address.asset_id
    with archive_errors(where), ArchiveClient(address.instance) as client:
        dandiset = with_token_if_asked(
            client, lambda: client.get_dandiset(address.dandiset, address.version, lazy=False)
        )
        remote = with_token_if_asked(client, lambda: dandiset.get_asset(asset_id))
        return _Described.of(remote, where).pinned(client, where)


@dataclass(frozen=True)
class _Described:
    """An asset as the archive lists it, with its metadata."""

    remote: RemoteAsset
    metadata: Mapping[str, Any]
    contents: AssetContents

    @classmethod
    def of(cls, remote: RemoteAsset, address: str) -> _Described:
        checked_asset_path(remote.path, address=f"{address}/{remote.path}")
        metadata = remote.get_raw_metadata()
        return cls(remote, metadata, contents_of(remote.path, metadata))

    def is_of(self, subject: str | None) -> bool:
        return subject is None or subject.removeprefix("sub-") in (self.contents.subject, subject_in(self.remote.path))

    def pinned(self, client: ArchiveClient, address: str) -> Asset:
        digests = {str(name): str(value) for name, value in self.metadata.get("digest", {}).items()}
        if "dandi:dandi-etag" not in digests:
            raise ArchiveError(
                "an asset without a digest its bytes could be checked by",
                expected="a single file with a dandi-etag (Zarr assets are folders)",
                remedy="narrow the pattern, or wait until the archive has computed it",
                file=f"{address}/{self.remote.path}",
            )
        return Asset(
            instance=client.dandi_instance.name,
            dandiset=self.remote.dandiset_id,
            version=self.remote.version_id,
            path=self.remote.path,
            asset_id=self.remote.identifier,
            size=self.remote.size,
            digests=digests,
            subject=self.contents.subject,
            modalities=self.contents.modalities,
        )


def _listed(dandiset: RemoteDandiset, pattern: str) -> list[RemoteAsset]:
    """Assets that match, with their metadata in the same answer where the archive can do that."""
    from dandi.dandiapi import RemoteAsset

    # The archive knows no pattern but `*`.
    asked = re.sub(r"\?|\[[^]]*\]", "*", pattern)
    records = dandiset.client.paginate(
        f"{dandiset.version_api_path}assets/", params={"glob": asked, "metadata": "true"}
    )
    found = [RemoteAsset.from_data(dandiset, record) for record in records]
    return [remote for remote in found if fnmatch.fnmatchcase(remote.path, pattern)]


def _few(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
