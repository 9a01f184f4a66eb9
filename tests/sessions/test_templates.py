from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb.base import Images
from pynwb.image import GrayscaleImage, ImageSeries, RGBImage

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions import Session, read_session
from nwb_mivae.sessions.templates import Excerpt
from tests.nwb_files import add_images, add_movie, add_table, new_file, pixels_of, write
from tests.sessions.test_movies import film


def template_of(tmp_path: Path, pixels: Any) -> Any:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels)
    session = read_session(write(nwbfile, tmp_path / "a.nwb"))
    return session.templates["film"]


def test_bytes_are_taken_as_they_are(tmp_path: Path) -> None:
    template = template_of(tmp_path, pixels_of(30))
    assert (template.n_frames, template.height, template.width, template.origin) == (30, 6, 8, "file")
    for numbers in ([3, 3, 1], [0, 29], list(range(5, 20)), []):
        found = template.read(np.array(numbers, dtype=np.int64))
        assert found.shape == (len(numbers), 6, 8)
        assert found[:, 0, 0].tolist() == numbers


@pytest.mark.parametrize("frame", [-1, 30])
def test_a_frame_that_is_not_there(tmp_path: Path, frame: int) -> None:
    with pytest.raises(SessionError, match="asked for"):
        template_of(tmp_path, pixels_of(30)).read(np.array([frame]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255]),
        (np.array([0.0, 100.4, 255.0]), [0, 100, 255]),
        (np.array([0, 7, 200], dtype=np.uint16), [0, 7, 200]),
    ],
)
def test_other_numbers_are_scaled_by_their_range(tmp_path: Path, values: Any, expected: list[int]) -> None:
    pixels = np.broadcast_to(values[:, None, None], (3, 4, 5))
    assert template_of(tmp_path, pixels).read(np.arange(3))[:, 0, 0].tolist() == expected


@pytest.mark.parametrize("values", [[0.0, 5000.0, 1.0], [-3.0, 0.0, 0.0]])
def test_a_range_nobody_knows_is_refused(tmp_path: Path, values: list[float]) -> None:
    pixels = np.broadcast_to(np.array(values)[:, None, None], (3, 4, 5))
    with pytest.raises(SessionError, match="pixels from"):
        template_of(tmp_path, pixels).read(np.arange(3))


def test_pixels_beyond_the_sampled_range_are_refused(tmp_path: Path) -> None:
    pixels = np.zeros((9, 4, 5))
    pixels[2] = 77.0
    template = template_of(tmp_path, pixels)
    assert template.read(np.array([0])).max() == 0
    with pytest.raises(SessionError, match="beyond the range"):
        template.read(np.array([2]))


def test_colour_becomes_luminance(tmp_path: Path) -> None:
    pixels = np.zeros((3, 4, 5, 3), dtype=np.uint8)
    pixels[..., 1] = 255
    assert np.unique(template_of(tmp_path, pixels).read(np.arange(3))).tolist() == [150]


def test_pictures_are_counted_by_the_number_in_their_names(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "scenes", pixels_of(12))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        template = session.templates["scenes"]
        assert template.read(np.arange(12))[:, 0, 0].tolist() == list(range(12))
        assert template.read(np.array([11, 2, 2]))[:, 0, 0].tolist() == [11, 2, 2]


def test_pictures_without_numbers_keep_the_files_order_and_colour(tmp_path: Path) -> None:
    nwbfile = new_file()
    grey, red = np.full((4, 5), 9, np.uint8), np.zeros((4, 5, 3), np.uint8)
    red[..., 0] = 255
    images = [GrayscaleImage(name="a", data=grey), GrayscaleImage(name="b", data=grey + 1)]
    nwbfile.add_stimulus_template(Images(name="plain", description="x", images=images))
    nwbfile.add_stimulus_template(Images(name="red", description="x", images=[RGBImage(name="r", data=red)]))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.templates["plain"].read(np.arange(2))[:, 0, 0].tolist() == [9, 10]
        assert session.templates["red"].read(np.arange(1))[0, 0, 0] == 76


