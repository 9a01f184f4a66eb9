from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from nwb_mivae.errors import AttributionError
from nwb_mivae.report import figures
from nwb_mivae.report.style import NO_GROUP, group_colour
from tests.report.pixels import at, has_colour, inside, pixels, texts

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Degenerate input must not make NumPy or matplotlib complain."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- on frames ------------------------------------------------------------------------------------------------------


def test_attribution_on_frames_has_a_row_per_method_and_is_bright_where_it_is_strong():
    frames = np.full((3, 8, 12), 40, np.uint8)
    maps = {"score": np.zeros((3, 8, 12)), "fisher": np.zeros((3, 8, 12))}
    maps["score"][1, 2, 3] = -1.0
    figure = figures.attribution_on_frames(frames, maps, ["1 s", "2 s", "3 s"])
    assert len(figure.axes) == 9
    strong = at(figure, figure.axes[4], 3, 2)
    weak = at(figure, figure.axes[4], 8, 6)
    assert strong.sum() > 2
    assert weak.sum() < 0.8
    assert inside(figure)


def test_attribution_on_frames_can_be_unknown():
    frames = np.full((2, 8, 12), 40, np.uint8)
    assert pixels(figures.attribution_on_frames(frames, {"score": np.full((2, 8, 12), np.nan)}, ["1 s", "2 s"])).any()


# --- cortex ---------------------------------------------------------------------------------------------------------

CORNERS = np.array([[0.0, 0, 0], [100, 0, 0], [0, 100, 0], [100, 100, 0]])


def test_attribution_on_cortex_leaves_cells_without_position_out_and_says_so():
    coordinates = np.array([[0.0, 0, np.nan], [1, 1, 0], [np.nan, 1, 0]])
    figure = figures.attribution_on_cortex(coordinates, {"score": np.array([1.0, 2, 3])}, "a")
    assert len(figure.axes[0].collections[0].get_offsets()) == 2
    assert "1 cell without a known position" in texts(figure)
    assert "without a value" not in texts(figure)


def test_signed_attribution_on_cortex_has_a_colour_for_each_sign():
    figure = figures.attribution_on_cortex(CORNERS, {"score": np.array([-3.0, 3, 0, np.nan])}, "a")
    above, below = (at(figure, figure.axes[0], x, 0) for x in (100, 0))
    assert above[0] > 2 * above[2]
    assert below[2] > 2 * below[0]
    np.testing.assert_allclose(at(figure, figure.axes[0], 0, 100), 0.97, atol=0.03)
    assert "1 cell without a value" in texts(figure)


def test_attribution_that_is_never_negative_is_brighter_where_it_is_stronger():
    figure = figures.attribution_on_cortex(CORNERS, {"fisher": np.array([0.0, 1, 2, 3])}, "a")
    brightness = [at(figure, figure.axes[0], x, y).sum() for x, y, _ in CORNERS]
    assert (np.diff(brightness) > 0).all()


def test_what_has_a_sign_has_its_colour_where_none_is_negative():
    values = {"fisher": np.array([0.0, 1, 2, 3]), "evidence": np.array([0.0, 1, 2, 3])}
    figure = figures.attribution_on_cortex(CORNERS, values, "a", ["evidence"])
    fisher, evidence = (at(figure, panel, 0, 0) for panel in figure.axes[:2])
    assert fisher.sum() < 1.5
    np.testing.assert_allclose(evidence, 0.97, atol=0.03)
    assert inside(figure)


@pytest.mark.parametrize(
    "values", [np.zeros(4), np.full(4, np.nan), np.ones(4), -np.ones(4)], ids=["zero", "unknown", "one", "minus one"]
)
@pytest.mark.parametrize("coordinates", [CORNERS, np.zeros((4, 3)), np.full((4, 3), np.nan)], ids=["4", "one", "none"])
def test_attribution_on_cortex_can_be_constant_or_unknown(values: np.ndarray, coordinates: np.ndarray):
    assert inside(figures.attribution_on_cortex(coordinates, {"score": values}, "a"))


def test_subpopulations_have_their_colours_where_their_cells_lie():
    groups = np.array([0, 1, -1, 1])
    coordinates = np.concatenate([CORNERS, np.full((3, 3), np.nan)])
    figure = figures.subpopulations_on_cortex(coordinates, np.append(groups, [0, 0, 0]), "mouse $1")
    panel = figure.axes[0]
    for (x, y, _), group in zip(CORNERS, groups, strict=True):
        np.testing.assert_allclose(at(figure, panel, x, y), to_rgb(group_colour(group)), atol=0.02)
    written = texts(figure)
    assert "3 cells without a known position" in written
    assert "subpopulation 0 (4 cells)" in written
    assert "no group (1 cell)" in written
    assert "mouse $1" in written


