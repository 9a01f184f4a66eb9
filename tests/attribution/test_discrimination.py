"""Groups of cells tell clips where their activity does, and no better than guessing where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import kstest

from nwb_mivae.attribution.discrimination import Discrimination, discrimination, showings
from nwb_mivae.clips import StoredSession
from tests.clip_stores import make_store

FRAMES, CELLS, CLIPS, TIMES = 8, 40, 10, 4


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> StoredSession:
    """Of which tests change activity and what is shown: ten clips, four times each, in blocks."""
    path = tmp_path_factory.mktemp("stores") / "store"
    store = make_store(
        path, sessions=1, cells=(CELLS,), movie_frames=FRAMES, repeats=TIMES, seconds=1, height=9, width=16
    )
    session = store.sessions["session-0"]
    content = np.tile(np.arange(CLIPS * FRAMES), TIMES)
    assert session.n_frames == len(content)
    return replace(session, content=content, neural=np.zeros((len(content), CELLS), dtype=np.float32))


def _showing(signal: float, cells: npt.ArrayLike, seed: int = 0) -> npt.NDArray[np.float32]:
    """Noise, and in some cells what the frame adds to it."""
    random = np.random.default_rng(seed)
    by_frame = random.standard_normal((CLIPS * FRAMES, CELLS))
    noise = random.standard_normal((TIMES * CLIPS * FRAMES, CELLS))
    which = np.isin(np.arange(CELLS), cells)
    return (signal * np.tile(by_frame, (TIMES, 1)) * which + noise).astype(np.float32)


def _shown(session: StoredSession) -> list[npt.NDArray[np.int64]]:
    return showings(np.arange(CLIPS * FRAMES).reshape(CLIPS, FRAMES), session)


def _told(
    session: StoredSession, groups: list[npt.NDArray[np.int64]], *, seed: int = 0, shuffles: int = 99
) -> Discrimination:
    random = np.random.default_rng(seed)
    return discrimination(session, _shown(session), FRAMES, groups, shuffles=shuffles, random=random)


def test_showings_are_whole_known_and_do_not_overlap(template: StoredSession) -> None:
    shown = _shown(template)
    assert len(shown) == CLIPS
    for clip, starts in enumerate(shown):
        np.testing.assert_array_equal(starts, clip * FRAMES + CLIPS * FRAMES * np.arange(TIMES))
    # One that is not known and one with a gap inside count no more; the most often shown come first.
    valid = template.valid.copy()
    valid[3] = False
    segment = (np.arange(template.n_frames) >= CLIPS * FRAMES + 2 * FRAMES + 1).astype(np.int32)
    some = _shown(replace(template, valid=valid, segment=segment))
    assert sorted(map(len, some)) == [TIMES - 1] * 2 + [TIMES] * (CLIPS - 2)
    assert [len(starts) for starts in some] == sorted(map(len, some), reverse=True)
    assert 0 not in np.concatenate(some)
    assert CLIPS * FRAMES + 2 * FRAMES not in np.concatenate(some)


def test_a_picture_that_stands_is_shown_once_in_the_time_of_a_clip(template: StoredSession) -> None:
    still = replace(template, content=np.zeros(template.n_frames, dtype=np.int64))
    (starts,) = showings(np.zeros((3, FRAMES), dtype=np.int64), still)
    assert (np.diff(starts) >= FRAMES).all()
    # At most eight, evenly.
    assert len(starts) == 8
    assert starts[0] == 0
    assert starts[-1] == template.n_frames - FRAMES


def test_distinct_clips_are_all_told(template: StoredSession) -> None:
    session = replace(template, neural=_showing(5.0, np.arange(CELLS)))
    found = _told(session, [np.arange(20), np.arange(20, 40)])
    np.testing.assert_array_equal(found.accuracy, 1.0)
    assert (found.similarity > 0.8).all()
    assert found.chance == pytest.approx(1 / CLIPS)
    np.testing.assert_array_equal(found.accuracy_of_shuffled, 1.0)
    np.testing.assert_array_equal(found.p_value, 1.0)


@pytest.mark.parametrize("times", [2, TIMES])
def test_noise_is_told_as_often_as_guessing(template: StoredSession, times: int) -> None:
    rows = np.arange(times * CLIPS * FRAMES)
    short = replace(
        template, **{name: getattr(template, name)[rows] for name in ("content", "valid", "segment", "time")}
    )
    accuracy, similarity = [], []
    for seed in range(150):
        session = replace(short, neural=_showing(0.0, [], seed)[rows])
        found = _told(session, [np.arange(CELLS)])
        accuracy.append(found.accuracy[0])
        similarity.append(found.similarity[0])
    # A showing that told itself would always be told; a mean of fewer showings would be told too often.
    assert np.mean(accuracy) == pytest.approx(1 / CLIPS, abs=0.025)
    assert np.mean(similarity) == pytest.approx(0.0, abs=0.01)


def test_cosines_are_those_with_the_mean_of_the_other_showings(template: StoredSession) -> None:
    session = replace(template, neural=_showing(0.15, np.arange(CELLS)))
    found = _told(session, [np.arange(CELLS)])
    activity = session.neural.astype(np.float64)
    pattern = ((activity - activity.mean(0)) / activity.std(0)).reshape(TIMES, CLIPS, -1)
    pattern /= np.linalg.norm(pattern, axis=2, keepdims=True)
    right = 0
    for time in range(TIMES):
        for clip in range(CLIPS):
            means = [
                np.mean([pattern[each, other] for each in range(TIMES) if (each, other) != (time, clip)], axis=0)
                for other in range(CLIPS)
            ]
            right += np.argmax([pattern[time, clip] @ mean / np.linalg.norm(mean) for mean in means]) == clip
    assert found.accuracy[0] == pytest.approx(right / (TIMES * CLIPS))
    assert 0.3 < found.accuracy[0] < 0.9


def test_p_values_of_groups_drawn_at_random_are_uniform(template: StoredSession) -> None:
    session = replace(template, neural=_showing(0.4, np.arange(20)))
    p_values = []
    for seed in range(60):
        order = np.random.default_rng(seed).permutation(CELLS)
        p_values.append(_told(session, [order[:15], order[15:]], seed=seed).p_value[0])
    # Accuracies are shares of forty showings, so that p-values are coarse, and a little large.
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) <= 0.1


def test_noise_beside_informative_cells_is_told_apart_from_them(template: StoredSession) -> None:
    session = replace(template, neural=_showing(0.35, np.arange(20)))
    found = _told(session, [np.arange(20), np.arange(20, 40)])
    np.testing.assert_allclose(found.p_value, 0.01)
    assert found.accuracy[0] > found.accuracy_of_shuffled[0] + 0.1
    assert found.accuracy[1] < found.accuracy_of_shuffled[1] - 0.2
    assert found.accuracy[1] < 0.3
    assert found.similarity[0] > 0.1 > abs(found.similarity[1])


def test_cells_that_are_silent_or_alone_and_one_group_are_no_obstacle(template: StoredSession) -> None:
    neural = _showing(1.0, np.arange(CELLS))
    neural[:, 0] = 0.0
    session = replace(template, neural=neural)
    found = _told(session, [np.arange(2, CELLS), np.array([0]), np.array([1])])
    assert found.accuracy[0] == 1.0
    # A silent cell says nothing.
    assert found.similarity[1] == 0.0
    assert found.accuracy[1] <= 1 / CLIPS
    assert np.isfinite(found.p_value).all()
    alone = _told(session, [np.arange(CELLS)])
    assert alone.accuracy[0] == 1.0
    assert np.isnan(alone.accuracy_of_shuffled).all()
    assert np.isnan(alone.p_value).all()


def test_without_repeats_nothing_is_known(template: StoredSession) -> None:
    once = replace(template, content=np.arange(template.n_frames), neural=_showing(1.0, np.arange(CELLS)))
    found = _told(once, [np.arange(20), np.arange(20, 40)])
    for values in found[:4]:
        assert values.shape == (2,)
        assert np.isnan(values).all()
    assert np.isnan(found.chance)
    # Nor where all showings are of one clip.
    one = replace(once, content=np.arange(template.n_frames) % FRAMES)
    assert np.isnan(_told(one, [np.arange(CELLS)]).chance)


def test_clips_shown_once_are_no_guesses(template: StoredSession) -> None:
    content = template.content.copy()
    # Of clips 5 to 9 only the first showing is left.
    content[(content >= 5 * FRAMES) & (np.arange(len(content)) >= CLIPS * FRAMES)] = 10_000
    session = replace(template, content=content, neural=_showing(5.0, np.arange(CELLS)))
    found = _told(session, [np.arange(CELLS)])
    assert found.chance == pytest.approx(1 / 5)
    assert found.accuracy[0] == 1.0


def test_of_large_groups_some_cells_are_compared(template: StoredSession) -> None:
    neural = np.tile(_showing(5.0, np.arange(CELLS)), (1, 10))
    session = replace(template, neural=neural)
    found = _told(session, [np.arange(380), np.arange(380, 400)])
    np.testing.assert_array_equal(found.accuracy, 1.0)
