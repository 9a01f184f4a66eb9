"""Addresses of what lies in a DANDI archive: ``dandi://000728@0.240827.1809/sub-x/sub-x_ophys.nwb``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nwb_mivae.archive.asset import asset_address, checked_asset_path
from nwb_mivae.errors import ArchiveError

__all__ = ["Address", "is_address", "is_remote", "parse_address"]

_ADDRESS = re.compile(
    r"dandi(?:://(?:(?P<name>[A-Za-z][A-Za-z0-9-]*)/)?|\+(?P<api>https?://[^@?#\s]+?)/)"
    r"(?P<dandiset>[0-9]{6})(?:@(?P<version>[0-9]+\.[0-9]+\.[0-9]+|draft))?(?:/(?P<path>.*?))?"
    r"(?:#asset=(?P<asset_id>[0-9A-Za-z-]+))?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Address:
    """A dandiset, optionally one version of it, optionally a path or glob pattern inside it.

    Attributes
    ----------
    instance : str or None
        Name of the archive or URL of its API; ``None`` for the one in ``DANDI_INSTANCE``, or the public one.
    dandiset : str
        Six digits.
    version : str or None
        A published version or ``"draft"``; ``None`` for the latest published one, or the draft where there is none.
    path : str or None
        Path, or glob pattern, inside the dandiset.
    asset_id : str or None
        The asset that the path meant when the address was pinned; its bytes never change.
    """

    instance: str | None
    dandiset: str
    version: str | None = None
    path: str | None = None
    asset_id: str | None = None

    def __str__(self) -> str:
        return asset_address(self.instance, self.dandiset, self.version, self.path, self.asset_id)


def is_address(source: str) -> bool:
    """Whether a source is the address of something in a DANDI archive."""
    return source.startswith(("dandi://", "dandi+http://", "dandi+https://"))


def is_remote(source: str) -> bool:
    """Whether a source is an address or a URL, and no local path."""
    return is_address(source) or source.startswith(("http://", "https://"))


def parse_address(address: str) -> Address:
    """Read an address of the form ``dandi://[INSTANCE/]DANDISET[@VERSION][/PATH][#asset=ID]``.

    An archive without a name has its API's URL in the address: ``dandi+https://HOST/api/DANDISET[@VERSION][/PATH]``.
    A path that ends in ``/`` is a folder and means every NWB file in it.

    Raises
    ------
    ArchiveError
        If the text has another form, or the path leaves the dandiset.

    Examples
    --------
    >>> parse_address("dandi://000728@0.240827.1809/sub-1/sub-1_ophys.nwb").version
    '0.240827.1809'
    >>> parse_address("dandi://000728/sub-1/").path
    'sub-1/*.nwb'
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ArchiveError(
            f"an address that cannot be read ({address!r})",
            expected="dandi://DANDISET[@VERSION][/PATH], as dandi://000728@0.240827.1809/sub-x/sub-x_ophys.nwb",
            remedy="copy the six digits and the version from the dandiset's page",
        )
    path = match["path"] or None
    if path is not None:
        folder = path.endswith("/")
        path = str(checked_asset_path(path, address=address)) + ("/*.nwb" if folder else "")
    # Pinned addresses stand in provenance, and must mean the same whatever archive a later user prefers.
    instance = match["name"] or match["api"] or ("dandi" if match["asset_id"] else None)
    return Address(instance, match["dandiset"], match["version"], path, match["asset_id"])
