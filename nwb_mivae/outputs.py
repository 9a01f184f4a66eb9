"""Outputs that appear whole or not at all: written beside their place, flushed to disk, renamed into it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from nwb_mivae.errors import OutputError

__all__ = ["read_json", "sha256_of_file", "whole_directory", "whole_file", "write_json"]


@contextmanager
def whole_file(target: str | PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Give a path beside ``target`` to write to; rename it into place only if the block succeeds.

    The temporary name keeps the suffix of ``target`` (some writers choose their format by it) and starts with a dot.

    Raises
    ------
    OutputError
        If ``target`` exists and ``overwrite`` is false, or its folder cannot be written.
    """
    target = Path(target)
    if not overwrite and target.exists():
        raise OutputError(
            "a file that is already there",
            expected="a new name",
            remedy="choose another output path or remove the file",
            file=target,
        )
    if target.is_dir():
        raise OutputError(
            "a folder where a file is to be written",
            expected="a new name, or that of a file",
            remedy="choose another output path",
            file=target,
        )
    beside = _beside(target)
    try:
        yield beside
        if not beside.exists():
            raise OutputError("nothing written", expected="a file", remedy="report this as a bug", file=target)
        _flush(beside)
        os.replace(beside, target)
        _flush(target.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_directory(target: str | PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder beside ``target`` to fill; rename it into place only if the block succeeds.

    With ``overwrite`` an existing folder is moved aside first and removed only after the new one is in place.

    Raises
    ------
    OutputError
        If ``target`` exists and ``overwrite`` is false, or its parent cannot be written.
    """
    target = Path(target)
    if not overwrite and target.exists():
        raise OutputError(
            "a folder that is already there",
            expected="a new name",
            remedy="choose another output path or remove the folder",
            file=target,
        )
    if target.exists() and not target.is_dir():
        raise OutputError(
            "a file where a folder is to be written",
            expected="a new name, or that of a folder",
            remedy="choose another output path",
            file=target,
        )
    beside = _beside(target)
    try:
        beside.mkdir()
        yield beside
        for path in beside.rglob("*"):
            _flush(path)
        _flush(beside)
        old: Path | None = None
        if target.exists():
            old = _beside(target)
            os.replace(target, old)
        try:
            os.replace(beside, target)
        except OSError:
            if old is not None:
                os.replace(old, target)
            raise
        _flush(target.parent)
        if old is not None:
            shutil.rmtree(old)
    finally:
        if beside.exists():
            shutil.rmtree(beside)


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
    return target.parent / f".{target.stem}.{uuid.uuid4().hex[:8]}.partial{target.suffix}"


def _flush(path: Path) -> None:
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
