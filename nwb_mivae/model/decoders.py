"""Decoders: latents to the activity of any neurons, queried by their descriptors, and to stimulus frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.layers import TemporalMixing
from nwb_mivae.model.likelihoods import NEURON_PARAMETERS, Likelihood

__all__ = ["NeuralDecoder", "StimulusDecoder"]


class NeuralDecoder(nn.Module):
    """``drive_i(t) = <psi'(d_i), D(z_c, z_xm)(t)> + b(d_i)``; serves any animal because neurons are queries."""

    def __init__(self, configuration: ModelConfiguration, likelihood: Likelihood) -> None:
        super().__init__()
        size = configuration.population_size
        latents = configuration.shared_latents + configuration.neural_private_latents
        self.trunk = TemporalMixing(latents, configuration.hidden_size, size, blocks=1)
        self.query = nn.Linear(configuration.descriptor_size, size + 1)
        self.parameters_of_neurons = nn.Linear(configuration.descriptor_size, NEURON_PARAMETERS[likelihood])
        self._scale = size**-0.5

    def forward(self, shared: Tensor, private: Tensor, descriptors: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (B, T, K) and (B, T, M), descriptors (N, D): the drive (B, T, N) and neurons' parameters (N, P)."""
        trunk = self.trunk(torch.cat([shared, private], dim=-1))
        query = self.query(descriptors)
        drive = trunk @ query[:, :-1].T * self._scale + query[:, -1]
        return drive, self.parameters_of_neurons(descriptors)


class StimulusDecoder(nn.Module):
    """``y = G(z_c, z_ym)``: mixing along time, then per frame a coarse map brought to full size."""

    def __init__(self, configuration: ModelConfiguration, height: int, width: int) -> None:
        super().__init__()
        latents = configuration.shared_latents + configuration.stimulus_private_latents
        channels = configuration.stimulus_channels
        self.height, self.width = height, width
        self.rows, self.columns = -(-height // 4), -(-width // 4)
        self.trunk = TemporalMixing(latents, configuration.hidden_size, configuration.hidden_size, blocks=1)
        self.expand = nn.Linear(configuration.hidden_size, channels * self.rows * self.columns)
        self.refine = nn.Sequential(nn.GELU(), nn.Conv2d(channels, 16, 3, padding=1), nn.PixelShuffle(4))
        self.log_variance = nn.Parameter(torch.tensor(-3.0))

    def forward(self, shared: Tensor, private: Tensor) -> Tensor:
        """Latents ``(B, T, K)`` and ``(B, T, J)`` to luminance ``(B, T, 1, H, W)`` in (0, 1)."""
        trunk = self.trunk(torch.cat([shared, private], dim=-1))
        clips, frames = trunk.shape[:2]
        coarse = self.expand(trunk).reshape(clips * frames, -1, self.rows, self.columns)
        full = self.refine(coarse)[..., : self.height, : self.width]
        return torch.sigmoid(full).reshape(clips, frames, 1, self.height, self.width)
