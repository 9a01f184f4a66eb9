"""Changing a file so that whoever looks, and whenever the power fails, finds one whole file: the old or the new.

Neither HDF5 nor Zarr can be written in place like that. So a copy beside the file is changed, flushed to the disk and
renamed over it. While this goes on the file is locked in the way of HDF5's, so that nobody else writes to it; programs
that read it go on reading the old one.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.snapshot import Snapshot
from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import can_exchange, flush_to_disk, refuse_without_space

if sys.platform != "win32":
    import fcntl

__all__ = ["copy_to_change", "refuse_open_elsewhere", "refuse_unchangeable"]

#: What a file system says that has no locks, or none over the network.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
_MORE_SPACE = "free some space there, or write a copy elsewhere (form='copy' and out)"
_SHARE_BLOCKS = 0x40049409  # FICLONE of linux/fs.h


def refuse_unchangeable(source: Path) -> None:
    """Refuse to append to a link, or to what is protected against writing.

    Raises
    ------
    AnnotationError
        Saying what to do instead.
    """
    if source.is_symlink():
        raise AnnotationError(
            "a symbolic link, as git-annex and DataLad keep files",
            expected="the file itself, which results are to be appended to",
            remedy="unlock it (`datalad unlock`, `git annex unlock`), name the file it points to, or write a copy "
            "(form='copy')",
            file=source,
        )
    if not stat.S_IMODE(source.stat().st_mode) & 0o222 or not os.access(source, os.W_OK):
        raise AnnotationError(
            "a file that may only be read",
            expected="a file that may be changed",
            remedy="allow writing to it, or write a copy (form='copy')",
            file=source,
        )
    if not os.access(source.parent, os.W_OK):
        raise AnnotationError(
            "a folder that may only be read",
            expected="a folder that may be written to: a changed copy is made beside the file and put in its place",
            remedy="allow writing to the folder, or write a copy elsewhere (form='copy' and out)",
            file=source.parent,
        )
    if source.is_dir() and not can_exchange(source.parent):
        raise AnnotationError(
            "a folder on a disk where two folders cannot change places at once",
            expected="a disk where a Zarr folder can be replaced without a moment in which it is missing",
            remedy="write a copy (form='copy')",
            file=source,
        )


def refuse_open_elsewhere(source: Path, *, to_change: bool) -> None:
    """Refuse a file that another program writes to or, if it is going to be changed, has open at all.

    Only locks tell, which HDF5 takes and other programs may not.

    Raises
    ------
    AnnotationError
        If it is open.
    """
    with _locked(source, to_change=to_change):
        pass


@contextmanager
def copy_to_change(source: Path, before: Snapshot, backend: Backend, *, added_bytes: int) -> Iterator[Path]:
    """Give a copy of ``source`` to append to; it takes the place of ``source`` only if the block succeeds.

    Parameters
    ----------
    source : Path
        The file or folder; locked until the end.
    before : Snapshot
        What it was when it was looked at; if it is something else by now or at the end, the source stays as it is.
    backend : Backend
        Its format.
    added_bytes : int
        About how much is going to be appended.

    Raises
    ------
    AnnotationError
        If another program has the file open, or changed it.
    OutputError
        If there is no space for the copy, or it cannot be written.
    """
    refuse_unchangeable(source)
    with _locked(source, to_change=True):
        before.refuse_change(source)
        with backend.whole(source, overwrite=True) as beside:
            _clone(source, beside, before.n_bytes, added_bytes)
            yield beside
            _keep_permissions(source, beside)
            # All that takes long comes before the last look at the source.
            for path in (beside, *beside.rglob("*")) if beside.is_dir() else (beside,):
                flush_to_disk(path)
            before.refuse_change(source)


@contextmanager
def _locked(source: Path, *, to_change: bool) -> Iterator[None]:
    """Hold the lock that HDF5 takes; nothing where the system or the file system has none."""
    if sys.platform == "win32":  # where a file that is open can be neither read nor replaced
        yield
        return
    try:
        # Over a network a lock that excludes readers needs a file that is open for writing.
        descriptor = os.open(source, os.O_RDWR if to_change and not source.is_dir() else os.O_RDONLY)
    except OSError as problem:
        raise AnnotationError(
            f"a file that cannot be opened ({problem.strerror})",
            expected=f"permission to {'change' if to_change else 'read'} it",
            remedy="allow that, or write a copy elsewhere (form='copy' and out)" if to_change else "allow that",
            file=source,
        ) from problem
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if to_change else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as problem:
            if problem.errno not in _NO_LOCKS:
                raise AnnotationError(
                    "a file that is open in another program, or elsewhere in this one"
                    if to_change
                    else "a file that another program is writing to",
                    expected=f"a file that nobody else is {'using' if to_change else 'changing'}",
                    remedy="close it there, then repeat this",
                    file=source,
                ) from problem
        yield
    finally:
        os.close(descriptor)


def _clone(source: Path, beside: Path, n_bytes: int, added_bytes: int) -> None:
    """Copy a file or folder; on file systems that can, the copy shares its blocks with the original.

    Nobody but its owner can open the copy while it is written: the original may be just as private.
    """
    if source.is_dir():
        refuse_without_space(source, n_bytes + added_bytes, remedy=_MORE_SPACE)
        beside.chmod(0o700)
        # Whole copies and no hard links: what is appended to is written in place.
        shutil.copytree(source, beside, symlinks=True, dirs_exist_ok=True, copy_function=_copy_for_owner)
        beside.chmod(0o700)  # copytree gave it the original's
        return
    with open(source, "rb") as original, open(beside, "xb", opener=_for_owner) as copy:
        if sys.platform == "linux":
            with suppress(OSError):
                fcntl.ioctl(copy, _SHARE_BLOCKS, original.fileno())
                refuse_without_space(source, added_bytes, remedy=_MORE_SPACE)
                return
    refuse_without_space(source, n_bytes + added_bytes, remedy=_MORE_SPACE)
    shutil.copyfile(source, beside)


def _copy_for_owner(source: str, target: str) -> None:
    with open(target, "xb", opener=_for_owner):
        pass
    shutil.copyfile(source, target)


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _keep_permissions(source: Path, beside: Path) -> None:
    for path in (source, *source.rglob("*")) if source.is_dir() else (source,):
        copy = beside / path.relative_to(source)
        if path.is_symlink() or not copy.exists():
            continue
        about = path.stat()
        if sys.platform != "win32":
            with suppress(PermissionError):  # only the administrator may give files away
                os.chown(copy, about.st_uid, about.st_gid)
        copy.chmod(stat.S_IMODE(about.st_mode))
