from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from nwb_mivae.simulation import SimulationConfiguration
from nwb_mivae.simulation.receptive_fields import LUMINANCE, NOT_VISUAL, Population, draw_population
from nwb_mivae.simulation.responses import draw_tuning, firing_rates, unscaled_drive, visual_drive
from nwb_mivae.simulation.schedule import Display


def display_of(movie: npt.NDArray[np.int64], frame: npt.NDArray[np.int64]) -> Display:
    n = len(movie)
    nothing = np.zeros(n, dtype=np.int64)
    return Display(np.arange(n + 1) / 30.0, movie, frame, nothing, nothing, np.zeros(n, dtype=np.bool_))


@pytest.fixture(scope="module")
def population() -> Population:
    return draw_population(SimulationConfiguration(cells=(120, 120)), np.random.default_rng(0))


def noise_movie(n_frames: int) -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(5).integers(0, 256, (n_frames, 6, 8), dtype=np.uint8)
    return coarse.repeat(6, axis=1).repeat(8, axis=2)


def test_grey_drives_nobody_and_every_visual_cell_answers_to_something(population: Population) -> None:
    movie = np.concatenate([np.full(60, -1), np.zeros(240, dtype=np.int64)])
    frame = np.concatenate([np.full(60, -1), np.arange(240) // 6])
    drive = visual_drive(population, [noise_movie(40)], display_of(movie, frame), 30.0)
    assert not drive[:60].any()
    assert not drive[:, population.cell_type == NOT_VISUAL].any()
    np.testing.assert_allclose(drive[:, population.visual].mean(axis=0), 1.0, rtol=1e-3)
    assert drive.min() >= 0.0


def test_only_luminance_cells_answer_to_uniform_light(population: Population) -> None:
    bright = np.full((30, 36, 64), 255, dtype=np.uint8)
    movies = [bright, noise_movie(30)]
    display = display_of(np.repeat([0, 1], 30), np.tile(np.arange(30), 2))
    drive = visual_drive(population, movies, display, 30.0)
    on = (population.cell_type == LUMINANCE) & (population.polarity > 0)
    assert (drive[15:30, on].mean(axis=0) > 0.0).mean() > 0.9
    assert drive[15:30, population.striped].max() < 1e-4


def test_pixels_outside_the_mask_change_nothing_that_a_cell_sees(population: Population) -> None:
    before = noise_movie(40)
    cell = int(np.flatnonzero(population.cell_type == LUMINANCE)[0])
    outside = population.envelopes(36, 64)[cell] < 0.01
    after = np.where(outside[None], 255 - before, before)
    display = display_of(np.zeros(40, dtype=np.int64), np.arange(40))
    one = visual_drive(population, [before], display, 30.0)[:, cell]
    other = visual_drive(population, [after], display, 30.0)[:, cell]
    assert np.corrcoef(one, other)[0, 1] > 0.95
    inverted = visual_drive(population, [255 - before], display, 30.0)[:, cell]
    assert np.corrcoef(one, inverted)[0, 1] < 0.0


@pytest.fixture(scope="module")
def distinct() -> Population:
    configuration = SimulationConfiguration(
        cells=(200, 200), subpopulations="distinct", driving_region=(0.5, 0.25, 1.0, 1.0)
    )
    return draw_population(configuration, np.random.default_rng(0))


def test_pixels_outside_the_driving_region_change_no_drive(distinct: Population) -> None:
    before = noise_movie(40)
    driving = distinct.driving_pixels(36, 64)
    display = display_of(np.zeros(40, dtype=np.int64), np.arange(40))
    drive = unscaled_drive(distinct, [before], display, 30.0)
    assert drive[:, distinct.visual].any(axis=0).all()
    outside = np.where(driving, before, np.random.default_rng(1).integers(0, 256, before.shape, dtype=np.uint8))
    np.testing.assert_array_equal(unscaled_drive(distinct, [outside], display, 30.0), drive)
    # One pixel column within does change it.
    inside = before.copy()
    inside[:, 9:, 32] = 255 - inside[:, 9:, 32]
    assert np.abs(unscaled_drive(distinct, [inside], display, 30.0) - drive).max() > 0.01


def test_a_picture_that_stays_drives_sustained_cells_on_and_transient_cells_for_a_moment(distinct: Population) -> None:
    # Grey for half a second, then one picture for a second.
    display = display_of(np.repeat([-1, 0], [15, 30]), np.repeat([-1, 0], [15, 30]))
    drive = unscaled_drive(distinct, [noise_movie(1)], display, 30.0)
    onset, late = drive[15:25].max(axis=0), drive[35:].mean(axis=0)
    rise = (drive[15:] >= drive[15:].max(axis=0) / 2.0).argmax(axis=0)
    left, frames_to_half = {}, {}
    for name in ("transient", "sustained", "luminance"):
        answering = (distinct.subpopulation == name) & (onset > 0.01)
        assert answering.sum() >= 10
        left[name] = np.median(late[answering] / onset[answering])
        frames_to_half[name] = np.median(rise[answering])
    assert left["transient"] < 0.1
    assert left["sustained"] > 0.6
    assert left["luminance"] > 0.9
    # Luminance cells are the slow ones.
    assert frames_to_half["luminance"] > frames_to_half["sustained"]


def test_a_stimulus_drives_nobody_before_it_comes(population: Population) -> None:
    display = display_of(np.array([-1] * 10 + [0] * 10 + [-1] * 20), np.array([-1] * 10 + [3] * 10 + [-1] * 20))
    drive = visual_drive(population, [noise_movie(5)], display, 30.0)
    assert not drive[:10].any()
    assert drive[10:14, population.visual].any()


@pytest.mark.parametrize("fractions", [(1.0, 0.0), (0.0, 1.0)])
def test_populations_without_gabor_cells_work(fractions: tuple[float, float]) -> None:
    configuration = SimulationConfiguration(
        cells=(5, 5), luminance_fraction=fractions[0], not_visual_fraction=fractions[1]
    )
    population = draw_population(configuration, np.random.default_rng(0))
    display = display_of(np.zeros(20, dtype=np.int64), np.arange(20))
    drive = visual_drive(population, [noise_movie(20)], display, 30.0)
    assert np.isfinite(drive).all()
    assert drive.any() == (fractions[0] == 1.0)


def test_private_factors_change_gain_as_loaded(population: Population) -> None:
    tuning = draw_tuning(population, 3, 3.0, np.random.default_rng(1))
    drive = np.ones((2, population.n_cells), dtype=np.float32)
    factors = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    rates = firing_rates(population, tuning, drive, factors)
    np.testing.assert_allclose(rates[1] / rates[0], np.exp(tuning.loadings[:, 0]), rtol=1e-5)
    np.testing.assert_allclose(rates[0], tuning.mean_rate, rtol=1e-5)
    reached = tuning.loadings != 0.0
    assert 0.3 < reached[population.visual].mean() < 0.7
    assert reached[~population.visual].mean() > reached[population.visual].mean()


def test_rates_have_a_ceiling(population: Population) -> None:
    tuning = draw_tuning(population, 3, 3.0, np.random.default_rng(1))
    drive = np.full((1, population.n_cells), 1e4, dtype=np.float32)
    assert firing_rates(population, tuning, drive, np.zeros((1, 3))).max() == 60.0


def test_unscaled_drive_is_the_same_whatever_else_the_session_shows(population: Population) -> None:
    movies = [noise_movie(40), 255 - noise_movie(40)]
    short = display_of(np.zeros(40, dtype=np.int64), np.arange(40))
    long = display_of(np.repeat([0, 1], 40), np.tile(np.arange(40), 2))
    one = unscaled_drive(population, movies, short, 30.0)
    np.testing.assert_allclose(one, unscaled_drive(population, movies, long, 30.0)[:40], atol=1e-6)
    assert not np.allclose(
        visual_drive(population, movies, short, 30.0), visual_drive(population, movies, long, 30.0)[:40]
    )
