"""One simulated animal: what it saw, what its cells did, and what the rig recorded of it. No files here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import SimulationError
from nwb_mivae.simulation.behaviour import FACTORS, Behaviour, draw_behaviour
from nwb_mivae.simulation.calcium import SPIKE_AMPLITUDE, draw_spikes, fluorescence
from nwb_mivae.simulation.configuration import SimulationConfiguration
from nwb_mivae.simulation.flashes import flash_patches, flash_photographs
from nwb_mivae.simulation.movies import film
from nwb_mivae.simulation.photographs import Photographs
from nwb_mivae.simulation.randomness import Use, generator
from nwb_mivae.simulation.receptive_fields import Population, draw_population
from nwb_mivae.simulation.responses import Tuning, draw_tuning, firing_rates, visual_drive
from nwb_mivae.simulation.schedule import FLASHED_PATCHES, FLASHED_PHOTOGRAPHS, Display, Programme, display

__all__ = ["Animal", "Recording", "film_shared_movies", "shared_movie_name", "simulate_animal", "subject_of"]

FloatArray = npt.NDArray[np.float64]
Movie = npt.NDArray[np.uint8]

_RUNNING_RATE = 60.0
_PUPIL_RATE = 30.1
_SECONDS_AFTER_DISPLAY = 0.5
_GAP_SECONDS = (1.0, 3.0)
#: Standard deviation, in seconds, of the measured onset of each imaging frame: hardware clocks are never exact.
_TIMESTAMP_JITTER = 2e-5


@dataclass(frozen=True)
class Recording:
    """What the rig recorded, each on its own clock.

    Attributes
    ----------
    dff : ndarray of float32, (T, N)
        dF/F.
    dff_time : ndarray of float64, (T,)
        Seconds, strictly increasing; imaging gaps are missing samples.
    imaging_rate, frame_rate : float
        Hz; nominal rates of microscope and display.
    running, running_time : ndarray of float64, (R,)
        cm/s at seconds.
    pupil : ndarray of float64, (P,)
        Millimetres, regularly sampled at ``pupil_rate`` Hz from ``pupil_start`` seconds.
    """

    dff: npt.NDArray[np.float32]
    dff_time: FloatArray
    imaging_rate: float
    frame_rate: float
    running: FloatArray
    running_time: FloatArray
    pupil: FloatArray
    pupil_start: float
    pupil_rate: float


@dataclass(frozen=True)
class Animal:
    """One animal with its session and the truth behind it; F display refreshes, N cells.

    Attributes
    ----------
    subject : str
        Subject id.
    number : int
        Which animal of the configuration, from 0.
    movies : mapping of str to ndarray of uint8, (frames, height, width)
        In the order that ``display.movie`` counts, shared movies first.
    kinds : tuple of str
        Kind of each movie, see :class:`nwb_mivae.simulation.schedule.Programme`.
    drive : ndarray of float32, (F, N)
        What the stimulus alone does to each cell, mean 1 for visual cells.
    rates : ndarray of float32, (F, N)
        Firing rates in Hz.
    factors : ndarray of float64, (F, 3)
        Private factors at each refresh.
    spike_times, spike_ends
        See :func:`nwb_mivae.simulation.calcium.draw_spikes`.
    """

    subject: str
    number: int
    population: Population
    tuning: Tuning
    movies: dict[str, Movie]
    kinds: tuple[str, ...]
    display: Display
    drive: npt.NDArray[np.float32]
    rates: npt.NDArray[np.float32]
    factors: FloatArray
    spike_times: FloatArray
    spike_ends: npt.NDArray[np.int64]
    recording: Recording


def subject_of(configuration: SimulationConfiguration, number: int) -> str:
    """Subject id of animal ``number`` (from 0); animals of different seeds have different ids."""
    return f"sim{configuration.seed}mouse{number + 1:02d}"


def shared_movie_name(programme: Programme, number: int) -> str:
    """Template name of a shared movie, the same in every animal's file; it begins with the movie's kind."""
    return f"{programme.kinds[number]}_shared_{number:02d}"


def film_shared_movies(
    configuration: SimulationConfiguration, programme: Programme, photographs: Photographs
) -> list[Movie]:
    """The movies that every animal sees."""
    return [
        _film(configuration, kind, generator(configuration.seed, Use.SHARED_MOVIE, number), photographs)
        for number, kind in enumerate(programme.kinds[: programme.shared])
    ]


def simulate_animal(
    configuration: SimulationConfiguration,
    number: int,
    programme: Programme,
    shared: Sequence[Movie],
    photographs: Photographs,
) -> Animal:
    """Simulate animal ``number``; its randomness depends on the seed and that number alone.

    Raises
    ------
    SimulationError
        If the cells do not fit into the field of view, or the imaging gaps into the session.
    """
    seed = configuration.seed
    subject = subject_of(configuration, number)
    movies = {shared_movie_name(programme, k): movie for k, movie in enumerate(shared)}
    for k, kind in enumerate(programme.kinds[programme.shared :]):
        movies[f"{kind}_{subject}_{k:02d}"] = _film(
            configuration, kind, generator(seed, Use.OWN_MOVIE, number, k), photographs
        )
    shown = display(
        configuration,
        programme,
        order=generator(seed, Use.SCHEDULE, number),
        faults=generator(seed, Use.DISPLAY, number),
    )
    of_population = generator(seed, Use.POPULATION, number)
    population = draw_population(configuration, of_population)
    tuning = draw_tuning(population, len(FACTORS), configuration.firing_rate, of_population)
    of_behaviour = generator(seed, Use.BEHAVIOUR, number)
    duration = float(shown.time[-1]) + _SECONDS_AFTER_DISPLAY
    behaviour = draw_behaviour(duration, of_behaviour)

    factors = behaviour.factors_at(shown.time[:-1])
    drive = visual_drive(population, list(movies.values()), shown, configuration.frame_rate)
    rates = firing_rates(population, tuning, drive, factors)
    # Cells fire before the display comes on and after it goes off, too, as they do at its first and last refresh.
    edges = shown.time.copy()
    edges[0], edges[-1] = 0.0, duration
    spike_times, spike_ends = draw_spikes(rates, edges, generator(seed, Use.SPIKES, number))
    recording = _record(
        configuration,
        duration,
        behaviour,
        spike_times,
        spike_ends,
        imaging=generator(seed, Use.IMAGING, number),
        rig=of_behaviour,
    )
    return Animal(
        subject=subject,
        number=number,
        population=population,
        tuning=tuning,
        movies=movies,
        kinds=programme.kinds,
        display=shown,
        drive=drive,
        rates=rates,
        factors=factors,
        spike_times=spike_times,
        spike_ends=spike_ends,
        recording=recording,
    )


def _film(
    configuration: SimulationConfiguration, kind: str, random: np.random.Generator, photographs: Photographs
) -> Movie:
    n_frames, height, width = configuration.frames_per_movie, configuration.height, configuration.width
    lasting = configuration.frames_per_flash
    if kind == FLASHED_PATCHES:
        return flash_patches(random, n_frames=n_frames, frames_per_flash=lasting, height=height, width=width)
    if kind == FLASHED_PHOTOGRAPHS:
        return flash_photographs(
            random, photographs, n_frames=n_frames, frames_per_flash=lasting, height=height, width=width
        )
    return film(random, photographs, n_frames=n_frames, height=height, width=width, frame_rate=configuration.frame_rate)


def _record(
    configuration: SimulationConfiguration,
    duration: float,
    behaviour: Behaviour,
    spike_times: FloatArray,
    spike_ends: npt.NDArray[np.int64],
    *,
    imaging: np.random.Generator,
    rig: np.random.Generator,
) -> Recording:
    n_cells = len(spike_ends)
    rate = float(imaging.uniform(*configuration.imaging_rate))
    start = float(imaging.uniform(0.01, 0.05))
    amplitude = SPIKE_AMPLITUDE * np.exp(0.25 * imaging.standard_normal(n_cells))
    noise = configuration.noise * np.exp(0.25 * imaging.standard_normal(n_cells))
    n_samples = int((duration - start) * rate)
    dff = fluorescence(spike_times, spike_ends, amplitude, start=start, rate=rate, n_samples=n_samples)
    dff += noise * imaging.standard_normal((n_samples, n_cells))
    time = start + np.arange(n_samples) / rate
    kept = ~_gaps(configuration, time, duration, imaging)
    time = time + np.clip(_TIMESTAMP_JITTER * imaging.standard_normal(n_samples), -0.1 / rate, 0.1 / rate)

    running_time = np.arange(0.004, duration, 1.0 / _RUNNING_RATE)
    running_time = running_time + np.clip(1e-4 * rig.standard_normal(len(running_time)), -2e-3, 2e-3)
    pupil_start = 0.011
    pupil_time = np.arange(pupil_start, duration, 1.0 / _PUPIL_RATE)
    return Recording(
        dff=dff[kept].astype(np.float32),
        dff_time=time[kept],
        imaging_rate=rate,
        frame_rate=configuration.frame_rate,
        running=behaviour.running_speed(running_time, rig),
        running_time=running_time,
        pupil=behaviour.pupil_diameter(pupil_time, rig),
        pupil_start=pupil_start,
        pupil_rate=_PUPIL_RATE,
    )


def _gaps(
    configuration: SimulationConfiguration, time: FloatArray, duration: float, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """(T,) samples that fall into an imaging gap."""
    longest = configuration.imaging_gaps * _GAP_SECONDS[1]
    if longest > duration / 2.0:
        raise SimulationError(
            f"{configuration.imaging_gaps} imaging gaps in a session of {duration:.0f} s",
            expected=f"at most {int(duration / 2.0 / _GAP_SECONDS[1])}",
            remedy="ask for fewer gaps or more minutes",
            object_path="imaging_gaps",
        )
    missing = np.zeros(len(time), dtype=np.bool_)
    for _ in range(configuration.imaging_gaps):
        length = random.uniform(*_GAP_SECONDS)
        start = random.uniform(_GAP_SECONDS[1], duration - 2.0 * _GAP_SECONDS[1])
        missing |= (time >= start) & (time < start + length)
    return missing
