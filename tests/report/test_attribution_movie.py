from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nwb_mivae.errors import AttributionError
from nwb_mivae.report.attribution_movie import attribution_movie

HEIGHT, WIDTH = 36, 64
RANDOM = np.random.default_rng(0)


def decoded(animation: bytes) -> np.ndarray:
    """All frames as red, green and blue, (T, height, width, 3)."""
    image = Image.open(io.BytesIO(animation))
    frames = []
    for number in range(image.n_frames):
        image.seek(number)
        frames.append(np.asarray(image.convert("RGB"), dtype=np.float64))
    return np.stack(frames)


def panels(animation: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The movie and the movie under attribution, each averaged back to its own pixels."""
    seen = decoded(animation)
    strip = seen.shape[1] % HEIGHT
    scale = (seen.shape[1] - strip) // HEIGHT
    both = (seen[:, strip:, : scale * WIDTH], seen[:, strip:, -scale * WIDTH :])
    left, right = (each.reshape(len(seen), HEIGHT, scale, WIDTH, scale, 3).mean((2, 4)) for each in both)
    return left, right


def colour(pictures: np.ndarray) -> np.ndarray:
    """How much redder than blue each pixel is."""
    return pictures[..., 0] - pictures[..., 2]


def movie(frames: int) -> np.ndarray:
    pictures = np.linspace(40, 200, WIDTH)[None, None] + np.arange(frames)[:, None, None]
    return np.broadcast_to(pictures, (frames, HEIGHT, WIDTH)).astype(np.uint8)


def test_colour_is_where_the_attribution_is_and_goes_with_it():
    maps = np.zeros((6, HEIGHT, WIDTH))
    for number in range(6):
        maps[number, 10, 8 * number + 4] = 2.0

    left, right = panels(attribution_movie(movie(6), maps, frame_rate=30.0, signed=False))

    for number in range(6):
        brightest = np.unravel_index(colour(right[number]).argmax(), (HEIGHT, WIDTH))
        assert brightest == (10, 8 * number + 4)
    assert np.abs(colour(left)).max() == 0
    untouched = maps == 0
    np.testing.assert_allclose(right[untouched], left[untouched], atol=1)


def test_the_movie_is_the_movie():
    shown = movie(3)
    left, _ = panels(attribution_movie(shown, np.zeros(shown.shape), frame_rate=30.0, signed=False))
    np.testing.assert_allclose(left[..., 0], shown, atol=3)


def test_signs_have_their_own_colours():
    maps = np.zeros((2, HEIGHT, WIDTH))
    maps[:, 5, 5], maps[:, 30, 50] = 1.0, -1.0

    _, right = panels(attribution_movie(movie(2), maps, frame_rate=30.0, signed=True))
    assert (colour(right)[:, 5, 5] > 100).all()
    assert (colour(right)[:, 30, 50] < -60).all()

    _, magnitudes = panels(attribution_movie(movie(2), maps, frame_rate=30.0, signed=False))
    np.testing.assert_allclose(magnitudes[:, 5, 5], magnitudes[:, 30, 50], atol=12)


def test_weak_attribution_is_fainter_than_strong():
    maps = np.zeros((1, HEIGHT, WIDTH))
    maps[0, 5, ::8] = np.arange(8)
    _, right = panels(attribution_movie(np.full((1, HEIGHT, WIDTH), 128, np.uint8), maps, frame_rate=30.0, signed=True))
    assert (np.diff(colour(right)[0, 5, ::8]) > 0).all()


@pytest.mark.parametrize("frame", [0, 20, 47])
def test_a_movie_of_48_frames_stays_small_and_starts_anew(frame: int, noisy: bytes):
    image = Image.open(io.BytesIO(noisy))
    assert len(noisy) < 1_250_000
    assert image.n_frames == 48
    assert image.info["loop"] == 0
    image.seek(frame)
    assert image.info["duration"] == 100  # three times slower than 30 frames per second


@pytest.fixture(scope="module")
def noisy() -> bytes:
    frames = RANDOM.integers(0, 256, (48, HEIGHT, WIDTH)).astype(np.uint8)
    return attribution_movie(frames, RANDOM.normal(size=frames.shape), frame_rate=30.0, signed=True)


def test_all_frames_share_one_palette(noisy: bytes):
    assert sum(local_palettes(noisy)) == 0
    assert len(local_palettes(noisy)) == 48


def local_palettes(animation: bytes) -> list[bool]:
    """Whether each picture of a GIF brings a palette of its own (GIF89a specification, section 20)."""
    place = 13 + 3 * 2 ** ((animation[10] & 7) + 1) * (animation[10] >> 7)
    found = []
    while animation[place] != 0x3B:
        if animation[place] == 0x2C:
            flags = animation[place + 9]
            found.append(bool(flags >> 7))
            place += 11 + (3 * 2 ** ((flags & 7) + 1) if flags >> 7 else 0)
        else:
            place += 2
        while animation[place]:
            place += 1 + animation[place]
        place += 1
    return found


def test_of_a_long_movie_every_second_frame_is_shown_at_the_same_pace():
    frames = movie(100)
    maps = np.zeros((100, HEIGHT, WIDTH))
    maps[50:, 3, 3] = 1.0
    animation = attribution_movie(frames, maps, frame_rate=20.0, signed=False, slower=1.0)
    image = Image.open(io.BytesIO(animation))
    assert image.n_frames == 50
    assert image.info["duration"] == 100
    _, right = panels(animation)
    assert [picture[3, 3] > 50 for picture in colour(right)] == [False] * 25 + [True] * 25


def test_a_large_movie_is_made_smaller_with_maps_of_the_model_s_size():
    frames = np.full((3, 300, 800), 90, np.uint8)
    maps = np.zeros((3, 6, 16))
    maps[:, 1, 2] = 1.0  # a sixteenth of the width, from two sixteenths on
    seen = decoded(attribution_movie(frames, maps, frame_rate=30.0, signed=False))
    assert seen.shape[2] < 2 * 360 + 20
    right = colour(seen[0, -135:, -360:])
    rows, columns = np.nonzero(right > 50)
    assert (columns.min(), columns.max()) == pytest.approx((45, 67), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((22.5, 45), abs=2)


@pytest.mark.parametrize("maps", [np.zeros((4, HEIGHT, WIDTH)), np.full((4, HEIGHT, WIDTH), np.nan)])
@pytest.mark.parametrize("signed", [False, True])
def test_without_attribution_the_movie_stands_alone(maps: np.ndarray, signed: bool):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        left, right = panels(attribution_movie(movie(4), maps, frame_rate=30.0, signed=signed))
    np.testing.assert_array_equal(left, right)


def test_one_frame_and_constant_attribution_can_be_drawn():
    _, right = panels(attribution_movie(movie(1), np.ones((1, HEIGHT, WIDTH)), frame_rate=30.0, signed=False))
    assert (colour(right) > 50).all()


def test_the_file_is_what_is_returned(tmp_path: Path):
    animation = attribution_movie(
        movie(2), np.ones((2, HEIGHT, WIDTH)), frame_rate=30.0, signed=False, path=tmp_path / "movie.gif"
    )
    assert (tmp_path / "movie.gif").read_bytes() == animation


@pytest.mark.parametrize(
    ("frames", "maps"),
    [
        (movie(3), np.zeros((2, HEIGHT, WIDTH))),
        (movie(3)[:0], np.zeros((0, HEIGHT, WIDTH))),
        (movie(3)[0], np.zeros((HEIGHT, WIDTH))),
        (movie(3), np.zeros((3, 0, 0))),
        (movie(3) / 255, np.zeros((3, HEIGHT, WIDTH))),
    ],
    ids=["other number", "none", "one picture", "no pixels", "not uint8"],
)
def test_what_is_no_movie_is_refused(frames: np.ndarray, maps: np.ndarray):
    with pytest.raises(AttributionError, match="expected"):
        attribution_movie(frames, maps, frame_rate=30.0, signed=False)
