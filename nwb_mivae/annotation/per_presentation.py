"""Latents sorted by the presentation they belong to: one row per row of the source's own presentation table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.inference.latents import LatentBlock, SessionLatents

__all__ = ["PresentationBins", "presentation_bins"]

#: Arrays (P, B) with more places than the first, and more than the second times the number of frames, are taken apart.
_LARGE, _SPARSE = 2**18, 4


class PresentationBins(NamedTuple):
    """Where each encoded frame stands in one presentation table of the source.

    Attributes
    ----------
    table : str
        Path of the table inside the source file.
    rows : ndarray of int64, (P,)
        Rows of that table with at least one encoded frame, increasing.
    offsets : ndarray of float64, (B,)
        Start of each bin in seconds from the first frame of the presentation.
    frames : ndarray of int64, (n,)
        Encoded frames that belong to this table.
    presentation, bin : ndarray of int64, (n,)
        Their place in an array (P, B).
    suffix : str
        What tells it from others of the same table in names; empty where there is one.
    """

    table: str
    rows: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.float64]
    frames: npt.NDArray[np.int64]
    presentation: npt.NDArray[np.int64]
    bin: npt.NDArray[np.int64]
    suffix: str = ""

    def spread(self, block: LatentBlock) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Mean and variance as (P, B, latents) float32, NaN where no frame was encoded."""
        shape = (len(self.rows), len(self.offsets), block.mean.shape[1])
        mean, variance = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        mean[self.presentation, self.bin] = block.mean[self.frames]
        variance[self.presentation, self.bin] = block.variance[self.frames]
        return mean, variance


def presentation_bins(stored: StoredSession, latents: SessionLatents) -> Iterator[PresentationBins]:
    """Sort the encoded frames by presentation table, presentation and time since the presentation's first frame.

    A row of the source's table may show one frame or a whole movie. Bins are as long as the frames of the table's
    fastest movie, the same for all its rows; where movies of a table have different rates, the slower ones leave bins
    empty. Bins are counted over *all* stored frames of a row, encoded or not, so that a frame that was not encoded
    moves no other. Frames that belong to no row of a table are left out.

    A table that mixes rows of one frame with rows of thousands would give a large array of nearly nothing. Its rows are
    then sorted by their number of bins: up to 4, up to 16, up to 64, and so on, each yielded by itself.
    """
    # A frame without a presentation points at the entry appended last: no path, no row.
    paths = np.append(stored.presentations["source_path"].to_numpy(dtype=object), "")
    source_rows = np.append(stored.presentations["source_row"].to_numpy(dtype=np.int64), -1)
    shown = np.asarray(stored.presentation, dtype=np.int64)
    shown = np.where((shown >= 0) & (shown < len(paths) - 1), shown, -1)
    path_of_frame, row_of_frame = paths[shown], source_rows[shown]
    time = np.asarray(stored.time, dtype=np.float64)
    for table in sorted({str(path) for path in paths if path}):
        members = np.flatnonzero((path_of_frame == table) & (row_of_frame >= 0))
        order = members[np.lexsort((time[members], row_of_frame[members]))]
        bin_of_frame, width = _bins(row_of_frame[order], time[order])
        numbered = np.zeros(len(time), np.int64)
        numbered[order] = bin_of_frame
        frames = np.flatnonzero(np.isin(latents.row, members))
        if not len(frames):
            continue
        stored_rows = latents.row[frames]
        yield from _not_too_sparse(table, frames, row_of_frame[stored_rows], numbered[stored_rows], width)


def _not_too_sparse(
    table: str, frames: npt.NDArray[np.int64], row: npt.NDArray[np.int64], bins: npt.NDArray[np.int64], width: float
) -> Iterator[PresentationBins]:
    """All rows of a table at once, or by their number of bins."""
    rows, presentation = np.unique(row, return_inverse=True)
    size = len(rows) * (int(bins.max()) + 1)
    if size <= max(_LARGE, _SPARSE * len(frames)):
        yield _placed(table, frames, row, bins, width)
        return
    last = np.zeros(len(rows), np.int64)
    np.maximum.at(last, presentation, bins)
    # Rows of up to 4, 16, 64, ... bins: the arrays then hold no more than four times as many values as there are.
    power = np.ceil(np.log(np.maximum(last + 1, 4)) / np.log(4) - 1e-9).astype(np.int64)
    for each in np.unique(power):
        mine = power[presentation] == each
        yield _placed(table, frames[mine], row[mine], bins[mine], width, suffix=f"_up_to_{4**each}_bins")


def _placed(
    table: str,
    frames: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    bins: npt.NDArray[np.int64],
    width: float,
    *,
    suffix: str = "",
) -> PresentationBins:
    rows, presentation = np.unique(row, return_inverse=True)
    return PresentationBins(
        table=table,
        rows=rows.astype(np.int64),
        offsets=width * np.arange(int(bins.max()) + 1, dtype=np.float64),
        frames=frames,
        presentation=presentation.astype(np.int64),
        bin=bins,
        suffix=suffix,
    )


def _bins(row: npt.NDArray[np.int64], time: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], float]:
    """Bin of each frame and the bins' width in seconds; frames are in order of row, then of time."""
    first = np.flatnonzero(np.diff(row, prepend=row[:1] - 1))
    if len(first) == len(row):  # rows of one frame each, of which there may be hundreds of thousands
        return np.zeros(len(row), np.int64), 0.0
    showings = np.split(time, first[1:])
    steps = [float(np.median(np.diff(times))) for times in showings if len(times) > 1]
    # One row that is squeezed into too short a time must not cut all others into bins that are nearly all empty.
    width = max(min(steps), 0.25 * float(np.median(steps))) if steps else 0.0
    numbers = []
    for times in showings:
        count = np.arange(len(times))
        nearest = np.rint((times - times[0]) / width).astype(np.int64) if len(times) > 1 else count
        # Each frame has a bin of its own: one that is early by more than half a bin goes to the next.
        numbers.append(np.maximum.accumulate(nearest - count) + count)
    return np.concatenate(numbers) if numbers else np.zeros(0, np.int64), width
