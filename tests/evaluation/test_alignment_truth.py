"""What the benchmark of alignment knows of its simulated animals: material, ideal observer and true factors."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.evaluation import metrics
from nwb_mivae.simulation.calcium import fluorescence
from tests.benchmarks.alignment.ideal_observer import ideal_figures, ideal_observer
from tests.benchmarks.alignment.indicator import as_seen_by_indicator, within_clips
from tests.benchmarks.alignment.scales import SCALES, Material, material
from tests.benchmarks.alignment.true_factors import TrueFactors, true_factors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def factors(tiny_material: Material, tmp_path_factory: pytest.TempPathFactory) -> TrueFactors:
    return true_factors(tiny_material, tmp_path_factory.mktemp("cache"))


def test_material_is_made_once_and_never_replaces_other_animals(tiny_material: Material) -> None:
    folder = tiny_material.store.path.parent
    written = (tiny_material.store.path / "manifest.json").stat().st_mtime_ns
    again = material(SCALES["tiny"], folder)
    assert (again.store.path / "manifest.json").stat().st_mtime_ns == written
    assert again.store.digest == tiny_material.store.digest
    with pytest.raises(ValueError, match="other animals"):
        material(dataclasses.replace(SCALES["tiny"], minutes=2.0), folder)


def test_animals_simulated_side_by_side_are_the_same_animals(tiny_material: Material, tmp_path: Path) -> None:
    assert material(SCALES["tiny"], tmp_path, processes=2).digest == tiny_material.digest


def test_the_last_animals_are_held_out_and_fewer_can_be_trained_on(tiny_material: Material) -> None:
    keys = list(tiny_material.store.sessions)
    assert list(tiny_material.split.held_out_sessions) == keys[-1:]
    assert list(tiny_material.split.train_sessions) == keys[:2]
    fewer = tiny_material.trained_on(1)
    assert fewer.train_sessions == tuple(keys[:1])
    assert fewer.held_out_sessions == tiny_material.split.held_out_sessions


def test_small_material_is_what_the_issue_asks_for() -> None:
    for scale in (SCALES["small"], SCALES["full"]):
        assert scale.trained == 8
        assert scale.held_out == 2
        assert scale.animals >= max(scale.scaling_animals) + scale.held_out


def test_the_indicator_blurs_rates_into_the_mean_of_the_simulated_fluorescence() -> None:
    rate, lag = 30.0, 0.2
    series = np.zeros((120, 1))
    series[40] = 5.0
    random = np.random.default_rng(0)
    # Spikes of that one frame; the sample of frame f is at its middle plus the lag.
    spikes = np.sort(random.uniform(40 / rate, 41 / rate, 20_000))
    seen = fluorescence(
        spikes, np.array([len(spikes)]), np.ones(1), start=0.5 / rate + lag, rate=rate, n_samples=len(series)
    )
    expected = seen[:, 0] / len(spikes) * 5.0 / rate
    found = as_seen_by_indicator(series, rate, lag)[:, 0]
    np.testing.assert_allclose(found[20:], expected[20:], atol=2e-3 * expected.max())
    clip = within_clips(series[None, 32:48], rate, lag)[0, :, 0]
    np.testing.assert_allclose(clip, found[32:48], atol=1e-9)
    assert not within_clips(series[None, 41:57], rate, lag).any()
    constant = as_seen_by_indicator(np.ones((400, 1)), rate, lag, normalised=True)
    np.testing.assert_allclose(constant[150:350], 1.0, rtol=1e-6)


def test_the_ideal_observer_is_far_above_chance_and_at_chance_for_other_clips(tiny_material: Material) -> None:
    """Beyond knowing the rates it must not know the answer: with labels permuted nothing is left."""
    frames = SCALES["tiny"].clip_frames
    for key, stored in tiny_material.store.sessions.items():
        starts = tiny_material.split.clip_starts(stored, "test", n_frames=frames, stride=frames)
        truth = tiny_material.truth(key)
        figures = ideal_figures(stored, truth, starts, frames, stored.report["lag"])
        assert figures["n_clips"] > 15
        assert figures["top1"] > 12 * figures["chance"]
        assert figures["top5"] >= figures["top1"]
        alone = ideal_figures(stored, truth, starts, frames, stored.report["lag"], clip_alone=True)
        assert 10 * figures["chance"] < alone["top1"] <= figures["top1"] + 0.1

        likelihood = ideal_observer(stored, truth, starts, frames, stored.report["lag"])
        _, target = metrics.distinct_clips(stored.content[starts[:, None] + np.arange(frames)])
        random = np.random.default_rng(0)
        wrong = [metrics.top_k(-likelihood, random.permutation(likelihood.shape[1])[target], 1) for _ in range(50)]
        assert abs(np.mean(wrong) - figures["chance"]) < figures["chance"]


def test_true_rates_of_other_cells_are_worth_nothing(tiny_material: Material) -> None:
    frames = SCALES["tiny"].clip_frames
    key, stored = next(iter(tiny_material.store.sessions.items()))
    starts = tiny_material.split.clip_starts(stored, "test", n_frames=frames, stride=frames)
    truth = tiny_material.truth(key)
    right = ideal_figures(stored, truth, starts, frames, stored.report["lag"])
    late = {**truth, "drive": np.roll(truth["drive"], len(truth["drive"]) // 2, axis=0)}
    wrong = ideal_figures(stored, late, starts, frames, stored.report["lag"])
    assert wrong["top1"] < 0.3 * right["top1"]


def test_true_factors_are_one_standard_basis_that_activity_speaks_of(
    tiny_material: Material, factors: TrueFactors
) -> None:
    every = np.concatenate(list(factors.stimulus.values()))
    np.testing.assert_allclose(every.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(np.cov(every.T, bias=True), np.eye(every.shape[1]), atol=1e-2)
    assert np.all(np.diff(factors.share) <= 0)
    assert 0.3 < factors.share.sum() < 1.0
    for key, stored in tiny_material.store.sessions.items():
        activity = np.asarray(stored.neural, dtype=np.float64)
        first = np.abs(np.corrcoef(factors.stimulus[key][:, 0], activity.T)[0, 1:])
        assert first.max() > 0.4
        # A whole second away it says less: the two are in register.
        apart = np.abs(np.corrcoef(np.roll(factors.stimulus[key][:, 0], 30), activity.T)[0, 1:])
        assert np.mean(apart) < np.mean(first)


def test_factors_of_equal_clips_are_equal_between_animals_but_for_what_came_before(
    tiny_material: Material, factors: TrueFactors
) -> None:
    """The last frame of a movie all animals saw has the same factors in all of them."""
    one, other = list(tiny_material.store.sessions)[:2]
    sessions = tiny_material.store.sessions
    both = np.intersect1d(sessions[one].content, sessions[other].content)
    last = [content for content in both if sessions[one].frame[sessions[one].content == content][0] == 59]
    assert last
    rows = [[int(np.flatnonzero(sessions[key].content == content)[0]) for content in last] for key in (one, other)]
    a, b = factors.stimulus[one][rows[0]], factors.stimulus[other][rows[1]]
    # What follows a movie reaches its last sample as well, since activity is taken later.
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.7


def test_factors_are_read_back_as_they_were(tiny_material: Material, factors: TrueFactors, tmp_path: Path) -> None:
    factors.save(tmp_path / "factors.npz")
    again = TrueFactors.load(tmp_path / "factors.npz")
    for kind in ("stimulus", "private"):
        for key, values in getattr(factors, kind).items():
            np.testing.assert_array_equal(getattr(again, kind)[key], values)
    np.testing.assert_array_equal(again.share, factors.share)
