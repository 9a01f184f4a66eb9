"""What a set of simulated animals looks like."""

from __future__ import annotations

from typing import Annotated, Self

import pydantic
from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["SimulationConfiguration"]

_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class SimulationConfiguration(Configuration):
    """How many animals are simulated, what they see, what their cells are like and what goes wrong.

    Animal ``i`` and shared movie ``k`` depend on ``seed`` and on the other settings, never on ``animals``: a larger
    set begins with the animals of the smaller one.
    """

    animals: int = Field(5, ge=1, le=10_000, description="Number of animals, one session each.")
    minutes: float = Field(6.0, gt=0.0, description="Length of each session.")
    seed: int = Field(0, ge=0, description="Everything random follows from this number.")

    cells: tuple[int, int] = Field((150, 300), description="Fewest and most cells of an animal.")
    luminance_fraction: _Fraction = Field(0.15, description="Share of cells driven by local luminance.")
    not_visual_fraction: _Fraction = Field(0.15, description="Share of cells that no stimulus drives.")
    firing_rate: float = Field(3.0, gt=0.0, description="Median over cells of the mean firing rate, in Hz.")
    noise: float = Field(
        0.06, ge=0.0, description="Median over cells of the noise of one dF/F sample; a spike is 0.15."
    )

    height: int = Field(36, ge=8, description="Rows of a movie frame, in pixels.")
    width: int = Field(64, ge=8, description="Columns of a movie frame, in pixels.")
    frame_rate: float = Field(30.0, gt=0.0, description="Display frames per second.")
    movie_seconds: float = Field(10.0, gt=0.0, description="Length of each movie.")
    movies_per_block: int = Field(6, ge=1, description="Movies shown without a pause between two grey screens.")
    grey_seconds: float = Field(2.0, ge=0.5, description="Grey screen before, between and after blocks.")
    shared_fraction: _Fraction = Field(0.4, description="Share of an animal's movies that every animal sees.")
    repeated_fraction: _Fraction = Field(0.12, description="Share of showings that show a movie again.")
    repeats: int = Field(3, ge=2, description="Showings of each repeated movie; repeated movies are shared ones.")

    imaging_rate: tuple[float, float] = Field(
        (29.8, 30.9), description="Range of imaging rates in Hz; each animal has its own."
    )
    display_jitter: float = Field(
        0.0, ge=0.0, description="Standard deviation, in seconds, of display onsets around their clock."
    )
    dropped_frames: float = Field(
        0.0, ge=0.0, le=0.5, description="Share of movie frames never shown; the frame before stays on screen."
    )
    imaging_gaps: int = Field(0, ge=0, description="Pauses of imaging, 1 to 3 s each, in every session.")

    @pydantic.model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name, (low, high) in {"cells": self.cells, "imaging_rate": self.imaging_rate}.items():
            if not 0 < low <= high:
                raise ValueError(f"{name} must be two positive numbers, the smaller one first, not ({low}, {high})")
        if self.luminance_fraction + self.not_visual_fraction > 1.0:
            raise ValueError("luminance_fraction and not_visual_fraction must not add up to more than 1")
        return self

    @property
    def frames_per_movie(self) -> int:
        """Frames of each movie."""
        return round(self.movie_seconds * self.frame_rate)
