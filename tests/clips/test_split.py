from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nwb_mivae.clips import PARTS, ClipsConfiguration, ClipStore, Split, SplitConfiguration, make_split
from nwb_mivae.errors import ConfigurationError, StoreError
from tests.clip_stores import ArrayTemplate, aligned_session, make_store, smooth_movie, write_store

SIZE = ClipsConfiguration(height=6, width=8)
EVERYONE = SplitConfiguration(held_out=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return make_store(
        tmp_path_factory.mktemp("split") / "store", seconds=32, movie_frames=48, repeats=2, height=6, width=8
    )


@pytest.fixture(scope="module")
def split(store) -> Split:
    return make_split(store)


def movies(count: int, frames: int, seed: int = 0, name: str = "movie") -> list[ArrayTemplate]:
    random = np.random.default_rng(seed)
    return [ArrayTemplate(f"{name}-{n}", smooth_movie(random, frames, 6, 8)) for n in range(count)]


def shown(store: ClipStore, split: Split, part, n_frames: int, sessions=None) -> set[int]:
    """Every content that clips of a part show, uniform frames apart."""
    found: set[int] = set()
    for key in sessions or store.sessions:
        session = store.sessions[key]
        starts = split.clip_starts(session, part, n_frames=n_frames)
        found |= set(session.content[starts[:, None] + np.arange(n_frames)].ravel().tolist())
    return found - set(np.flatnonzero(store.blank_content).tolist())


def test_no_frame_of_a_test_clip_is_shown_in_training_or_validation(store, split):
    frames = {part: shown(store, split, part, 16) for part in PARTS}
    assert all(frames.values())
    assert not frames["train"] & frames["test"]
    assert not frames["train"] & frames["validation"]
    assert not frames["validation"] & frames["test"]
    assert split.content_disjoint


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), n_frames=st.integers(1, 40), stride=st.integers(1, 50))
def test_clips_are_whole_valid_and_apart_whatever_is_asked_for(store, seed, n_frames, stride):
    random = np.random.default_rng(seed)
    split = make_split(store, SplitConfiguration(seed=seed, test_fraction=0.3))
    session = store.sessions["session-1"]
    segment = np.cumsum(random.random(session.n_frames) < 0.01).astype(np.int32)
    session = replace(session, segment=segment, valid=random.random(session.n_frames) > 0.003)
    if n_frames > np.bincount(segment).max():
        return
    for part in PARTS:
        every = split.clip_starts(session, part, n_frames=n_frames)
        starts = split.clip_starts(session, part, n_frames=n_frames, stride=stride)
        assert set(starts.tolist()) <= set(every.tolist())
        assert np.all(np.diff(starts) >= stride)
        assert bool(len(starts)) == bool(len(every))
        by_hand = [
            row
            for row in range(session.n_frames - n_frames + 1)
            if session.valid[row : row + n_frames].all()
            and len(set(segment[row : row + n_frames].tolist())) == 1
            and (split.part_of_rows(session)[row : row + n_frames] == PARTS.index(part)).all()
        ]
        assert every.tolist() == by_hand


def test_by_default_one_of_three_animals_is_held_out(store, split):
    assert len(split.held_out_sessions) == 1
    assert sorted(split.train_sessions + split.held_out_sessions) == sorted(store.sessions)


def test_all_sessions_of_a_subject_are_held_out_together(tmp_path):
    films = movies(10, 20)
    sessions = [
        aligned_session(f"{subject}-{n}", films, list(range(10)), cells=3, seed=n, subject=subject)
        for subject in ("a", "b", "c")
        for n in range(2)
    ]
    store = write_store(tmp_path / "store", sessions, SIZE)
    assert make_split(store, SplitConfiguration(held_out=["b"])).held_out_sessions == ("b-0", "b-1")
    drawn = {make_split(store, SplitConfiguration(held_out=1, seed=seed)).held_out_sessions for seed in range(12)}
    assert drawn == {("a-0", "a-1"), ("b-0", "b-1"), ("c-0", "c-1")}
    assert make_split(store, SplitConfiguration(held_out=0)).held_out_sessions == ()
    assert len(make_split(store, SplitConfiguration(held_out=2)).train_sessions) == 2


