"""A DANDI archive of one dandiset on 127.0.0.1, in the standard library, that misbehaves on demand.

Its API and its storage are two servers, as in reality: the API answers a download with the storage's signed address.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mmap import mmap
from typing import Any
from urllib.parse import parse_qs, urlsplit

CREATED = "2026-01-02T03:04:05.000000Z"
_PIECE = 1024 * 1024


@dataclass
class StubAsset:
    """One asset and how its download misbehaves."""

    path: str
    content: bytes | mmap
    asset_id: str
    #: What is sent instead of ``content`` (same stated digest).
    sent: bytes | None = None
    #: How many bytes of the first bodies arrive before the line breaks; one entry per broken body.
    breaks_after: list[int] = field(default_factory=list)
    #: Whether the length of the body is announced (without it a broken line looks like the end).
    announces_length: bool = True
    #: Status of every request for bytes, and of the first ones.
    download_status: int = 200
    first_statuses: list[int] = field(default_factory=list)
    ignores_ranges: bool = False
    #: How far the range that is sent lies from the one that was asked for, in spite of its headers and in them.
    shifts_range: int = 0
    states_shifted_range: int = 0
    #: Seconds before every answer, and before every byte of a body.
    silent_for: float = 0.0
    drips: float = 0.0
    #: Where in the storage the bytes are; another name moves them.
    blob: str = ""
    tag: str | None = None
    digests: dict[str, str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    zarr: bool = False

    def stated_digests(self) -> dict[str, str]:
        if self.digests is None:
            self.digests = {
                "dandi:dandi-etag": self.etag(),
                "dandi:sha2-256": hashlib.sha256(self.content).hexdigest(),
            }
        return self.digests

    def etag(self) -> str:
        """What the storage calls the content: for bytes that came through the archive the same as its digest."""
        if self.tag is None:
            self.tag = hashlib.md5(hashlib.md5(self.content).digest()).hexdigest() + "-1"
        return self.tag

    def replace(self, content: bytes) -> None:
        """Put other bytes in the place of the asset's, as happens to files on plain servers."""
        self.content, self.tag = content, None
        self.tag = self.etag()


