"""Simulated recordings of one kind, prepared as any recording is: through alignment into a clip store, and split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.clips import ClipsConfiguration, ClipStore, Split, SplitConfiguration, make_split, prepare
from nwb_mivae.sessions.session import (
    CELL_COLUMNS,
    PRESENTATION_COLUMNS,
    BehaviourSeries,
    MultiPlaneTraces,
    Provenance,
    SampledTraces,
    Session,
    SpikeTrains,
    Traces,
)
from nwb_mivae.simulation.animal import film_shared_movies
from nwb_mivae.simulation.behaviour import FACTORS, draw_behaviour
from nwb_mivae.simulation.calcium import DECAY_SECONDS, SPIKE_AMPLITUDE, draw_spikes, fluorescence
from nwb_mivae.simulation.photographs import load_photographs
from nwb_mivae.simulation.receptive_fields import Population, draw_population
from nwb_mivae.simulation.responses import draw_tuning, firing_rates, visual_drive
from nwb_mivae.simulation.schedule import Display, display, plan_programme
from tests.benchmarks.defaults.kinds import Kind
from tests.clip_stores import ArrayTemplate

__all__ = ["material"]

FloatArray = npt.NDArray[np.float64]
Movie = npt.NDArray[np.uint8]

_RATE_OF_BEHAVIOUR = 30.0
#: Noise of a dF/F sample at 30 Hz. A slower microscope collects light for longer: less noise, by the root of the time.
_NOISE = 0.06
#: Steps of dF/F below so many standard deviations of the noise are not taken for activity.
_THRESHOLD = 1.5


def material(kind: Kind, folder: Path, *, n_frames: int) -> tuple[ClipStore, Split]:
    """The store and its split, made in ``folder`` or taken from there; the last animals are held out.

    Raises
    ------
    ValueError
        If the folder holds recordings of another kind.
    """
    place, made_of = folder / "store", folder / "kind.txt"
    settings = f"{kind.simulation.to_yaml()}{kind.trace_kind} {kind.planes} {kind.held_out}\n"
    if (place / "manifest.json").exists():
        if made_of.read_text(encoding="utf-8") != settings:
            raise ValueError(f"{folder} holds recordings of other settings than {kind.name!r}; choose another folder")
        store = ClipStore.open(place)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        made_of.write_text(settings, encoding="utf-8")
        store = prepare(_sessions(kind), place, configuration=ClipsConfiguration(height=18, width=32))
    subjects = [session.subject for session in store.sessions.values()]
    held_out = SplitConfiguration(held_out=subjects[-kind.held_out :])
    return store, make_split(store, held_out, n_frames=n_frames)


def _sessions(kind: Kind) -> list[Session]:
    """All animals see all movies, each in its own order."""
    simulation = kind.simulation.model_copy(update={"shared_fraction": 1.0})
    programme = plan_programme(simulation)
    movies = film_shared_movies(simulation, programme, load_photographs())
    templates = [ArrayTemplate(f"movie_{number:02d}", movie) for number, movie in enumerate(movies)]
    sessions = []
    for number in range(simulation.animals):
        random = np.random.default_rng([simulation.seed, 11, number])
        shown = display(simulation, programme, order=random, faults=random)
        sessions.append(_session(kind, number, shown, movies, templates, random))
    return sessions


def _session(
    kind: Kind,
    number: int,
    shown: Display,
    movies: Sequence[Movie],
    templates: Sequence[ArrayTemplate],
    random: np.random.Generator,
) -> Session:
    duration = float(shown.time[-1]) + 0.5
    behaviour = draw_behaviour(duration, random)
    factors = behaviour.factors_at(shown.time[:-1])
    planes, populations = [], []
    for plane in range(kind.planes):
        population = draw_population(kind.simulation, random)
        tuning = draw_tuning(population, len(FACTORS), kind.simulation.firing_rate, random)
        drive = visual_drive(population, movies, shown, kind.frame_rate)
        rates = firing_rates(population, tuning, drive, factors)
        edges = shown.time.copy()
        edges[0], edges[-1] = 0.0, duration
        spike_times, ends = draw_spikes(rates, edges, random)
        populations.append(population)
        planes.append(_traces(kind, spike_times, ends, duration, plane, random))
    traces: Traces = planes[0]
    sampled = [plane for plane in planes if isinstance(plane, SampledTraces)]
    if len(sampled) > 1:
        traces = MultiPlaneTraces(sampled)
    subject = f"mouse-{number}"
    time = np.arange(0.01, duration, 1.0 / _RATE_OF_BEHAVIOUR)
    path = f"{subject}.nwb"
    return Session(
        key=subject,
        traces=traces,
        cells=_cells(populations, path),
        presentations=_presentations(shown, [template.name for template in templates]),
        templates={template.name: template for template in templates},
        missing_templates={},
        behaviour={
            "running": BehaviourSeries("running", time, behaviour.running_speed(time, random), "cm/s", "running"),
            "pupil": BehaviourSeries("pupil", time, behaviour.pupil_diameter(time, random), "mm", "pupil"),
        },
        provenance=Provenance(path, "2.9.0", subject, subject, subject, subject, "Mus musculus", "2025-01-01"),
    )


def _traces(
    kind: Kind,
    spike_times: FloatArray,
    ends: npt.NDArray[np.int64],
    duration: float,
    plane: int,
    random: np.random.Generator,
) -> SampledTraces | SpikeTrains:
    if kind.trace_kind == "spikes":
        return SpikeTrains(spike_times, ends, interval=(0.0, duration), path="units")
    rate = kind.imaging_rate
    # Planes are imaged in turn.
    start = 0.02 + plane / kind.planes / rate
    n_samples = int((duration - start) * rate)
    amplitude = SPIKE_AMPLITUDE * np.exp(0.25 * random.standard_normal(len(ends)))
    noise = _NOISE * (rate / 30.0) ** 0.5 * np.exp(0.25 * random.standard_normal(len(ends)))
    values = fluorescence(spike_times, ends, amplitude, start=start, rate=rate, n_samples=n_samples)
    values += noise * random.standard_normal(values.shape)
    if kind.trace_kind == "deconvolved":
        values = _deconvolved(values, noise, rate)
    activity = values.astype(np.float32)
    return SampledTraces(
        lambda first, last: activity[first:last],
        start + np.arange(n_samples) / rate,
        len(ends),
        kind=kind.trace_kind,
        unit="n.a.",
        path=f"processing/ophys/plane{plane}",
    )


def _deconvolved(dff: FloatArray, noise: FloatArray, rate: float) -> FloatArray:
    """What dF/F rose by beyond the indicator's decay, where that is more than noise; else zero."""
    steps = (
        np.diff(dff, axis=0, prepend=dff[:1]) + (1.0 - np.exp(-1.0 / (rate * DECAY_SECONDS))) * np.r_[dff[:1], dff[:-1]]
    )
    rose: FloatArray = np.maximum(steps - _THRESHOLD * noise, 0.0)
    return rose


