"""Populations of V1 cells: where they lie, what they look at, and how their linear filters answer to frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import SimulationError
from nwb_mivae.simulation.configuration import SimulationConfiguration

__all__ = ["CELL_TYPES", "FIELD_OF_VIEW", "PIXEL_SIZE", "SUBPOPULATIONS", "Population", "draw_population"]

FloatArray = npt.NDArray[np.float64]

#: Cell types; ``Population.cell_type`` holds positions in this tuple.
CELL_TYPES = ("simple", "complex", "luminance", "not_visual")
SIMPLE, COMPLEX, LUMINANCE, NOT_VISUAL = range(4)

#: Subpopulations of an animal whose subpopulations are distinct; the first two have Gabor filters.
SUBPOPULATIONS = ("transient", "sustained", "luminance", "not_visual")

#: Columns and rows of the imaged field, in pixels, and the size of a pixel in micrometres (a mesoscope's field: the
#: whole of the screen is represented within it).
FIELD_OF_VIEW = (900, 520)
PIXEL_SIZE = 2.0
_CELL_PITCH = 24.0

#: Sizes below are given for frames of this many rows, and scale with the frame.
_REFERENCE_HEIGHT = 36

#: Of distinct subpopulations: seconds to the peak of the temporal kernel, of luminance cells and of all others, and
#: its scatter as a share; weight of a transient cell's negative second phase, and its scatter.
_LATENCY_OF_LUMINANCE = 0.12
_LATENCY_OF_OTHERS = 0.06
_LATENCY_SCATTER = 0.05
_TRANSIENCE = 0.95
_TRANSIENCE_SCATTER = 0.005


@dataclass(frozen=True)
class Population:
    """The N cells of one animal.

    Attributes
    ----------
    coordinates : ndarray of float64, (N, 3)
        Micrometres: x and y from the centre of the field of view, z below the pia.
    cell_type : ndarray of int64, (N,)
        Position in :data:`CELL_TYPES`.
    subpopulation : ndarray of str, (N,)
        One of :data:`SUBPOPULATIONS`; empty where subpopulations are graded.
    centre : ndarray of float64, (N, 2)
        Receptive field centre (column, row) in pixels of a frame; NaN for cells that are not visual.
    size : ndarray of float64, (N, 2)
        Standard deviations of the Gaussian envelope, in pixels, across and along the stripes (equal for luminance).
    orientation : ndarray of float64, (N,)
        Direction in which luminance varies, in radians from the frame's rows; NaN without stripes.
    spatial_frequency : ndarray of float64, (N,)
        Cycles per pixel; NaN without stripes.
    phase : ndarray of float64, (N,)
        Radians; NaN without stripes.
    polarity : ndarray of float64, (N,)
        +1 for ON and -1 for OFF luminance cells; NaN for others.
    latency, transience : ndarray of float64, (N,)
        Seconds to the peak of the temporal kernel, and weight of its negative second phase (0: sustained).
    retinotopy : ndarray of float64, (2, 3)
        Affine map from (x, y, 1), micrometres, to receptive field centre before scatter.
    driving_box : tuple of int
        Left, upper, right and lower border, in pixels of a frame, of what cells look at; the right column and the
        lower row are the first outside.
    """

    coordinates: FloatArray
    cell_type: npt.NDArray[np.int64]
    subpopulation: npt.NDArray[np.str_]
    centre: FloatArray
    size: FloatArray
    orientation: FloatArray
    spatial_frequency: FloatArray
    phase: FloatArray
    polarity: FloatArray
    latency: FloatArray
    transience: FloatArray
    retinotopy: FloatArray
    driving_box: tuple[int, int, int, int]

    @property
    def n_cells(self) -> int:
        """N."""
        return len(self.cell_type)

    @property
    def visual(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a stimulus drives the cell."""
        return np.asarray(self.cell_type != NOT_VISUAL)

    @property
    def striped(self) -> npt.NDArray[np.bool_]:
        """(N,) whether the cell's filters are Gabor functions."""
        return np.asarray((self.cell_type == SIMPLE) | (self.cell_type == COMPLEX))

    def driving_pixels(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """(height, width) which pixels may drive cells; no cell sees any other."""
        left, upper, right, lower = self.driving_box
        pixels = np.zeros((height, width), dtype=np.bool_)
        pixels[upper:lower, left:right] = True
        return pixels

    def envelopes(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """Gaussian envelopes (N, height, width), 1 at the centre: which pixels drive which cell, 0 for none.

        They end, with a sharp border, where :meth:`driving_pixels` do.
        """
        across, along = self._rotated(height, width)
        with np.errstate(invalid="ignore"):
            exponent = (across / self.size[:, 0, None, None]) ** 2 + (along / self.size[:, 1, None, None]) ** 2
        envelope = np.exp(-0.5 * exponent)
        seen = self.visual[:, None, None] & self.driving_pixels(height, width)
        return np.where(seen, envelope, 0.0).astype(np.float32)

    def filters(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """Linear filters (2, N, height, width): a quadrature pair; the second is zero for luminance cells.

        Gabor functions have no response to uniform light and absolute values that sum to one; luminance filters are
        Gaussians that sum to their polarity. Responses are thus in units of luminance.
        """
        envelope = self.envelopes(height, width).astype(np.float64)
        across, _ = self._rotated(height, width)
        filters = np.zeros((2, self.n_cells, height, width))
        striped = self.striped
        carrier = 2.0 * np.pi * self.spatial_frequency[:, None, None] * across + self.phase[:, None, None]
        total = envelope.sum(axis=(1, 2), keepdims=True)
        for quadrature, wave in enumerate((np.cos(carrier), np.sin(carrier))):
            gabor = envelope[striped] * wave[striped]
            gabor -= envelope[striped] * (gabor.sum(axis=(1, 2), keepdims=True) / total[striped])
            filters[quadrature, striped] = gabor / np.abs(gabor).sum(axis=(1, 2), keepdims=True)
        luminance = self.cell_type == LUMINANCE
        filters[0, luminance] = self.polarity[luminance, None, None] * envelope[luminance] / total[luminance]
        return filters.astype(np.float32)

    def temporal_kernels(self, frame_rate: float) -> FloatArray:
        """Temporal kernels (N, L) at the frame rate, lag 0 first, absolute values summing to one.

        Differences of two gamma densities of fourth order (Adelson & Bergen 1985 in form); the second phase peaks
        at 1.8 times the latency.
        """
        lags = (np.arange(max(2, round(0.4 * frame_rate)), dtype=np.float64) + 0.5)[None] / frame_rate
        first = _gamma_kernel(lags, self.latency[:, None])
        second = _gamma_kernel(lags, 1.8 * self.latency[:, None])
        kernel = first - self.transience[:, None] * second
        return np.asarray(kernel / np.abs(kernel).sum(axis=1, keepdims=True))

    def _rotated(self, height: int, width: int) -> tuple[FloatArray, FloatArray]:
        rows, columns = np.mgrid[:height, :width]
        right = columns[None] - self.centre[:, 0, None, None]
        down = rows[None] - self.centre[:, 1, None, None]
        angle = np.nan_to_num(self.orientation)[:, None, None]
        return right * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - right * np.sin(angle)


def _gamma_kernel(lags: npt.NDArray[np.floating], peak: FloatArray) -> FloatArray:
    shape = 4.0
    kernel = (lags / peak) ** shape * np.exp(shape * (1.0 - lags / peak))
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True))


def draw_population(configuration: SimulationConfiguration, random: np.random.Generator) -> Population:
    """Draw the cells of one animal.

    Raises
    ------
    SimulationError
        If more cells are asked for than the field of view holds.
    """
    low, high = configuration.cells
    n = int(random.integers(low, high, endpoint=True))
    coordinates = _cortical_positions(random, n)
    scale = configuration.height / _REFERENCE_HEIGHT

    shares = np.array([configuration.luminance_fraction, configuration.not_visual_fraction])
    striped = (1.0 - shares.sum()) / 2.0
    cell_type = random.choice(4, size=n, p=[striped, striped, *shares])
    visual = cell_type != NOT_VISUAL
    is_striped = (cell_type == SIMPLE) | (cell_type == COMPLEX)

    retinotopy = _retinotopic_map(configuration, random)
    exact = coordinates[:, :2] @ retinotopy[:, :2].T + retinotopy[:, 2]
    centre = exact + scale * _share_of_frame(configuration) * 2.0 * random.standard_normal((n, 2))
    left, upper, right, lower = configuration.driving_box
    centre = np.clip(centre, np.array([left, upper]), np.array([right - 1, lower - 1]))

    wavelength = scale * np.clip(10.0 * np.exp(0.35 * random.standard_normal(n)), 5.0, 24.0)
    across = wavelength * random.uniform(0.35, 0.55, n)
    along = across * random.uniform(1.0, 1.6, n)
    blob = scale * random.uniform(3.0, 8.0, n)
    size = np.where(is_striped[:, None], np.stack([across, along], axis=1), blob[:, None])

    kind = random.choice(3, size=n, p=[0.4, 0.4, 0.2])
    latency = np.array([0.06, 0.06, 0.12])[kind] * np.exp(0.15 * random.standard_normal(n))
    transience = np.array([0.0, 0.9, 0.3])[kind] * random.uniform(0.8, 1.0, n)

    graded = Population(
        coordinates=coordinates,
        cell_type=cell_type,
        subpopulation=np.full(n, ""),
        centre=np.where(visual[:, None], centre, np.nan),
        size=np.where(visual[:, None], size, np.nan),
        orientation=np.where(is_striped, random.uniform(0.0, np.pi, n), np.nan),
        spatial_frequency=np.where(is_striped, 1.0 / wavelength, np.nan),
        phase=np.where(is_striped, random.uniform(0.0, 2.0 * np.pi, n), np.nan),
        polarity=np.where(cell_type == LUMINANCE, random.choice([-1.0, 1.0], n), np.nan),
        latency=latency,
        transience=transience,
        retinotopy=retinotopy,
        driving_box=configuration.driving_box,
    )
    # After everything else: what seeds mean for graded populations stays as it is.
    return graded if configuration.subpopulations == "graded" else _with_distinct_subpopulations(graded, random)


def _with_distinct_subpopulations(population: Population, random: np.random.Generator) -> Population:
    """The same cells with the timing of their subpopulation instead of their own."""
    n = population.n_cells
    subpopulation = np.array(["", "", "luminance", "not_visual"])[population.cell_type]
    striped = random.permutation(np.flatnonzero(population.striped))
    subpopulation[striped] = "sustained"
    subpopulation[striped[: len(striped) // 2]] = "transient"
    latency = np.where(subpopulation == "luminance", _LATENCY_OF_LUMINANCE, _LATENCY_OF_OTHERS)
    transience = _TRANSIENCE + _TRANSIENCE_SCATTER * random.standard_normal(n)
    return replace(
        population,
        subpopulation=subpopulation,
        latency=latency * np.exp(_LATENCY_SCATTER * random.standard_normal(n)),
        transience=np.where(subpopulation == "transient", transience, 0.0),
    )


def _share_of_frame(configuration: SimulationConfiguration) -> float:
    """Rows or columns of the driving region as a share of the frame's, the smaller of the two."""
    left, upper, right, lower = configuration.driving_box
    return min((right - left) / configuration.width, (lower - upper) / configuration.height)


def _cortical_positions(random: np.random.Generator, n: int) -> FloatArray:
    """Somata (N, 3) in micrometres on a jittered lattice, so that no two overlap; one depth, as in one plane."""
    extent = np.array(FIELD_OF_VIEW) * PIXEL_SIZE
    places = (extent // _CELL_PITCH).astype(int)
    n_places = int(places.prod())
    if n > n_places:
        raise SimulationError(
            f"{n} cells",
            expected=f"at most {n_places}, which one field of view holds",
            remedy="lower the most cells of an animal",
            object_path="cells",
        )
    chosen = random.permutation(n_places)[:n]
    lattice = np.stack(np.divmod(chosen, places[1]), axis=1)
    position = (lattice + random.uniform(0.3, 0.7, (n, 2))) * _CELL_PITCH - extent / 2.0
    depth = float(np.round(random.uniform(150.0, 300.0)))
    return np.column_stack([position, np.full(n, depth)])


def _retinotopic_map(configuration: SimulationConfiguration, random: np.random.Generator) -> FloatArray:
    """Affine map from cortex to frame; offset and rotation are the animal's own.

    The field of view covers 85 % of the driving region each way, so that few receptive fields meet its border.
    """
    left, upper, right, lower = configuration.driving_box
    region = np.array([right - left, lower - upper], dtype=np.float64)
    extent = np.array(FIELD_OF_VIEW) * PIXEL_SIZE
    angle = np.deg2rad(8.0) * random.standard_normal()
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = 0.85 * np.diag(region / extent) @ rotation
    scale = configuration.height / _REFERENCE_HEIGHT * _share_of_frame(configuration)
    offset = np.array([left, upper]) + (region - 1.0) / 2.0 + scale * 3.0 * random.standard_normal(2)
    return np.column_stack([linear, offset])
