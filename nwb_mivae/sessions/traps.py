"""Tables that published files are known to hold damaged: left out aloud, never used."""

from __future__ import annotations

import re
from typing import Any

from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["is_trap"]


def is_trap(file: OpenedFile, item: Any, n_rows: int) -> bool:
    """Whether a table or series is one that the file's layout is known to hold damaged; if so, it is noted."""
    if file.layout is None:
        return False
    path = file.path_of(item)
    for trap in file.layout.traps:
        if n_rows < trap.fewest_rows and re.fullmatch(re.escape(trap.object).replace(r"\*", ".*"), path):
            message = f"{n_rows} rows of at least {trap.fewest_rows}, left out: {trap.why}; {trap.remedy}"
            file.note("warning", path, message)
            return True
    return False
