from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.signal import lfilter

from nwb_mivae.errors import SimulationError
from nwb_mivae.simulation import SimulationConfiguration
from nwb_mivae.simulation.animal import Animal, film_shared_movies, simulate_animal
from nwb_mivae.simulation.photographs import Photographs
from nwb_mivae.simulation.receptive_fields import draw_population
from nwb_mivae.simulation.responses import visual_drive
from nwb_mivae.simulation.schedule import plan_programme

FloatArray = npt.NDArray[np.float64]
CLIP = 16


def on_display_clock(animal: Animal) -> FloatArray:
    """dF/F (F, N) in the middle of each refresh."""
    middle = (animal.display.time[:-1] + animal.display.time[1:]) / 2.0
    recording = animal.recording
    return np.stack([np.interp(middle, recording.dff_time, trace) for trace in recording.dff.T], axis=1)


def held_out(animal: Animal) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Refreshes that show a quarter of the movies, and where their clips of 16 frames begin."""
    display = animal.display
    movies = np.unique(display.movie[display.movie >= 0])[::4]
    test = np.isin(display.movie, movies)
    starts = np.flatnonzero(test & (display.frame % CLIP == 0) & (display.frame <= 300 - CLIP) & (display.repeat == 0))
    return test, starts


def clips(values: FloatArray, starts: npt.NDArray[np.int64]) -> FloatArray:
    return np.stack([values[start : start + CLIP].ravel() for start in starts])


def test_an_observer_who_knows_the_rates_tells_clips_apart(animal: Animal) -> None:
    _, starts = held_out(animal)
    assert len(starts) >= 60
    decay, rise = (np.exp(-1.0 / (30.0 * seconds)) for seconds in (0.4, 0.05))
    calcium = lfilter([1.0], [1.0, -decay], animal.rates, axis=0) - lfilter([1.0], [1.0, -rise], animal.rates, axis=0)
    traces = on_display_clock(animal)
    calcium *= traces.mean(axis=0) / calcium.mean(axis=0)
    spread = (traces - calcium).std(axis=0)
    seen, expected = clips(traces / spread, starts), clips(calcium / spread, starts)
    distance = (seen**2).sum(axis=1)[:, None] - 2.0 * seen @ expected.T + (expected**2).sum(axis=1)[None]
    assert (distance.argmin(axis=1) == np.arange(len(starts))).mean() >= 0.95


def test_a_ridge_decoder_reads_gabor_features_of_movies_it_was_not_fitted_on(animal: Animal) -> None:
    test, starts = held_out(animal)
    bank = draw_population(SimulationConfiguration(cells=(80, 80), not_visual_fraction=0.0), np.random.default_rng(99))
    features = np.sqrt(visual_drive(bank, list(animal.movies.values()), animal.display, 30.0)).astype(np.float64)
    traces = on_display_clock(animal)
    lagged = np.concatenate([np.roll(traces, -lag, axis=0) for lag in (0, 4, 8, 12)], axis=1)
    lagged = (lagged - lagged.mean(axis=0)) / lagged.std(axis=0)
    fit = (animal.display.movie >= 0) & ~test
    mean = features[fit].mean(axis=0)
    gram = lagged[fit].T @ lagged[fit] + 3000.0 * np.eye(lagged.shape[1])
    decoded = lagged @ np.linalg.solve(gram, lagged[fit].T @ (features[fit] - mean)) + mean

    correlation = [np.corrcoef(decoded[test, k], features[test, k])[0, 1] for k in range(features.shape[1])]
    assert np.median(correlation) > 0.25

    def standard(values: FloatArray) -> FloatArray:
        values = (values - values.mean(axis=0)) / (values.std(axis=0) + 0.1)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    similarity = standard(clips(decoded, starts)) @ standard(clips(features, starts)).T
    found = (similarity.argmax(axis=1) == np.arange(len(starts))).mean()
    assert found > 15.0 / len(starts)
    # The control: decoded clips paired with the wrong stimuli are at chance.
    wrong = (np.roll(similarity, len(starts) // 2, axis=0).argmax(axis=1) == np.arange(len(starts))).mean()
    assert wrong < 5.0 / len(starts)


def test_each_animal_images_at_its_own_rate_off_the_display_clock(animal: Animal) -> None:
    recording = animal.recording
    assert 29.8 <= recording.imaging_rate <= 30.9
    assert np.median(np.diff(recording.dff_time)) == pytest.approx(1.0 / recording.imaging_rate, rel=1e-3)
    assert recording.dff_time[0] < animal.display.time[0]
    assert recording.dff_time[-1] > animal.display.time[-1]
    assert np.ptp(np.diff(recording.dff_time)) > 0.0
    assert recording.running_time[0] < animal.display.time[0]
    assert recording.pupil_start + len(recording.pupil) / recording.pupil_rate > animal.display.time[-1]


def test_spikes_are_as_many_as_the_rates_say(animal: Animal) -> None:
    expected = (animal.rates * np.diff(animal.display.time)[:, None]).sum()
    assert len(animal.spike_times) == pytest.approx(expected, rel=0.05)


def test_too_many_imaging_gaps_are_refused(photographs: Photographs) -> None:
    configuration = SimulationConfiguration(minutes=0.3, movie_seconds=2.0, cells=(5, 5), imaging_gaps=30)
    programme = plan_programme(configuration)
    shared = film_shared_movies(configuration, programme, photographs)
    with pytest.raises(SimulationError, match="30 imaging gaps") as caught:
        simulate_animal(configuration, 0, programme, shared, photographs)
    assert caught.value.object_path == "imaging_gaps"


def fingerprint(values: npt.NDArray[Any]) -> list[float]:
    """How many numbers, their sum, and a sum that tells their order: equal bytes give it, on any machine nearly so."""
    flat = np.nan_to_num(values.astype(np.float64)).ravel()
    return [len(flat), flat.sum(), flat @ np.cos(np.arange(len(flat)))]


#: Computed before there were distinct subpopulations, driving regions and flashes.
BEFORE: dict[str, list[float]] = {
    "movies": [207360.0, 26338443.0, 3505.79358],
    "drive": [12000.0, 10560.0005, 324.003191],
    "rates": [12000.0, 41484.8882, 332.607439],
    "factors": [1440.0, -48.326932, -0.528357192],
    "spike_times": [1392.0, 11482.7478, -68.0688604],
    "spike_ends": [25.0, 18666.0, -940.137602],
    "dff": [11725.0, 3064.71706, -105.824116],
    "dff_time": [469.0, 4174.93037, -6.60776989],
    "running": [1050.0, 5.65021835, -3.02611419],
    "pupil": [527.0, 632.48663, -0.160924109],
    "mean_rate": [25.0, 97.6569473, 1.11527626],
    "loadings": [75.0, 8.45522628, 1.38201866],
    "order": [480.0, 780.0, -3.95898561],
    "time": [481.0, 4329.0, 3.32414703],
    "filters": [28800.0, 2.99999997, 2.36601998],
    "envelopes": [14400.0, 727.130832, -1.11649873],
    "coordinates": [75.0, 7234.67931, 2574.6086],
    "cell_type": [25.0, 26.0, 2.80073144],
    "centre": [50.0, 608.979262, -64.2362231],
    "size": [50.0, 112.398649, -16.5515234],
    "orientation": [25.0, 29.2448445, -1.5302151],
    "polarity": [25.0, 3.0, -2.17034052],
    "latency": [25.0, 1.9339268, -0.0320108547],
    "transience": [25.0, 10.780118, -0.440945273],
}


def test_settings_left_alone_change_no_array() -> None:
    rows, columns = np.mgrid[:200, :300]
    plain = [
        Image.fromarray(np.uint8(127.5 + 127.5 * np.sin(columns / a) * np.cos(rows / b)))
        for a, b in ((4, 9), (11, 5), (3, 3))
    ]
    configuration = SimulationConfiguration(
        minutes=0.3, seed=2, cells=(20, 30), movie_seconds=2.0, height=18, width=32, dropped_frames=0.02, imaging_gaps=1
    )
    programme = plan_programme(configuration)
    animal = simulate_animal(configuration, 1, programme, film_shared_movies(configuration, programme, plain), plain)
    found = {
        "movies": np.stack(list(animal.movies.values())),
        "drive": animal.drive,
        "rates": animal.rates,
        "factors": animal.factors,
        "spike_times": animal.spike_times,
        "spike_ends": animal.spike_ends,
        "dff": animal.recording.dff,
        "dff_time": animal.recording.dff_time,
        "running": animal.recording.running,
        "pupil": animal.recording.pupil,
        "mean_rate": animal.tuning.mean_rate,
        "loadings": animal.tuning.loadings,
        "order": animal.display.movie,
        "time": animal.display.time,
        "filters": animal.population.filters(18, 32),
        "envelopes": animal.population.envelopes(18, 32),
    }
    for name in ("coordinates", "cell_type", "centre", "size", "orientation", "polarity", "latency", "transience"):
        found[name] = getattr(animal.population, name)
    assert list(animal.movies) == [
        "natural_movie_shared_00",
        "natural_movie_shared_01",
        "natural_movie_sim2mouse02_00",
        "natural_movie_sim2mouse02_01",
        "natural_movie_sim2mouse02_02",
        "natural_movie_sim2mouse02_03",
    ]
    assert found.keys() == BEFORE.keys()
    for name, values in found.items():
        assert fingerprint(values) == pytest.approx(BEFORE[name], rel=1e-5, abs=1e-4), name
