"""What the section on attribution shows, and what it says where there is less to show."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nwb_mivae.attribution import SessionStimulusRegions
from nwb_mivae.report import figures
from nwb_mivae.report.attribution_section import _effects, attribution_section
from tests.report.attributed import CLIPS, FRAMES, KEY, Attributed, attributed, stimulus_regions


def section(made: Attributed) -> str:
    return unescape("\n".join(attribution_section(made.run, made.store, made.split)))


def descriptions(html: str) -> list[str]:
    return re.findall(r'alt="([^"]*)"', html)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was given to each figure; nothing is drawn, which takes seconds."""
    given: dict[str, Any] = {}
    for name in figures.__all__:
        if name == "attribution_movie":
            monkeypatch.setattr(figures, name, lambda *args, **named: given.update(movie=(args, named)) or b"GIF89a")
        elif callable(getattr(figures, name)):
            monkeypatch.setattr(
                figures,
                name,
                lambda *args, _name=name, **named: given.update({_name: args}) or Figure(figsize=(1, 1)),
            )
    return given


def test_every_part_is_there(tmp_path: Path) -> None:
    html = section(attributed(tmp_path, methods=("score", "fisher", "integrated_gradients")))
    assert 'id="mouse-1-(held-out)"' in html
    for words in (
        "Movie of",
        "Movie frames",
        "Receptive fields",
        "Correlation of pixel",
        "Heat map",
        "Map of the cells",
    ):
        assert any(text.startswith(words) for text in descriptions(html)), words
    assert len(descriptions(html)) == 7
    assert "The shared latents of 6 of 20 clips of the test part" in html
    assert "What was found <of cells>." in html
    assert "What the pixels tell most of is edge strength. Attribution lies where edge strength is high" in html
    assert "the strongest tenth of the pixels has 30 % of the energy" in html
    assert "how often it comes again" in html
    assert '<td class="number">0.750</td>' in html
    assert "rank correlation over cells" in html
    assert 'id="mouse-1:-what-can-and-cannot-be-concluded"' in html
    assert len(html) < 1.5e6
    (data,) = re.findall(r'src="data:image/gif;base64,([^"]+)"', html)
    movie = Image.open(io.BytesIO(base64.b64decode(data)))
    assert movie.n_frames == 32
    assert movie.info["loop"] == 0


def test_ends_of_clips_are_left_out_of_the_raster_and_of_profiles(drawn: dict[str, Any], tmp_path: Path) -> None:
    section(attributed(tmp_path))
    values, groups, profiles, time, borders, _ = drawn["attribution_raster"]
    ends = np.isin(np.arange(CLIPS * FRAMES) % FRAMES, (0, FRAMES - 1))
    assert np.isnan(values[ends]).all()
    assert np.isfinite(values[~ends]).all()
    assert borders.tolist() == [8, 16, 24, 32, 40]
    assert profiles.shape == (2, FRAMES - 2)
    np.testing.assert_allclose(time, np.arange(1, FRAMES - 1) / 30)
    assert groups.tolist() == [0, 1] * 30


def test_nulls_stand_where_they_expect_the_correlation(drawn: dict[str, Any], tmp_path: Path) -> None:
    section(attributed(tmp_path))
    (effects,) = drawn["stimulus_statistics"]
    edges = effects["edge_strength"]
    assert edges["effect"] == pytest.approx(0.32)
    assert (edges["low"], edges["high"]) == pytest.approx((0.22, 0.42))
    assert np.median(edges["null"]["shifted"]) == pytest.approx(0.02)
    assert edges["p"] == {"shifted": 0.01, "other_clip": 0.01}


def test_an_interval_is_drawn_of_the_null_that_could_be_tested() -> None:
    regions = stimulus_regions(np.random.default_rng(0))
    regions.interval[0, :, 1] = np.nan
    regions.interval[0, :, 0] = regions.effect[0, :, 0, None] + [-0.05, 0.05]
    assert _effects(regions)["edge_strength"]["low"] == pytest.approx(0.27)
    regions.interval[...] = np.nan
    assert np.isnan(_effects(regions)["edge_strength"]["low"])


