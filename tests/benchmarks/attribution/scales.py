"""How large the benchmark of attribution is, and the animals, with truth planted in them, that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nwb_mivae.simulation import SimulationConfiguration

__all__ = ["SCALES", "Scale"]

#: Of the data. Seeds of the benchmark are those of training; the animals are always the same, and none of those that
#: methods and settings were chosen on (seed 0).
_DATA_SEED = 1
#: Left half of the frame: what is shown in the right half drives no cell.
_DRIVING_REGION = (0.0, 0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Scale:
    """Sizes of everything; has what :func:`tests.benchmarks.alignment.scales.material` asks of a scale.

    Attributes
    ----------
    animals, trained, held_out : int
        How many are simulated, how many of the first are trained on, and how many of the last are held out and judged.
    minutes, height, width, cells, movie_seconds, flash_seconds
        See :class:`~nwb_mivae.simulation.SimulationConfiguration`.
    clip_frames, steps : int
        Frames of a clip; of training.
    clips_to_neurons, clips_to_pixels : mapping of str to int or None
        By method, at most so many test clips of an animal, evenly; None takes all.
    clips_of_private_latents : int
        The same of attribution of private latents to neurons.
    curve_clips, curve_clips_of_pixels, random_orders : int
        Clips that curves of removal are judged on, and random orders beside them.
    control_clips_to_neurons, control_clips_to_pixels : mapping of str to int
        Clips that models with random weights are judged on, by method; methods that are not named are left out.
    control_draws : int
        How many such models there are: an even number, of which every second is shown mirrored frames.
    region_clips, null_clips, null_frames, null_draws, null_permutations : int
        Clips whose attribution to pixels is compared with what is shown; clips, frames of each and permutations of the
        maps that have nothing to do with it, and how many of these are drawn.
    """

    name: str
    animals: int
    trained: int
    held_out: int
    minutes: float
    height: int
    width: int
    cells: tuple[int, int]
    movie_seconds: float
    flash_seconds: float
    clip_frames: int
    steps: int
    clips_to_neurons: Mapping[str, int | None]
    clips_to_pixels: Mapping[str, int | None]
    clips_of_private_latents: int
    curve_clips: int
    curve_clips_of_pixels: int
    random_orders: int
    control_clips_to_neurons: Mapping[str, int]
    control_clips_to_pixels: Mapping[str, int]
    control_draws: int
    region_clips: int
    null_clips: int
    null_frames: int
    null_draws: int
    null_permutations: int

    @property
    def simulation(self) -> SimulationConfiguration:
        """What is simulated."""
        return SimulationConfiguration(
            animals=self.animals,
            minutes=self.minutes,
            cells=self.cells,
            height=self.height,
            width=self.width,
            movie_seconds=self.movie_seconds,
            subpopulations="distinct",
            driving_region=_DRIVING_REGION,
            flashed_fraction=0.5,
            flash_seconds=self.flash_seconds,
            firing_rate=4.0,
            seed=_DATA_SEED,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for results."""
        return asdict(self)


SCALES: Mapping[str, Scale] = {
    "tiny": Scale(
        name="tiny",
        animals=3,
        trained=2,
        held_out=1,
        minutes=1.5,
        height=18,
        width=32,
        cells=(30, 40),
        movie_seconds=2.0,
        flash_seconds=0.5,
        clip_frames=8,
        steps=4,
        clips_to_neurons={
            "score": None,
            "fisher": 8,
            "gradient": 8,
            "gradient_x_input": None,
            "integrated_gradients": 4,
            "occlusion": 4,
        },
        clips_to_pixels={
            "score": 8,
            "fisher": 12,
            "gradient": 8,
            "gradient_x_input": 8,
            "integrated_gradients": 2,
            "occlusion": 2,
        },
        clips_of_private_latents=4,
        curve_clips=12,
        curve_clips_of_pixels=8,
        random_orders=1,
        control_clips_to_neurons={
            "score": 4,
            "fisher": 4,
            "gradient": 4,
            "gradient_x_input": 4,
            "integrated_gradients": 2,
            "occlusion": 2,
        },
        control_clips_to_pixels=dict.fromkeys(("score", "fisher", "gradient", "gradient_x_input"), 2),
        control_draws=4,
        region_clips=12,
        null_clips=4,
        null_frames=2,
        null_draws=3,
        null_permutations=100,
    ),
    "small": Scale(
        name="small",
        animals=6,
        trained=4,
        held_out=2,
        minutes=24.0,
        height=18,
        width=32,
        cells=(150, 220),
        movie_seconds=10.0,
        flash_seconds=1.0,
        clip_frames=16,
        steps=300,
        clips_to_neurons={
            "score": None,
            "fisher": 128,
            "gradient": 128,
            "gradient_x_input": None,
            "integrated_gradients": 64,
            "occlusion": 64,
        },
        clips_to_pixels={
            "score": 64,
            "fisher": 48,
            "gradient": 64,
            "gradient_x_input": 64,
            "integrated_gradients": 24,
            "occlusion": 64,
        },
        clips_of_private_latents=64,
        curve_clips=128,
        curve_clips_of_pixels=64,
        random_orders=5,
        control_clips_to_neurons={
            "score": 32,
            "fisher": 32,
            "gradient": 32,
            "gradient_x_input": 32,
            "integrated_gradients": 8,
            "occlusion": 8,
        },
        control_clips_to_pixels=dict.fromkeys(("score", "fisher", "gradient", "gradient_x_input"), 8),
        control_draws=4,
        region_clips=48,
        null_clips=24,
        null_frames=4,
        null_draws=60,
        null_permutations=400,
    ),
}
