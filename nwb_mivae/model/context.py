"""Context: what an animal's own recording says about its neurons, in closed form and without a gradient step.

Two parts, both differentiable in the stimulus features (design, section 3). The *fingerprint* of a neuron is its
whitened lagged covariance with the features; the *in-context ridge read-out* is the ridge regression from the
activity of all neurons, at a few offsets, to the features. Sums are streamed, so a whole recording fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.precision import full_precision

__all__ = ["Context", "ContextBuilder", "ContextSums", "ContextTiming", "with_offsets"]


@dataclass(frozen=True)
class Context:
    """What is known of the N neurons of one session.

    Attributes
    ----------
    fingerprints : Tensor, (N, L * F) float32
        Whitened covariance of each neuron with the stimulus features at each lag.
    readout : Tensor, (O, N, F) float32
        Ridge weights from activity at each offset to the features.
    neural_mean : Tensor, (N,) float32
        Mean activity over the context, removed before the read-out.
    feature_mean : Tensor, (F,) float32
        Mean features over the context, added after the read-out.
    n_frames : int
        Frames of context it was made from.
    """

    fingerprints: Tensor
    readout: Tensor
    neural_mean: Tensor
    feature_mean: Tensor
    n_frames: int

    def of_cells(self, cells: Tensor) -> Context:
        """The context of some of the neurons, or of all in another order, by index tensor."""
        return replace(
            self,
            fingerprints=self.fingerprints[cells],
            readout=self.readout[:, cells],
            neural_mean=self.neural_mean[cells],
        )

    def detach(self) -> Context:
        """The same numbers, cut off from the graph they were computed in."""
        return self._map(Tensor.detach)

    def to(self, device: torch.device | str) -> Context:
        """The same context on another device."""
        return self._map(lambda tensor: tensor.to(device))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Context:
        return replace(
            self,
            fingerprints=change(self.fingerprints),
            readout=change(self.readout),
            neural_mean=change(self.neural_mean),
            feature_mean=change(self.feature_mean),
        )

    def predict_features(self, neural: Tensor, offsets: Sequence[int]) -> Tensor:
        """The ridge read-out: activity ``(B, T, N)`` to predicted features ``(B, T, F)``."""
        with full_precision(neural):
            shifted = with_offsets(neural - self.neural_mean, offsets)
            return torch.einsum("bton,onf->btf", shifted, self.readout) + self.feature_mean


def with_offsets(neural: Tensor, offsets: Sequence[int]) -> Tensor:
    """Activity at each frame plus offset, ``(B, T, N)`` to ``(B, T, O, N)``; past the clip's ends the end frame."""
    n_frames = neural.shape[1]
    frames = torch.arange(n_frames, device=neural.device)
    return torch.stack([neural[:, (frames + offset).clamp(0, n_frames - 1)] for offset in offsets], dim=2)


class ContextTiming(NamedTuple):
    """Lags and offsets of the context in frames; times that fall on one frame at a low frame rate count once."""

    lags: tuple[int, ...]
    offsets: tuple[int, ...]

    @classmethod
    def of(cls, configuration: ModelConfiguration, frame_rate: float) -> ContextTiming:
        """The configuration's seconds at ``frame_rate`` frames per second."""
        lags, offsets = (
            tuple(dict.fromkeys(round(seconds * frame_rate) for seconds in times))
            for times in (configuration.fingerprint_lags, configuration.readout_offsets)
        )
        return cls(lags, offsets)


