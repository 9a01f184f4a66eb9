from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nwb_mivae.report import figures
from tests.report.pixels import at, has_colour, inside, pixels, texts

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Degenerate input must not make NumPy or matplotlib complain."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def statistic(effect: float, **p: float) -> dict[str, Any]:
    null = {"spatially_shifted": RANDOM.normal(0, 0.02, 400), "other_clip": RANDOM.normal(-0.2, 0.02, 400)}
    return {"effect": effect, "low": effect - 0.05, "high": effect + 0.05, "p": p, "null": null}


def test_a_statistic_is_drawn_with_its_interval_before_its_nulls():
    effects = {"edge_strength": statistic(0.3, spatially_shifted=0.0004, other_clip=0.012)}
    figure = figures.stimulus_statistics(effects)
    panel = figure.axes[0]
    np.testing.assert_allclose(at(figure, panel, 0.3, 0), 0, atol=0.1)
    np.testing.assert_allclose(at(figure, panel, 0.26, 0), 0, atol=0.3)
    # Each null stands above the line, where its values are, and nothing where there are none.
    blue, amber, nothing = (at(figure, panel, place, -0.1) for place in (0.005, -0.2, 0.2))
    assert blue[2] > blue[0] + 0.2
    assert amber[0] > amber[2] + 0.2
    np.testing.assert_allclose(nothing, 1)
    written = texts(figure)
    assert "p < 0.001 (spatially shifted)" in written
    assert "p = 0.012 (other clip)" in written
    assert "null: other clip" in written
    assert inside(figure)


def test_statistics_stand_below_one_another_in_their_order():
    figure = figures.stimulus_statistics({"edge_strength": statistic(0.3), "luminance_change": statistic(0.1)})
    panel = figure.axes[0]
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == ["edge\nstrength", "luminance\nchange"]
    assert panel.transData.transform((0, 0))[1] > panel.transData.transform((0, 1))[1]
    np.testing.assert_allclose(at(figure, panel, 0.1, 1), 0, atol=0.1)
    assert "p unknown" in texts(figure)


@pytest.mark.parametrize(
    "effects",
    [
        {},
        {"a": {"effect": math.nan, "low": math.nan, "high": math.nan, "p": {}, "null": {"n": np.full(5, np.nan)}}},
        {"a": {"effect": 0.0, "low": 0.0, "high": 0.0, "p": {"n": 1.0}, "null": {"n": np.zeros(5)}}},
        {"a": {"effect": 0.2, "low": math.nan, "high": math.nan, "p": {"n": math.nan}, "null": {"n": np.zeros(0)}}},
    ],
    ids=["none", "unknown", "constant", "empty null"],
)
def test_statistics_that_say_little_can_be_drawn(effects: dict[str, Any]):
    figure = figures.stimulus_statistics(effects)
    assert inside(figure)
    if effects and math.isnan(effects["a"]["effect"]):
        assert "not measured" in texts(figure)


def test_a_null_of_one_value_is_one_bar():
    effects = {"a": {"effect": 1.0, "low": 0.9, "high": 1.1, "p": {"n": 0.01}, "null": {"n": np.full(50, 0.5)}}}
    figure = figures.stimulus_statistics(effects)
    panel = figure.axes[0]
    assert at(figure, panel, 0.5, -0.1).min() < 0.8
    np.testing.assert_allclose(at(figure, panel, 0.6, -0.1), 1)


def test_deletion_curves_lie_where_they_belong():
    share = np.linspace(0, 1, 11)
    figure = figures.deletion_curves(
        {
            "fisher": (share, np.where(share > 0, 0.2, 1.0), None),
            "integrated_gradients": (share, 1 - share / 2, np.full(11, 0.05)),
            "random": (share, 1 - share / 4, None),
        }
    )
    panel = figure.axes[0]
    fisher = at(figure, panel, 50, 0.2)
    assert fisher[2] > fisher[0] + 0.4  # blue
    band = at(figure, panel, 55, 0.695)
    assert band.min() < 0.95
    np.testing.assert_allclose(at(figure, panel, 55, 0.5), 1)
    assert [line.get_linestyle() for line in panel.lines] == ["-", "-", "--"]
    assert has_colour(pixels(figure), "#777777") > 50
    assert "integrated gradients" in texts(figure)
    assert inside(figure)


@pytest.mark.parametrize(
    "curves",
    [
        {},
        {"random": (np.array([0.0]), np.array([1.0]), None)},
        {"score": (np.array([0.0, 1]), np.full(2, np.nan), np.full(2, np.nan))},
        {f"method_{number}": (np.array([0.0, 1]), np.array([1.0, 1]), None) for number in range(11)},
    ],
    ids=["none", "one point", "unknown", "many"],
)
def test_few_and_many_deletion_curves_can_be_drawn(curves: dict[str, Any]):
    assert inside(figures.deletion_curves(curves))
