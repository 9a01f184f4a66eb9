"""Names of what an annotation adds to a file, and the next that is free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, count
from typing import Any

from nwb_mivae.errors import AnnotationError

__all__ = ["ANNOTATION_TYPE", "ENCODED_FRAMES", "MODULE", "PARTS", "annotations_in", "checked_name", "free_names"]

#: Processing module and lab metadata that results are written to. The NWB Inspector suggests one of the standard module
#: names instead; results that mix modalities belong to none of them, and keeping them apart leaves the source's own
#: modules as they were. A second result in the same file is ``mivae_2``.
MODULE = "mivae"

#: Neurodata type of the lab metadata that says where results came from.
ANNOTATION_TYPE = "MIVAEAnnotation"

#: Table of the frames latents were computed for.
ENCODED_FRAMES = "encoded_frames"

#: Words for ``SessionLatents.part``.
PARTS = ("train", "validation", "test")


def annotations_in(nwbfile: Any) -> dict[str, Any]:
    """The lab metadata of every annotation in a file, by name; read with and without the ``ndx-mivae`` package."""
    found = nwbfile.lab_meta_data.items()
    return {str(name): item for name, item in found if type(item).__name__ == ANNOTATION_TYPE}


def checked_name(name: str) -> str:
    """A name that a user gave a result.

    Raises
    ------
    AnnotationError
        If it is not lower-case letters, digits and ``_``, the first a letter: it becomes part of file names, too.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise AnnotationError(
            f"a result named {name!r}",
            expected="lower-case letters, digits and _, a letter first",
            remedy=f"choose another name, such as {MODULE}_2",
            object_path="name",
        )
    return name


def free_names(nwbfile: Any = None) -> Iterator[str]:
    """``mivae``, ``mivae_2``, ``mivae_3``, ... without those that a module or lab metadata of the file has."""
    taken = set() if nwbfile is None else {*nwbfile.processing, *nwbfile.lab_meta_data}
    names = chain([MODULE], (f"{MODULE}_{number}" for number in count(2)))
    return (name for name in names if name not in taken)
