"""Columns as real files store them, brought to standard names and units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.sessions.conventions import Conventions, load_conventions
from nwb_mivae.sessions.parameters import parameters_from_text, parameters_text, standard_parameters


@pytest.fixture(scope="module")
def conventions() -> Conventions:
    return load_conventions()


def text(*values: str | bytes) -> np.ndarray:
    return np.array(values, dtype=object)


def lists(*values: list[float]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = [np.asarray(value) for value in values]
    return column


def noted(columns: dict[str, Any], conventions: Conventions) -> tuple[list[dict[str, Any]], list[tuple[str, str, str]]]:
    notes: list[tuple[str, str, str]] = []
    rows = standard_parameters(
        columns, len(next(iter(columns.values()))), conventions, note=lambda *parts: notes.append(parts)
    )
    return rows, notes


def test_visual_coding_names_are_translated(conventions: Conventions) -> None:
    rows, notes = noted(
        {
            "orientation_in_degrees": np.array([270.0, np.nan]),
            "spatial_frequency_in_cycles_per_degree": np.array([0.04, np.nan]),
            "temporal_frequency_in_hz": np.array([15.0, np.nan]),
            "is_blank_sweep": np.array([False, True]),
        },
        conventions,
    )
    assert rows == [{"orientation": 270.0, "spatial_frequency": 0.04, "temporal_frequency": 15.0}, {}]
    assert notes == []


def test_numbers_stored_as_text_are_numbers(conventions: Conventions) -> None:
    rows, notes = noted(
        {
            "orientation": np.array([45.0] * 5),
            "spatial_frequency": text("0.08", b"[0.08, 0.08]", "[0.08 0.08]", "null", "N/A"),
            "size": text("[20.0, 20.0]", "20", "[20.0, 30.0]", "", "nan"),
            "color": text("[1.0, 1.0, 1.0]", "-1.0", "[-1. -1. -1.]", "null", "0"),
            "mask": text("circle", b"None", "Gauss", "null", ""),
        },
        conventions,
    )
    assert [row.get("spatial_frequency") for row in rows] == [0.08, 0.08, 0.08, None, None]
    assert [row.get("size") for row in rows] == [20.0, 20.0, [20.0, 30.0], None, None]
    assert [row.get("colour") for row in rows] == [1.0, -1.0, -1.0, None, 0.0]
    assert [row.get("mask") for row in rows] == ["circle", None, "gauss", None, None]
    assert notes == []


def test_a_phase_that_was_counted_up_is_reduced_and_that_is_said(conventions: Conventions) -> None:
    rows, notes = noted({"phase": text("[3644.93333333, 3644.93333333]", "0.25", "-0.25", "1.0")}, conventions)
    np.testing.assert_allclose([row["phase"] for row in rows], [0.933333, 0.25, 0.75, 0.0], atol=1e-6)
    assert [level for level, _, _ in notes] == ["guess"]
    assert "not known" in notes[0][2]
    _, silent = noted({"phase": text("0.75", "[0.0, 0.0]")}, conventions)
    assert silent == []


def test_contrasts_in_percent_are_brought_to_shares_and_that_is_said(conventions: Conventions) -> None:
    rows, notes = noted({"contrast": np.array([5.0, 80.0])}, conventions)
    assert [row["contrast"] for row in rows] == [0.05, 0.8]
    assert "percent" in notes[0][2]


def test_a_direction_is_where_the_grating_drifts_to(conventions: Conventions) -> None:
    rows, _ = noted({"direction": np.array([-45.0, 360.0])}, conventions)
    assert [row["orientation"] for row in rows] == [315.0, 0.0]


def test_a_column_of_both_names_takes_the_first_that_says_something(conventions: Conventions) -> None:
    rows, _ = noted({"orientation": np.array([30.0, np.nan]), "direction": np.array([90.0, 90.0])}, conventions)
    assert [row["orientation"] for row in rows] == [30.0, 90.0]


def test_ragged_lists_are_patches_and_pixels_become_degrees(conventions: Conventions) -> None:
    rows, _ = noted(
        {
            "gabor_orientations": lists([10, 370, 90], []),
            "gabor_locations_x": lists([-960.0, 0.0, 960.0], []),
            "gabor_locations_y": lists([0.0, 600.0, -600.0], []),
            "gabor_sizes": lists([204, 408, 300], []),
        },
        conventions,
    )
    assert rows[1] == {}
    assert rows[0]["orientation"] == [10.0, 10.0, 90.0]
    # 1,920 pixels are as many degrees as the monitor's arc: 51.9 cm seen from 15 cm along the sphere.
    np.testing.assert_allclose(rows[0]["x_position"], np.array([-1, 0, 1]) * np.rad2deg(51.9 / 2 / 15), rtol=2e-3)
    np.testing.assert_allclose(rows[0]["size"], np.array([204, 408, 300]) * 0.1033)


def test_sizes_in_pixels_of_an_unknown_screen_are_left_out_and_that_is_said(conventions: Conventions) -> None:
    rows, notes = noted(
        {"size": text("200", "250"), "units": text("pix", "deg"), "spatial_frequency": text("0.04", "0.04")},
        conventions,
    )
    assert rows == [{"spatial_frequency": 0.04}, {"spatial_frequency": 0.04, "size": 250.0}]
    assert notes[0][:2] == ("warning", "units")


def test_sizes_of_movies_in_pixels_are_nothing_to_speak_of(conventions: Conventions) -> None:
    rows, notes = noted({"size": text("[1920.0, 1080.0]"), "units": text("pix"), "contrast": np.ones(1)}, conventions)
    assert (rows, notes) == ([{"contrast": 1.0}], [])


@pytest.mark.parametrize(
    ("column", "values"),
    [("color", [255.0]), ("contrast", [-1.0]), ("spatial_frequency", [-0.04]), ("orientation", ["vertical"])],
)
def test_values_that_cannot_be_meant_are_left_out_and_that_is_said(
    conventions: Conventions, column: str, values: list[Any]
) -> None:
    rows, notes = noted({column: np.array(values, dtype=object)}, conventions)
    assert rows == [{}]
    assert [level for level, _, _ in notes] == ["warning"]


def test_a_scientists_own_names_come_first(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("parameter_names: [{column: theta_radians, name: orientation, factor: 57.29577951308232}]\n")
    rows, _ = noted({"theta_radians": np.array([np.pi / 2]), "orientation": np.array([1.0])}, load_conventions(own))
    assert rows[0]["orientation"] == pytest.approx(90.0)


def test_equal_conditions_have_equal_text() -> None:
    assert parameters_text({"b": 0.1 + 0.2, "a": -0.0}) == parameters_text({"a": 0, "b": 0.3})
    assert json.loads(parameters_text({"b": [1, 2], "a": "circle"})) == {"a": "circle", "b": [1.0, 2.0]}
    assert parameters_text({}) == ""
    assert parameters_from_text("") == {}


numbers = st.floats(-1e4, 1e4).map(lambda value: round(value, 5) + 0.0)


@given(
    st.dictionaries(st.sampled_from(["orientation", "phase", "size", "mask"]), numbers | st.lists(numbers, min_size=1))
)
def test_text_comes_back_as_it_was(parameters: dict[str, Any]) -> None:
    assert parameters_from_text(parameters_text(parameters)) == parameters
    assert parameters_text(parameters_from_text(parameters_text(parameters))) == parameters_text(parameters)


def test_a_hundred_thousand_rows_take_a_moment(conventions: Conventions) -> None:
    columns = {
        "orientation": np.arange(100_000) % 360.0,
        "spatial_frequency": text(*["0.04", "0.08"] * 50_000),
        "phase": text(*["[0.5, 0.5]", "0.25"] * 50_000),
    }
    rows, _ = noted(columns, conventions)
    assert rows[-1] == {"orientation": 99_999 % 360.0, "spatial_frequency": 0.08, "phase": 0.25}


def test_a_published_neuropixels_file_is_understood(conventions: Conventions, real_data: Path) -> None:
    with h5py.File(real_data / "nwb" / "aibs_760693773_truncated10.nwb") as file:
        tables = {
            name: {
                column: table[column][:]
                for column in table
                if not column.endswith("_index") and column not in ("tags", "timeseries", "id")
            }
            for name, table in file["intervals"].items()
        }
    read = {name: noted(columns, conventions)[0] for name, columns in tables.items()}
    assert read["drifting_gratings_presentations"][1] == {
        "orientation": 90.0, "spatial_frequency": 0.04, "temporal_frequency": 8.0, "contrast": 0.8,
        "phase": pytest.approx(0.866667), "size": 250.0, "colour": 1.0,
    }  # fmt: skip
    assert read["static_gratings_presentations"][0]["phase"] == 0.25
    assert read["gabors_presentations"][1]["x_position"] == -40.0
    assert read["gabors_presentations"][1]["mask"] == "circle"
    assert {abs(row["colour"]) for row in read["flashes_presentations"]} == {1.0}
    assert read["natural_scenes_presentations"][0] == {}


@pytest.mark.parametrize(
    "stored",
    [
        text("[[-12.5, 3.0], [40.0, -8.0], [0.0, 22.0]]"),
        text("[[-12.5   3. ]\n [ 40.   -8. ]\n [  0.   22. ]]"),
        text(b"((-12.5, 3), (40, -8), (0, 22))"),
        lists([[-12.5, 3.0], [40.0, -8.0], [0.0, 22.0]]),
        np.array([[[-12.5, 3.0], [40.0, -8.0], [0.0, 22.0]]]),
    ],
)
def test_pairs_are_positions_of_patches(conventions: Conventions, stored: np.ndarray) -> None:
    rows, notes = noted({"xys": stored, "oris": text("[0.0, 10.0, -10.0]"), "sfs": text("0.04")}, conventions)
    assert rows == [
        {
            "orientation": [0.0, 10.0, 350.0],
            "spatial_frequency": 0.04,
            "x_position": [-12.5, 40.0, 0.0],
            "y_position": [3.0, -8.0, 22.0],
        }
    ]
    assert notes == []


@pytest.mark.parametrize(
    "stored", ["[[1.0, 2.0, 3.0]]", "[[1.0, 2.0], [3.0]]", "[[1. 2.]\n ...\n [3. 4.]]", "[1.0, 2.0"]
)
def test_pairs_that_are_none_are_left_out_and_that_is_said(conventions: Conventions, stored: str) -> None:
    rows, notes = noted({"xys": text(stored)}, conventions)
    assert rows == [{}]
    assert {level for level, _, _ in notes} == {"warning"}


def test_one_pair_is_one_position(conventions: Conventions) -> None:
    rows, _ = noted({"xys": text("[[5.0, -3.0]]", "[5.0, -3.0]", "[]")}, conventions)
    assert rows == [{"x_position": 5.0, "y_position": -3.0}] * 2 + [{}]


def test_sizes_of_patches_may_be_widths_and_heights(conventions: Conventions) -> None:
    pairs = text("[[0, 1], [2, 3], [4, 5]]")
    rows, _ = noted({"xys": pairs, "sizes": text("[[20, 20], [25, 25], [30, 30]]")}, conventions)
    assert rows[0]["size"] == [20.0, 25.0, 30.0]
    rows, notes = noted({"xys": pairs, "sizes": text("[[20, 10], [25, 25], [30, 30]]")}, conventions)
    assert "size" not in rows[0]
    assert [column for _, column, _ in notes] == ["sizes"]


def test_more_values_than_patches_are_nobodys(conventions: Conventions) -> None:
    rows, notes = noted({"xys": text("[[0, 1], [2, 3]]"), "oris": text("[0, 45, 90]")}, conventions)
    assert "orientation" not in rows[0]
    assert notes == [("warning", "oris", "1 rows have more or fewer values than patches, left out")]


def test_angles_in_radians_are_no_degrees(conventions: Conventions) -> None:
    rows, notes = noted({"Orientation": text("3.141592653589793"), "Phase": text("1.5707963267948966")}, conventions)
    assert rows == [{"orientation": pytest.approx(180.0), "phase": 0.25}]
    assert notes == []
