from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.annotation.per_presentation import presentation_bins
from tests.annotation.sources import SHOWN, Stored, latents_for


def stored_of(frames: list[tuple[str, int]], time: np.ndarray | None = None) -> Stored:
    """A session whose frames belong to these tables and rows, one session row per frame."""
    time = np.arange(len(frames)) / 30 if time is None else time
    return Stored(
        key="session",
        subject="m1",
        source={},
        n_cells=1,
        n_frames=len(frames),
        time=time,
        stop_time=time + 1 / 30,
        presentation=np.arange(len(frames)),
        presentations=pd.DataFrame(frames, columns=["source_path", "source_row"]),
        cells=pd.DataFrame(),
    )


def test_one_frame_per_row_gives_one_bin():
    stored = stored_of([(SHOWN, row) for row in (0, 1, 2, 3)])
    (bins,) = presentation_bins(stored, latents_for(stored, [1, 3]))
    assert (bins.table, bins.rows.tolist(), bins.offsets.tolist()) == (SHOWN, [1, 3], [0.0])


def test_frames_of_one_row_are_its_bins():
    stored = stored_of([(SHOWN, 4)] * 3 + [(SHOWN, 2)] * 2)
    latents = latents_for(stored, range(5))
    (bins,) = presentation_bins(stored, latents)
    mean, _ = bins.spread(latents.blocks["neural_shared"])
    assert bins.rows.tolist() == [2, 4]
    np.testing.assert_allclose(bins.offsets, [0, 1 / 30, 2 / 30])
    np.testing.assert_array_equal(mean[1], latents.blocks["neural_shared"].mean[:3])
    np.testing.assert_array_equal(mean[0, :2], latents.blocks["neural_shared"].mean[3:])
    assert np.isnan(mean[0, 2]).all()


def test_a_frame_that_was_not_encoded_moves_no_other():
    stored = stored_of([(SHOWN, 0)] * 4)
    latents = latents_for(stored, [2, 3])
    (bins,) = presentation_bins(stored, latents)
    mean, variance = bins.spread(latents.blocks["neural_shared"])
    assert np.isnan(mean[0, :2]).all()
    assert np.isnan(variance[0, :2]).all()
    np.testing.assert_array_equal(mean[0, 2:], latents.blocks["neural_shared"].mean)


def test_movies_of_several_rates_keep_their_times_in_one_table():
    # Two rows of 20 frames at 25 Hz, one of 24 frames at 30 Hz: by rank, the late bins would tell the wrong time.
    time = np.concatenate(
        [start + np.arange(count) / rate for start, count, rate in ((0, 20, 25), (5, 20, 25), (9, 24, 30))]
    )
    rows = [0] * 20 + [1] * 20 + [2] * 24
    stored = stored_of([(SHOWN, row) for row in rows], time)
    (bins,) = presentation_bins(stored, latents_for(stored, range(64)))
    begins = time[[0, 20, 40]][bins.presentation]
    assert np.all(np.diff(bins.offsets) > 0)
    assert np.max(np.abs(bins.offsets[bins.bin] - (time[bins.frames] - begins))) <= 0.5 / 30 + 1e-9
    assert len({*zip(bins.presentation.tolist(), bins.bin.tolist(), strict=True)}) == 64


def test_a_late_frame_leaves_a_gap():
    stored = stored_of([(SHOWN, 0)] * 4 + [(SHOWN, 1)] * 5, np.array([0, 1, 2, 4, 10, 11, 12, 13, 14]) / 30)
    (bins,) = presentation_bins(stored, latents_for(stored, range(9)))
    assert bins.bin.tolist() == [0, 1, 2, 4, 0, 1, 2, 3, 4]


def test_frames_that_come_too_early_share_no_bin():
    stored = stored_of([(SHOWN, 0)] * 4, np.array([0, 1, 1.2, 2.2]) / 30)
    (bins,) = presentation_bins(stored, latents_for(stored, range(4)))
    assert bins.bin.tolist() == [0, 1, 2, 3]


def test_one_squeezed_row_does_not_multiply_the_bins():
    time = np.concatenate([np.arange(10) / 30, 1 + np.arange(10) / 30, 2 + np.arange(10) / 3e4])
    stored = stored_of([(SHOWN, row) for row in (0, 1, 2) for _ in range(10)], time)
    (bins,) = presentation_bins(stored, latents_for(stored, range(30)))
    assert len(bins.offsets) <= 40


def test_frames_of_no_row_are_left_out():
    stored = stored_of([("", -1), (SHOWN, 0), (SHOWN, -1)])
    (bins,) = presentation_bins(stored, latents_for(stored, [0, 1, 2]))
    assert (bins.frames.tolist(), bins.rows.tolist()) == ([1], [0])
    assert list(presentation_bins(stored, latents_for(stored, [0, 2]))) == []


