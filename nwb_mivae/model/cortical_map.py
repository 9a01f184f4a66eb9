"""A read-out for animals of which nothing but the place of their cells is known: activity by place, in one map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nwb_mivae.model.context import with_offsets
from nwb_mivae.model.population_basis import PopulationBasis
from nwb_mivae.model.precision import full_precision
from nwb_mivae.model.regression import RegressionSums

__all__ = ["CorticalMap"]

#: Places along x and y at which activity is averaged.
_PLACES = (6, 4)
#: Standard deviation of the window around each place, in distances between neighbouring places.
_WINDOW = 0.7
#: Cells in a window below which its mean is drawn to zero: it would be that of one cell's noise.
_FEW_CELLS = 0.3
#: Micrometres between places, at least: a soma and the uncertainty about where it is.
_LEAST_DISTANCE = 50.0
_OFFSETS = (-0.267, -0.133, 0.0, 0.133, 0.267)
#: Quantiles of the coordinates of training animals between which the places lie.
_EXTENT = (0.02, 0.98)


class CorticalMap(nn.Module):
    """Activity ``(B, T, N)`` at coordinates ``(N, 3)`` to stimulus features ``(B, T, F)``, alike in all animals.

    In V1 neighbouring cells look at neighbouring places of the screen, about alike in all animals. Activity is averaged
    in windows over the cortical surface (x and y, from the middle of the animal's own cells, since files have their
    origin anywhere) and over all cells; ridge regression over all training animals leads from these to the features
    (:meth:`fit`). Cells whose place is unknown count in the average over all only. Until it is fitted it predicts
    zeros. It stays so for spike counts: units of all rates, which are not standardised, have no average to compare.

    Parameters
    ----------
    n_features : int
        F.
    frame_rate : float
        Frames per second.
    """

    places: Tensor
    distance: Tensor
    centre: Tensor
    weights: Tensor
    feature_centre: Tensor

    def __init__(self, n_features: int, frame_rate: float) -> None:
        super().__init__()
        self.offsets = tuple(dict.fromkeys(round(seconds * frame_rate) for seconds in _OFFSETS))
        n_windows = _PLACES[0] * _PLACES[1] + 1
        self.register_buffer("places", torch.zeros(n_windows - 1, 2))
        self.register_buffer("distance", torch.ones(2))
        self.register_buffer("centre", torch.zeros(len(self.offsets) * n_windows))
        self.register_buffer("weights", torch.zeros(len(self.offsets) * n_windows, n_features))
        self.register_buffer("feature_centre", torch.zeros(n_features))

    @torch.no_grad()
    def cover(self, coordinates: list[Tensor]) -> None:
        """Lay the places over the cells of the training animals, each ``(N, 3)`` in micrometres, NaN where unknown."""
        positions = torch.cat([_from_the_middle(each) for each in coordinates])
        positions = positions[torch.isfinite(positions).all(1)]
        if len(positions) == 0:
            return
        low, high = (torch.quantile(positions, quantile, dim=0) for quantile in _EXTENT)
        along = [torch.linspace(float(low[axis]), float(high[axis]), count) for axis, count in enumerate(_PLACES)]
        self.places.copy_(torch.cartesian_prod(*along))
        counts = torch.tensor(_PLACES) - 1
        # Cells on one line have no extent across it.
        self.distance.copy_(((high - low) / counts).clamp_min(_LEAST_DISTANCE))

    @torch.no_grad()
    def fit(self, sums: RegressionSums, basis: PopulationBasis) -> None:
        """Take the read-out from sums over all training animals: :meth:`averages` to descriptions, then to a basis.

        Features are those of :class:`~nwb_mivae.model.population_basis.PopulationBasis`.
        """
        weights = basis.weights.double()
        self.centre.copy_(sums.input_mean)
        self.weights.zero_()[:, : weights.shape[1]] = (sums.weights() @ weights).to(self.weights)
        self.feature_centre.zero_()[: weights.shape[1]] = ((sums.output_mean - basis.centre) @ weights).to(self.weights)

    def averages(self, neural: Tensor, coordinates: Tensor) -> Tensor:
        """Activity in each window and over all cells, at each offset: ``(B, T, N)`` to ``(B, T, D)``.

        They are means, so that a signal has the same size however many cells there are.
        """
        return with_offsets(neural @ self._windows(coordinates).to(neural.dtype), self.offsets).flatten(2)

    def _windows(self, coordinates: Tensor) -> Tensor:
        """What each of the N cells counts in the average of each window, and of all cells: ``(N, W)``."""
        positions = _from_the_middle(coordinates)
        known = torch.isfinite(positions).all(1)
        apart = (torch.where(known[:, None], positions, 0.0)[:, None] - self.places) / self.distance
        windows = torch.exp(-0.5 * (apart / _WINDOW).square().sum(-1)) * known[:, None]
        windows = torch.cat([windows, torch.ones_like(windows[:, :1])], dim=1)
        return windows / (windows.sum(0) + _FEW_CELLS)

    def readout(self, coordinates: Tensor) -> Tensor:
        """Weights ``(O, N, F)`` from activity at each offset to the features: :meth:`forward` without its constant."""
        weights = self.weights.reshape(len(self.offsets), -1, self.weights.shape[1])
        readout: Tensor = self._windows(coordinates).to(weights.dtype) @ weights
        return readout

    def forward(self, neural: Tensor, coordinates: Tensor) -> Tensor:
        with full_precision(neural):
            averages = self.averages(neural.float(), coordinates) - self.centre
            predicted: Tensor = averages @ self.weights + self.feature_centre
            return predicted


def _from_the_middle(coordinates: Tensor) -> Tensor:
    """X and y ``(N, 2)`` from their mean over the cells whose place is known, NaN for all others."""
    positions = coordinates[:, :2].float()
    positions = torch.where(torch.isfinite(positions).all(1, keepdim=True), positions, torch.nan)
    return positions - torch.nanmean(positions, dim=0)
