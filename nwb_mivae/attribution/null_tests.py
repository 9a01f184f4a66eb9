"""Whether a mean over clips is more than chance: two nulls, an interval for the effect, and a correction for many."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["NULLS", "NullTest", "against_draws", "against_other_clips", "against_shifts", "holm"]

_Array = npt.NDArray[np.float64]

#: Nulls and what each leaves to chance.
NULLS = {
    "shifted": "attribution maps, mirrored at their borders, shifted in space, all clips and frames alike",
    "other_clip": "attribution maps of one clip against the frames of another that shows something else",
}
_RESAMPLES = 2000
_PERCENTILES = np.arange(101)
#: Figures that differ by less are equal: they come from sums in single precision.
_EQUAL = 1e-6


class NullTest(NamedTuple):
    """Of one statistic against one null.

    ``effect`` is the mean over clips of ``by_clip`` (C,), each clip's correlation less what the null expects of it;
    ``interval`` (2,) its confidence interval, NaN for less than two clips; ``p_value`` two-sided; ``null`` (101,) the
    percentiles 0 to 100 of the effect under the null.
    """

    effect: float
    interval: _Array
    p_value: float
    by_clip: _Array
    null: _Array


def against_shifts(
    observed: _Array, expected: _Array, shifted: _Array, *, confidence: float, random: np.random.Generator
) -> NullTest:
    """Test a mean over clips against all shifts.

    The shifts are a group, and all are taken, the one by nothing among them: where maps are as likely here as there,
    the p-value is exact however coarse the maps are. All clips are shifted alike, so that what their maps have in
    common stays in common. (Shifts of more than some distance alone would be no group, and the p-value too small.)

    Parameters
    ----------
    observed, expected : ndarray of float64, (C,)
        Correlation of each clip, and its mean over all shifts.
    shifted : ndarray of float64, (shifts,)
        Mean over clips at each shift; the first is that by nothing.
    confidence : float
    random : Generator
        Draws the clips of the bootstrap.
    """
    by_shift = shifted - shifted.mean()
    away = np.abs(by_shift)
    p_value = float(np.mean(away >= away[0] - _EQUAL))
    by_clip = observed - expected
    interval = _interval(by_clip, confidence, random)
    return NullTest(float(by_clip.mean()), interval, p_value, by_clip, np.percentile(by_shift, _PERCENTILES))


def against_draws(observed: _Array, drawn: _Array) -> _Array:
    """How often a figure drawn under the null is as far from the mean as the observed one, (C,).

    What was observed is one of the draws, of which the mean is taken as well: all are alike under the null, so that
    the p-value is exact however few they are.

    Parameters
    ----------
    observed : ndarray of float64, (C,)
        Different figures; the p-value of one that is NaN is NaN.
    drawn : ndarray of float64, (draws, C)
    """
    every = np.concatenate([observed[None], drawn])
    away = np.abs(every - every.mean(0))
    return np.where(np.isfinite(observed), (away >= away[0] - 1e-12).mean(0), np.nan)


def against_other_clips(
    correlation: _Array, *, permutations: int, confidence: float, random: np.random.Generator
) -> NullTest:
    """Test the mean of a diagonal against permutations of its columns.

    All permutations are drawn from, those that leave clips in their place among them: only then is the p-value exact
    where clips are exchangeable, and not too small for few clips. The effect is free of them: it is the mean over clips
    less the mean over pairs of different ones. A clip's part of it is ``r[c, c]`` less the mean of its row and that of
    its column, plus that of all, all without the diagonal.

    Parameters
    ----------
    correlation : ndarray of float64, (C, C)
        Of each clip's attribution (rows) with each clip's frames (columns), none NaN. C at least 2.
    permutations : int
        How many are drawn.
    confidence : float
    random : Generator
        Draws permutations, and the clips of the bootstrap.
    """
    clips = len(correlation)
    drawn = random.permuted(np.tile(np.arange(clips), (permutations, 1)), axis=1)
    mean = correlation.mean()
    by_order = correlation[np.arange(clips), drawn].mean(axis=1) - mean
    away = np.abs(by_order)
    same = correlation.diagonal()
    p_value = (1 + int((away >= abs(same.mean() - mean) - _EQUAL).sum())) / (1 + permutations)
    others = correlation - np.diag(same)
    rows, columns = others.sum(axis=1) / (clips - 1), others.sum(axis=0) / (clips - 1)
    by_clip = same - rows - columns + rows.mean()
    # A mean less that of all pairs is smaller than less that of different ones, which the effect is, by this factor.
    null = np.percentile(by_order, _PERCENTILES) * clips / (clips - 1)
    return NullTest(float(by_clip.mean()), _interval(by_clip, confidence, random), p_value, by_clip, null)


def holm(p_values: _Array) -> _Array:
    """p-values corrected for their number, so that the chance of any false finding is kept (Holm 1979).

    Of any shape; NaN are no tests, and stay.
    """
    corrected = np.full(p_values.shape, np.nan)
    known = np.isfinite(p_values)
    values = p_values[known]
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    back = np.empty(len(values))
    back[order] = np.minimum(stepped, 1.0)
    corrected[known] = back
    return corrected


def _interval(by_clip: _Array, confidence: float, random: np.random.Generator) -> _Array:
    """Expanded percentile bootstrap of a mean: without the expansion, intervals of few clips are too narrow.

    Hesterberg (2015), What teachers should know about the bootstrap, The American Statistician 69, section 3.3.
    """
    from scipy.stats import norm, t

    clips = len(by_clip)
    if clips < 2:
        return np.full(2, np.nan)
    tail = norm.cdf(math.sqrt(clips / (clips - 1)) * t.ppf((1 - confidence) / 2, clips - 1))
    means = by_clip[random.integers(0, clips, (_RESAMPLES, clips))].mean(axis=1)
    return np.asarray(np.quantile(means, [tail, 1 - tail]), dtype=np.float64)
