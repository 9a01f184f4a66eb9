"""Outputs that appear whole or not at all: written beside their place, flushed to disk, renamed into it."""

from __future__ import annotations

import ctypes
import errno
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

from nwb_mivae.errors import OutputError

if sys.platform != "win32":
    import fcntl

__all__ = [
    "can_exchange",
    "exchange",
    "flush_to_disk",
    "locked",
    "read_json",
    "refuse_long_name",
    "refuse_without_space",
    "reserve_space",
    "restore_replaced",
    "sha256_of_file",
    "whole_directory",
    "whole_file",
    "write_json",
]

#: What the system says where something cannot be written, and what can be done about it.
_UNWRITABLE = {
    errno.ENOSPC: ("no space left on the disk", "free some space there, or choose another output folder"),
    errno.EDQUOT: ("no space left in your quota", "free some space there, or choose another output folder"),
    errno.EFBIG: ("a file larger than is allowed there", "raise the limit, or choose another output folder"),
    errno.EROFS: ("a disk that can only be read", "choose another output folder"),
    errno.EACCES: ("a place that may not be written to", "choose another output folder"),
    errno.EPERM: ("a place that may not be written to", "choose another output folder"),
}

#: Bytes of a name, of the 255 that disks allow, that are left where a mark and a suffix follow it.
_LONGEST_STEM = 180


