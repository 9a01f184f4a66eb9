from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.alignment.resampling import counts_in_intervals, interpolated, interval_weights
from tests.alignment.sessions import spiking


def mean_by_hand(timestamps: np.ndarray, values: np.ndarray, start: float, stop: float) -> float:
    """The mean of the piecewise linear signal: the trapezoid rule is exact between its corners."""
    inside = timestamps[(timestamps > start) & (timestamps < stop)]
    corners = np.r_[start, inside, stop]
    return float(np.trapezoid(np.interp(corners, timestamps, values), corners) / (stop - start))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sampling=st.floats(2.0, 200.0),
    frames=st.floats(2.0, 120.0),
    jitter=st.floats(0.0, 0.45),
)
def test_mean_over_interval_is_exact_at_any_ratio_of_rates(seed, sampling, frames, jitter):
    random = np.random.default_rng(seed)
    timestamps = (np.arange(80) + jitter * random.uniform(-1, 1, 80)) / sampling
    values = random.standard_normal((80, 3))
    start = np.arange(0.0, timestamps[-1] + 0.5, 1 / frames)
    stop = start + 1 / frames
    weights = interval_weights(timestamps, start, stop, longest_step=np.inf)
    result = weights.matrix @ values.astype(np.float32)
    expected_known = (start >= timestamps[0] - 1e-6) & (stop <= timestamps[-1] + 1e-6)
    assert np.array_equal(weights.known, expected_known)
    for row in np.flatnonzero(weights.known)[:40]:
        for cell in range(3):
            by_hand = mean_by_hand(timestamps, values[:, cell], start[row], stop[row])
            # An interval may reach a microsecond beyond the samples, and is the mean of what is inside.
            tolerance = 2e-5 + 2e-6 * frames * np.ptp(values[:, cell])
            assert result[row, cell] == pytest.approx(by_hand, abs=tolerance)


def test_noise_faster_than_the_frames_is_averaged_away():
    timestamps = np.arange(6000) / 600.0
    values = np.sin(2 * np.pi * 290.0 * timestamps)[:, None].astype(np.float32)
    start = np.arange(0.5, 9.0, 1 / 30)
    weights = interval_weights(timestamps, start, start + 1 / 30, longest_step=1.0)
    assert np.abs(weights.matrix @ values).max() < 0.06


def test_intervals_that_touch_a_gap_are_not_known():
    timestamps = np.r_[np.arange(0, 1, 0.1), np.arange(2, 3, 0.1)]
    start = np.arange(0.0, 2.8, 0.1)
    weights = interval_weights(timestamps, start, start + 0.1, longest_step=0.175)
    touches = (start + 0.1 > 0.9 + 1e-9) & (start < 2.0 - 1e-9)
    assert np.array_equal(weights.known, ~touches)


def test_nothing_is_known_outside_the_samples():
    weights = interval_weights(
        np.array([1.0, 2.0]), np.array([0.0, 1.0, 1.9]), np.array([0.5, 1.5, 2.1]), longest_step=9
    )
    assert weights.known.tolist() == [False, True, False]
    assert weights.matrix.shape == (3, 2)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n_spikes=st.integers(0, 200), contiguous=st.booleans())
def test_counts_equal_counting_by_hand_and_add_up(seed, n_spikes, contiguous):
    random = np.random.default_rng(seed)
    edges = np.cumsum(random.uniform(0.01, 0.1, 40))
    start, stop = edges[:-1], edges[1:].copy()
    if not contiguous:
        stop -= random.uniform(0, 0.005, len(stop))
    # Some spikes lie exactly on a border: they belong to the frame that begins there.
    trains = [np.r_[random.uniform(0, edges[-1] + 0.1, n_spikes), random.choice(edges, 5)] for _ in range(3)]
    counts = counts_in_intervals(spiking(trains, (0.0, 10.0)), start, stop, np.array([2, 0]))
    for column, cell in enumerate((2, 0)):
        by_hand = [np.sum((trains[cell] >= a) & (trains[cell] < b)) for a, b in zip(start, stop, strict=True)]
        assert counts[:, column].tolist() == by_hand
        if contiguous:
            assert counts[:, column].sum() == np.sum((trains[cell] >= edges[0]) & (trains[cell] < edges[-1]))


def test_spikes_without_a_time_and_no_intervals_count_nothing():
    spikes = spiking([[0.1, 0.2, np.nan]], (0.0, 1.0))
    assert counts_in_intervals(spikes, np.array([0.0]), np.array([1.0]), np.array([0])).tolist() == [[2.0]]
    assert counts_in_intervals(spikes, np.empty(0), np.empty(0), np.array([0])).shape == (0, 1)


def test_interpolation_leaves_long_stretches_without_values_at_the_median():
    timestamps = np.arange(0.0, 10.0, 0.1)
    values = timestamps.copy()
    values[20:60] = np.nan
    values[80] = np.nan
    result, unknown = interpolated(
        timestamps, values, np.array([-1.0, 1.0, 1.05, 4.0, 8.0, 9.9, 10.5]), longest_step=1.0
    )
    median = np.nanmedian(values)
    assert unknown.tolist() == [True, False, False, True, False, False, True]
    assert result == pytest.approx([median, 1.0, 1.05, median, 8.0, 9.9, median], abs=1e-5)


def test_interpolation_of_nothing_is_zero_and_unknown():
    result, unknown = interpolated(np.array([0.0, 1.0]), np.array([np.nan, np.nan]), np.array([0.5]), longest_step=1.0)
    assert result.tolist() == [0.0]
    assert unknown.all()
