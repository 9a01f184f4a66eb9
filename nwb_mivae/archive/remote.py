"""Reading a file on a server as if it were here, fetching only the parts that are read.

:mod:`remfile` cuts the file into parts and keeps them in memory and on disk. What it does on a line that is not perfect
(version 0.1.15) had to be taken from it, and is :class:`~nwb_mivae.archive.blob.Blob`'s work:

* it waits without end for a silent server, and repeats what failed nine times over half a minute;
* a server that ignores ranges makes it fetch the whole file for every part, nine times;
* it looks at the length of what it gets and nothing else: a file that is replaced while it is read gives bytes of both;
* its read-ahead grows to 100 MB and stays there when reading goes on elsewhere: of a file with a raw movie beside the
  traces it fetches mostly that;
* a signed address that has expired ends the reading, and its key in the disk cache changes with every signature.

So :class:`RemoteFile` gives it a session of ours, which never fails but answers "gone" and remembers why; raises that
error itself, now and on every later read, since a reader of HDF5 may take a broken line for a broken object; allows it
one part at a time, and fetches all parts of one read, and a little ahead of sequential ones, in one request.
"""

from __future__ import annotations

import atexit
import copy
import io
import re
import weakref
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

import h5py

from nwb_mivae.archive.address import is_address, parse_address
from nwb_mivae.archive.asset import Asset
from nwb_mivae.archive.blob import Blob, Location
from nwb_mivae.archive.cache import ChunkCache
from nwb_mivae.errors import ArchiveError

if TYPE_CHECKING:
    from nwb_mivae.archive.client import ArchiveClient

__all__ = ["RemoteFile", "locate_asset", "open_remote"]

#: One part. Objects of HDF5 lie close together in pieces of some kilobytes, chunks of data are tens of kilobytes to
#: some megabytes: larger parts fetch more of what is not read, smaller ones ask more often.
PART_BYTES = 64 * 1024
_PARTS_IN_MEMORY_BYTES = 64 * 1024**2
#: One request. Also the most that one read holds in memory beside what it returns.
_REQUEST_BYTES = 8 * 1024**2
#: Sequential reads fetch this share of what they read so far beforehand, so that at most so much is fetched in vain.
_READ_AHEAD_SHARE = 8
_READ_AHEAD_BYTES = 1024**2
_RUNS = 16
_WAITING_BYTES = 2 * _REQUEST_BYTES + _RUNS * _READ_AHEAD_BYTES


_open_files: weakref.WeakSet[h5py.File] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for root in list(_open_files):
        root.close()


def open_remote(source: str) -> RemoteFile:
    """Open what an address or a URL names.

    Parameters
    ----------
    source : str
        ``dandi://DANDISET[@VERSION]/PATH`` of one asset, pinned or not, or an http(s) URL.

    Raises
    ------
    ArchiveError
        If there is no such file, no server that can be reached, or the server cannot give ranges of bytes.
    """
    if not is_address(source):
        parts = urlsplit(source)
        # The query may be a signature, and the rest before the host a password.
        shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
        return RemoteFile(Blob(lambda: Location(source), shown), shown)
    from nwb_mivae.archive.find import find_asset

    asset = find_asset(parse_address(source))
    where = asset.pinned_address
    return RemoteFile(Blob(lambda: locate_asset(asset), where, size=asset.size), where, asset)


