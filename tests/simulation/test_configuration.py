from __future__ import annotations

from typing import Any

import pytest

from nwb_mivae.errors import ConfigurationError
from nwb_mivae.simulation import SimulationConfiguration


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"cells": [300, 150]}, "the smaller one first"),
        ({"cells": [0, 3]}, "two positive numbers"),
        ({"imaging_rate": [31.0, 30.0]}, "imaging_rate"),
        ({"luminance_fraction": 0.6, "not_visual_fraction": 0.6}, "add up"),
        ({"subpopulations": "mixed"}, "graded"),
        ({"driving_region": [0.5, 0.0, 0.5, 1.0]}, "left before right"),
        ({"driving_region": [0.0, 0.9, 1.0, 0.1]}, "upper before lower"),
        ({"driving_region": [0.0, 0.0, 1.5, 1.0]}, "driving_region"),
        ({"driving_region": [0.0, 0.0, 0.5]}, "driving_region"),
        ({"driving_region": [0.0, 0.0, 0.1, 1.0]}, "at least 8 rows and columns of the frame, not 36 rows and 6"),
        ({"flashed_fraction": 1.5}, "flashed_fraction"),
        ({"flashed_fraction": 0.5, "flash_seconds": 0.01}, "at least a frame"),
        ({"flashed_fraction": 0.5, "flash_seconds": 6.0}, "at most half of movie_seconds"),
        ({"animals": 0}, "animals"),
        ({"dropped_frames": 0.9}, "dropped_frames"),
        ({"mice": 5}, "unknown key"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SimulationConfiguration.from_mapping(values)


def test_yaml_round_trip() -> None:
    configuration = SimulationConfiguration(animals=2, cells=(10, 20), seed=5, driving_region=(0.0, 0.25, 0.5, 1.0))
    assert "cells:" in configuration.to_yaml()
    import yaml

    assert SimulationConfiguration.from_mapping(yaml.safe_load(configuration.to_yaml())) == configuration


def test_frames_per_movie_follow_the_display() -> None:
    configuration = SimulationConfiguration(movie_seconds=1.5, frame_rate=60.0, flash_seconds=0.25)
    assert configuration.frames_per_movie == 90
    assert configuration.frames_per_flash == 15


def test_the_driving_region_is_the_frame_where_not_given() -> None:
    assert SimulationConfiguration().driving_box == (0, 0, 64, 36)
    assert SimulationConfiguration(driving_region=(0.5, 0.25, 1.0, 1.0)).driving_box == (32, 9, 64, 36)


def test_flashes_of_any_length_are_allowed_where_none_are_shown() -> None:
    assert SimulationConfiguration(movie_seconds=0.5).flashed_fraction == 0.0
