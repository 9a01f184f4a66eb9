"""The basis of what populations carry: found over animals that share neither cells nor stimuli, and nothing beyond."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nwb_mivae.model.population_basis import population_basis
from nwb_mivae.model.regression import RegressionSums

CARRIED = 3
Halves = tuple[RegressionSums, RegressionSums]


def halves(description: Tensor, neural: Tensor) -> Halves:
    """Sums of the two halves of a recording."""
    found = RegressionSums(), RegressionSums()
    for sums, inputs, outputs in zip(found, description.chunk(2), neural.chunk(2), strict=True):
        sums.add(inputs, outputs)
    return found


def animals(
    count: int, *, noise: float = 0.5, size: int = 20, clips: int = 60, cells: int = 30, carries: float = 1.0
) -> tuple[list[Halves], Tensor]:
    """Animals whose cells respond to the same three directions of a description, each in its own way."""
    torch.manual_seed(0)
    directions = torch.linalg.qr(torch.randn(size, CARRIED)).Q
    found = []
    for _ in range(count):
        description = torch.randn(clips, 8, size) + 1.0
        carried = description @ directions * torch.tensor([1.0, 0.7, 0.4])
        neural = carries * (carried @ torch.randn(CARRIED, cells)) + noise * torch.randn(clips, 8, cells)
        found.append(halves(description, neural))
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


def test_noise_counts_for_less_than_what_either_half_says_of_itself() -> None:
    """With few frames for many predictors, either half explains its own noise well; they do not agree about it."""
    sums, _ = animals(3, carries=0.0, size=200, clips=50)
    of_noise = population_basis(sums, 64)
    both = [(each[0], each[0]) for each in sums]
    assert population_basis(both, 64).explained.sum() > 2 * of_noise.explained.sum(), "what one half says of itself"
    with_some, directions = animals(3, noise=2.0, size=200, clips=50)
    basis = population_basis([*with_some, *sums], CARRIED)
    assert torch.linalg.svdvals(torch.linalg.qr(basis.weights).Q.T @ directions).max() > 0.7


def test_the_unit_of_a_cells_activity_does_not_matter() -> None:
    torch.manual_seed(0)
    description = torch.randn(60, 8, 10)
    neural = description[..., :4] + 0.3 * torch.randn(60, 8, 4)
    louder = neural * torch.tensor([30.0, 1.0, 1.0, 1.0])
    one, other = (population_basis([halves(description, each)], 4) for each in (neural, louder))
    torch.testing.assert_close(one.weights, other.weights, rtol=1e-3, atol=1e-4)


def test_a_large_animal_does_not_decide_for_many_small_ones() -> None:
    torch.manual_seed(0)
    description = torch.randn(60, 8, 10)
    large = halves(description, description[..., :1] + torch.randn(60, 8, 3000))
    small = [halves(description, description[..., 1:2] + torch.randn(60, 8, 30)) for _ in range(10)]
    leading = population_basis([large, *small], 2).weights
    assert leading[:, 0].abs().argmax() == 1, "ten small animals together weigh more"
    assert leading[:, 1].abs().argmax() == 0


def test_no_session_is_an_error_of_its_own() -> None:
    with pytest.raises(ValueError, match="no session"):
        population_basis([], 3)


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
    assert population_basis(sums, 10).weights.shape[1] == CARRIED


def test_cells_that_never_change_leave_no_feature_and_no_error() -> None:
    basis = population_basis([halves(torch.randn(4, 8, 6), torch.zeros(4, 8, 3))], 4)
    assert basis.weights.shape == (6, 0)


def test_parts_of_the_description_that_never_vary_have_no_weight() -> None:
    torch.manual_seed(0)
    description = torch.cat([torch.randn(20, 8, 4), torch.zeros(20, 8, 2)], dim=2)
    basis = population_basis([halves(description, description[..., :3] + 0.1 * torch.randn(20, 8, 3))], 4)
    assert torch.isfinite(basis.weights).all()
    assert basis.weights[4:].abs().max() < 1e-3 * basis.weights.abs().max()