def test_latents_of_private_blocks_and_pixels_alone_are_said(drawn: dict[str, Any], tmp_path: Path) -> None:
    html = section(attributed(tmp_path, of="private", to=("pixels",), methods=("gradient",), regions=False))
    assert "The private latents of" in html
    assert "No subpopulations: latents were traced to pixels alone (attribution.to)." in html
    assert "No stimulus regions: they are found from fisher, and latents were traced by gradient" in html
    assert "so nothing can be said about cells" in html
    assert len(descriptions(html)) == 3
    assert "attribution_raster" not in drawn
    assert drawn["movie"][1]["signed"] is False


def test_neurons_alone_have_no_pictures_of_pixels(drawn: dict[str, Any], tmp_path: Path) -> None:
    html = section(attributed(tmp_path, to=("neurons",), regions=False))
    assert "No stimulus regions: latents were traced to neurons alone (attribution.to)." in html
    assert "Latents were traced to neurons alone (attribution.to): whether the attribution to pixels follows" in html
    assert "movie" not in drawn
    assert "attribution_raster" in drawn


def test_a_run_of_an_earlier_version_still_gives_a_report(drawn: dict[str, Any], tmp_path: Path) -> None:
    made = attributed(tmp_path, regions=False)
    (made.run.subpopulations / f"{KEY}.npz").unlink()
    html = section(made)
    assert "No subpopulations: the run holds none: run `nwb-mivae attribute` on it again." in html
    assert "No stimulus regions: the run holds none: run `nwb-mivae attribute` on it again." in html
    assert "attribution_on_cortex" in drawn
    assert "attribution_raster" not in drawn


def test_damaged_files_are_said_and_the_rest_is_shown(drawn: dict[str, Any], tmp_path: Path) -> None:
    made = attributed(tmp_path)
    for folder in (made.run.subpopulations, made.run.regions):
        (folder / f"{KEY}.npz").write_bytes(b"nothing")
    html = section(made)
    assert "Subpopulations are not shown. " in html
    assert "Stimulus regions are not shown. " in html
    assert {"movie", "attribution_on_cortex"} <= set(drawn)


def test_cells_without_positions_have_no_map_and_it_is_said(drawn: dict[str, Any], tmp_path: Path) -> None:
    html = section(attributed(tmp_path, placed=False))
    assert "mouse-1: the file gives no positions of its cells" in html
    assert "attribution_on_cortex" not in drawn
    assert "subpopulations_on_cortex" not in drawn


@pytest.mark.parametrize(("cells", "groups", "none"), [(60, 1, 20), (12, 0, 12), (3, 1, 0), (1, 1, 0)])
def test_few_cells_one_group_or_none_are_drawn(tmp_path: Path, cells: int, groups: int, none: int) -> None:
    html = section(attributed(tmp_path, cells=cells, groups=groups, none=none))
    assert any(text.startswith("Heat map") for text in descriptions(html))
    assert ("no subpopulations can be claimed" in html) == (cells < 50)
    assert (f"{none} of {cells} cells belong to no subpopulation." in html) == (none > 0)
    assert ("how many belong to it" in html) == (groups > 0)


def test_a_session_that_is_not_attributed_is_said(tmp_path: Path) -> None:
    made = attributed(tmp_path)
    (made.run.attribution / f"{KEY}.npz").unlink()
    assert "Not computed yet: run `nwb-mivae attribute` on this run." in section(made)


def test_what_is_said_of_the_stimulus_is_what_was_found(drawn: dict[str, Any], tmp_path: Path) -> None:
    made = attributed(tmp_path)
    read = SessionStimulusRegions.load(made.run.regions / f"{KEY}.npz")
    html = section(made)
    assert "stimulus_statistics" in drawn
    for text in read.in_words().values():
        assert text in html
