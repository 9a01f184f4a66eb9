"""Rank correlation of maps, alone, beyond others and when shifted, against SciPy and against loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from nwb_mivae.attribution.association import partial_correlation, rank_maps, shifted_correlation

T, H, W = 3, 6, 9


def _maps(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, H, W))


def test_products_of_ranked_maps_are_spearmans_correlation_with_ties() -> None:
    one, other = np.round(_maps(0, T)), np.round(_maps(1, T) + _maps(0, T))
    found = (rank_maps(one) * rank_maps(other)).sum(axis=(1, 2))
    for frame in range(T):
        assert found[frame] == pytest.approx(spearmanr(one[frame].ravel(), other[frame].ravel()).statistic, abs=1e-6)


def test_frames_that_are_constant_or_not_known_correlate_with_nothing() -> None:
    values = _maps(0, 4)
    values[0] = 3.0
    values[1, 2, 2] = np.nan
    values[2] = 5.0 + 1e-8 * values[2]
    ranked = rank_maps(values)
    assert not ranked[:3].any()
    assert (ranked[3] ** 2).sum() == pytest.approx(1.0, abs=1e-6)
    assert ranked.dtype == np.float32


def test_partial_correlation_is_that_of_what_least_squares_leaves() -> None:
    statistics = _maps(1, 3, T) + _maps(2, T)
    ranked = np.stack([rank_maps(each) for each in statistics]).astype(np.float64)
    attribution = rank_maps(_maps(3, T) + statistics[0] + statistics[1]).astype(np.float64)
    flat = ranked.reshape(3, -1)
    for which in range(3):
        others = np.delete(flat, which, axis=0).T
        left = [
            values - others @ np.linalg.lstsq(others, values, rcond=None)[0]
            for values in (attribution.ravel(), flat[which])
        ]
        expected = left[0] @ left[1] / np.sqrt((left[0] @ left[0]) * (left[1] @ left[1]))
        found = partial_correlation(flat @ attribution.ravel(), flat @ flat.T, np.float64(T), which)
        assert float(found) == pytest.approx(expected, abs=1e-6)


def test_a_statistic_that_is_another_has_nothing_of_its_own() -> None:
    flat = rank_maps(_maps(1, 2)).reshape(2, -1).astype(np.float64)
    twice = np.stack([flat[0], flat[0], flat[1]])
    attribution = rank_maps(_maps(2, 1)).ravel()
    assert np.isnan(partial_correlation(twice @ attribution, twice @ twice.T, np.float64(1), 0))
    assert np.isfinite(partial_correlation(twice @ attribution, twice @ twice.T, np.float64(1), 2))
    # Nor is anything left of an attribution that the others are.
    assert np.isnan(partial_correlation(flat @ flat[0], flat @ flat.T, np.float64(1), 1))


def test_shifts_are_of_the_mirrored_map() -> None:
    attribution, statistics = rank_maps(_maps(0, T)), np.stack([rank_maps(each) for each in _maps(1, 2, T)])
    found = shifted_correlation(attribution, statistics)
    assert found.shape == (2, T, 2 * H, 2 * W)
    # A mirrored map is the one that NumPy calls symmetric.
    mirrored = np.pad(attribution, ((0, 0), (0, 2 * H), (0, 2 * W)), mode="symmetric")
    for down, right in ((0, 0), (1, 0), (0, 5), (H, W), (2 * H - 1, 3), (4, 2 * W - 2)):
        window = mirrored[:, down : down + H, right : right + W]
        for frame in range(T):
            for which in range(2):
                expected = np.corrcoef(window[frame].ravel(), statistics[which, frame].ravel())[0, 1]
                assert found[which, frame, down, right] == pytest.approx(expected, abs=1e-5)


def test_ranks_do_not_depend_on_how_far_apart_values_are() -> None:
    values = _maps(0, T)
    np.testing.assert_array_equal(rank_maps(values), rank_maps(np.exp(3 * values)))
    order = rankdata(values[0]).reshape(H, W)
    assert np.corrcoef(order.ravel(), rank_maps(values)[0].ravel())[0, 1] == pytest.approx(1.0)
