"""Fixed responses of model V1 cells to a frame, summed up on a basis of natural frames; nothing here has a gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d

from nwb_mivae.errors import ModelError
from nwb_mivae.model.precision import full_precision

__all__ = ["VisualFrontEnd"]

#: Rows that frames are reduced to, by area. Filters are counted in them, so they cover the same share of any frame.
_ROWS = 18
_WAVELENGTHS = (4.0, 7.0)
_ORIENTATIONS = 4
_FILTER_SIZE = 15
_STRIDE = 3
#: Energy at which normalisation sets in, in squares of luminance.
_SEMI_SATURATION = 4e-4
#: Share of a response, in its own units, below which its square root is about linear.
_ROOT = 0.01
_BATCH = 256
#: Standard deviation of responses over frames below which all frames are the same.
_LEAST_SPREAD = 1e-4
#: Share of the mean spread, or of the leading component, below which a cell or a component tells nothing of its own.
_LEAST_SHARE = 0.05


class VisualFrontEnd(nn.Module):
    """Luminance ``(B, 1, H, W)`` to the leading principal components ``(B, F)`` of what model V1 cells respond to it.

    Cells of two spatial frequencies and four orientations stand on a grid: simple ones of four phases, which
    half-rectify and square a Gabor filter, and complex ones, which sum the squares of a quadrature pair (Adelson &
    Bergen 1985), all divided by the energy around them (Carandini & Heeger 1994); beside them cells that respond to
    local light or dark. Of the square roots of all responses come as many principal components as there are features,
    each divided by the fourth root of its variance, so that frequent structure counts more than rare, but not as much
    more as it varies.

    The basis is computed once from frames (:meth:`fit`); until then it is a random one, so that every module works.
    It travels with the weights.

    Parameters
    ----------
    height, width : int
        Size of a frame in pixels.
    n_features : int
        F; features beyond what the frames fitted to can tell apart are zero.
    """

    filters: Tensor
    centre: Tensor
    basis: Tensor

    def __init__(self, height: int, width: int, n_features: int) -> None:
        super().__init__()
        rows = min(height, _ROWS)
        self._grid = (rows, max(1, round(width * rows / height)))
        self._patches = (-(-self._grid[0] // _STRIDE), -(-self._grid[1] // _STRIDE))
        self.register_buffer("filters", _quadrature_pairs(), persistent=False)
        with torch.no_grad():
            n_cells = self.responses(torch.zeros(1, 1, height, width)).shape[1]
        self.register_buffer("centre", torch.zeros(n_cells))
        self.register_buffer("basis", torch.randn(n_cells, n_features) / n_cells**0.5)

    def responses(self, frames: Tensor) -> Tensor:
        """Square roots of the cells' responses, ``(B, 1, H, W)`` in [0, 1] to ``(B, cells)``."""
        contrast = adaptive_avg_pool2d(frames, self._grid) - 0.5
        linear = conv2d(contrast, self.filters, padding=_FILTER_SIZE // 2, stride=_STRIDE)
        linear = linear.reshape(len(linear), -1, 2, *linear.shape[2:])
        energy = linear.square().sum(2)
        around = avg_pool2d(energy.mean(1, keepdim=True), 3, stride=1, padding=1, count_include_pad=False)
        drive = _SEMI_SATURATION + around
        light = adaptive_avg_pool2d(contrast, self._patches)
        cells = [
            energy / drive,
            (linear.relu().square() / drive[:, :, None]).flatten(1, 2),
            ((-linear).relu().square() / drive[:, :, None]).flatten(1, 2),
            4.0 * light.relu(),
            4.0 * (-light).relu(),
        ]
        # The small number keeps the slope finite at zero: pixels are attributed through here.
        responses: Tensor = (torch.cat([each.flatten(1) for each in cells], dim=1) + _ROOT).sqrt() - _ROOT**0.5
        return responses

    def forward(self, frames: Tensor) -> Tensor:
        with full_precision(frames):
            features: Tensor = (self.responses(frames.float()) - self.centre) @ self.basis
            return features

    @torch.no_grad()
    def fit(self, frames: Tensor) -> None:
        """Take the basis from frames ``(n, 1, H, W)`` in [0, 1]: features get mean 0 and, together, variance F.

        Components that few frames, or frames all alike, leave undetermined are left out: what hardly varied among these
        frames must not decide about others.

        Raises
        ------
        ModelError
            If the frames are fewer than two, or all the same.
        """
        responses = torch.cat([self.responses(some.to(self.filters)) for some in torch.split(frames, _BATCH)])
        spread = responses.std(0, correction=0)
        if len(responses) < 2 or not spread.max() > _LEAST_SPREAD:
            raise ModelError(
                f"{len(responses)} frames without any contrast between them",
                expected="at least two different frames in the training part",
                remedy="train on recordings that show more, or set model.stimulus_encoder=convolutional",
            )
        mean, spread = responses.mean(0), spread + _LEAST_SHARE * spread.mean()
        responses = (responses - mean) / spread
        n_features = self.basis.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of a randomised algorithm that is exact to its last components
            _, scale, directions = torch.svd_lowrank(responses, q=min(n_features + 32, *responses.shape), niter=4)
        found = min(n_features, int((scale > _LEAST_SHARE * scale[0]).sum()))
        deviation = scale[:found] / len(responses) ** 0.5
        basis = directions[:, :found] / spread[:, None] / deviation.sqrt()
        # Components have variance `deviation` now; all features together are to have F.
        basis = basis * (n_features / deviation.sum()).sqrt()
        self.centre.copy_(mean)
        self.basis.zero_()[:, :found] = basis


def _quadrature_pairs() -> Tensor:
    """Gabor filters ``(2 * cells, 1, size, size)``, even and odd ones in turn, absolute values summing to one."""
    place = torch.arange(_FILTER_SIZE) - _FILTER_SIZE // 2
    down, right = torch.meshgrid(place, place, indexing="ij")
    filters = []
    for wavelength in _WAVELENGTHS:
        for number in range(_ORIENTATIONS):
            angle = math.pi * number / _ORIENTATIONS
            across = right * math.cos(angle) + down * math.sin(angle)
            along = down * math.cos(angle) - right * math.sin(angle)
            envelope = torch.exp(
                -0.5 * ((across / (0.45 * wavelength)).square() + (along / (0.6 * wavelength)).square())
            )
            for phase in (0.0, math.pi / 2):
                gabor = envelope * torch.cos(2.0 * math.pi * across / wavelength + phase)
                gabor = gabor - envelope * gabor.sum() / envelope.sum()
                filters.append(gabor / gabor.abs().sum())
    return torch.stack(filters)[:, None]
