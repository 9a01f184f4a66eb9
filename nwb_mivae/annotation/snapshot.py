"""How a file or folder is at one moment, told without reading it, so that a later look shows whether it changed."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import NamedTuple

from nwb_mivae.errors import AnnotationError

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
        Digest over name, kind, size, inode and times of the file, or of everything in the folder. Among the times is
        that of the inode's last change, which programs cannot set back as they can that of the contents.
    """

    device: int
    n_bytes: int
    state: str

    @classmethod
    def of(cls, path: Path) -> Snapshot:
        """The present one."""
        about = path.stat()
        inside = {"": about}
        if path.is_dir():
            inside |= {entry.relative_to(path).as_posix(): entry.lstat() for entry in path.rglob("*")}
        digest = hashlib.sha256()
        for name, each in sorted(inside.items()):
            state = (name, each.st_mode, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns)
            digest.update(repr(state).encode())
        n_bytes = sum(each.st_size for each in inside.values() if not stat.S_ISDIR(each.st_mode))
        return cls(about.st_dev, n_bytes, digest.hexdigest())

    def refuse_change(self, path: Path) -> None:
        """Compare with what is at ``path`` now.

        Raises
        ------
        AnnotationError
            If it was changed, replaced or removed.
        """
        try:
            now: Snapshot | None = Snapshot.of(path)
        except FileNotFoundError:
            now = None
        if now != self:
            raise AnnotationError(
                "a file that another program changed, replaced or removed meanwhile",
                expected="the file as it was at the beginning",
                remedy="wait until the other program is done, then repeat this; nothing was written",
                file=path,
            )
