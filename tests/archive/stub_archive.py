"""A DANDI archive of one dandiset on 127.0.0.1, in the standard library: enough for listing and downloading."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CREATED = "2026-01-02T03:04:05.000000Z"


@dataclass
class StubAsset:
    """One asset and how its download misbehaves."""

    path: str
    content: bytes
    asset_id: str
    #: What is sent instead of ``content`` (same stated digest).
    sent: bytes | None = None
    #: How many bytes of the first downloads arrive before the line breaks; one entry per broken download.
    breaks_after: list[int] = field(default_factory=list)
    #: Whether the length of the body is announced (without it a broken line looks like the end).
    announces_length: bool = True
    download_status: int = 200
    digests: dict[str, str] | None = None
    zarr: bool = False

    def stated_digests(self) -> dict[str, str]:
        if self.digests is not None:
            return self.digests
        return {
            "dandi:dandi-etag": hashlib.md5(hashlib.md5(self.content).digest()).hexdigest() + "-1",
            "dandi:sha2-256": hashlib.sha256(self.content).hexdigest(),
        }


class StubArchive:
    """The archive: ``with StubArchive() as archive: archive.add(...); archive.url``."""

    def __init__(self, dandiset: str = "000999", published: str | None = "0.240827.1809") -> None:
        self.dandiset = dandiset
        self.published = published
        self.assets: dict[str, StubAsset] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.token: str | None = None
        #: Status and body given to every request of the API, where set.
        self.answer: tuple[int, bytes] | None = None
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                archive.requests.append((self.command, self.path, dict(self.headers)))
                archive.handle(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/api"

    def __enter__(self) -> StubArchive:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def add(self, path: str, content: bytes, **behaviour: Any) -> StubAsset:
        asset = StubAsset(path, content, str(uuid.uuid5(uuid.NAMESPACE_URL, path + str(len(self.assets)))), **behaviour)
        self.assets[asset.asset_id] = asset
        return asset

    def downloads(self) -> list[dict[str, str]]:
        """Headers of every request for bytes, in order."""
        return [headers for _, path, headers in self.requests if path.startswith("/blobs/")]

    # -- answers ---------------------------------------------------------------------------------------------------

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        if parts.path.startswith("/blobs/"):
            self._blob(request, self.assets[parts.path.split("/")[2]])
            return
        if self.answer is not None:
            self._send(request, *self.answer)
            return
        if self.token is not None and request.headers.get("Authorization") != f"token {self.token}":
            self._send(request, 401, b'{"detail": "Authentication credentials were not provided."}')
            return
        answers: list[tuple[str, Callable[..., Any]]] = [
            (r"/api/dandisets/(\d{6})/", self._dandiset),
            (r"/api/dandisets/(\d{6})/versions/([^/]+)/info/", self._version_info),
            (r"/api/dandisets/(\d{6})/versions/([^/]+)/assets/", self._list),
            (r"/api/dandisets/(\d{6})/versions/([^/]+)/assets/([^/]+)/info/", self._asset_info),
            (r"/api/dandisets/(\d{6})/versions/([^/]+)/assets/([^/]+)/", self._asset_metadata),
        ]
        download = re.fullmatch(r"/api/(?:dandisets/\d{6}/versions/[^/]+/)?assets/([^/]+)/download/", parts.path)
        if download:
            request.send_response(302)
            request.send_header("Location", f"/blobs/{download[1]}?signature=secret")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        for pattern, answer in answers:
            match = re.fullmatch(pattern, parts.path)
            if match:
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                content = answer(query, *match.groups())
                if content is not None:
                    self._send(request, 200, json.dumps(content).encode())
                    return
        self._send(request, 404, b'{"detail": "Not found."}')

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _blob(self, request: BaseHTTPRequestHandler, asset: StubAsset) -> None:
        if asset.download_status != 200:
            self._send(request, asset.download_status, b"{}")
            return
        body = asset.content if asset.sent is None else asset.sent
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if wanted:
            start = int(wanted[1])
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            request.send_response(200)
        if asset.announces_length:
            request.send_header("Content-Length", str(len(body) - start))
        request.send_header("Connection", "close")
        request.end_headers()
        stop = asset.breaks_after.pop(0) if asset.breaks_after else len(body)
        request.wfile.write(body[start:stop])
        request.wfile.flush()
        request.close_connection = True

    def _version(self, name: str) -> dict[str, Any]:
        return {
            "version": name,
            "name": "stub",
            "asset_count": len(self.assets),
            "size": sum(len(asset.content) for asset in self.assets.values()),
            "created": CREATED,
            "modified": CREATED,
            "status": "Valid",
        }

    def _dandiset(self, query: dict[str, str], dandiset: str) -> dict[str, Any] | None:
        if dandiset != self.dandiset:
            return None
        return {
            "identifier": dandiset,
            "created": CREATED,
            "modified": CREATED,
            "contact_person": "nobody",
            "embargo_status": "OPEN",
            "most_recent_published_version": self._version(self.published) if self.published else None,
            "draft_version": self._version("draft"),
        }

    def _version_info(self, query: dict[str, str], dandiset: str, version: str) -> dict[str, Any] | None:
        if dandiset != self.dandiset or version not in (self.published, "draft"):
            return None
        return {**self._version(version), "asset_validation_errors": [], "version_validation_errors": []}

    def _record(self, asset: StubAsset) -> dict[str, Any]:
        return {
            "asset_id": asset.asset_id,
            "blob": None if asset.zarr else asset.asset_id,
            "zarr": asset.asset_id if asset.zarr else None,
            "path": asset.path,
            "size": len(asset.content),
            "created": CREATED,
            "modified": CREATED,
        }

    def _metadata(self, asset: StubAsset) -> dict[str, Any]:
        return {
            "path": asset.path,
            "contentSize": len(asset.content),
            "contentUrl": [f"{self.url.removesuffix('/api')}/blobs/{asset.asset_id}"],
            "digest": asset.stated_digests(),
            "blobDateModified": CREATED,
        }

    def _list(self, query: dict[str, str], dandiset: str, version: str) -> dict[str, Any] | None:
        if dandiset != self.dandiset or version not in (self.published, "draft"):
            return None
        found = [
            self._record(asset)
            for asset in self.assets.values()
            if fnmatch.fnmatchcase(asset.path, query.get("glob", "*"))
        ]
        return {"count": len(found), "next": None, "previous": None, "results": found}

    def _asset_info(self, query: dict[str, str], dandiset: str, version: str, asset: str) -> dict[str, Any] | None:
        if asset not in self.assets:
            return None
        return {**self._record(self.assets[asset]), "metadata": self._metadata(self.assets[asset])}

    def _asset_metadata(self, query: dict[str, str], dandiset: str, version: str, asset: str) -> dict[str, Any] | None:
        return self._metadata(self.assets[asset]) if asset in self.assets else None
