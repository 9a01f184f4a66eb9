"""Baselines of the alignment benchmark: far above chance where there is something to find, at chance where not."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nwb_mivae.clips import ClipsConfiguration, ClipStore, Split, SplitConfiguration, evenly, make_split
from nwb_mivae.errors import EvaluationError, NwbMivaeError
from tests.benchmarks.alignment.baselines import Baseline, baselines, cebra
from tests.benchmarks.alignment.baselines.choosing import mean_reciprocal_rank
from tests.benchmarks.alignment.baselines.features import StimulusFeatures
from tests.benchmarks.alignment.baselines.indicator import through_indicator
from tests.benchmarks.alignment.baselines.recordings import recordings
from tests.benchmarks.alignment.baselines.regression import Ridge
from tests.clip_stores import ArrayTemplate, aligned_session, smooth_movie, write_store

N_FRAMES = 8
ROWS = ("ridge_pixels", "ridge_gabor", "encoding", "ridge_between", "cca_between")


def small_store(path: Path, *, shuffled: bool) -> ClipStore:
    """Three animals that see the same movies; where shuffled, each one's activity is of other moments."""
    random = np.random.default_rng(3)
    movies = [ArrayTemplate(f"movie-{number}", smooth_movie(random, 48, 9, 16)) for number in range(24)]
    made = []
    for number in range(3):
        order = np.random.default_rng([4, number]).permutation(24).tolist()
        aligned = aligned_session(
            f"session-{number}", movies, order, cells=40, seed=number, noise=0.2, subject=f"mouse-{number}"
        )
        if shuffled:
            # Whole seconds change places, so that activity keeps its course in time and loses its stimulus.
            seconds = aligned.neural.reshape(-1, 32, aligned.neural.shape[1])
            mixed = np.random.default_rng([5, number]).permutation(seconds).reshape(aligned.neural.shape)
            aligned = replace(aligned, neural=mixed)
        made.append(aligned)
    return write_store(path, made, ClipsConfiguration(height=9, width=16))


def split_of(store: ClipStore) -> Split:
    return make_split(
        store, SplitConfiguration(held_out=["mouse-2"], test_fraction=0.35, validation_fraction=0.15), n_frames=N_FRAMES
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return small_store(tmp_path_factory.mktemp("baselines") / "store", shuffled=False)


@pytest.fixture(scope="module")
def found(store: ClipStore) -> dict[str, Baseline]:
    return baselines(store, split_of(store), clips=None, n_frames=N_FRAMES)


@pytest.fixture(scope="module")
def without_stimulus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Baseline]:
    shuffled = small_store(tmp_path_factory.mktemp("shuffled") / "store", shuffled=True)
    return baselines(shuffled, split_of(shuffled), clips=None, n_frames=N_FRAMES)


def proportion(row: Baseline) -> float:
    values = [each["top1"] for each in row["sessions"].values()]
    return float(np.mean([value for value in values if value is not None]))


@pytest.mark.parametrize("name", ROWS)
def test_a_baseline_is_far_above_chance_where_activity_is_linear_in_the_stimulus(
    found: dict[str, Baseline], name: str
) -> None:
    row = found[name]

    assert set(row["sessions"]) == {"session-0", "session-1", "session-2"}
    for group in (row["held_out"], row["trained"]):
        assert group is not None
        assert group["chance"] is not None
        assert group["top1"] is not None
        assert group["top1"] > 10 * group["chance"]
        assert group["centred_r"] is not None
        assert group["centred_r"] > 0.1


@pytest.mark.parametrize("name", ROWS)
def test_a_baseline_is_at_chance_where_activity_has_lost_its_stimulus(
    without_stimulus: dict[str, Baseline], name: str
) -> None:
    row = without_stimulus[name]
    sessions = row["sessions"].values()
    lookups = sum(each["n_clips"] for each in sessions)
    chance = np.mean([each["chance"] for each in sessions])

    assert proportion(row) < chance + 4 * np.sqrt(chance / lookups)


def test_held_out_sessions_are_told_apart_and_the_result_is_json(found: dict[str, Baseline]) -> None:
    assert json.loads(json.dumps(found)) == found
    for row in found.values():
        assert {key: each["held_out"] for key, each in row["sessions"].items()} == {
            "session-0": False,
            "session-1": False,
            "session-2": True,
        }
        assert "the new animal" in row["seen"]


def test_test_clips_are_those_of_the_evaluation(store: ClipStore) -> None:
    split = split_of(store)

    for recording in recordings(store, split, clips=20, n_frames=N_FRAMES):
        stored = store.sessions[recording.key]
        starts = split.clip_starts(stored, "test", n_frames=N_FRAMES, stride=N_FRAMES)
        np.testing.assert_array_equal(recording.test.rows[:, 0], evenly(starts, 20))
        np.testing.assert_allclose(recording.activity[recording.train_rows].mean(axis=0), 0.0, atol=1e-3)
        shown = set(recording.content[recording.train_rows].tolist())
        assert not shown & set(recording.test.content.ravel().tolist())
        assert not shown & set(recording.validation.content.ravel().tolist())


