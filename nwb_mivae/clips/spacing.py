"""Taking a few of many: the one rule by which rooms thin clips, so that the same number means the same clips."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["evenly"]


def evenly(values: npt.NDArray[np.int64], count: int | None) -> npt.NDArray[np.int64]:
    """At most ``count`` of the values, spaced evenly from the first to the last; all of them where it is None.

    Parameters
    ----------
    values : ndarray of int64, (n,)
        For example the starts of clips, in order.
    count : int or None
        How many to take; 1 takes the first, 0 none.

    Returns
    -------
    ndarray of int64, (min(n, count),)
        In order, none taken twice.
    """
    if count is None or len(values) <= count:
        return values
    return values[np.linspace(0, len(values) - 1, count).round().astype(np.int64)]
