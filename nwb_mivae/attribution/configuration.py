"""Settings of the attribution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["AttributionConfiguration"]


class AttributionConfiguration(Configuration):
    """Which latents are traced back, by what, and at what cost."""

    methods: tuple[Literal["score", "fisher"], ...] = Field(
        default=("score", "fisher"), min_length=1, description="Methods of the model page, section 5."
    )
    part: Literal["train", "validation", "test"] = Field(
        default="test", description="Which part of the split the attributed clips come from."
    )
    clip_frames: int = Field(default=16, ge=1, description="Frames of a clip; as in training.")
    clips: int | None = Field(
        default=32, ge=1, description="At most so many clips per session, evenly spaced; null for all."
    )
    probes: int | None = Field(
        default=4,
        ge=2,
        description="Random probes of the Jacobian per latent for `fisher`, with an error estimate in the result; "
        "null for the exact value, at the cost of two vector-Jacobian products per frame and latent.",
    )
    clips_at_once: int = Field(default=8, ge=1, description="Clips differentiated together; bounds memory only.")
    vectors_at_once: int = Field(
        default=16, ge=1, description="Vector-Jacobian products of a clip done together; bounds memory only."
    )
