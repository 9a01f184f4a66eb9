"""Scores of diagonal-Gaussian posteriors with respect to what they were computed from (design, section 5).

``S = grad_x log q(z | x)``. A posterior has B clips of T frames of K latents; its source is ``x`` of shape
``(B, T, *S)``, ``S`` being neurons or pixels. A latent at one frame depends on the source at every frame of its clip,
so all maps here are indexed by the frame of the *source* and summed over the frames of the *latents*.

Clips must be encoded independently of each other: one vector-Jacobian product then serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from nwb_mivae.model import Gaussian

__all__ = ["FisherMaps", "Linearised", "ScoreMaps", "fisher", "linearise", "score"]


class Linearised(NamedTuple):
    """A source (B, T, *S), its posterior (B, T, K), and the map from cotangents of mean and log-variance back."""

    source: Tensor
    posterior: Gaussian
    pull_back: Callable[[tuple[Tensor, Tensor]], tuple[Tensor]]


class ScoreMaps(NamedTuple):
    """``total`` (B, T, *S), signed, summed over latents; ``per_latent`` (K, *S), absolute, summed over B and T."""

    total: Tensor
    per_latent: Tensor


class FisherMaps(NamedTuple):
    """Squares, whose roots are the maps; the exact ones come as one probe.

    ``per_probe`` (R, B, T, *S), summed over latents, each probe an unbiased estimate; ``per_latent`` (K, *S), averaged
    over probes and summed over B and T.
    """

    per_probe: Tensor
    per_latent: Tensor


def linearise(encode: Callable[[Tensor], Gaussian], source: Tensor) -> Linearised:
    """Encode ``source`` (B, T, *S) once and keep what is needed to differentiate the posterior many times.

    Call it under ``torch.no_grad``, lest a second graph, to the weights, be kept.
    """

    def parameters(values: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = encode(values)
        return mean, log_variance

    outputs = torch.func.vjp(parameters, source)
    return Linearised(source, Gaussian(*outputs[0]), outputs[1])


def score(linearised: Linearised, estimate: Tensor, *, vectors_at_once: int) -> ScoreMaps:
    """Score of the posterior at ``z = estimate`` (B, T, K): ``grad_x log q(z | x)`` with ``z`` held fixed.

    Through the mean ``(z - mu) / sigma^2`` and through the log-variance ``((z - mu)^2 / sigma^2 - 1) / 2``; one
    vector-Jacobian product per latent.
    """
    source, (mean, log_variance), _ = linearised
    n_latents = mean.shape[-1]
    precision = torch.exp(-log_variance)
    to_mean = (estimate - mean) * precision
    to_log_variance = 0.5 * ((estimate - mean).square() * precision - 1.0)
    total = torch.zeros_like(source)
    per_latent = source.new_zeros(n_latents, *source.shape[2:])
    for latents in _in_groups(n_latents, vectors_at_once):
        only = one_hot(torch.tensor(latents, device=mean.device), n_latents).to(mean)[:, None, None]
        gradients = _pull_back(linearised, to_mean * only, to_log_variance * only)
        total += gradients.sum(0)
        per_latent[latents] = gradients.abs().sum((1, 2))
    return ScoreMaps(total, per_latent)


def fisher(
    linearised: Linearised, *, probes: int | None, generator: torch.Generator, vectors_at_once: int
) -> FisherMaps:
    """Square of the score's root mean square over the posterior, without sampling the posterior.

    ``sum_{t,k} (d mu_k(t) / dx)^2 / sigma_k(t)^2 + (d log sigma_k(t)^2 / dx)^2 / 2``: the diagonal of the Fisher
    information of ``q(z | x)`` about ``x``.

    Parameters
    ----------
    linearised : Linearised
    probes : int or None
        None takes every row of the Jacobian: two vector-Jacobian products per frame and latent, exact. A number takes
        so many random signs over the frames of a latent (Hutchinson 1989): as many products per latent, unbiased; the
        sum over latents has a relative standard error of the order of ``sqrt(2 / (K * probes))``, the root half that.
    generator : torch.Generator
        Source of the signs, on the CPU.
    vectors_at_once : int
        Products done together.
    """
    source, (mean, log_variance), _ = linearised
    n_clips, n_frames, n_latents = mean.shape
    scale = torch.exp(-0.5 * log_variance)
    per_probe = source.new_zeros(1 if probes is None else probes, *source.shape)
    per_latent = source.new_zeros(n_latents, *source.shape[2:])
    for latent in range(n_latents):
        only = one_hot(torch.tensor(latent, device=mean.device), n_latents).to(mean)
        for rows in _in_groups(2 * n_frames if probes is None else probes, vectors_at_once):
            # The first half of a row weighs the means at each frame, the second half the log-variances.
            if probes is None:
                weights = one_hot(torch.tensor(rows, device=mean.device), 2 * n_frames)[:, None].expand(-1, n_clips, -1)
            else:
                signs = torch.randint(0, 2, (len(rows), n_clips, 2 * n_frames), generator=generator)
                weights = (2 * signs - 1).to(mean.device)
            weights = weights.to(mean)[..., None]
            squares = _pull_back(
                linearised, weights[:, :, :n_frames] * scale * only, weights[:, :, n_frames:] * 0.5**0.5 * only
            ).square()
            if probes is None:
                per_probe[0] += squares.sum(0)
            else:
                per_probe[rows] += squares
            per_latent[latent] += squares.sum((0, 1, 2))
    return FisherMaps(per_probe, per_latent / len(per_probe))


def _in_groups(number: int, size: int) -> Iterator[list[int]]:
    for start in range(0, number, size):
        yield list(range(start, min(start + size, number)))


def _pull_back(linearised: Linearised, to_mean: Tensor, to_log_variance: Tensor) -> Tensor:
    (gradients,) = torch.func.vmap(linearised.pull_back)((to_mean, to_log_variance))
    return gradients
