"""A linear read-out of classes, and how good it is: pure functions on arrays, one observation a row.

Frames of one trial are alike without being the same observation. The penalty is therefore chosen by folds of whole
``groups``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["ReadOut", "balanced_accuracy", "confusion", "fit_read_out", "shuffled_accuracy"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntegerArray = npt.NDArray[np.int64]

#: Added to the within-class covariance of standardised inputs, largest first: of equally good ones the first is taken.
_PENALTIES = tuple(10.0 ** np.arange(2.0, -5.0, -1.0))
_FOLDS = 5


class ReadOut(NamedTuple):
    """Linear discriminant with equal priors: the class with the largest ``standardised @ weights + offset``.

    ``classes`` (P,), ``weights`` (K, P), ``offset`` (P,); ``mean`` and ``deviation`` (K,) standardise.
    """

    classes: IntegerArray
    mean: FloatArray
    deviation: FloatArray
    weights: FloatArray
    offset: FloatArray

    def __call__(self, inputs: Array) -> IntegerArray:
        """Classes (F,) of inputs (F, K)."""
        scores = (inputs - self.mean) / self.deviation @ self.weights + self.offset
        return np.asarray(self.classes[np.argmax(scores, axis=1)])


def fit_read_out(inputs: Array, classes: Array, groups: Array) -> ReadOut:
    """Linear discriminant analysis with the penalty that does best in left-out groups.

    Classes weigh the same however many observations each has. Regression on indicators of classes would not do here:
    with few inputs it never chooses a class that lies between two others, as a position does.

    Parameters
    ----------
    inputs : ndarray, (F, K)
    classes, groups : ndarray of int, (F,)
        Frames of one group are left out together.

    Raises
    ------
    ValueError
        If there are fewer than two classes.
    """
    inputs = np.asarray(inputs, dtype=np.float64)
    if len(np.unique(classes)) < 2:
        raise ValueError("a read-out needs at least two classes")
    _, number = np.unique(groups, return_inverse=True)
    fold = number.reshape(-1) % _FOLDS
    score = np.zeros(len(_PENALTIES))
    for left_out in (fold == each for each in np.unique(fold)):
        if len(np.unique(classes[~left_out])) < 2:
            continue
        for place, read_out in enumerate(_discriminants(inputs[~left_out], classes[~left_out])):
            score[place] += balanced_accuracy(read_out(inputs[left_out]), classes[left_out])
    return _discriminants(inputs, classes)[int(np.argmax(score))]


def confusion(predicted: Array, true: Array, n_classes: int) -> FloatArray:
    """Share of each true class (row) that is called each class (column); NaN in rows of classes that are not there."""
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (true, predicted), 1.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def balanced_accuracy(predicted: Array, true: Array) -> float:
    """Mean over the classes that are there of the share of each that is called by its name; chance is one over their
    number, whatever the read-out prefers.
    """
    return float(np.mean([np.mean(predicted[true == each] == each) for each in np.unique(true)]))


def shuffled_accuracy(predicted: Array, true: Array, generator: np.random.Generator, *, draws: int) -> float:
    """Balanced accuracy where every observation is scored as another one, mean over random orders.

    A read-out sees one observation at a time, so that giving it the inputs of another is giving its answer away.
    """
    return float(np.mean([balanced_accuracy(generator.permutation(predicted), true) for _ in range(draws)]))


def _discriminants(inputs: FloatArray, classes: Array) -> list[ReadOut]:
    """One for every penalty, from one decomposition."""
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    # An input that hardly moves must not be blown up to a large one.
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    scaled = (inputs - mean) / deviation
    names = np.unique(classes)
    centres = np.stack([scaled[classes == name].mean(axis=0) for name in names])
    within = np.mean([np.cov(scaled[classes == name].T, bias=True) for name in names], axis=0)
    variance, direction = np.linalg.eigh(np.atleast_2d(within))
    along = direction.T @ centres.T
    found = []
    for penalty in _PENALTIES:
        weights = direction @ (along / (np.maximum(variance, 0.0) + penalty)[:, None])
        found.append(ReadOut(names, mean, deviation, weights, -0.5 * (centres * weights.T).sum(axis=1)))
    return found
