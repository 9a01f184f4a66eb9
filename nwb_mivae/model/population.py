"""Population encoders: activity of any number of neurons to one vector per frame, behind one interface.

Three designs (design, section 3): ``contextual`` reads neurons through descriptors made of their coordinates and of
what the animal's own recording says about them; ``coordinates`` through coordinates alone; ``pooled`` is the published
design, which pools along the order of neurons in the file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.context import Context, ContextTiming
from nwb_mivae.model.cortical_map import CorticalMap
from nwb_mivae.model.layers import CoordinateFeatures, TemporalMixing, perceptron

__all__ = [
    "ContextualPopulation",
    "CoordinatesPopulation",
    "PooledPopulation",
    "PopulationEncoder",
    "ReadInTerm",
    "SeparablePopulation",
    "make_population",
]


class PopulationEncoder(nn.Module, ABC):
    """Interface of the designs: descriptors of neurons, and the population's activity read through them."""

    #: Size of the vectors that :meth:`forward` returns.
    size: int

    @abstractmethod
    def describe(self, coordinates: Tensor, context: Context | None) -> Tensor:
        """Descriptors ``(N, D)`` of neurons at ``coordinates`` (N, 3) in micrometres."""

    @abstractmethod
    def forward(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> Tensor:
        """Activity ``(B, T, N)`` to ``(B, T, size)``."""


class ReadInTerm(NamedTuple):
    """What single neurons add to a read-in: ``h_c(t) += sum_i weights[i, c - first] phi(x_i(t + offset))``.

    Past a clip's ends, the end frame counts.

    Attributes
    ----------
    offset : int
        Frames after the frame that is read in.
    first : int
        Where in the read-in the ``C`` columns begin that the term adds to.
    weights : Tensor, (N, C)
    slope : Tensor, (B, T, N), or None
        Derivative of ``phi`` at the activity; None where ``phi`` is the identity.
    """

    offset: int
    first: int
    weights: Tensor
    slope: Tensor | None


class SeparablePopulation(PopulationEncoder):
    """Interface of designs that add neurons up before anything mixes them: a read-in, and what is made of it.

    The read-in is a sum over neurons, and what follows knows neither their number nor which they are. Derivatives with
    respect to thousands of neurons are then matrix products (:mod:`nwb_mivae.attribution.exact_fisher`).
    """

    #: What mixes the read-in along time; nothing else does.
    trunk: TemporalMixing

    @property
    def reach(self) -> int:
        """Frames to either side of a frame whose read-in :meth:`mix` looks at."""
        return self.trunk.reach

    @abstractmethod
    def read_in(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> Tensor:
        """Activity ``(B, T, N)`` to a sum over neurons, ``(B, T, P)``, and constants."""

    @abstractmethod
    def read_in_terms(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> list[ReadInTerm]:
        """The terms of :meth:`read_in` that depend on activity: together, its derivative by each neuron."""

    @abstractmethod
    def mix(self, read_in: Tensor) -> Tensor:
        """The read-in ``(B, T, P)`` to ``(B, T, size)``."""

    def forward(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> Tensor:
        return self.mix(self.read_in(neural, coordinates, context))


class _Readout(nn.Module):
    """``h(t) = N^-1/2 sum_i psi(d_i) phi(x_i)(t)``: a matrix product over neurons, for two ``phi``."""

    def __init__(self, descriptor_size: int, size: int) -> None:
        super().__init__()
        self.weights = nn.Linear(descriptor_size, 2 * size)

    def forward(self, neural: Tensor, descriptors: Tensor) -> Tensor:
        linear, rectified = self.weights(descriptors).chunk(2, dim=-1)
        population = neural @ linear + nn.functional.softplus(2 * neural - 2) @ rectified
        return population / neural.shape[-1] ** 0.5  # type: ignore[no-any-return]

    def terms(self, neural: Tensor, descriptors: Tensor) -> list[ReadInTerm]:
        """The two parts of :meth:`forward`, with the slope of the second ``phi``."""
        linear, rectified = (self.weights(descriptors) / neural.shape[-1] ** 0.5).chunk(2, dim=-1)
        return [ReadInTerm(0, 0, linear, None), ReadInTerm(0, 0, rectified, 2 * torch.sigmoid(2 * neural - 2))]


class CoordinatesPopulation(SeparablePopulation):
    """Descriptors from coordinates alone: ``d_i = MLP(fourier(p_i))``."""

    def __init__(self, configuration: ModelConfiguration) -> None:
        super().__init__()
        size = configuration.descriptor_size
        self.size = configuration.hidden_size
        self.positions = CoordinateFeatures(configuration.coordinate_bands, configuration.coordinate_scale)
        self.descriptor = perceptron(self.positions.size, size, size)
        self.readout = _Readout(size, configuration.population_size)
        self.trunk = TemporalMixing(configuration.population_size, self.size, self.size)

    def describe(self, coordinates: Tensor, context: Context | None) -> Tensor:  # noqa: ARG002
        return self.descriptor(self.positions(coordinates))  # type: ignore[no-any-return]

    def read_in(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> Tensor:
        return self.readout(neural, self.describe(coordinates, context))  # type: ignore[no-any-return]

    def read_in_terms(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> list[ReadInTerm]:
        return self.readout.terms(neural, self.describe(coordinates, context))

    def mix(self, read_in: Tensor) -> Tensor:
        return self.trunk(read_in)  # type: ignore[no-any-return]


class ContextualPopulation(SeparablePopulation):
    """Descriptors from coordinates and fingerprint, the ridge read-out joined before the mixing along time.

    No parameter belongs to an animal or a neuron. Without context, the fingerprint is zero and a flag says so, and the
    encoder works from coordinates: what the map of all training animals predicts takes the place of the read-out.
    """

    def __init__(self, configuration: ModelConfiguration, timing: ContextTiming, frame_rate: float) -> None:
        super().__init__()
        size, features = configuration.descriptor_size, configuration.stimulus_features
        self._offsets = timing.offsets
        self._population_size = configuration.population_size
        self._fingerprint_size = features * len(timing.lags)
        self.positions = CoordinateFeatures(configuration.coordinate_bands, configuration.coordinate_scale)
        self.descriptor = perceptron(self.positions.size + self._fingerprint_size + 1, 2 * size, size)
        self.readout = _Readout(size, configuration.population_size)
        self.trunk = TemporalMixing(
            configuration.population_size + features + 1, configuration.hidden_size, configuration.hidden_size
        )
        self.cortical_map = CorticalMap(features, frame_rate)
        self.size = configuration.hidden_size + features

    def describe(self, coordinates: Tensor, context: Context | None) -> Tensor:
        positions = self.positions(coordinates)
        if context is None:
            known = positions.new_zeros(len(positions), self._fingerprint_size + 1)
        else:
            known = torch.cat([context.fingerprints, positions.new_ones(len(positions), 1)], dim=-1)
        return self.descriptor(torch.cat([positions, known], dim=-1))  # type: ignore[no-any-return]

    def read_in(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> Tensor:
        """The population, the features that are predicted from it, and the flag that says whether by a context."""
        population = self.readout(neural, self.describe(coordinates, context))
        if context is None:
            predicted = self.cortical_map(neural, coordinates)
            flag = population.new_zeros(*population.shape[:2], 1)
        else:
            predicted = context.predict_features(neural, self._offsets)
            flag = population.new_ones(*population.shape[:2], 1)
        return torch.cat([population, predicted, flag], dim=-1)

    def read_in_terms(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> list[ReadInTerm]:
        if context is None:
            offsets, weights = self.cortical_map.offsets, self.cortical_map.readout(coordinates)
        else:
            offsets, weights = self._offsets, context.readout
        predicted = [
            ReadInTerm(offset, self._population_size, part, None) for offset, part in zip(offsets, weights, strict=True)
        ]
        return self.readout.terms(neural, self.describe(coordinates, context)) + predicted

    def mix(self, read_in: Tensor) -> Tensor:
        return torch.cat([self.trunk(read_in), read_in[..., self._population_size : -1]], dim=-1)


class PooledPopulation(PopulationEncoder):
    """The published design: convolution along the neuron axis, adaptive max-pooling to bins, convolutions, latents.

    It depends on the order of neurons in the file and ignores coordinates and context; it is the baseline. For the
    decoder a neuron is described by its place in that order.
    """

    def __init__(self, configuration: ModelConfiguration) -> None:
        super().__init__()
        channels = configuration.stimulus_channels
        self.bins = configuration.pooled_bins
        self.size = configuration.hidden_size
        self.enter = nn.Conv1d(1, channels, 7, padding=3)
        self.stages = nn.Sequential(
            nn.GELU(),
            nn.Conv1d(channels, 2 * channels, 5, stride=4, padding=2),
            nn.GELU(),
            nn.Conv1d(2 * channels, 2 * channels, 5, stride=4, padding=2),
            nn.GELU(),
            nn.Flatten(),
        )
        places = ceil(ceil(self.bins / 4) / 4)
        self.trunk = TemporalMixing(2 * channels * places, self.size, self.size)
        self.positions = CoordinateFeatures(configuration.coordinate_bands, 2.0)
        self.descriptor = perceptron(self.positions.size, configuration.descriptor_size, configuration.descriptor_size)

    def describe(self, coordinates: Tensor, context: Context | None) -> Tensor:  # noqa: ARG002
        place = torch.linspace(0.0, 1.0, len(coordinates), device=coordinates.device)
        unknown = torch.full_like(place, torch.nan)
        return self.descriptor(self.positions(torch.stack([place, unknown, unknown], dim=-1)))  # type: ignore[no-any-return]

    def forward(self, neural: Tensor, coordinates: Tensor, context: Context | None) -> Tensor:  # noqa: ARG002
        clips, frames, cells = neural.shape
        x = self.enter(neural.reshape(clips * frames, 1, cells))
        x = nn.functional.adaptive_max_pool1d(x, self.bins)
        return self.trunk(self.stages(x).reshape(clips, frames, -1))  # type: ignore[no-any-return]


def make_population(configuration: ModelConfiguration, timing: ContextTiming, frame_rate: float) -> PopulationEncoder:
    """The population encoder that ``configuration.population`` names; ``frame_rate`` is that of clips, in Hz."""
    if configuration.population == "contextual":
        return ContextualPopulation(configuration, timing, frame_rate)
    if configuration.population == "coordinates":
        return CoordinatesPopulation(configuration)
    return PooledPopulation(configuration)
