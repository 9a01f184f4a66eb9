"""Drawn stimuli measured with a ruler of our own: frequency, direction, contrast, place and size of what is shown.

Nothing here calls the code under test to say what to expect, but for the one test that compares coarse pixels with the
mean of fine ones.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.conventions import Conventions, load_conventions
from nwb_mivae.sessions.parameters import standard_parameters
from nwb_mivae.sessions.rendering import completed_parameters, drawable, moves, rendered_template
from nwb_mivae.sessions.screen import Screen

#: One degree a pixel, so that a frequency in cycles per degree is one in cycles per pixel.
PLAIN = Screen(width_pixels=128, height_pixels=100, width_degrees=128.0, height_degrees=100.0)
GREY = 127


def drawn(kind: Any, screen: Screen = PLAIN, **condition: Any) -> np.ndarray:
    """One standing condition as luminance, (height, width)."""
    return rendered_template("drawn", [condition], screen=screen, kind=kind).read(np.array([0]))[0].astype(float)


def grating(screen: Screen = PLAIN, **condition: Any) -> np.ndarray:
    return drawn("grating", screen, **{"orientation": 0.0, "spatial_frequency": 0.0625, **condition})


def moving(seconds: float, rate: float = 30.0, kind: Any = "grating", **condition: Any) -> np.ndarray:
    template = rendered_template(
        "moving",
        [{"orientation": 0.0, "spatial_frequency": 0.0625, **condition}],
        screen=PLAIN,
        kind=kind,
        duration=seconds,
        rate=rate,
    )
    return template.read(np.arange(template.n_frames)).astype(float)


def wave_vector(picture: np.ndarray) -> tuple[float, float]:
    """Cycles per pixel to the right and upwards of the strongest wave, by the peak of a padded, windowed spectrum.

    Of the two directions a wave has, the one that points to the right (or straight down).
    """
    height, width = picture.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((picture - picture.mean()) * window, s=(1024, 1024)))
    power[:, 513:] = 0
    power[513:, 0] = 0
    row, column = np.unravel_index(np.argmax(power), power.shape)
    return float(np.fft.fftfreq(1024)[column]), -float(np.fft.fftfreq(1024)[row])


def psychopy(
    x: float, y: float, *, orientation: float, frequency: float, phase: float, centre: tuple[float, float]
) -> float:
    """-1 to 1 at a point, the way PsychoPy's ``GratingStim`` puts its texture ``"sin"`` on the screen.

    ``visual/grating.py`` (``_updateListShaders``): the texture coordinate of the middle is 0.5 minus the phase.
    ``visual/basevisual.py``: corners are row vectors times ``[[cos, -sin], [sin, cos]]``. ``_createTexture``: one
    period of ``sin(t - pi / 2)``, t from 0 to 2 pi.
    """
    angle = math.radians(orientation)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    along, _ = np.array([x - centre[0], y - centre[1]]) @ rotation.T
    coordinate = along * frequency - phase + 0.5
    return math.sin(2 * math.pi * (coordinate % 1.0) - math.pi / 2)


# --- gratings that stand ---


@given(st.floats(0.02, 0.3), st.floats(0.0, 360.0))
@settings(max_examples=40, deadline=None)
def test_a_grating_has_its_spatial_frequency(frequency: float, orientation: float) -> None:
    right, up = wave_vector(grating(spatial_frequency=frequency, orientation=orientation))
    assert math.hypot(right, up) == pytest.approx(frequency, abs=0.0025)


def test_cycles_are_counted_in_degrees_and_not_in_pixels() -> None:
    stretched = Screen(width_pixels=64, height_pixels=100, width_degrees=128.0, height_degrees=25.0)
    across, _ = wave_vector(grating(stretched, spatial_frequency=0.125))
    _, down = wave_vector(grating(stretched, spatial_frequency=0.125, orientation=90.0))
    assert across == pytest.approx(0.125 * 2.0, abs=0.002)
    assert abs(down) == pytest.approx(0.125 * 0.25, abs=0.002)


@given(st.floats(0.0, 180.0))
@settings(max_examples=40, deadline=None)
def test_bars_are_like_the_hand_of_a_clock(orientation: float) -> None:
    picture = grating(orientation=orientation, spatial_frequency=0.1)
    down, right = np.gradient(picture)
    inside = (slice(10, -10), slice(10, -10))
    tensor = np.array(
        [
            [np.mean(right[inside] ** 2), np.mean(-right[inside] * down[inside])],
            [np.mean(-right[inside] * down[inside]), np.mean(down[inside] ** 2)],
        ]
    )
    _, directions = np.linalg.eigh(tensor)
    bar = directions[:, 0]  # along the bars luminance changes least
    hand = np.array([math.sin(math.radians(orientation)), math.cos(math.radians(orientation))])
    assert abs(float(bar @ hand)) > math.cos(math.radians(2.0))


@given(st.floats(0.0, 360.0), st.floats(0.0, 0.1), st.floats(0.0, 1.0), st.floats(-20.0, 20.0), st.floats(-20.0, 20.0))
@settings(max_examples=60, deadline=None)
def test_each_point_is_what_psychopy_shows_there(
    orientation: float, frequency: float, phase: float, x: float, y: float
) -> None:
    sharp = Screen(width_pixels=41, height_pixels=31, width_degrees=4.1, height_degrees=3.1)
    picture = drawn(
        "grating",
        sharp,
        orientation=orientation,
        spatial_frequency=frequency,
        phase=phase,
        x_position=x,
        y_position=y,
    )
    for row, column in ((15, 20), (0, 0), (30, 5), (3, 40)):
        at = (column - 20) * 0.1, (15 - row) * 0.1
        shown = psychopy(*at, orientation=orientation, frequency=frequency, phase=phase, centre=(x, y))
        assert picture[row, column] == pytest.approx(GREY + 127 * shown, abs=1.5)


def test_phase_zero_is_brightest_in_the_middle_and_half_a_cycle_darkest() -> None:
    assert grating(phase=0.0, orientation=30.0)[49:51, 63:65].min() > 240
    assert grating(phase=0.5, orientation=30.0)[49:51, 63:65].max() < 14


@given(st.floats(0.05, 1.0), st.floats(0.0, 1.0), st.integers(1, 12), st.booleans())
@settings(max_examples=40, deadline=None)
def test_whole_cycles_have_their_contrast_around_grey(
    contrast: float, phase: float, cycles: int, upright: bool
) -> None:
    frequency = cycles / (128.0 if upright else 100.0)
    picture = grating(spatial_frequency=frequency, orientation=0.0 if upright else 90.0, contrast=contrast, phase=phase)
    assert picture.mean() == pytest.approx(GREY, abs=0.3)
    # A sine's root mean square is its amplitude over root two; a pixel is the mean over its length.
    amplitude = math.sqrt(2.0) * (picture - picture.mean()).std()
    assert amplitude / GREY == pytest.approx(contrast * np.sinc(frequency), abs=0.01)


def test_a_grey_of_ones_own_is_the_mean_and_limits_the_contrast() -> None:
    dark = PLAIN.model_copy(update={"mean_luminance": 60.0})
    picture = grating(dark)
    assert picture.mean() == pytest.approx(60.0, abs=0.5)
    assert picture.max() <= 120


@pytest.mark.parametrize("frequency", [1.0, 2.0, 5.0])
def test_whole_cycles_within_a_pixel_are_grey(frequency: float) -> None:
    assert (grating(spatial_frequency=frequency) == GREY).all()


@given(st.floats(0.5, 20.0), st.floats(0.0, 90.0))
@settings(max_examples=40, deadline=None)
def test_what_is_finer_than_the_pixels_fades_and_does_not_alias(frequency: float, orientation: float) -> None:
    picture = grating(spatial_frequency=frequency, orientation=orientation)
    across, down = frequency * math.cos(math.radians(orientation)), frequency * math.sin(math.radians(orientation))
    left_over = abs(float(np.sinc(across) * np.sinc(down)))
    assert np.abs(picture - GREY).max() <= 127 * left_over + 1.0


# --- gratings that move ---


@pytest.mark.parametrize(
    ("orientation", "axis", "towards"), [(0.0, 1, 1), (90.0, 0, 1), (180.0, 1, -1), (270.0, 0, -1)]
)
def test_a_grating_drifts_to_the_right_at_zero_and_downwards_at_ninety(
    orientation: float, axis: int, towards: int
) -> None:
    size = (PLAIN.height_pixels, PLAIN.width_pixels)[axis]
    frames = moving(1.0, orientation=orientation, spatial_frequency=8 / size, temporal_frequency=1.875)
    # At 1.875 Hz and 30 frames a second a cycle takes 16 frames; rows count downwards, columns to the right.
    phase = np.angle(np.fft.rfft(frames.mean(axis=2 - axis), axis=1)[:, 8])
    cycles_per_second = -np.polyfit(np.arange(len(frames)) / 30.0, np.unwrap(phase), 1)[0] / (2 * math.pi)
    assert cycles_per_second == pytest.approx(towards * 1.875, rel=1e-3)
    np.testing.assert_allclose(frames[16], frames[0], atol=1.0)


@given(st.floats(0.0, 360.0), st.floats(0.5, 12.0), st.integers(1, 25))
@settings(max_examples=30, deadline=None)
def test_frames_move_along_the_orientation_at_speed(orientation: float, frequency: float, frame: int) -> None:
    frames = moving(1.0, orientation=orientation, spatial_frequency=0.05, temporal_frequency=frequency, phase=0.3)
    # Moved back by how far it has come (speed = temporal over spatial frequency) it is the first frame again.
    far = frequency / 0.05 * frame / 30.0
    angle = math.radians(orientation)
    back = grating(
        orientation=orientation,
        spatial_frequency=0.05,
        phase=0.3,
        x_position=far * math.cos(angle),
        y_position=-far * math.sin(angle),
    )
    np.testing.assert_allclose(frames[frame], back, atol=1.0)


def test_a_moving_condition_lasts_as_many_frames_as_it_was_shown() -> None:
    assert len(moving(2.0, temporal_frequency=1.0)) == 60
    assert len(moving(2.001, temporal_frequency=1.0)) == 61
    assert len(moving(2.0000001, temporal_frequency=1.0)) == 60
    assert len(moving(0.25, 60.0, temporal_frequency=4.0)) == 15


def test_a_grating_that_moves_stands_where_it_stood_before_it_moved() -> None:
    np.testing.assert_array_equal(moving(0.1, temporal_frequency=3.0, phase=0.2)[0], grating(phase=0.2))


# --- patches ---


@given(st.floats(-35.0, 35.0), st.floats(-25.0, 25.0), st.floats(24.0, 45.0), st.floats(0.0, 180.0))
@settings(max_examples=30, deadline=None)
def test_a_gabor_is_where_and_as_large_as_it_is_said_to_be(x: float, y: float, size: float, orientation: float) -> None:
    picture = drawn(
        "gabor", mask="gauss", orientation=orientation, spatial_frequency=0.2, x_position=x, y_position=y, size=size
    )
    energy = (picture - GREY) ** 2
    right, up = np.arange(128) - 63.5, 49.5 - np.arange(100)
    across, down = energy.sum(axis=0) / energy.sum(), energy.sum(axis=1) / energy.sum()
    centre = float(across @ right), float(down @ up)
    assert centre == (pytest.approx(x, abs=0.5), pytest.approx(y, abs=0.5))
    # The square of a Gaussian is narrower by root two; its standard deviation is a sixth of PsychoPy's size.
    spread = math.sqrt(float(across @ (right - x) ** 2)), math.sqrt(float(down @ (up - y) ** 2))
    expected = size / 6 / math.sqrt(2)
    assert spread == (pytest.approx(expected, rel=0.06), pytest.approx(expected, rel=0.06))
    outside = np.hypot(right[None, :] - x, up[:, None] - y) > size / 2 * math.sqrt(2) + 1
    assert (picture[outside] == GREY).all()


def test_a_disc_has_its_diameter_and_a_hard_edge() -> None:
    picture = drawn(
        "gabor",
        mask="circle",
        orientation=0.0,
        spatial_frequency=0.0,
        x_position=10.0,
        y_position=-5.0,
        size=20.0,
        contrast=0.8,
    )
    # A frequency of zero is uniform: the lit area is the disc's.
    lit = (picture - GREY) / (127 * 0.8)
    assert lit.sum() == pytest.approx(math.pi * 100.0, rel=0.005)
    distance = np.hypot(np.arange(128) - 63.5 - 10.0, (49.5 - np.arange(100))[:, None] + 5.0)
    assert lit[distance < 9.0].min() > 0.99
    assert (picture[distance > 11.0] == GREY).all()


def test_a_grating_in_a_window_turns_with_it() -> None:
    window = drawn("grating", orientation=30.0, spatial_frequency=0.0, size=[40.0, 10.0])
    right, up = np.arange(128) - 63.5, (49.5 - np.arange(100))[:, None]
    # Its 40 degrees lie along the drift, 30 degrees clockwise of rightwards.
    along = right * math.cos(math.pi / 6) - up * math.sin(math.pi / 6)
    beside = right * math.sin(math.pi / 6) + up * math.cos(math.pi / 6)
    assert (window[(np.abs(along) < 18) & (np.abs(beside) < 3)] == 254).all()
    assert (window[(np.abs(along) > 22) | (np.abs(beside) > 7)] == GREY).all()


def test_many_patches_are_drawn_at_once_each_with_its_own_values() -> None:
    several = {
        "x_position": [-40.0, 0.0, 40.0],
        "y_position": [20.0, 0.0, -20.0],
        "size": [24.0, 30.0, 36.0],
        "orientation": [0.0, 45.0, 90.0],
        "spatial_frequency": 0.1,
        "mask": "gauss",
    }
    together = drawn("gabors", **several)
    alone = [
        drawn("gabor", **{name: value[i] if isinstance(value, list) else value for name, value in several.items()})
        for i in range(3)
    ]
    np.testing.assert_allclose(together - GREY, sum(picture - GREY for picture in alone), atol=1.0)


def test_a_later_patch_hides_what_lies_under_it() -> None:
    below = {"orientation": [0.0, 90.0], "spatial_frequency": 0.1, "size": [40.0, 20.0], "mask": "circle"}
    both = drawn("gabors", x_position=[0.0, 0.0], y_position=[0.0, 0.0], **below)
    upper = drawn(
        "gabor", x_position=0.0, y_position=0.0, orientation=90.0, spatial_frequency=0.1, size=20.0, mask="circle"
    )
    inside = np.hypot(np.arange(128) - 63.5, (49.5 - np.arange(100))[:, None]) < 9.0
    np.testing.assert_array_equal(both[inside], upper[inside])


def test_patches_beyond_the_screen_leave_no_trace() -> None:
    assert (
        drawn(
            "gabors",
            orientation=0.0,
            spatial_frequency=0.1,
            x_position=[-300.0, 0.0, 0.0],
            y_position=[0.0, 200.0, 0.0],
            size=[20.0, 20.0, 0.0],
            mask="gauss",
        )
        == GREY
    ).all()


# --- sparse noise and flashes ---


def test_spots_of_sparse_noise_have_their_squares_and_colours() -> None:
    picture = drawn("spot", x_position=[-20.0, 20.5], y_position=[10.0, -10.0], colour=[1.0, -1.0], size=8.0)
    assert (picture[36:44, 40:48] == 255).all()
    assert (picture[56:64, 81:88] == 0).all()
    assert picture[60, 80] == pytest.approx(GREY / 2, abs=1)  # half of this pixel is in the square
    lit = np.clip(picture - GREY, 0, None).sum() / (255 - GREY)
    assert lit == pytest.approx(64.0, rel=1e-6)
    assert picture[0, 0] == GREY


@pytest.mark.parametrize(
    ("colour", "contrast", "luminance"),
    [(1.0, 1.0, 255), (-1.0, 1.0, 0), (0.0, 1.0, 127), (1.0, 0.8, 229), (-1.0, 0.8, 25)],
)
def test_a_flash_is_uniform_in_its_colour(colour: float, contrast: float, luminance: int) -> None:
    assert (drawn("flash", colour=colour, contrast=contrast) == luminance).all()


# --- any of them ---

AT = {"x_position": 3.3, "y_position": -7.1}
CONDITIONS: list[tuple[Any, dict[str, Any]]] = [
    ("grating", {"orientation": 33.0, "spatial_frequency": 0.31}),
    ("grating", {"orientation": 120.0, "spatial_frequency": 0.08, "size": 30.0}),
    ("gabor", {"orientation": 20.0, "spatial_frequency": 0.3, **AT, "size": 20.0, "mask": "gauss"}),
    ("gabor", {"orientation": 70.0, "spatial_frequency": 0.2, **AT, "size": [20.0, 33.0], "mask": "gauss"}),
    ("gabor", {"orientation": 45.0, "spatial_frequency": 0.08, **AT, "size": 20.0, "mask": "circle"}),
    ("spot", {"x_position": [1.3, -20.0], "y_position": [0.2, 3.0], "colour": [1.0, -0.5], "size": 9.3}),
]


@pytest.mark.parametrize(("kind", "condition"), CONDITIONS)
@pytest.mark.parametrize("geometry", ["spherical", "flat"])
def test_a_pixel_is_the_mean_of_the_finer_pixels_in_it(kind: Any, condition: dict[str, Any], geometry: Any) -> None:
    coarse = Screen(width_pixels=64, height_pixels=36, geometry=geometry)
    fine = Screen(width_pixels=64 * 12, height_pixels=36 * 12, geometry=geometry)
    mean = drawn(kind, fine, **condition).reshape(36, 12, 64, 12).mean(axis=(1, 3))
    np.testing.assert_allclose(drawn(kind, coarse, **condition), mean, atol=2.0)


@pytest.mark.parametrize(("geometry", "cycles"), [("spherical", 120.0), ("flat", 198.5)])
def test_the_geometry_says_how_many_cycles_the_monitor_holds(geometry: Any, cycles: float) -> None:
    screen = Screen(geometry=geometry, width_cm=52.0, distance_cm=15.0, width_pixels=512)
    across, _ = wave_vector(drawn("grating", screen, orientation=0.0, spatial_frequency=0.04)[:, :512])
    assert across * 512 == pytest.approx(0.04 * cycles, abs=0.3)


def local_frequency(picture: np.ndarray, visual_angle: np.ndarray, near: float) -> float:
    """Cycles per degree of visual angle around one: where luminance passes grey, upwards and downwards."""
    line = picture[0] - GREY
    passes = np.flatnonzero(np.sign(line[:-1]) != np.sign(line[1:]))
    angles = visual_angle[passes] + (visual_angle[passes + 1] - visual_angle[passes]) * (
        line[passes] / (line[passes] - line[passes + 1])
    )
    closest = np.argsort(np.abs((angles[1:] + angles[:-1]) / 2 - near))[0]
    return float(0.5 / (angles[closest + 1] - angles[closest]))


def test_only_an_uncorrected_grating_gets_finer_towards_the_edge_of_the_eye() -> None:
    settings_ = {"width_pixels": 4096, "height_pixels": 4, "width_cm": 51.0, "distance_cm": 15.0, "height_cm": 0.1}
    for geometry, expected in (("spherical", (0.08, 0.08)), ("flat", (0.08, 0.08 / math.cos(math.radians(50.0)) ** 2))):
        screen = Screen(geometry=geometry, **settings_)  # type: ignore[arg-type]
        half = 0.5 - (np.arange(4096) + 0.5) / 4096
        if geometry == "flat":
            angle = np.rad2deg(np.arctan(-half * 51.0 / 15.0))  # pixels of the picture are centimetres
        else:
            angle = -half * 2 * np.rad2deg(np.arctan(25.5 / 15.0))  # pixels of the picture are angles
        picture = drawn("grating", screen, orientation=0.0, spatial_frequency=0.08)
        assert local_frequency(picture, angle, 0.0) == pytest.approx(expected[0], rel=0.02)
        assert local_frequency(picture, angle, 50.0) == pytest.approx(expected[1], rel=0.05)


@given(st.lists(st.integers(0, 4), max_size=12))
@settings(max_examples=20, deadline=None)
def test_equal_conditions_have_equal_pixels_in_any_order_of_reading(order: list[int]) -> None:
    conditions = [{"orientation": 36.0 * (i % 4), "spatial_frequency": 0.05} for i in range(5)]
    template = rendered_template("g", conditions, screen=PLAIN, kind="grating")
    again = rendered_template("other", conditions[::-1], screen=PLAIN, kind="grating")
    read = template.read(np.array(order, dtype=np.int64))
    assert read.shape == (len(order), 100, 128)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, again.read(np.array([4 - i for i in order], dtype=np.int64)))
    np.testing.assert_array_equal(template.read(np.array([0])), template.read(np.array([4])))


def test_a_template_says_that_it_is_drawn_and_how_large() -> None:
    template = rendered_template("g", [{"colour": 1.0}], screen=PLAIN, kind="flash")
    assert (template.name, template.origin) == ("g", "rendered")
    assert (template.n_frames, template.height, template.width) == (1, 100, 128)


def test_a_frame_beyond_the_last_is_refused() -> None:
    template = rendered_template("g", [{"colour": 1.0}], screen=PLAIN, kind="flash")
    for frame in (1, -1):
        with pytest.raises(SessionError, match="0 to 0"):
            template.read(np.array([frame]))


def test_a_missing_parameter_is_refused_by_name() -> None:
    with pytest.raises(SessionError, match="spatial_frequency"):
        rendered_template("g", [{"orientation": 0.0}], screen=PLAIN, kind="grating")


def test_a_moving_condition_must_be_alone_and_last() -> None:
    condition = {"orientation": 0.0, "spatial_frequency": 0.1, "temporal_frequency": 2.0}
    with pytest.raises(SessionError, match="how long"):
        rendered_template("g", [condition], screen=PLAIN, kind="grating")
    with pytest.raises(SessionError, match="one moving condition"):
        rendered_template("g", [condition, condition], screen=PLAIN, kind="grating", duration=1.0)


@pytest.mark.slow
def test_a_thousand_frames_take_a_moment() -> None:
    small = Screen(width_pixels=64, height_pixels=36)
    standing = [{"orientation": float(i), "spatial_frequency": 0.04} for i in range(1000)]
    template = rendered_template("g", standing, screen=small, kind="grating")
    begin = time.perf_counter()
    template.read(np.arange(1000))
    assert time.perf_counter() - begin < 3.0


# --- what can be drawn ---


@pytest.fixture(scope="module")
def conventions() -> Conventions:
    return load_conventions()


def test_names_and_parameters_say_what_can_be_drawn(conventions: Conventions) -> None:
    wave = {"orientation": 0.0, "spatial_frequency": 0.04}
    place = {"x_position": 0.0, "y_position": 10.0, "size": 20.0}
    places = {"x_position": [0.0, 1.0], "y_position": [10.0, 1.0], "size": [20.0, 10.0]}
    assert drawable("static_gratings_presentations", wave, conventions) == "grating"
    assert drawable("a name nobody thought of", wave, conventions) == "grating"
    assert drawable("gabors_presentations", {**wave, **place}, conventions) == "gabor"
    assert drawable("gabors", {**wave, **places}, conventions) == "gabors"
    assert drawable("flash_250ms_presentations", {"colour": -1.0}, conventions) == "flash"
    assert drawable("sparse_noise", {**places, "colour": [1.0, -1.0]}, conventions) == "spot"


def test_what_says_too_little_is_not_drawn(conventions: Conventions) -> None:
    wave = {"orientation": 0.0, "spatial_frequency": 0.04}
    assert drawable("drifting_gratings", {"orientation": 0.0}, conventions) is None
    assert drawable("natural_movie_one", {"contrast": 1.0, "orientation": 0.0, "colour": 1.0}, conventions) is None
    assert drawable("spontaneous", {}, conventions) is None
    # A patch of unknown place is no full-field grating, and a mask of unknown shape no circle.
    assert drawable("gabors_presentations", wave, conventions) is None
    assert drawable("drifting_gratings", {**wave, "mask": "raisedcos"}, conventions) is None


def test_what_the_file_leaves_unsaid_is_assumed_and_never_over_what_it_says(conventions: Conventions) -> None:
    wave = {"orientation": 0.0, "spatial_frequency": 0.04}
    assert completed_parameters("drifting_gratings", wave, conventions) == {**wave, "contrast": 0.8}
    stated = {**wave, "contrast": 0.2}
    assert completed_parameters("drifting_gratings", stated, conventions) == stated
    assert completed_parameters("anything", {"contrast": 0.5}, conventions) == {"contrast": 0.5}


def test_the_patches_of_000037_take_what_their_layout_says(conventions: Conventions) -> None:
    layout = next(layout for layout in conventions.layouts if "000037" in layout.dandisets)
    patches = {"orientation": [0.0, 9.0], "x_position": [0.0, 1.0], "y_position": [10.0, 1.0], "size": [20.0, 10.0]}
    assert drawable("gabors", patches, conventions) is None
    assert drawable("gabors", patches, conventions, layout) == "gabors"
    completed = completed_parameters("gabors", patches, conventions, layout)
    assert completed["mask"] == "gauss"
    # 0.04 cycles per degree as its authors count: 120 degrees over 1920 pixels.
    assert completed["spatial_frequency"] == pytest.approx(0.04 * 0.0625 / 0.1033, rel=0.01)


def test_only_what_has_a_temporal_frequency_moves() -> None:
    assert moves({"temporal_frequency": 2.0})
    assert not moves({"temporal_frequency": 0.0})
    assert not moves({"orientation": 3.0})


def test_a_published_neuropixels_file_can_be_drawn(conventions: Conventions, real_data: Path) -> None:
    kinds = {}
    with h5py.File(real_data / "nwb" / "aibs_760693773_truncated10.nwb") as file:
        for name, table in file["intervals"].items():
            columns = {
                item.column: table[item.column][:] for item in conventions.parameter_names if item.column in table
            }
            rows = standard_parameters(columns, len(table["start_time"]), conventions)
            kinds[name] = {drawable(name, row, conventions) for row in rows}
            for row in rows:
                kind = drawable(name, row, conventions)
                if kind is not None:
                    template = rendered_template(
                        name, [row], screen=Screen(), kind=kind, duration=0.25 if moves(row) else None
                    )
                    assert template.read(np.array([0])).std() > (-1 if kind == "flash" else 1)
    assert kinds == {
        "drifting_gratings_presentations": {"grating"},
        "static_gratings_presentations": {"grating"},
        "gabors_presentations": {"gabor"},
        "flashes_presentations": {"flash"},
        "natural_movie_one_presentations": {None},
        "natural_movie_three_presentations": {None},
        "natural_scenes_presentations": {None},
        "spontaneous_presentations": {None},
    }
