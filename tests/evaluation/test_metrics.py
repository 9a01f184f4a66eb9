from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.errors import EvaluationError
from nwb_mivae.evaluation import metrics


def clips(seed: int, n: int = 20, frames: int = 4, latents: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, frames, latents))


def test_distinct_clips_counts_showings_of_the_same_pixels_once_in_order_of_first_showing() -> None:
    content = np.array([[7, 8], [1, 2], [7, 8], [1, 3], [1, 2]])
    first, candidate = metrics.distinct_clips(content)
    assert first.tolist() == [0, 1, 3]
    assert candidate.tolist() == [0, 1, 0, 2, 1]


def test_expected_squared_distance_is_what_samples_of_both_gaussians_average_to() -> None:
    generator = np.random.default_rng(0)
    a, b = clips(1, 2, 2, 2), clips(2, 3, 2, 2)
    va, vb = generator.uniform(0.1, 1.0, a.shape), generator.uniform(0.1, 1.0, b.shape)
    drawn_a = a + np.sqrt(va) * generator.standard_normal((40_000, *a.shape))
    drawn_b = b + np.sqrt(vb) * generator.standard_normal((40_000, *b.shape))
    sampled = ((drawn_a[:, :, None] - drawn_b[:, None]) ** 2).mean(axis=(0, 3, 4))
    np.testing.assert_allclose(metrics.expected_squared_distance(a, va, b, vb), sampled, rtol=0.03)


def test_expected_squared_distance_keeps_its_digits_far_from_the_origin() -> None:
    near, far = clips(3), clips(3) + 1e6
    zero = np.zeros_like(near)
    here = metrics.expected_squared_distance(near, zero, near[::-1], zero)
    there = metrics.expected_squared_distance(far, zero, far[::-1], zero)
    np.testing.assert_allclose(there, here, atol=1e-6)


def test_a_perfect_embedding_is_found_and_one_of_other_clips_is_not() -> None:
    mean = clips(4)
    distance = metrics.expected_squared_distance(mean, np.ones_like(mean), mean, np.ones_like(mean))
    target = np.arange(20)
    assert metrics.top_k(distance, target, 1) == 1.0
    assert metrics.top_k(distance, np.roll(target, 1), 1) == 0.0


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 30),
    k=st.integers(1, 8),
    level=st.floats(-1e3, 1e3),
    spread=st.floats(0.0, 10.0),
)
def test_a_constant_embedding_scores_exactly_chance(n: int, k: int, level: float, spread: float) -> None:
    mean = np.full((n, 2, 3), level, dtype=np.float32)
    variance = np.full_like(mean, spread)
    target = np.arange(n)
    for distance in (
        metrics.expected_squared_distance(mean, variance, mean, variance),
        1 - metrics.centred_cosine_similarity(mean, mean),
    ):
        assert metrics.top_k(distance, target, k) == pytest.approx(min(k / n, 1.0))


def test_ties_share_what_is_left_of_the_first_k_places() -> None:
    distance = np.array([[0.0, 1.0, 1.0, 1.0, 5.0]])
    target = np.array([2])
    assert metrics.top_k(distance, target, 1) == 0.0
    assert metrics.top_k(distance, target, 2) == pytest.approx(1 / 3)
    assert metrics.top_k(distance, target, 3) == pytest.approx(2 / 3)
    assert metrics.top_k(distance, target, 4) == 1.0


def test_latents_that_are_not_finite_are_refused() -> None:
    with pytest.raises(EvaluationError, match="not finite"):
        metrics.top_k(np.array([[np.nan, 1.0]]), np.array([0]), 1)


def test_centred_cosine_ignores_a_shift_and_a_scale_of_either_side() -> None:
    a, b = clips(5), clips(6)
    plain = metrics.centred_cosine_similarity(a, b)
    moved = metrics.centred_cosine_similarity(3 * a + 2, 0.1 * b - 4)
    np.testing.assert_allclose(moved, plain, atol=1e-12)
    np.testing.assert_allclose(np.diag(metrics.centred_cosine_similarity(a, a)), 1.0)


def test_paired_r_alone_is_high_for_latents_that_hold_nothing_of_the_clip() -> None:
    offset = np.array([0.0, 10.0, -5.0])
    a, b = clips(7) + offset, clips(8) + offset
    target = np.arange(20)
    paired = metrics.paired_correlation(a, b)
    unpaired = metrics.unpaired_correlation(a, b, target)
    centred = metrics.centred_correlation(a, b)
    assert paired is not None
    assert paired > 0.9
    assert unpaired == pytest.approx(paired, abs=0.02)
    assert centred is not None
    assert abs(centred) < 0.25


def test_unpaired_r_is_the_correlation_over_all_mismatched_pairs_written_out() -> None:
    queries, candidates = clips(9, 7), clips(10, 4) + 0.3
    target = np.array([0, 1, 2, 3, 0, 1, 1])
    pairs = [(i, j) for i in range(7) for j in range(4) if target[i] != j]
    left = np.concatenate([queries[i].ravel() for i, _ in pairs])
    right = np.concatenate([candidates[j].ravel() for _, j in pairs])
    expected = np.corrcoef(left, right)[0, 1]
    assert metrics.unpaired_correlation(queries, candidates, target) == pytest.approx(expected)


def test_correlations_are_those_of_numpy() -> None:
    a = clips(11)
    b = a + 0.5 * clips(12)
    assert metrics.paired_correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    moved_a, moved_b = a - a.mean(0), b - b.mean(0)
    expected = np.corrcoef(moved_a.ravel(), moved_b.ravel())[0, 1]
    assert metrics.centred_correlation(a, b) == pytest.approx(expected)


def test_correlations_with_a_constant_are_undefined() -> None:
    a, constant = clips(13), np.full((20, 4, 3), 2.5)
    per_latent = np.broadcast_to(np.array([1.0, 2.0, 3.0]), (20, 4, 3))
    target = np.arange(20)
    assert metrics.paired_correlation(a, constant) is None
    assert metrics.unpaired_correlation(constant, a, target) is None
    assert metrics.centred_correlation(a, per_latent) is None
    assert metrics.unpaired_correlation(a[:3], a[:1], np.zeros(3, dtype=np.int64)) is None
    assert metrics.paired_correlation(np.zeros((3, 1, 1)), a[:3, :1, :1]) is None


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 40), seed=st.integers(0, 2**31))
def test_a_derangement_is_a_permutation_that_leaves_nothing_in_place(n: int, seed: int) -> None:
    permutation = metrics.derangement(n, np.random.default_rng(seed))
    assert sorted(permutation.tolist()) == list(range(n))
    assert (permutation != np.arange(n)).all()


def test_active_units_do_not_depend_on_the_scale_of_a_latent() -> None:
    mean = clips(14, 200, 4, 3) * np.array([1.0, 0.01, 0.0])
    variance = np.broadcast_to(np.array([0.1, 1e-5, 1.0]), mean.shape)
    assert metrics.active_units(mean, variance) == 2
    assert metrics.active_units(1000 * mean, 1e6 * variance) == 2
    assert metrics.active_units(mean, np.full_like(mean, 1e3)) == 0
