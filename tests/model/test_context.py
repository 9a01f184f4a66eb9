"""Context against brute force in float64 numpy: fingerprints, ridge read-out, streaming, and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.errors import ConfigurationError
from nwb_mivae.model import Context, ContextBuilder, ContextTiming, ModelConfiguration
from nwb_mivae.model.context import with_offsets
from tests.tiny_model import FRAME_RATE, seconds, tiny_configuration

Array = npt.NDArray[np.float64]


def _clips(clips: int = 12, frames: int = 8, cells: int = 5, features: int = 6, seed: int = 0) -> tuple[Array, Array]:
    """Activity that follows the features with a delay, and noise the cells share; neither centred nor scaled."""
    random = np.random.default_rng(seed)
    f = random.normal(size=(clips, frames, features)) * random.uniform(0.5, 2, features) + random.normal(size=features)
    delayed = np.concatenate([f[:, :1], f[:, :-1]], axis=1)
    x = delayed @ random.normal(size=(features, cells)) + random.normal(size=(clips, frames, 1))
    x = x + 0.5 * random.normal(size=x.shape) + random.normal(size=cells)
    return x, f


def _fingerprints(x: Array, f: Array, lags: Sequence[int], ridge: float) -> Array:
    """``Cov(x~(t), f~(t - l)) (Cov(f~) + lambda I)^-1``, pair of frames by pair of frames."""
    clips, frames, cells = x.shape
    x = (x - x.mean((0, 1))) / x.std((0, 1))
    f = (f - f.mean((0, 1))) / f.std((0, 1))
    flat = f.reshape(-1, f.shape[2])
    whiten = np.linalg.inv(flat.T @ flat / len(flat) + ridge * np.eye(f.shape[2]))
    rows = []
    for lag in lags:
        pairs = [(x[b, t], f[b, t - lag]) for b in range(clips) for t in range(lag, frames)]
        late, early = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
        rows.append((late - late.mean(0)).T @ (early - early.mean(0)) / len(pairs) @ whiten)
    return np.concatenate(rows, axis=1).reshape(cells, -1)


def _design(x: Array, offsets: Sequence[int]) -> Array:
    """Rows of activity at each frame plus offset, a clip's end frames repeated beyond its ends."""
    clips, frames, _ = x.shape
    return np.array(
        [
            np.concatenate([x[b, min(max(t + offset, 0), frames - 1)] for offset in offsets])
            for b in range(clips)
            for t in range(frames)
        ]
    )


def _total_variance(x: Array, offsets: Sequence[int]) -> float:
    """The unit of the ridge penalty."""
    return len(offsets) * float(x.var((0, 1)).sum())


def _readout(x: Array, f: Array, offsets: Sequence[int], penalty: float) -> Array:
    """Ridge regression of centred features on centred activity, penalised in units of their variance: ``(O, N, F)``."""
    design = _design(x - x.mean((0, 1)), offsets)
    targets = (f - f.mean((0, 1))).reshape(len(design), -1)
    penalty = penalty * _total_variance(x, offsets)
    weights = np.linalg.solve(design.T @ design + penalty * np.eye(design.shape[1]), design.T @ targets)
    return weights.reshape(len(offsets), x.shape[2], -1)


def _builder(configuration: ModelConfiguration) -> ContextBuilder:
    return ContextBuilder(configuration, ContextTiming.of(configuration, FRAME_RATE))


def _build(configuration: ModelConfiguration, x: Array, f: Array, pieces: int = 1) -> Context:
    builder = _builder(configuration)
    sums = builder.sums(x.shape[2], x.shape[0] * x.shape[1])
    for neural, features in zip(np.array_split(x, pieces), np.array_split(f, pieces), strict=True):
        sums.add(torch.tensor(neural, dtype=torch.float32), torch.tensor(features, dtype=torch.float32))
    context: Context = builder(sums)
    return context.detach()


def _assert_equal(found: Context, other: Context, tolerance: float = 1e-4) -> None:
    for name in ("fingerprints", "readout", "neural_mean", "feature_mean"):
        torch.testing.assert_close(getattr(found, name), getattr(other, name), rtol=tolerance, atol=tolerance)
    assert found.n_frames == other.n_frames


@pytest.mark.parametrize("lags", [(0,), (0, 2), (7, 1, 3)])
def test_fingerprints_are_the_whitened_lagged_covariance(lags: tuple[int, ...]) -> None:
    x, f = _clips()
    configuration = tiny_configuration(fingerprint_lags=seconds(*lags), fingerprint_ridge=0.3)
    found = _build(configuration, x, f)
    np.testing.assert_allclose(found.fingerprints, _fingerprints(x, f, lags, 0.3), rtol=2e-4, atol=2e-5)