@pytest.mark.parametrize(
    ("held_out", "words"),
    [(["mouse-9"], "no subject 'mouse-9'"), (3, "3 of 3"), (["mouse-0", "mouse-1", "mouse-2"], "3 of 3")],
)
def test_impossible_subjects_are_refused(store, held_out, words):
    with pytest.raises(StoreError, match=words) as caught:
        make_split(store, SplitConfiguration(held_out=held_out))
    assert caught.value.object_path == "split.held_out"


def test_two_animals_are_both_trained_on_by_default(tmp_path):
    store = make_store(tmp_path / "store", sessions=2, seconds=8, movie_frames=24, height=6, width=8)
    assert make_split(store).held_out_sessions == ()


def test_the_seed_alone_decides(store):
    first, again, other = (make_split(store, SplitConfiguration(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.part_of_content, again.part_of_content)
    assert first.held_out_sessions == again.held_out_sessions
    assert not np.array_equal(first.part_of_content, other.part_of_content)


def test_many_movies_are_held_out_whole(store, split):
    session = store.sessions["session-0"]
    for template in range(len(session.template_names)):
        content = np.unique(session.content[session.template == template])
        assert np.unique(split.unit_of_content[content]).size == 1
    assert np.unique(split.unit_of_content).size == len(session.template_names)


def test_few_movies_are_cut_into_blocks(tmp_path):
    films = movies(2, 300)
    store = write_store(tmp_path / "store", [aligned_session("a", films, [0, 1, 0], cells=3, seed=0)], SIZE)
    split = make_split(store, SplitConfiguration(block_frames=50))
    assert np.unique(split.unit_of_content).tolist() == list(range(12))
    assert np.bincount(split.unit_of_content).tolist() == [50] * 12
    assert np.sum(split.part_of_content == 2) == 100
    assert not shown(store, split, "train", 16) & shown(store, split, "test", 16)


def test_movies_that_share_a_frame_are_one_unit_but_for_uniform_frames(tmp_path):
    films = movies(12, 20)
    films[3].frames[7] = films[8].frames[11]
    for film in films:
        film.frames[0] = 0
    store = write_store(tmp_path / "store", [aligned_session("a", films, list(range(12)), cells=3, seed=0)], SIZE)
    split = make_split(store, EVERYONE)
    session = store.sessions["a"]
    unit = [
        np.unique(split.unit_of_content[session.content[(session.template == n) & (session.frame > 0)]])
        for n in range(12)
    ]
    numbers = [names.index(name) for names in [list(session.template_names)] for name in ("movie-3", "movie-8")]
    assert unit[numbers[0]] == unit[numbers[1]]
    assert len({int(units[0]) for units in unit}) == 11
    blank = session.content[0]
    assert store.blank_content[blank]
    assert split.part_of_content[blank] == 3
    assert split.unit_of_content[blank] == -1


def test_single_images_are_units_of_their_own(tmp_path):
    films = movies(1, 40)
    aligned = aligned_session("a", films, [0] * 10, cells=3, seed=0)
    order = np.concatenate([np.random.default_rng(n).permutation(40) for n in range(10)])
    stimulus = replace(aligned, frame=order)
    store = write_store(tmp_path / "store", [stimulus], SIZE)
    split = make_split(store, SplitConfiguration(test_fraction=0.5))
    assert np.unique(split.unit_of_content).size == 40
    assert np.sum(split.part_of_content == 2) == 20
    assert len(split.distinct_clips(store.sessions["a"], "test", n_frames=1).starts) == 20


def test_held_out_content_is_drawn_from_what_every_animal_saw(tmp_path):
    common = movies(4, 24, seed=1, name="common")
    sessions = []
    for number in range(3):
        own = movies(8, 24, seed=10 + number, name=f"own-{number}")
        sessions.append(aligned_session(f"s{number}", common + own, list(range(12)), cells=3, seed=number))
    store = write_store(tmp_path / "store", sessions, SIZE)
    split = make_split(store, SplitConfiguration(test_fraction=0.25, validation_fraction=0.2))
    seen = [set(session.content.tolist()) for session in store.sessions.values()]
    everywhere = set.intersection(*seen)
    test = set(np.flatnonzero(split.part_of_content == 2).tolist())
    assert len(test) == 3 * 24
    assert test <= everywhere
    for session in store.sessions.values():
        own_validation = split.part_of_content[np.unique(session.content)] == 1
        # One unit of what all saw is left for validation; the second of each animal is its own.
        assert own_validation.sum() == 2 * 24
    # The same clips in every animal, wherever they lie in each session.
    clips = [split.distinct_clips(session, "test", n_frames=8).content for session in store.sessions.values()]
    assert (
        {row.tobytes() for row in clips[0]}
        == {row.tobytes() for row in clips[1]}
        == {row.tobytes() for row in clips[2]}
    )
    assert len(clips[0]) == 9


def test_own_content_is_held_out_where_nothing_is_shared(tmp_path):
    store = make_store(tmp_path / "store", seconds=16, movie_frames=48, shared_content=False, height=6, width=8)
    split = make_split(store)
    for session in store.sessions.values():
        assert {0, 1, 2} == set(split.part_of_rows(session).tolist())
    assert not shown(store, split, "train", 16) & shown(store, split, "test", 16)


def test_every_different_clip_comes_once_with_all_its_showings(store, split):
    session = store.sessions["session-2"]
    clips = split.distinct_clips(session, "test", n_frames=16)
    assert len(clips.starts) == len(clips.content) == len(clips.showings) == 2 * 3
    assert np.all(np.diff(clips.starts) >= 16)
    assert len(np.unique(clips.content, axis=0)) == len(clips.content)
    for start, content, showings in zip(clips.starts, clips.content, clips.showings, strict=True):
        assert showings[0] == start
        assert len(showings) == 2
        for showing in showings:
            assert np.array_equal(session.content[showing : showing + 16], content)


def test_dropped_frames_do_not_put_the_grid_out_of_register(tmp_path):
    films = movies(10, 64)
    aligned = aligned_session("a", films, [*range(10), *range(10)], cells=3, seed=0)
    keep = np.r_[np.arange(0, 700), np.arange(705, 1280)]  # the second showing of movie 0 lost frames 60 to 63 and more
    keep = keep[(keep < 650) | (keep >= 655)]  # and frames 10 to 14
    rows = {
        name: getattr(aligned, name)[keep]
        for name in ("neural", "valid", "time", "stop_time", "template", "frame", "repeat", "presentation", "auxiliary")
    }
    segment = np.cumsum(np.r_[0, np.diff(rows["time"]) > 1.5 / 30]).astype(np.int32)
    store = write_store(tmp_path / "store", [replace(aligned, **rows, segment=segment)], SIZE)
    split = make_split(store)
    session = store.sessions["a"]
    for part in PARTS:
        starts = split.clip_starts(session, part, n_frames=16, stride=16)
        assert set((session.frame[starts] % 16).tolist()) == {0}
    clips = split.distinct_clips(session, "train", n_frames=16)
    assert len(clips.starts) == 7 * 4


def test_uniform_frames_may_stand_in_a_clip_but_not_make_it_up(tmp_path):
    films = movies(10, 20)
    for film in films:
        film.frames[12:] = 90
    store = write_store(tmp_path / "store", [aligned_session("a", films, list(range(10)), cells=3, seed=0)], SIZE)
    split = make_split(store)
    session = store.sessions["a"]
    starts = np.concatenate([split.clip_starts(session, part, n_frames=16) for part in PARTS])
    content = session.content[starts[:, None] + np.arange(16)]
    assert len(starts)
    assert np.all(np.mean(store.blank_content[content], axis=1) < 0.5)


def test_too_long_and_absent_clips_are_refused(store, split):
    session = store.sessions["session-0"]
    with pytest.raises(StoreError, match="clips of 5000 frames") as caught:
        split.clip_starts(session, "train", n_frames=5000)
    assert "clip_frames" in (caught.value.remedy or "")
    with pytest.raises(StoreError, match="clips of 0 frames"):
        split.clip_starts(session, "train", n_frames=0)
    assert len(split.clip_starts(session, "test", n_frames=400)) == 0
    with pytest.raises(StoreError, match=r"no test clip of 400 frames.*192 frames with known activity, at most 48"):
        split.distinct_clips(session, "test", n_frames=400)
    with pytest.raises(StoreError, match="no train clip of 400 frames"):
        make_split(store, n_frames=400)
    assert make_split(store, n_frames=16).train_sessions == split.train_sessions


@pytest.fixture(scope="module")
def one_thing(tmp_path_factory) -> ClipStore:
    """One movie of 45 frames shown forty times, each time after a pause."""
    films = movies(1, 45)
    sessions = []
    for number in range(2):
        aligned = aligned_session(f"s{number}", films, [0] * 40, cells=3, seed=number)
        sessions.append(replace(aligned, segment=np.repeat(np.arange(40, dtype=np.int32), 45)))
    return write_store(tmp_path_factory.mktemp("one") / "store", sessions, SIZE)


def test_one_thing_over_and_over_can_be_split_by_presentation(one_thing):
    with pytest.raises(StoreError, match="too few different stimuli in session s0: 1 ") as caught:
        make_split(one_thing)
    assert "split.by to presentation" in (caught.value.remedy or "")
    split = make_split(one_thing, SplitConfiguration(by="presentation"))
    assert not split.content_disjoint
    for session in one_thing.sessions.values():
        part = split.part_of_rows(session)
        assert np.bincount(part).tolist() == [28 * 45, 4 * 45, 8 * 45]
        # A showing is held out whole.
        assert all(np.unique(part[session.segment == number]).size == 1 for number in range(40))
        rows = [
            set((split.clip_starts(session, name, n_frames=16)[:, None] + np.arange(16)).ravel().tolist())
            for name in PARTS
        ]
        assert not rows[0] & rows[2]
        assert not rows[0] & rows[1]
        clips = split.distinct_clips(session, "test", n_frames=15)
        assert len(clips.starts) == 3
        assert [len(showings) for showings in clips.showings] == [8, 8, 8]


def test_long_unbroken_stretches_are_cut_between_presentations(tmp_path):
    store = write_store(tmp_path / "store", [aligned_session("a", movies(1, 40), [0] * 20, cells=3, seed=0)], SIZE)
    split = make_split(store, SplitConfiguration(by="presentation", block_frames=64))
    part = split.part_of_rows(store.sessions["a"])
    assert set(part.tolist()) == {0, 1, 2}
    assert np.min(np.diff(np.flatnonzero(np.r_[True, np.diff(part) != 0, True]))) >= 32


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ({"by": "presentation", "block_frames": 5000, "seed": 0}, "stretches of presentations"),
        ({"by": "presentation", "test_fraction": 0.9, "validation_fraction": 0.5}, "nothing left to train on"),
        ({"by": "content", "test_fraction": 0.9, "validation_fraction": 0.5}, "no .* content left"),
    ],
)
def test_parts_that_leave_nothing_are_refused(tmp_path, configuration, words):
    store = write_store(
        tmp_path / "store", [aligned_session("a", movies(10, 40), list(range(10)), cells=3, seed=0)], SIZE
    )
    with pytest.raises(StoreError, match=words):
        make_split(store, SplitConfiguration(**configuration))


