from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.errors import SimulationError
from nwb_mivae.simulation import SimulationConfiguration
from nwb_mivae.simulation.receptive_fields import (
    COMPLEX,
    LUMINANCE,
    NOT_VISUAL,
    SUBPOPULATIONS,
    Population,
    draw_population,
)


@pytest.fixture(scope="module")
def population() -> Population:
    return draw_population(SimulationConfiguration(cells=(300, 300)), np.random.default_rng(0))


def test_cells_lie_apart_in_one_plane(population: Population) -> None:
    place = population.coordinates
    distance = np.linalg.norm(place[:, None, :2] - place[None, :, :2], axis=2) + 1e9 * np.eye(len(place))
    assert distance.min() > 12.0
    assert len(np.unique(place[:, 2])) == 1
    assert 150.0 <= place[0, 2] <= 300.0


def test_more_cells_than_the_field_holds_are_refused() -> None:
    with pytest.raises(SimulationError, match="5000 cells"):
        draw_population(SimulationConfiguration(cells=(5000, 5000)), np.random.default_rng(0))


def test_receptive_fields_follow_cortical_position_by_the_animals_own_map(population: Population) -> None:
    visual = population.visual
    place = np.column_stack([population.coordinates[visual, :2], np.ones(visual.sum())])
    fitted, *_ = np.linalg.lstsq(place, population.centre[visual], rcond=None)
    residual = population.centre[visual] - place @ fitted
    assert (1.0 - residual.var(axis=0) / population.centre[visual].var(axis=0) > 0.8).all()
    predicted = place @ population.retinotopy.T
    assert np.median(np.abs(predicted - population.centre[visual])) < 2.0
    other = draw_population(SimulationConfiguration(), np.random.default_rng(1))
    assert np.abs(other.retinotopy[:, 2] - population.retinotopy[:, 2]).max() > 0.5


def test_gabor_filters_see_no_uniform_light_and_luminance_filters_do(population: Population) -> None:
    filters = population.filters(36, 64)
    total = filters.sum(axis=(2, 3))
    np.testing.assert_allclose(total[:, population.striped], 0.0, atol=1e-5)
    np.testing.assert_allclose(np.abs(filters[:, population.striped]).sum(axis=(2, 3)), 1.0, atol=1e-4)
    luminance = population.cell_type == LUMINANCE
    np.testing.assert_allclose(total[0, luminance], population.polarity[luminance], atol=1e-4)
    assert set(population.polarity[luminance]) == {-1.0, 1.0}
    assert not filters[:, ~population.visual].any()


def test_a_filter_prefers_its_own_orientation_and_frequency(population: Population) -> None:
    centred = np.linalg.norm(population.centre - np.array([31.5, 17.5]), axis=1)
    cell = int(np.flatnonzero((population.cell_type == COMPLEX) & (centred < 9.0))[0])
    pair = population.filters(36, 64)[:, cell]
    rows, columns = np.mgrid[:36, :64]

    def energy(orientation: float, frequency: float) -> float:
        across = columns * np.cos(orientation) + rows * np.sin(orientation)
        grating = np.cos(2.0 * np.pi * frequency * across)
        return float(((pair * grating).sum(axis=(1, 2)) ** 2).sum())

    preferred = energy(population.orientation[cell], population.spatial_frequency[cell])
    assert energy(population.orientation[cell] + np.pi / 2, population.spatial_frequency[cell]) < 0.2 * preferred
    assert energy(population.orientation[cell], 2.5 * population.spatial_frequency[cell]) < 0.2 * preferred


