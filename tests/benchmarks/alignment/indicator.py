"""What a calcium indicator makes of something known frame by frame, at the sample that alignment gives each frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve

from nwb_mivae.simulation.calcium import DECAY_SECONDS, RISE_SECONDS

__all__ = ["as_seen_by_indicator", "kernel", "within_clips"]

FloatArray = npt.NDArray[np.float64]

#: Beyond so many seconds the kernel is below a thousandth of its peak.
_LENGTH = 3.0
#: Pieces into which a frame is cut to average the kernel over it.
_PIECES = 20


def kernel(seconds: FloatArray) -> FloatArray:
    """Calcium so long after one spike, 1 at its peak, as the simulator has it."""
    peak_time = np.log(DECAY_SECONDS / RISE_SECONDS) * RISE_SECONDS * DECAY_SECONDS / (DECAY_SECONDS - RISE_SECONDS)
    peak = np.exp(-peak_time / DECAY_SECONDS) - np.exp(-peak_time / RISE_SECONDS)
    after = np.maximum(seconds, 0.0)
    return np.asarray((np.exp(-after / DECAY_SECONDS) - np.exp(-after / RISE_SECONDS)) / peak)


def as_seen_by_indicator(
    series: npt.NDArray[Any], frame_rate: float, lag: float, *, power: int = 1, normalised: bool = False
) -> FloatArray:
    """Convolve what is constant during each frame with the indicator's kernel.

    Parameters
    ----------
    series : ndarray, (F, N)
        By display refresh, which must be regular; the first dimension is time.
    frame_rate, lag : float
        Hz; and how much later than a frame alignment takes its activity. The sample is then ``lag`` seconds after the
        middle of the frame, so that a few later frames reach it as well.
    power : int
        Of the kernel: 1 for the expectation of calcium from rates, 2 for the variance that single spikes cause.
    normalised : bool
        Whether the kernel's weights sum to one; they sum to seconds otherwise.

    Returns
    -------
    ndarray of float64, (F, N)
    """
    earliest, weights = _weights(frame_rate, lag, power)
    if normalised:
        weights = weights / weights.sum()
    whole = fftconvolve(np.asarray(series, dtype=np.float64), weights[:, None], axes=0)
    return np.asarray(whole[-earliest : len(series) - earliest])


def within_clips(clips: npt.NDArray[Any], frame_rate: float, lag: float, *, power: int = 1) -> FloatArray:
    """The part of :func:`as_seen_by_indicator` that a clip's own frames cause, for clips (C, T, N)."""
    earliest, weights = _weights(frame_rate, lag, power)
    frames = np.arange(clips.shape[1])
    apart = frames[:, None] - frames - earliest
    matrix = np.where((apart >= 0) & (apart < len(weights)), weights[np.clip(apart, 0, len(weights) - 1)], 0.0)
    return np.asarray(matrix @ np.asarray(clips, dtype=np.float64))


def _weights(frame_rate: float, lag: float, power: int) -> tuple[int, FloatArray]:
    """Weights of frames by how many frames ago they were, and how long ago the first is (negative: still to come)."""
    frame = 1.0 / frame_rate
    earliest = -int(np.ceil(lag * frame_rate)) - 1
    inside = (np.arange(_PIECES) + 0.5) / _PIECES * frame
    behind = np.arange(earliest, int(_LENGTH * frame_rate))[:, None] * frame + lag + frame / 2.0 - inside
    return earliest, (kernel(behind) ** power).mean(axis=1) * frame
