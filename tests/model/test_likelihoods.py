"""Likelihoods against torch.distributions, and by integration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Gamma, Normal, Poisson
from torch.nn.functional import softplus

from nwb_mivae.model.likelihoods import (
    LIKELIHOOD_OF_KIND,
    NEURON_PARAMETERS,
    ZERO_ACTIVITY,
    Likelihood,
    expected_activity,
    negative_log_likelihood,
)


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_gaussian_is_torchs() -> None:
    activity, drive, parameters = _random(3, 4, 5), _random(3, 4, 5, seed=1), _random(5, 1, seed=2)
    variance = torch.exp(6 * torch.tanh(parameters[:, 0] / 6)).double()
    expected = -Normal(drive.double(), variance.sqrt()).log_prob(activity.double())
    found = negative_log_likelihood("gaussian", activity, drive, parameters).double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(expected_activity("gaussian", drive, parameters), drive)


def test_poisson_is_torchs() -> None:
    activity, drive, parameters = _random(3, 4, 5).abs().mul(3).round(), _random(3, 4, 5, seed=1), _random(5, 1)
    expected = -Poisson(softplus(drive).double()).log_prob(activity.double())
    found = negative_log_likelihood("poisson", activity, drive, parameters).double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(expected_activity("poisson", drive, parameters), softplus(drive))


def _zero_inflated_gamma(values: torch.Tensor, drive: float, parameters: tuple[float, float]) -> torch.Tensor:
    activity = values.reshape(1, -1, 1)
    return negative_log_likelihood(
        "zero_inflated_gamma", activity, torch.full(activity.shape, drive), torch.tensor([parameters])
    )[0, :, 0].double()


@pytest.mark.parametrize("drive", [-5.0, 0.0, 3.0])
@pytest.mark.parametrize("shape", [-9.0, 0.0, 3.0])
def test_zero_inflated_gamma_adds_up_to_one_and_has_the_expected_activity(drive: float, shape: float) -> None:
    values = ZERO_ACTIVITY + torch.logspace(-9, 2.5, 20_001, dtype=torch.float64)
    density = _zero_inflated_gamma(values, drive, (shape, 0.4)).neg().exp()
    zero = _zero_inflated_gamma(torch.zeros(1), drive, (shape, 0.4)).neg().exp().item()
    assert 0 < zero < 1
    assert np.trapezoid(density, values) + zero == pytest.approx(1.0, abs=2e-3)
    mean = expected_activity("zero_inflated_gamma", torch.full((1, 1, 1), drive), torch.tensor([[shape, 0.4]])).item()
    assert np.trapezoid(density * values, values) == pytest.approx(mean, rel=1e-3)


def test_zero_inflated_gamma_is_a_gamma_above_the_threshold_and_a_mass_at_zero() -> None:
    drive, raw_shape, offset = 0.7, 1.1, -0.3
    present = torch.sigmoid(torch.tensor(drive + offset)).double()
    shape = softplus(torch.tensor(raw_shape)).double() + 0.5
    mean = softplus(torch.tensor(drive)).double() + 1e-3
    values = torch.tensor([0.1, 1.0, 4.0], dtype=torch.float64)
    expected = -(present.log() + Gamma(shape, shape / mean).log_prob(values - ZERO_ACTIVITY))
    found = _zero_inflated_gamma(values, drive, (raw_shape, offset))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    zeros = _zero_inflated_gamma(torch.tensor([0.0, ZERO_ACTIVITY, -0.2]), drive, (raw_shape, offset))
    torch.testing.assert_close(zeros, -torch.log1p(-present).expand(3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson", "zero_inflated_gamma"])
def test_extreme_drives_and_parameters_give_finite_losses_and_gradients(likelihood: Likelihood) -> None:
    activity = torch.tensor([0.0, 1e-3, 1.0001e-3, 1.0, 50.0]).repeat(3)[None, :, None]
    drive = torch.tensor([-30.0, 0.0, 30.0]).repeat_interleave(5)[None, :, None].requires_grad_()
    for raw in (-30.0, 30.0):
        parameters = torch.full((1, NEURON_PARAMETERS[likelihood]), raw, requires_grad=True)
        loss = negative_log_likelihood(likelihood, activity, drive, parameters)
        assert torch.isfinite(loss).all()
        gradients = torch.autograd.grad(loss.sum(), [drive, parameters], allow_unused=True)
        assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)


def test_half_precision_is_computed_in_float32() -> None:
    half = torch.ones(1, 1, 1, dtype=torch.bfloat16)
    found = negative_log_likelihood("gaussian", half, half, torch.zeros(1, 1, dtype=torch.bfloat16))
    assert found.dtype == torch.float32


def test_every_kind_of_trace_has_a_likelihood() -> None:
    from typing import get_args

    from nwb_mivae.sessions.session import TraceKind

    assert set(LIKELIHOOD_OF_KIND) == set(get_args(TraceKind))
    assert set(LIKELIHOOD_OF_KIND.values()) == set(get_args(Likelihood)) == set(NEURON_PARAMETERS)
