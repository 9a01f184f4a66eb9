from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.errors import SimulationError
from nwb_mivae.simulation import SimulationConfiguration
from nwb_mivae.simulation.schedule import (
    FLASHED_PATCHES,
    FLASHED_PHOTOGRAPHS,
    NATURAL_MOVIE,
    Display,
    display,
    plan_programme,
)


def shown(configuration: SimulationConfiguration, seed: int = 0) -> Display:
    return display(
        configuration,
        plan_programme(configuration),
        order=np.random.default_rng(seed),
        faults=np.random.default_rng(seed + 1),
    )


def test_default_session_has_shared_own_and_repeated_movies() -> None:
    configuration = SimulationConfiguration()
    programme = plan_programme(configuration)
    assert programme.showings == programme.shared + programme.own + programme.repeated * (configuration.repeats - 1)
    assert min(programme.shared, programme.own, programme.repeated) >= 2
    assert programme.repeated <= programme.shared


@settings(max_examples=60, deadline=None)
@given(
    minutes=st.floats(0.3, 12.0),
    movie_seconds=st.floats(0.2, 12.0),
    block=st.integers(1, 8),
    grey=st.floats(0.5, 3.0),
    shared=st.floats(0.0, 1.0),
    repeated=st.floats(0.0, 1.0),
    repeats=st.integers(2, 5),
)
def test_sessions_are_filled_and_never_overrun(
    minutes: float, movie_seconds: float, block: int, grey: float, shared: float, repeated: float, repeats: int
) -> None:
    configuration = SimulationConfiguration(
        minutes=minutes,
        movie_seconds=movie_seconds,
        movies_per_block=block,
        grey_seconds=grey,
        shared_fraction=shared,
        repeated_fraction=repeated,
        repeats=repeats,
    )
    programme = plan_programme(configuration)
    table = shown(configuration)
    available = round(minutes * 60.0 * 30.0)
    assert programme.shared >= programme.repeated
    assert min(programme.own, programme.shared, programme.repeated) >= 0
    assert table.n_refreshes <= available
    assert available - table.n_refreshes < configuration.frames_per_movie + round(grey * 30.0) + 1
    counts = np.unique(table.movie[table.frame == 0], return_counts=True)[1]
    assert len(counts) == programme.shared + programme.own
    assert sorted(counts) == [1] * (len(counts) - programme.repeated) + [repeats] * programme.repeated


@settings(max_examples=60, deadline=None)
@given(
    flashed=st.floats(0.0, 1.0), shared=st.floats(0.0, 1.0), repeated=st.floats(0.0, 1.0), minutes=st.floats(0.5, 12.0)
)
def test_flashes_are_as_many_as_asked_for_among_shared_own_and_repeated_movies(
    flashed: float, shared: float, repeated: float, minutes: float
) -> None:
    programme = plan_programme(
        SimulationConfiguration(
            minutes=minutes, flashed_fraction=flashed, shared_fraction=shared, repeated_fraction=repeated
        )
    )
    n = programme.shared + programme.own
    assert len(programme.kinds) == n
    flashes = [kind != NATURAL_MOVIE for kind in programme.kinds]
    assert sum(flashes) == round(flashed * n)
    assert abs(sum(flashes[: programme.shared]) - flashed * programme.shared) <= 1.5
    assert any(flashes[: programme.repeated]) == (any(flashes) and programme.repeated > 0)
    photographs, patches = (programme.kinds.count(kind) for kind in (FLASHED_PHOTOGRAPHS, FLASHED_PATCHES))
    assert 0 <= photographs - patches <= 1


def test_without_flashes_all_movies_are_natural_ones() -> None:
    assert set(plan_programme(SimulationConfiguration()).kinds) == {NATURAL_MOVIE}


def test_too_short_a_session_says_how_long_it_must_be() -> None:
    with pytest.raises(SimulationError, match=r"at least 0\.23 minutes") as caught:
        plan_programme(SimulationConfiguration(minutes=0.2))
    assert caught.value.object_path == "minutes"
    assert plan_programme(SimulationConfiguration(minutes=0.24)).showings == 1


def test_movies_of_one_frame_are_refused() -> None:
    with pytest.raises(SimulationError, match="movies of 1 frames"):
        plan_programme(SimulationConfiguration(movie_seconds=0.03))


def test_without_faults_the_display_keeps_its_clock() -> None:
    table = shown(SimulationConfiguration(minutes=1.0))
    np.testing.assert_allclose(np.diff(table.time), 1.0 / 30.0)
    assert not table.dropped.any()
    presented = table.presented
    np.testing.assert_array_equal(table.presentation_stop, table.time[presented + 1])
    np.testing.assert_array_equal(table.presentation[presented], np.arange(len(presented)))
    assert table.movie[0] == table.movie[-1] == -1


def test_jitter_keeps_order_and_has_the_size_asked_for() -> None:
    table = shown(SimulationConfiguration(minutes=2.0, display_jitter=0.003))
    strayed = table.time - table.time[0] - np.arange(len(table.time)) / 30.0
    assert 0.0025 < strayed.std() < 0.0035
    assert np.diff(table.time).min() > 0.0
    wild = shown(SimulationConfiguration(minutes=2.0, display_jitter=1.0))
    assert np.diff(wild.time).min() > 0.0


def test_a_dropped_frame_has_no_row_and_the_one_before_lasts_longer() -> None:
    table = shown(SimulationConfiguration(minutes=2.0, dropped_frames=0.1))
    assert 0.07 < table.dropped[table.movie >= 0].mean() < 0.13
    presented, stop = table.presented, table.presentation_stop
    assert not table.dropped[presented].any()
    assert (table.presentation[table.dropped] == -1).all()
    rows = np.diff(np.append(presented, table.n_refreshes))
    within = np.flatnonzero((rows > 1) & (rows < 5))
    assert len(within) > 50
    np.testing.assert_allclose(stop[within] - table.time[presented[within]], rows[within] / 30.0)
    # While a refresh is dropped, the earlier picture is on the screen.
    late = np.flatnonzero(table.dropped)
    np.testing.assert_array_equal(table.frame[late], table.frame[late - 1])
    # Rows never overlap.
    assert (table.time[presented[1:]] >= stop[:-1]).all()


def test_repeats_count_earlier_showings() -> None:
    table = shown(SimulationConfiguration(minutes=6.0))
    starts = np.flatnonzero(table.frame == 0)
    for movie in np.unique(table.movie[starts]):
        repeats = table.repeat[starts[table.movie[starts] == movie]]
        np.testing.assert_array_equal(repeats, np.arange(len(repeats)))
