"""What of a posterior is traced back: one number for each clip and latent, with its slopes (design, section 5)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from nwb_mivae.model import Gaussian

__all__ = ["Evidence", "LatentMean", "LogPosterior", "Quantity"]


class Quantity(ABC):
    """A differentiable function of the posterior ``(B, T, K)`` of B clips, separable by frame and latent."""

    #: Whether values of different latents may be added: means of latents may not, their signs are arbitrary.
    adds_up: bool

    @abstractmethod
    def value(self, posterior: Gaussian) -> Tensor:
        """The quantity, summed over frames: ``(B, K)``."""

    @abstractmethod
    def slopes(self, posterior: Gaussian) -> tuple[Tensor, Tensor]:
        """Its derivatives with respect to means and to log-variances, ``(B, T, K)`` each."""


@dataclass(frozen=True)
class LatentMean(Quantity):
    """The posterior means, summed over the clip's frames."""

    adds_up = False

    def value(self, posterior: Gaussian) -> Tensor:
        return posterior.mean.sum(1)

    def slopes(self, posterior: Gaussian) -> tuple[Tensor, Tensor]:
        return torch.ones_like(posterior.mean), torch.zeros_like(posterior.log_variance)


@dataclass(frozen=True)
class LogPosterior(Quantity):
    """``log q(z | x)`` in nats at ``z = estimate`` (B, T, K), which is held fixed: its gradient is the score."""

    estimate: Tensor
    adds_up = True

    def value(self, posterior: Gaussian) -> Tensor:
        return posterior.log_density(self.estimate).sum(1)

    def slopes(self, posterior: Gaussian) -> tuple[Tensor, Tensor]:
        precision = torch.exp(-posterior.log_variance)
        distance = self.estimate - posterior.mean
        return distance * precision, 0.5 * (distance.square() * precision - 1.0)


@dataclass(frozen=True)
class Evidence(Quantity):
    """``log q(z | x)`` at ``z = estimate``, less what it is on average at other values of ``z``; in nats.

    How much more the posterior speaks for the estimate from the other modality than for the estimates of other moments
    of the session: what tells one clip from another. The average is over a distribution of which only mean and mean
    square count, since the logarithm of a Gaussian is a square.

    Attributes
    ----------
    estimate : Tensor, (B, T, K)
        Held fixed.
    reference_mean, reference_square : Tensor, (K,)
        Mean and mean square of ``z`` over the moments it is compared with.
    """

    estimate: Tensor
    reference_mean: Tensor
    reference_square: Tensor
    adds_up = True

    def value(self, posterior: Gaussian) -> Tensor:
        return (0.5 * torch.exp(-posterior.log_variance) * self._twice_at_unit_variance(posterior.mean)).sum(1)

    def slopes(self, posterior: Gaussian) -> tuple[Tensor, Tensor]:
        precision = torch.exp(-posterior.log_variance)
        to_mean = precision * (self.estimate - self.reference_mean)
        return to_mean, -0.5 * precision * self._twice_at_unit_variance(posterior.mean)

    def _twice_at_unit_variance(self, mean: Tensor) -> Tensor:
        return self.reference_square - self.estimate.square() + 2.0 * mean * (self.estimate - self.reference_mean)
