"""Settings of the model."""

from __future__ import annotations

import pytest

from nwb_mivae.errors import ConfigurationError
from nwb_mivae.model import LossWeights, ModelConfiguration


def test_the_default_is_the_contextual_design_with_every_term() -> None:
    configuration = ModelConfiguration()
    assert configuration.population == "contextual"
    assert all(weight > 0 for weight in configuration.loss.model_dump().values())


def test_a_loss_without_terms_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nothing to learn") as refusal:
        ModelConfiguration.from_mapping({"loss": dict.fromkeys(LossWeights.model_fields, 0)})
    assert refusal.value.object_path == "loss"


@pytest.mark.parametrize(
    "values", [{"population": "transformer"}, {"hidden_size": 0}, {"loss": {"matching": -1}}, {"fingerprint_ridge": 0}]
)
def test_impossible_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        ModelConfiguration.from_mapping(values)


def test_settings_survive_yaml(tmp_path: object) -> None:
    import yaml

    configuration = ModelConfiguration.from_mapping({"fingerprint_lags": [1, 5], "loss": {"matching": 0.25}})
    assert ModelConfiguration.from_mapping(yaml.safe_load(configuration.to_yaml())) == configuration
