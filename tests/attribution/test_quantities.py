"""Values against the densities they are made of, slopes against automatic differentiation of the values."""

from __future__ import annotations

import pytest
import torch

from nwb_mivae.attribution.quantities import Evidence, LatentMean, LogPosterior, Quantity
from nwb_mivae.model import Gaussian

B, T, K, M = 3, 4, 2, 5000


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def posterior() -> Gaussian:
    return Gaussian(normal(B, T, K, seed=0), 0.5 * normal(B, T, K, seed=1))


def evidence() -> tuple[Evidence, torch.Tensor]:
    others = 0.7 + 1.3 * normal(M, K, seed=2)
    return Evidence(normal(B, T, K, seed=3), others.mean(0), others.square().mean(0)), others


def test_evidence_is_the_log_density_at_the_estimate_less_its_mean_at_the_others() -> None:
    quantity, others = evidence()
    given = posterior()
    at_others = Gaussian(given.mean[None], given.log_variance[None]).log_density(others[:, None, None])
    expected = (given.log_density(quantity.estimate) - at_others.mean(0)).sum(1)
    torch.testing.assert_close(quantity.value(given), expected)


def test_evidence_is_nothing_on_average_where_estimates_are_those_it_is_compared_with() -> None:
    _, others = evidence()
    given = posterior()
    found = [
        Evidence(each.expand(B, T, K), others.mean(0), others.square().mean(0)).value(given) for each in others[:200]
    ]
    exact = Evidence(others[:200].mean(0).expand(B, T, K), others[:200].mean(0), others[:200].mean(0).square())
    torch.testing.assert_close(exact.value(given), torch.zeros(B, K, dtype=torch.float64))
    assert torch.stack(found).mean(0).abs().max() < 0.2 * torch.stack(found).std(0).max()


@pytest.mark.parametrize("quantity", [LatentMean(), LogPosterior(normal(B, T, K, seed=3)), evidence()[0]])
def test_slopes_are_the_derivatives_of_the_value(quantity: Quantity) -> None:
    given = posterior()
    mean, log_variance = (each.clone().requires_grad_() for each in given)
    quantity.value(Gaussian(mean, log_variance)).sum().backward()
    to_mean, to_log_variance = quantity.slopes(given)
    torch.testing.assert_close(to_mean, mean.grad)
    expected = torch.zeros_like(log_variance) if log_variance.grad is None else log_variance.grad
    torch.testing.assert_close(to_log_variance, expected)


def test_a_shift_of_all_latents_changes_no_evidence() -> None:
    quantity, others = evidence()
    given = posterior()
    shifted = Evidence(quantity.estimate + 2.0, (others + 2.0).mean(0), (others + 2.0).square().mean(0))
    moved = Gaussian(given.mean + 2.0, given.log_variance)
    torch.testing.assert_close(shifted.value(moved), quantity.value(given))