def locate_asset(asset: Asset, client: ArchiveClient | None = None) -> Location:
    """Where the bytes of an asset are now: at the storage's signed address, which expires.

    The archive's token goes to the archive itself and to nobody else.
    """
    from nwb_mivae.archive.client import ArchiveClient, archive_errors, with_token_if_asked

    own = ArchiveClient(asset.instance) if client is None else client
    path = f"/dandisets/{asset.dandiset}/versions/{asset.version}/assets/{asset.asset_id}/download/"
    url = own.get_url(path)
    try:
        with archive_errors(asset.pinned_address):

            def ask() -> Any:
                answer = own.session.get(url, allow_redirects=False, stream=True)
                answer.close()
                answer.raise_for_status()
                return answer

            answer = with_token_if_asked(own, ask)
            if not answer.is_redirect:
                # An archive that keeps its bytes itself; the address is its own, so the token may go there again.
                token = own.session.headers.get("Authorization")
                return Location(url, {} if token is None else {"Authorization": str(token)})
            target = urljoin(url, answer.headers["Location"])
    finally:
        if client is None:
            own.session.close()
    if urlsplit(target).scheme not in ("http", "https"):
        raise ArchiveError(
            "an asset that the archive says is not on a web server",
            expected="an http(s) address",
            remedy="report this asset to the archive",
            file=asset.pinned_address,
        )
    return Location(target)


@dataclass(frozen=True)
class _Answer:
    """What remfile looks at in a response. It repeats whatever fails, except where the status says "gone"."""

    status_code: int
    content: bytes = b""
    reason: str = ""


