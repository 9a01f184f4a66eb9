"""One file of the archive, by the identifiers and digests that pin it, and the rule for paths from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath

from nwb_mivae.errors import ArchiveError

__all__ = ["MODALITIES", "Asset", "asset_address", "checked_asset_path", "modalities_in", "subject_in"]

#: What DANDI's file names say at their end, joined by ``+``.
MODALITIES = ("behavior", "ecephys", "icephys", "image", "ogen", "ophys")


@dataclass(frozen=True)
class Asset:
    """One file of one version of a dandiset. Its ``asset_id`` and ``digests`` never change; ``"draft"`` versions do.

    Attributes
    ----------
    instance : str
        Name of the archive (``"dandi"``, ``"dandi-sandbox"``, ...) or the URL of its API.
    dandiset : str
        Six digits.
    version : str
        A published version, as ``"0.240827.1809"``, or ``"draft"``.
    path : str
        Relative path inside the dandiset, with forward slashes.
    asset_id : str
        UUID of the asset.
    size : int
        Bytes.
    digests : mapping of str to str
        By DANDI's names of algorithms: ``"dandi:dandi-etag"``, ``"dandi:sha2-256"``.
    subject : str
        The animal, as the path or the archive's metadata name it; empty where neither does.
    modalities : tuple of str
        What was recorded, some of :data:`MODALITIES`, from the path and the archive's metadata.
    """

    instance: str
    dandiset: str
    version: str
    path: str
    asset_id: str
    size: int
    digests: Mapping[str, str] = field(hash=False)
    subject: str = ""
    modalities: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """An address of the path in that version, which :func:`~nwb_mivae.archive.parse_address` reads."""
        return asset_address(self.instance, self.dandiset, self.version, self.path)

    @property
    def pinned_address(self) -> str:
        """What provenance records: the address with the asset's identifier, which says whether it is still the same."""
        return asset_address(self.instance, self.dandiset, self.version, self.path, self.asset_id)


def asset_address(
    instance: str | None, dandiset: str, version: str | None, path: str | None, asset_id: str | None = None
) -> str:
    """The text of an address; the public archive's name is left out."""
    if instance is not None and "://" in instance:
        text = f"dandi+{instance.rstrip('/')}/{dandiset}"
    else:
        text = f"dandi://{dandiset}" if instance in (None, "dandi") else f"dandi://{instance}/{dandiset}"
    text += f"@{version}" if version else ""
    text += f"/{path}" if path else ""
    return text + (f"#asset={asset_id}" if asset_id else "")


def subject_in(path: str) -> str:
    """The animal in a path of DANDI's form ``sub-ID/sub-ID_...``, or nothing.

    >>> subject_in("sub-5/sub-5_ses-1_ophys.nwb")
    '5'
    """
    for part in reversed(PurePosixPath(path).parts):
        match = re.match(r"sub-([^_/]+?)(?:_|\.|$)", part)
        if match:
            return match[1]
    return ""


def modalities_in(path: str) -> tuple[str, ...]:
    """What a name of DANDI's form says was recorded, or nothing.

    >>> modalities_in("sub-5/sub-5_ses-1_behavior+ophys.nwb")
    ('behavior', 'ophys')
    """
    words = PurePosixPath(path).stem.rpartition("_")[2].split("+")
    return tuple(sorted(words)) if all(word in MODALITIES for word in words) else ()


def checked_asset_path(path: str, *, address: str) -> PurePosixPath:
    """A path that stays inside the folder it is joined to.

    The archive's answers decide where files are written, so they are not trusted with the rest of the disk.

    Raises
    ------
    ArchiveError
        If the path is empty, absolute, has a drive, a ``..`` or a backslash, or holds control characters.
    """
    pure = PurePosixPath(path)
    if (
        not pure.parts
        or pure.is_absolute()
        or ".." in pure.parts
        or "\\" in path
        or PureWindowsPath(path).drive
        or any(ord(character) < 32 for character in path)
    ):
        raise ArchiveError(
            f"an asset path that leaves its folder ({path!r})",
            expected="a relative path without '..'",
            remedy="report this asset to the archive; nothing was written",
            file=address,
        )
    return pure
