"""Forms of time courses over halves of what was shown, and which cells follow onsets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import lfilter
from scipy.stats import false_discovery_control, kstest

from nwb_mivae.attribution.clustering import standardised
from nwb_mivae.attribution.onset_courses import OnsetCourses
from nwb_mivae.attribution.time_courses import TimeCourses, discoveries, locked_to_onsets

ONSETS, FRAMES, CELLS = 40, 33, 150
TIME = np.arange(-6, 27) / 30.0

_Courses = npt.NDArray[np.float64]


def _around(values: _Courses, content: npt.ArrayLike, strong: npt.ArrayLike) -> TimeCourses:
    content = np.asarray(content, dtype=np.int64)
    return TimeCourses.around_onsets(
        OnsetCourses(
            session="a",
            values=values.astype(np.float32),
            row=100 * np.arange(len(values)),
            content=content,
            strong_edges=np.asarray(strong, dtype=np.bool_),
            time=TIME[: values.shape[1]],
            n_available=len(values),
        )
    )


def _slow(random: np.random.Generator, frames: float, onsets: int = ONSETS) -> _Courses:
    """Activity (onsets, FRAMES, CELLS) whose autocorrelation falls to 1/e in so many frames, cut where onsets are."""
    keep = np.exp(-1 / frames)
    every = lfilter([np.sqrt(1 - keep**2)], [1.0, -keep], random.standard_normal((onsets * 2 * FRAMES, CELLS)), axis=0)
    cut: _Courses = every.reshape(onsets, 2 * FRAMES, CELLS)[:, :FRAMES]
    return cut


def _p_values(values: _Courses, seed: int = 0, shuffles: int = 199) -> _Courses:
    onsets = np.arange(len(values))
    courses = TimeCourses(values.astype(np.float32), onsets, onsets % 2, TIME)
    return locked_to_onsets(courses, shuffles=shuffles, random=np.random.default_rng(seed))


def test_strength_is_the_mean_size_by_kind() -> None:
    values = np.random.default_rng(0).standard_normal((9, 5, 4)).astype(np.float32)
    kind = np.array([0, 1, 0, 1, 1, 0, 0, 1, 1])
    courses = TimeCourses(values, np.arange(9), kind, np.arange(5.0))
    assert courses.n_kinds == 2
    strength = courses.strength()
    assert strength.shape == (2, 4, 5)
    for each in (0, 1):
        np.testing.assert_allclose(strength[each], np.abs(values[kind == each]).mean(0).T, rtol=1e-6)
    some = np.arange(9) < 4
    np.testing.assert_allclose(courses.strength(some)[1], np.abs(values[[1, 3]]).mean(0).T, rtol=1e-6)
    form = courses.form()
    assert form.shape == (4, 10)
    np.testing.assert_allclose(form, standardised(np.concatenate([*strength], axis=1)))


def test_halves_keep_what_is_shown_again_in_one_of_them() -> None:
    shown, kind = np.repeat(np.arange(12), 3), np.repeat(np.arange(12) % 2, 3)
    # Cell 0 tells what is shown: its course peaks at that frame.
    values = np.zeros((36, 12, 1))
    values[np.arange(36), shown] = 1.0
    courses = TimeCourses(values.astype(np.float32), shown, kind, np.arange(12.0))
    pairs = courses.halves(20, np.random.default_rng(0))
    assert len(pairs) == 20
    for one, other in pairs:
        peaks = [set(np.flatnonzero(half[0] > 0) % 12) for half in (one, other)]
        assert peaks[0] | peaks[1] == set(range(12))
        assert not peaks[0] & peaks[1]
        # As many of either kind in both.
        assert [sum(peak % 2 for peak in half) for half in peaks] == [3, 3]
    assert len({frozenset(np.flatnonzero(one[0] > 0)) for one, _ in pairs}) > 5


def test_too_few_things_shown_are_not_halved() -> None:
    random = np.random.default_rng(0)
    values = random.random((12, 5, 3)).astype(np.float32)
    shown = np.arange(12) // 4
    assert TimeCourses(values, shown, np.zeros(12, dtype=np.int64), np.arange(5.0)).halves(5, random) == []
    # Four of one kind, and three of the other.
    kind = (np.arange(12) >= 9).astype(np.int64)
    assert TimeCourses(values, np.arange(12), kind, np.arange(5.0)).halves(5, random) == []


def test_onsets_with_strong_and_weak_edges_are_two_kinds_where_there_are_enough_of_both() -> None:
    values = np.random.default_rng(0).random((16, 5, 3))
    both = _around(values, np.arange(16), np.arange(16) % 2)
    np.testing.assert_array_equal(both.kind, np.arange(16) % 2)
    np.testing.assert_array_equal(both.shown, np.arange(16))
    np.testing.assert_array_equal(both.time, TIME[:5])
    few = _around(values, np.arange(16), np.arange(16) < 3)
    assert few.n_kinds == 1
    assert few.form().shape == (3, 5)
    assert _around(values, np.arange(16), np.zeros(16)).n_kinds == 1


def test_showings_of_many_pictures_stay_together_and_those_of_few_are_the_samples() -> None:
    values = np.random.default_rng(0).random((20, 5, 3))
    many = _around(values, 7 * (np.arange(20) % 10) + 3, np.zeros(20))
    np.testing.assert_array_equal(many.shown, np.arange(20) % 10)
    few = _around(values, np.arange(20) % 3, np.zeros(20))
    np.testing.assert_array_equal(few.shown, np.arange(20))
    assert len(few.halves(5, np.random.default_rng(0))) == 5


@pytest.mark.parametrize("frames", [1.0, 15.0, 60.0])
@pytest.mark.parametrize("onsets", [12, ONSETS])
def test_cells_that_ignore_onsets_have_uniform_p_values_however_slow_they_are(frames: float, onsets: int) -> None:
    p_values = _p_values(np.abs(2 + _slow(np.random.default_rng(1), frames, onsets)))
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert (p_values <= 0.01).mean() < 0.04


def test_slow_drifts_that_ignore_onsets_are_no_responses() -> None:
    random = np.random.default_rng(2)
    slope = random.standard_normal((ONSETS, 1, CELLS))
    drift = 10 + slope * np.linspace(-1, 1, FRAMES)[:, None] + 0.1 * random.standard_normal((ONSETS, FRAMES, CELLS))
    p_values = _p_values(drift)
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert (p_values <= 0.01).mean() < 0.04


def test_rare_large_events_that_ignore_onsets_are_not_taken_for_responses() -> None:
    random = np.random.default_rng(3)
    events = lfilter([1.0], [1.0, -0.8], random.pareto(1.5, (ONSETS, 2 * FRAMES, CELLS)) ** 2, axis=1)[:, FRAMES:]
    p_values = _p_values(events)
    assert (p_values <= 0.05).mean() < 0.1
    assert (p_values <= 0.01).mean() < 0.04


@pytest.mark.parametrize("heavy", [False, True])
def test_cells_that_follow_onsets_have_tiny_p_values_with_heavy_tails_too(heavy: bool) -> None:
    random = np.random.default_rng(4)
    ignores = np.arange(CELLS) < CELLS // 2
    response = np.exp(-(((np.arange(FRAMES) - 12) / 4.0) ** 2))[:, None]
    size = random.pareto(1.5, (ONSETS, 1, CELLS)) if heavy else np.ones((ONSETS, 1, CELLS))
    noise = np.abs(_slow(random, 6.0)) * (random.pareto(1.5, (ONSETS, 1, CELLS)) if heavy else 1.0)
    p_values = _p_values(noise + 2 * size * response * ~ignores)
    assert (p_values[~ignores] <= 0.01).mean() > 0.95
    assert (p_values[ignores] <= 0.05).mean() < 0.12
    assert p_values.min() == pytest.approx(1 / 200)


def test_responses_to_one_kind_of_onset_alone_count_and_cells_without_attribution_do_not() -> None:
    random = np.random.default_rng(5)
    values = np.abs(_slow(random, 6.0))
    response = 3 * np.exp(-(((np.arange(FRAMES) - 12) / 4.0) ** 2))
    values[1::2, :, 0] += response
    values[:, :, 1] = 0.0
    p_values = _p_values(values)
    assert p_values[0] <= 0.01
    assert p_values[1] == 1.0


def test_more_cells_than_are_taken_at_once_have_the_same_p_values(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.abs(_slow(np.random.default_rng(6), 6.0))
    expected = _p_values(values, shuffles=99)
    monkeypatch.setattr("nwb_mivae.attribution.time_courses._CELLS_AT_ONCE", 7)
    np.testing.assert_array_equal(_p_values(values, shuffles=99), expected)


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    # Their own example (1995, section 4.1): the first four of fifteen are rejected at 0.05.
    p_values = np.array(
        [
            *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
            *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
        ]
    )
    order = np.random.default_rng(0).permutation(15)
    np.testing.assert_array_equal(discoveries(p_values[order], 0.05), order < 4)
    # The third alone is above its own threshold, and is rejected with the fourth.
    np.testing.assert_array_equal(discoveries(np.array([0.01, 0.02, 0.04, 0.045]), 0.05), [True] * 4)
    random = np.random.default_rng(1)
    for rate in (0.01, 0.05, 0.2):
        mixed = np.concatenate([random.random(60), random.random(40) ** 4])
        np.testing.assert_array_equal(discoveries(mixed, rate), false_discovery_control(mixed) <= rate)
    assert not discoveries(np.full(5, 0.5), 0.05).any()
    # The least p-value of 199 shuffles is small enough for more than a tenth of all cells alone.
    for number in (9, 11):
        smallest = np.where(np.arange(100) < number, 1 / 200, 1.0)
        assert discoveries(smallest, 0.05).sum() == (0 if number < 10 else number)
    assert discoveries(np.zeros(0), 0.05).shape == (0,)
