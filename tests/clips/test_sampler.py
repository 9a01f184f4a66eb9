from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nwb_mivae.clips import (
    ClipsConfiguration,
    ClipStore,
    EpisodeConfiguration,
    EpisodeSampler,
    Split,
    SplitConfiguration,
    load_clips,
    make_split,
)
from nwb_mivae.errors import StoreError
from tests.clip_stores import ArrayTemplate, aligned_session, make_store, smooth_movie, write_store

SIZE = ClipsConfiguration(height=6, width=8)
FULL = EpisodeConfiguration(context_dropout=0.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return make_store(
        tmp_path_factory.mktemp("sampler") / "store", seconds=64, movie_frames=48, repeats=2, height=6, width=8
    )


@pytest.fixture(scope="module")
def split(store) -> Split:
    return make_split(store, SplitConfiguration(held_out=["mouse-1"]))


def test_clips_are_standardised_activity_and_luminance(store, split):
    session = store.sessions["session-0"]
    starts = split.clip_starts(session, "train", n_frames=16, stride=16)
    batch = load_clips(store, split, "session-0", starts, n_frames=16)
    assert batch.neural.shape == (len(starts), 16, 20)
    assert batch.stimulus.shape == (len(starts), 16, 1, 6, 8)
    assert batch.auxiliary.shape == (len(starts), 16, 3)
    assert batch.coordinates.shape == (20, 3)
    assert {batch.neural.dtype, batch.stimulus.dtype, batch.auxiliary.dtype, batch.coordinates.dtype} == {torch.float32}
    assert batch.content.dtype == batch.start.dtype == torch.int64
    assert batch.start.tolist() == starts.tolist()
    # All training frames are in these clips: over them activity has mean 0 and deviation 1.
    flat = batch.neural.reshape(-1, 20)
    assert flat.mean(0).abs().max() < 1e-4
    assert (flat.std(0, correction=0) - 1).abs().max() < 1e-3
    rows = starts[3] + np.arange(16)
    assert np.array_equal(batch.content[3].numpy(), session.content[rows])
    assert np.allclose(batch.stimulus[3, :, 0].numpy(), store.stimulus[session.stimulus_row[rows]] / 255.0)
    assert float(batch.stimulus.min()) >= 0.0
    assert float(batch.stimulus.max()) <= 1.0


def test_counts_stay_counts(tmp_path):
    store = make_store(
        tmp_path / "store", sessions=1, seconds=8, movie_frames=24, height=6, width=8, trace_kind="spikes"
    )
    batch = load_clips(store, make_split(store), "session-0", [5, 50], n_frames=4)
    assert np.array_equal(batch.neural[1].numpy(), store.sessions["session-0"].neural[50:54])


def test_cells_can_be_chosen(store, split):
    cells = np.array([4, 1])
    some = load_clips(store, split, "session-2", [0, 10], n_frames=8, cells=cells)
    every = load_clips(store, split, "session-2", [0, 10], n_frames=8)
    assert torch.equal(some.neural, every.of_cells(torch.from_numpy(cells)).neural)
    assert torch.equal(some.coordinates, every.coordinates[[4, 1]])


def test_what_is_not_there_is_refused(store, split, tmp_path):
    with pytest.raises(StoreError, match="no session 'x'"):
        load_clips(store, split, "x", [0], n_frames=4)
    for starts in ([-1], [1919], [[0], [5000]]):
        with pytest.raises(StoreError, match="clips of 4 frames"):
            load_clips(store, split, "session-0", np.ravel(starts), n_frames=4)
    assert load_clips(store, split, "session-0", [], n_frames=4).neural.shape == (0, 4, 20)
    other = make_store(tmp_path / "other", sessions=1, seconds=8, movie_frames=24, height=6, width=8)
    with pytest.raises(StoreError, match="digest"):
        load_clips(other, split, "session-0", [0], n_frames=4)
    with pytest.raises(StoreError, match="digest"):
        EpisodeSampler(other, split, seed=0)


def test_a_draw_depends_on_seed_and_step_alone(store, split):
    first, again = EpisodeSampler(store, split, seed=3), EpisodeSampler(store, split, seed=3)
    for step in (7, 0, 7):
        a, b = first.draw(step), again.draw(step)
        assert [episode.target.session for episode in a] == [episode.target.session for episode in b]
        for one, two in zip(a, b, strict=True):
            assert torch.equal(one.target.neural, two.target.neural)
            assert (one.context is None) == (two.context is None)
    starts = [
        EpisodeSampler(store, split, seed=seed).draw(step)[0].target.start for seed, step in ((3, 1), (3, 2), (4, 1))
    ]
    assert not torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_episodes_never_leak(store, split):
    """Context against targets, training against everything held out: by content, by time and by animal."""
    sampler = EpisodeSampler(store, split, FULL, seed=0)
    held_out = set(np.flatnonzero(split.part_of_content != 0).tolist())
    for step in range(25):
        episodes = sampler.draw(step)
        assert len({episode.target.session for episode in episodes}) == 2
        for episode in episodes:
            assert episode.target.session in split.train_sessions
            assert episode.context is not None
            assert episode.context.session == episode.target.session
            assert episode.target.n_clips == 16
            assert episode.context.n_clips == 64
            target, context = (
                set(episode.target.content.ravel().tolist()),
                set(episode.context.content.ravel().tolist()),
            )
            assert not target & context
            assert not (target | context) & held_out
            rows = [
                set((batch.start[:, None] + torch.arange(16)).ravel().tolist())
                for batch in (episode.target, episode.context)
            ]
            assert not rows[0] & rows[1]
            assert len(rows[0]) == 16 * 16


def test_the_context_is_dropped_as_often_as_asked(store, split):
    def dropped(configuration):
        sampler = EpisodeSampler(store, split, configuration, seed=0)
        return np.mean([episode.context is None for step in range(60) for episode in sampler.draw(step)])

    small = {"clips_per_session": 2, "context_clips": 2}
    assert dropped(EpisodeConfiguration(context_dropout=0.0, **small)) == 0.0
    assert dropped(EpisodeConfiguration(context_dropout=1.0, **small)) == 1.0
    assert 0.3 < dropped(EpisodeConfiguration(context_dropout=0.5, **small)) < 0.7
    assert dropped(EpisodeConfiguration(context_dropout=0.0, clips_per_session=2, context_clips=0)) == 1.0


def test_cells_are_drawn_alike_for_targets_and_context(store, split):
    configuration = EpisodeConfiguration(context_dropout=0.0, cells_per_session=21)
    for episode in EpisodeSampler(store, split, configuration, seed=0).draw(0):
        every = store.sessions[episode.target.session]
        assert episode.target.n_cells == min(21, every.n_cells)
        assert episode.context is not None
        assert torch.equal(episode.target.coordinates, episode.context.coordinates)


@pytest.mark.parametrize("count", [1, 9, 10_000])
def test_a_limit_of_clips_makes_the_recording_as_short(store, split, count):
    configuration = EpisodeConfiguration(clips_per_session=4, context_clips=2, training_clips=count)
    sampler = EpisodeSampler(store, split, configuration, seed=0)
    used = {key: np.zeros(session.n_frames, dtype=bool) for key, session in store.sessions.items()}
    for step in range(40):
        for episode in sampler.draw(step):
            for batch in (episode.target, episode.context):
                for start in [] if batch is None else batch.start.tolist():
                    used[batch.session][start : start + 16] = True
    for key in split.train_sessions:
        every = split.clip_starts(store.sessions[key], "train", n_frames=16)
        covered = np.unique(every[:, None] + np.arange(16))
        assert used[key].sum() <= min(16 * count, len(covered))
        assert used[key].sum() > 0.8 * min(16 * count, len(covered))
        assert not used[key][covered[16 * count :]].any()


def test_short_recordings_give_what_they_have(tmp_path):
    random = np.random.default_rng(0)
    films = [ArrayTemplate(f"m{n}", smooth_movie(random, 20, 6, 8)) for n in range(10)]
    store = write_store(tmp_path / "store", [aligned_session("a", films, list(range(10)), cells=3, seed=0)], SIZE)
    split = make_split(store)
    (episode,) = EpisodeSampler(
        store, split, EpisodeConfiguration(context_dropout=0.0, clips_per_session=4), seed=0
    ).draw(0)
    assert episode.target.n_clips == 4
    assert episode.context is not None
    assert 0 < episode.context.n_clips < 64
    assert not set(episode.target.content.ravel().tolist()) & set(episode.context.content.ravel().tolist())
    # Targets that show everything leave no context, which is then absent and not wrong.
    (episode,) = EpisodeSampler(store, split, replace_clips(2000), seed=0).draw(0)
    assert episode.context is None


def replace_clips(count: int) -> EpisodeConfiguration:
    return EpisodeConfiguration(context_dropout=0.0, clips_per_session=count)


def test_one_thing_over_and_over_has_a_context_apart_in_time(tmp_path):
    film = ArrayTemplate("movie", smooth_movie(np.random.default_rng(0), 45, 6, 8))
    aligned = aligned_session("a", [film], [0] * 40, cells=3, seed=0)
    aligned = replace(aligned, segment=np.repeat(np.arange(40, dtype=np.int32), 45))
    store = write_store(tmp_path / "store", [aligned], SIZE)
    split = make_split(store, SplitConfiguration(by="presentation"))
    (episode,) = EpisodeSampler(store, split, FULL, seed=0).draw(0)
    assert episode.context is not None
    rows = [
        set((batch.start[:, None] + torch.arange(16)).ravel().tolist()) for batch in (episode.target, episode.context)
    ]
    assert not rows[0] & rows[1]
    part = split.part_of_rows(store.sessions["a"])
    assert set(part[sorted(rows[0] | rows[1])].tolist()) == {0}


def test_clips_longer_than_any_training_stretch_are_refused(store, split):
    with pytest.raises(StoreError, match="no train clip of 1900 frames"):
        EpisodeSampler(store, split, EpisodeConfiguration(clip_frames=1900), seed=0)