def test_cells_of_no_group_lie_below_the_others():
    figure = figures.subpopulations_on_cortex(np.zeros((2, 3)), np.array([0, -1]), "a")
    np.testing.assert_allclose(at(figure, figure.axes[0], 0, 0), to_rgb(group_colour(0)), atol=0.02)


@pytest.mark.parametrize("groups", [[0], [-1], []], ids=["one cell", "no group", "no cells"])
def test_few_subpopulations_can_be_drawn(groups: list[int]):
    coordinates = np.full((len(groups), 3), 5.0)
    assert inside(figures.subpopulations_on_cortex(coordinates, np.array(groups, dtype=np.int64), "a"))


def test_more_subpopulations_than_colours_can_be_told_apart():
    figure = figures.subpopulations_on_cortex(RANDOM.uniform(size=(40, 3)), np.arange(40) % 10, "a")
    drawn = {
        (tuple(points.get_facecolor()[0]), len(points.get_paths()[0].vertices))
        for points in figure.axes[0].collections
    }  # fmt: skip
    assert len(drawn) == 10


# --- raster ---------------------------------------------------------------------------------------------------------


def raster_of(values: np.ndarray, groups: np.ndarray, **more: object):
    count = max(int(groups.max()) + 1, 1)
    return figures.attribution_raster(
        values, groups, np.ones((count, 4)), np.arange(4) / 10, np.array([0, 4]), 10.0, **more
    )


def parts(figure):
    strip, raster, _, courses = figure.axes
    return strip, raster, courses


def test_a_raster_orders_cells_by_group_and_then_by_strength():
    groups = np.array([1, 0, -1, 0, 1])
    values = np.zeros((8, 5))
    values[:, 1], values[:, 3], values[2, 0], values[:, 4] = 1.0, -2.0, 3.0, 0.1
    figure = raster_of(values, groups)
    strip, raster, _ = parts(figure)

    shown = np.asarray(raster.images[0].get_array())
    # Cell 3 before 1, both of group 0; 0 before 4, both of group 1; cell 2 of no group.
    np.testing.assert_array_equal(shown, np.abs(values).T[[3, 1, 0, 4, 2]])
    for line, group in enumerate([0, 0, 1, 1, -1]):
        np.testing.assert_allclose(at(figure, strip, 0.5, line + 0.5), to_rgb(group_colour(group)), atol=0.02)
    bright = at(figure, raster, 0.25, 2.5)
    dark = at(figure, raster, 0.65, 2.5)
    assert bright.sum() > 2.5
    assert dark.sum() < 0.3
    assert inside(figure)


def test_a_raster_draws_the_border_of_clips_and_the_profiles():
    figure = figures.attribution_raster(
        np.ones((8, 3)), np.array([0, 1, 1]), np.array([[0.0, 1], [2, 3]]), np.array([0, 0.1]), np.array([4]), 10.0,
        names=["early", "late $x"],
    )  # fmt: skip
    _, raster, courses = parts(figure)
    vertical = [line.get_xdata()[0] for line in raster.lines if line.get_xdata()[0] == line.get_xdata()[1]]
    assert vertical == pytest.approx([0.4])
    assert [list(line.get_ydata()) for line in courses.lines] == [[0, 1], [2, 3]]
    assert [line.get_color() for line in courses.lines] == [group_colour(0), group_colour(1)]
    assert "early (1 cell)" in texts(figure)
    assert "late $x (2 cells)" in texts(figure)


