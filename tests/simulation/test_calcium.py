from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.simulation.calcium import DECAY_SECONDS, RISE_SECONDS, draw_spikes, fluorescence


def test_spikes_follow_their_rates() -> None:
    edges = np.array([0.0, 100.0, 300.0, 300.5])
    rates = np.array([[2.0, 0.0], [5.0, 0.0], [0.0, 40.0]], dtype=np.float32)
    times, ends = draw_spikes(rates, edges, np.random.default_rng(0))
    first, second = times[: ends[0]], times[ends[0] : ends[1]]
    assert ends[1] == len(times)
    counts = np.histogram(first, edges)[0]
    assert np.abs(counts - [200, 1000, 0]).max() < 100
    assert counts[2] == 0
    assert (second >= 300.0).all()
    assert (np.diff(first) >= 0.0).all()
    assert np.diff(first)[first[1:] > 100.0].std() == pytest.approx(
        0.2, rel=0.2
    )  # exponential intervals: sd is the mean


def test_a_silent_cell_has_no_spikes() -> None:
    times, ends = draw_spikes(np.zeros((3, 2), dtype=np.float32), np.arange(4.0), np.random.default_rng(0))
    assert len(times) == 0
    np.testing.assert_array_equal(ends, [0, 0])


@settings(max_examples=40, deadline=None)
@given(
    spikes=st.lists(st.floats(0.0, 8.0), min_size=1, max_size=12),
    start=st.floats(-0.5, 0.5),
    rate=st.floats(8.0, 60.0),
)
def test_fluorescence_is_the_sum_of_kernels_at_exact_times(spikes: list[float], start: float, rate: float) -> None:
    times = np.sort(np.array(spikes))
    n_samples = int(7.0 * rate)
    trace = fluorescence(
        times, np.array([0, len(times)]), np.array([1.0, 0.3]), start=start, rate=rate, n_samples=n_samples
    )
    lag = (start + np.arange(n_samples) / rate)[:, None] - times
    kernel = np.where(lag >= 0.0, np.exp(-np.maximum(lag, 0.0) / DECAY_SECONDS), 0.0)
    kernel -= np.where(lag >= 0.0, np.exp(-np.maximum(lag, 0.0) / RISE_SECONDS), 0.0)
    fine = np.arange(0.0, 1.0, 1e-4)
    peak = (np.exp(-fine / DECAY_SECONDS) - np.exp(-fine / RISE_SECONDS)).max()
    np.testing.assert_allclose(trace[:, 1], 0.3 * kernel.sum(axis=1) / peak, atol=1e-5)
    assert not trace[:, 0].any()
