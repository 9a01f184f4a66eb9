"""How the dandi client's downloader is told which asset to fetch, through which client, and under which local name."""

from __future__ import annotations

from dataclasses import dataclass, field

from dandi.dandiapi import BaseRemoteAsset, DandiAPIClient
from dandi.dandiarchive import AssetIDURL

from nwb_mivae.archive.asset import Asset
from nwb_mivae.archive.client import ArchiveClient

__all__ = ["PinnedAssetURL"]


@dataclass
class PinnedAssetURL(AssetIDURL):
    """One asset by identifier, fetched with our client (which fails fast and never prompts).

    The local name is ours too: the archive's answer must not decide where a file is written.
    """

    client: ArchiveClient = field(kw_only=True)
    local_name: str = field(kw_only=True)

    @classmethod
    def of(cls, asset: Asset, client: ArchiveClient, local_name: str) -> PinnedAssetURL:
        """The address of ``asset``."""
        return cls(
            instance=client.dandi_instance,
            dandiset_id=asset.dandiset,
            version_id=asset.version,
            asset_id=asset.asset_id,
            client=client,
            local_name=local_name,
        )

    def get_client(self) -> DandiAPIClient:
        return self.client

    def get_asset_download_path(self, asset: BaseRemoteAsset, preserve_tree: bool) -> str:  # noqa: ARG002
        return self.local_name
