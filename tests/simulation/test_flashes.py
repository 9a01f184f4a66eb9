from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from nwb_mivae.simulation import SimulationConfiguration
from nwb_mivae.simulation.flashes import GREY, flash_patches, flash_photographs
from nwb_mivae.simulation.movies import film
from nwb_mivae.simulation.photographs import Photographs
from nwb_mivae.simulation.receptive_fields import draw_population
from nwb_mivae.simulation.responses import unscaled_drive
from nwb_mivae.simulation.schedule import Display

Movie = npt.NDArray[np.uint8]
FRAMES, LASTING = 620, 15


@pytest.fixture(scope="module")
def flashed_photographs(photographs: Photographs) -> Movie:
    return flash_photographs(
        np.random.default_rng(0), photographs, n_frames=FRAMES, frames_per_flash=LASTING, height=36, width=64
    )


@pytest.fixture(scope="module")
def flashed_patches() -> Movie:
    return flash_patches(np.random.default_rng(0), n_frames=FRAMES, frames_per_flash=LASTING, height=36, width=64)


@pytest.mark.parametrize("kind", ["flashed_photographs", "flashed_patches"])
def test_a_still_picture_and_grey_take_turns(kind: str, request: pytest.FixtureRequest) -> None:
    movie: Movie = request.getfixturevalue(kind)
    assert movie.shape == (FRAMES, 36, 64)
    assert movie.dtype == np.uint8
    grey = np.arange(FRAMES) // LASTING % 2 == 1
    assert (movie[grey] == GREY).all()
    assert movie[~grey].reshape((~grey).sum(), -1).std(axis=1).min() > 10.0
    onsets = np.arange(0, FRAMES, 2 * LASTING)
    for onset in onsets:
        assert (movie[onset : onset + LASTING] == movie[onset]).all()
    assert len(np.unique(movie[onsets].reshape(len(onsets), -1), axis=0)) == len(onsets)


def test_equal_randomness_flashes_equal_pictures(photographs: Photographs, flashed_photographs: Movie) -> None:
    again, other = (
        flash_photographs(
            np.random.default_rng(seed), photographs, n_frames=40, frames_per_flash=LASTING, height=36, width=64
        )
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(again, flashed_photographs[:40])
    assert (other[:LASTING] != again[:LASTING]).mean() > 0.5


def test_patches_drive_luminance_cells_and_hardly_gabor_cells(
    photographs: Photographs, flashed_photographs: Movie, flashed_patches: Movie
) -> None:
    population = draw_population(
        SimulationConfiguration(cells=(200, 200), subpopulations="distinct"), np.random.default_rng(0)
    )
    natural = film(np.random.default_rng(0), photographs, n_frames=FRAMES, height=36, width=64, frame_rate=30.0)

    def mean_drive(movie: Movie) -> dict[str, float]:
        nothing = np.zeros(FRAMES, dtype=np.int64)
        never = np.zeros(FRAMES, dtype=np.bool_)
        display = Display(np.arange(FRAMES + 1) / 30.0, nothing, np.arange(FRAMES), nothing, nothing, never)
        drive = unscaled_drive(population, [movie], display, 30.0).mean(axis=0)
        return {
            name: float(drive[population.subpopulation == name].mean()) for name in np.unique(population.subpopulation)
        }

    patches, views, moving = (mean_drive(movie) for movie in (flashed_patches, flashed_photographs, natural))
    assert patches["luminance"] > views["luminance"]
    for name in ("transient", "sustained"):
        assert patches[name] < 0.25 * views[name]
    # What moves drives transient cells more than what is flashed does.
    assert views["transient"] < 0.5 * moving["transient"]


def test_patches_are_light_and_dark_on_average_as_grey_as_the_screen() -> None:
    movie = flash_patches(np.random.default_rng(1), n_frames=400, frames_per_flash=1, height=18, width=32)[::2]
    assert np.percentile(movie, 10) < 50
    assert np.percentile(movie, 90) > 205
    assert abs(movie.mean() - 127.5) < 15.0
    # No step between neighbouring pixels is sharp.
    assert max(np.abs(np.diff(movie.astype(int), axis=axis)).max() for axis in (1, 2)) < 40
