"""What of a source must be said anew in a copy that lies elsewhere and that another program writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["decode_texts", "keep_external_files"]


def keep_external_files(opened: OpenedFile, source: Path, out: Path) -> None:
    """Let movies named relative to the source be found from the copy's folder; those that are absent stay as named.

    They also stay as named where the way from folder to folder leads out of the user's home or over the root of the
    disk: such a name tells of that disk as an absolute path does, and the copy is made to be shared.
    """
    from pynwb.image import ImageSeries

    # Of a link, as git-annex and DataLad keep files, the names are relative to the folder the link lies in.
    here, there = source.parent.resolve(), out.parent.resolve()
    if here == there or _common_folder(here, there) in Path.home().resolve().parents:
        return
    for series in opened.of_type(ImageSeries):
        if series.external_file is None:
            continue
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in series.external_file[:]]
        moved = [
            os.path.relpath(here / name, there) if _is_relative_and_present(here, name) else name for name in names
        ]
        if moved != names:
            series.fields["external_file"] = moved
            series.set_modified()


def _common_folder(here: Path, there: Path) -> Path:
    try:
        return Path(os.path.commonpath([here, there]))
    except ValueError:  # two drives of Windows have nothing in common
        return Path(here.anchor)


def _is_relative_and_present(folder: Path, name: str) -> bool:
    return "://" not in name and not Path(name).is_absolute() and (folder / name).exists()


def decode_texts(opened: OpenedFile) -> None:
    """Decode the file's own lists of texts where pynwb reads bytes, as MatNWB writes them.

    Written anew they would otherwise become texts that begin with ``b'``.
    """
    from nwb_mivae.sessions.nwb import text_values

    # Only what is modified is written anew; the file itself is, everything else is copied byte by byte.
    fields = opened.nwbfile.fields
    for name, values in fields.items():
        if isinstance(values, list | tuple) and any(isinstance(value, bytes) for value in values):
            fields[name] = tuple(text_values(values))
