"""Activity and behaviour over intervals of another clock, exactly and without aliasing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from nwb_mivae.sessions.session import SpikeTrains

__all__ = ["IntervalWeights", "counts_in_intervals", "interpolated", "interval_weights"]

FloatArray = npt.NDArray[np.float64]

#: Seconds by which an interval may reach beyond the first or last sample: rounding of times, not extrapolation.
_EDGE = 1e-6


class IntervalWeights(NamedTuple):
    """How the mean over each interval is made of samples.

    ``matrix`` (intervals, samples) is a sparse matrix whose rows sum to one where ``known``; ``known`` (intervals,) is
    false where an interval reaches beyond the samples or touches a gap between them.
    """

    matrix: Any
    known: npt.NDArray[np.bool_]


def interval_weights(
    timestamps: FloatArray, start: FloatArray, stop: FloatArray, *, longest_step: float
) -> IntervalWeights:
    """Weights of the mean of the linearly interpolated signal over intervals.

    The signal is taken as piecewise linear between samples and averaged exactly over ``[start, stop]``. Over intervals
    longer than the sampling step this is an area average (a box filter, so nothing aliases); over shorter ones it is
    linear interpolation; in between and under drift it passes smoothly from one to the other.

    Parameters
    ----------
    timestamps : ndarray of float64, (samples,)
        Strictly increasing, seconds.
    start, stop : ndarray of float64, (intervals,)
        Seconds, ``start < stop``, in order.
    longest_step : float
        A step between samples longer than this is a gap: intervals that touch it are not known.
    """
    from scipy.sparse import csr_array

    n_samples, n_intervals = len(timestamps), len(start)
    inside = (start >= timestamps[0] - _EDGE) & (stop <= timestamps[-1] + _EDGE)
    begin = np.clip(start, timestamps[0], timestamps[-1])
    end = np.clip(stop, timestamps[0], timestamps[-1])
    known = inside & (end > begin)
    first = np.clip(np.searchsorted(timestamps, begin, side="right") - 1, 0, max(0, n_samples - 2))
    last = np.clip(np.searchsorted(timestamps, end, side="left"), 1, max(1, n_samples - 1))
    steps = np.where(known, np.maximum(last - first, 1), 0)
    interval = np.repeat(np.arange(n_intervals), steps)
    step = np.repeat(first - (np.cumsum(steps) - steps), steps) + np.arange(int(steps.sum()))
    width = timestamps[step + 1] - timestamps[step]
    left = np.maximum(begin[interval], timestamps[step])
    right = np.minimum(end[interval], timestamps[step + 1])
    overlap = np.clip(right - left, 0.0, None)
    share = overlap / (end - begin)[interval]
    towards_next = (0.5 * (left + right) - timestamps[step]) / width
    touches_gap = np.zeros(n_intervals, dtype=bool)
    touches_gap[interval[(overlap > _EDGE) & (width > longest_step)]] = True
    matrix = csr_array(
        (
            np.r_[share * (1.0 - towards_next), share * towards_next].astype(np.float32),
            (np.r_[interval, interval], np.r_[step, step + 1]),
        ),
        shape=(n_intervals, n_samples),
    )
    return IntervalWeights(matrix, known & ~touches_gap)


def counts_in_intervals(
    spikes: SpikeTrains, start: FloatArray, stop: FloatArray, cells: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Spike counts in half-open intervals ``[start, stop)``, exactly, (intervals, cells).

    Intervals must be in order and must not overlap. Each unit's spikes are read once, in the order of ``cells``.
    """
    counts = np.zeros((len(start), len(cells)), dtype=np.float32)
    if not len(start):
        return counts
    for column, cell in enumerate(cells):
        times = spikes.of_cell(int(cell))
        times = times[np.searchsorted(times, start[0]) : np.searchsorted(times, stop[-1])]
        interval = np.searchsorted(start, times, side="right") - 1
        inside = interval >= 0
        inside[inside] = times[inside] < stop[interval[inside]]
        counts[:, column] = np.bincount(interval[inside], minlength=len(start))
    return counts


def interpolated(
    timestamps: FloatArray, values: FloatArray, at: FloatArray, *, longest_step: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """A variable at given times, linearly between known samples, and where it is not known.

    Unknown are times outside the samples and in stretches longer than ``longest_step`` without a finite sample; the
    median stands there (0 where nothing is known).
    """
    finite = np.isfinite(values) & np.isfinite(timestamps)
    timestamps, values = timestamps[finite], values[finite]
    if not len(timestamps):
        return np.zeros(len(at), dtype=np.float32), np.ones(len(at), dtype=bool)
    order = np.argsort(timestamps, kind="stable")
    timestamps, values = timestamps[order], values[order]
    after = np.searchsorted(timestamps, at, side="left")
    to_next = np.where(after < len(timestamps), timestamps[np.minimum(after, len(timestamps) - 1)] - at, np.inf)
    from_last = np.where(after > 0, at - timestamps[np.maximum(after - 1, 0)], np.inf)
    exact = to_next == 0
    unknown = ~exact & ~(to_next + from_last <= longest_step)
    result = np.where(unknown, np.median(values), np.interp(at, timestamps, values))
    return result.astype(np.float32), unknown
