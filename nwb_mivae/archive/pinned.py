"""How the dandi client's downloader is told which asset to fetch, through which line, and under which local name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dandi.consts import MAX_CHUNK_SIZE
from dandi.dandiapi import BaseRemoteAsset, DandiAPIClient, RemoteBlobAsset
from dandi.dandiarchive import AssetIDURL

from nwb_mivae.archive.asset import Asset
from nwb_mivae.archive.blob import Blob
from nwb_mivae.archive.client import ArchiveClient
from nwb_mivae.archive.remote import locate_asset

__all__ = ["PinnedAssetURL"]


class _PromptAsset(RemoteBlobAsset):
    """An asset whose bytes come through a :class:`~nwb_mivae.archive.blob.Blob`.

    The client's own way repeats a broken line ten times over minutes, takes a server that ignores ranges for one that
    goes on where it stopped, and waits for as long as the line drips.
    """

    def get_download_file_iter(self, chunk_size: int = MAX_CHUNK_SIZE) -> Callable[[int], Iterator[bytes]]:  # noqa: ARG002
        asset = Asset(
            instance=self.client.dandi_instance.name,
            dandiset=self.dandiset_id,
            version=self.version_id,
            path=self.path,
            asset_id=self.identifier,
            size=self.size,
            digests={},
        )
        blob = Blob(lambda: locate_asset(asset, self.client), asset.address, size=self.size)

        def pieces(start: int = 0) -> Iterator[bytes]:
            return blob.pieces(start)

        return pieces


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

    def get_assets(
        self, client: DandiAPIClient, order: str | None = None, strict: bool = False
    ) -> Iterator[BaseRemoteAsset]:
        for remote in super().get_assets(client, order=order, strict=strict):
            # Its blob is missing where the asset is a Zarr, which find_assets refuses.
            yield _PromptAsset(**{**dict(remote), "client": client, "_metadata": remote.get_raw_metadata()})

    def get_asset_download_path(self, asset: BaseRemoteAsset, preserve_tree: bool) -> str:  # noqa: ARG002
        return self.local_name
