"""DANDI: find assets, download them checked and resumable, read them in place, and validate outputs like the archive.

Comes in: a dandiset, version and pattern, an address, or an NWB file to check. Goes out: files in a folder with a lock
file, an open remote file, or findings. Nothing here sends data anywhere.
"""

from nwb_mivae.archive.address import Address, is_address, is_remote, parse_address
from nwb_mivae.archive.asset import MODALITIES, Asset
from nwb_mivae.archive.cache import cache_folder
from nwb_mivae.archive.contents import AssetContents, assets_contents
from nwb_mivae.archive.download import DownloadPlan, download_assets, plan_download
from nwb_mivae.archive.explanations import ExplainedFinding, explain
from nwb_mivae.archive.find import find_asset, find_assets
from nwb_mivae.archive.lock import LOCK_FILE, read_lock
from nwb_mivae.archive.remote import RemoteFile, open_remote
from nwb_mivae.archive.validation import SEVERITIES, ValidationFinding, is_zarr, validate_for_dandi
from nwb_mivae.archive.wanted import expand_address, find_wanted

__all__ = [
    "LOCK_FILE",
    "MODALITIES",
    "SEVERITIES",
    "Address",
    "Asset",
    "AssetContents",
    "DownloadPlan",
    "ExplainedFinding",
    "RemoteFile",
    "ValidationFinding",
    "assets_contents",
    "cache_folder",
    "download_assets",
    "expand_address",
    "explain",
    "find_asset",
    "find_assets",
    "find_wanted",
    "is_address",
    "is_remote",
    "is_zarr",
    "open_remote",
    "parse_address",
    "plan_download",
    "read_lock",
    "validate_for_dandi",
]
