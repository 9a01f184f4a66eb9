"""p-values are uniform where there is nothing, small where there is something, and corrected for their number."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest

from nwb_mivae.attribution.association import rank_maps, shifted_correlation
from nwb_mivae.attribution.null_tests import against_draws, against_other_clips, against_shifts, holm

CLIPS, H, W = 6, 14, 20
SESSIONS = 200


def _smooth(random: np.random.Generator, coarseness: float, clips: int = CLIPS) -> np.ndarray:
    """Maps cut out of larger ones, so that their borders do not fit each other, as those of frames do not."""
    larger = random.standard_normal((clips, 2 * H, 2 * W))
    return gaussian_filter(larger, (0, coarseness, coarseness), mode="wrap")[:, :H, :W]


def _p_values(one: np.ndarray, other: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    attribution, statistic = rank_maps(one), rank_maps(other)
    shifted = shifted_correlation(attribution, statistic[None])[0].astype(np.float64)
    by_clip = shifted.reshape(len(one), -1)
    spatial = against_shifts(by_clip[:, 0], by_clip.mean(axis=1), by_clip.mean(axis=0), confidence=0.95, random=random)
    between = attribution.reshape(len(one), -1) @ statistic.reshape(len(one), -1).T
    return spatial.p_value, against_other_clips(between, permutations=200, confidence=0.95, random=random).p_value


@pytest.mark.parametrize("coarseness", [1.0, 4.0])
def test_without_association_p_values_are_uniform_however_coarse_maps_are(coarseness: float) -> None:
    random = np.random.default_rng(5)
    found = [_p_values(_smooth(random, coarseness), _smooth(random, coarseness), random) for _ in range(SESSIONS)]
    for p_values in np.array(found).T:
        assert kstest(p_values, "uniform").pvalue > 0.01
        assert (p_values <= 0.05).mean() < 0.1
        assert p_values.min() > 0


def test_for_four_clips_p_values_are_not_too_small() -> None:
    # Of permutations that leave no clip in place there would be nine; a tenth of all p-values would be the smallest.
    random = np.random.default_rng(6)
    found = np.array(
        [
            against_other_clips(
                random.standard_normal((4, 4)), permutations=200, confidence=0.95, random=random
            ).p_value
            for _ in range(1000)
        ]
    )
    for level in (0.05, 0.1, 0.2):
        assert (found <= level).mean() < level + 0.025
    assert found.min() > 1 / 100


def test_maps_that_all_clips_have_in_common_by_chance_do_not_make_shifts_significant() -> None:
    random = np.random.default_rng(7)
    found = []
    for _ in range(SESSIONS):
        one, other = (_smooth(random, 1.5) + 2 * _smooth(random, 1.5, clips=1) for _ in range(2))
        found.append(_p_values(one, other, random))
    assert (np.array(found) <= 0.05).mean(axis=0).max() < 0.1


def test_an_envelope_in_the_middle_is_found_by_shifts_and_not_by_other_clips() -> None:
    random = np.random.default_rng(8)
    rows, columns = np.mgrid[:H, :W]
    envelope = np.exp(-(((rows - H / 2) / 4) ** 2) - ((columns - W / 2) / 5) ** 2)
    found = []
    for _ in range(60):
        one, other = (np.abs(_smooth(random, 1.0)) * (0.1 + envelope) for _ in range(2))
        found.append(_p_values(one, other, random))
    significant = (np.array(found) <= 0.05).mean(axis=0)
    assert significant[0] > 0.9
    assert significant[1] < 0.15


def test_effect_is_less_what_the_null_expects_and_its_interval_covers_it() -> None:
    random = np.random.default_rng(9)
    inside = 0
    for _ in range(300):
        rows, columns = random.standard_normal((2, 8, 1))
        matrix = 0.3 + rows + columns.T + 0.1 * random.standard_normal((8, 8)) + 0.5 * np.eye(8)
        matrix[np.diag_indices(8)] += 0.3 * random.standard_normal(8)
        found = against_other_clips(matrix, permutations=100, confidence=0.9, random=random)
        off_diagonal = matrix[~np.eye(8, dtype=bool)]
        assert found.effect == pytest.approx(matrix.diagonal().mean() - off_diagonal.mean())
        assert found.by_clip.mean() == pytest.approx(found.effect)
        inside += found.interval[0] <= 0.5 <= found.interval[1]
    assert inside / 300 == pytest.approx(0.9, abs=0.05)


def test_a_negative_association_is_found_as_well_and_one_clip_has_no_interval() -> None:
    random = np.random.default_rng(10)
    shifted = 0.1 * random.standard_normal(400)
    shifted[0] = -0.9
    found = against_shifts(np.array([-0.9]), np.array([0.0]), shifted, confidence=0.95, random=random)
    assert found.p_value == 1 / 400
    assert found.effect == -0.9
    assert np.isnan(found.interval).all()
    matrix = 0.05 * random.standard_normal((9, 9)) - 0.5 * np.eye(9)
    assert against_other_clips(matrix, permutations=999, confidence=0.95, random=random).p_value == 1 / 1000


def test_holm_corrects_step_by_step_and_leaves_what_is_no_test() -> None:
    p_values = np.array([[0.01, 0.04], [0.03, np.nan]])
    np.testing.assert_allclose(holm(p_values), [[0.03, 0.06], [0.06, np.nan]])
    assert holm(np.array([0.9, 0.8])).max() == 1.0
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_the_null_is_in_the_unit_of_the_effect_and_its_tail_is_the_p_value() -> None:
    random = np.random.default_rng(12)
    correlation = random.standard_normal((5, 5)) + 1.5 * np.eye(5)
    test = against_other_clips(correlation, permutations=5000, confidence=0.95, random=random)
    assert test.null.shape == (101,)
    assert np.all(np.diff(test.null) >= 0)
    # Of 120 orders the true one is drawn again, and it has the effect itself.
    exact = [correlation[np.arange(5), order].mean() - correlation.mean() for order in permutations(range(5))]
    beyond = np.mean(np.abs(exact) >= abs(correlation.diagonal().mean() - correlation.mean()) - 1e-9)
    assert test.p_value == pytest.approx(beyond, abs=0.02)
    assert np.mean(np.abs(test.null) >= abs(test.effect) - 1e-9) == pytest.approx(beyond, abs=0.03)
    shifted = random.standard_normal(1000) + 3
    spatial = against_shifts(shifted[:1], shifted[:1] * 0 + 3, shifted, confidence=0.95, random=random)
    np.testing.assert_allclose(spatial.null[[0, 50, 100]], np.percentile(shifted, [0, 50, 100]) - shifted.mean())


def test_p_values_against_draws_are_exact_on_both_sides_and_unknown_where_the_figure_is() -> None:
    random = np.random.default_rng(10)
    p_values = np.concatenate([against_draws(random.random(50), random.random((19, 50))) for _ in range(200)])
    for level in (0.05, 0.1, 0.25, 0.5):
        assert (p_values <= level + 1e-9).mean() == pytest.approx(level, abs=0.01)
    drawn = random.standard_normal((99, 3))
    np.testing.assert_allclose(against_draws(np.array([9.0, -9.0, np.nan]), drawn), [0.01, 0.01, np.nan])
    # All are equal: a draw is as far as what was observed.
    np.testing.assert_array_equal(against_draws(np.ones(2), np.ones((99, 2))), 1.0)
