"""How far latents are the true factors: pure functions on arrays, one frame a row.

Frames of a clip, and clips of a movie, are alike without being the same observation. Everything that is fitted is
therefore chosen by folds of whole ``groups``, and scored on frames that come from other groups than those it was fitted
on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

__all__ = [
    "Map",
    "dci",
    "fit_map",
    "leakage",
    "likeness",
    "matched_correlation",
    "quadratic",
    "r_squared",
    "standardised",
]

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

#: Ridge penalties that are tried, per frame; inputs are standardised.
_PENALTIES = tuple(10.0 ** np.arange(-5.0, 3.0))
_FOLDS = 5


class Map(NamedTuple):
    """A linear map with an intercept: ``(inputs - mean) / deviation @ weights + intercept``.

    ``weights`` (K, P) are those of standardised inputs.
    """

    mean: FloatArray
    deviation: FloatArray
    weights: FloatArray
    intercept: FloatArray

    def __call__(self, inputs: Array) -> FloatArray:
        """Outputs (F, P) of inputs (F, K)."""
        return np.asarray((inputs - self.mean) / self.deviation @ self.weights + self.intercept)


def standardised(values: Array) -> FloatArray:
    """Columns with zero mean and unit variance; constant columns become zero."""
    values = np.asarray(values, dtype=np.float64)
    deviation = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0))


def fit_map(inputs: Array, outputs: Array, groups: Array) -> Map:
    """Ridge regression, each output with the penalty that predicts it best in left-out groups.

    Parameters
    ----------
    inputs, outputs : ndarray, (F, K) and (F, P)
    groups : ndarray of int, (F,)
        Frames of one group are left out together.
    """
    inputs, outputs = np.asarray(inputs, dtype=np.float64), np.asarray(outputs, dtype=np.float64)
    fold = _fold_of(groups)
    error = np.zeros((len(_PENALTIES), outputs.shape[1]))
    for number in np.unique(fold):
        left_out = fold == number
        if not left_out.all():
            for place, solution in enumerate(_ridge(inputs[~left_out], outputs[~left_out])):
                error[place] += ((solution(inputs[left_out]) - outputs[left_out]) ** 2).sum(axis=0)
    best = np.argmin(error, axis=0)
    solutions = _ridge(inputs, outputs)
    weights = np.stack([solutions[place].weights[:, output] for output, place in enumerate(best)], axis=1)
    return solutions[0]._replace(weights=weights)


def r_squared(predicted: Array, true: Array) -> FloatArray:
    """Share of each column's variance that is predicted, (P,); NaN for constant columns, negative where worse than the
    column's mean.
    """
    true = np.asarray(true, dtype=np.float64)
    variance = true.var(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1.0 - ((predicted - true) ** 2).mean(axis=0) / variance
    return np.where(variance > 1e-12, share, np.nan)


def quadratic(latents: Array) -> FloatArray:
    """Standardised latents with all their products of two, (F, K + K (K + 1) / 2): for maps that are not linear."""
    values = standardised(latents)
    first, second = np.triu_indices(values.shape[1])
    return np.concatenate([values, values[:, first] * values[:, second]], axis=1)


def matched_correlation(latents: Array, factors: Array) -> float:
    """MCC: mean absolute correlation of factors with latents, each latent given to one factor at most.

    The assignment is the best one (Hungarian method); where there are more factors than latents, those left without
    count 0. Chance is not 0: the best of many correlations is taken.
    """
    a, b = standardised(latents), standardised(factors)
    correlation = np.abs(a.T @ b) / len(a)
    latent, factor = linear_sum_assignment(-correlation)
    return float(correlation[latent, factor].sum() / b.shape[1])


class Disentanglement(NamedTuple):
    """DCI of Eastwood & Williams (2018): all three in [0, 1] but ``informativeness``, which is a mean R squared."""

    disentanglement: float
    completeness: float
    informativeness: float


def dci(
    train: tuple[Array, Array, Array],
    test: tuple[Array, Array],
    *,
    latent_groups: Sequence[int] | None = None,
    factor_groups: Sequence[int] | None = None,
) -> Disentanglement:
    """Whether each latent tells of one factor only, each factor is told by one latent only, and how well.

    Importance of a latent for a factor is the absolute ridge weight between the two, both standardised.

    Parameters
    ----------
    train : tuple of ndarray
        Latents (F, K), factors (F, P) and groups (F,) to fit on.
    test : tuple of ndarray
        Latents and factors to score informativeness on.
    latent_groups, factor_groups : sequence of int, optional
        Group of each latent and factor: importances are then averaged over groups, and the three figures are about
        groups (blocks of latents, kinds of factor) instead of single ones.
    """
    latents, factors, groups = train
    fitted = fit_map(latents, factors, groups)
    importance = np.abs(fitted.weights) / np.maximum(np.std(factors, axis=0), 1e-12)
    importance = _by_group(_by_group(importance, latent_groups).T, factor_groups).T
    return Disentanglement(
        disentanglement=_specificity(importance),
        completeness=_specificity(importance.T),
        informativeness=float(np.nanmean(r_squared(fitted(test[0]), test[1]))),
    )


def leakage(
    train_blocks: Mapping[str, Array],
    train_factors: Mapping[str, Array],
    groups: Array,
    test_blocks: Mapping[str, Array],
    test_factors: Mapping[str, Array],
    *,
    expand: bool = False,
) -> dict[str, dict[str, float]]:
    """Mean R squared of every group of true factors decoded from every block of latents: ``[block][factors]``.

    With ``expand`` products of latents are used as well (:func:`quadratic`), so that what is there in another form is
    found, too.
    """
    found: dict[str, dict[str, float]] = {}
    for block, latents in train_blocks.items():
        both = np.concatenate([latents, test_blocks[block]])
        both = quadratic(both) if expand else both
        fitted = fit_map(both[: len(latents)], np.concatenate(list(train_factors.values()), axis=1), groups)
        predicted = fitted(both[len(latents) :])
        ends = np.cumsum([factors.shape[1] for factors in train_factors.values()])
        found[block] = {
            name: float(np.nanmean(r_squared(part, test_factors[name])))
            for name, part in zip(train_factors, np.split(predicted, ends[:-1], axis=1), strict=True)
        }
    return found


def likeness(one: tuple[Array, Array], other: tuple[Array, Array], groups: Array) -> dict[str, float]:
    """How alike two runs' latents of the same frames are, up to a linear map and up to order and sign.

    Parameters
    ----------
    one, other : tuple of ndarray
        Latents of each run: frames to fit on (F, K), and other frames to score on.
    groups : ndarray of int, (F,)
        Of the frames to fit on.

    Returns
    -------
    dict
        ``one_from_other`` and ``other_from_one``: share of variance (all latents together) that a linear map predicts;
        ``matched_correlation``, up to order and sign; ``matched_correlation_chance``, the same with the frames of the
        second run in the order of other clips (rolled by half).
    """
    a, b = one[1], other[1]
    return {
        "one_from_other": _total_r_squared(fit_map(other[0], one[0], groups)(b), a),
        "other_from_one": _total_r_squared(fit_map(one[0], other[0], groups)(a), b),
        "matched_correlation": matched_correlation(a, b),
        "matched_correlation_chance": matched_correlation(a, np.roll(b, len(b) // 2, axis=0)),
    }


def _total_r_squared(predicted: Array, true: Array) -> float:
    return float(1.0 - ((predicted - true) ** 2).sum() / ((true - true.mean(axis=0)) ** 2).sum())


def _fold_of(groups: Array) -> npt.NDArray[np.int64]:
    """Fold (F,) of every frame: groups are dealt in turn, so that folds are of about the same size."""
    _, number = np.unique(groups, return_inverse=True)
    return np.asarray(number.reshape(-1) % _FOLDS)


def _ridge(inputs: FloatArray, outputs: FloatArray) -> list[Map]:
    """The solution for every penalty, from one decomposition."""
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    # A latent that hardly moves must not be blown up to a large one.
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    scaled = (inputs - mean) / deviation
    intercept = outputs.mean(axis=0)
    variance, direction = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    along = direction.T @ (scaled.T @ (outputs - intercept) / len(scaled))
    return [
        Map(mean, deviation, direction @ (along / (np.maximum(variance, 0.0) + penalty)[:, None]), intercept)
        for penalty in _PENALTIES
    ]


def _by_group(importance: FloatArray, groups: Sequence[int] | None) -> FloatArray:
    """Mean of the rows of each group."""
    if groups is None:
        return importance
    number = np.asarray(groups)
    return np.stack([importance[number == group].mean(axis=0) for group in np.unique(number)])


def _specificity(importance: FloatArray) -> float:
    """One minus the entropy of each row (in units of the largest possible), rows weighed by their sums."""
    if importance.shape[1] < 2:
        return 1.0
    total = importance.sum(axis=1)
    if total.sum() <= 0:
        return 0.0
    share = importance / np.where(total > 0, total, 1.0)[:, None]
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1) / np.log(importance.shape[1])
    return float((total * (1.0 - entropy)).sum() / total.sum())
