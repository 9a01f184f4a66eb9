"""When the samples of an NWB time series were taken: its timestamps, or its start and rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["regular_rate", "regular_timestamps", "stored_timestamps"]

FloatArray = npt.NDArray[np.float64]


def stored_timestamps(series: Any) -> FloatArray | None:
    """Timestamps in seconds where the series has any that are numbers, its own or another's that it links to."""
    stored = series.timestamps
    if stored is None:
        return None
    times = np.asarray(stored[:], dtype=np.float64)
    return times if times.size and bool(np.isfinite(times).any()) else None


def regular_rate(series: Any) -> float | None:
    """Sampling rate in Hz, or ``None`` where it is missing, zero, negative or NaN."""
    return usable_rate(series.rate)


def usable_rate(rate: Any) -> float | None:
    """A rate in Hz as a number, or ``None`` where it says nothing."""
    if rate is None:
        return None
    value = float(rate)
    return value if np.isfinite(value) and value > 0 else None


def regular_timestamps(series: Any, rate: float, n_samples: int) -> FloatArray:
    """Seconds of ``n_samples`` samples at ``rate`` Hz from the series' start (0 where it states none)."""
    start = series.starting_time
    first = float(start) if start is not None and np.isfinite(float(start)) else 0.0
    return first + np.arange(n_samples, dtype=np.float64) / rate
