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
        ({"animals": 0}, "animals"),
        ({"dropped_frames": 0.9}, "dropped_frames"),
        ({"mice": 5}, "unknown key"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SimulationConfiguration.from_mapping(values)


def test_yaml_round_trip() -> None:
    configuration = SimulationConfiguration(animals=2, cells=(10, 20), seed=5)
    assert "cells:" in configuration.to_yaml()
    import yaml

    assert SimulationConfiguration.from_mapping(yaml.safe_load(configuration.to_yaml())) == configuration


def test_frames_per_movie_follow_the_display() -> None:
    assert SimulationConfiguration(movie_seconds=1.5, frame_rate=60.0).frames_per_movie == 90
