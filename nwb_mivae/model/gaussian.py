"""Diagonal Gaussians given by mean and log-variance, and the few things done with them. Everything is float32."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Gaussian"]

#: Log-variances are kept inside this range: a standard deviation between 0.018 and 7.4.
LOG_VARIANCE_RANGE = (-8.0, 4.0)


class Gaussian(NamedTuple):
    """A diagonal Gaussian: ``mean`` and ``log_variance``, tensors of one shape, the last axis being the latents."""

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def from_parameters(cls, parameters: Tensor) -> Gaussian:
        """Split the last axis in two halves: means, and log-variances held smoothly inside a safe range."""
        mean, raw = parameters.float().chunk(2, dim=-1)
        low, high = LOG_VARIANCE_RANGE
        middle, half = (low + high) / 2, (high - low) / 2
        return cls(mean, middle + half * torch.tanh((raw - middle) / half))

    @classmethod
    def standard(cls, like: Tensor) -> Gaussian:
        """The standard normal in the shape of ``like``."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    @property
    def variance(self) -> Tensor:
        return self.log_variance.exp()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One reparametrised sample; without a generator, the mean (so that nothing depends on global state)."""
        if generator is None:
            return self.mean
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def times(self, other: Gaussian) -> Gaussian:
        """The normalised product of two Gaussian densities (a product of experts): precisions add."""
        log_precision = torch.logaddexp(-self.log_variance, -other.log_variance)
        weight = torch.exp(-self.log_variance - log_precision)
        return Gaussian(weight * self.mean + (1 - weight) * other.mean, -log_precision)

    def divergence_from(self, prior: Gaussian) -> Tensor:
        """Kullback-Leibler divergence KL(self || prior), per latent, in nats; shape of ``mean``."""
        difference = self.log_variance - prior.log_variance
        squared = (self.mean - prior.mean).square() * torch.exp(-prior.log_variance)
        return 0.5 * (torch.exp(difference) + squared - 1.0 - difference)

    def log_density(self, values: Tensor) -> Tensor:
        """Log density at ``values``, per latent; shape of ``mean``."""
        squared = (values - self.mean).square() * torch.exp(-self.log_variance)
        return -0.5 * (squared + self.log_variance + math.log(2 * math.pi))
