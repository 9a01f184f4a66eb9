from __future__ import annotations

from pathlib import Path

import pytest

from nwb_mivae.simulation import SimulatedAnimal, SimulationConfiguration, simulate
from nwb_mivae.simulation.animal import Animal, film_shared_movies, simulate_animal
from nwb_mivae.simulation.photographs import Photographs, load_photographs
from nwb_mivae.simulation.schedule import plan_programme


@pytest.fixture(scope="session")
def photographs() -> Photographs:
    return load_photographs()


@pytest.fixture(scope="session")
def small() -> SimulationConfiguration:
    """Two animals for which everything that can go wrong does, small enough for a test."""
    return SimulationConfiguration(
        animals=2,
        minutes=0.6,
        seed=3,
        cells=(30, 40),
        movie_seconds=2.2,
        movies_per_block=4,
        grey_seconds=1.0,
        repeated_fraction=0.3,
        display_jitter=0.002,
        dropped_frames=0.02,
        imaging_gaps=2,
    )


@pytest.fixture(scope="session")
def written(small: SimulationConfiguration, tmp_path_factory: pytest.TempPathFactory) -> list[SimulatedAnimal]:
    folder: Path = tmp_path_factory.mktemp("simulated")
    return simulate(folder, small)


@pytest.fixture(scope="session")
def planted() -> SimulationConfiguration:
    """Two animals with everything that attribution is tested against, small enough for a test."""
    return SimulationConfiguration(
        animals=2,
        minutes=0.8,
        seed=3,
        cells=(40, 40),
        movie_seconds=2.2,
        movies_per_block=4,
        grey_seconds=1.0,
        repeated_fraction=0.3,
        subpopulations="distinct",
        driving_region=(0.5, 0.0, 1.0, 1.0),
        flashed_fraction=0.5,
    )


@pytest.fixture(scope="session")
def written_planted(
    planted: SimulationConfiguration, tmp_path_factory: pytest.TempPathFactory
) -> list[SimulatedAnimal]:
    folder: Path = tmp_path_factory.mktemp("planted")
    return simulate(folder, planted)


@pytest.fixture(scope="session")
def animal(photographs: Photographs) -> Animal:
    """One animal with a faultless rig and enough movies to decode from."""
    configuration = SimulationConfiguration(minutes=3.0, seed=1, cells=(120, 120))
    programme = plan_programme(configuration)
    shared = film_shared_movies(configuration, programme, photographs)
    return simulate_animal(configuration, 0, programme, shared, photographs)
