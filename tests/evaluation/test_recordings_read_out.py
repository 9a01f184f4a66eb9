"""The benchmark on real animals, its pure parts: what a read-out finds, what it does not, and who is held out when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.benchmarks.alignment.recordings.animals import folds
from tests.benchmarks.alignment.recordings.judging import CONDITIONS, activity_window, mean_activity_window
from tests.benchmarks.alignment.recordings.page import write_page
from tests.benchmarks.alignment.recordings.positions import middle_of
from tests.benchmarks.alignment.recordings.read_out import (
    balanced_accuracy,
    confusion,
    fit_read_out,
    shuffled_accuracy,
)
from tests.benchmarks.alignment.recordings.results import measured

Array = npt.NDArray[Any]
POSITIONS = 4
#: Frames of each position in a trial: as unequal as in a sequence whose ends are cut off.
FRAMES = np.repeat(np.arange(POSITIONS), [2, 9, 9, 4])


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def trials(random: np.random.Generator, count: int, *, informed: bool, latents: int = 6) -> tuple[Array, Array, Array]:
    """Latents, position and trial of every frame; latents of one trial have an offset in common."""
    position = np.tile(FRAMES, count)
    trial = np.repeat(np.arange(count), len(FRAMES))
    values = random.standard_normal((len(position), latents)) + 2.0 * random.standard_normal((count, latents))[trial]
    if informed:
        # Along one latent that the offsets leave alone: positions lie on a line, which regression on indicators fails.
        values[:, 0] = position + 0.2 * random.standard_normal(len(position))
    return values, position, trial


def test_position_is_found_where_it_is_and_only_there(random: np.random.Generator) -> None:
    read_out = fit_read_out(*trials(random, 40, informed=True))
    values, position, _ = trials(random, 40, informed=True)
    predicted = read_out(values)
    assert balanced_accuracy(predicted, position) > 0.9
    assert np.diag(confusion(predicted, position, POSITIONS)).min() > 0.8
    assert shuffled_accuracy(predicted, position, random, draws=50) == pytest.approx(1 / POSITIONS, abs=0.02)

    nothing = fit_read_out(*trials(random, 40, informed=False))
    values, position, _ = trials(random, 200, informed=False)
    assert balanced_accuracy(nothing(values), position) == pytest.approx(1 / POSITIONS, abs=0.05)


def test_a_read_out_that_prefers_the_frequent_gains_nothing(random: np.random.Generator) -> None:
    frequent = np.ones_like(FRAMES)
    assert balanced_accuracy(frequent, FRAMES) == 1 / POSITIONS
    assert shuffled_accuracy(frequent, FRAMES, random, draws=3) == 1 / POSITIONS
    np.testing.assert_array_equal(confusion(frequent, FRAMES, POSITIONS)[:, 1], 1.0)
    assert np.isnan(confusion(FRAMES[:2], FRAMES[:2], POSITIONS)[1:]).all()


def test_scale_and_order_of_latents_do_not_matter_and_dead_ones_do_no_harm(random: np.random.Generator) -> None:
    values, position, trial = trials(random, 30, informed=True)
    one = fit_read_out(values, position, trial)
    moved = np.concatenate([1e-3 * values[:, ::-1] + 5.0, np.full((len(values), 1), 7.0)], axis=1)
    other = fit_read_out(moved, position, trial)
    np.testing.assert_array_equal(one(values), other(moved))


def test_a_single_class_is_refused() -> None:
    with pytest.raises(ValueError, match="two classes"):
        fit_read_out(np.zeros((6, 2)), np.zeros(6, dtype=int), np.arange(6))


@pytest.mark.parametrize(("count", "size"), [(8, 2), (8, 3), (8, 1), (5, 4)])
def test_folds_hold_out_every_animal_once(count: int, size: int) -> None:
    subjects = [f"mouse {number}" for number in range(count)]
    found = folds(subjects, size)
    assert [subject for fold in found for subject in fold] == subjects
    assert max(map(len, found)) == size


@pytest.mark.parametrize("size", [0, 8, 9])
def test_folds_leave_somebody_to_train_on(size: int) -> None:
    with pytest.raises(ValueError, match="held out at a time"):
        folds([str(number) for number in range(8)], size)


def test_windows_hold_the_activity_of_a_clip() -> None:
    neural = np.arange(24.0).reshape(2, 4, 3)
    np.testing.assert_array_equal(activity_window(neural)[1], np.arange(12.0, 24.0))
    np.testing.assert_array_equal(mean_activity_window(neural)[0], [1.0, 4.0, 7.0, 10.0])
    assert [middle_of(length) for length in (1, 9, 16)] == [0, 4, 7]


def result(seed: int, *, shuffled: float) -> dict[str, Any]:
    """A made-up result of two animals, one of them with a single ROI."""
    figure = {"own": 0.5, "transferred": 0.4 + 0.1 * seed, "trained": 0.45, "confusion": np.eye(4).tolist()}
    of_animal = {name: dict(figure) for name in CONDITIONS}
    of_animal["activity"]["transferred"] = None
    figures = {}
    for number, key in enumerate(("one", "two")):
        figures[key] = {name: dict(each) for name, each in of_animal.items()}
        figures[key]["shuffled_pairs"]["transferred"] = shuffled + 0.002 * number
    figures["one"]["permuted_neurons"] = {"own": None, "transferred": None}
    animal = {"subject": "1", "rois": 1, "trials": 90, "test_trials": 18, "test_clips": [36, 162, 162, 72]}
    return {
        "configuration": {
            "seed": seed,
            "fold_size": 1,
            "model": {"stimulus_encoder": "convolutional"},
            "training": {"steps": 200},
            "episodes": {"clip_frames": 16},
        },
        "code": "c" * 64,
        "data": {"source": "traces.json", "source_sha256": "a" * 64, "digest": "d" * 64},
        "animals": {"one": animal, "two": {**animal, "subject": "2", "rois": 4}},
        "figures": figures,
        "seconds": 60.0,
        "provenance": {"packages": {"torch": "2"}, "platform": "Linux", "python": "3.11", "device": "cpu"},
    }


@pytest.mark.parametrize(("shuffled", "verdict"), [(0.249, "at chance."), (0.3, "**not at chance**")])
def test_the_page_says_what_was_measured(tmp_path: Path, shuffled: float, verdict: str) -> None:
    for seed in (0, 1):
        path = tmp_path / f"recordings-convolutional-200-16-1-{seed}.json"
        path.write_text(json.dumps(result(seed, shuffled=shuffled)))
    (group,) = measured(tmp_path)
    assert group.over_animals("with_context", "transferred").text() == "0.45 ± 0.00"
    assert group.over_seeds("with_context", "transferred").spread == pytest.approx(0.1 / np.sqrt(2))
    # Animals without the figure are left out, not counted as anything.
    assert len(group.less("with_context", "permuted_neurons")) == 1
    write_page(tmp_path, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert verdict in text
    assert "above chance in 2 of 2" in text
    assert "--steps 200 --clip-frames 16 --fold-size 1 --seeds 0 1" in text
    assert "A 2, B 9, C 9, U 4" in text


def test_no_page_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no results"):
        write_page(tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()
