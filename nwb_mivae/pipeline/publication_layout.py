"""A dandiset as a folder: files under their names in it, and ``dandiset.yaml``, which is only ever added to."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nwb_mivae.archive import LocalFile, archive_urls, merge_metadata
from nwb_mivae.errors import OutputError
from nwb_mivae.outputs import whole_file

__all__ = [
    "DESCRIPTION_FILE",
    "described_dandiset",
    "is_laid_out",
    "lay_out",
    "read_description",
    "refuse_other_file",
    "write_description",
]

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


def refuse_other_file(local: LocalFile, folder: Path) -> None:
    """Refuse to put a file where another one is.

    Raises
    ------
    OutputError
        If its place in the folder is taken, and by other bytes than its own.
    """
    place = folder / local.path
    if os.path.lexists(place) and not is_laid_out(local, place):
        raise OutputError(
            "another file than the one that is to be published",
            expected=f"nothing, or the bytes of {local.file}",
            remedy="if these are earlier results of yours, repeat with --replace",
            file=place,
        )


def lay_out(local: LocalFile, folder: Path, *, replace: bool) -> None:
    """Put a file into its place in a folder, whole or not at all: as a hard link, or a copy where there are none.

    Raises
    ------
    OutputError
        If the file is gone or has another size than when its digest was computed, or the folder cannot be written; or
        if ``replace`` is false and another file is there by now.
    """
    place = folder / local.path
    if not local.file.is_file() or local.file.stat().st_size != local.size:
        raise OutputError(
            "a file that changed since it was planned to be sent",
            expected=f"the {local.size:,} bytes that it had",
            remedy="leave the file as it is and repeat the command",
            file=local.file,
        )
    if is_laid_out(local, place):
        return
    if not replace:
        refuse_other_file(local, folder)
    with whole_file(place, overwrite=replace) as beside:
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


def described_dandiset(description: Mapping[str, Any], folder: Path, instance: str | None) -> str | None:
    """The six digits of the dandiset of an archive that the description of a folder is of, if it says so.

    Raises
    ------
    OutputError
        If it is of none, or of one of another archive: digits mean nothing there.
    """
    identifier, repository = description.get("identifier"), description.get("repository")
    if not identifier:
        return None
    found = re.fullmatch(r"(?:[A-Za-z-]+:)?(\d{6})", identifier) if isinstance(identifier, str) else None
    if found is None:
        raise OutputError(
            f"an identifier that is no dandiset's ({identifier!r})",
            expected="DANDI: and six digits or, in quotes, the six digits",
            remedy="correct it, or choose another folder with --out",
            file=folder / DESCRIPTION_FILE,
            object_path="identifier",
        )
    archive = archive_urls(instance)
    if repository and str(repository).rstrip("/") not in archive:
        raise OutputError(
            f"the folder of a dandiset of another archive ({repository})",
            expected=f"that of a dandiset of {archive[0]}, or a new folder",
            remedy="choose another folder with --out, or that archive with --instance",
            file=folder / DESCRIPTION_FILE,
            object_path="repository",
        )
    return found[1]


def write_description(folder: Path, metadata: Mapping[str, Any], dandiset: str, instance: str) -> None:
    """Complete ``dandiset.yaml`` with what the draft says; nothing that it says already is changed.

    Which archive the dandiset is in is said by an address that :func:`described_dandiset` knows again.
    """
    import yaml

    before = read_description(folder)
    told = {"identifier": f"DANDI:{dandiset}"} | dict(metadata) | {"repository": archive_urls(instance)[0]}
    merged, added = merge_metadata(before, told)
    if added:
        with whole_file(folder / DESCRIPTION_FILE) as beside:
            text = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True, width=100)
            beside.write_text(text, encoding="utf-8")
