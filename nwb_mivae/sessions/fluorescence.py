"""dF/F of our own, for files that have raw fluorescence only.

With F the fluorescence of a ROI, less a fixed share of its neuropil where the file has that, the baseline F0 is a
running percentile of F and the result ``(F - F0) / F0``. The percentile is taken of means over bins of a thirtieth of
the window, which keeps noise from pulling it down, and F0 is linear between the middles of the bins; beyond the first
and last sample the recording is mirrored. Running percentile: Dombeck et al. 2007, Neuron 56:43; share of neuropil:
Chen et al. 2013, Nature 499:295.

Everything is computed as it is read: any block of rows is the same whatever the size of the blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.configuration import BaselineConfiguration
from nwb_mivae.sessions.session import SampledTraces

__all__ = ["ComputedDff", "delta_f_over_f"]

FloatArray = npt.NDArray[np.float32]

_BINS_PER_WINDOW = 30
#: Places of the recording, one window long, at which noise and baseline are looked at beforehand.
_SAMPLED_STRETCHES = 5
#: Standard deviation of normal noise over the median absolute difference of two draws.
_DEVIATION_OF_DIFFERENCES = 1.4826 / np.sqrt(2.0)


class ComputedDff(NamedTuple):
    """dF/F that is computed when it is read, and of how many ROIs the baseline is of little worth.

    Attributes
    ----------
    traces : SampledTraces
        dF/F as a ratio; NaN where a ROI has neither baseline nor noise.
    n_low : int
        ROIs whose baseline is below their own noise, or negative, at some of the places looked at. There the noise
        (standard deviation) stands in the denominator.
    n_constant : int
        ROIs without noise and with a baseline of zero or less: they have no dF/F.
    """

    traces: SampledTraces
    n_low: int
    n_constant: int


def delta_f_over_f(
    raw: SampledTraces, neuropil: SampledTraces | None, configuration: BaselineConfiguration
) -> ComputedDff:
    """dF/F of raw fluorescence, computed as it is read; a few stretches of the recording are read at once.

    Parameters
    ----------
    raw : SampledTraces
        Fluorescence, not yet normalised, of two samples or more.
    neuropil : SampledTraces, optional
        That of the same cells and samples.
    configuration : BaselineConfiguration
        Window, percentile and share of the neuropil.
    """
    computed = _RunningBaseline(raw, neuropil, configuration)
    traces = SampledTraces(
        computed.read,
        raw.timestamps,
        raw.n_cells,
        kind="dff",
        unit="dF/F",
        path=raw.path,
        preferred_rows=raw.preferred_rows,
    )
    return ComputedDff(traces, computed.n_low, computed.n_constant)


class _RunningBaseline:
    def __init__(
        self, raw: SampledTraces, neuropil: SampledTraces | None, configuration: BaselineConfiguration
    ) -> None:
        self._raw = raw
        self._neuropil = neuropil if configuration.neuropil_factor > 0 else None
        self._factor = np.float32(configuration.neuropil_factor)
        self._percentile = configuration.percentile
        self._n_samples = len(raw.timestamps)
        in_window = max(1.0, configuration.window * raw.rate)
        self._bin = max(1, round(in_window / _BINS_PER_WINDOW))
        self._n_bins = max(1, self._n_samples // self._bin)
        # An odd number of bins, so that the window is centred; more than twice the recording says nothing new.
        self._half = min(int(in_window / self._bin / 2), self._n_bins)
        self._held: tuple[int, FloatArray] = (0, np.zeros((0, raw.n_cells), dtype=np.float32))
        self._floor, self.n_low, self.n_constant = self._sampled()

    def read(self, start: int, stop: int) -> FloatArray:
        """Rows ``start`` to ``stop`` of dF/F (time, cells)."""
        if stop <= start:
            return np.zeros((0, self._raw.n_cells), dtype=np.float32)
        first = max(start // self._bin - 1, 0)
        last = min((stop - 1) // self._bin + 1, self._n_bins - 1)
        from_bin, to_bin = max(first - self._half, 0), min(last + self._half, self._n_bins - 1)
        from_sample = from_bin * self._bin
        # The last bin takes the rest of the recording, which is less than a bin.
        to_sample = self._n_samples if to_bin == self._n_bins - 1 else (to_bin + 1) * self._bin
        signal = self._signal(from_sample, to_sample)
        percentiles = self._running_percentile(self._binned(signal, to_bin - from_bin + 1))
        baseline = percentiles[first - from_bin : last - from_bin + 1]
        # Position of each sample among the middles of the bins, and its two neighbours there.
        place = np.clip((np.arange(start, stop) - 0.5 * (self._bin - 1)) / self._bin - first, 0.0, len(baseline) - 1.0)
        before = np.minimum(place.astype(np.int64), max(len(baseline) - 2, 0))
        share = (place - before).astype(np.float32)[:, None]
        after = np.minimum(before + 1, len(baseline) - 1)
        denominator = baseline[before] * (1 - share) + baseline[after] * share
        result: FloatArray = signal[start - from_sample : stop - from_sample] - denominator
        np.maximum(denominator, self._floor, out=denominator)
        denominator[denominator <= 0] = np.nan
        result /= denominator
        return result

    def _signal(self, start: int, stop: int) -> FloatArray:
        """Fluorescence less neuropil; what the block before needed already is not read again."""
        held_from, held = self._held
        known = held[start - held_from :] if held_from <= start < held_from + len(held) else held[:0]
        known = known[: stop - start]
        begin = start + len(known)
        if begin < stop:
            values = self._raw.read(begin, stop)
            if self._neuropil is not None:
                values = values - self._factor * self._neuropil.read(begin, stop)
            known = np.concatenate([known, values]) if len(known) else values
        self._held = (start, known)
        return known

    def _binned(self, signal: FloatArray, n_bins: int) -> FloatArray:
        """Means over bins (bins, cells) of rows that begin with a bin; the last takes what is left over."""
        cells = signal.shape[1]
        whole = n_bins if len(signal) == n_bins * self._bin else n_bins - 1
        means = np.empty((n_bins, cells), dtype=np.float32)
        means[:whole] = signal[: whole * self._bin].reshape(whole, self._bin, cells).mean(axis=1)
        if whole < n_bins:
            means[-1] = signal[whole * self._bin :].mean(axis=0)
        return means

    def _running_percentile(self, means: FloatArray) -> FloatArray:
        from scipy.ndimage import percentile_filter

        size = 2 * self._half + 1
        if size == 1:
            return means
        result = np.empty_like(means)
        known = np.isfinite(means).all(axis=0)
        # One cell after the other: SciPy's filter is several times as fast for a single axis.
        for cell in np.flatnonzero(known):
            result[:, cell] = percentile_filter(
                np.ascontiguousarray(means[:, cell]), self._percentile, size=size, mode="reflect"
            )
        for cell in np.flatnonzero(~known):
            result[:, cell] = self._percentile_of_known(means[:, cell], size)
        return result

    def _percentile_of_known(self, means: FloatArray, size: int) -> FloatArray:
        """The same percentile of what is known in each window, NaN where nothing is."""
        padded = np.pad(means, self._half, mode="symmetric")
        return _of_rank(np.lib.stride_tricks.sliding_window_view(padded, size).T, self._percentile)

    def _sampled(self) -> tuple[FloatArray, int, int]:
        """Noise of each cell (cells,), how many have a low baseline, and how many neither noise nor baseline."""
        length = min(self._n_samples, (2 * self._half + 1) * self._bin)
        noise, baseline = [], []
        for start in np.unique(np.linspace(0, self._n_samples - length, _SAMPLED_STRETCHES).astype(np.int64)):
            signal = self._signal(int(start), int(start) + length)
            noise.append(_of_rank(np.abs(np.diff(signal, axis=0)), 50.0) * np.float32(_DEVIATION_OF_DIFFERENCES))
            baseline.append(_of_rank(self._binned(signal, max(1, length // self._bin)), self._percentile))
        self._held = (0, signal[:0])
        floor = np.nan_to_num(_of_rank(np.stack(noise), 50.0))
        lowest = np.fmin.reduce(np.stack(baseline), axis=0)
        constant = (floor <= 0) & ~(lowest > 0)
        return floor, int((~constant & (lowest < floor)).sum()), int(constant.sum())


def _of_rank(values: FloatArray, percentile: float) -> FloatArray:
    """The value at that percentile along the first axis among what is known, NaN where nothing is.

    As in SciPy's filter it is one of the values, not between two of them.
    """
    ordered = np.sort(np.where(np.isfinite(values), values, np.float32(np.nan)), axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    rank = np.minimum((count * percentile / 100.0).astype(np.int64), np.maximum(count - 1, 0))
    return np.asarray(np.take_along_axis(ordered, rank[None], axis=0)[0], dtype=np.float32)