def test_an_order_of_their_own_comes_first(tmp_path: Path) -> None:
    from pynwb.base import ImageReferences

    nwbfile = new_file()
    images = [GrayscaleImage(name=f"p{number}", data=np.full((4, 5), number, np.uint8)) for number in range(3)]
    order = ImageReferences(name="order_of_images", data=[images[2], images[0], images[1]])
    nwbfile.add_stimulus_template(Images(name="set", description="x", images=images, order_of_images=order))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.templates["set"].read(np.arange(3))[:, 0, 0].tolist() == [2, 0, 1]


def test_pictures_of_several_sizes_are_missing_with_the_reason(tmp_path: Path) -> None:
    nwbfile = new_file()
    images = [GrayscaleImage(name=f"p{size}", data=np.zeros((size, 5), np.uint8)) for size in (3, 4)]
    nwbfile.add_stimulus_template(Images(name="set", description="x", images=images))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.missing_templates == {"set": "2 pictures of 2 sizes"}
        assert session.templates == {}


@pytest.mark.parametrize("make", [add_movie, add_images])
def test_a_closed_session_says_so(tmp_path: Path, make: Any) -> None:
    nwbfile = new_file()
    make(nwbfile, "film", pixels_of(3))
    session: Session = read_session(write(nwbfile, tmp_path / "a.nwb"))
    session.close()
    with pytest.raises(SessionError, match="cannot be read"):
        session.templates["film"].read(np.arange(3))


