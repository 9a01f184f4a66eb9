"""The bytes of one file onto an archive: in parts, each checked, and one blob only when all have arrived.

The dandi client does this itself (``LocalFileAsset.iter_upload``, version 0.81). What it does on a line that is not
perfect had to be taken from it, as it had to be for reading (:mod:`nwb_mivae.archive.remote`):

* it waits without end for a silent storage, and repeats every part twelve times over a minute;
* after one part has failed, or Ctrl-C, it first sends all the other parts: of 60 GB, for hours;
* a completion that the storage answers with status 200 and an error inside is taken for success.

The protocol, the division into parts and the digests are the client's, and so is all that is asked of the archive.
"""

from __future__ import annotations

import io
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import requests

from nwb_mivae.archive import prompt
from nwb_mivae.errors import ArchiveError

if TYPE_CHECKING:
    from dandischema.digests.dandietag import DandiETag
    from urllib3.connection import HTTPConnection

    from nwb_mivae.archive.client import ArchiveClient

__all__ = ["REPEATED", "send_bytes"]

#: What a command that uploads finds when it is repeated after a failure.
REPEATED = "files that are up stay, and one whose sending was interrupted is sent from its beginning"

_PARTS_AT_ONCE = 4
_REPORT_SECONDS = 0.2
#: The longest that an answer is waited for while what was sent may still be on its way.
_LONGEST_DRAIN_SECONDS = 300.0


def send_bytes(
    client: ArchiveClient, file: Path, digest: DandiETag, dandiset: str, *, report: Callable[[int], None]
) -> str:
    """Send a file's bytes for a dandiset, unless the archive has them, and give the blob's identifier.

    Nothing in the dandiset changes. Bytes that arrived before a failure are of no use to the archive, so that the file
    is sent from its beginning the next time.

    Parameters
    ----------
    client : ArchiveClient
        With its token.
    file : Path
        The file, as it was when ``digest`` was computed.
    digest : DandiETag
        Of the file and each of its parts.
    dandiset : str
        Six digits.
    report : callable
        Told how many bytes have been sent.

    Raises
    ------
    ArchiveError
        If the storage fails, what arrived is not what was sent, or the file changed meanwhile.
    """
    size = sum(part.size for part in digest.get_parts())
    if file.stat().st_size != size:
        raise _changed(f"{file.stat().st_size:,} bytes, which were {size:,} before", file)
    stated = {"algorithm": "dandi:dandi-etag", "value": digest.as_str()}
    try:
        begun = client.post("/uploads/initialize/", json={"contentSize": size, "digest": stated, "dandiset": dandiset})
    except requests.HTTPError as problem:
        if problem.response is None or problem.response.status_code != 409:
            raise
        # Somebody sent the same bytes before, perhaps this command before it was interrupted.
        return str(problem.response.headers["Location"])
    upload = str(begun["upload_id"])
    if len(begun["parts"]) != digest.part_qty:
        raise _disagreement(f"{len(begun['parts'])} parts instead of {digest.part_qty}", file)
    with _Storage(file) as storage:
        parts = _send_parts(storage, begun["parts"], digest, report)
        completion = client.post(f"/uploads/{upload}/complete/", json={"parts": parts})
        storage.complete(completion["complete_url"], completion["body"], digest.as_str())
    return str(client.post(f"/uploads/{upload}/validate/")["blob_id"])


