"""The geometry of a drawn picture, against formulas written down elsewhere and against a monitor's own centimetres."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.errors import ConfigurationError
from nwb_mivae.sessions.screen import Screen


def warped(x: np.ndarray, y: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Where in the buffer, in centimetres, a spherically corrected display looks up what it shows at a point.

    The steps of PsychoPy's ``windowwarp.Warper`` and AllenSDK's ``warp_stimulus_coords``, the eye before the centre.
    """
    radius = np.sqrt(x**2 + y**2 + distance**2)
    azimuth, altitude = np.arctan(x / distance), np.arcsin(y / radius)
    arc = np.arccos(np.cos(altitude) * np.cos(azimuth)) * distance
    direction = np.arctan2(y / radius, x / radius)
    return arc * np.cos(direction), arc * np.sin(direction)


def test_the_default_is_the_screen_of_the_allen_institutes_natural_scenes() -> None:
    screen = Screen()
    width, height = screen.extent
    # 1174 x 918 pixels of the monitor, each as large as AllenSDK says: 45 of them are 4.65 degrees.
    assert width == pytest.approx(1174 * 4.65 / 45, rel=0.02)
    assert height == pytest.approx(918 * 4.65 / 45, rel=0.02)
    assert screen.pixel_degrees[0] == pytest.approx(screen.pixel_degrees[1], rel=0.02)


def test_a_corrected_picture_spans_the_monitor_as_the_eye_sees_it() -> None:
    screen = Screen(width_cm=51.0, height_cm=31.875, distance_cm=15.0)
    x, _ = warped(np.array([25.5]), np.array([0.0]), 15.0)
    _, y = warped(np.array([0.0]), np.array([31.875 / 2]), 15.0)
    np.testing.assert_allclose(np.array(screen.extent) / 2, np.rad2deg([x[0] / 15.0, y[0] / 15.0]))


@given(st.floats(-25.0, 25.0), st.floats(-16.0, 16.0))
def test_a_degree_of_a_corrected_picture_is_a_degree_of_visual_angle(x: float, y: float) -> None:
    in_buffer = [np.rad2deg(value / 15.0) for value in warped(np.array([x]), np.array([y]), 15.0)]
    seen = np.rad2deg(np.arctan(np.hypot(x, y) / 15.0))
    np.testing.assert_allclose(Screen().eccentricity(*in_buffer), seen, atol=1e-5)


@given(st.floats(-25.0, 25.0), st.floats(-16.0, 16.0))
def test_a_degree_of_a_flat_picture_is_a_length_on_the_monitor(x: float, y: float) -> None:
    screen = Screen(geometry="flat", distance_cm=15.0)
    seen = np.rad2deg(np.arctan(np.hypot(x, y) / 15.0))
    np.testing.assert_allclose(screen.eccentricity(np.rad2deg(x / 15.0), np.rad2deg(y / 15.0)), seen, atol=1e-9)


def test_the_two_geometries_agree_at_the_centre_and_part_at_the_edge() -> None:
    flat, spherical = Screen(geometry="flat"), Screen()
    np.testing.assert_allclose(flat.eccentricity(1.0, 0.0), spherical.eccentricity(1.0, 0.0), rtol=1e-3)
    edge = flat.extent[0] / 2
    # The edge of the monitor is where it is, whatever the program calls it.
    assert flat.eccentricity(edge, 0.0) == pytest.approx(spherical.eccentricity(spherical.extent[0] / 2, 0.0))
    assert edge > 1.5 * spherical.extent[0] / 2


def test_a_far_screen_has_one_geometry() -> None:
    far = {"width_cm": 40.0, "height_cm": 30.0, "distance_cm": 400.0}
    np.testing.assert_allclose(Screen(geometry="flat", **far).extent, Screen(**far).extent, rtol=1e-3)


def test_pixels_are_centred_with_y_upwards() -> None:
    screen = Screen(width_pixels=4, height_pixels=5, width_degrees=8.0, height_degrees=10.0)
    np.testing.assert_allclose(screen.columns(), [-3, -1, 1, 3])
    np.testing.assert_allclose(screen.rows(), [4, 2, 0, -2, -4])


def test_an_impossible_screen_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigurationError, match="distance_cm"):
        Screen.from_mapping({"distance_cm": 0.0})
    with pytest.raises(ConfigurationError, match="geometry"):
        Screen.from_mapping({"geometry": "cylindrical"})
