"""The bytes of one remote file by range, each answer checked to be what was asked for of the file that was meant."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from nwb_mivae.archive.prompt import (
    BUSY_STATUSES,
    BrokenLineError,
    PromptSession,
    SilentLineError,
    note_silence,
    pieces_of,
)
from nwb_mivae.errors import ArchiveError

__all__ = ["Blob", "Location"]

#: A broken line is taken up again as long as it brings this much; so many times in a row where it brings less.
_WORTH_IT = 1024 * 1024
_FRUITLESS_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Location:
    """Where the bytes are to be had now. Both parts may be keys to them, and are never shown, logged or stored."""

    url: str = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


class Blob:
    """The bytes of one remote file, of one size and one content.

    What a server says of the content (its ``ETag``, or the time of its last change) must stay the same from answer to
    answer, so that bytes of two contents are never mixed.

    Parameters
    ----------
    locate : callable
        Gives the location; called again where the server refuses the one it has, since signed addresses expire.
    where : str
        What messages call the file.
    size : int, optional
        Bytes, where it is known beforehand.

    Attributes
    ----------
    bytes_fetched, requests_made : int
        What was asked of the server so far; bodies only.
    """

    def __init__(self, locate: Callable[[], Location], where: str, *, size: int | None = None) -> None:
        self._locate = locate
        self._location: Location | None = None
        self._session = PromptSession()
        self.where = where
        self.size = size
        #: What the server calls the content, or nothing where it does not say.
        self.content_tag = ""
        self._tag_known = False
        #: The name that the server gives the file, or nothing.
        self.file_name = ""
        self.bytes_fetched = 0
        self.requests_made = 0

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop``, all of them.

        Raises
        ------
        ArchiveError
            If they cannot be had, or the server gives others than were asked for.
        """
        return b"".join(self.pieces(start, stop))

    def pieces(self, start: int, stop: int | None = None) -> Iterator[bytes]:
        """Bytes from ``start`` on as they come; a line that breaks is taken up again where it broke.

        Without ``stop`` the whole rest is given, also by a server that ignores ranges: what was asked for is then cut
        out of what it sends. With ``stop`` such a server is refused, for it would send the whole file every time.

        Raises
        ------
        ArchiveError
            As :meth:`read`.
        """
        position, fruitless, ranged = start, 0, start > 0 or stop is not None
        while True:
            begun = position
            try:
                with self._answer(position, stop, ranged=ranged) as (body, end):
                    for piece in body:
                        if end is not None and position + len(piece) > end:
                            raise self._other_bytes(f"more than the {end - begun:,} bytes it announced")
                        position += len(piece)
                        yield piece
                    if end is not None and position < end:
                        raise BrokenLineError(f"the body ended {end - position:,} bytes early")
                return
            except BrokenLineError as problem:
                fruitless = 0 if position - begun >= _WORTH_IT else fruitless + 1
                silent = fruitless > 0 and isinstance(problem, SilentLineError)
                if silent and self._location is not None:
                    note_silence(self._location.url, str(problem))
                if silent or fruitless >= _FRUITLESS_ATTEMPTS:
                    raise ArchiveError(
                        f"a line that is too slow ({problem})"
                        if silent
                        else f"a line that broke again and again ({problem})",
                        expected="all bytes of the file",
                        remedy="check the network and repeat; what has arrived is kept",
                        file=self.where,
                    ) from problem
                ranged = ranged or position > 0
                time.sleep(_PAUSE_SECONDS * fruitless)

    @contextmanager
    def _answer(self, start: int, stop: int | None, *, ranged: bool) -> Iterator[tuple[Iterator[bytes], int | None]]:
        """The body that begins at ``start`` and where it is to end, of an answer whose headers are right."""
        asked = {"Accept-Encoding": "identity"}
        if ranged:
            asked["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        response = self._send(asked)
        try:
            self._check_status(response, start)
            self._check_content(response)
            body = self._counted(response)
            if response.status_code == 206:
                end = self._check_range(response, start, stop)
            else:
                self._check_size(response.headers.get("Content-Length"))
                if stop is not None and (start > 0 or self.size is None or self.size > stop):
                    raise ArchiveError(
                        "a server that ignores ranges: it would send the whole file for every part of it",
                        expected="status 206 and the range that was asked for",
                        remedy="download the file, with `nwb-mivae download` or a browser, instead of streaming it",
                        file=self.where,
                    )
                body, end = _without(body, start), self.size
            yield body, end
        finally:
            # A body that was not wanted after all is not read to its end.
            response.close()

    def _send(self, headers: dict[str, str]) -> requests.Response:
        """An answer from where the bytes are now, which is looked up again once where it is refused."""
        fresh = self._location is None
        while True:
            location = self._location = self._location or self._locate()
            self.requests_made += 1
            try:
                response = self._session.get(location.url, headers={**location.headers, **headers}, stream=True)
            except ArchiveError as problem:
                raise ArchiveError(
                    problem.found, expected=problem.expected, remedy=problem.remedy, file=self.where
                ) from problem
            if response.status_code not in (400, 401, 403, 404, 410) or fresh:
                return response
            response.close()
            self._location, fresh = None, True

    def _counted(self, response: requests.Response) -> Iterator[bytes]:
        for piece in pieces_of(response):
            self.bytes_fetched += len(piece)
            yield piece

    def _check_status(self, response: requests.Response, start: int) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        if status == 416:
            raise self._other_bytes(f"no byte {start:,}")
        # The next reading may find it elsewhere, or under a signature that has not expired.
        self._location = None
        if status in BUSY_STATUSES:
            found, remedy = f"status {status}, repeatedly", "wait a few minutes and repeat; what has arrived is kept"
        elif status in (404, 410):
            found = f"status {status}: the bytes are not where the archive says"
            remedy = "wait a few minutes and repeat; if it stays so, report the asset to the archive"
        elif status in (400, 401, 403):
            found = f"status {status}: the server does not give the bytes"
            remedy = "check that the address is right and, for data under embargo, that the archive's token is valid"
        else:
            found, remedy = f"status {status} instead of an answer", "check the address"
        raise ArchiveError(found, expected="the bytes of the file", remedy=remedy, file=self.where)

    def _check_content(self, response: requests.Response) -> None:
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if self._tag_known and tag != self.content_tag:
            raise ArchiveError(
                f"another content than before ({tag or 'no tag'} instead of {self.content_tag or 'none'}): "
                "the file was replaced while it was read",
                expected="one content from the first byte to the last",
                remedy="repeat the command, which begins with the new content",
                file=self.where,
            )
        self.content_tag, self._tag_known = tag, True
        named = re.search(r'filename="?([^";]+)', response.headers.get("Content-Disposition", ""))
        self.file_name = named[1] if named else self.file_name

    def _check_range(self, response: requests.Response, start: int, stop: int | None) -> int | None:
        """Where the range that was sent ends, if it is the one that was asked for."""
        stated = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", stated.strip())
        if match is None or int(match[1]) != start or (stop is not None and int(match[2]) >= stop):
            raise self._other_bytes(
                f"the range {stated!r} where {start}-{'' if stop is None else stop - 1} was asked for"
            )
        self._check_size(None if match[3] == "*" else match[3])
        end = int(match[2]) + 1
        wanted = self.size if stop is None else stop if self.size is None else min(stop, self.size)
        return end if wanted is None else wanted

    def _check_size(self, stated: str | None) -> None:
        if stated is None or not stated.isdigit():
            return
        if self.size is not None and int(stated) != self.size:
            raise self._other_bytes(f"a file of {int(stated):,} bytes instead of {self.size:,}")
        self.size = int(stated)

    def _other_bytes(self, found: str) -> ArchiveError:
        return ArchiveError(
            f"bytes that are not the file's ({found})",
            expected="the file that the archive describes",
            remedy="repeat the command; if it fails again, report the asset to the archive",
            file=self.where,
        )


def _without(body: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The body without its first ``count`` bytes."""
    for piece in body:
        kept = piece[count:]
        count = max(0, count - len(piece))
        if kept:
            yield kept