def test_impossible_fractions_are_refused():
    with pytest.raises(ConfigurationError, match="test_fraction"):
        SplitConfiguration.from_mapping({"test_fraction": 0.0})


def test_statistics_are_those_of_the_training_part(store, split):
    for key, session in store.sessions.items():
        rows = (split.part_of_rows(session) == 0) & session.valid
        known = session.neural[rows].astype(np.float64)
        statistics = split.statistics(key)
        assert statistics.mean == pytest.approx(known.mean(axis=0), abs=1e-6)
        assert statistics.scale == pytest.approx(known.std(axis=0), rel=1e-4)
        assert statistics.auxiliary_mean == pytest.approx(
            session.auxiliary[rows].mean(axis=0, dtype=np.float64), abs=1e-4
        )
        # The pupil is not known in these sessions: its scale must not divide by nothing.
        assert statistics.auxiliary_scale[1] == 1.0


@pytest.mark.parametrize("kind", ["spikes", "events", "deconvolved", "fluorescence"])
def test_statistics_suit_the_kind_of_activity(tmp_path, kind):
    aligned = aligned_session("a", movies(10, 30), list(range(10)), cells=4, seed=0, trace_kind=kind)
    aligned.neural[:, 1] = 2.0
    aligned.neural[:, 2] = 0.5
    aligned.neural[3, 2] = 0.5 + 1e-3
    store = write_store(tmp_path / "store", [aligned], ClipsConfiguration(height=6, width=8, neural_type="float32"))
    statistics = make_split(store).statistics("a")
    if kind == "spikes":
        assert (statistics.scale == 1).all()
    else:
        assert statistics.scale[1] == 1.0
        assert statistics.scale[2] == 1.0 or statistics.scale[2] >= 1e-3 * np.median(statistics.scale[[0, 2, 3]]) * 0.99
    assert (statistics.mean == 0).all() == (kind != "fluorescence")


