"""The whole configuration of a run: one key per room, in one YAML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import yaml

from nwb_mivae.alignment import AlignmentConfiguration
from nwb_mivae.attribution import (
    AttributionConfiguration,
    StimulusRegionConfiguration,
    SubpopulationConfiguration,
)
from nwb_mivae.clips import ClipsConfiguration, EpisodeConfiguration, SplitConfiguration
from nwb_mivae.configuration import Configuration
from nwb_mivae.errors import ConfigurationError
from nwb_mivae.evaluation import EvaluationConfiguration
from nwb_mivae.model import ModelConfiguration
from nwb_mivae.sessions import SessionsConfiguration
from nwb_mivae.training import TrainingConfiguration

__all__ = ["PipelineConfiguration"]


class PipelineConfiguration(Configuration):
    """Settings of every step, under the name of the room they configure; what is left out has its default."""

    sessions: SessionsConfiguration = SessionsConfiguration()
    alignment: AlignmentConfiguration = AlignmentConfiguration()
    clips: ClipsConfiguration = ClipsConfiguration()
    split: SplitConfiguration = SplitConfiguration()
    episodes: EpisodeConfiguration = EpisodeConfiguration()
    model: ModelConfiguration = ModelConfiguration()
    training: TrainingConfiguration = TrainingConfiguration()
    evaluation: EvaluationConfiguration = EvaluationConfiguration()
    attribution: AttributionConfiguration = AttributionConfiguration()
    subpopulations: SubpopulationConfiguration = SubpopulationConfiguration()
    regions: StimulusRegionConfiguration = StimulusRegionConfiguration()

    def changed(self, settings: Iterable[str] | Mapping[str, Any]) -> PipelineConfiguration:
        """The same configuration with some keys set.

        Parameters
        ----------
        settings : iterable of str, or mapping
            ``"training.steps=200"`` texts, whose values are read as YAML, or ``{"training.steps": 200}``.

        Raises
        ------
        ConfigurationError
            If a text is no ``key=value``, or a key or a value is not accepted.
        """
        pairs = settings.items() if isinstance(settings, Mapping) else [_pair(text) for text in settings]
        values = self.model_dump(mode="json")
        for key, value in pairs:
            *groups, name = key.split(".")
            inner = values
            for group in groups:
                inner = inner.setdefault(group, {})
                if not isinstance(inner, dict):
                    raise ConfigurationError(
                        f"a key below {group!r}, which is a single value",
                        expected="a key as in the run's configuration.yaml",
                        remedy="correct that key",
                        object_path=key,
                    )
            inner[name] = value
        return self.from_mapping(values)

    @classmethod
    def given(
        cls, file: str | PathLike[str] | None = None, settings: Iterable[str] | Mapping[str, Any] = ()
    ) -> PipelineConfiguration:
        """The defaults, changed by a YAML file where there is one, changed by ``settings``."""
        configuration = cls() if file is None else cls.from_yaml(file)
        return configuration.changed(settings)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(
            f"{text!r} as a setting", expected="key=value, for example training.steps=200", remedy="write it that way"
        )
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigurationError(
            f"the value {value!r}, which is not YAML",
            expected="a number, a word, or a list such as [sub-1, sub-2]",
            remedy="put it in quotes",
            object_path=key,
        ) from None
