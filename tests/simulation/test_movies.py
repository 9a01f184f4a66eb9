from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nwb_mivae.simulation.movies import _camera_path, film
from nwb_mivae.simulation.photographs import Photographs


@pytest.fixture(scope="module")
def movie(photographs: Photographs) -> npt.NDArray[np.uint8]:
    return film(np.random.default_rng(0), photographs, n_frames=450, height=36, width=64, frame_rate=30.0)


def test_frames_are_all_different_and_none_is_empty(movie: npt.NDArray[np.uint8]) -> None:
    assert movie.shape == (450, 36, 64)
    assert movie.dtype == np.uint8
    assert len(np.unique(movie.reshape(len(movie), -1), axis=0)) == len(movie)
    assert movie.reshape(len(movie), -1).std(axis=1).min() > 15.0


def test_cuts_to_another_photograph_come_every_half_to_two_seconds() -> None:
    # Photographs without any contrast, so that only a cut changes what is seen.
    plain = [Image.new("L", (400, 300), level) for level in (30, 90, 150, 210)]
    movie = film(np.random.default_rng(0), plain, n_frames=900, height=36, width=64, frame_rate=30.0)
    cuts = np.flatnonzero(np.diff(movie[:, 0, 0].astype(int))) + 1
    shots = np.diff(cuts, prepend=0)
    assert shots.min() >= 15
    assert shots.max() <= 60
    assert len(set(shots)) > 10


def test_between_cuts_the_picture_moves_slowly() -> None:
    columns, rows = np.meshgrid(np.arange(600), np.arange(300))
    smooth = Image.fromarray((127.5 + 127.5 * np.sin(columns / 60.0) * np.cos(rows / 60.0)).astype(np.uint8))
    movie = film(np.random.default_rng(0), [smooth], n_frames=300, height=36, width=64, frame_rate=30.0).astype(float)
    change = np.abs(np.diff(movie, axis=0)).mean(axis=(1, 2))
    assert 0.0 < np.median(change) < 6.0
    assert (change > 15.0).mean() < 0.1


def test_clips_of_sixteen_frames_differ_from_one_another(movie: npt.NDArray[np.uint8]) -> None:
    clips = movie[: 450 // 16 * 16].reshape(-1, 16 * 36 * 64).astype(float)
    similarity = np.corrcoef(clips) - np.eye(len(clips))
    assert similarity.max() < 0.98
    assert np.median(np.abs(similarity)) < 0.4


def test_equal_randomness_films_equal_pixels(photographs: Photographs, movie: npt.NDArray[np.uint8]) -> None:
    again = film(np.random.default_rng(0), photographs, n_frames=450, height=36, width=64, frame_rate=30.0)
    other = film(np.random.default_rng(1), photographs, n_frames=450, height=36, width=64, frame_rate=30.0)
    np.testing.assert_array_equal(again, movie)
    assert (other != movie).mean() > 0.5


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=st.integers(100, 900),
    height=st.integers(100, 900),
    length=st.integers(2, 120),
    aspect=st.floats(0.3, 2.0),
)
def test_the_camera_never_leaves_the_photograph(seed: int, width: int, height: int, length: int, aspect: float) -> None:
    boxes = _camera_path(np.random.default_rng(seed), (width, height), length, aspect, 30.0)
    assert boxes.shape == (length, 4)
    assert boxes.min() >= 0.0
    assert boxes[:, [0, 2]].max() <= width
    assert boxes[:, [1, 3]].max() <= height
    sizes = boxes[:, 2:] - boxes[:, :2]
    assert sizes.min() > 5.0
    np.testing.assert_allclose(sizes[:, 1] / sizes[:, 0], aspect, rtol=1e-6)
