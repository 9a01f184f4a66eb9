"""The half of the stub archive that takes things: users, drafts, uploads in parts, assets. It fails where told."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import struct
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dandischema.consts import DANDI_SCHEMA_VERSION
from dandischema.digests.dandietag import PartGenerator

from tests.archive.stub_archive import StubArchive, StubAsset

TOKEN = "a-secret-token"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass
class Fault:
    """What happens to requests of this method whose path matches, the first ``times`` times."""

    method: str
    path: str
    #: A status, or ``"reset"``, ``"silence"``, ``"interrupt"`` (Ctrl-C in the client), ``"damage"`` (of a part).
    what: int | str
    times: int = 1_000
    body: bytes = b'{"detail": "as the test wishes"}'


@dataclass
class _Upload:
    size: int
    etag: str
    parts: dict[int, bytes] = field(default_factory=dict)
    complete: bool = False


class StubUploads(StubArchive):
    """``with StubUploads() as archive``: one dandiset, whose draft the owner of :data:`TOKEN` may change."""

    def __init__(self, dandiset: str | None = "000999") -> None:
        super().__init__(dandiset or "", published=None)
        self.metadata: dict[str, Any] = {} if dandiset is None else self._draft("A stub")
        self.blobs: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, _Upload] = {}
        self.faults: list[Fault] = []
        self.schema_version = DANDI_SCHEMA_VERSION
        #: Whether drafts are shown to their owner only.
        self.embargoed = False
        #: Seconds between two pieces that the storage takes.
        self.takes_slowly = 0.0

    def fail(self, method: str, path: str, what: int | str, *, times: int = 1_000, body: bytes | None = None) -> None:
        self.faults.append(Fault(method, path, what, times, *(() if body is None else (body,))))

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Requests that are there to change something."""
        return [(method, path) for method, path, _ in self.requests if method not in ("GET", "HEAD")]

    @property
    def paths(self) -> dict[str, bytes]:
        """What the draft has: paths and bytes."""
        return {asset.path: bytes(asset.content) for asset in self.assets.values()}

    def _draft(self, name: str) -> dict[str, Any]:
        return {
            "id": f"DANDI:{self.dandiset}/draft",
            "identifier": f"DANDI:{self.dandiset}",
            "name": name,
            "version": "draft",
            "schemaKey": "Dandiset",
            "schemaVersion": DANDI_SCHEMA_VERSION,
            "keywords": ["kept"],
            "contributor": [
                {
                    "name": "Owner, Olga",
                    "email": "olga@example.org",
                    "roleName": ["dcite:ContactPerson"],
                    "schemaKey": "Person",
                    "includeInCitation": True,
                }
            ],
        }

    # -- answers ---------------------------------------------------------------------------------------------------

    def _struck(self, request: BaseHTTPRequestHandler) -> bool:
        """Do what a fault says; whether nothing else is to be done."""
        request.damaged = request.lost = False  # type: ignore[attr-defined]
        for fault in self.faults:
            if fault.times and fault.method == request.command and re.search(fault.path, request.path):
                fault.times -= 1
                if fault.what == "interrupt":
                    os.kill(os.getpid(), signal.SIGINT)
                    return False
                if fault.what == "lost":
                    request.lost = True  # type: ignore[attr-defined]
                    return False
                if fault.what == "damage":
                    request.damaged = True  # type: ignore[attr-defined]
                    return False
                if fault.what == "silence":
                    time.sleep(30)
                if fault.what in ("reset", "silence"):
                    self._hang_up(request)
                self._body(request)
                self._send(request, int(fault.what), fault.body)
                return True
        return False

    def _hang_up(self, request: BaseHTTPRequestHandler) -> None:
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.connection.close()
        raise ConnectionResetError

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        if getattr(request, "lost", False):
            self._hang_up(request)
        super()._send(request, status, body)

    def _body(self, request: BaseHTTPRequestHandler) -> bytes:
        left, pieces = int(request.headers.get("Content-Length") or 0), []
        while left:
            piece = request.rfile.read(min(left, 16_384))
            if not piece:
                raise ConnectionResetError
            if self.takes_slowly:
                time.sleep(self.takes_slowly)
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        if self._struck(request):
            return
        parts = urlsplit(request.path)
        path, method = parts.path.removeprefix("/api"), request.command
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        body = json.loads(self._body(request) or b"null")
        known = request.headers.get("Authorization") == f"token {TOKEN}"
        if (self.embargoed or method not in ("GET", "HEAD") or path == "/users/me/") and not known:
            self._send(request, 401, b'{"detail": "Invalid token."}')
            return
        draft = f"/dandisets/{self.dandiset}/versions/draft/"
        answer: Any = None
        if (method, path) == ("GET", "/info/"):
            answer = {"schema_version": self.schema_version, "allowed_schema_versions": [self.schema_version]}
        elif (method, path) == ("GET", "/users/me/"):
            answer = {"username": "olga", "name": "Olga Owner", "admin": False}
        elif (method, path) == ("GET", "/dandisets/"):
            mine = [self._dandiset({}, self.dandiset)] if self.dandiset else []
            answer = {"count": len(mine), "next": None, "previous": None, "results": mine}
        elif (method, path) == ("POST", "/dandisets/"):
            self.dandiset = "000321"
            self.metadata = {**self._draft(body["name"]), **body["metadata"], "name": body["name"]}
            answer = self._dandiset({}, self.dandiset)
        elif (method, path) == ("GET", draft):
            answer = self.metadata
        elif (method, path) == ("PUT", draft):
            self.metadata = body["metadata"]
            answer = self._version("draft")
        elif method == "POST" and path == "/uploads/initialize/":
            self._initialize(request, body)
            return
        elif method == "POST" and (found := re.fullmatch(r"/uploads/([^/]+)/(complete|validate)/", path)):
            answer = self._finish(found[1], found[2])
        elif (method, path) == ("POST", f"{draft}assets/"):
            if any(asset.path == body["metadata"]["path"] for asset in self.assets.values()):
                self._send(request, 409, b'{"detail": "An asset with that path already exists"}')
                return
            answer = self._new_asset(body)
        elif method == "PUT" and (found := re.fullmatch(re.escape(f"{draft}assets/") + r"([^/]+)/", path)):
            if found[1] in self.assets:
                del self.assets[found[1]]
                answer = self._new_asset(body)
        elif (method, path) == ("GET", f"{draft}assets/") and "path" in query:
            answer = self._list(query, self.dandiset, "draft")
            answer["results"] = [each for each in answer["results"] if each["path"].startswith(query["path"])]
        else:
            super().handle(request)
            return
        if answer is None:
            self._send(request, 404, b'{"detail": "Not found."}')
        else:
            self._send(request, 200, json.dumps(answer).encode())

    def _version(self, name: str) -> dict[str, Any]:
        return {**super()._version(name), "name": self.metadata.get("name", "")}

    def _initialize(self, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        etag = body["digest"]["value"]
        for blob, (known, _) in self.blobs.items():
            if known == etag:
                request.send_response(409)
                request.send_header("Location", blob)
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
        upload = str(uuid.uuid4())
        self.uploads[upload] = _Upload(body["contentSize"], etag)
        parts = [
            {
                "part_number": part.number,
                "size": part.size,
                "upload_url": f"{self.storage_url}/{upload}/{part.number}?signature={self.signature}",
            }
            for part in PartGenerator.for_file_size(body["contentSize"])
        ]
        self._send(request, 200, json.dumps({"upload_id": upload, "parts": parts}).encode())

    def _finish(self, upload: str, step: str) -> dict[str, Any] | None:
        if upload not in self.uploads:
            return None
        if step == "complete":
            url = f"{self.storage_url}/{upload}/complete?signature={self.signature}"
            return {"complete_url": url, "body": "<CompleteMultipartUpload/>"}
        done = self.uploads.pop(upload)
        if not done.complete:
            return None
        blob = str(uuid.uuid4())
        self.blobs[blob] = (done.etag, b"".join(done.parts[number] for number in sorted(done.parts)))
        return {"blob_id": blob, "etag": done.etag, "size": done.size}

    def _new_asset(self, body: dict[str, Any]) -> dict[str, Any]:
        etag, content = self.blobs[body["blob_id"]]
        asset = StubAsset(body["metadata"]["path"], content, str(uuid.uuid4()), tag=etag)
        asset.blob = asset.asset_id
        asset.metadata = {name: value for name, value in body["metadata"].items() if name != "digest"}
        self.assets[asset.asset_id] = asset
        return {**self._record(asset), "metadata": self._metadata(asset)}

    def handle_storage(self, request: BaseHTTPRequestHandler) -> None:
        if request.command in ("GET", "HEAD"):
            super().handle_storage(request)
            return
        if self._struck(request):
            return
        body, parts = self._body(request), urlsplit(request.path)
        _, _, upload, step = parts.path.split("/")
        if parts.query != f"signature={self.signature}" or upload not in self.uploads:
            self._send(request, 403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        known = self.uploads[upload]
        if request.command == "PUT":
            kept = body[:-1] + bytes([body[-1] ^ 1]) if request.damaged else body  # type: ignore[attr-defined]
            known.parts[int(step)] = kept
            request.send_response(200)
            request.send_header("ETag", f'"{hashlib.md5(kept).hexdigest()}"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        digests = b"".join(hashlib.md5(known.parts[number]).digest() for number in sorted(known.parts))
        etag = f"{hashlib.md5(digests).hexdigest()}-{len(known.parts)}"
        known.complete = True
        self._send(
            request,
            200,
            f'<CompleteMultipartUploadResult xmlns="{_NAMESPACE}"><ETag>"{etag}"</ETag>'
            "</CompleteMultipartUploadResult>".encode(),
        )
