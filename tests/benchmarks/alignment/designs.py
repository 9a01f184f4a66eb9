"""The designs that are compared: what each changes of the model's default settings."""

from __future__ import annotations

from collections.abc import Mapping

from nwb_mivae.model import ModelConfiguration

__all__ = ["DESIGNS", "JUDGED", "PUBLISHED", "configuration_of"]

#: ``front_end`` is ``contextual`` with the other stimulus encoder; the rest have the one that is learned from pixels.
DESIGNS: Mapping[str, Mapping[str, str]] = {
    "front_end": {"population": "contextual", "stimulus_encoder": "front_end"},
    "contextual": {"population": "contextual", "stimulus_encoder": "convolutional"},
    "coordinates": {"population": "coordinates", "stimulus_encoder": "convolutional"},
    "pooled": {"population": "pooled", "stimulus_encoder": "convolutional"},
}
#: The design that targets are about, and the published one that it is compared with.
JUDGED = "front_end"
PUBLISHED = "pooled"


def configuration_of(design: str) -> ModelConfiguration:
    """The model's settings of a design."""
    return ModelConfiguration.from_mapping(dict(DESIGNS[design]))