def test_a_dummy_beside_external_files_is_not_taken_for_pixels(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_stimulus_template(
        ImageSeries(
            name="clips",
            external_file=["one.mp4"],
            format="external",
            timestamps=[0.0],
            unit="n.a.",
            starting_frame=[0],
        )
    )
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        group = file["stimulus/templates/clips"]
        attributes = dict(group["data"].attrs)
        del group["data"]
        group["data"] = np.ones((2, 2, 2))
        group["data"].attrs.update(attributes)
    with read_session(path) as session:
        assert session.templates == {}
        assert session.missing_templates == {"one.mp4": "no file one.mp4 beside the NWB file"}


def test_two_templates_of_one_name_keep_apart(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(3))
    nwbfile.add_stimulus(
        ImageSeries(name="film", data=pixels_of(4, first=50), unit="n.a.", format="raw", rate=10.0, starting_time=1.0)
    )
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert {name: item.n_frames for name, item in session.templates.items()} == {
            "film": 3,
            "stimulus/presentation/film": 4,
        }
        assert session.presentations["template"].unique().tolist() == ["stimulus/presentation/film"]


def test_a_file_that_is_no_movie_is_missing_with_the_reason(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_stimulus_template(
        ImageSeries(
            name="clips",
            external_file=["x/one.mp4"],
            format="external",
            timestamps=[0.0],
            unit="n.a.",
            starting_frame=[0],
        )
    )
    (tmp_path / "movies").mkdir()
    (tmp_path / "movies" / "one.mp4").write_bytes(b"no film")
    with read_session(write(nwbfile, tmp_path / "a.nwb"), stimulus_folder=tmp_path / "movies") as session:
        assert "cannot be read as a movie" in session.missing_templates["one.mp4"]


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [("scene", ""), ("", ".tiff"), ("im_2017_", "_warped"), ("set2 picture ", " of 118"), ("x", "y")],
)
def test_pictures_are_counted_whatever_stands_around_their_numbers(tmp_path: Path, prefix: str, suffix: str) -> None:
    nwbfile = new_file()
    images = [
        GrayscaleImage(name=f"{prefix}{number}{suffix}", data=np.full((4, 5), number, np.uint8))
        for number in range(120)
    ]
    nwbfile.add_stimulus_template(Images(name="set", description="x", images=images[::-1]))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.templates["set"].read(np.arange(120))[:, 0, 0].tolist() == list(range(120))


def test_pictures_without_numbers_are_counted_as_a_guess(tmp_path: Path) -> None:
    nwbfile = new_file()
    images = [GrayscaleImage(name=name, data=np.full((4, 5), 9, np.uint8)) for name in ("cat", "dog")]
    nwbfile.add_stimulus_template(Images(name="set", description="x", images=images))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert any("without numbers in their names" in finding.message for finding in session.findings)


def with_bits(path: Path, bits: int | None) -> Path:
    """A file whose film states its bit depth, which pynwb only reads."""
    if bits is not None:
        with h5py.File(path, "r+") as file:
            file["stimulus/templates/film"]["bits_per_pixel"] = np.int32(bits)
    return path


@pytest.mark.parametrize(
    ("values", "bits", "expected", "guessed"),
    [
        ([0, 4095, 2048], 12, [0, 255, 128], None),
        ([0, 4095, 2048], None, [0, 255, 128], "taken as 0 to 4095"),
        ([0, 65535, 32768], None, [0, 255, 128], "taken as 0 to 65535"),
        ([0, 1, 1], None, [0, 255, 255], "taken as 0 to 1"),
        ([0, 1023, 512], 10, [0, 255, 128], None),
    ],
)
def test_deeper_pixels_are_scaled_by_their_bit_depth(
    tmp_path: Path, values: list[int], bits: int | None, expected: list[int], guessed: str | None
) -> None:
    nwbfile = new_file()
    pixels = np.broadcast_to(np.array(values, dtype=np.uint16)[:, None, None], (3, 4, 5))
    add_movie(nwbfile, "film", pixels)
    with read_session(with_bits(write(nwbfile, tmp_path / "a.nwb"), bits)) as session:
        assert session.templates["film"].read(np.arange(3))[:, 0, 0].tolist() == expected
        guesses = [finding.message for finding in session.findings if finding.level == "guess"]
    assert any(guessed in message for message in guesses) if guessed else not guesses


def test_pixels_beyond_the_stated_bit_depth_are_refused_with_a_remedy(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", np.full((3, 4, 5), 5000, dtype=np.uint16))
    with (
        read_session(with_bits(write(nwbfile, tmp_path / "a.nwb"), 12)) as session,
        pytest.raises(SessionError, match="beyond the range") as caught,
    ):
        session.templates["film"].read(np.arange(3))
    assert "uint8" in (caught.value.remedy or "")


def test_bytes_of_0_and_1_are_black_and_white(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5) % 2)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert set(np.unique(session.templates["film"].read(np.arange(3)))) == {0, 255}
        assert any("0 and 1 only were stretched" in finding.message for finding in session.findings)


def test_a_dark_beginning_is_not_taken_for_black_and_white(tmp_path: Path) -> None:
    pixels = np.zeros((9, 4, 5), dtype=np.uint8)
    pixels[1:] = np.arange(1, 9)[:, None, None]
    template = template_of(tmp_path, pixels)
    assert template.read(np.array([0, 1]))[:, 0, 0].tolist() == [0, 1]
    assert template.read(np.array([8]))[0, 0, 0] == 8


def test_a_black_movie_stays_black_until_something_is_seen(tmp_path: Path) -> None:
    pixels = np.zeros((9, 4, 5), dtype=np.uint8)
    pixels[3] = 200
    template = template_of(tmp_path, pixels)
    assert template.read(np.array([0])).max() == 0
    assert template.read(np.array([3])).max() == 200


def test_a_name_that_is_written_otherwise_is_a_guess(tmp_path: Path) -> None:
    for stated, guessed in (("film_1", False), ("film_1_presentations", False), ("Film 1", True)):
        nwbfile = new_file()
        add_movie(nwbfile, "film_1_template", pixels_of(3))
        add_table(nwbfile, "shown", start_time=[0.0], stop_time=[0.04], stimulus_name=[stated], frame=[1])
        with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
            assert session.presentations["template"].tolist() == ["film_1_template"]
            assert any("written otherwise" in item.message for item in session.findings) == guessed


def test_clips_whose_digits_run_together_are_two(tmp_path: Path) -> None:
    nwbfile = new_file()
    for first, name in enumerate(("clip1_0", "clip10")):
        add_movie(nwbfile, name, pixels_of(3, first=10 * first))
    columns = {"stimulus_name": ["clip10_presentations", "clip1_0_presentations"], "frame": [0, 0]}
    add_table(nwbfile, "shown", start_time=[0.0, 0.04], stop_time=[0.04, 0.08], **columns)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.presentations["template"].tolist() == ["clip10", "clip1_0"]


def test_an_excerpt_counts_from_its_own_beginning(tmp_path: Path) -> None:
    whole = template_of(tmp_path, pixels_of(30))
    excerpt = Excerpt("part", whole, 10, 5)
    assert excerpt.read(np.array([4, 0]))[:, 0, 0].tolist() == [14, 10]
    assert (excerpt.n_frames, excerpt.height, excerpt.width, excerpt.origin) == (5, 6, 8, "file")
    with pytest.raises(SessionError, match="asked for"):
        excerpt.read(np.array([5]))


def shown_as(nwbfile: Any, name: str, tmp_path: Path, **more: Any) -> Session:
    onset = np.arange(4) / 30
    add_table(nwbfile, f"{name}_presentations", start_time=onset, stop_time=onset + 1 / 30, frame=[0, 1, 2, 3])
    with read_session(write(nwbfile, tmp_path / "a.nwb"), **more) as session:
        return session


def test_a_name_that_differs_by_a_word_many_have_is_a_guess(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "flower_fwd", pixels_of(4))
    add_movie(nwbfile, "worms_fwd", pixels_of(4))
    session = shown_as(nwbfile, "movie_flower_fwd", tmp_path)
    assert set(session.presentations["template"]) == {"flower_fwd"}
    guess = "'movie_flower_fwd_presentations' is taken for the template 'flower_fwd', whose name is like it"
    assert guess in [finding.message for finding in session.findings if finding.level == "guess"]


def test_where_two_names_differ_by_such_a_word_none_is_taken(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "natural_flower", pixels_of(4))
    add_movie(nwbfile, "flower", pixels_of(4, first=9))
    session = shown_as(nwbfile, "movie_flower", tmp_path)
    assert list(session.missing_templates) == ["movie_flower_presentations"]
    warnings = [finding.message for finding in session.findings if finding.level == "warning"]
    assert any("may be any of the templates" in message for message in warnings)


@pytest.mark.parametrize(
    ("template", "stated"), [("natural_movie", "movie"), ("film_1", "movie_1"), ("two", "movie_one")]
)
def test_words_that_many_names_have_say_nothing_by_themselves(tmp_path: Path, template: str, stated: str) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, template, pixels_of(4))
    assert list(shown_as(nwbfile, stated, tmp_path).missing_templates) == [f"{stated}_presentations"]


