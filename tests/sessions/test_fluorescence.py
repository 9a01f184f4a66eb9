from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.sessions import BaselineConfiguration, SampledTraces
from nwb_mivae.sessions.fluorescence import delta_f_over_f

RATE = 10.0


def sampled(values: npt.ArrayLike) -> SampledTraces:
    stored = np.asarray(values, dtype=np.float32)
    return SampledTraces(
        lambda start, stop: stored[start:stop],
        np.arange(len(stored)) / RATE,
        stored.shape[1],
        kind="fluorescence",
        unit="a.u.",
        path="raw",
    )


def noisy(n_samples: int, n_cells: int, *, baseline: float = 100.0, seed: int = 0) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return (baseline + random.standard_normal((n_samples, n_cells))).astype(np.float32)


def test_transients_stand_out_of_a_baseline_that_drifts() -> None:
    seconds = np.arange(6000) / RATE
    drifting = 200.0 + 0.2 * seconds
    transients = 0.5 * (np.sin(2 * np.pi * seconds / 7.0) > 0.7)
    computed = delta_f_over_f(sampled((drifting * (1 + transients))[:, None]), None, BaselineConfiguration())
    assert (computed.traces.kind, computed.traces.unit, computed.traces.path) == ("dff", "dF/F", "raw")
    dff = computed.traces.read()[:, 0]
    # Within a window the baseline grows by 12 of more than 200, and its low percentile lags behind its middle.
    assert np.abs(dff - transients).max() < 0.06
    assert (computed.n_low, computed.n_constant) == (0, 0)


def test_the_baseline_is_the_running_percentile_of_bins() -> None:
    values = noisy(3000, 3, seed=1)
    configuration = BaselineConfiguration(window=30.0, percentile=20.0)
    dff = delta_f_over_f(sampled(values), None, configuration).traces.read()
    bins = values.reshape(300, 10, 3).mean(axis=1)
    # Bin 150 in the middle of 31 bins, a window of 30 s and the bin itself.
    by_hand = np.sort(bins[135:166], axis=0)[int(31 * 0.2)]
    sample = 150 * 10 + 4
    next_one = np.sort(bins[134:165], axis=0)[int(31 * 0.2)]
    share = 0.5 / 10
    baseline = by_hand * (1 - share) + next_one * share
    np.testing.assert_allclose(dff[sample], (values[sample] - baseline) / baseline, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_samples=st.integers(2, 900),
    block=st.integers(1, 400),
    window=st.floats(2.0, 60.0),
    gaps=st.booleans(),
)
def test_blocks_of_any_size_and_order_give_the_same(seed: int, n_samples: int, block: int, window: float, gaps: bool):
    values, background = noisy(n_samples, 3, seed=seed), noisy(n_samples, 3, seed=seed + 1)
    if gaps:
        values[np.random.default_rng(seed).random(values.shape) < 0.01] = np.nan
    traces = delta_f_over_f(sampled(values), sampled(background), BaselineConfiguration(window=window)).traces
    whole = traces.read()
    starts = list(range(0, n_samples, block))
    parts = {start: traces.read(start, min(start + block, n_samples)) for start in starts}
    np.testing.assert_array_equal(np.concatenate([parts[start] for start in starts]), whole)
    for start in reversed(starts):
        np.testing.assert_array_equal(traces.read(start, min(start + block, n_samples)), parts[start])
    assert traces.read(1, 1).shape == (0, 3)


def test_neuropil_is_taken_off_by_its_share() -> None:
    seconds = np.arange(3000) / RATE
    background = 50.0 * (1 + 0.8 * np.sin(2 * np.pi * seconds / 5.0))
    signal = 100.0 * (1 + (np.sin(2 * np.pi * seconds / 11.0) > 0.8))
    raw, neuropil = sampled((signal + 0.7 * background)[:, None]), sampled(background[:, None])
    with_it = delta_f_over_f(raw, neuropil, BaselineConfiguration()).traces.read()[:, 0]
    np.testing.assert_allclose(with_it, signal / 100.0 - 1, atol=0.01)
    without = delta_f_over_f(raw, neuropil, BaselineConfiguration(neuropil_factor=0.0)).traces.read()[:, 0]
    assert np.abs(without - (signal / 100.0 - 1)).max() > 0.2


def test_a_baseline_near_zero_is_counted_and_does_not_explode() -> None:
    values = np.stack(
        [
            noisy(2000, 1)[:, 0],
            noisy(2000, 1, baseline=0.0)[:, 0],
            noisy(2000, 1, baseline=-30.0)[:, 0],
            np.zeros(2000),
        ],
        axis=1,
    )
    computed = delta_f_over_f(sampled(values), None, BaselineConfiguration())
    assert (computed.n_low, computed.n_constant) == (2, 1)
    dff = computed.traces.read()
    assert np.isnan(dff[:, 3]).all()
    assert np.isfinite(dff[:, :3]).all()
    # Noise of one in units of the noise, above the low percentile of its means.
    assert np.abs(dff[:, 1:3]).max() < 7
    assert dff[:, 1:3].std(axis=0) == pytest.approx([1.0, 1.0], rel=0.1)


def test_each_sample_is_read_once_where_blocks_follow_each_other() -> None:
    values = noisy(6000, 2)
    count = np.zeros(6000, dtype=int)

    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        count[start:stop] += 1
        return values[start:stop]

    raw = SampledTraces(read, np.arange(6000) / RATE, 2, kind="fluorescence", unit="a.u.", path="raw")
    traces = delta_f_over_f(raw, None, BaselineConfiguration()).traces
    count[:] = 0
    for start in range(0, 6000, 500):
        traces.read(start, start + 500)
    assert count.max() == 1
