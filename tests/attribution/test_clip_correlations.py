"""Correlations between clips and at shifts agree with each other and with plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.attribution.association import rank_maps
from nwb_mivae.attribution.clip_correlations import RankedClip, between_clips, by_shift

T, H, W, S = 3, 6, 9, 3


def _clip(seed: int, shown: list[int], showings: int = 1) -> RankedClip:
    random = np.random.default_rng(seed)
    statistics = random.standard_normal((S, T, H, W)) + random.standard_normal((T, H, W))
    statistics[1, 0] = np.nan
    attributions = statistics[0] + random.standard_normal((showings, T, H, W))
    return RankedClip(
        np.stack([rank_maps(each) for each in attributions]),
        np.stack([rank_maps(each) for each in statistics]),
        np.array(shown),
    )


def test_without_a_shift_both_are_the_same() -> None:
    clips = [_clip(0, [0, 1, 2]), _clip(1, [3, 4, 5], showings=2)]
    between = between_clips(clips)
    assert between.shape == (2, S, 2, 2)
    for place, clip in enumerate(clips):
        shifted = by_shift(clip)
        assert shifted.shape == (2, S, 2 * H, 2 * W)
        np.testing.assert_allclose(shifted[..., 0, 0], between[..., place, place], atol=1e-6)
    assert (between[0, 0].diagonal() > 0.2).all()


def test_frames_count_alike_and_those_without_a_statistic_not_at_all() -> None:
    one, other = _clip(0, [0, 1, 2]), _clip(1, [3, 4, 5])
    products = (one.attributions[0] * other.statistics).sum(axis=(2, 3))
    found = between_clips([one, other])[0, :, 0, 1]
    np.testing.assert_allclose(found[[0, 2]], products[[0, 2]].mean(axis=1), atol=1e-6)
    assert found[1] == pytest.approx(products[1, 1:].mean(), abs=1e-6)


def test_frames_of_the_same_pixels_are_not_compared_in_different_clips() -> None:
    one, other, same = _clip(0, [0, 1, 2]), _clip(1, [3, 1, 5]), _clip(2, [0, 1, 2])
    found = between_clips([one, other, same])
    products = (one.attributions[0] * other.statistics[0]).sum(axis=(1, 2))
    assert found[0, 0, 0, 1] == pytest.approx(products[[0, 2]].mean(), abs=1e-6)
    assert np.isnan(found[:, :, 0, 2]).all()
    assert np.isfinite(found[:, :, 0, 0]).all()


def test_a_clip_whose_attribution_is_constant_has_no_correlation() -> None:
    clip = _clip(0, [0, 1, 2])
    constant = RankedClip(np.zeros_like(clip.attributions), clip.statistics, clip.shown)
    assert np.isnan(by_shift(constant)).all()
    assert np.isnan(between_clips([constant, clip])[:, :, 0]).all()
    own = RankedClip(clip.statistics[:1], clip.statistics, clip.shown)
    found = by_shift(own)
    assert found[0, 0, 0, 0] == pytest.approx(1.0, abs=1e-5)
    # Nothing of it is left beside the statistic that it is.
    assert np.isnan(found[1, 2]).all()
