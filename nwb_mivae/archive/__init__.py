"""DANDI: find assets, download them checked and resumable, read them in place, validate outputs, and upload them.

Comes in: a dandiset, version and pattern, an address, or NWB files. Goes out: files in a folder with a lock file, an
open remote file, findings, or assets in the draft of a dandiset. Only :func:`upload_files` and
:func:`create_dandiset` send anything anywhere.
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
from nwb_mivae.archive.upload import InterruptedUploadError, check_token, create_dandiset, upload_files
from nwb_mivae.archive.upload_metadata import (
    archive_urls,
    derived_from,
    merge_metadata,
    person,
    software_activity,
)
from nwb_mivae.archive.upload_names import name_in_dandiset
from nwb_mivae.archive.upload_plan import LocalFile, PlannedFile, UploadPlan, plan_upload
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
    "InterruptedUploadError",
    "LocalFile",
    "PlannedFile",
    "RemoteFile",
    "UploadPlan",
    "ValidationFinding",
    "archive_urls",
    "assets_contents",
    "cache_folder",
    "check_token",
    "create_dandiset",
    "derived_from",
    "download_assets",
    "expand_address",
    "explain",
    "find_asset",
    "find_assets",
    "find_wanted",
    "is_address",
    "is_remote",
    "is_zarr",
    "merge_metadata",
    "name_in_dandiset",
    "open_remote",
    "parse_address",
    "person",
    "plan_download",
    "plan_upload",
    "read_lock",
    "software_activity",
    "upload_files",
    "validate_for_dandi",
]
