"""Fixed responses of model V1 cells to a clip, summed up on what recorded cells carry of them; nothing here learns."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d

from nwb_mivae.errors import ModelError
from nwb_mivae.model.context import with_offsets
from nwb_mivae.model.population_basis import PopulationBasis
from nwb_mivae.model.precision import full_precision

__all__ = ["VisualFrontEnd"]

#: Rows that frames are reduced to, by area. Filters are counted in them, so they cover the same share of any frame.
_ROWS = 18
#: Frames wider than this are narrowed: cells are bounded, and so is the memory they take.
_MOST_COLUMNS = 64
_WAVELENGTHS = (4.0, 7.0)
_ORIENTATIONS = 4
_FILTER_SIZE = 15
_STRIDE = 3
#: Energy at which normalisation sets in, in squares of luminance.
_SEMI_SATURATION = 4e-4
#: Share of a response, in its own units, below which its square root is about linear.
_ROOT = 0.01
#: Seconds over which sustained cells average, and over which transient ones compare: they respond to what changed.
_SUSTAINED, _TRANSIENT = 0.05, 0.08
#: Gain of transient cells; what changes within a few frames is smaller than what is there.
_TRANSIENT_GAIN = 2.0
#: Principal components of all responses that are kept.
_COMPONENTS = 128
#: Seconds around a frame at which components describe it. Activity follows late and smeared; alignment takes out the
#: lag, so that frames on both sides count.
_OFFSETS = (-0.267, -0.167, -0.1, -0.033, 0.033, 0.1)
#: Standard deviation of responses over frames below which all frames are the same.
_LEAST_SPREAD = 1e-4
#: Share of the mean spread, or of the leading component, below which a cell or a component tells nothing of its own.
_LEAST_SHARE = 0.05


class VisualFrontEnd(nn.Module):
    """Clips ``(B, T, 1, H, W)`` to features ``(B, T, F)``: what V1 cells would respond, in the terms of recorded ones.

    In three steps, all of them fixed once they have seen the training part of the training animals:

    1. *Model cells* of two spatial frequencies and four orientations on a grid: simple ones of four phases, which
       half-rectify and square a Gabor filter, and complex ones, which sum the squares of a quadrature pair (Adelson &
       Bergen 1985), all divided by the energy around them (Carandini & Heeger 1994); beside them cells that respond
       to local light or dark. Each kind comes sustained and transient: one sees the last frames' luminance, the other
       how it changed.
    2. *Description*: the leading principal components of the square roots of all responses (:meth:`fit_components`),
       each divided by the fourth root of its variance, so that frequent structure counts more than rare, but not as
       much more as it varies; at a few moments around each frame.
    3. *Basis*: those combinations of the description that populations of cells carry
       (:mod:`nwb_mivae.model.population_basis`, :meth:`take_basis`).

    Until they are computed, components and basis are random ones, so that every module works. They travel with the
    weights. Before a clip's first frame its first frame is taken to have been there for long: what came before is not
    known to whoever is shown a clip.

    Parameters
    ----------
    height, width : int
        Size of a frame in pixels.
    n_features : int
        F; features beyond what training could tell apart are zero.
    frame_rate : float
        Frames per second.
    """

    filters: Tensor
    centre: Tensor
    components: Tensor
    description_centre: Tensor
    basis: Tensor

    def __init__(self, height: int, width: int, n_features: int, frame_rate: float) -> None:
        super().__init__()
        rows = min(height, _ROWS)
        self._grid = (rows, min(max(1, round(width * rows / height)), _MOST_COLUMNS))
        self._patches = (-(-self._grid[0] // _STRIDE), -(-self._grid[1] // _STRIDE))
        self._frame_rate = frame_rate
        self._offsets = tuple(dict.fromkeys(round(seconds * frame_rate) for seconds in _OFFSETS))
        self.register_buffer("filters", _quadrature_pairs(), persistent=False)
        with torch.no_grad():
            n_cells = self.responses(torch.zeros(1, 1, 1, height, width)).shape[-1]
        n_components = min(_COMPONENTS, n_cells)
        self.description_size = n_components * len(self._offsets)
        self.register_buffer("centre", torch.zeros(n_cells))
        self.register_buffer("components", torch.randn(n_cells, n_components) / n_cells**0.5)
        self.register_buffer("description_centre", torch.zeros(self.description_size))
        self.register_buffer("basis", torch.randn(self.description_size, n_features) / self.description_size**0.5)

    def responses(self, clips: Tensor) -> Tensor:
        """Square roots of the model cells' responses: ``(B, T, 1, H, W)`` in [0, 1] to ``(B, T, cells)``."""
        responses = [
            self.responses_of(*self.filtered(kind.flatten(0, 1))) for kind in self.images(self.contrast(clips))
        ]
        return torch.cat(responses, dim=1).reshape(*clips.shape[:2], -1)

    def contrast(self, clips: Tensor) -> Tensor:
        """Contrast ``(B, T, 1, rows, columns)``: luminance, averaged over areas that may overlap, around its middle."""
        return adaptive_avg_pool2d(clips.flatten(0, 1), self._grid).reshape(*clips.shape[:3], *self._grid) - 0.5

    def images(self, contrast: Tensor) -> tuple[Tensor, Tensor]:
        """What sustained and what transient cells see of contrast, in its shape and linear in it."""
        frames = contrast.shape[1]
        sustained = torch.einsum("ts,bschw->btchw", self._average(frames, _SUSTAINED, contrast), contrast)
        before = torch.einsum("ts,bschw->btchw", self._average(frames, _TRANSIENT, contrast), sustained)
        return sustained, _TRANSIENT_GAIN * (sustained - before)

    def _average(self, frames: int, seconds: float, like: Tensor) -> Tensor:
        """Weights (T, T) of a running average with an exponential window; the first frame was there before."""
        decay = math.exp(-1.0 / (self._frame_rate * seconds))
        ago = torch.arange(frames, device=like.device)[:, None] - torch.arange(frames, device=like.device)
        weights = torch.where(ago >= 0, (1.0 - decay) * decay ** ago.clamp_min(0).to(like.dtype), 0.0)
        weights[:, 0] = decay ** torch.arange(frames, device=like.device, dtype=like.dtype)
        return weights

    def filtered(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of filters ``(n, pairs, 2, ...)``, and light ``(n, 1, ...)``; linear in ``(n, 1, rows, columns)``."""
        linear = conv2d(images, self.filters, padding=_FILTER_SIZE // 2, stride=_STRIDE)
        return linear.reshape(len(linear), -1, 2, *linear.shape[2:]), adaptive_avg_pool2d(images, self._patches)

    def responses_of(self, linear: Tensor, light: Tensor) -> Tensor:
        """Square roots of responses ``(n, cells)`` of one kind of cells, from what :meth:`filtered` returns."""
        energy = linear.square().sum(2)
        around = avg_pool2d(energy.mean(1, keepdim=True), 3, stride=1, padding=1, count_include_pad=False)
        drive = _SEMI_SATURATION + around
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

    def describe(self, clips: Tensor) -> Tensor:
        """The description of each frame, ``(B, T, 1, H, W)`` to ``(B, T, D)``."""
        with full_precision(clips):
            return with_offsets(self.summarise(self.responses(clips.float())), self._offsets).flatten(2)

    def summarise(self, responses: Tensor) -> Tensor:
        """Responses of each frame ``(B, T, cells)`` to components ``(B, T, M)``."""
        return (responses - self.centre) @ self.components

    def features_of(self, summary: Tensor) -> Tensor:
        """Components ``(B, T, M)``, as :meth:`summarise` returns them, to features ``(B, T, F)``."""
        with full_precision(summary):
            description = with_offsets(summary, self._offsets).flatten(2)
            features: Tensor = (description - self.description_centre) @ self.basis
            return features

    def forward(self, clips: Tensor) -> Tensor:
        with full_precision(clips):
            return self.features_of(self.summarise(self.responses(clips.float())))

    @torch.no_grad()
    def fit_components(self, clips: Iterable[Tensor]) -> None:
        """Take the principal components from batches of clips, each ``(B, T, 1, H, W)`` in [0, 1].

        Components that few frames, or frames all alike, leave undetermined are left out: what hardly varied among these
        frames must not decide about others.

        Raises
        ------
        ModelError
            If the frames are fewer than two, or all the same.
        """
        responses = torch.cat([self.responses(batch.to(self.filters)).flatten(0, 1) for batch in clips])
        spread = responses.std(0, correction=0)
        if len(responses) < 2 or not spread.max() > _LEAST_SPREAD:
            raise ModelError(
                f"{len(responses)} frames without any contrast between them",
                expected="at least two different frames in the training part",
                remedy="train on recordings that show more, or set model.stimulus_encoder=convolutional",
            )
        mean, spread = responses.mean(0), spread + _LEAST_SHARE * spread.mean()
        responses = responses.sub_(mean).div_(spread)
        wanted = self.components.shape[1]
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(0)  # of a randomised algorithm that is exact to its last components
            _, scale, directions = torch.svd_lowrank(responses, q=min(wanted + 32, *responses.shape), niter=4)
        found = min(wanted, int((scale > _LEAST_SHARE * scale[0]).sum()))
        deviation = scale[:found] / len(responses) ** 0.5
        directions = directions[:, :found]
        # The sign of a component is arbitrary; a rule makes it the same on every machine.
        directions = directions * directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
        components = directions / spread[:, None] / deviation.sqrt()
        # Components have variance `deviation` now; all of them together are to have as much as there are.
        components = components * (wanted / deviation.sum()).sqrt()
        self.centre.copy_(mean)
        self.components.zero_()[:, :found] = components

    @torch.no_grad()
    def take_basis(self, found: PopulationBasis) -> None:
        """Let features be a basis of the description, of as many features as there are here or fewer."""
        self.description_centre.copy_(found.centre)
        self.basis.zero_()[:, : found.weights.shape[1]] = found.weights.to(self.basis)


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
