from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.clips.frames import frame_digests, resize_frames


def test_frames_of_the_right_size_are_left_alone():
    frames = np.random.default_rng(0).integers(0, 256, (3, 6, 8)).astype(np.uint8)
    assert np.array_equal(resize_frames(frames, 6, 8), frames)


def test_smaller_pixels_are_means_over_areas():
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 16)).astype(np.uint8)
    by_hand = frames.reshape(2, 4, 3, 4, 4).mean(axis=(2, 4))
    assert np.abs(resize_frames(frames, 4, 4) - by_hand).max() <= 0.5 + 1e-3


def test_a_grating_too_fine_for_the_store_becomes_grey():
    frames = np.zeros((1, 100, 100), dtype=np.uint8)
    frames[:, :, ::2] = 254
    assert np.abs(resize_frames(frames, 9, 9).astype(int) - 127).max() <= 13
    assert np.all(resize_frames(frames, 10, 10) == 127)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    wanted=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    level=st.integers(0, 255),
)
def test_any_size_gives_any_size_within_the_range_of_the_frame(seed, size, wanted, level):
    frames = np.random.default_rng(seed).integers(40, 200, (2, *size)).astype(np.uint8)
    resized = resize_frames(frames, *wanted)
    assert resized.shape == (2, *wanted)
    assert resized.dtype == np.uint8
    assert resized.min() >= frames.min()
    assert resized.max() <= frames.max()
    assert np.all(resize_frames(np.full((1, *size), level, dtype=np.uint8), *wanted) == level)


def test_larger_frames_keep_a_ramp_a_ramp():
    ramp = np.tile(np.arange(0, 200, 20, dtype=np.uint8), (1, 4, 1))
    wide = resize_frames(ramp, 4, 30).astype(float)
    assert np.all(np.diff(wide[0, 0]) >= 0)
    assert wide[0, 0].mean() == pytest.approx(ramp.mean(), abs=1)


def test_digests_tell_equal_frames_from_different_ones():
    frames = np.zeros((3, 4, 5), dtype=np.uint8)
    frames[2, 3, 4] = 1
    digests = frame_digests(frames)
    assert digests.shape == (3, 16)
    assert np.array_equal(digests[0], digests[1])
    assert not np.array_equal(digests[0], digests[2])
