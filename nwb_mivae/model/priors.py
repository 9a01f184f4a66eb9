"""Conditional prior of the idiosyncratic neural latents: what is known of the animal's state and of its population."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.gaussian import Gaussian
from nwb_mivae.model.layers import CoordinateFeatures, perceptron

__all__ = ["PrivatePrior"]


class PrivatePrior(nn.Module):
    """``p(z_xm | u, p)``: a network over auxiliary variables and a summary of the set of coordinates.

    After pi-VAE (Zhou & Wei 2020): mean and variance both depend on the auxiliary variables. The summary is the mean
    over neurons of a network of each position, so it depends neither on their order nor on their number.
    """

    def __init__(self, configuration: ModelConfiguration, n_auxiliary: int) -> None:
        super().__init__()
        hidden = configuration.descriptor_size
        self.positions = CoordinateFeatures(configuration.coordinate_bands, configuration.coordinate_scale)
        self.summary = perceptron(self.positions.size, hidden, hidden)
        self.parameters_of_prior = perceptron(n_auxiliary + hidden, hidden, 2 * configuration.neural_private_latents)

    def forward(self, auxiliary: Tensor, coordinates: Tensor) -> Gaussian:
        """Auxiliary variables ``(B, T, U)`` and coordinates ``(N, 3)`` to a Gaussian ``(B, T, M)``."""
        summary = self.summary(self.positions(coordinates)).mean(0).expand(*auxiliary.shape[:2], -1)
        return Gaussian.from_parameters(self.parameters_of_prior(torch.cat([auxiliary, summary], dim=-1)))
