"""The map of cortex: reads by place what cells it never saw say of the screen, whatever is known of their places."""

from __future__ import annotations

import torch
from torch import Tensor

from nwb_mivae.model.cortical_map import CorticalMap
from nwb_mivae.model.population_basis import PopulationBasis
from nwb_mivae.model.regression import RegressionSums

FEATURES = 4
BASIS = PopulationBasis(torch.zeros(FEATURES), torch.eye(FEATURES), torch.ones(FEATURES))


def animal(seed: int, *, cells: int = 120) -> tuple[Tensor, Tensor, Tensor]:
    """Features (B, T, F) of four quarters of the screen, activity of cells that look at one, and their coordinates."""
    random = torch.Generator().manual_seed(seed)
    coordinates = torch.rand(cells, 3, generator=random) * torch.tensor([900.0, 600.0, 1.0])
    quarter = 2 * (coordinates[:, 0] > 450).long() + (coordinates[:, 1] > 300).long()
    features = torch.randn(40, 1, FEATURES, generator=random).expand(-1, 6, -1)
    neural = features[..., quarter] + 1.5 * torch.randn(40, 6, cells, generator=random)
    return features, neural, coordinates + torch.tensor([5000.0, -2000.0, 150.0]) * (seed + 1)


def fitted(animals: int = 4) -> CorticalMap:
    cortical_map = CorticalMap(FEATURES, 30.0)
    data = [animal(seed) for seed in range(animals)]
    cortical_map.cover([coordinates for _, _, coordinates in data])
    sums = RegressionSums()
    for features, neural, coordinates in data:
        sums.add(cortical_map.averages(neural, coordinates), features)
    cortical_map.fit(sums, BASIS)
    return cortical_map


def explained(predicted: Tensor, features: Tensor) -> float:
    return 1.0 - float((predicted - features).square().mean() / features.var())


def test_cells_never_seen_are_read_by_their_place_wherever_the_file_has_its_origin() -> None:
    features, neural, coordinates = animal(9)
    cortical_map = fitted()
    assert explained(cortical_map(neural, coordinates), features) > 0.6
    mirrored = coordinates * torch.tensor([-1.0, 1.0, 1.0])
    assert explained(cortical_map(neural, mirrored), features) < 0.2


def test_order_of_cells_does_not_matter_and_their_number_hardly() -> None:
    features, neural, coordinates = animal(9, cells=400)
    cortical_map = fitted()
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        cortical_map(neural[..., order], coordinates[order]), cortical_map(neural, coordinates), rtol=1e-3, atol=1e-4
    )
    assert explained(cortical_map(neural, coordinates), features) > 0.5


def test_cells_of_unknown_place_count_in_the_mean_of_all_only() -> None:
    features, neural, coordinates = animal(9)
    cortical_map = fitted()
    unknown = torch.full_like(coordinates, torch.nan)
    nowhere = cortical_map(neural, unknown)
    assert torch.isfinite(nowhere).all()
    assert explained(nowhere, features) < explained(cortical_map(neural, coordinates), features)
    partly = coordinates.clone()
    partly[::2, 1] = torch.nan
    expected = cortical_map(neural, torch.where(torch.isfinite(partly).all(1, keepdim=True), partly, torch.nan))
    torch.testing.assert_close(cortical_map(neural, partly), expected)
    assert explained(expected, features) > 0.3
    infinite = coordinates.clone()
    infinite[0, 0] = torch.inf
    assert explained(cortical_map(neural, infinite), features) > 0.6


def test_cells_on_one_line_are_read_where_others_lie_a_little_off_it() -> None:
    data = [animal(seed) for seed in range(4)]
    line = torch.tensor([1.0, 0.0, 1.0])
    cortical_map = CorticalMap(FEATURES, 30.0)
    cortical_map.cover([coordinates * line for _, _, coordinates in data])
    sums = RegressionSums()
    for features, neural, coordinates in data:
        sums.add(cortical_map.averages(neural, coordinates * line), features)
    cortical_map.fit(sums, BASIS)
    features, neural, coordinates = animal(9)
    off = torch.randn(len(coordinates), generator=torch.Generator().manual_seed(0))[:, None] * torch.tensor(
        [0.0, 20.0, 0.0]
    )
    on_line, off_line = (
        explained(cortical_map(neural, coordinates * line + each), features) for each in (torch.zeros(3), off)
    )
    assert on_line > 0.2
    assert off_line > on_line - 0.05


def test_a_map_of_animals_without_coordinates_works_from_the_mean_of_all() -> None:
    features, neural, coordinates = animal(0)
    cortical_map = CorticalMap(FEATURES, 30.0)
    unknown = torch.full_like(coordinates, torch.nan)
    cortical_map.cover([unknown])
    sums = RegressionSums()
    sums.add(cortical_map.averages(neural, unknown), features)
    cortical_map.fit(sums, BASIS)
    assert torch.isfinite(cortical_map(neural, unknown)).all()


def test_before_it_is_fitted_it_says_nothing() -> None:
    _, neural, coordinates = animal(0)
    assert (CorticalMap(FEATURES, 30.0)(neural, coordinates) == 0).all()