class _Ranges:
    """Stands in for the ``requests.Session`` that a :class:`remfile.File` asks for one part at a time."""

    def __init__(self, blob: Blob, size: int) -> None:
        self._blob = blob
        self._size = size
        #: Parts that were fetched and not yet asked for, by where they start; the oldest first.
        self._waiting: dict[int, bytes] = {}
        #: Where recent sequential reads have come to, and how much they read. Several go on side by side: HDF5 puts the
        #: chunks at the edges of a dataset, and the index of them all, elsewhere.
        self._runs: dict[int, int] = {}
        #: How far the read goes that the next part is for.
        self.wanted = 0
        self.failure: ArchiveError | None = None

    def hold(self, start: int, content: bytes) -> None:
        """Keep the parts of what was fetched until they are asked for."""
        for offset in range(0, len(content), PART_BYTES):
            self._waiting[start + offset] = content[offset : offset + PART_BYTES]
        while len(self._waiting) * PART_BYTES > _WAITING_BYTES:
            self._waiting.pop(next(iter(self._waiting)))

    def get(self, url: str, headers: dict[str, str]) -> _Answer:  # noqa: ARG002
        start = int(headers["Range"].removeprefix("bytes=").split("-")[0])
        try:
            if start not in self._waiting:
                self._fetch(start)
        except ArchiveError as problem:
            # Without its traceback, whose frames would be kept as long as this is.
            self.failure = copy.copy(problem)
            return _Answer(410)
        return _Answer(206, self._waiting.pop(start))

    def _fetch(self, start: int) -> None:
        run = self._runs.pop(start, 0)
        ahead = min(run // _READ_AHEAD_SHARE, _READ_AHEAD_BYTES) // PART_BYTES * PART_BYTES
        stop = min(max(start + PART_BYTES, self.wanted), start + _REQUEST_BYTES) + ahead
        # To the end of a part, of the file, or to what is there already.
        stop = min(-(-stop // PART_BYTES) * PART_BYTES, self._size)
        stop = next((part for part in range(start, stop, PART_BYTES) if part in self._waiting), stop)
        self.hold(start, self._blob.read(start, stop))
        self._runs[stop] = run + stop - start
        if len(self._runs) > _RUNS:
            self._runs.pop(next(iter(self._runs)))


def _refuse_other_content(digest: str, tag: str, location: str) -> None:
    """Compare the archive's digest with the storage's tag, which is the same where it has the form of one."""
    stored = tag.strip('"')
    if digest and re.fullmatch(r"[0-9a-f]{32}-[0-9]+", stored) and stored != digest:
        raise ArchiveError(
            f"bytes that are not the asset's (dandi:dandi-etag {stored} instead of {digest})",
            expected="the bytes whose digest the archive states",
            remedy="repeat the command; if it fails again, report the asset to the archive",
            file=location,
        )


class RemoteFile(io.RawIOBase):
    """A remote file, open for reading; h5py takes it as a file.

    Attributes
    ----------
    location : str
        What errors and provenance call it: the asset's pinned address, or the URL without its query.
    asset : Asset or None
        The asset of a DANDI archive, with its size and digests. What is read in parts cannot be checked against a
        digest of the whole. The size and the storage's tag of the content, which is DANDI's digest where it has that
        form, are checked on every answer.
    size : int
        Bytes.
    failure : ArchiveError or None
        Why reading stopped; every later read raises it again.
    cache_problem : str
        Why nothing is kept on disk, or nothing.
    """

    def __init__(self, blob: Blob, location: str, asset: Asset | None = None) -> None:
        import remfile

        super().__init__()
        self.location = location
        self.asset = asset
        self._blob = blob
        # The first answer says which content this is, and how large where nobody has said so yet.
        first = b"" if blob.size == 0 else blob.read(0, min(PART_BYTES, blob.size or PART_BYTES))
        self.size = len(first) if blob.size is None else blob.size
        digest = "" if asset is None else asset.digests.get("dandi:dandi-etag", "")
        _refuse_other_content(digest, blob.content_tag, location)
        if digest or blob.content_tag:
            cache: ChunkCache | None = ChunkCache("\n".join((digest or location, blob.content_tag, str(self.size))))
            self.cache_problem = cache.problem if cache is not None else ""
        else:
            cache, self.cache_problem = None, "the server gives nothing to tell another content of the file by"
        self._ranges = _Ranges(blob, self.size)
        self._ranges.hold(0, first)
        self._parts = remfile.File(
            # Its cache's keys begin with this; which content is meant, the cache itself knows.
            "",
            disk_cache=cache,
            _min_chunk_size=PART_BYTES,
            _max_chunk_size=PART_BYTES,
            _max_cache_size=_PARTS_IN_MEMORY_BYTES,
            _size=self.size,
        )
        self._parts.session = self._ranges
        self._position = 0

    def __repr__(self) -> str:
        return f"RemoteFile({self.location!r})"

    @property
    def stem(self) -> str:
        """The file's own name without its suffix."""
        if self.asset is not None:
            return PurePosixPath(self.asset.path).stem
        return PurePosixPath(self._blob.file_name or unquote(urlsplit(self.location).path)).stem or "remote"

    @property
    def bytes_fetched(self) -> int:
        """Bytes that came over the line since the file was opened."""
        return self._blob.bytes_fetched

    @property
    def requests_made(self) -> int:
        """Requests for bytes since the file was opened."""
        return self._blob.requests_made

    @property
    def failure(self) -> ArchiveError | None:
        return self._ranges.failure

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"a position before the file's beginning ({start + offset})")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the present position on, as far as the file goes.

        Raises
        ------
        ArchiveError
            If the bytes cannot be had.
        """
        target = memoryview(buffer).cast("B")
        stop = min(self._position + len(target), self.size)
        begun = self._position
        while self._position < stop:
            if self.failure is not None:
                raise copy.copy(self.failure)
            count = min(stop - self._position, _REQUEST_BYTES)
            self._ranges.wanted = self._position + count
            self._parts.seek(self._position)
            try:
                part = self._parts.read(count)
            except Exception:
                if self.failure is not None:
                    raise copy.copy(self.failure) from None
                raise
            target[self._position - begun : self._position - begun + count] = part
            self._position += count
        return max(0, self._position - begun)

    def open_hdf5(self) -> h5py.File:
        """The file as HDF5, for reading; close it before this.

        HDF5 tells Python when such a file is closed, also when the interpreter is gone, and the process dies of it.
        So a file that is still open is closed before that, and an error keeps nothing of HDF5 alive.

        Raises
        ------
        ArchiveError
            If the bytes cannot be had.
        OSError
            If they are not HDF5.
        """
        failure: BaseException
        try:
            root = h5py.File(self, "r")
        except BaseException as problem:
            # Raised anew below: the frames of this one hold what HDF5 knows of the file, and would until exit.
            failure = copy.copy(problem)
        else:
            _open_files.add(root)
            return root
        raise failure

    def close(self) -> None:
        if not self.closed:
            self._blob.close()
        super().close()
