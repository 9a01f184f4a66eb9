"""Names of what an annotation adds to a file."""

from __future__ import annotations

__all__ = ["ENCODED_FRAMES", "MODULE", "PARTS"]

#: Processing module and lab metadata that results are written to. The NWB Inspector suggests one of the standard module
#: names instead; results that mix modalities belong to none of them, and keeping them apart leaves the source's own
#: modules as they were.
MODULE = "mivae"

#: Table of the frames latents were computed for.
ENCODED_FRAMES = "encoded_frames"

#: Words for ``SessionLatents.part``.
PARTS = ("train", "validation", "test")
