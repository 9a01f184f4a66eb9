from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwb_mivae.sessions import SessionsConfiguration, describe
from nwb_mivae.sessions.screen import Screen
from tests.nwb_files import add_images, add_table, new_file, pixels_of
from tests.sessions.test_stimulus import column, opened, said, seconds

SMALL = SessionsConfiguration(screen=Screen(width_pixels=32, height_pixels=20))


def gratings(n_rows: int, seconds_each: float = 0.25, **columns: Any) -> dict[str, Any]:
    start, stop = seconds(n_rows, seconds_each)
    return {
        "start_time": start,
        "stop_time": stop,
        "spatial_frequency": ["0.04"] * n_rows,
        "phase": ["0.25"] * n_rows,
    } | (columns)


def test_standing_conditions_are_frames_of_one_template(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "static_gratings_presentations", **gratings(5, orientation=[90.0, 0.0, 90.0, np.nan, 45.0]))
    session = opened(nwbfile, tmp_path, configuration=SMALL)
    assert column(session, "frame") == [2, 0, 2, -1, 1]
    assert column(session, "repeat") == [0, 0, 1, 0, 0]
    assert column(session, "template")[0] == "static_gratings"
    template = session.templates["static_gratings"]
    assert (template.origin, template.n_frames, template.height, template.width) == ("rendered", 3, 20, 32)
    pixels = template.read(np.array([0, 2])).astype(float)
    assert pixels[0].std(axis=1).max() > 10 > pixels[0].std(axis=0).max()  # vertical bars
    assert pixels[1].std(axis=0).max() > 10 > pixels[1].std(axis=1).max()
    assert json.loads(column(session, "parameters")[0]) == {
        "orientation": 90.0,
        "phase": 0.25,
        "spatial_frequency": 0.04,
    }
    assert session.missing_templates == {}
    guesses = said(session, "guess")
    assert (
        "4 rows of 'static_gratings' (3 conditions) were drawn from parameters on a spherical screen of 120 x"
        in guesses
    )
    assert "assumed, for the file does not say: contrast 0.8" in guesses
    assert "1 rows without an orientation were taken for a grey screen" in guesses
    told = describe(session)["stimuli"][0]
    assert (told["granularity"], told["rendered"], told["pixels"]) == ("parameters", 1, "available")


def test_a_moving_condition_is_a_movie_of_its_own(tmp_path: Path) -> None:
    nwbfile = new_file()
    frequency = {"temporal_frequency": [1.0, 2.0, 1.0], "orientation": [0.0, 0.0, 0.0]}
    table = gratings(3, 2.0, **frequency)
    table["stop_time"] = [2.0, 4.0, 6.002]
    add_table(nwbfile, "drifting_gratings_presentations", **table)
    session = opened(nwbfile, tmp_path, configuration=SMALL)
    rows = session.presentations
    assert rows["source_row"].tolist() == [0] * 60 + [1] * 60 + [2] * 60
    assert rows["frame"].tolist() == [*range(60)] * 3
    assert rows["repeat"].tolist() == [0] * 120 + [1] * 60
    assert sorted(session.templates) == [
        "drifting_gratings temporal_frequency 1.0",
        "drifting_gratings temporal_frequency 2.0",
    ]
    np.testing.assert_allclose(rows["start_time"], np.r_[0:2:60j, 0, 0][0] + np.arange(180) / 30, atol=1e-9)
    pixels = session.templates["drifting_gratings temporal_frequency 1.0"].read(np.array([0, 15, 30])).astype(float)
    np.testing.assert_allclose(pixels[0], pixels[2], atol=1)
    np.testing.assert_allclose(pixels[0] + pixels[1], 254, atol=2)


def test_a_movement_too_fast_for_the_frames_is_said(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "drifting_gratings", **gratings(2, 2.0, orientation=[0.0, 90.0], temporal_frequency=[15.0, 1.0]))
    session = opened(nwbfile, tmp_path, configuration=SMALL)
    assert "1 conditions of 'drifting_gratings' move by half a cycle or more" in said(session, "warning")


def test_what_cannot_be_drawn_is_missing_with_what_is_known_of_it(tmp_path: Path) -> None:
    nwbfile = new_file()
    start, stop = seconds(2, 1.0)
    add_images(nwbfile, "dots", pixels_of(3))
    add_table(
        nwbfile, "dots_presentations", start_time=start, stop_time=stop, x_position=[0.0, 5.0], contrast=[0.5] * 2
    )
    session = opened(nwbfile, tmp_path, configuration=SMALL)
    (missing,) = session.missing_templates
    assert column(session, "template") == [missing] * 2
    assert missing != "dots"  # its pictures are told apart by no column
    assert session.missing_templates[missing] == (
        "described by parameters (contrast, x_position), not by pixels; "
        "it cannot be drawn without orientation, spatial_frequency"
    )
    assert "rows with parameters and no frames" in said(session)


