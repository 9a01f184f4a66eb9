"""What an upload would change in the draft of a dandiset, found out by reading alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nwb_mivae.archive.address import Address
from nwb_mivae.archive.asset import Asset, checked_asset_path
from nwb_mivae.archive.upload_metadata import check_metadata, merge_metadata
from nwb_mivae.errors import ArchiveError

if TYPE_CHECKING:
    from dandi.dandiapi import RemoteDandiset
    from dandischema.digests.dandietag import DandiETag

    from nwb_mivae.archive.client import ArchiveClient

__all__ = ["ETAG", "LocalFile", "PlannedFile", "UploadPlan", "asset_at", "asset_of", "plan_upload"]

#: What the archive calls the digest of a file it was sent.
ETAG = "dandi:dandi-etag"


@dataclass(frozen=True)
class LocalFile:
    """A file that is to be an asset.

    Attributes
    ----------
    file : Path
        Where it lies.
    path : str
        What it is called in the dandiset, with forward slashes.
    metadata : mapping
        Added to what the archive is told of the file, in the form of ``dandischema.models.BareAsset``.
    """

    file: Path
    path: str
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @cached_property
    def digest(self) -> DandiETag:
        """DANDI's digest of the file and of each part it is sent in; read from the file once."""
        from dandischema.digests.dandietag import DandiETag

        return DandiETag.from_file(self.file)

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return self.file.stat().st_size


@dataclass(frozen=True)
class PlannedFile:
    """One file of a plan.

    Attributes
    ----------
    local : LocalFile
        The file.
    action : str
        ``"send"``; ``"replace"`` where the draft has other bytes under that path; ``"keep"`` where it has these.
    asset : Asset or None
        What the draft has under that path now.
    """

    local: LocalFile
    action: Literal["send", "replace", "keep"]
    asset: Asset | None = None


@dataclass(frozen=True)
class UploadPlan:
    """What an upload would do.

    Attributes
    ----------
    instance : str
        Name of the archive, or the URL of its API.
    dandiset : str or None
        Six digits; ``None`` for one that is to be created.
    files : tuple of PlannedFile
        In order of path.
    metadata : mapping
        What the draft would be said to be, whole.
    additions : mapping
        What of it the draft does not say yet, by field.
    """

    instance: str
    dandiset: str | None
    files: tuple[PlannedFile, ...]
    metadata: Mapping[str, Any]
    additions: Mapping[str, Any]

    @property
    def to_send(self) -> tuple[PlannedFile, ...]:
        """The files whose bytes the draft does not have."""
        return tuple(planned for planned in self.files if planned.action != "keep")

    @property
    def bytes_to_send(self) -> int:
        """How many these are."""
        return sum(planned.local.size for planned in self.to_send)

    @property
    def address(self) -> str:
        """The draft."""
        return str(Address(self.instance, self.dandiset or "000000", "draft")) if self.dandiset else self.instance


def plan_upload(
    files: Sequence[LocalFile],
    dandiset: str | None,
    *,
    metadata: Mapping[str, Any],
    instance: str | None = None,
    replace: bool = False,
) -> UploadPlan:
    """Find out what it would take to have ``files`` and ``metadata`` in the draft of a dandiset; change nothing.

    The archive is only read, and not even that for a dandiset that is to be created.

    Parameters
    ----------
    files : sequence of LocalFile
        No two of one path.
    dandiset : str or None
        Six digits; ``None`` for one that is to be created.
    metadata : mapping
        To be added to the draft's description by :func:`~nwb_mivae.archive.upload_metadata.merge_metadata`.
    instance : str, optional
        Name of the archive or URL of its API; by default ``DANDI_INSTANCE`` or the public archive.
    replace : bool
        Allow other bytes under a path that the draft has to be replaced.

    Raises
    ------
    ArchiveError
        If the archive cannot be reached, the dandiset does not exist, the draft has other bytes under one of the
        paths and ``replace`` is false, or the description does not fit the archive's schema.
    """
    from nwb_mivae.archive.client import ArchiveClient, archive_errors, resolve_instance, with_token_if_asked
    from nwb_mivae.archive.upload_parts import REPEATED

    ordered = sorted(files, key=lambda file: file.path)
    for file in ordered:
        checked_asset_path(file.path, address=str(file.file))
        # Read now: what is sent later must be what was planned.
        file.digest, file.size  # noqa: B018
    if dandiset is None:
        check_metadata(metadata, metadata)
        planned = tuple(PlannedFile(file, "send") for file in ordered)
        return UploadPlan(resolve_instance(instance).name, None, planned, metadata, metadata)
    address = str(Address(instance, dandiset, "draft"))
    with archive_errors(address), ArchiveClient(instance, repeated=REPEATED) as client:
        draft = with_token_if_asked(client, lambda: client.get_dandiset(dandiset, "draft", lazy=False))
        known = with_token_if_asked(client, draft.get_raw_metadata)
        merged, additions = merge_metadata(known, metadata)
        check_metadata(merged, additions)
        planned = tuple(_planned(file, asset_at(client, draft, file.path)) for file in ordered)
        others = [each.asset for each in planned if each.action == "replace" and each.asset is not None]
        if others and not replace:
            raise ArchiveError(
                f"other bytes under {'a path' if len(others) == 1 else f'{len(others)} paths'} of this upload "
                f"({', '.join(asset.path for asset in others)})",
                expected="nothing there, or the same bytes",
                remedy="publish under another name or, if these are earlier results of yours, repeat with --replace",
                file=address,
            )
        return UploadPlan(client.dandi_instance.name, dandiset, planned, merged, additions)


def asset_at(client: ArchiveClient, draft: RemoteDandiset, path: str) -> Asset | None:
    """What a draft has under a path."""
    from nwb_mivae.archive.client import with_token_if_asked

    # The archive takes a path for the beginning of one.
    params = {"path": path, "metadata": "true"}
    listed = with_token_if_asked(
        client, lambda: list(client.paginate(f"{draft.version_api_path}assets/", params=params))
    )
    for record in listed:
        if record["path"] == path:
            return asset_of(client, draft, record)
    return None


def asset_of(client: ArchiveClient, draft: RemoteDandiset, record: Mapping[str, Any]) -> Asset:
    """An asset of a draft as the archive tells of it."""
    from dandi.dandiapi import RemoteAsset

    metadata = RemoteAsset.from_data(draft, dict(record)).get_raw_metadata()
    return Asset(
        instance=client.dandi_instance.name,
        dandiset=draft.identifier,
        version="draft",
        path=str(record["path"]),
        asset_id=str(record["asset_id"]),
        size=int(record["size"]),
        digests={str(name): str(value) for name, value in metadata.get("digest", {}).items()},
    )


def _planned(local: LocalFile, asset: Asset | None) -> PlannedFile:
    if asset is None:
        return PlannedFile(local, "send")
    same = asset.digests.get(ETAG) == local.digest.as_str()
    return PlannedFile(local, "keep" if same else "replace", asset)
