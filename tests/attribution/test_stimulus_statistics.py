"""Statistics of frames against frames whose statistics are known."""

from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.attribution.stimulus_statistics import STATISTICS, stimulus_statistics

T, H, W = 3, 36, 64


def test_a_uniform_field_has_luminance_and_nothing_else() -> None:
    found = stimulus_statistics(np.full((T, H, W), 77, dtype=np.uint8))
    assert list(found) == list(STATISTICS)
    np.testing.assert_allclose(found["luminance"], 77 / 255, atol=1e-6)
    for name in ("edge_strength", "orientation_energy", "local_contrast"):
        # Exactly: ranks would make any rounding error as large as an edge.
        assert not found[name].any()
    assert np.isnan(found["luminance_change"][0]).all()
    assert not found["luminance_change"][1:].any()


def test_edge_strength_is_the_slope_of_a_ramp_in_any_direction() -> None:
    rows, columns = np.mgrid[:H, :W]
    for down, right in ((2, 0), (0, 3), (1, 2)):
        ramp = (down * rows + right * columns).astype(np.uint8)[None]
        found = stimulus_statistics(ramp)["edge_strength"][0, 1:-1, 1:-1]
        np.testing.assert_allclose(found, np.hypot(down, right) / 255, atol=1e-6)


def test_orientation_energy_is_the_amplitude_of_a_grating_and_has_no_phase() -> None:
    columns = np.arange(W)
    grating = 128 + 100 * np.sin(2 * np.pi * columns / (H / 8) + np.arange(T)[:, None])
    frames = np.repeat(np.round(grating).astype(np.uint8)[:, None], H, axis=1)
    inside = stimulus_statistics(frames)["orientation_energy"][:, 8:-8, 14:-14]
    assert inside.mean() == pytest.approx(100 / 255, rel=0.1)
    assert inside.std() < 0.05 * inside.mean()
    turned = stimulus_statistics(np.repeat(np.round(grating).astype(np.uint8)[:, :H, None], W, axis=2))
    assert turned["orientation_energy"][:, 14:-14, 8:-8].mean() == pytest.approx(inside.mean(), rel=0.05)


def test_local_contrast_is_a_standard_deviation() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (1, H, W)).astype(np.uint8) * 51
    noise[:, :, : W // 2] = 0
    found = stimulus_statistics(noise)["local_contrast"][0]
    assert found[:, -16:].mean() == pytest.approx(0.1, rel=0.1)
    assert not found[:, :16].any()


def test_luminance_change_is_to_the_frame_before() -> None:
    frames = np.zeros((T, H, W), dtype=np.uint8)
    frames[1, 4, 5] = 51
    change = stimulus_statistics(frames)["luminance_change"]
    assert change[1, 4, 5] == change[2, 4, 5] == pytest.approx(0.2)
    assert np.count_nonzero(change[1:]) == 2


def test_frames_of_a_few_pixels_have_statistics_too() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 5), dtype=np.uint8)
    for name, values in stimulus_statistics(frames).items():
        assert values.shape == (2, 4, 5)
        assert np.isfinite(values[1:]).all(), name
