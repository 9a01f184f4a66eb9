"""Spikes, and what a calcium indicator and a microscope make of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

__all__ = ["SPIKE_AMPLITUDE", "draw_spikes", "fluorescence"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: GCaMP6f: seconds of rise and decay, and peak dF/F of one spike (median over cells).
RISE_SECONDS = 0.05
DECAY_SECONDS = 0.4
SPIKE_AMPLITUDE = 0.15


def draw_spikes(
    rates: npt.NDArray[np.float32], edges: FloatArray, random: np.random.Generator
) -> tuple[FloatArray, IntArray]:
    """Draw Poisson spike times from rates that are constant between edges.

    Parameters
    ----------
    rates : ndarray, (F, N)
        Hz.
    edges : ndarray, (F + 1,)
        Seconds at which each rate begins, and the last one ends.

    Returns
    -------
    spike_times : ndarray of float64, (spikes,)
        Seconds, sorted within each cell, the cells one after the other.
    ends : ndarray of int64, (N,)
        Where each cell's spikes end in ``spike_times``.
    """
    expected = np.zeros((rates.shape[1], len(edges)))
    np.cumsum(rates.T * np.diff(edges), axis=1, dtype=np.float64, out=expected[:, 1:])
    counts = random.poisson(expected[:, -1])
    trains = []
    for cell, count in enumerate(counts):
        # The time at which the expected count passes a uniform number follows the rate.
        places = np.sort(random.random(count)) * expected[cell, -1]
        trains.append(np.interp(places, expected[cell], edges))
    return np.concatenate(trains), np.cumsum(counts, dtype=np.int64)


def fluorescence(
    spike_times: FloatArray,
    ends: IntArray,
    amplitude: FloatArray,
    *,
    start: float,
    rate: float,
    n_samples: int,
) -> FloatArray:
    """dF/F (n_samples, N) without noise: each spike adds ``amplitude`` times the indicator's kernel.

    The kernel is ``exp(-t / decay) - exp(-t / rise)`` scaled to peak 1, evaluated exactly at the samples
    ``start + k / rate`` wherever between two samples a spike falls.
    """
    n_cells = len(ends)
    cell = np.repeat(np.arange(n_cells), np.diff(ends, prepend=0))
    position = (spike_times - start) * rate
    sample = np.maximum(np.ceil(position), 0.0).astype(np.int64)
    inside = sample < n_samples
    sample, cell, delay = sample[inside], cell[inside], (sample - position)[inside] / rate
    trace = np.zeros((n_samples, n_cells))
    for sign, seconds in ((1.0, DECAY_SECONDS), (-1.0, RISE_SECONDS)):
        arrived = np.bincount(
            sample * n_cells + cell, weights=np.exp(-delay / seconds), minlength=n_samples * n_cells
        ).reshape(n_samples, n_cells)
        trace += sign * lfilter([1.0], [1.0, -np.exp(-1.0 / (rate * seconds))], arrived, axis=0)
    ratio = DECAY_SECONDS / RISE_SECONDS
    peak_time = np.log(ratio) * RISE_SECONDS * DECAY_SECONDS / (DECAY_SECONDS - RISE_SECONDS)
    peak = np.exp(-peak_time / DECAY_SECONDS) - np.exp(-peak_time / RISE_SECONDS)
    trace *= amplitude / peak
    return trace
