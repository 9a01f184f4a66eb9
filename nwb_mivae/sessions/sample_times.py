"""Times that are numbers of samples of another series, where a layout is known for it: turned into seconds."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.clock import regular_rate, regular_timestamps, stored_timestamps
from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["in_seconds"]


def in_seconds(file: OpenedFile, item: Any, *columns: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """The times of a table in seconds.

    They are taken for numbers of samples where the file's layout names a series they count (``Layout.counted_times``),
    every one is whole, and the last lies within that series but for one; that is noted. All others are seconds.
    """
    layout = file.layout
    path = file.path_of(item)
    for entry in layout.counted_times if layout is not None else ():
        if not re.fullmatch(re.escape(entry.object).replace(r"\*", ".*"), path):
            continue
        known = np.concatenate([column[np.isfinite(column)] for column in columns])
        clock = _clock(file, entry.series)
        whole = len(known) > 0 and bool((known == np.rint(known)).all()) and float(known.min()) >= 0
        if clock is None or not whole or known.max() > len(clock):
            continue
        message = (
            f"times are whole numbers up to {int(known.max())}: taken as samples of {entry.series}, not as seconds"
        )
        file.note("guess", path, message)
        longer = np.append(clock, 2 * clock[-1] - clock[-2])
        return tuple(
            np.where(np.isfinite(column), longer[np.nan_to_num(column).astype(np.int64)], np.nan) for column in columns
        )
    return columns


def _clock(file: OpenedFile, path: str) -> npt.NDArray[np.float64] | None:
    for item in file.nwbfile.objects.values():
        if hasattr(item, "timestamps") and file.path_of(item) == path:
            stored = stored_timestamps(item)
            rate = regular_rate(item)
            clock = (
                stored if stored is not None or rate is None else regular_timestamps(item, rate, max(item.data.shape))
            )
            return clock if clock is not None and len(clock) > 1 else None
    return None
