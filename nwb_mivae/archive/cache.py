"""Parts of remote files kept on disk, so that nothing is fetched twice: checked, bounded, safe for several processes.

The folder is ``NWB_MIVAE_CACHE``, or the platform's cache folder of the user (``~/.cache/nwb-mivae`` on Linux), open to
its owner only, since it may hold data under embargo. It may be deleted at any time. Each content of a file has a folder
of its own below ``streamed/``; when they grow beyond ``NWB_MIVAE_CACHE_GB`` (10 by default), those that were used
longest ago are deleted first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from pathlib import Path

from nwb_mivae.errors import ArchiveError

__all__ = ["ChunkCache", "cache_folder"]

_GIGABYTE = 10**9
_DEFAULT_GIGABYTES = 10.0
#: How much is written before the sizes are counted again, and how much of the disk is left free.
_COUNTED_EVERY = 256 * 1024**2
_LEFT_FREE = _GIGABYTE
_DIGEST_BYTES = 16


def cache_folder() -> Path:
    """Where parts of remote files are kept."""
    chosen = os.environ.get("NWB_MIVAE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_path("nwb-mivae", appauthor=False))


def _limit() -> int:
    text = os.environ.get("NWB_MIVAE_CACHE_GB") or str(_DEFAULT_GIGABYTES)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise ArchiveError(
            f"NWB_MIVAE_CACHE_GB={text!r}",
            expected="gigabytes, such as 10; 0 keeps nothing",
            remedy="correct the environment variable",
        )
    return int(gigabytes * _GIGABYTE)


class ChunkCache:
    """The parts of one content of one file; what :class:`remfile.File` takes as its ``disk_cache``.

    In place of ``remfile.DiskCache``, which writes in place (another process can read half a part, and a crash leaves
    one for good) and never deletes anything. Here a part appears whole, carries a digest of its bytes, and one that is
    damaged counts as missing. Where the folder cannot be written nothing is kept; :attr:`problem` says why.

    Parameters
    ----------
    content : str
        What tells this content from any other, such as an archive's digest and a server's ETag.
    """

    def __init__(self, content: str) -> None:
        self._root = cache_folder() / "streamed"
        self._folder = self._root / hashlib.sha256(content.encode()).hexdigest()[:32]
        self._limit = _limit()
        self._uncounted = 0
        #: Why nothing is kept, or nothing.
        self.problem = "" if self._limit else "NWB_MIVAE_CACHE_GB is 0"
        if not self.problem:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.utime(self._folder)
                self._make_room()
            except OSError as problem:
                self.problem = f"{problem.strerror or problem}"

    def get(self, key: str) -> bytes | None:
        """The part, or ``None`` where it is not kept whole."""
        try:
            stored = self._path(key).read_bytes()
        except OSError:
            return None
        content, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
        return content if content and _digest(content) == digest else None

    def set(self, key: str, content: bytes) -> None:
        """Keep a part, unless there is no room."""
        if self.problem:
            return
        path = self._path(key)
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            # Another process may have deleted the folder to make room.
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_bytes(content + _digest(content))
            os.replace(beside, path)
            self._uncounted += len(content)
            if self._uncounted > min(_COUNTED_EVERY, self._limit // 10):
                self._make_room()
        except OSError as problem:
            # The reading goes on without a cache: a full disk costs bytes, not the session.
            self.problem = f"{problem.strerror or problem}"
            beside.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _make_room(self) -> None:
        """Delete the contents used longest ago until the rest fits, and stop keeping where this one alone does not."""
        self._uncounted = 0
        folders = sorted((path for path in self._root.iterdir() if path.is_dir()), key=_used)
        sizes = {path: _size(path) for path in folders}
        room = min(self._limit, sum(sizes.values()) + shutil.disk_usage(self._root).free - _LEFT_FREE)
        for path in folders:
            if sum(sizes.values()) <= room:
                return
            if path != self._folder:
                shutil.rmtree(path, ignore_errors=True)
                sizes.pop(path)
        if sum(sizes.values()) > room:
            self.problem = "the cache is full (NWB_MIVAE_CACHE_GB) or the disk nearly so"


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _used(folder: Path) -> float:
    """When the folder was last used; one that was deleted just now was used never."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())
    except OSError:
        return 0
