from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.evaluation.conditions import (
    Posterior,
    both_ways,
    condition_metrics,
    mean_metrics,
    shuffled_pairs_metrics,
    undefined_metrics,
)


def posterior(seed: int, n: int, noise: float = 0.0) -> Posterior:
    mean = np.random.default_rng(0).standard_normal((n, 3, 2))
    mean = mean + noise * np.random.default_rng(seed).standard_normal(mean.shape)
    return Posterior(mean.astype(np.float32), np.full(mean.shape, 0.1, dtype=np.float32))


@pytest.mark.parametrize("distance", ["expected_squared", "centred_cosine"])
def test_clips_are_found_and_shuffled_pairs_are_not(distance: str) -> None:
    queries, candidates = posterior(1, 30, 0.2), posterior(2, 30)
    target = np.arange(30)
    found = condition_metrics(queries, candidates, target, distance)  # type: ignore[arg-type]
    shuffled = shuffled_pairs_metrics(
        queries,
        candidates,
        target,
        distance,  # type: ignore[arg-type]
        shuffles=20,
        generator=np.random.default_rng(0),
    )
    assert found["chance"] == shuffled["chance"] == pytest.approx(1 / 30)
    assert found["n_clips"] == shuffled["n_clips"] == 30
    assert found["top1"] > 0.9
    assert found["centred_r"] > 0.9
    assert shuffled["top1"] < 0.05
    assert abs(shuffled["centred_r"]) < 0.1


def test_repeats_of_a_clip_are_queries_but_one_candidate() -> None:
    candidates = posterior(0, 4)
    target = np.array([0, 1, 2, 3, 0, 0])
    queries = Posterior(candidates.mean[target], candidates.variance[target])
    figures = condition_metrics(queries, candidates, target, "expected_squared")
    assert figures["n_clips"] == 4
    assert figures["chance"] == 0.25
    assert figures["top1"] == 1.0
    assert figures["paired_r"] == pytest.approx(1.0)


def test_both_ways_averages_two_lookups_that_differ() -> None:
    # From the left both queries are nearest the first candidate; from the right each finds its own.
    first = Posterior(np.array([[[0.0]], [[1.0]]], np.float32), np.zeros((2, 1, 1), np.float32))
    second = Posterior(np.array([[[0.1]], [[5.0]]], np.float32), np.zeros((2, 1, 1), np.float32))
    assert condition_metrics(first, second, np.arange(2), "expected_squared")["top1"] == 0.5
    assert condition_metrics(second, first, np.arange(2), "expected_squared")["top1"] == 1.0
    assert both_ways(first, second, "expected_squared")["top1"] == 0.75


def test_means_are_over_the_draws_where_a_figure_is_defined() -> None:
    one, other = undefined_metrics(7), undefined_metrics(7)
    one["top1"], one["paired_r"], other["top1"] = 0.5, 0.2, 0.1
    averaged = mean_metrics([one, other])
    assert averaged["top1"] == pytest.approx(0.3)
    assert averaged["paired_r"] == 0.2
    assert averaged["centred_r"] is None
    assert averaged["n_clips"] == 7
