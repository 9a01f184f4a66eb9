"""From latents of one session to its figures under one condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.evaluation import metrics
from nwb_mivae.evaluation.result import ConditionMetrics

__all__ = ["Posterior", "both_ways", "condition_metrics", "mean_metrics", "shuffled_pairs_metrics", "undefined_metrics"]

_FIGURES: tuple[Literal["top1", "top5", "chance", "paired_r", "unpaired_r", "centred_r"], ...] = (
    "top1",
    "top5",
    "chance",
    "paired_r",
    "unpaired_r",
    "centred_r",
)


class Posterior(NamedTuple):
    """Posteriors of clips: ``mean`` and ``variance``, both (clips, frames, latents)."""

    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]

    def of_clips(self, clips: npt.NDArray[np.int64]) -> Posterior:
        """Some of the clips, by index."""
        return Posterior(self.mean[clips], self.variance[clips])


def condition_metrics(
    queries: Posterior,
    candidates: Posterior,
    target: npt.NDArray[np.int64],
    distance: Literal["expected_squared", "centred_cosine"],
) -> ConditionMetrics:
    """Figures of Q queries looked up among M different candidates, ``target`` (Q,) naming the right one of each."""
    if distance == "expected_squared":
        distances = metrics.expected_squared_distance(*queries, *candidates)
    else:
        distances = 1.0 - metrics.centred_cosine_similarity(queries.mean, candidates.mean)
    partners = candidates.mean[target]
    return ConditionMetrics(
        top1=metrics.top_k(distances, target, 1),
        top5=metrics.top_k(distances, target, 5),
        chance=1.0 / len(candidates.mean),
        n_clips=len(candidates.mean),
        paired_r=metrics.paired_correlation(queries.mean, partners),
        unpaired_r=metrics.unpaired_correlation(queries.mean, candidates.mean, target),
        centred_r=metrics.centred_correlation(queries.mean, partners),
    )


def shuffled_pairs_metrics(
    queries: Posterior,
    candidates: Posterior,
    target: npt.NDArray[np.int64],
    distance: Literal["expected_squared", "centred_cosine"],
    *,
    shuffles: int,
    generator: np.random.Generator,
) -> ConditionMetrics:
    """The same figures where each query is scored as another clip, averaged over random derangements of the clips."""
    n = len(candidates.mean)
    return mean_metrics(
        [
            condition_metrics(queries, candidates, metrics.derangement(n, generator)[target], distance)
            for _ in range(shuffles)
        ]
    )


def both_ways(
    first: Posterior, second: Posterior, distance: Literal["expected_squared", "centred_cosine"]
) -> ConditionMetrics:
    """Clips of ``first`` looked up among the same clips of ``second`` and the reverse, averaged."""
    same = np.arange(len(first.mean))
    return mean_metrics(
        [condition_metrics(first, second, same, distance), condition_metrics(second, first, same, distance)]
    )


def mean_metrics(draws: Sequence[ConditionMetrics]) -> ConditionMetrics:
    """Mean of every figure over draws of one condition, over those draws where it is defined."""
    averaged = undefined_metrics(draws[0]["n_clips"])
    for name in _FIGURES:
        values = [value for draw in draws if (value := draw[name]) is not None]
        averaged[name] = float(np.mean(values)) if values else None
    return averaged


def undefined_metrics(n_clips: int) -> ConditionMetrics:
    """A condition that cannot be made in this session, such as another order of a single neuron."""
    return ConditionMetrics(
        top1=None, top5=None, chance=None, n_clips=n_clips, paired_r=None, unpaired_r=None, centred_r=None
    )
