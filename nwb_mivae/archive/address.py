"""Addresses of what lies in a DANDI archive: ``dandi://000728@0.240827.1809/sub-x/sub-x_ophys.nwb``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nwb_mivae.archive.asset import checked_asset_path
from nwb_mivae.errors import ArchiveError

__all__ = ["Address", "parse_address"]

_ADDRESS = re.compile(
    r"dandi://(?:(?P<instance>[A-Za-z][A-Za-z0-9-]*)/)?"
    r"(?P<dandiset>[0-9]{6})(?:@(?P<version>[0-9]+\.[0-9]+\.[0-9]+|draft))?(?:/(?P<path>.*))?"
)


@dataclass(frozen=True)
class Address:
    """A dandiset, optionally one version of it, optionally one path (or glob pattern) inside it."""

    instance: str
    dandiset: str
    version: str | None = None
    path: str | None = None


def parse_address(address: str) -> Address:
    """Read an address of the form ``dandi://[INSTANCE/]DANDISET[@VERSION][/PATH]``.

    Without an instance the public archive, ``dandi``, is meant; without a version the latest published one, or the
    draft where none was published.

    Raises
    ------
    ArchiveError
        If the text has another form, or the path leaves the dandiset.

    Examples
    --------
    >>> parse_address("dandi://000728@0.240827.1809/sub-1/sub-1_ophys.nwb").version
    '0.240827.1809'
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
        path = str(checked_asset_path(path, address=address))
    return Address(match["instance"] or "dandi", match["dandiset"], match["version"], path)