class StubArchive:
    """The archive: ``with StubArchive() as archive: archive.add(...); archive.url``."""

    def __init__(self, dandiset: str = "000999", published: str | None = "0.240827.1809") -> None:
        self.dandiset = dandiset
        self.published = published
        self.assets: dict[str, StubAsset] = {}
        #: Of both servers, in order: method, path with query, headers.
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        #: Of bodies of assets, as far as they were sent.
        self.bytes_sent = 0
        self.token: str | None = None
        #: Status and body given to every request of the API, where set.
        self.answer: tuple[int, bytes] | None = None
        #: Whether the list of assets can carry their metadata, as the archive's can.
        self.lists_metadata = True
        #: Whether the API gives the bytes itself.
        self.keeps_bytes = False
        #: Seconds before every answer, as on a long line.
        self.latency = 0.0
        #: Called before every answer with bytes, with their number so far.
        self.interfere: Callable[[int], None] = lambda number: None
        #: The storage refuses every address signed with another text.
        self.signature = "secret"
        self.server = self._serving(self.handle)
        self.storage = self._serving(self.handle_storage)

    def _serving(self, handle: Callable[[BaseHTTPRequestHandler], None]) -> ThreadingHTTPServer:
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body in one packet; otherwise each answer waits for the one before to be acknowledged.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                archive.requests.append((self.command, self.path, dict(self.headers)))
                if archive.latency:
                    time.sleep(archive.latency)
                try:
                    handle(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            # The half that takes things (stub_uploads.py) is asked by these; the reading half refuses them.
            def do_POST(self) -> None:
                self.do_GET()

            def do_PUT(self) -> None:
                self.do_GET()

            def do_DELETE(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        # Clients that hang up in the middle of a body do so on purpose.
        server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        return server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/api"

    @property
    def token_variable(self) -> str:
        """Where the client looks for the token."""
        return f"DANDI_127_0_0_1_{self.server.server_address[1]}_API_KEY"

    @property
    def storage_url(self) -> str:
        return f"http://127.0.0.1:{self.storage.server_address[1]}/blobs"

    def __enter__(self) -> StubArchive:
        for server in (self.server, self.storage):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        for server in (self.server, self.storage):
            server.shutdown()
            server.server_close()

    def add(self, path: str, content: bytes | mmap, **behaviour: Any) -> StubAsset:
        asset = StubAsset(path, content, str(uuid.uuid5(uuid.NAMESPACE_URL, path + str(len(self.assets)))), **behaviour)
        asset.blob = asset.blob or asset.asset_id
        self.assets[asset.asset_id] = asset
        return asset

    def downloads(self) -> list[dict[str, str]]:
        """Headers of every request for bytes, in order."""
        return [headers for _, path, headers in self.requests if path.startswith("/blobs/")]

    # -- answers ---------------------------------------------------------------------------------------------------

    def handle_storage(self, request: BaseHTTPRequestHandler) -> None:
        self.interfere(len(self.downloads()))
        parts = urlsplit(request.path)
        found = [asset for asset in self.assets.values() if f"/blobs/{asset.blob}" == parts.path]
        if not found:
            self._send(request, 404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif parts.query != f"signature={self.signature}" and self.signature:
            self._send(request, 403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        else:
            self._blob(request, found[0])

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        if request.command not in ("GET", "HEAD"):
            self._send(request, 405, b'{"detail": "Method not allowed."}')
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
        if download and download[1] in self.assets:
            asset = self.assets[download[1]]
            if self.keeps_bytes:
                self._blob(request, asset)
                return
            request.send_response(302)
            request.send_header("Location", f"{self.storage_url}/{asset.blob}?signature={self.signature}")
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
        if asset.silent_for:
            time.sleep(asset.silent_for)
        status = asset.first_statuses.pop(0) if asset.first_statuses else asset.download_status
        if status != 200:
            self._send(request, status, b"{}")
            return
        body = asset.content if asset.sent is None else asset.sent
        start, stop = 0, len(body)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if wanted and not asset.ignores_ranges:
            start = int(wanted[1])
            stop = min(int(wanted[2]) + 1, len(body)) if wanted[2] else len(body)
            if start >= len(body):
                self._send(request, 416, b"")
                return
            stated = start + asset.states_shifted_range
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {stated}-{stated + stop - start - 1}/{len(body)}")
            start, stop = start + asset.shifts_range, stop + asset.shifts_range
        else:
            request.send_response(200)
        if asset.etag():
            request.send_header("ETag", f'"{asset.etag()}"')
        if asset.announces_length:
            request.send_header("Content-Length", str(stop - start))
        breaks = bool(asset.breaks_after)
        if breaks or not asset.announces_length:
            request.send_header("Connection", "close")
            request.close_connection = True
        request.end_headers()
        stop = min(stop, start + asset.breaks_after.pop(0)) if breaks else stop
        step = 1 if asset.drips else _PIECE
        for begin in range(start, stop, step):
            if asset.drips:
                request.wfile.flush()
                time.sleep(asset.drips)
            piece = body[begin : min(begin + step, stop)]
            # Counted first: the client is ahead of this thread as soon as it has the bytes.
            self.bytes_sent += len(piece)
            request.wfile.write(piece)
        request.wfile.flush()

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
            "contentUrl": [f"{self.url}/assets/{asset.asset_id}/download/", f"{self.storage_url}/{asset.blob}"],
            "digest": asset.stated_digests(),
            "blobDateModified": CREATED,
            **asset.metadata,
        }

    def _list(self, query: dict[str, str], dandiset: str, version: str) -> dict[str, Any] | None:
        if dandiset != self.dandiset or version not in (self.published, "draft"):
            return None
        # The archive knows no pattern but the star.
        pattern = re.sub(r"([\[\]?])", r"[\1]", query.get("glob", "*"))
        found = [
            self._record(asset) | ({"metadata": self._metadata(asset)} if self._wants_metadata(query) else {})
            for asset in self.assets.values()
            if fnmatch.fnmatchcase(asset.path, pattern)
        ]
        return {"count": len(found), "next": None, "previous": None, "results": found}

    def _wants_metadata(self, query: dict[str, str]) -> bool:
        return self.lists_metadata and query.get("metadata") == "true"

    def _asset_info(self, query: dict[str, str], dandiset: str, version: str, asset: str) -> dict[str, Any] | None:
        if asset not in self.assets:
            return None
        return {**self._record(self.assets[asset]), "metadata": self._metadata(self.assets[asset])}

    def _asset_metadata(self, query: dict[str, str], dandiset: str, version: str, asset: str) -> dict[str, Any] | None:
        return self._metadata(self.assets[asset]) if asset in self.assets else None