def _send_parts(
    storage: _Storage, parts: list[Mapping[str, Any]], digest: DandiETag, report: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Send all parts, a few at once; the first that fails, or Ctrl-C, stops the others where they are."""
    threads = ThreadPoolExecutor(_PARTS_AT_ONCE)
    try:
        sending = [threads.submit(storage.send_part, part, digest) for part in parts]
        while True:
            done, waiting = wait(sending, timeout=_REPORT_SECONDS, return_when=FIRST_EXCEPTION)
            report(storage.bytes_sent)
            if not waiting or any(each.exception() for each in done):
                # The part that failed first is told of, not those that were stopped for it.
                reasons = [each.exception() for each in done]
                for reason in sorted(filter(None, reasons), key=lambda each: isinstance(each, _StoppedError)):
                    raise reason
                return [each.result() for each in sending]
    except BaseException:
        storage.stop()
        raise
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


class _StoppedError(Exception):
    """Sending was stopped because another part failed, or the user wished it. Never leaves this file."""


class _StorageSession(prompt.PromptSession):
    """A session that may be slow in taking bytes, as storages are, but not silent."""

    repeated = REPEATED

    def __init__(self, stopped: threading.Event) -> None:
        super().__init__()
        self._connections = _Connections(stopped)
        for scheme in ("http://", "https://"):
            self.mount(scheme, _WatchedAdapter(self._connections))

    def patience(self, n_bytes: int) -> tuple[float, float]:
        """For the answer to a part: as long as a line that is just fast enough takes for it, within bounds.

        What was handed to the system is not on its way yet: on a slow line megabytes wait there to be sent, and the
        answer comes after the last of them.
        """
        slowest = n_bytes / prompt.SLOWEST_BYTES * prompt.SLOWEST_SECONDS
        return prompt.READ_SECONDS, max(prompt.READ_SECONDS, min(slowest, _LONGEST_DRAIN_SECONDS))

    def hang_up(self) -> None:
        """Break all connections, so that nobody waits for an answer any more."""
        self._connections.hang_up()


class _Connections:
    """The connections of a session that are in use, of which requests knows none; no new ones once it is stopped."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._known: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._changing = threading.Lock()

    def refuse_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError

    def add(self, connection: HTTPConnection) -> None:
        with self._changing:
            self._known.add(connection)

    def hang_up(self) -> None:
        with self._changing:
            known = list(self._known)
        for sock in [connection.sock for connection in known]:
            if sock is not None:
                with suppress(OSError):  # closed meanwhile
                    # The line itself, below encryption (and below that of a proxy): Python's own encrypted socket
                    # forgets first that it is one, and who waits for it would send the rest in the clear.
                    socket.socket.shutdown(getattr(sock, "socket", sock), socket.SHUT_RDWR)


class _WatchedAdapter(prompt.PromptAdapter):
    """Tells of its connections."""

    def __init__(self, connections: _Connections) -> None:
        super().__init__(max_retries=prompt.few_retries())
        self._connections = connections

    def get_connection_with_tls_context(self, *args: Any, **settings: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **settings)
        if "ConnectionCls" not in vars(pool):  # not one that was given out before
            connections, plain = self._connections, pool.ConnectionCls

            class Watched(plain):  # type: ignore[misc, valid-type]
                def connect(self) -> None:
                    connections.refuse_if_stopped()
                    super().connect()
                    connections.add(self)
                    # Stopped before it was known, nobody hung it up.
                    try:
                        connections.refuse_if_stopped()
                    except _StoppedError:
                        self.close()
                        raise

            pool.ConnectionCls = Watched
        return pool


class _Storage:
    """Where the archive says the bytes go. Its signed addresses are keys, and are never shown or logged."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.stopped = threading.Event()
        self._session = _StorageSession(self.stopped)
        self._sent: dict[int, _Part] = {}

    def __enter__(self) -> _Storage:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    @property
    def bytes_sent(self) -> int:
        return sum(part.tell() for part in list(self._sent.values()))

    def send_part(self, part: Mapping[str, Any], digest: DandiETag) -> dict[str, Any]:
        number = int(part["part_number"])
        expected = digest.get_part(number)
        if int(part["size"]) != expected.size:
            raise _disagreement(f"part {number} of {part['size']} bytes instead of {expected.size}", self._file)
        with _Part(self._file, expected.offset, expected.size, self.stopped) as body:
            self._sent[number] = body
            answer = self._session.put(str(part["upload_url"]), data=body)
            self._refuse_status(answer, f"part {number} of {digest.part_qty}")
            self._refuse_digest(answer.headers.get("ETag", ""), str(digest.get_part_etag(expected)), f"part {number}")
            return {"part_number": number, "size": expected.size, "etag": digest.get_part_etag(expected)}

    def stop(self) -> None:
        """Send nothing more, and wait for nothing."""
        self.stopped.set()
        self._session.hang_up()

    def complete(self, url: str, body: str, digest: str) -> None:
        # To be told twice that these parts are one file does no harm.
        self._session.repeat_posts_to(url.split("?", 1)[0])
        answer = self._session.post(url, data=body)
        self._refuse_status(answer, "the end of the file")
        self._refuse_digest(_etag_in(answer.text), digest, "the file")

    def _refuse_status(self, answer: requests.Response, what: str) -> None:
        if answer.status_code not in (200, 201, 204):
            raise ArchiveError(
                f"status {answer.status_code} of the storage for {what}",
                expected="bytes that are taken",
                remedy="wait a few minutes and repeat the command",
                file=self._file,
            )

    def _refuse_digest(self, stated: str, expected: str, what: str) -> None:
        if stated.strip('"') != expected:
            raise _changed(
                f"other bytes of {what} in the storage, {stated or 'no digest'} instead of {expected}", self._file
            )


class _Part(io.RawIOBase):
    """A part of a file as the body of a request: read in small pieces, so that slowness and stops are noticed."""

    def __init__(self, file: Path, offset: int, size: int, stopped: threading.Event) -> None:
        self._stream = open(file, "rb")  # noqa: SIM115 - closed with this body
        self._offset, self._size, self._stopped = offset, size, stopped
        self._position = 0
        self._since, self._before = time.monotonic(), 0

    def __len__(self) -> int:
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        # What is begun again has its time again.
        self._position = self._before = offset if whence == io.SEEK_SET else self._size + offset
        self._since = time.monotonic()
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._stopped.is_set():
            raise _StoppedError
        elapsed = time.monotonic() - self._since
        if elapsed > prompt.SLOWEST_SECONDS:
            if self._position - self._before < prompt.SLOWEST_BYTES:
                raise prompt.SilentLineError(f"{self._position - self._before:,} bytes were taken in {elapsed:.0f} s")
            self._since, self._before = time.monotonic(), self._position
        self._stream.seek(self._offset + self._position)
        piece = self._stream.read(min(len(buffer), self._size - self._position))
        if not piece and self._position < self._size:
            raise _changed("fewer bytes than before", Path(self._stream.name))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _etag_in(answer: str) -> str:
    """The digest that the storage states of a completed file; nothing where it states an error."""
    try:
        root = ElementTree.fromstring(answer)
    except ElementTree.ParseError:
        return ""
    namespace = re.match(r"\{.*?\}", root.tag)
    return (root.findtext(f"{namespace[0] if namespace else ''}ETag") or "").strip()


def _changed(found: str, file: Path) -> ArchiveError:
    return ArchiveError(
        f"a file that changed, or was damaged on the way ({found})",
        expected="the bytes that were planned to be sent",
        remedy="leave the file as it is and repeat the command",
        file=file,
    )


def _disagreement(found: str, file: Path) -> ArchiveError:
    return ArchiveError(
        f"an archive that divides the file otherwise ({found})",
        expected="the parts of the dandi client",
        remedy="leave the file as it is and repeat; if it fails again, update dandi",
        file=file,
    )
