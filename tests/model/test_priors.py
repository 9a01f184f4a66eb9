"""The conditional prior of the idiosyncratic neural latents."""

from __future__ import annotations

import pytest
import torch

from nwb_mivae.model.priors import PrivatePrior
from tests.tiny_model import tiny_configuration


@pytest.fixture
def prior() -> PrivatePrior:
    torch.manual_seed(0)
    return PrivatePrior(tiny_configuration(), n_auxiliary=2)


@torch.no_grad()
def test_mean_and_variance_depend_on_the_auxiliary_variables_frame_by_frame(prior: PrivatePrior) -> None:
    auxiliary = torch.randn(3, 8, 2)
    coordinates = torch.rand(5, 3) * 300
    one = prior(auxiliary, coordinates)
    assert one.mean.shape == one.log_variance.shape == (3, 8, 3)
    changed = auxiliary.clone()
    changed[1, 4] += 2
    other = prior(changed, coordinates)
    for before, after in zip(one, other, strict=True):
        different = (before - after).abs().amax(-1) > 1e-4
        assert different.nonzero().tolist() == [[1, 4]]


@torch.no_grad()
def test_the_population_is_a_set(prior: PrivatePrior) -> None:
    auxiliary = torch.randn(2, 8, 2)
    coordinates = torch.rand(7, 3) * 300
    one = prior(auxiliary, coordinates)
    for same in (coordinates[torch.randperm(7)], coordinates.repeat(3, 1)):
        torch.testing.assert_close(prior(auxiliary, same).mean, one.mean, rtol=1e-4, atol=1e-5)
    moved = prior(auxiliary, coordinates + 200)
    assert (moved.mean - one.mean).abs().max() > 1e-4


@torch.no_grad()
def test_without_auxiliary_variables_and_coordinates_it_is_one_gaussian() -> None:
    torch.manual_seed(0)
    prior = PrivatePrior(tiny_configuration(), n_auxiliary=0)
    found = prior(torch.zeros(2, 8, 0), torch.full((4, 3), torch.nan))
    assert torch.isfinite(found.mean).all()
    torch.testing.assert_close(found.mean, found.mean[:1, :1].expand_as(found.mean))
