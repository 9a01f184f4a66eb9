"""How a file or folder is at one moment, told without reading it, so that a later look shows whether it changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from nwb_mivae.errors import AnnotationError

__all__ = ["Snapshot"]


class Snapshot(NamedTuple):
    """A file, or a folder with all that is in it.

    Attributes
    ----------
    device, inode : int
        Which one it is.
    n_bytes : int
        Size of the file, or of all files in the folder.
    changed : int
        When it was changed last, or anything in the folder was, in nanoseconds.
    """

    device: int
    inode: int
    n_bytes: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Snapshot:
        """The present one."""
        about = path.stat()
        if not path.is_dir():
            return cls(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        inside = [(entry.is_dir(), entry.lstat()) for entry in path.rglob("*")]
        n_bytes = sum(entry.st_size for is_folder, entry in inside if not is_folder)
        changed = max([about.st_mtime_ns, *(entry.st_mtime_ns for _, entry in inside)])
        return cls(about.st_dev, about.st_ino, n_bytes, changed)

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
