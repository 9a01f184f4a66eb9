"""HTTP that answers or fails within seconds: bounded waiting, few repetitions, no line that drips for hours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sized
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util.retry import Retry

from nwb_mivae.errors import ArchiveError

__all__ = [
    "BUSY_STATUSES",
    "BrokenLineError",
    "PromptAdapter",
    "PromptSession",
    "SilentLineError",
    "few_retries",
    "note_silence",
    "pieces_of",
]

CONNECT_SECONDS = 5.0
#: The longest silence of a server that has been asked something.
READ_SECONDS = 15.0
#: A line must bring this many bytes in every so many seconds.
SLOWEST_BYTES, SLOWEST_SECONDS = 15_000, 15.0
#: Answers of a server that may be ready in a moment.
BUSY_STATUSES = (408, 429, 500, 502, 503, 504)
_PIECE = 256 * 1024

#: Servers that were waited for in vain, until when they are not asked again, and what they did: a hundred files on a
#: dead line are to take no longer than one.
_silent: dict[str, tuple[float, str]] = {}
_NOT_ASKED_SECONDS = 20.0


class BrokenLineError(Exception):
    """Bytes stopped coming; the text says how. Never leaves this room."""


class SilentLineError(BrokenLineError):
    """It took long to find out that nothing comes any more."""


class _FewRetries(Retry):
    """Like urllib3's, but a server that was silent for the whole time-out is not asked again."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


def pieces_of(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes, decoded.

    ``requests`` waits for a whole piece however slowly it drips; this takes what is there and watches the clock.

    Raises
    ------
    BrokenLineError
        If the line breaks, or the body ends before the length that was announced.
    SilentLineError
        If the line is silent or too slow.
    """
    since, arrived = time.monotonic(), 0
    while True:
        try:
            piece = response.raw.read1(_PIECE, decode_content=True)
        except ReadTimeoutError as problem:
            raise SilentLineError(f"nothing came for {READ_SECONDS:g} s") from problem
        except (HTTPError, OSError) as problem:
            raise BrokenLineError("the line broke before the end") from problem
        if not piece:
            return
        yield piece
        arrived += len(piece)
        elapsed = time.monotonic() - since
        if elapsed > SLOWEST_SECONDS:
            if arrived < SLOWEST_BYTES:
                raise SilentLineError(f"{arrived:,} bytes came in {elapsed:.0f} s")
            since, arrived = time.monotonic(), 0


class _PromptResponse(requests.Response):
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:  # noqa: ARG002
        yield from pieces_of(self)
        self._content_consumed = True


class PromptAdapter(HTTPAdapter):
    """Gives responses whose bodies are read as :func:`pieces_of` reads them."""

    def build_response(self, request: requests.PreparedRequest, answer: Any) -> requests.Response:
        response = super().build_response(request, answer)
        response.__class__ = _PromptResponse
        return response


class PromptSession(requests.Session):
    """A session that gives up after one more try, with an :class:`~nwb_mivae.errors.ArchiveError` that says why.

    The dandi client repeats every failed request twelve times over about a minute. It does so for two exceptions of
    requests; one of another family ends the matter at once. What is answered when the server stays busy is returned
    as it is.
    """

    #: What a command finds that is repeated after a failure.
    repeated = "finished files are kept and unfinished ones resume"

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, PromptAdapter(max_retries=few_retries()))

    def patience(self, n_bytes: int) -> tuple[float, float]:  # noqa: ARG002
        """The longest silence, in seconds, while connecting or sending, and of a server that was sent ``n_bytes``."""
        return CONNECT_SECONDS, READ_SECONDS

    def repeat_posts_to(self, prefix: str) -> None:
        """Repeat also what is posted to addresses that begin so, where doing it twice does no harm."""
        self.mount(prefix, PromptAdapter(max_retries=few_retries(allowed_methods=None)))

    def request(self, method: str, url: str | bytes, *args: Any, **settings: Any) -> requests.Response:
        body = settings.get("data")
        connecting, reading = settings["timeout"] = self.patience(len(body) if isinstance(body, Sized) else 0)
        # A signed address carries its signature in the query.
        where = (url.decode() if isinstance(url, bytes) else url).split("?", 1)[0]
        until, reason = _silent.get(urlsplit(where).netloc, (0.0, ""))
        if time.monotonic() < until:
            raise self._no_answer(reason, where)
        try:
            return super().request(method, url, *args, **settings)
        except BrokenLineError as problem:
            if isinstance(problem, SilentLineError):
                note_silence(where, str(problem))
            raise self._no_answer(str(problem), where) from problem
        except requests.Timeout as problem:
            unconnected = isinstance(problem, requests.ConnectTimeout)
            reason = f"no connection within {connecting:g} s" if unconnected else f"nothing within {reading:g} s"
            note_silence(where, reason)
            raise self._no_answer(reason, where) from problem
        except requests.ConnectionError as problem:
            raise self._no_answer("no connection", where) from problem

    def _no_answer(self, reason: str, where: str) -> ArchiveError:
        return ArchiveError(
            f"no answer from {urlsplit(where).netloc} ({reason})",
            expected="a server that can be reached",
            remedy=f"check the network and the archive's status page, then repeat: {self.repeated}",
            file=where,
        )


def few_retries(**settings: Any) -> _FewRetries:
    """Once more where a connection broke, twice where the server is busy."""
    return _FewRetries(
        total=2,
        connect=1,
        read=1,
        status=2,
        backoff_factor=0.3,
        status_forcelist=BUSY_STATUSES,
        raise_on_status=False,
        respect_retry_after_header=False,
        **settings,
    )


def note_silence(url: str, reason: str) -> None:
    """Let the server of this address not be asked for a while."""
    _silent[urlsplit(url).netloc] = (time.monotonic() + _NOT_ASKED_SECONDS, reason)