def test_fingerprints_never_pair_frames_of_different_clips() -> None:
    x, f = _clips(clips=2, frames=4)
    configuration = tiny_configuration(fingerprint_lags=seconds(3))
    before = _build(configuration, x, f)
    # Only x at the last frame of a clip and f at its first one may enter at lag 3 (but for means and scales, which
    # exchanging the two clips' remaining frames leaves as they are).
    x[:, :3], f[:, 1:] = x[::-1, :3], f[::-1, 1:]
    np.testing.assert_allclose(_build(configuration, x, f).fingerprints, before.fingerprints, rtol=1e-4, atol=1e-5)


def test_a_lag_longer_than_the_clips_says_nothing() -> None:
    x, f = _clips(frames=4)
    found = _build(tiny_configuration(fingerprint_lags=seconds(0, 4, 9)), x, f).fingerprints
    assert (found[:, 6:] == 0).all()
    assert (found[:, :6] != 0).any()


@pytest.mark.parametrize("offsets", [(0,), (0, 1, 3), (-2, 5)])
@pytest.mark.parametrize("primal", [True, False])
def test_the_read_out_is_ridge_regression(offsets: tuple[int, ...], primal: bool) -> None:
    x, f = _clips()
    configuration = tiny_configuration(
        readout_offsets=seconds(*offsets), readout_penalty=0.1, readout_primal_size=1000 if primal else 1
    )
    assert _builder(configuration).sums(5, 96).primal is primal
    found = _build(configuration, x, f)
    weights = _readout(x, f, offsets, 0.1)
    np.testing.assert_allclose(found.readout, weights, rtol=2e-3, atol=2e-4)
    expected = _design(x - x.mean((0, 1)), offsets) @ weights.reshape(-1, f.shape[2]) + f.mean((0, 1))
    predicted = found.predict_features(torch.tensor(x, dtype=torch.float32), offsets)
    np.testing.assert_allclose(predicted.flatten(0, 1), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("primal_size", [1, 1000])
def test_the_penalty_means_the_same_in_any_unit_and_for_any_number_of_cells(primal_size: int) -> None:
    x, f = _clips()
    configuration = tiny_configuration(readout_primal_size=primal_size)

    def predicted(activity: Array) -> Array:
        neural = torch.tensor(activity, dtype=torch.float32)
        offsets = ContextTiming.of(configuration, FRAME_RATE).offsets
        return _build(configuration, activity, f).predict_features(neural, offsets).numpy()

    plain = predicted(x)
    # Counts of a few units, say, beside standardised dF/F; and every cell recorded twenty times over.
    np.testing.assert_allclose(predicted(0.1 * x), plain, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(predicted(np.tile(x, (1, 1, 20))), plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("primal_size", [1, 1000])
def test_cells_that_are_all_silent_predict_the_mean(primal_size: int) -> None:
    x, f = _clips()
    context = _build(tiny_configuration(readout_primal_size=primal_size), np.zeros_like(x), f)
    assert torch.isfinite(context.readout).all()
    assert (context.readout == 0).all()


def test_the_read_out_predicts_features_it_has_not_seen() -> None:
    x, f = _clips(clips=60, cells=20)
    context = _build(tiny_configuration(readout_offsets=seconds(0, 1), readout_penalty=0.01), x[:50], f[:50])
    # The features lead activity by one frame, so the last frame of a clip has nothing to be read from.
    predicted = context.predict_features(torch.tensor(x[50:], dtype=torch.float32), (0, 1)).numpy()[:, :-1]
    residual = ((predicted - f[50:, :-1]) ** 2).sum() / ((f[50:, :-1] - f[:50].mean((0, 1))) ** 2).sum()
    assert residual < 0.3


@settings(max_examples=30, deadline=None)
@given(
    pieces=st.integers(1, 12),
    cells=st.integers(1, 9),
    primal_size=st.sampled_from([1, 1000]),
    seed=st.integers(0, 1000),
)
def test_streaming_in_pieces_gives_the_same_context(pieces: int, cells: int, primal_size: int, seed: int) -> None:
    x, f = _clips(cells=cells, seed=seed)
    configuration = tiny_configuration(readout_primal_size=primal_size, readout_penalty=0.1)
    _assert_equal(_build(configuration, x, f, pieces), _build(configuration, x, f), 1e-3)


def test_primal_and_dual_agree_when_every_frame_is_kept() -> None:
    x, f = _clips(cells=30)
    primal = _build(tiny_configuration(readout_penalty=0.1), x, f)
    dual = _build(tiny_configuration(readout_penalty=0.1, readout_primal_size=1), x, f)
    _assert_equal(primal, dual, 2e-4)


def test_more_inputs_than_frames_are_solved_by_frames() -> None:
    builder = _builder(tiny_configuration())
    assert builder.sums(n_cells=32, expected_frames=96).primal
    assert not builder.sums(n_cells=33, expected_frames=96).primal


def test_the_dual_keeps_no_more_frames_than_it_may_and_takes_them_evenly() -> None:
    x, f = _clips(clips=12, frames=8)
    configuration = tiny_configuration(readout_primal_size=1, readout_frames=40)
    builder = _builder(configuration)
    sums = builder.sums(5, 96)
    for neural, features in zip(np.array_split(x, 5), np.array_split(f, 5), strict=True):
        sums.add(torch.tensor(neural, dtype=torch.float32), torch.tensor(features, dtype=torch.float32))
    kept = torch.cat(sums.targets).numpy()
    np.testing.assert_allclose(kept, f.reshape(96, -1)[::3], rtol=1e-6)
    assert len(kept) <= 40
    # A penalty that shrinks with the frames: the same as the whole problem where the kept third is typical.
    context: Context = builder(sums)
    targets = (f - f.mean((0, 1))).reshape(96, -1)[::3]
    offsets = ContextTiming.of(configuration, FRAME_RATE).offsets
    penalty = configuration.readout_penalty * _total_variance(x, offsets) / 3
    design = _design(x - x.mean((0, 1)), offsets)[::3]
    weights = np.linalg.solve(design.T @ design + penalty * np.eye(design.shape[1]), design.T @ targets)
    np.testing.assert_allclose(context.readout.detach().flatten(0, 1), weights, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("kept_at_most", [6, 12, 24, 48])
def test_frames_at_every_place_in_a_clip_are_kept(kept_at_most: int) -> None:
    x, f = _clips(clips=96, frames=8)
    f[..., 0] = np.arange(8)
    configuration = tiny_configuration(readout_primal_size=1, readout_frames=kept_at_most)
    sums = _builder(configuration).sums(5, 96 * 8)
    for neural, features in zip(np.array_split(x, 5), np.array_split(f, 5), strict=True):
        sums.add(torch.tensor(neural, dtype=torch.float32), torch.tensor(features, dtype=torch.float32))
    places = torch.cat(sums.targets)[:, 0]
    assert 0.8 * kept_at_most <= len(places) <= kept_at_most
    assert set(places.tolist()) == set(range(8)) or len(places) < 8


def test_a_permutation_of_cells_permutes_the_context() -> None:
    x, f = _clips(cells=7)
    order = np.random.default_rng(1).permutation(7)
    context = _build(tiny_configuration(), x, f)
    _assert_equal(_build(tiny_configuration(), x[:, :, order], f), context.of_cells(torch.tensor(order)), 1e-4)


def test_fingerprints_do_not_depend_on_the_scale_and_offset_of_activity() -> None:
    x, f = _clips()
    one = _build(tiny_configuration(), x, f).fingerprints
    other = _build(tiny_configuration(), 3 * x + 2, f).fingerprints
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_silent_cells_and_constant_features_give_zeros_not_nan() -> None:
    x, f = _clips()
    x[:, :, 2], f[:, :, 1] = 0.0, 0.5
    context = _build(tiny_configuration(fingerprint_lags=seconds(0, 2)), x, f)
    assert all(torch.isfinite(value).all() for value in (context.fingerprints, context.readout))
    assert context.fingerprints[2].abs().max() < 1e-4
    assert context.fingerprints[:, [1, 7]].abs().max() < 1e-2
    assert context.readout[:, 2].abs().max() < 1e-5


def _scalar(context: Context, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    return (context.fingerprints * w1).sum() + (context.readout * w2).sum() + context.feature_mean.sum()


@pytest.mark.parametrize("primal_size", [1, 1000])
def test_gradients_to_features_and_penalty_are_those_of_the_formulas(primal_size: int) -> None:
    x, f = _clips()
    configuration = tiny_configuration(readout_primal_size=primal_size, readout_penalty=0.2)
    lags, offsets = ContextTiming.of(configuration, FRAME_RATE)
    ridge = 0.1
    random = np.random.default_rng(3)
    w1, w2 = random.normal(size=(5, 12)), random.normal(size=(3, 5, 6))
    direction = random.normal(size=f.shape)

    def by_numpy(features: Array, penalty: float) -> float:
        return float(
            (_fingerprints(x, features, lags, ridge) * w1).sum()
            + (_readout(x, features, offsets, penalty) * w2).sum()
            + features.mean((0, 1)).sum()
        )

    builder = _builder(configuration)
    features = torch.tensor(f, dtype=torch.float32, requires_grad=True)
    sums = builder.sums(5, 96)
    for number in range(0, 12, 4):
        sums.add(torch.tensor(x[number : number + 4], dtype=torch.float32), features[number : number + 4])
    value = _scalar(builder(sums), torch.tensor(w1).float(), torch.tensor(w2).float())
    assert value.item() == pytest.approx(by_numpy(f, 0.2), rel=1e-3, abs=1e-3)
    to_features, to_penalty = torch.autograd.grad(value, [features, builder.log_penalty])
    step = 1e-5
    along = (by_numpy(f + step * direction, 0.2) - by_numpy(f - step * direction, 0.2)) / (2 * step)
    assert (to_features.double().numpy() * direction).sum() == pytest.approx(along, rel=1e-3, abs=1e-3)
    by_log = (by_numpy(f, 0.2 * np.exp(step)) - by_numpy(f, 0.2 * np.exp(-step))) / (2 * step)
    assert to_penalty.item() == pytest.approx(by_log, rel=2e-3, abs=1e-3)


def test_autocast_does_not_reach_the_closed_forms() -> None:
    x, f = (torch.tensor(value, dtype=torch.float32) for value in _clips(cells=50))
    for primal_size in (1, 1000):
        builder = _builder(tiny_configuration(readout_primal_size=primal_size))

        def build(builder: ContextBuilder = builder) -> Context:
            sums = builder.sums(50, 96)
            sums.add(x, f)
            context: Context = builder(sums)
            return context

        exact = build()
        predicted = exact.predict_features(x, (0, 1, 3))
        with torch.autocast("cpu", torch.bfloat16):
            mixed = build()
            assert torch.equal(mixed.predict_features(x, (0, 1, 3)), predicted)
        assert torch.equal(mixed.readout, exact.readout)
        assert torch.equal(mixed.fingerprints, exact.fingerprints)


def test_detached_context_has_the_same_numbers_and_no_graph() -> None:
    x, f = (torch.tensor(value, dtype=torch.float32) for value in _clips())
    builder = _builder(tiny_configuration())
    sums = builder.sums(5, 96)
    sums.add(x, f)
    context: Context = builder(sums)
    assert context.readout.requires_grad
    assert not context.detach().readout.requires_grad
    _assert_equal(context.detach().to("cpu"), context, 0.0)


@given(offsets=st.lists(st.integers(-9, 9), min_size=1, max_size=3), frames=st.integers(1, 6))
@settings(deadline=None)
def test_offsets_repeat_the_end_frames(offsets: list[int], frames: int) -> None:
    neural = torch.arange(2 * frames * 3, dtype=torch.float32).reshape(2, frames, 3)
    found = with_offsets(neural, offsets)
    assert found.shape == (2, frames, len(offsets), 3)
    for t in range(frames):
        for number, offset in enumerate(offsets):
            assert torch.equal(found[:, t, number], neural[:, min(max(t + offset, 0), frames - 1)])


@pytest.mark.parametrize(
    ("setting", "value"),
    [("fingerprint_lags", [-1]), ("fingerprint_lags", []), ("readout_offsets", []), ("stimulus_features", 1)],
)
def test_settings_without_meaning_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        tiny_configuration(**{setting: value})
    assert refusal.value.object_path is not None
    assert refusal.value.object_path.startswith(setting)


def test_lags_are_seconds_whatever_the_frame_rate() -> None:
    configuration = ModelConfiguration(fingerprint_lags=(0.0, 0.1, 0.2), readout_offsets=(-0.1, 0.0, 0.1))
    assert ContextTiming.of(configuration, 30.0) == ((0, 3, 6), (-3, 0, 3))
    assert ContextTiming.of(configuration, 60.0) == ((0, 6, 12), (-6, 0, 6))
    # At 4 frames a second 0.1 s is the same frame; it counts once.
    assert ContextTiming.of(configuration, 4.0) == ((0, 1), (0,))
