"""Gradient, gradient x input, integrated gradients and occlusion of a quantity of the posterior: references of scores.

All of them are of sources ``(B, T, *S)``, ``S`` being neurons or pixels, latent by latent, and indexed by the frame of
the source, as the scores are. Gradient x input, integrated gradients and occlusion say what the source *contributes* to
the quantity, against a baseline in its place, and have its unit; the gradient says how fast the quantity would change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nwb_mivae.attribution.quantities import Quantity
from nwb_mivae.attribution.score import Linearised, gradients_of, in_groups, latent_gradients, linearise
from nwb_mivae.model import Gaussian

__all__ = ["ReferenceMaps", "gradient", "gradient_x_input", "integrated_gradients", "occlusion"]

Encode = Callable[[Tensor], Gaussian]


class ReferenceMaps(NamedTuple):
    """Maps of B clips.

    ``total`` (B, T, *S): over latents the sum, or where their values may not be added the root of the sum of squares.
    ``per_latent`` (K, *S): summed over B and T, signed for contributions, absolute for gradients. ``by_latent``
    (K, B, T, *S), signed, where it was asked for.
    """

    total: Tensor
    per_latent: Tensor
    by_latent: Tensor | None = None


class _Collected:
    def __init__(self, source: Tensor, n_latents: int, *, adds_up: bool, absolute: bool, keep_latents: bool) -> None:
        self._adds_up, self._absolute = adds_up, absolute
        self._total = torch.zeros_like(source)
        self._per_latent = source.new_zeros(n_latents, *source.shape[2:])
        self._by_latent = source.new_zeros(n_latents, *source.shape) if keep_latents else None

    def add(self, latents: list[int], maps: Tensor) -> None:
        self._total += maps.sum(0) if self._adds_up else maps.square().sum(0)
        self._per_latent[latents] = (maps.abs() if self._absolute else maps).sum((1, 2))
        if self._by_latent is not None:
            self._by_latent[latents] = maps

    def maps(self) -> ReferenceMaps:
        return ReferenceMaps(self._total if self._adds_up else self._total.sqrt(), self._per_latent, self._by_latent)


def gradient(
    linearised: Linearised, quantity: Quantity, *, vectors_at_once: int, keep_latents: bool = False
) -> ReferenceMaps:
    """Derivative of the quantity with respect to every element of the source; one product per latent."""
    source, posterior, _ = linearised
    collected = _Collected(
        source,
        posterior.mean.shape[-1],
        adds_up=quantity.adds_up,
        absolute=True,
        keep_latents=keep_latents,
    )
    slopes = quantity.slopes(posterior)
    for latents, gradients in latent_gradients(linearised, *slopes, vectors_at_once=vectors_at_once):
        collected.add(latents, gradients)
    return collected.maps()


def gradient_x_input(
    linearised: Linearised, quantity: Quantity, baseline: Tensor, *, vectors_at_once: int, keep_latents: bool = False
) -> ReferenceMaps:
    """Gradient times the distance from the baseline ``(*S)``: exact where the quantity is linear in between."""
    source, posterior, _ = linearised
    collected = _Collected(
        source, posterior.mean.shape[-1], adds_up=quantity.adds_up, absolute=False, keep_latents=keep_latents
    )
    distance = source - baseline
    slopes = quantity.slopes(posterior)
    for latents, gradients in latent_gradients(linearised, *slopes, vectors_at_once=vectors_at_once):
        collected.add(latents, gradients * distance)
    return collected.maps()


def integrated_gradients(
    encode: Encode,
    source: Tensor,
    quantity: Quantity,
    baseline: Tensor,
    *,
    steps: int,
    vectors_at_once: int,
    keep_latents: bool = False,
) -> tuple[ReferenceMaps, Tensor]:
    """Gradient averaged along the straight line from the baseline to the source, times their distance.

    Sundararajan, Taly & Yan (2017). The average is taken at the points of a Gauss-Legendre rule, which is exact for
    polynomials of degree ``2 * steps - 1``. Over the source, contributions add up to the quantity's value at the source
    less that at the baseline.

    Returns
    -------
    ReferenceMaps
    Tensor, (B, K)
        What is missing from that sum: the error of the rule.
    """
    at_source, at_baseline = encode(source), encode(baseline.expand_as(source))
    n_latents = at_source.mean.shape[-1]
    distance = source - baseline
    missing = quantity.value(at_source) - quantity.value(at_baseline)
    collected = _Collected(source, n_latents, adds_up=quantity.adds_up, absolute=False, keep_latents=keep_latents)
    points, weights = np.polynomial.legendre.leggauss(steps)
    # Latents outside, points inside: encoding again is cheaper than the memory of every latent's average.
    for latents in in_groups(n_latents, vectors_at_once):
        average = source.new_zeros(len(latents), *source.shape)
        for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
            on_the_way = linearise(encode, baseline + 0.5 * (1.0 + point) * distance)
            slopes = quantity.slopes(on_the_way.posterior)
            average.add_(gradients_of(on_the_way, *slopes, latents=latents), alpha=0.5 * weight)
        contributions = average.mul_(distance)
        missing[:, latents] -= contributions.flatten(2).sum(2).T
        collected.add(latents, contributions)
    return collected.maps(), missing


def occlusion(
    encode: Encode,
    source: Tensor,
    quantity: Quantity,
    baseline: Tensor,
    *,
    patch: Sequence[int],
    patches_at_once: int,
    keep_latents: bool = False,
) -> ReferenceMaps:
    """What the quantity loses where a patch of the source is replaced by the baseline (Zeiler & Fergus 2014).

    The loss is spread evenly over the patch's elements, so that maps of patches of any size have the same sum.

    Parameters
    ----------
    encode, source, quantity
        As above; patches are occluded in all clips at once, one patch at a time.
    baseline : Tensor, (*S)
    patch : sequence of int
        Size of a patch along frames and along each axis of ``S``; at the ends patches are cut off.
    patches_at_once : int
        Patches encoded together.
    """
    posterior = encode(source)
    n_latents = posterior.mean.shape[-1]
    whole = quantity.value(posterior)
    in_its_place = baseline.expand_as(source)
    by_latent = source.new_zeros(n_latents, *source.shape) if keep_latents else None
    total = torch.zeros_like(source)
    per_latent = source.new_zeros(n_latents, *source.shape[2:])
    regions = list(_patches(source.shape[1:], patch))
    for first in range(0, len(regions), patches_at_once):
        some = regions[first : first + patches_at_once]
        occluded = source.repeat(len(some), *[1] * source.ndim)
        for inputs, region in zip(occluded, some, strict=True):
            inputs[:, *region] = in_its_place[:, *region]
        mean, log_variance = torch.func.vmap(lambda values: tuple(encode(values)))(occluded)
        for number, region in enumerate(some):
            lost = whole - quantity.value(Gaussian(mean[number], log_variance[number]))
            covered = total[:, *region]
            each = lost / covered[0].numel()
            together = each.sum(1) if quantity.adds_up else each.square().sum(1).sqrt()
            covered += together.reshape(-1, *[1] * (covered.ndim - 1))
            beside = per_latent[:, *region[1:]]
            beside += (each.sum(0) * covered.shape[1]).reshape(-1, *[1] * (beside.ndim - 1))
            if by_latent is not None:
                place = by_latent[:, :, *region]
                place += each.T.reshape(*each.T.shape, *[1] * (place.ndim - 2))
    return ReferenceMaps(total, per_latent, by_latent)


def _patches(shape: Sequence[int], patch: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """The regions of an array of this shape that patches of a size divide it into."""
    sides = [
        [slice(start, min(start + size, length)) for start in range(0, length, size)]
        for length, size in zip(shape, patch, strict=True)
    ]
    return iter(product(*sides))