def test_a_part_of_the_training_part_is_that_of_a_context_as_large(store: ClipStore) -> None:
    split = split_of(store)

    for recording in recordings(store, split, clips=20, n_frames=N_FRAMES, context_clips=5):
        starts = split.clip_starts(store.sessions[recording.key], "train", n_frames=N_FRAMES, stride=N_FRAMES)
        np.testing.assert_array_equal(recording.train.rows[:, 0], starts[:5])
        assert recording.train_overlapping is recording.train
        np.testing.assert_array_equal(recording.train_rows, np.unique(recording.train.rows))


def test_no_baseline_chooses_by_test_clips(store: ClipStore, found: dict[str, Baseline]) -> None:
    """Where activity during test clips is replaced, everything that a baseline chooses stays the same."""
    split = split_of(store)
    for stored in store.sessions.values():
        rows = np.flatnonzero(split.part_of_rows(stored) == 2)
        changed = np.array(stored.neural)
        changed[rows] = np.random.default_rng(0).standard_normal((len(rows), changed.shape[1]))
        object.__setattr__(stored, "neural", changed)
    try:
        other = baselines(store, split, clips=None, n_frames=N_FRAMES)
    finally:
        for stored in store.sessions.values():
            object.__setattr__(stored, "neural", np.load(stored.folder / "neural.npy", mmap_mode="r"))

    for name in ROWS:
        for key in found[name]["sessions"]:
            assert found[name]["sessions"][key]["chosen"] == other[name]["sessions"][key]["chosen"]
            assert found[name]["sessions"][key]["top1"] > other[name]["sessions"][key]["top1"]


def test_features_follow_edges_and_luminance(store: ClipStore) -> None:
    split = split_of(store)
    rows = np.array([[0, 1], [1, 0]])

    whole = StimulusFeatures(store, split, "gabor")(rows)
    white = StimulusFeatures(store, split, "pixels", components=10, whiten=True)
    train = np.flatnonzero(split.part_of_content[store.content_of_row] == 0)

    assert whole.shape[:2] == (2, 2)
    np.testing.assert_array_equal(whole[0, 0], whole[1, 1])
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(white(train).std(axis=0), 1.0, rtol=0.05)


def test_the_indicator_filter_knows_nothing_before_the_clip() -> None:
    features = np.zeros((1, 40, 1), dtype=np.float32)
    features[:, :5] = 2.0

    filtered = through_indicator(features, 0.2, 30.0)

    np.testing.assert_allclose(filtered[0, :5, 0], 2.0, rtol=1e-6)
    np.testing.assert_allclose(filtered[0, 11, 0], 2.0 * np.exp(-7 / 6), rtol=1e-4)
    np.testing.assert_array_equal(through_indicator(features, 0.0, 30.0, delay=3)[0, :9, 0] > 0, np.arange(9) < 8)


def test_penalties_mean_the_same_at_any_scale_and_number_of_frames() -> None:
    random = np.random.default_rng(0)
    inputs = random.standard_normal((200, 4)).astype(np.float32)
    targets = (inputs @ random.standard_normal((4, 2))).astype(np.float32)

    def weights(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return next(Ridge(x).path(y, [0.1])).weights

    plain = weights(inputs, targets)
    np.testing.assert_allclose(weights(10 * inputs, targets), plain / 10, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights(np.tile(inputs, (3, 1)), np.tile(targets, (3, 1))), plain, rtol=1e-4, atol=1e-6)


def test_the_errors_of_a_regression_are_those_of_its_predictions() -> None:
    random = np.random.default_rng(1)
    inputs = random.standard_normal((300, 5)).astype(np.float32)
    targets = random.standard_normal((300, 3)).astype(np.float32) + inputs[:, :3]

    for _, weights, covariance in Ridge(inputs).path(targets, [0.01, 1.0]):
        errors = targets - inputs @ weights
        np.testing.assert_allclose(covariance, errors.T @ errors / 300, rtol=1e-4, atol=1e-5)


def test_mean_reciprocal_rank() -> None:
    distance = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 0.0]])

    assert mean_reciprocal_rank(distance, np.array([0, 1])) == pytest.approx((1 + 1 / 3) / 2)
    assert mean_reciprocal_rank(np.zeros((1, 3)), np.array([1])) == pytest.approx(0.5)


@pytest.mark.skipif(importlib.util.find_spec("cebra") is not None, reason="cebra is installed")
def test_without_its_package_cebra_is_refused_before_any_work(store: ClipStore) -> None:
    with pytest.raises(NwbMivaeError, match=r"nwb_mivae\[cebra\]") as refused:
        baselines(store, split_of(store), clips=10, n_frames=N_FRAMES, cebra=True)
    assert isinstance(refused.value, EvaluationError)


@pytest.mark.skipif(importlib.util.find_spec("cebra") is None, reason="needs the extra cebra")
def test_cebra_is_above_chance_with_few_steps(store: ClipStore) -> None:
    split = split_of(store)
    labels = StimulusFeatures(store, split, "gabor", components=8)
    features = StimulusFeatures(store, split, "gabor", components=50, whiten=True)
    animals = [
        cebra.embedding(recording, labels, iterations=60)
        for recording in recordings(store, split, clips=None, n_frames=N_FRAMES)
    ]
    aligned = cebra.aligned(animals)
    for figures in (cebra.to_stimulus(aligned, features, store), cebra.between(aligned)):
        assert {key for key, each in figures.items() if each["held_out"]} == {"session-2"}
        for each in figures.values():
            assert each["top1"] is not None
            assert each["chance"] is not None
            assert each["top1"] > 3 * each["chance"]
