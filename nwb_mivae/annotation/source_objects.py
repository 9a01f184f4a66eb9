"""What stands in an open file for each object of the source: the file is the source, a copy of it, or a companion."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nwb_mivae.annotation.names import annotations_in
from nwb_mivae.sessions.nwb import as_text

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["SOURCE_UNITS", "UNITS_WITHOUT_SPIKES", "new_name", "source_objects"]

SOURCE_UNITS = "units"
#: Where a companion has the table of units whose spike times stayed in the source.
UNITS_WITHOUT_SPIKES = "processing/ecephys/units"


def source_objects(opened: OpenedFile, stored: StoredSession) -> dict[str, Any]:
    """Every object of an open file by its path in the source.

    They are the same paths, but for a companion: some of its tables have another name or place, and of what the
    presentations were read from it has the tables and not the series, which are ``None``.
    """
    objects = {opened.path_of(item): item for item in opened.nwbfile.objects.values()}
    forms = [as_text(getattr(annotation, "form", None)) for annotation in annotations_in(opened.nwbfile).values()]
    if "companion" in forms:
        for path in dict.fromkeys(stored.cells["source_path"]):
            if path not in objects and _place(path) in objects:
                objects[path] = objects[_place(path)]
        for path in dict.fromkeys(stored.presentations["source_path"]):
            if path not in objects:
                objects[path] = objects.get(_place(path))
    return objects


def _place(path: str) -> str:
    return UNITS_WITHOUT_SPIKES if path == SOURCE_UNITS else "/".join(new_name(part) for part in path.split("/"))


def new_name(name: str) -> str:
    """The name that a copy of an object has: some that exist in published files cannot be given to a new object."""
    return re.sub(r"[/:]", "_", as_text(name))