def test_a_saved_split_is_read_back_the_same(store, split, one_thing, tmp_path):
    for what, whose in ((split, store), (make_split(one_thing, SplitConfiguration(by="presentation")), one_thing)):
        path = tmp_path / "split.json"
        what.save(path)
        again = Split.load(path)
        again.check(whose)
        assert again.as_dict() == what.as_dict()
        for session in whose.sessions.values():
            for part in PARTS:
                expected = what.clip_starts(session, part, n_frames=16, stride=16)
                assert np.array_equal(again.clip_starts(session, part, n_frames=16, stride=16), expected)
            for a, b in zip(again.statistics(session.key), what.statistics(session.key), strict=True):
                assert np.array_equal(a, b)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"store_digest": 1}'])
def test_a_file_that_holds_no_split_is_refused(tmp_path: Path, text):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(StoreError, match="no split"):
        Split.load(tmp_path / "split.json")
    with pytest.raises(StoreError, match="no split"):
        Split.load(tmp_path / "absent.json")


def test_a_split_of_another_store_is_refused(store, one_thing):
    with pytest.raises(StoreError, match="digest"):
        make_split(store).check(one_thing)


def test_a_session_without_known_training_frames_is_refused(tmp_path):
    aligned = aligned_session("a", movies(10, 30), list(range(10)), cells=4, seed=0)
    store = write_store(tmp_path / "store", [aligned], SIZE)
    split = make_split(store)
    silent = replace(aligned, valid=split.part_of_rows(store.sessions["a"]) == 2)
    store = write_store(tmp_path / "silent", [silent], SIZE)
    with pytest.raises(StoreError):
        make_split(store)


def test_a_session_that_shows_part_of_what_another_shows_keeps_content_to_train_on(tmp_path):
    every = movies(40, 24)
    few = aligned_session("few", every[:10], range(10), cells=4, seed=0)
    many = aligned_session("many", every, range(40), cells=4, seed=1)
    store = write_store(tmp_path / "store", [few, many], SIZE)
    for seed in range(5):
        split = make_split(store, SplitConfiguration(held_out=0, test_fraction=0.25, seed=seed), n_frames=16)
        part = split.part_of_content[store.sessions["few"].content].reshape(10, 24)[:, 0]
        assert np.bincount(part, minlength=3).tolist() == [7, 1, 2]
        part = split.part_of_content[store.sessions["many"].content].reshape(40, 24)[:, 0]
        assert np.bincount(part, minlength=3).tolist() == [26, 4, 10]