def test_masks_peak_at_the_centre_and_are_empty_where_nothing_is_seen(population: Population) -> None:
    masks = population.envelopes(36, 64)
    peak = masks.reshape(len(masks), -1).argmax(axis=1)
    found = np.stack([peak % 64, peak // 64], axis=1)[population.visual]
    assert np.abs(found - population.centre[population.visual]).max() < 1.0
    assert masks.max() <= 1.0
    assert not masks[population.cell_type == NOT_VISUAL].any()


def test_temporal_kernels_are_causal_with_sustained_and_transient_cells(population: Population) -> None:
    kernels = population.temporal_kernels(30.0)
    np.testing.assert_allclose(np.abs(kernels).sum(axis=1), 1.0)
    net = kernels.sum(axis=1)
    assert (net[population.transience == 0.0] > 0.999).all()
    assert (net[population.transience > 0.7] < 0.35).all()
    peak = (kernels.argmax(axis=1) + 0.5) / 30.0
    assert np.abs(peak - population.latency).max() < 0.04


def test_distinct_subpopulations_are_planted_and_the_rest_of_the_cells_stays() -> None:
    settings = {"cells": (300, 300), "luminance_fraction": 0.3, "not_visual_fraction": 0.1}
    graded = draw_population(SimulationConfiguration.from_mapping(settings), np.random.default_rng(0))
    distinct = draw_population(
        SimulationConfiguration.from_mapping({**settings, "subpopulations": "distinct"}), np.random.default_rng(0)
    )
    assert set(graded.subpopulation) == {""}
    for name in ("coordinates", "cell_type", "centre", "size", "orientation", "phase", "polarity"):
        np.testing.assert_array_equal(getattr(distinct, name), getattr(graded, name))

    of = {name: distinct.subpopulation == name for name in SUBPOPULATIONS}
    np.testing.assert_array_equal(of["transient"] | of["sustained"], distinct.striped)
    np.testing.assert_array_equal(of["luminance"], distinct.cell_type == LUMINANCE)
    np.testing.assert_array_equal(of["not_visual"], distinct.cell_type == NOT_VISUAL)
    assert 0 <= of["sustained"].sum() - of["transient"].sum() <= 1
    assert 0.2 < of["luminance"].mean() < 0.4

    assert np.abs(distinct.transience[of["transient"]] - 0.95).max() < 0.03
    assert not distinct.transience[~of["transient"]].any()
    assert np.median(distinct.latency[of["luminance"]]) == pytest.approx(0.12, rel=0.03)
    assert np.median(distinct.latency[~of["luminance"]]) == pytest.approx(0.06, rel=0.03)
    assert distinct.latency[of["luminance"]].min() > distinct.latency[~of["luminance"]].max()


@pytest.mark.parametrize("region", [(0.5, 0.0, 1.0, 1.0), (0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 0.125, 0.25)])
def test_cells_look_at_the_driving_region_only(region: tuple[float, float, float, float]) -> None:
    configuration = SimulationConfiguration(cells=(200, 200), driving_region=region)
    population = draw_population(configuration, np.random.default_rng(0))
    left, upper, right, lower = np.array(region) * [64, 36, 64, 36]
    outside = np.ones((36, 64), dtype=np.bool_)
    outside[int(upper) : int(lower), int(left) : int(right)] = False
    np.testing.assert_array_equal(population.driving_pixels(36, 64), ~outside)
    envelopes, filters = population.envelopes(36, 64), population.filters(36, 64)
    assert not envelopes[:, outside].any()
    assert not filters[:, :, outside].any()
    assert (envelopes[population.visual].max(axis=(1, 2)) > 0.8).all()
    # Filters are what they are documented to be, although the border cuts some of them.
    striped = population.striped
    np.testing.assert_allclose(filters[:, striped].sum(axis=(2, 3)), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.abs(filters[:, striped]).sum(axis=(2, 3)), 1.0, atol=1e-4)
    luminance = population.cell_type == LUMINANCE
    np.testing.assert_allclose(filters[0, luminance].sum(axis=(1, 2)), population.polarity[luminance], atol=1e-4)


def test_the_map_covers_the_driving_region_as_it_covers_the_frame() -> None:
    whole = draw_population(SimulationConfiguration(cells=(200, 200)), np.random.default_rng(0))
    half = draw_population(
        SimulationConfiguration(cells=(200, 200), driving_region=(0.5, 0.5, 1.0, 1.0)), np.random.default_rng(0)
    )
    frame = np.array([64.0, 36.0])
    place, its_place = (whole.centre + 0.5) / frame, (half.centre + 0.5) / frame
    np.testing.assert_allclose(2.0 * its_place - 1.0, place, atol=0.02)
    np.testing.assert_array_equal(half.size, whole.size)
    assert whole.driving_pixels(36, 64).all()


def test_fields_scale_with_the_frame() -> None:
    small = draw_population(SimulationConfiguration(height=18, width=32), np.random.default_rng(0))
    large = draw_population(SimulationConfiguration(height=72, width=128), np.random.default_rng(0))
    np.testing.assert_allclose(4.0 * small.size, large.size)
