"""References against closed forms on a linear posterior, against what they must add up to, and against captum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nwb_mivae.attribution.quantities import Evidence, LatentMean, LogPosterior, Quantity
from nwb_mivae.attribution.reference_methods import (
    ReferenceMaps,
    gradient,
    gradient_x_input,
    integrated_gradients,
    occlusion,
)
from nwb_mivae.attribution.score import linearise, score
from nwb_mivae.model import Gaussian

B, T, K, S = 3, 4, 2, (3, 2)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TO_MEAN = normal(T, K, T, *S, seed=1)
SOURCE, BASELINE = normal(B, T, *S, seed=2), 0.3 * normal(*S, seed=3)


def linear(source: Tensor) -> Gaussian:
    """Means linear in every element of the source, one variance."""
    mean = torch.einsum("tkuhw,buhw->btk", TO_MEAN, source) + 0.5
    return Gaussian(mean, torch.full_like(mean, -0.4))


def curved(source: Tensor) -> Gaussian:
    """Means and log-variances that are not linear."""
    mean = torch.einsum("tkuhw,buhw->btk", TO_MEAN, torch.tanh(source)) + source.square().mean((2, 3))[..., None]
    return Gaussian(mean, torch.tanh(0.3 * mean) - 0.2)


def evidence(estimate: Tensor) -> Evidence:
    return Evidence(estimate, normal(K, seed=5), 1.0 + normal(K, seed=6).square())


ESTIMATE = normal(B, T, K, seed=4)
QUANTITIES = [LatentMean(), evidence(ESTIMATE)]


@torch.no_grad()
def reference(
    method: str, encode: Callable[[Tensor], Gaussian], quantity: Quantity, *, keep: bool = True, **settings: Any
) -> ReferenceMaps:
    if method == "gradient":
        return gradient(linearise(encode, SOURCE), quantity, vectors_at_once=3, keep_latents=keep)
    if method == "gradient_x_input":
        return gradient_x_input(linearise(encode, SOURCE), quantity, BASELINE, vectors_at_once=3, keep_latents=keep)
    if method == "integrated_gradients":
        return integrated_gradients(
            encode, SOURCE, quantity, BASELINE, steps=20, vectors_at_once=3, keep_latents=keep, **settings
        )[0]
    patch = settings.pop("patch", (1, 1, 1))
    return occlusion(encode, SOURCE, quantity, BASELINE, patch=patch, patches_at_once=5, keep_latents=keep)


def by_latent(maps: ReferenceMaps) -> Tensor:
    assert maps.by_latent is not None
    return maps.by_latent


def test_the_gradient_of_a_linear_mean_is_its_weights() -> None:
    expected = TO_MEAN.sum(0)[:, None].expand(K, B, T, *S)
    maps = reference("gradient", linear, LatentMean())
    torch.testing.assert_close(by_latent(maps), expected)
    torch.testing.assert_close(maps.total, expected.square().sum(0).sqrt())
    torch.testing.assert_close(maps.per_latent, expected.abs().sum((1, 2)))


def test_the_gradient_of_a_log_posterior_is_the_score() -> None:
    maps = reference("gradient", curved, LogPosterior(ESTIMATE))
    with torch.no_grad():
        expected = score(linearise(curved, SOURCE), ESTIMATE, vectors_at_once=2, keep_latents=True)
    torch.testing.assert_close(maps.total, expected.total)
    torch.testing.assert_close(by_latent(maps), expected.by_latent)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients", "occlusion"])
def test_contributions_to_a_linear_mean_are_weights_times_distance(method: str) -> None:
    expected = TO_MEAN.sum(0)[:, None] * (SOURCE - BASELINE)
    maps = reference(method, linear, LatentMean())
    torch.testing.assert_close(by_latent(maps), expected)
    torch.testing.assert_close(maps.total, expected.square().sum(0).sqrt())
    torch.testing.assert_close(maps.per_latent, expected.sum((1, 2)))


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_integrated_gradients_add_up_to_what_the_baseline_lacks(quantity: Quantity) -> None:
    with torch.no_grad():
        maps, missing = integrated_gradients(
            curved, SOURCE, quantity, BASELINE, steps=20, vectors_at_once=3, keep_latents=True
        )
        expected = quantity.value(curved(SOURCE)) - quantity.value(curved(BASELINE.expand_as(SOURCE)))
        _, rough = integrated_gradients(curved, SOURCE, quantity, BASELINE, steps=1, vectors_at_once=3)
    torch.testing.assert_close(by_latent(maps).flatten(2).sum(2).T, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(missing, expected - by_latent(maps).flatten(2).sum(2).T)
    assert rough.abs().max() > 100 * missing.abs().max()


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_occluding_everything_at_once_loses_what_the_baseline_lacks(quantity: Quantity) -> None:
    maps = reference("occlusion", curved, quantity, patch=(T, *S))
    expected = quantity.value(curved(SOURCE)) - quantity.value(curved(BASELINE.expand_as(SOURCE)))
    torch.testing.assert_close(by_latent(maps).flatten(2).sum(2).T, expected)
    assert (by_latent(maps) == by_latent(maps)[:, :, :1, :1, :1]).all()


def test_patches_at_the_ends_are_cut_off_and_no_element_is_left_out() -> None:
    quantity = LatentMean()
    maps = reference("occlusion", linear, quantity, patch=(3, 2, 2))
    expected = quantity.value(linear(SOURCE)) - quantity.value(linear(BASELINE.expand_as(SOURCE)))
    torch.testing.assert_close(by_latent(maps).flatten(2).sum(2).T, expected)
    assert len(by_latent(maps)[0, 0].unique()) == 2 * 2 * 1


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients", "occlusion"])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_latents_add_up_where_they_may_and_have_a_size_where_not(method: str, quantity: Quantity) -> None:
    maps = reference(method, curved, quantity)
    each = by_latent(maps)
    expected = each.sum(0) if quantity.adds_up else each.square().sum(0).sqrt()
    torch.testing.assert_close(maps.total, expected)
    torch.testing.assert_close(maps.per_latent, each.sum((1, 2)))
    assert reference(method, curved, quantity, keep=False).by_latent is None


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("latent", range(K))
def test_captum_finds_the_same(quantity: Quantity, latent: int) -> None:
    from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients, Saliency

    def value(source: Tensor) -> Tensor:
        # captum repeats clips; what they are compared with is repeated the same way.
        of_clips = quantity
        if isinstance(quantity, Evidence):
            estimate = ESTIMATE.repeat(len(source) // B, 1, 1)
            of_clips = Evidence(estimate, quantity.reference_mean, quantity.reference_square)
        return of_clips.value(curved(source))[:, latent]

    baseline = BASELINE.expand_as(SOURCE)
    saliency = Saliency(value).attribute(SOURCE.clone().requires_grad_(), abs=False)
    torch.testing.assert_close(by_latent(reference("gradient", curved, quantity))[latent], saliency)
    integrated = IntegratedGradients(value).attribute(
        SOURCE, baselines=baseline, n_steps=20, method="gausslegendre", internal_batch_size=None
    )
    torch.testing.assert_close(by_latent(reference("integrated_gradients", curved, quantity))[latent], integrated)
    ablated = FeatureAblation(value).attribute(SOURCE, baselines=baseline)
    torch.testing.assert_close(by_latent(reference("occlusion", curved, quantity))[latent], ablated)
    # captum has no baseline here, so it is taken out of what the input is multiplied with.
    times_input = InputXGradient(value).attribute(SOURCE.clone().requires_grad_())
    found = by_latent(reference("gradient_x_input", curved, quantity))[latent] + saliency * baseline
    torch.testing.assert_close(found, times_input)
