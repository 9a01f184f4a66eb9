"""Diagonal Gaussians against torch.distributions, numpy and samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from nwb_mivae.model import Gaussian
from nwb_mivae.model.gaussian import LOG_VARIANCE_RANGE

number = st.floats(-5, 5, width=32)
log_variance = st.floats(LOG_VARIANCE_RANGE[0], LOG_VARIANCE_RANGE[1], width=32)


def _gaussian(seed: int, *shape: int) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))


def _normal(gaussian: Gaussian) -> Normal:
    return Normal(gaussian.mean.double(), gaussian.variance.double().sqrt())


def test_divergence_and_density_are_those_of_torch() -> None:
    first, second = _gaussian(0, 3, 4, 5), _gaussian(1, 3, 4, 5)
    expected = kl_divergence(_normal(first), _normal(second))
    torch.testing.assert_close(first.divergence_from(second).double(), expected, rtol=1e-5, atol=1e-5)
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(2))
    density = _normal(first).log_prob(values.double())
    torch.testing.assert_close(first.log_density(values).double(), density, rtol=1e-5, atol=1e-5)


def test_divergence_from_itself_is_zero() -> None:
    gaussian = _gaussian(3, 7)
    assert gaussian.divergence_from(gaussian).abs().max() < 1e-6


@given(number, log_variance, number, log_variance)
def test_product_is_the_normalised_product_of_the_densities(m1: float, v1: float, m2: float, v2: float) -> None:
    first = Gaussian(torch.tensor([m1]), torch.tensor([v1]))
    second = Gaussian(torch.tensor([m2]), torch.tensor([v2]))
    product = first.times(second)
    precision = math.exp(-v1) + math.exp(-v2)
    mean = (math.exp(-v1) * m1 + math.exp(-v2) * m2) / precision
    assert product.mean.item() == pytest.approx(mean, rel=1e-4, abs=1e-4)
    assert product.variance.item() == pytest.approx(1 / precision, rel=1e-4)
    # The log of the product of densities differs from the product's by the same constant everywhere.
    values = product.mean + product.variance.sqrt() * torch.tensor([-2.0, 0.0, 1.0])
    gap = first.log_density(values) + second.log_density(values) - product.log_density(values)
    scale = 1 + first.log_density(values).abs().max() + second.log_density(values).abs().max()
    assert (gap - gap[0]).abs().max() < 1e-4 * scale


def test_product_is_symmetric_and_never_wider_than_either() -> None:
    first, second = _gaussian(4, 100), _gaussian(5, 100)
    one, other = first.times(second), second.times(first)
    torch.testing.assert_close(one.mean, other.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.log_variance, other.log_variance)
    assert (one.log_variance <= torch.minimum(first.log_variance, second.log_variance) + 1e-6).all()


def test_samples_have_the_mean_and_variance_and_follow_the_generator_alone() -> None:
    gaussian = Gaussian(torch.tensor([1.0, -2.0]).expand(200_000, 2), torch.tensor([0.0, -2.0]).expand(200_000, 2))
    torch.manual_seed(1)
    sample = gaussian.sample(torch.Generator().manual_seed(0))
    torch.manual_seed(2)
    assert torch.equal(sample, gaussian.sample(torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(sample.mean(0), [1.0, -2.0], atol=0.01)
    np.testing.assert_allclose(sample.var(0), [1.0, math.exp(-2.0)], rtol=0.02)


def test_without_a_generator_a_sample_is_the_mean() -> None:
    gaussian = _gaussian(6, 3)
    assert torch.equal(gaussian.sample(), gaussian.mean)


@given(st.floats(-1e6, 1e6, width=32))
def test_log_variances_stay_in_range_and_near_the_middle_are_left_alone(raw: float) -> None:
    gaussian = Gaussian.from_parameters(torch.tensor([0.5, raw]))
    low, high = LOG_VARIANCE_RANGE
    assert gaussian.mean.tolist() == [0.5]
    assert low <= gaussian.log_variance.item() <= high
    if abs(raw - (low + high) / 2) < 0.5:
        assert gaussian.log_variance.item() == pytest.approx(raw, abs=0.01)


def test_parameters_in_half_precision_come_back_in_float32() -> None:
    gaussian = Gaussian.from_parameters(torch.zeros(2, 6, dtype=torch.bfloat16))
    assert gaussian.mean.dtype == gaussian.log_variance.dtype == torch.float32
    assert gaussian.mean.shape == (2, 3)


def test_the_standard_normal_is_one() -> None:
    standard = Gaussian.standard(torch.full((2, 3), 7.0))
    assert torch.equal(standard.mean, torch.zeros(2, 3))
    assert torch.equal(standard.variance, torch.ones(2, 3))
