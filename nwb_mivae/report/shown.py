"""What of a run is drawn: one session of each kind, and the frames it showed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import NwbMivaeError
from nwb_mivae.report.page import Html, paragraph

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split, StoredSession

__all__ = ["draw_sessions", "frames_of"]


def draw_sessions(folder: Path, store: ClipStore, split: Split, draw: Callable[[Path, str], list[Html]]) -> list[Html]:
    """Draw one held-out session and one trained session, where the folder has files of any; why not, where it cannot.

    ``draw`` is given a session's file and its key.
    """
    files = {key: folder / f"{key}.npz" for key in store.sessions}
    parts: list[Html] = []
    for key in _first([key for key, path in files.items() if path.exists()], split):
        try:
            parts += draw(files[key], key)
        except NwbMivaeError as problem:
            parts.append(paragraph(f"{key}: not shown. {problem}"))
    return parts


def _first(keys: list[str], split: Split) -> list[str]:
    held_out = [key for key in keys if key in set(split.held_out_sessions)]
    trained = [key for key in keys if key not in set(split.held_out_sessions)]
    return held_out[:1] + trained[:1]


def frames_of(store: ClipStore, stored: StoredSession, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """What was shown at some rows of a session, (rows, H, W)."""
    return np.asarray(store.stimulus[np.asarray(stored.stimulus_row)[rows]])
