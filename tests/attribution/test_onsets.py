"""Onsets are where something new appears on the screen, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from nwb_mivae.attribution.onsets import find_onsets, has_strong_edges
from nwb_mivae.clips import ClipsConfiguration, ClipStore, StoredSession
from tests.clip_stores import ArrayTemplate, aligned_session, smooth_movie, write_store

HEIGHT, WIDTH, RATE = 18, 32, 30.0
#: A quarter of a second.
BEFORE = 8

_Frames = npt.NDArray[np.uint8]


def _grey(frames: int, luminance: int = 128) -> _Frames:
    return np.full((frames, HEIGHT, WIDTH), luminance, dtype=np.uint8)


def _movie(frames: int, seed: int) -> _Frames:
    return smooth_movie(np.random.default_rng(seed), frames, HEIGHT, WIDTH)


def _picture(frames: int, seed: int, smoothness: float = 2.0) -> _Frames:
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH)), smoothness)
    return np.repeat(np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)[None], frames, axis=0)


def _shown(folder: Path, parts: Sequence[_Frames], rate: float = RATE) -> tuple[ClipStore, StoredSession]:
    """A session that shows these frames one after the other."""
    templates = [ArrayTemplate(f"part-{number}", frames) for number, frames in enumerate(parts)]
    aligned = aligned_session("a", templates, range(len(parts)), cells=2, seed=0, frame_rate=rate)
    store = write_store(folder / "store", [aligned], ClipsConfiguration(height=HEIGHT, width=WIDTH))
    return store, store.sessions["a"]


def test_pictures_after_grey_cuts_and_changes_of_pictures_are_onsets_but_grey_is_none(tmp_path: Path) -> None:
    parts = [_grey(20), _movie(40, 0), _grey(15), _picture(20, 1), _picture(20, 2), _movie(40, 3), _movie(40, 4)]
    store, session = _shown(tmp_path, parts)
    starts = np.cumsum([0, *map(len, parts)])
    found = find_onsets(store, session)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, starts[[1, 3, 4, 5, 6]])


def test_one_grey_after_another_is_no_onset_though_luminance_jumps(tmp_path: Path) -> None:
    store, session = _shown(tmp_path, [_grey(20, 60), _grey(20, 200), _grey(20, 128)])
    assert len(find_onsets(store, session)) == 0


def test_steady_motion_still_pictures_and_flicker_have_no_onsets(tmp_path: Path) -> None:
    moving = np.stack([np.roll(_picture(1, 0)[0], 2 * frame, axis=1) for frame in range(60)])
    flicker = np.where((np.arange(60) % 2 == 0)[:, None, None], _picture(1, 1), _picture(1, 2))
    for name, frames in (("moving", moving), ("still", _picture(60, 0)), ("flicker", flicker)):
        store, session = _shown(tmp_path / name, [frames])
        assert len(find_onsets(store, session)) == 0


def test_changes_too_small_to_be_seen_are_none(tmp_path: Path) -> None:
    picture = _picture(20, 0)
    slightly, clearly = (np.clip(picture.astype(int) + step, 0, 255).astype(np.uint8) for step in (4, 8))
    for name, frames, number in (("slightly", slightly, 0), ("clearly", clearly, 1)):
        store, session = _shown(tmp_path / name, [picture, frames])
        # Two hundredths of 255 are 5.1.
        assert len(find_onsets(store, session)) == number


def test_of_changes_within_a_quarter_of_a_second_the_first_counts(tmp_path: Path) -> None:
    # How long the first picture stands before the second.
    for frames, expected in ((BEFORE - 2, [20]), (BEFORE, [20]), (BEFORE + 1, [20, 20 + BEFORE + 1])):
        store, session = _shown(tmp_path / str(frames), [_grey(20), _picture(frames, 1), _picture(20, 2)])
        np.testing.assert_array_equal(find_onsets(store, session), expected)


def test_the_quarter_of_a_second_is_one_at_every_frame_rate(tmp_path: Path) -> None:
    parts = [_grey(20), _picture(10, 1), _picture(20, 2)]
    for rate, expected in ((30.0, [20, 30]), (60.0, [20])):
        store, session = _shown(tmp_path / str(rate), parts, rate)
        np.testing.assert_array_equal(find_onsets(store, session), expected)


def test_there_are_none_at_gaps_nor_before_there_is_a_past_to_compare_with(tmp_path: Path) -> None:
    store, session = _shown(tmp_path, [_grey(20), _picture(30, 1), _picture(30, 2)])
    np.testing.assert_array_equal(find_onsets(store, session), [20, 50])
    for gap, expected in ((50, [20]), (45, [20]), (50 - BEFORE, [20, 50]), (20, [50])):
        segments = (np.arange(session.n_frames) >= gap).astype(np.int32)
        np.testing.assert_array_equal(find_onsets(store, replace(session, segment=segments)), expected)
    store, session = _shown(tmp_path / "early", [_grey(BEFORE - 1), _picture(30, 1)])
    assert len(find_onsets(store, session)) == 0
    store, session = _shown(tmp_path / "just", [_grey(BEFORE), _picture(30, 1)])
    np.testing.assert_array_equal(find_onsets(store, session), [BEFORE])


def test_frames_compared_in_blocks_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, session = _shown(tmp_path, [_grey(20), _movie(50, 0), _movie(50, 1), _grey(20), _picture(30, 2)])
    found = find_onsets(store, session)
    np.testing.assert_array_equal(found, [20, 70, 140])
    monkeypatch.setattr("nwb_mivae.attribution.onsets._PIXELS_AT_ONCE", 3 * HEIGHT * WIDTH)
    np.testing.assert_array_equal(find_onsets(store, session), found)


def test_pictures_of_edges_are_told_from_smooth_ones_whatever_their_contrast(tmp_path: Path) -> None:
    parts = [_grey(20)]
    for seed in range(6):
        picture = _picture(20, seed, smoothness=0.7 if seed % 2 else 5.0).astype(float)
        # Contrast falls from picture to picture.
        parts.append((128 + (picture - 128) / (1 + 0.3 * seed)).round().astype(np.uint8))
    store, session = _shown(tmp_path, parts)
    onsets = find_onsets(store, session)
    assert len(onsets) == 6
    strong = has_strong_edges(store, session, onsets)
    assert strong.dtype == np.bool_
    np.testing.assert_array_equal(strong, [False, True, False, True, False, True])


def test_edges_are_those_a_tenth_of_a_second_later_unless_a_gap_lies_before(tmp_path: Path) -> None:
    smooth, sharp = (_picture(20, 1, smoothness) for smoothness in (5.0, 0.7))
    # It begins smooth and is sharp from the third frame on.
    turning = np.concatenate([smooth[:3], sharp[3:]])
    store, session = _shown(tmp_path, [_grey(20), _picture(20, 2, 4.0), turning])
    onsets = np.array([20, 40])
    np.testing.assert_array_equal(has_strong_edges(store, session, onsets), [False, True])
    gap = replace(session, segment=(np.arange(session.n_frames) >= 42).astype(np.int32))
    np.testing.assert_array_equal(has_strong_edges(store, gap, onsets), [True, False])


def test_no_onset_and_pictures_that_are_alike_have_no_strong_edges(tmp_path: Path) -> None:
    store, session = _shown(tmp_path, [_grey(20), _picture(20, 1)])
    assert has_strong_edges(store, session, np.zeros(0, dtype=np.int64)).shape == (0,)
    assert not has_strong_edges(store, session, np.array([20])).any()
    # The last frame of the recording has none after it.
    assert not has_strong_edges(store, session, np.array([20, session.n_frames - 1])).any()
