"""One file of the archive, by the identifiers and digests that pin it, and the rule for paths from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath

from nwb_mivae.errors import ArchiveError

__all__ = ["Asset", "checked_asset_path"]


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
    """

    instance: str
    dandiset: str
    version: str
    path: str
    asset_id: str
    size: int
    digests: Mapping[str, str] = field(hash=False)

    @property
    def address(self) -> str:
        """What provenance records: an address :func:`~nwb_mivae.archive.parse_address` reads, or the API's URL of it.

        An archive that is known by its URL only has no name to put into an address.
        """
        if "://" in self.instance:
            return f"{self.instance}/dandisets/{self.dandiset}/versions/{self.version}/assets/{self.asset_id}/"
        where = f"{self.dandiset}@{self.version}/{self.path}"
        return f"dandi://{where}" if self.instance == "dandi" else f"dandi://{self.instance}/{where}"


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