def test_of_many_cells_neighbours_are_averaged_and_no_group_is_lost():
    cells = 8000
    groups = np.zeros(cells, dtype=np.int64)
    groups[:3], groups[3:4000], groups[-100:] = 2, 1, -1
    values = np.where(groups == 1, 4.0, np.where(groups == 2, 8.0, 1.0)) * RANDOM.choice([-1, 1], (8, cells))
    figure = raster_of(values, groups)
    _, raster, _ = parts(figure)
    shown = np.asarray(raster.images[0].get_array())
    assert 390 <= len(shown) <= 405
    # Magnitudes are averaged, so signs that differ between cells do not take each other away.
    assert np.unique(shown).tolist() == [1, 4, 8]
    assert (shown == 8).all(axis=1).sum() == 1
    assert "8,000 cells, about 20 averaged in each line" in texts(figure)
    assert "no group (100 cells)" in texts(figure)
    assert has_colour(pixels(figure), NO_GROUP) > 20


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (np.full((8, 4), np.nan), [0, 0, 1, -1]),
        (np.zeros((8, 4)), [0, 0, 0, 0]),
        (np.ones((8, 1)), [0]),
        (np.ones((1, 2)), [0, 0]),
        (np.ones((8, 2)), [-1, -1]),
        (np.ones((8, 450)), [-1] * 449 + [0]),
    ],
    ids=["unknown", "zero", "one cell", "one frame", "no group", "nearly no group"],
)
def test_a_raster_of_little_can_be_drawn(values: np.ndarray, groups: list[int]):
    assert inside(raster_of(values, np.array(groups)))


def test_a_raster_of_cells_that_do_not_fit_is_refused():
    for values, groups in ((np.ones((8, 3)), [0, 1]), (np.ones((8, 2)), [0, 1]), (np.ones((8, 0)), [])):
        with pytest.raises(AttributionError, match="profile"):
            figures.attribution_raster(
                values, np.array(groups, dtype=np.int64), np.ones((1, 4)), np.arange(4) / 10, np.array([4]), 10.0
            )


# --- receptive fields -----------------------------------------------------------------------------------------------


def fields(count: int) -> np.ndarray:
    """Spots on an even ground; that of latent k at row 2 + k, column 3, the later the stronger."""
    maps = np.full((count, 24, 32), 0.1)
    for number in range(count):
        maps[number, 1 + number : 4 + number, 2:5] += 1.0 + number
    return maps


def maps_of(figure):
    return [panel for panel in figure.axes if panel.images and panel.get_title()]


def test_the_strongest_latents_come_first_with_their_centres_marked():
    figure = figures.receptive_fields(fields(6), most=4)
    drawn = maps_of(figure)
    assert [panel.get_title() for panel in drawn] == ["latent 5", "latent 4", "latent 3", "latent 2"]
    for panel, number in zip(drawn, (5, 4, 3, 2), strict=True):
        (x,), (y,) = panel.lines[0].get_data()
        assert (y, x) == pytest.approx((2 + number, 3))
    assert "the 4 strongest of 6 latents, one scale for all" in texts(figure)
    spot = [at(figure, panel, 4.2, number + 3.3).sum() for panel, number in zip(drawn, (5, 4, 3, 2), strict=True)]
    assert spot == sorted(spot, reverse=True)
    assert spot[0] > spot[-1] + 0.5
    assert inside(figure)


def test_scales_of_their_own_make_spots_equally_bright():
    figure = figures.receptive_fields(fields(3), names=["a", "b", "c"], own_scales=True)
    drawn = maps_of(figure)
    assert [panel.get_title() for panel in drawn] == ["c", "b", "a"]
    spot = [at(figure, panel, 4.2, number + 3.3).sum() for panel, number in zip(drawn, (2, 1, 0), strict=True)]
    assert max(spot) - min(spot) < 0.05
    assert "each on its own scale" in texts(figure)
    assert "strongest of" not in texts(figure)


def test_negative_maps_get_a_colour_for_each_sign():
    maps = np.zeros((1, 24, 32))
    maps[0, 4:9, 4:9], maps[0, 14:19, 20:25] = 1.0, -1.0
    figure = figures.receptive_fields(maps)
    (panel,) = maps_of(figure)
    above, below = at(figure, panel, 6, 6), at(figure, panel, 22, 16)
    assert above[0] > 2 * above[2]
    assert below[2] > 2 * below[0]


@pytest.mark.parametrize(
    "maps", [np.zeros((3, 6, 8)), np.full((3, 6, 8), np.nan), np.ones((1, 6, 8)), np.ones((2, 1, 1))]
)
@pytest.mark.parametrize("own_scales", [False, True])
def test_maps_without_anything_that_stands_out_have_no_centre(maps: np.ndarray, own_scales: bool):
    figure = figures.receptive_fields(maps, own_scales=own_scales)
    assert not any(panel.lines for panel in maps_of(figure))
    assert inside(figure)


def test_no_maps_are_refused():
    with pytest.raises(AttributionError, match="maps of shape"):
        figures.receptive_fields(np.zeros((0, 6, 8)))
