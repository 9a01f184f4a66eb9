from __future__ import annotations

from pathlib import Path

import pytest

from nwb_mivae.errors import ConfigurationError
from nwb_mivae.pipeline import DEMO_SETTINGS, PipelineConfiguration


def test_there_is_one_key_per_room():
    assert list(PipelineConfiguration.model_fields) == [
        "sessions",
        "alignment",
        "clips",
        "split",
        "episodes",
        "model",
        "training",
        "evaluation",
        "attribution",
        "subpopulations",
        "regions",
    ]


def test_settings_change_what_they_name_and_nothing_else():
    changed = PipelineConfiguration().changed(
        ["training.steps=7", "split.held_out=[sub-1, sub-2]", "model.loss.matching=2"]
    )
    assert changed.training.steps == 7
    assert changed.split.held_out == ["sub-1", "sub-2"]
    assert changed.model.loss.matching == 2
    assert changed.changed({"training.steps": 1500, "split.held_out": None, "model.loss.matching": 1.0}) == (
        PipelineConfiguration()
    )


def test_settings_come_after_the_file(tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text("training: {steps: 5, seed: 3}\n")
    given = PipelineConfiguration.given(file, ["training.steps=9"])
    assert (given.training.steps, given.training.seed) == (9, 3)


def test_yaml_comes_back_equal(tmp_path: Path):
    changed = PipelineConfiguration().changed(DEMO_SETTINGS)
    file = tmp_path / "settings.yaml"
    file.write_text(changed.to_yaml())
    assert PipelineConfiguration.from_yaml(file) == changed


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.step=3", r"training\.step: found an unknown key; expected one of the keys steps"),
        ("trainin.steps=3", r"trainin: found an unknown key; expected one of the keys sessions"),
        ("training.steps=0", r"training\.steps: "),
        ("training.steps.more=1", "a key below 'steps', which is a single value"),
        ("training.steps", "expected key=value"),
        ("=3", "expected key=value"),
        ("training.steps=[1", "which is not YAML"),
    ],
)
def test_wrong_settings_are_refused_by_name(setting: str, words: str):
    with pytest.raises(ConfigurationError, match=words):
        PipelineConfiguration().changed([setting])
