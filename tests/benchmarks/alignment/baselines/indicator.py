"""Features as an indicator would show them: low-passed in time, from what the clip itself shows and nothing before."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def through_indicator(features: FloatArray, decay: float, frame_rate: float, *, delay: int = 0) -> FloatArray:
    """Exponential decay along time, ``(..., T, D)`` to the same.

    A clip's first frame is taken to have stood for long before it, because what was shown before a clip is nothing
    that a lookup among clips may know.

    Parameters
    ----------
    features : ndarray, (..., T, D)
    decay : float
        Time constant in seconds; 0 leaves the features as they are.
    frame_rate : float
    delay : int
        Frames by which the result lags behind.
    """
    delayed = features
    if delay:
        frames = np.maximum(np.arange(features.shape[-2]) - delay, 0)
        delayed = features[..., frames, :]
    if decay <= 0:
        return delayed
    kept = np.float32(np.exp(-1.0 / (decay * frame_rate)))
    filtered = np.empty_like(delayed)
    state = delayed[..., 0, :]
    for frame in range(delayed.shape[-2]):
        state = kept * state + (1 - kept) * delayed[..., frame, :]
        filtered[..., frame, :] = state
    return filtered
