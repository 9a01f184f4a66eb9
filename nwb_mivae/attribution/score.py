"""Scores of diagonal-Gaussian posteriors with respect to what they were computed from (design, section 5).

``S = grad_x log q(z | x)``. A posterior has B clips of T frames of K latents; its source is ``x`` of shape
``(B, T, *S)``, ``S`` being neurons or pixels. A latent at one frame depends on the source at every frame of its clip,
so all maps here are indexed by the frame of the *source* and summed over the frames of the *latents*.

Clips must be encoded independently of each other: one vector-Jacobian product then serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from nwb_mivae.attribution.quantities import LogPosterior
from nwb_mivae.model import Gaussian

__all__ = [
    "FisherMaps",
    "Linearised",
    "Probes",
    "ScoreMaps",
    "fisher",
    "gradients_of",
    "in_groups",
    "latent_gradients",
    "linearise",
    "score",
]


class Linearised(NamedTuple):
    """A source (B, T, *S), its posterior (B, T, K), and the map from cotangents of mean and log-variance back.

    ``pull_back`` takes V pairs at once, each ``(V, B, T, K)``, and returns ``(V, B, T, *S)``.
    """

    source: Tensor
    posterior: Gaussian
    pull_back: Callable[[tuple[Tensor, Tensor]], Tensor]


class ScoreMaps(NamedTuple):
    """``total`` (B, T, *S), signed, summed over latents; ``per_latent`` (K, *S), absolute, summed over B and T.

    ``by_latent`` (K, B, T, *S) is what the total sums, where it was asked for.
    """

    total: Tensor
    per_latent: Tensor
    by_latent: Tensor | None = None


class FisherMaps(NamedTuple):
    """Squares, whose roots are the maps; the exact ones come as one probe.

    ``per_probe`` (R, B, T, *S), summed over latents, each probe an unbiased estimate; ``per_latent`` (K, *S), averaged
    over probes and summed over B and T; ``by_latent`` (K, B, T, *S), averaged over probes, where it was asked for.
    """

    per_probe: Tensor
    per_latent: Tensor
    by_latent: Tensor | None = None


@dataclass(frozen=True)
class Probes:
    """Random signs that probe the Jacobian of B clips; each follows from the seed, the clip, the source and the latent.

    Attributes
    ----------
    number : int
        R, probes of each latent.
    seed : int
        Not negative.
    starts : sequence of int
        Row of each clip's first frame.
    source : int
        Number of what is probed, so that two things that are attributed share no signs.
    latents : sequence of int, optional
        Numbers of the posterior's latents in their block, where it has some of them only.
    """

    number: int
    seed: int
    starts: Sequence[int]
    source: int
    latents: Sequence[int] | None = None

    def signs(self, latent: int, n_frames: int) -> Tensor:
        """Signs ``(R, B, 2 * n_frames)`` of one latent of the posterior, on the CPU."""
        number = latent if self.latents is None else self.latents[latent]
        drawn = [
            np.random.default_rng((self.seed, start, self.source, number)).integers(0, 2, (self.number, 2 * n_frames))
            for start in self.starts
        ]
        return torch.from_numpy(2 * np.stack(drawn, axis=1) - 1)


def linearise(encode: Callable[[Tensor], Gaussian], source: Tensor) -> Linearised:
    """Encode ``source`` (B, T, *S) once and keep what is needed to differentiate the posterior many times.

    Call it under ``torch.no_grad``, lest a second graph, to the weights, be kept.
    """

    def parameters(values: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = encode(values)
        return mean, log_variance

    outputs = torch.func.vjp(parameters, source)
    pull_back_one = outputs[1]

    def pull_back(cotangents: tuple[Tensor, Tensor]) -> Tensor:
        gradients: Tensor = torch.func.vmap(pull_back_one)(cotangents)[0]
        return gradients

    return Linearised(source, Gaussian(*outputs[0]), pull_back)


def latent_gradients(
    linearised: Linearised, to_mean: Tensor, to_log_variance: Tensor, *, vectors_at_once: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Gradients with respect to the source of what has these slopes ``(B, T, K)`` in the posterior, latent by latent.

    Yields some latents and their gradients ``(latents, B, T, *S)``; one vector-Jacobian product for each latent.
    """
    for latents in in_groups(to_mean.shape[-1], vectors_at_once):
        yield latents, gradients_of(linearised, to_mean, to_log_variance, latents=latents)