def test_the_same_rows_of_two_tables_are_kept_apart():
    stored = stored_of([("intervals/b", 0), ("intervals/a", 0), ("intervals/b", 1)])
    first, second = presentation_bins(stored, latents_for(stored, [0, 1, 2]))
    assert (first.table, first.frames.tolist()) == ("intervals/a", [1])
    assert (second.table, second.frames.tolist(), second.rows.tolist()) == ("intervals/b", [0, 2], [0, 1])


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Stored, list[int]]:
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=8))
    rows = draw(st.permutations(range(len(lengths))))
    tables = [draw(st.sampled_from(["intervals/a", "intervals/b", ""])) for _ in lengths]
    frames: list[Any] = []
    for table, row, length in zip(tables, rows, lengths, strict=True):
        frames += [(table, row if table else -1)] * length
    encoded = draw(st.lists(st.sampled_from(range(len(frames))), unique=True, min_size=1))
    return stored_of(frames), sorted(encoded)


@settings(max_examples=60, deadline=None)
@given(sessions())
def test_every_encoded_frame_is_found_again_once(drawn: tuple[Stored, list[int]]):
    stored, encoded = drawn
    latents = latents_for(stored, encoded)
    block = latents.blocks["stimulus_private"]
    found = 0
    for bins in presentation_bins(stored, latents):
        mean, variance = bins.spread(block)
        known = ~np.isnan(mean).any(axis=2)
        found += int(known.sum())
        assert np.array_equal(known, ~np.isnan(variance).any(axis=2))
        assert np.all(np.diff(bins.offsets) > 0)
        for place, number, frame in zip(bins.presentation, bins.bin, bins.frames, strict=True):
            np.testing.assert_array_equal(mean[place, number], block.mean[frame])
            source = stored.presentations.iloc[int(latents.row[frame])]
            assert (source["source_path"], source["source_row"]) == (bins.table, bins.rows[place])
    assert found == int(np.sum(stored.presentations["source_path"].to_numpy()[encoded] != ""))


def mixed(images: int = 600, movies: int = 2, movie_frames: int = 1000) -> Stored:
    """One table with rows of three frames and rows of a thousand, in turn."""
    lengths = [3] * images + [movie_frames] * movies
    return stored_of([(SHOWN, row) for row, length in enumerate(lengths) for _ in range(length)])


def test_a_table_that_mixes_pictures_and_movies_is_taken_apart():
    stored = mixed()
    latents = latents_for(stored, range(stored.n_frames))
    pictures, movies = presentation_bins(stored, latents)
    assert (pictures.suffix, movies.suffix) == ("_up_to_4_bins", "_up_to_1024_bins")
    assert pictures.table == movies.table == SHOWN
    assert pictures.rows.tolist() == list(range(600))
    assert movies.rows.tolist() == [600, 601]
    assert (len(pictures.offsets), len(movies.offsets)) == (3, 1000)
    np.testing.assert_array_equal(movies.offsets[:3], pictures.offsets)
    block = latents.blocks["neural_shared"]
    np.testing.assert_array_equal(pictures.spread(block)[0].reshape(-1, 3), block.mean[:1800])
    np.testing.assert_array_equal(movies.spread(block)[0].reshape(-1, 3), block.mean[1800:])


def test_a_large_table_of_equal_rows_stays_whole():
    stored = mixed(movies=0)
    with patch("nwb_mivae.annotation.per_presentation._LARGE", 100):
        (bins,) = presentation_bins(stored, latents_for(stored, range(stored.n_frames)))
    assert bins.suffix == ""


def test_a_long_movie_is_one_row():
    stored = mixed(images=0, movies=1, movie_frames=300_000)
    (bins,) = presentation_bins(stored, latents_for(stored, range(stored.n_frames)))
    assert (bins.rows.tolist(), len(bins.offsets), bins.suffix) == ([0], 300_000, "")


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=12), encoded=st.data())
def test_taken_apart_or_not_every_frame_is_found_once(lengths: list[int], encoded: st.DataObject):
    stored = stored_of([(SHOWN, row) for row, length in enumerate(lengths) for _ in range(length)])
    frames = sorted(encoded.draw(st.sets(st.integers(0, stored.n_frames - 1), min_size=1)))
    latents = latents_for(stored, frames)
    block = latents.blocks["neural_shared"]
    with patch("nwb_mivae.annotation.per_presentation._LARGE", 8):
        parts = list(presentation_bins(stored, latents))
    assert sorted(frame for bins in parts for frame in bins.frames) == list(range(len(frames)))
    assert len({bins.suffix for bins in parts}) == len(parts)
    rows = [row for bins in parts for row in bins.rows]
    assert len(rows) == len(set(rows)), "each row in one array"
    for bins in parts:
        mean, _ = bins.spread(block)
        np.testing.assert_array_equal(mean[bins.presentation, bins.bin], block.mean[bins.frames])
        assert np.sum(~np.isnan(mean[..., 0])) == len(bins.frames)
