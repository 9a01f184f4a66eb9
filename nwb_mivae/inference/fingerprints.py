"""Functional fingerprints: what the model knows of each cell, from how it answered the stimulus in the context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SessionFingerprints"]


@dataclass(frozen=True)
class SessionFingerprints:
    """Fingerprints of the N cells of a session.

    Attributes
    ----------
    session : str
        Key of the session in the store.
    fingerprints : ndarray of float32, (N, L, F)
        Whitened covariance of each cell's activity with F stimulus features at L lags.
    lags_in_seconds : ndarray of float64, (L,)
        How long before the activity the stimulus was shown, increasing.
    n_frames : int
        Frames of context they were computed from.
    weights_sha256 : str
        Digest of the weights behind the features; empty where unknown.
    """

    session: str
    fingerprints: npt.NDArray[np.float32]
    lags_in_seconds: npt.NDArray[np.float64]
    n_frames: int
    weights_sha256: str = ""