def _cells(populations: Sequence[Population], path: str) -> pd.DataFrame:
    coordinates = np.concatenate([population.coordinates for population in populations])
    plane = np.repeat(np.arange(len(populations)), [population.n_cells for population in populations])
    table = pd.DataFrame(
        {
            "id": np.arange(len(coordinates)).astype(str),
            **dict(zip("xyz", coordinates.T, strict=True)),
            "area": "VISp",
            "plane": [f"plane{number}" for number in plane],
            "source_row": np.arange(len(coordinates)),
            "source_path": "PlaneSegmentation",
            "source_file": path,
        }
    )
    return table[list(CELL_COLUMNS)]


def _presentations(shown: Display, names: Sequence[str]) -> pd.DataFrame:
    rows = shown.presented
    template = [names[movie] for movie in shown.movie[rows]]
    table = pd.DataFrame(
        {
            "start_time": shown.time[:-1][rows],
            "stop_time": shown.presentation_stop,
            "stimulus": template,
            "template": template,
            "frame": shown.frame[rows],
            "parameters": "",
            "blank": False,
            "omitted": False,
            "block": shown.block[rows].astype(str),
            "repeat": shown.repeat[rows],
            "source_path": "intervals/movies",
            "source_row": np.arange(len(rows)),
        }
    )
    return table[list(PRESENTATION_COLUMNS)]