def test_a_stimulus_of_which_some_rows_can_be_drawn(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = gratings(3, orientation=[0.0, 45.0, 90.0])
    table["spatial_frequency"] = ["0.04", "null", "0.08"]
    add_table(nwbfile, "grating_presentations", **table)
    session = opened(nwbfile, tmp_path, configuration=SMALL)
    templates = column(session, "template")
    assert [name in session.templates for name in templates] == [True, False, True]
    assert session.missing_templates[templates[1]].startswith("described by parameters (orientation, phase)")


def test_the_same_condition_has_the_same_pixels_in_another_session(tmp_path: Path) -> None:
    pixels = []
    for orientations in ([0.0, 45.0], [45.0, 90.0, 135.0]):
        nwbfile = new_file()
        table = gratings(len(orientations), orientation=orientations)
        add_table(nwbfile, "static_gratings_presentations", **table)
        session = opened(nwbfile, tmp_path, configuration=SMALL)
        row = session.presentations.iloc[orientations.index(45.0)]
        pixels.append(session.templates[row["template"]].read(np.array([row["frame"]])))
    np.testing.assert_array_equal(*pixels)


@pytest.mark.parametrize("stated", [True, False])
def test_the_screen_is_the_configured_one(tmp_path: Path, stated: bool) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "static_gratings_presentations", **gratings(1, orientation=[0.0]))
    session = opened(nwbfile, tmp_path, configuration=SMALL if stated else None)
    assert session.templates["static_gratings"].width == (32 if stated else Screen().width_pixels)


def elements(n_rows: int, **columns: Any) -> dict[str, Any]:
    """Attributes of PsychoPy's ElementArrayStim as 000336 stores them."""
    start, stop = seconds(n_rows, 0.3)
    return {
        "start_time": start,
        "stop_time": stop,
        "oris": [str([30.0 * row, 30.0 * row + 10, 30.0 * row - 10]) for row in range(n_rows)],
        "xys": ["[[-12.5, 3.0], [40.0, -8.0], [0.0, 22.0]]"] * n_rows,
        "sizes": ["[20.0, 25.0, 30.0]"] * n_rows,
        "sfs": ["[0.04, 0.04, 0.04]"] * n_rows,
        "phases": ["[0.25, 0.25, 0.25]"] * n_rows,
        "contrs": ["[1.0, 1.0, 1.0]"] * n_rows,
        "elementMask": ["gauss"] * n_rows,
        "size": ["[1920.0, 1080.0]"] * n_rows,
        "units": ["deg"] * n_rows,
    } | columns


def test_lists_of_many_patches_are_drawn_where_they_are_said_in_degrees(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "fixed_gabors_presentations", **elements(3))
    session = opened(nwbfile, tmp_path, configuration=SMALL)
    assert session.granularity == {"intervals/fixed_gabors_presentations": "parameters"}
    template = session.templates["fixed_gabors"]
    assert (template.origin, column(session, "frame"), column(session, "repeat")) == ("rendered", [0, 1, 2], [0] * 3)
    shown = template.read(np.array([0, 1, 2])).astype(float)
    assert len({picture.tobytes() for picture in shown}) == 3
    energy = np.abs(shown - 127).mean(axis=0)
    screen = SMALL.screen
    assert screen is not None
    for x, y in ((-12.5, 3.0), (40.0, -8.0), (0.0, 22.0)):
        near = np.ix_(np.abs(screen.rows() - y) < 8, np.abs(screen.columns() - x) < 8)
        assert energy[near].max() > 40
    assert energy[:, :4].max() < 1


def test_lists_of_patches_in_pixels_are_missing_with_what_is_known_of_them(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "fixed_gabors_presentations", **elements(3, units=["pix"] * 3))
    session = opened(nwbfile, tmp_path, configuration=SMALL)
    assert session.granularity == {"intervals/fixed_gabors_presentations": "parameters"}
    assert column(session, "repeat") == [0] * 3
    reason = session.missing_templates["fixed_gabors_presentations"]
    assert "described by parameters (contrast, mask, orientation, phase, spatial_frequency)" in reason
    assert reason.endswith("it cannot be drawn without x_position, y_position, size")
    assert "3 rows have sizes and positions in other units than degrees" in said(session, "warning")


def test_one_of_a_list_of_orientations_is_not_drawn_for_all(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = elements(2)
    del table["xys"]
    add_table(nwbfile, "pattern_presentations", **table)
    session = opened(nwbfile, tmp_path, configuration=SMALL)
    assert session.templates == {}
    assert list(session.missing_templates) == ["pattern_presentations"]
