"""Settings of the evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["EvaluationConfiguration"]


class EvaluationConfiguration(Configuration):
    """How a trained model is judged.

    Attributes
    ----------
    clips
        At most so many test clips per session, evenly over the recording; null takes all. Chance depends on it.
    distance
        What retrieval ranks by: the expected squared distance of the two posteriors (what the model's matching term is
        trained on), or the cosine between posterior means after each modality's mean clip is removed.
    control_draws
        How often each random control is drawn (initial weights, order of neurons); their figures are means over it.
    pair_shuffles
        The same for shuffled pairs, which cost next to nothing.
    untrained_context_clips
        Context clips of the untrained controls, evenly over the training part; null takes all, as the trained model
        does. A number saves time and makes weaker controls.
    clips_at_once
        Clips encoded together; bounds memory and changes no figure.
    """

    clips: int | None = Field(default=None, ge=2)
    distance: Literal["expected_squared", "centred_cosine"] = "expected_squared"
    control_draws: int = Field(default=3, ge=1)
    pair_shuffles: int = Field(default=20, ge=1)
    untrained_context_clips: int | None = Field(default=None, ge=1)
    clips_at_once: int = Field(default=64, ge=1)
