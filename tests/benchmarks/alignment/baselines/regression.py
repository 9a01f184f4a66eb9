"""Ridge regression over a path of penalties, from sums that are taken once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

FloatArray = npt.NDArray[np.float32]


class Fit(NamedTuple):
    """Weights ``(I, D)`` at one penalty, and the covariance ``(D, D)`` of their errors on what they were fitted on."""

    penalty: float
    weights: FloatArray
    error_covariance: npt.NDArray[np.float64]


class Ridge:
    """Regression on inputs ``(n, I)``, which are not centred here, of as many targets in turn as there are.

    A penalty is relative to the sum of squares of an average input: the same number means the same shrinkage at any
    number of frames and any scale of the inputs.
    """

    def __init__(self, inputs: FloatArray) -> None:
        self.inputs = inputs
        self._gram = inputs.T @ inputs
        self._unit = max(float(np.trace(self._gram)) / len(self._gram), 1e-12)

    def path(self, targets: FloatArray, penalties: Sequence[float]) -> Iterator[Fit]:
        """Fits of targets ``(n, D)`` at each penalty."""
        products = self.inputs.T @ targets
        squares = (targets.T @ targets).astype(np.float64)
        for penalty in penalties:
            penalised = self._gram.copy()
            penalised.flat[:: len(penalised) + 1] += penalty * self._unit
            weights: FloatArray = cho_solve(cho_factor(penalised, overwrite_a=True), products)
            # The errors themselves would cost a pass over all frames for every penalty.
            explained = (weights.T @ products).astype(np.float64)
            size = (weights.T @ (self._gram @ weights)).astype(np.float64)
            yield Fit(penalty, weights, (squares - explained - explained.T + size) / len(targets))
