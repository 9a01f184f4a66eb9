"""Missing samples of traces: which cells to leave out for them, which samples are lost, and what can be filled.

A sample that is NaN or infinite in one cell says nothing about the others. So, in this order and over the samples that
frames are made of:

1. samples that no cell has say nothing about single cells; cells that miss more than a tenth of the others are left
   out;
2. samples that more than ``maximum_missing_cells`` of the remaining cells miss are lost: frames that need them are
   masked, and they count against no cell;
3. cells that miss more than ``maximum_missing_share`` of the samples left, or a stretch of them longer than
   ``maximum_filled_gap``, are left out;
4. what the cells that were kept still miss is filled linearly between the neighbouring samples of the same cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment.configuration import AlignmentConfiguration

__all__ = ["MissingSamples", "Verdict", "fill"]

BoolArray = npt.NDArray[np.bool_]

#: Cells that miss more than this share of the samples are left out before samples are judged by the cells that have
#: them; otherwise cells without any value would make every sample a lost one.
_HOPELESS_SHARE = 0.1


@dataclass(frozen=True)
class Verdict:
    """What follows from the missing samples.

    Attributes
    ----------
    kept : ndarray of int64, (kept,)
        Cells that are used.
    lost : ndarray of bool, (samples,)
        Samples that too many cells miss.
    longest : int
        Samples over which a single cell is filled, at most.
    """

    kept: npt.NDArray[np.int64]
    lost: BoolArray
    longest: int


class MissingSamples:
    """Collects which samples of which cells are missing, a block of samples after the other.

    Cells that miss nothing in a block take no memory, the others one bit per sample.
    """

    def __init__(self, n_samples: int, n_cells: int) -> None:
        self._n_samples = n_samples
        self._n_cells = n_cells
        self._blocks: list[tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.uint8]]] = []

    def add(self, first: int, rows: npt.NDArray[np.float32]) -> None:
        """Take note of the samples ``first`` and following, (samples, cells)."""
        unknown = ~np.isfinite(rows)
        cells = np.flatnonzero(unknown.any(axis=0))
        if len(cells):
            self._blocks.append((first, len(rows), cells, np.packbits(unknown[:, cells], axis=0)))

    def judge(self, used: BoolArray, rate: float, configuration: AlignmentConfiguration) -> Verdict:
        """Which cells are kept and which samples are lost, by the rules above.

        Parameters
        ----------
        used : ndarray of bool, (samples,)
            Samples that frames are made of; the others do not count.
        rate : float
            Samples per second.
        configuration : AlignmentConfiguration
            The limits.
        """
        every = np.ones(self._n_cells, dtype=bool)
        silent = self._cells_missing(every) == self._n_cells
        counted = used & ~silent
        share = max(_HOPELESS_SHARE, configuration.maximum_missing_share)
        candidates = self._samples_missing(counted) <= share * counted.sum()

        lost = silent | (self._cells_missing(candidates) > configuration.maximum_missing_cells * candidates.sum())
        counted = used & ~lost
        longest = max(1, round(configuration.maximum_filled_gap * rate))
        kept = (
            candidates
            & counted.any()
            & (self._samples_missing(counted) <= configuration.maximum_missing_share * counted.sum())
            & (self._longest_stretch(counted) <= longest)
        )
        return Verdict(np.flatnonzero(kept), lost, longest)

    def _unknown(self) -> Iterator[tuple[slice, npt.NDArray[np.int64], BoolArray]]:
        for first, count, cells, bits in self._blocks:
            yield slice(first, first + count), cells, np.unpackbits(bits, axis=0, count=count).view(np.bool_)

    def _cells_missing(self, among: BoolArray) -> npt.NDArray[np.int64]:
        """How many of these cells miss each sample, (samples,)."""
        missing = np.zeros(self._n_samples, dtype=np.int64)
        for samples, cells, unknown in self._unknown():
            missing[samples] = unknown[:, among[cells]].sum(axis=1)
        return missing

    def _samples_missing(self, among: BoolArray) -> npt.NDArray[np.int64]:
        """How many of these samples each cell misses, (cells,)."""
        missing = np.zeros(self._n_cells, dtype=np.int64)
        for samples, cells, unknown in self._unknown():
            missing[cells] += unknown[among[samples]].sum(axis=0)
        return missing

    def _longest_stretch(self, among: BoolArray) -> npt.NDArray[np.int64]:
        """The most of these samples that each cell misses one after the other, (cells,)."""
        longest = np.zeros(self._n_cells, dtype=np.int64)
        lasting = np.zeros(self._n_cells, dtype=np.int32)
        end = 0
        for samples, cells, unknown in self._unknown():
            before = lasting[cells] if samples.start == end else np.zeros(len(cells), dtype=np.int32)
            number = np.arange(len(unknown), dtype=np.int32)[:, None]
            missing = unknown & among[samples][:, None]
            known = np.maximum.accumulate(np.where(missing, -1 - before, number), axis=0)
            stretch = number - known
            longest[cells] = np.maximum(longest[cells], stretch.max(axis=0))
            lasting[:] = 0
            lasting[cells] = stretch[-1]
            end = samples.stop
        return longest


def fill(
    timestamps: npt.NDArray[np.float64], rows: npt.NDArray[np.float32], longest: int
) -> tuple[npt.NDArray[np.float32], BoolArray, npt.NDArray[np.int64]]:
    """Samples with what is missing filled from the same cell, linearly between neighbours in time.

    Neighbours are looked for at most ``longest`` samples away; where there is one on one side only it is held.

    Returns
    -------
    filled : ndarray of float32, (samples, cells)
        Without NaN; zero where there is no neighbour.
    left : ndarray of bool, (samples,)
        Samples at which some cell could not be filled.
    count : ndarray of int64, (samples,)
        Values that were filled at each sample.
    """
    unknown = ~np.isfinite(rows)
    left = np.zeros(len(rows), dtype=bool)
    count = np.zeros(len(rows), dtype=np.int64)
    if not unknown.any():
        return rows, left, count
    filled = np.where(unknown, np.float32(0), rows)
    for cell in np.flatnonzero(unknown.any(axis=0)):
        known, missing = np.flatnonzero(~unknown[:, cell]), np.flatnonzero(unknown[:, cell])
        if not len(known):
            left[missing] = True
            continue
        after = np.searchsorted(known, missing)
        before = known[np.maximum(after - 1, 0)]
        behind = known[np.minimum(after, len(known) - 1)]
        has_before = (after > 0) & (missing - before <= longest)
        has_behind = (after < len(known)) & (behind - missing <= longest)
        towards = (timestamps[missing] - timestamps[before]) / np.where(
            has_before & has_behind, timestamps[behind] - timestamps[before], 1.0
        )
        towards = np.where(has_before & has_behind, towards, np.where(has_before, 0.0, 1.0))
        values = (1.0 - towards) * rows[before, cell] + towards * rows[behind, cell]
        found = has_before | has_behind
        filled[missing[found], cell] = values[found]
        left[missing[~found]] = True
        count[missing[found]] += 1
    return filled, left, count
