"""The basis of what populations carry: found over animals that share neither cells nor stimuli, and nothing beyond."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nwb_mivae.model.population_basis import population_basis
from nwb_mivae.model.regression import RegressionSums

CARRIED = 3


def animals(count: int, *, noise: float = 0.5, size: int = 20) -> tuple[list[RegressionSums], Tensor]:
    """Animals whose cells respond to the same three directions of a description, each in its own way."""
    torch.manual_seed(0)
    directions = torch.linalg.qr(torch.randn(size, CARRIED)).Q
    found = []
    for _ in range(count):
        description = torch.randn(60, 8, size) + 1.0
        carried = description @ directions * torch.tensor([1.0, 0.7, 0.4])
        neural = carried @ torch.randn(CARRIED, 30) + noise * torch.randn(60, 8, 30)
        sums = RegressionSums()
        sums.add(description, (neural - neural.mean((0, 1))) / neural.std((0, 1)))
        found.append(sums)
    return found, directions


def test_what_cells_of_several_animals_carry_is_found_and_comes_first() -> None:
    sums, directions = animals(4)
    basis = population_basis(iter(sums), 10)
    leading = torch.linalg.qr(basis.weights[:, :CARRIED]).Q
    assert torch.linalg.svdvals(leading.T @ directions).min() > 0.98
    assert (basis.explained.diff() <= 0).all()
    assert basis.explained[CARRIED] < 0.05 * basis.explained[CARRIED - 1]
    torch.testing.assert_close(basis.centre, torch.ones(20), rtol=0, atol=0.1)


def test_more_animals_find_it_better() -> None:
    def miss(count: int) -> float:
        sums, directions = animals(count, noise=4.0)
        leading = torch.linalg.qr(population_basis(sums, CARRIED).weights).Q
        return 1.0 - float(torch.linalg.svdvals(leading.T @ directions).min())

    assert miss(8) < 0.5 * miss(1)


def test_features_are_uncorrelated_and_weigh_with_what_they_explain() -> None:
    sums, _ = animals(3)
    basis = population_basis(sums, CARRIED)
    description = torch.randn(50_000, 20) + 1.0
    features = (description - basis.centre) @ basis.weights
    covariance = torch.cov(features.T)
    assert covariance.diagonal().sum().item() == pytest.approx(CARRIED, rel=0.1)
    assert (covariance - covariance.diag().diag()).abs().max() < 0.1
    expected = basis.explained.sqrt() * CARRIED / basis.explained.sqrt().sum()
    torch.testing.assert_close(covariance.diagonal(), expected, rtol=0.15, atol=0.0)


def test_there_are_no_features_that_no_cell_carries() -> None:
    sums, _ = animals(2, noise=0.0)
    assert population_basis(sums, 10).weights.shape[1] <= CARRIED + 2


def test_cells_that_follow_nothing_leave_no_feature_and_no_error() -> None:
    sums = RegressionSums()
    sums.add(torch.randn(4, 8, 6), torch.zeros(4, 8, 3))
    basis = population_basis([sums], 4)
    assert basis.weights.shape == (6, 0)


def test_parts_of_the_description_that_never_vary_have_no_weight() -> None:
    torch.manual_seed(0)
    description = torch.cat([torch.randn(20, 8, 4), torch.zeros(20, 8, 2)], dim=2)
    sums = RegressionSums()
    sums.add(description, description[..., :3] + 0.1 * torch.randn(20, 8, 3))
    basis = population_basis([sums], 4)
    assert torch.isfinite(basis.weights).all()
    assert basis.weights[4:].abs().max() < 1e-3 * basis.weights.abs().max()
