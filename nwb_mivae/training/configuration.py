"""Settings of the training loop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from nwb_mivae.configuration import Configuration

__all__ = ["TrainingConfiguration"]


class TrainingConfiguration(Configuration):
    """How long, how fast and on what the model is trained.

    Attributes
    ----------
    steps
        Optimiser steps; each draws the episodes that ``EpisodeConfiguration`` describes.
    learning_rate, warmup_steps
        Peak rate, reached linearly after the warm-up and then lowered to zero along a cosine.
    accelerator, devices, precision
        Handed to Lightning Fabric: ``auto`` takes a GPU where there is one.
    seed
        Initial weights, drawn clips and posterior samples all follow from it.
    """

    steps: PositiveInt = 1500
    learning_rate: PositiveFloat = 3e-3
    warmup_steps: NonNegativeInt = 50
    weight_decay: float = Field(0.05, ge=0)
    gradient_clip: PositiveFloat = 1.0
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: PositiveInt | Literal["auto"] = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    seed: NonNegativeInt = 0
    log_every: PositiveInt = 10
    validate_every: PositiveInt = 250
    validation_clips: NonNegativeInt = Field(32, description="clips per training session; 0 skips validation")
    checkpoint_every: PositiveInt = 250