def test_a_file_of_the_whole_name_comes_before_a_template_like_it(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "flower", pixels_of(4))
    film(tmp_path / "movie_flower.mp4", 4)
    session = shown_as(nwbfile, "movie_flower", tmp_path, stimulus_folder=tmp_path)
    assert session.templates[session.presentations["template"][0]].n_frames == 4
    assert "flower" not in set(session.presentations["template"])


def test_which_of_several_files_of_one_name_was_taken_is_said(tmp_path: Path) -> None:
    for folder in ("movies/old/worse", "movies/new"):
        (tmp_path / folder).mkdir(parents=True)
        film(tmp_path / folder / "flower.mp4", 4)
    session = shown_as(new_file(), "flower", tmp_path, stimulus_folder=tmp_path / "movies")
    assert session.missing_templates == {}
    (said,) = [finding.message for finding in session.findings if "2 files may be" in finding.message]
    assert said.endswith(": new/flower.mp4 was taken, not old/worse/flower.mp4")


def test_of_templates_with_one_stem_the_one_written_alike_is_taken(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "Movie_1", pixels_of(3, first=100))
    add_movie(nwbfile, "movie1", pixels_of(3))
    add_table(nwbfile, "movie1_presentations", start_time=[0.0, 0.1], stop_time=[0.1, 0.2], frame=[0, 1])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.presentations["template"].tolist() == ["movie1"] * 2