def gradients_of(linearised: Linearised, to_mean: Tensor, to_log_variance: Tensor, *, latents: list[int]) -> Tensor:
    """As :func:`latent_gradients`, of these latents together: ``(latents, B, T, *S)``."""
    only = one_hot(torch.tensor(latents, device=to_mean.device), to_mean.shape[-1]).to(to_mean)[:, None, None]
    return linearised.pull_back((to_mean * only, to_log_variance * only))


def score(linearised: Linearised, estimate: Tensor, *, vectors_at_once: int, keep_latents: bool = False) -> ScoreMaps:
    """Score of the posterior at ``z = estimate`` (B, T, K): ``grad_x log q(z | x)`` with ``z`` held fixed.

    Through the mean ``(z - mu) / sigma^2`` and through the log-variance ``((z - mu)^2 / sigma^2 - 1) / 2``; one
    vector-Jacobian product per latent.
    """
    source, posterior, _ = linearised
    n_latents = posterior.mean.shape[-1]
    total = torch.zeros_like(source)
    per_latent = source.new_zeros(n_latents, *source.shape[2:])
    by_latent = source.new_zeros(n_latents, *source.shape) if keep_latents else None
    slopes = LogPosterior(estimate).slopes(posterior)
    for latents, gradients in latent_gradients(linearised, *slopes, vectors_at_once=vectors_at_once):
        total += gradients.sum(0)
        per_latent[latents] = gradients.abs().sum((1, 2))
        if by_latent is not None:
            by_latent[latents] = gradients
    return ScoreMaps(total, per_latent, by_latent)


def fisher(
    linearised: Linearised,
    *,
    probes: Probes | None,
    vectors_at_once: int,
    keep_latents: bool = False,
) -> FisherMaps:
    """Square of the score's root mean square over the posterior, without sampling the posterior.

    ``sum_{t,k} (d mu_k(t) / dx)^2 / sigma_k(t)^2 + (d log sigma_k(t)^2 / dx)^2 / 2``: the diagonal of the Fisher
    information of ``q(z | x)`` about ``x``.

    Parameters
    ----------
    linearised : Linearised
    probes : Probes or None
        None takes every row of the Jacobian: two vector-Jacobian products per frame and latent, exact. Probes take so
        many random signs over the frames of a latent (Hutchinson 1989): as many products per latent, unbiased; the
        sum over latents has a relative standard error of the order of ``sqrt(2 / (K * probes))``, the root half that.
    vectors_at_once : int
        Products done together; it changes no figure, nor do the clips that are done together.
    keep_latents : bool
        Whether to give every latent's squares at every frame.
    """
    source, (mean, log_variance), _ = linearised
    n_clips, n_frames, n_latents = mean.shape
    scale = torch.exp(-0.5 * log_variance)
    per_probe = source.new_zeros(1 if probes is None else probes.number, *source.shape)
    per_latent = source.new_zeros(n_latents, *source.shape[2:])
    by_latent = source.new_zeros(n_latents, *source.shape) if keep_latents else None
    for latent in range(n_latents):
        only = one_hot(torch.tensor(latent, device=mean.device), n_latents).to(mean)
        signs = None if probes is None else probes.signs(latent, n_frames)
        for rows in in_groups(2 * n_frames if probes is None else probes.number, vectors_at_once):
            # The first half of a row weighs the means at each frame, the second half the log-variances.
            if signs is None:
                weights = one_hot(torch.tensor(rows, device=mean.device), 2 * n_frames)[:, None].expand(-1, n_clips, -1)
            else:
                weights = signs[rows].to(mean.device)
            weights = weights.to(mean)[..., None]
            squares = linearised.pull_back(
                (weights[:, :, :n_frames] * scale * only, weights[:, :, n_frames:] * 0.5**0.5 * only)
            ).square()
            if signs is None:
                per_probe[0] += squares.sum(0)
            else:
                per_probe[rows] += squares
            per_latent[latent] += squares.sum((0, 1, 2))
            if by_latent is not None:
                by_latent[latent] += squares.sum(0) / len(per_probe)
    return FisherMaps(per_probe, per_latent / len(per_probe), by_latent)


def in_groups(number: int, size: int) -> Iterator[list[int]]:
    """The numbers from 0 to ``number - 1`` in groups of ``size``, the last one of what is left."""
    for start in range(0, number, size):
        yield list(range(start, min(start + size, number)))
