"""Terms of the loss that are not a likelihood or a divergence: matching across modalities, and disentanglement."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nwb_mivae.model.gaussian import Gaussian
from nwb_mivae.model.precision import full_precision

__all__ = ["LossTerms", "cross_covariance", "expected_squared_distance", "matching_loss", "same_stimulus"]


class LossTerms(NamedTuple):
    """The loss of one step: ``total`` to descend on, each unweighted term, and figures worth watching."""

    total: Tensor
    terms: dict[str, Tensor]
    figures: dict[str, Tensor]


def expected_squared_distance(first: Gaussian, second: Gaussian) -> Tensor:
    """Expected squared distance between clips, averaged over frames and latents: ``(A, T, K), (B, T, K) -> (A, B)``.

    For independent Gaussians it is ``|mu_1 - mu_2|^2 + sum sigma_1^2 + sum sigma_2^2``.
    """
    a, b = first.mean.flatten(1), second.mean.flatten(1)
    with full_precision(a):
        squares = a.square().sum(1)[:, None] + b.square().sum(1)[None, :] - 2 * a @ b.T
    spread = first.variance.flatten(1).sum(1)[:, None] + second.variance.flatten(1).sum(1)[None, :]
    return (squares + spread) / a.shape[1]


def same_stimulus(content: Tensor) -> Tensor:
    """Pairs of clips that show the same pixels in at least half of their frames: ``(B, T) -> (B, B)`` bool."""
    return (content[:, None] == content[None]).float().mean(-1) >= 0.5


def matching_loss(neural: Gaussian, stimulus: Gaussian, content: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Contrastive matching of clips across modalities, both ways, and the share matched right (neural to stimulus).

    Logits are minus the expected squared distance times a learned scale; clips showing the same stimulus are left out
    of each other's negatives.

    Parameters
    ----------
    neural, stimulus : Gaussian, (B, T, K)
        Shared posteriors of the same clips in the same order.
    content : Tensor, (B, T) int64
        Identity of each frame's pixels.
    log_scale : Tensor, ()
        Logarithm of the inverse temperature.
    """
    logits = -log_scale.exp() * expected_squared_distance(neural, stimulus)
    diagonal = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(same_stimulus(content) & ~diagonal, -torch.inf)
    target = torch.arange(len(logits), device=logits.device)
    loss = 0.5 * (
        torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
    )
    return loss, (logits.argmax(1) == target).float().mean()


def cross_covariance(shared: Tensor, private: Tensor) -> Tensor:
    """Mean squared correlation between shared ``(B, T, K)`` and private ``(B, T, M)`` latents over the batch."""
    first, second = shared.flatten(0, 1), private.flatten(0, 1)
    first = (first - first.mean(0)) / (first.std(0, correction=0) + 1e-3)
    second = (second - second.mean(0)) / (second.std(0, correction=0) + 1e-3)
    with full_precision(first):
        return (first.T @ second / len(first)).square().mean()