class ContextSums:
    """Running sums over context clips of one session, from which :class:`ContextBuilder` makes the context.

    The ridge keeps either the Gram matrix of the inputs (primal) or the inputs of some frames (dual): the smaller
    system, and never more than ``readout_frames`` frames, taken evenly.
    """

    def __init__(
        self, configuration: ModelConfiguration, timing: ContextTiming, n_cells: int, expected_frames: int
    ) -> None:
        self._lags = timing.lags
        self._offsets = timing.offsets
        inputs = n_cells * len(self._offsets)
        self.primal = inputs <= min(configuration.readout_primal_size, expected_frames)
        self._stride = 1 if self.primal else -(-expected_frames // configuration.readout_frames)
        self.n_frames = 0
        self._seen = 0
        self.neural: list[Tensor] = []
        self.neural_squares: list[Tensor] = []
        self.features: list[Tensor] = []
        self.feature_products: list[Tensor] = []
        self.lagged: list[Tensor] = []
        self.lagged_neural: list[Tensor] = []
        self.lagged_features: list[Tensor] = []
        self.lagged_frames = torch.zeros(len(self._lags))
        self.inputs: list[Tensor] = []
        self.targets: list[Tensor] = []
        self.gram: list[Tensor] = []
        self.input_targets: list[Tensor] = []
        self.input_sums: list[Tensor] = []

    def add(self, neural: Tensor, features: Tensor) -> None:
        """Add clips: activity ``(B, T, N)`` and stimulus features ``(B, T, F)``."""
        with full_precision(neural):
            self._add(neural.float(), features.float())

    def _add(self, neural: Tensor, features: Tensor) -> None:
        clips, frames = neural.shape[:2]
        self.n_frames += clips * frames
        _accumulate(self.neural, neural.sum((0, 1)))
        _accumulate(self.neural_squares, neural.square().sum((0, 1)))
        flat = features.flatten(0, 1)
        _accumulate(self.features, flat.sum(0))
        _accumulate(self.feature_products, flat.T @ flat)
        products, neural_sums, feature_sums = [], [], []
        for number, lag in enumerate(self._lags):
            kept = max(frames - lag, 0)
            late, early = neural[:, frames - kept :], features[:, :kept]
            products.append(late.flatten(0, 1).T @ early.flatten(0, 1))
            neural_sums.append(late.sum((0, 1)))
            feature_sums.append(early.sum((0, 1)))
            self.lagged_frames[number] += clips * kept
        _accumulate(self.lagged, torch.stack(products))
        _accumulate(self.lagged_neural, torch.stack(neural_sums))
        _accumulate(self.lagged_features, torch.stack(feature_sums))
        inputs = with_offsets(neural, self._offsets).flatten(0, 1).flatten(1)
        if self.primal:
            _accumulate(self.gram, inputs.T @ inputs)
            _accumulate(self.input_targets, inputs.T @ flat)
            _accumulate(self.input_sums, inputs.sum(0))
        else:
            # A stride that shares a factor with the clip's length would take the same frames of every clip, in the
            # worst case only the first, where the features are least certain.
            while gcd(self._stride, frames) > 1:
                self._stride += 1
            kept_rows = slice(-self._seen % self._stride, None, self._stride)
            self.inputs.append(inputs[kept_rows])
            self.targets.append(flat[kept_rows])
            self._seen += clips * frames


def _accumulate(total: list[Tensor], value: Tensor) -> None:
    """Add to a one-element list, out of place, so that gradients flow through the sums."""
    total[:] = [total[0] + value] if total else [value]


class ContextBuilder(nn.Module):
    """Turns sums over context clips into a :class:`Context`; its one parameter is the ridge penalty.

    The penalty is in units of the total variance of the ridge's inputs, since the best one rises with it: the more
    cells, the more ways to explain the same features by chance, and the larger their activity, the less a penalty of
    one size holds back. It hardly changes with the number of frames.
    """

    def __init__(self, configuration: ModelConfiguration, timing: ContextTiming) -> None:
        super().__init__()
        self._configuration = configuration
        self._timing = timing
        self.log_penalty = nn.Parameter(torch.tensor(configuration.readout_penalty).log())

    def sums(self, n_cells: int, expected_frames: int) -> ContextSums:
        """Empty sums for a session of ``n_cells`` neurons and about ``expected_frames`` context frames."""
        return ContextSums(self._configuration, self._timing, n_cells, expected_frames)

    def forward(self, sums: ContextSums) -> Context:
        n = sums.n_frames
        neural_mean = sums.neural[0] / n
        feature_mean = sums.features[0] / n
        with full_precision(neural_mean):
            return Context(
                fingerprints=self._fingerprints(sums, neural_mean, feature_mean),
                readout=self._readout(sums, neural_mean, feature_mean),
                neural_mean=neural_mean,
                feature_mean=feature_mean,
                n_frames=n,
            )

    def _fingerprints(self, sums: ContextSums, neural_mean: Tensor, feature_mean: Tensor) -> Tensor:
        """``Cov(x(t), f(t - l)) (Cov(f) + lambda I)^-1`` of standardised activity and features, one row a neuron."""
        n = sums.n_frames
        neural_scale = (sums.neural_squares[0] / n - neural_mean.square()).clamp_min(1e-6).sqrt()
        covariance = sums.feature_products[0] / n - torch.outer(feature_mean, feature_mean)
        feature_scale = covariance.diagonal().clamp_min(1e-6).sqrt()
        correlation = covariance / torch.outer(feature_scale, feature_scale)
        identity = torch.eye(len(correlation), device=correlation.device)
        frames = sums.lagged_frames.to(neural_mean.device).clamp_min(1.0)[:, None, None]
        means = sums.lagged_neural[0][:, :, None] * sums.lagged_features[0][:, None, :] / frames.square()
        lagged = (sums.lagged[0] / frames - means) / (neural_scale[:, None] * feature_scale)
        whitened = torch.linalg.solve(
            correlation + self._configuration.fingerprint_ridge * identity, lagged.transpose(1, 2)
        )
        fingerprints: Tensor = whitened.permute(2, 0, 1).flatten(1)
        return fingerprints

    def _readout(self, sums: ContextSums, neural_mean: Tensor, feature_mean: Tensor) -> Tensor:
        offsets = len(self._timing.offsets)
        variance = (sums.neural_squares[0] / sums.n_frames - neural_mean.square()).clamp_min(0.0)
        # The floor is for a context in which no cell does anything.
        penalty = self.log_penalty.exp() * (offsets * variance.sum()).clamp_min(1e-6)
        if sums.primal:
            # Inputs at an offset repeat a clip's end frames, so their mean is close to, but not, the plain mean;
            # the read-out subtracts the plain mean, hence both sides are centred on it here.
            centre = neural_mean.repeat(offsets)
            total = sums.input_sums[0]
            cross = torch.outer(total, centre)
            gram = sums.gram[0] - cross - cross.T + sums.n_frames * torch.outer(centre, centre)
            products = sums.input_targets[0] - torch.outer(total, feature_mean)
            weights = torch.linalg.solve(gram + penalty * torch.eye(len(gram), device=gram.device), products)
        else:
            inputs = torch.cat(sums.inputs) - neural_mean.repeat(offsets)
            targets = torch.cat(sums.targets) - feature_mean
            kernel = inputs @ inputs.T
            # Fewer frames kept than seen: the penalty shrinks with them.
            share = len(inputs) / sums.n_frames
            dual = torch.linalg.solve(kernel + penalty * share * torch.eye(len(kernel), device=kernel.device), targets)
            weights = inputs.T @ dual
        readout: Tensor = weights.unflatten(0, (offsets, -1))
        return readout
