"""A dandiset as a folder: files under their names in it, and ``dandiset.yaml``, which is only ever added to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nwb_mivae.archive import LocalFile, merge_metadata
from nwb_mivae.errors import OutputError
from nwb_mivae.outputs import whole_file

__all__ = ["DESCRIPTION_FILE", "is_laid_out", "lay_out", "read_description", "write_description"]

#: What DANDI keeps the description in.
DESCRIPTION_FILE = "dandiset.yaml"


def is_laid_out(local: LocalFile, place: Path) -> bool:
    """Whether the bytes of a file are in its place already."""
    if not place.is_file():
        return False
    if place.samefile(local.file):
        return True
    other = LocalFile(place, local.path)
    return other.size == local.size and other.digest.as_str() == local.digest.as_str()


def lay_out(local: LocalFile, folder: Path) -> None:
    """Put a file into its place in a folder, whole or not at all: as a hard link, or a copy where there are none."""
    place = folder / local.path
    if is_laid_out(local, place):
        return
    with whole_file(place) as beside:
        try:
            os.link(local.file, beside)
        except OSError:
            # Another disk, or one without links.
            shutil.copyfile(local.file, beside)


def read_description(folder: Path) -> dict[str, Any]:
    """What ``dandiset.yaml`` of a folder says; nothing where there is none.

    Raises
    ------
    OutputError
        If it is no description of a dandiset.
    """
    import yaml

    path = folder / DESCRIPTION_FILE
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise OutputError(
            f"a file that is not YAML ({' '.join(str(problem).split())})",
            expected="the description of a dandiset",
            remedy="correct it, or choose another folder with --out",
            file=path,
        ) from problem
    if found is not None and not isinstance(found, dict):
        raise OutputError(
            f"a {type(found).__name__}",
            expected="the description of a dandiset: fields and their values",
            remedy="correct it, or choose another folder with --out",
            file=path,
        )
    return found or {}


def write_description(folder: Path, metadata: Mapping[str, Any], dandiset: str) -> None:
    """Complete ``dandiset.yaml`` with what the draft says; nothing that it says already is changed."""
    import yaml

    before = read_description(folder)
    merged, added = merge_metadata(before, {"identifier": f"DANDI:{dandiset}"} | dict(metadata))
    if added:
        with whole_file(folder / DESCRIPTION_FILE) as beside:
            text = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True, width=100)
            beside.write_text(text, encoding="utf-8")