@contextmanager
def whole_file(
    target: str | PathLike[str], *, overwrite: bool = True, before_placing: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Give a path beside ``target`` to write to; rename it into place only if the block succeeds.

    The temporary name keeps the suffix of ``target`` (some writers choose their format by it) and starts with a dot.
    What a program of this machine left under such a name when it was killed is removed.

    ``before_placing`` is called with the path beside, whole and on the disk, right before it is renamed; if it raises,
    ``target`` stays as it is.

    Raises
    ------
    OutputError
        If ``target`` exists, or appears meanwhile, and ``overwrite`` is false; or if its folder cannot be written, or
        has no space left.
    """
    target = Path(target)
    refuse_long_name(target)
    if not overwrite and os.path.lexists(target):
        raise _already_there(target, "file")
    if target.is_dir():
        raise OutputError(
            "a folder where a file is to be written",
            expected="a new name, or that of a file",
            remedy="choose another output path",
            file=target,
        )
    beside = _beside(target)
    with _explaining(target, beside):
        try:
            yield beside
            if not beside.exists():
                raise OutputError("nothing written", expected="a file", remedy="report this as a bug", file=target)
            if beside.stat().st_nlink == 1:  # a link is to a file of somebody's, in which nothing was reserved
                os.truncate(beside, beside.stat().st_size)  # gives back what was reserved and not needed
            flush_to_disk(beside)
            if before_placing is not None:
                before_placing(beside)
            if overwrite:
                os.replace(beside, target)
            else:
                _put_where_nothing_is(beside, target)
            flush_to_disk(target.parent)
        finally:
            beside.unlink(missing_ok=True)


def _put_where_nothing_is(beside: Path, target: Path) -> None:
    """Give a file its name, unless somebody else gave it to another meanwhile; ``beside`` may stay as a second name."""
    try:
        os.link(beside, target)
    except FileExistsError as problem:
        raise _already_there(target, "file") from problem
    except OSError as problem:  # a file system without links
        if os.path.lexists(target):
            raise _already_there(target, "file") from problem
        os.replace(beside, target)


def _already_there(target: Path, what: str) -> OutputError:
    return OutputError(
        f"a {what} that is already there",
        expected="a new name",
        remedy=f"choose another output path or remove the {what}",
        file=target,
    )


@contextmanager
def whole_directory(
    target: str | PathLike[str], *, overwrite: bool = False, before_placing: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Give a folder beside ``target`` to fill; rename it into place only if the block succeeds.

    With ``overwrite`` an existing folder changes places with the new one and is removed then. Where the system cannot
    exchange two folders at once (:func:`can_exchange`) it is moved aside first, and removed after the new one is in
    place. A program that is killed between the two leaves it aside, where :func:`restore_replaced` finds it.
    ``before_placing`` is that of :func:`whole_file`.

    Raises
    ------
    OutputError
        If ``target`` exists, or appears meanwhile, and ``overwrite`` is false; or if its parent cannot be written, or
        has no space left.
    """
    target = Path(target)
    refuse_long_name(target)
    restore_replaced(target)
    if not overwrite and os.path.lexists(target):
        raise _already_there(target, "folder")
    if os.path.lexists(target) and not target.is_dir():
        raise OutputError(
            "a file where a folder is to be written",
            expected="a new name, or that of a folder",
            remedy="choose another output path",
            file=target,
        )
    beside = _beside(target)
    with _explaining(target, beside):
        try:
            beside.mkdir()
            yield beside
            for path in beside.rglob("*"):
                flush_to_disk(path)
            flush_to_disk(beside)
            if before_placing is not None:
                before_placing(beside)
            if not overwrite or not target.exists():
                _put_folder_where_nothing_is(beside, target)
            elif not exchange(beside, target):
                _replace_folder(beside, target)
            flush_to_disk(target.parent)
        finally:
            if beside.exists():
                shutil.rmtree(beside)


def _put_folder_where_nothing_is(beside: Path, target: Path) -> None:
    try:
        os.replace(beside, target)  # takes the place of an empty folder at most
    except OSError as problem:
        if problem.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise _already_there(target, "folder") from problem
        raise


def _replace_folder(beside: Path, target: Path) -> None:
    # Another name than that of leftovers: for a moment it is the only whole folder there is.
    aside = target.parent / f".{_stem_beside(target)}.{_mark()}.replaced.partial{target.suffix}"
    os.replace(target, aside)
    try:
        os.replace(beside, target)
    except OSError:
        os.replace(aside, target)
        raise
    shutil.rmtree(aside)


def restore_replaced(target: Path) -> None:
    """Give a folder its name back, where :func:`whole_directory` was killed while another one was to take its place.

    Where the new one had taken it, the old one is removed. Folders that a living program of this machine, or one of
    another machine, put aside are its business.
    """
    if sys.platform == "win32":  # where one cannot ask whether a process lives without ending it
        return
    stem, suffix = glob.escape(_stem_beside(target)), glob.escape(target.suffix)
    for aside in target.parent.glob(f".{stem}.{_machine()}-*.replaced.partial{suffix}"):
        marked = re.search(r"-(\d+)-[0-9a-f]{8}\.replaced\.partial", aside.name)
        if marked is None or _is_alive(int(marked[1])):
            continue
        with suppress(OSError):  # a disk that may only be read, or another program that does the same
            if target.exists():
                shutil.rmtree(aside)
            else:
                os.replace(aside, target)


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders of one disk change places at once, so that neither name is ever missing.

    Returns
    -------
    bool
        False where the system or the file system cannot do this; nothing has happened then.
    """
    library = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, ctypes.c_uint(2))  # RENAME_SWAP
    elif library is not None and hasattr(library, "renameat2"):
        here = -100  # AT_FDCWD
        failed = library.renameat2(here, names[0], here, names[1], ctypes.c_uint(2))  # RENAME_EXCHANGE
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def can_exchange(folder: Path) -> bool:
    """Whether :func:`exchange` works for folders inside ``folder``: it is tried with two empty ones."""
    probes = [folder / f".{uuid.uuid4().hex[:8]}.partial" for _ in range(2)]
    try:
        for probe in probes:
            probe.mkdir()
        return exchange(*probes)
    finally:
        for probe in probes:
            with suppress(OSError):
                probe.rmdir()


def refuse_long_name(target: Path) -> None:
    """Refuse a name that the disk cannot hold, before anything is written under another.

    Raises
    ------
    OutputError
        If it is too long, or a folder's is.
    """
    try:
        target.lstat()
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:
            return  # nothing there yet, as it should be; or what is said where it is written
        raise OutputError(
            f"a name of {len(os.fsencode(target.name))} bytes, too long for the disk",
            expected="names of up to 255 bytes, on most disks",
            remedy="choose a shorter output name",
            file=target,
        ) from problem


def refuse_without_space(
    target: Path, needed: int, *, remedy: str = "free some space there, or choose another output folder"
) -> None:
    """Refuse to begin what the disk has no space for; ``remedy`` is what can be done about it.

    Raises
    ------
    OutputError
        If the disk of ``target`` has less than ``needed`` bytes left.
    """
    folder = next(folder for folder in target.absolute().parents if folder.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{free / 1e6:,.0f} MB free on the disk",
            expected=f"about {needed / 1e6:,.0f} MB for the output",
            remedy=remedy,
            file=target,
        )


def reserve_space(path: Path, n_bytes: int) -> None:
    """Have the file system keep space for what is going to be written to a file, where it can.

    HDF5 cannot close a file that it finds no space for, and crashes when the program ends: so the disk had better be
    full before than while it writes. Quotas, which :func:`refuse_without_space` does not see, count as well. The file's
    size stays; :func:`whole_file` gives back what was not needed.

    Raises
    ------
    OSError
        If there is not so much space.
    """
    if n_bytes <= 0 or sys.platform != "linux":
        return
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "fallocate64"):
        return
    with open(path, "r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        keep_size = 1  # FALLOC_FL_KEEP_SIZE
        failed = library.fallocate64(stream.fileno(), keep_size, ctypes.c_int64(end), ctypes.c_int64(n_bytes))
    number = ctypes.get_errno()
    if failed and number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise OSError(number, os.strerror(number), str(path))


@contextmanager
def _explaining(target: Path, beside: Path) -> Iterator[None]:
    """Say of what the system refused that it was refused, and what to do; all else passes."""
    try:
        yield
    except Exception as problem:
        explained = _refused_by_the_system(problem, beside)
        if explained is None:
            raise
        found, remedy = explained
        raise OutputError(
            found, expected="a folder one may write to, with space for the output", remedy=remedy, file=target
        ) from problem


def _refused_by_the_system(problem: BaseException | None, beside: Path) -> tuple[str, str] | None:
    while problem is not None:
        # HDF5 says the number in its text, and h5py does not always hand it on.
        said = re.search(r"errno = (\d+)", str(problem))
        number = problem.errno if isinstance(problem, OSError) and problem.errno else said and int(said[1])
        # Permission may just as well have been missing for what was read.
        about_output = number not in (errno.EACCES, errno.EPERM) or beside.name in str(problem)
        if number in _UNWRITABLE and about_output:
            return _UNWRITABLE[number]
        problem = problem.__cause__ or problem.__context__
    return None


def _beside(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(
            f"a folder that cannot be made ({problem.strerror})",
            expected="a folder one may write to",
            remedy="choose another output folder",
            file=target.parent,
        ) from problem
    if not os.access(target.parent, os.W_OK):
        raise OutputError(
            "a folder that may not be written to",
            expected="a folder one may write to",
            remedy="choose another output folder",
            file=target.parent,
        )
    _remove_leftovers(target)
    return target.parent / f".{_stem_beside(target)}.{_mark()}.partial{target.suffix}"


def _mark() -> str:
    """Which process of which machine writes, and what."""
    return f"{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _stem_beside(target: Path) -> str:
    """The stem, cut so that a mark can stand behind it; a digest tells it from others that begin alike then."""
    stem = os.fsencode(target.stem)
    if len(stem) <= _LONGEST_STEM:
        return target.stem
    digest = hashlib.sha256(stem).hexdigest()[:16]
    return f"{stem[: _LONGEST_STEM - 17].decode(errors='ignore')}-{digest}"


@cache
def _machine() -> str:
    """A short word for where process numbers mean the same: this machine, and in it this container."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:6]


def _remove_leftovers(target: Path) -> None:
    """Remove what is left of this target where the process that wrote it is no more."""
    if sys.platform == "win32":  # where one cannot ask whether a process lives without ending it
        return
    stem, suffix = glob.escape(_stem_beside(target)), glob.escape(target.suffix)
    for path in target.parent.glob(f".{stem}.{_machine()}-*.partial{suffix}"):
        marked = re.search(r"-(\d+)-[0-9a-f]{8}\.partial", path.name)
        if marked is None or _is_alive(int(marked[1])) or _is_locked(path):
            continue
        with suppress(OSError):  # another program may be removing it
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_locked(path: Path) -> bool:
    """Whether some program has the file open in the way of HDF5's, which locks what it writes."""
    if sys.platform == "win32":
        return False
    try:
        with open(os.open(path, os.O_RDONLY), "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a folder, or a file system without locks
        return False
    return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other program or thread is in such a block with the same ``path``, a file for this that stays.

    Where the system or the file system has no locks, or the file cannot be made, nobody waits.
    """
    with ExitStack() as stack:
        if sys.platform != "win32":
            with suppress(OSError):
                # Over a network only a file that is open for writing can be locked, and no folder.
                stream = stack.enter_context(open(path, "ab"))
                fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def flush_to_disk(path: Path) -> None:
    """Wait until a file or the entries of a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of_file(path: str | PathLike[str]) -> str:
    """The SHA-256 digest of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(target: str | PathLike[str], values: Any) -> None:
    """Write ``values`` as indented UTF-8 JSON, whole or not at all; NaN is refused because JSON has none."""
    with whole_file(target) as beside:
        beside.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | PathLike[str]) -> Any:
    """Read a JSON file.

    Raises
    ------
    OutputError
        If the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise OutputError(
            f"a JSON file that cannot be read ({problem})",
            expected="a file this package wrote",
            remedy="repeat the step that writes it",
            file=path,
        ) from problem
