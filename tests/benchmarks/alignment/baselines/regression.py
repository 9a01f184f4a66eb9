"""Ridge regression over a path of penalties."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

FloatArray = npt.NDArray[np.float32]


def ridge_path(
    inputs: FloatArray, targets: FloatArray, penalties: Sequence[float]
) -> Iterator[tuple[float, FloatArray]]:
    """Weights ``(I, D)`` of targets ``(n, D)`` on inputs ``(n, I)`` at each penalty; neither side is centred here.

    A penalty is relative to the sum of squares of an average input: the same number means the same shrinkage at any
    number of frames and any scale of the inputs.
    """
    gram = inputs.T @ inputs
    products = inputs.T @ targets
    unit = max(float(np.trace(gram)) / len(gram), 1e-12)
    for penalty in penalties:
        penalised = gram.copy()
        penalised.flat[:: len(gram) + 1] += penalty * unit
        yield penalty, cho_solve(cho_factor(penalised, overwrite_a=True), products)
