from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.movies import ExternalMovie, StimulusFolder, file_name_in, luminance


def film(path: Path, n_frames: int = 24, *, rate: int = 12, height: int = 32, width: int = 48) -> Path:
    """A film whose frame i is grey of brightness 5 i + 20."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.options = {"qscale": "1", "g": "8"}
        for number in range(n_frames):
            pixels = np.full((height, width, 3), 5 * number + 20, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_luminance_weighs_colours() -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    assert luminance(pixels).tolist() == [[76, 150, 29, 255]]
    grey = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(luminance(np.stack([grey] * 3, axis=-1)), grey)


def test_frames_are_read_in_any_order(tmp_path: Path) -> None:
    movie = ExternalMovie("film", film(tmp_path / "film.mp4"))
    assert (movie.n_frames, movie.height, movie.width, movie.origin) == (24, 32, 48, "external")
    np.testing.assert_allclose(movie.frame_times, np.arange(24) / 12, atol=1e-6)
    assert movie.duration == pytest.approx(2.0)
    numbers = np.array([20, 3, 3, 11, 0])
    pixels = movie.read(numbers)
    assert pixels.shape == (5, 32, 48)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.mean(axis=(1, 2)), 5 * numbers + 20, atol=3)
    assert movie.read(np.array([], dtype=np.int64)).shape == (0, 32, 48)


@pytest.mark.parametrize("frame", [-1, 24])
def test_a_frame_that_is_not_there(tmp_path: Path, frame: int) -> None:
    movie = ExternalMovie("film", film(tmp_path / "film.mp4"))
    with pytest.raises(SessionError, match="asked for"):
        movie.read(np.array([frame]))


def test_a_container_without_times_counts_its_frames(tmp_path: Path) -> None:
    movie = ExternalMovie("film", film(tmp_path / "film.avi"))
    assert movie.n_frames == 24
    np.testing.assert_allclose(movie.read(np.array([22, 2])).mean(axis=(1, 2)), [130, 30], atol=3)


def test_a_picture_is_a_movie_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30, 3), (255, 0, 0), dtype=np.uint8)).save(tmp_path / "red.png")
    picture = ExternalMovie("red", tmp_path / "red.png")
    assert (picture.n_frames, picture.height, picture.width) == (1, 20, 30)
    assert np.unique(picture.read(np.array([0]))).tolist() == [76]


def test_what_is_no_movie_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"not a film at all")
    with pytest.raises(SessionError, match="cannot be read as a movie"):
        ExternalMovie("film", tmp_path / "film.mp4")


def test_a_movie_cut_off_is_refused_when_read(tmp_path: Path) -> None:
    movie = ExternalMovie("film", film(tmp_path / "film.avi"))
    whole = movie.path.read_bytes()
    movie.path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(SessionError, match=r"cannot be (decoded|read as a movie)"):
        movie.read(np.array([23]))


@pytest.mark.parametrize(
    ("stated", "name"), [("clips/a.mp4", "a.mp4"), ("C:\\clips\\a.mp4", "a.mp4"), ("a.mp4", "a.mp4"), ("../x/a", "a")]
)
def test_a_name_is_taken_from_any_path(stated: str, name: str) -> None:
    assert file_name_in(stated) == name


def test_a_folder_is_searched_by_name_at_any_depth(tmp_path: Path) -> None:
    for name in ("deep/er/NB_1.MP4", "b/clip.avi", "a/clip.mp4", "notes.txt"):
        path = tmp_path / "movies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = StimulusFolder(tmp_path / "movies", tmp_path / "a.nwb")
    found = {
        stated: [path.relative_to(tmp_path / "movies").as_posix() for path in folder.find(stated)]
        for stated in ("x/NB_1.mp4", "clip", "clip.avi", "clip.mkv", "notes.txt", "")
    }
    assert found == {
        "x/NB_1.mp4": ["deep/er/NB_1.MP4"],
        "clip": ["a/clip.mp4", "b/clip.avi"],
        "clip.avi": ["b/clip.avi"],
        "clip.mkv": [],
        "notes.txt": [],
        "": [],
    }
    assert str(tmp_path / "movies") in folder.where()


def test_of_files_of_one_name_the_least_deep_and_most_alike_comes_first(tmp_path: Path) -> None:
    for name in ("a/b/clip.mp4", "z/clip.mp4", "CLIP.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = StimulusFolder(tmp_path, None)
    found = [path.relative_to(tmp_path).as_posix() for path in folder.find("clip.mp4")]
    assert found[:2] == ["z/clip.mp4", "a/b/clip.mp4"]
    assert len(folder.find("Clip.mp4")) == 3


def test_without_a_folder_only_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "here.mp4").touch()
    folder = StimulusFolder(None, tmp_path / "a.nwb")
    assert folder.find("somewhere/else/here.mp4") == [tmp_path / "here.mp4"]
    assert folder.find("gone.mp4") == []
    assert folder.where() == "beside the NWB file"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no such folder"):
        StimulusFolder(tmp_path / "movies", tmp_path / "a.nwb")


def test_one_or_two_channels_are_grey() -> None:
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    assert luminance(pixels).tolist() == [[0, 2], [4, 6]]
    assert luminance(pixels[..., 1:]).tolist() == [[1, 3], [5, 7]]


def test_a_name_too_long_for_a_file_is_not_found(tmp_path: Path) -> None:
    assert StimulusFolder(None, tmp_path / "a.nwb").find("x" * 300 + ".mp4") == []
