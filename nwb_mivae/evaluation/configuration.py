"""Settings of the evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["EvaluationConfiguration"]


class EvaluationConfiguration(Configuration):
    """How a trained model is judged."""

    clip_frames: int = Field(default=16, ge=1, description="Frames of a test clip; as in training.")
    clips: int | None = Field(
        default=None, ge=2, description="At most so many test clips per session, evenly spaced; null for all."
    )
    distance: Literal["expected_squared", "centred_cosine"] = Field(
        default="expected_squared",
        description="What retrieval ranks by: the expected squared distance of the two posteriors (the matching "
        "term's own), or one minus the cosine of the centred posterior means.",
    )
    untrained_models: int = Field(
        default=3, ge=1, description="Re-initialisations the untrained control is averaged over."
    )
    clips_at_once: int = Field(default=16, ge=1, description="Clips encoded together; bounds memory only.")
