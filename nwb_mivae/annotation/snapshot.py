"""How a file or folder is at one moment, so that a later look shows whether it changed, mostly without reading it."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import NamedTuple

from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.sessions.zarr_folder import digest_of_folder

__all__ = ["Snapshot"]


class Snapshot(NamedTuple):
    """A file, or a folder with all that is in it.

    Attributes
    ----------
    device : int
        The disk it lies on.
    n_bytes : int
        Size of the file, or of all files in the folder.
    state : str
        Digest over name, kind, permissions, size, inode and time of the contents of the file, or of everything in the
        folder.
    touched : str
        Digest over the times at which the inodes last changed. Programs cannot set these back as they can that of the
        contents; but a new hard link changes them as well, and other things that backups do.
    contents : str
        SHA-256 of the bytes, as the clip store has it; empty until they are read.
    """

    device: int
    n_bytes: int
    state: str
    touched: str
    contents: str = ""

    @classmethod
    def of(cls, path: Path) -> Snapshot:
        """The present one."""
        about = path.stat()
        inside = {"": about}
        if path.is_dir():
            inside |= {entry.relative_to(path).as_posix(): entry.lstat() for entry in path.rglob("*")}
        state, touched = hashlib.sha256(), hashlib.sha256()
        for name, each in sorted(inside.items()):
            state.update(repr((name, each.st_mode, each.st_ino, each.st_size, each.st_mtime_ns)).encode())
            touched.update(repr((name, each.st_ctime_ns)).encode())
        n_bytes = sum(each.st_size for each in inside.values() if not stat.S_ISDIR(each.st_mode))
        return cls(about.st_dev, n_bytes, state.hexdigest(), touched.hexdigest())

    def with_contents(self, path: Path) -> Snapshot:
        """The same, with the digest of what is at ``path``, which is read for that.

        Raises
        ------
        AnnotationError
            If it was touched since: what it was before is not known.
        """
        self.refuse_change(path)
        return self._replace(contents=_digest(path))

    def refuse_change(self, path: Path) -> None:
        """Compare with what is at ``path`` now; where it was only touched the bytes tell, if they are known.

        Raises
        ------
        AnnotationError
            If it was changed, replaced or removed.
        """
        try:
            unchanged = self._is_of(path)
        except FileNotFoundError:
            unchanged = False
        if not unchanged:
            raise AnnotationError(
                "a file that another program changed, replaced or removed meanwhile",
                expected="the file as it was at the beginning",
                remedy="wait until the other program is done, then repeat this; nothing was written",
                file=path,
            )

    def _is_of(self, path: Path) -> bool:
        now, before = Snapshot.of(path), self._replace(contents="")
        if now == before or not self.contents or now._replace(touched=before.touched) != before:
            return now == before
        return _digest(path) == self.contents and Snapshot.of(path) == now


def _digest(path: Path) -> str:
    return digest_of_folder(path) if path.is_dir() else sha256_of_file(path)
