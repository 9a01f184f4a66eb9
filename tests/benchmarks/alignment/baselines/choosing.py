"""How a baseline chooses between its own settings: by looking up validation clips, more finely than top-1 counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def mean_reciprocal_rank(distance: npt.NDArray[np.float64], target: npt.NDArray[np.int64]) -> float:
    """Mean of one over the rank of the right candidate; ties count half."""
    own = distance[np.arange(len(target)), target][:, None]
    rank = 0.5 + (distance < own).sum(1) + 0.5 * (distance == own).sum(1)
    return float((1.0 / rank).mean())
