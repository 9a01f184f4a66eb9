"""From what is on the screen to firing rates: energy, normalisation, and gain by private factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nwb_mivae.simulation.receptive_fields import COMPLEX, LUMINANCE, NOT_VISUAL, SIMPLE, Population
from nwb_mivae.simulation.schedule import Display

__all__ = ["Tuning", "draw_tuning", "firing_rates", "unscaled_drive", "visual_drive"]

FloatArray = npt.NDArray[np.float64]

_GREY = 0.5
#: Amplitude of a Gabor filter's response, in units of luminance, at which a lone cell reaches half its maximum.
_SEMI_SATURATION = 0.04
#: Standard deviation, in pixels of a frame of 36 rows, of the neighbourhood that normalises a cell.
_POOL_PIXELS = 8.0
#: Share of a visual cell's mean rate that it fires without a stimulus.
_BASELINE_SHARE = 0.08
_HIGHEST_RATE = 60.0


@dataclass(frozen=True)
class Tuning:
    """How strongly each of N cells fires and what modulates it.

    Attributes
    ----------
    mean_rate : ndarray of float64, (N,)
        Hz, without gain.
    loadings : ndarray of float64, (N, 3)
        Change of log firing rate per unit of each private factor; zero where the factor does not reach the cell.
    """

    mean_rate: FloatArray
    loadings: FloatArray


def draw_tuning(population: Population, n_factors: int, firing_rate: float, random: np.random.Generator) -> Tuning:
    """Log-normal rates; each factor reaches about half of the visual cells and most of the others, more strongly."""
    n = population.n_cells
    mean_rate = firing_rate * np.exp(0.5 * random.standard_normal(n))
    reach = np.where(population.visual, 0.5, 0.8)[:, None]
    reached = random.random((n, n_factors)) < reach
    strength = np.where(population.visual, 0.25, 0.45)[:, None]
    loadings = strength * (0.6 + 0.8 * random.standard_normal((n, n_factors)))
    return Tuning(mean_rate, np.where(reached, np.clip(loadings, -1.0, 1.0), 0.0))


def visual_drive(
    population: Population, movies: Sequence[npt.NDArray[np.uint8]], display: Display, frame_rate: float
) -> npt.NDArray[np.float32]:
    """What the stimulus alone does to each cell at each refresh, (F, N), mean 1 over the session for visual cells.

    See :func:`unscaled_drive`.
    """
    drive = unscaled_drive(population, movies, display, frame_rate)
    mean = drive.mean(axis=0)
    return np.asarray(drive / np.where(mean > 0.0, mean, 1.0), dtype=np.float32)


def unscaled_drive(
    population: Population, movies: Sequence[npt.NDArray[np.uint8]], display: Display, frame_rate: float
) -> npt.NDArray[np.float32]:
    """What the stimulus alone does to each cell at each refresh, (F, N), on a scale that is the same in every session.

    Simple cells half-rectify one Gabor filter and square it, complex cells sum the squares of a quadrature pair
    (Adelson & Bergen 1985), and both are divided by the energy of cells that look at nearby places (Carandini &
    Heeger 2012). Luminance cells half-rectify local luminance against grey.
    """
    height, width = movies[0].shape[1:]
    linear = _linear_responses(population, movies, display, height, width)
    for quadrature in linear:
        _convolve_in_time(quadrature, population.temporal_kernels(frame_rate).astype(np.float32))

    energy = linear[0] ** 2 + linear[1] ** 2
    drive: npt.NDArray[np.float32] = np.zeros_like(energy)
    simple = population.cell_type == SIMPLE
    complex_ = population.cell_type == COMPLEX
    luminance = population.cell_type == LUMINANCE
    # Twice: half-rectification passes half the energy of a quadrature pair.
    drive[:, simple] = 2.0 * np.maximum(linear[0][:, simple], 0.0) ** 2
    drive[:, complex_] = energy[:, complex_]
    striped = population.striped
    if striped.any():
        pool = energy[:, striped] @ _pool_weights(population, height).T
        drive[:, striped] /= np.float32(_SEMI_SATURATION**2) + pool
    drive[:, luminance] = np.maximum(linear[0][:, luminance], 0.0)
    return drive


def firing_rates(
    population: Population, tuning: Tuning, drive: npt.NDArray[np.float32], factors: FloatArray
) -> npt.NDArray[np.float32]:
    """Firing rates (F, N) in Hz: drive above a baseline, times the gain of the private factors (F, 3)."""
    gain = np.exp(factors @ tuning.loadings.T)
    modulated = np.where(population.cell_type == NOT_VISUAL, 1.0, _BASELINE_SHARE + (1.0 - _BASELINE_SHARE) * drive)
    return np.minimum(tuning.mean_rate * modulated * gain, _HIGHEST_RATE).astype(np.float32)


def _linear_responses(
    population: Population, movies: Sequence[npt.NDArray[np.uint8]], display: Display, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Responses (2, F, N) of the quadrature pair to each refresh, before any temporal filter; 0 to grey."""
    n = population.n_cells
    filters = population.filters(height, width).reshape(2 * n, height * width)
    responses = np.zeros((display.n_refreshes, 2 * n), dtype=np.float32)
    for number, movie in enumerate(movies):
        contrast = movie.reshape(len(movie), -1).astype(np.float32) / np.float32(255.0) - np.float32(_GREY)
        shown = display.movie == number
        responses[shown] = (contrast @ filters.T)[display.frame[shown]]
    return np.ascontiguousarray(responses.reshape(-1, 2, n).transpose(1, 0, 2))


def _convolve_in_time(responses: npt.NDArray[np.float32], kernels: npt.NDArray[np.float32]) -> None:
    """Convolve each column of ``responses`` (F, N), in place, with its causal kernel; grey came before."""
    source = responses.copy()
    responses *= kernels[:, 0]
    for lag in range(1, min(kernels.shape[1], len(source))):
        responses[lag:] += kernels[:, lag] * source[:-lag]


def _pool_weights(population: Population, height: int) -> npt.NDArray[np.float32]:
    """Weights (S, S) among the S cells with Gabor filters, by distance of receptive fields; rows sum to one."""
    centre = population.centre[population.striped]
    distance = ((centre[:, None] - centre[None]) ** 2).sum(axis=2)
    weights = np.exp(-0.5 * distance / (_POOL_PIXELS * height / 36.0) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
