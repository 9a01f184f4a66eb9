"""What a set of simulated animals looks like."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["SimulationConfiguration"]

_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

#: Fewest rows and columns of a frame, and of the part of it that drives cells.
_FEWEST_PIXELS = 8


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
    subpopulations: Literal["graded", "distinct"] = Field(
        "graded",
        description="Timing of cells: graded, drawn for each cell whatever its kind; or distinct, subpopulations that "
        "share one: transient and sustained cells with Gabor filters, half of them each, and slower luminance cells.",
    )
    firing_rate: float = Field(3.0, gt=0.0, description="Median over cells of the mean firing rate, in Hz.")
    noise: float = Field(
        0.06, ge=0.0, description="Median over cells of the noise of one dF/F sample; a spike is 0.15."
    )

    height: int = Field(36, ge=_FEWEST_PIXELS, description="Rows of a movie frame, in pixels.")
    width: int = Field(64, ge=_FEWEST_PIXELS, description="Columns of a movie frame, in pixels.")
    driving_region: tuple[_Fraction, _Fraction, _Fraction, _Fraction] | None = Field(
        None,
        description="Left, upper, right and lower border, as shares of the frame, of the part that cells look at; what "
        "is shown outside drives no cell. The whole frame where not given.",
    )
    frame_rate: float = Field(30.0, gt=0.0, description="Display frames per second.")
    movie_seconds: float = Field(10.0, gt=0.0, description="Length of each movie.")
    movies_per_block: int = Field(6, ge=1, description="Movies shown without a pause between two grey screens.")
    grey_seconds: float = Field(2.0, ge=0.5, description="Grey screen before, between and after blocks.")
    shared_fraction: _Fraction = Field(0.4, description="Share of an animal's movies that every animal sees.")
    repeated_fraction: _Fraction = Field(0.12, description="Share of showings that show a movie again.")
    repeats: int = Field(3, ge=2, description="Showings of each repeated movie; repeated movies are shared ones.")

    flashed_fraction: _Fraction = Field(
        0.0,
        description="Share of an animal's movies, shared and own, that are flashes: still photographs or smooth light "
        "and dark patches, in turn, with grey between them.",
    )
    flash_seconds: float = Field(0.5, gt=0.0, description="Length of each flash, and of the grey after it.")

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
        self._check_driving_region()
        self._check_flashes()
        return self

    def _check_driving_region(self) -> None:
        if self.driving_region is None:
            return
        left, upper, right, lower = self.driving_region
        if not (left < right and upper < lower):
            raise ValueError(
                "driving_region must be the left, upper, right and lower border, left before right and upper before "
                f"lower, not ({left}, {upper}, {right}, {lower})"
            )
        left, upper, right, lower = self.driving_box
        if min(right - left, lower - upper) < _FEWEST_PIXELS:
            raise ValueError(
                f"driving_region must cover at least {_FEWEST_PIXELS} rows and columns of the frame, not "
                f"{lower - upper} rows and {right - left} columns"
            )

    def _check_flashes(self) -> None:
        if self.flashed_fraction == 0.0:
            return
        if self.frames_per_flash < 1:
            raise ValueError(f"flash_seconds must be at least a frame, not {self.flash_seconds} s")
        if 2 * self.frames_per_flash > self.frames_per_movie:
            raise ValueError(
                f"flash_seconds must be at most half of movie_seconds, so that a flash and the grey after it fit into "
                f"a movie, not {self.flash_seconds} s of {self.movie_seconds} s"
            )

    @property
    def frames_per_movie(self) -> int:
        """Frames of each movie."""
        return round(self.movie_seconds * self.frame_rate)

    @property
    def frames_per_flash(self) -> int:
        """Frames of each flash, and of the grey after it."""
        return round(self.flash_seconds * self.frame_rate)

    @property
    def driving_box(self) -> tuple[int, int, int, int]:
        """Left, upper, right and lower border of the part of a frame that cells look at, in pixels.

        The right column and the lower row are the first outside.
        """
        if self.driving_region is None:
            return 0, 0, self.width, self.height
        left, upper, right, lower = self.driving_region
        return (
            round(left * self.width),
            round(upper * self.height),
            round(right * self.width),
            round(lower * self.height),
        )
