"""Settings of the attribution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["AttributionConfiguration", "SubpopulationConfiguration"]


class AttributionConfiguration(Configuration):
    """What is traced back, by which methods, and at what cost.

    Attributes
    ----------
    methods
        Methods of the design's section 5 offered so far.
    part
        Part of the split the attributed clips come from.
    clips
        At most so many clips per session, evenly over the recording; null takes all.
    context
        Whether neurons are read with the context of the animal's own recording, as latents are by default.
    probes
        Random probes of the Jacobian per latent for ``fisher``; the result states their error. Null computes it
        exactly, at the cost of two vector-Jacobian products per frame and latent.
    clips_at_once, vectors_at_once
        Clips, and vector-Jacobian products of them, done together; they bound memory. The probes drawn, and so the
        probes' noise, depend on them; exact figures do not.
    """

    methods: tuple[Literal["score", "fisher"], ...] = Field(default=("score", "fisher"), min_length=1)
    part: Literal["train", "validation", "test"] = "test"
    clips: int | None = Field(default=64, ge=1)
    context: bool = True
    probes: int | None = Field(default=4, ge=2)
    clips_at_once: int = Field(default=8, ge=1)
    vectors_at_once: int = Field(default=4, ge=1)


class SubpopulationConfiguration(Configuration):
    """How cells are grouped by their attribution.

    Attributes
    ----------
    attribution_method
        Which attribution's time courses are compared: ``fisher``, or of ``score``, which has a sign, the absolute
        value. Null takes ``fisher`` where there is one.
    most
        Largest number of subpopulations that is tried.
    splits
        In how many ways the clips are halved to see whether the same subpopulations come again.
    """

    attribution_method: Literal["score", "fisher"] | None = None
    most: int = Field(default=8, ge=1, le=50)
    splits: int = Field(default=20, ge=5)
