"""Subpopulations: cells of a session grouped by the time course of their attribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SessionSubpopulations"]


@dataclass(frozen=True)
class SessionSubpopulations:
    """C subpopulations of the N cells of a session.

    Attributes
    ----------
    session : str
        Key of the session in the store.
    method : str
        How cells were grouped.
    attribution_method : str
        Which attribution was grouped, for example ``"score"``.
    subpopulation : ndarray of int32, (N,)
        Row of the subpopulation of each cell in ``profile``; -1 where a cell belongs to none.
    confidence : ndarray of float32, (N,)
        Silhouette of each cell in its subpopulation, -1 to 1; NaN where it belongs to none.
    profile : ndarray of float32, (C, B)
        Mean time course of the attribution to a subpopulation's cells.
    profile_time : ndarray of float64, (B,)
        Start of each bin of the profile in seconds from the onset of a clip.
    statistics : mapping of str to (description, ndarray (C,))
        Figures of each subpopulation, for example its stability, each with what it means.
    settings : mapping
        Settings and seed, JSON-able.
    weights_sha256 : str
        Digest of the weights behind the attribution; empty where unknown.
    """

    session: str
    method: str
    attribution_method: str
    subpopulation: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32]
    profile: npt.NDArray[np.float32]
    profile_time: npt.NDArray[np.float64]
    statistics: Mapping[str, tuple[str, npt.NDArray[np.float64]]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
