"""DANDI: find assets, download them checked and resumable, and validate outputs as the archive would.

Comes in: a dandiset, version and pattern, or an NWB file to check. Goes out: files in a folder with a lock file, or
findings. Nothing here sends data anywhere.
"""

from nwb_mivae.archive.address import Address, parse_address
from nwb_mivae.archive.asset import Asset
from nwb_mivae.archive.download import download_assets
from nwb_mivae.archive.find import find_assets
from nwb_mivae.archive.lock import LOCK_FILE, read_lock
from nwb_mivae.archive.validation import ValidationFinding, validate_for_dandi

__all__ = [
    "LOCK_FILE",
    "Address",
    "Asset",
    "ValidationFinding",
    "download_assets",
    "find_assets",
    "parse_address",
    "read_lock",
    "validate_for_dandi",
]
