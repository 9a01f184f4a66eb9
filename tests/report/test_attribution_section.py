"""What the section on attribution shows, and what it says where there is less to show."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nwb_mivae.attribution import SessionAttribution, SessionStimulusRegions
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


ALL = ("score", "fisher", "integrated_gradients", "gradient_x_input")


def test_evidence_is_drawn_on_cortex_with_its_sign_beside_fisher(drawn: dict[str, Any], tmp_path: Path) -> None:
    made = attributed(tmp_path, methods=ALL)
    html = section(made)
    _, values, _, signed = drawn["attribution_on_cortex"]
    assert list(values) == ["gradient x input: evidence, nats per frame", "fisher"]
    assert signed == ["gradient x input: evidence, nats per frame"]
    known = SessionAttribution.load(made.run.attribution / f"{KEY}.npz")
    evidence = known.methods["gradient_x_input"].neurons.mean(0)
    np.testing.assert_allclose(values[signed[0]], evidence, rtol=1e-5)
    assert (values[signed[0]][::3] < 0).all()
    np.testing.assert_allclose(values["fisher"], np.sqrt((known.methods["fisher"].neurons ** 2).mean(0)), rtol=1e-5)
    assert "red cells speak for what was shown, blue ones against it" in html


def test_the_cells_that_speak_most_for_what_was_shown_are_named(drawn: dict[str, Any], tmp_path: Path) -> None:
    made = attributed(tmp_path, methods=ALL)
    html = section(made)
    known = SessionAttribution.load(made.run.attribution / f"{KEY}.npz")
    evidence = known.per_session("gradient_x_input")
    best = np.argsort(-evidence)[:5]
    assert re.findall(r"row (\d+) of /processing/rois<", html) == [str(100 + cell) for cell in best]
    assert f"<td>{evidence[best[0]]:.3g}</td>" in html
    place = 1 + int((known.per_session("fisher") > known.per_session("fisher")[best[0]]).sum())
    names = re.search(r"<tr>(<th>cell</th>.*?)</tr>", html)
    row = re.search(rf"<tr>(<td>row {100 + best[0]} of .*?)</tr>", html)
    assert names is not None
    assert row is not None
    column = re.findall("<th>(.*?)</th>", names[1]).index("place by fisher")
    assert re.findall("<td[^>]*>(.*?)</td>", row[1])[column] == str(place)
    assert "for what was shown, in 40 of 60 cells" in html


def test_cells_of_joined_files_are_named_by_their_file(drawn: dict[str, Any], tmp_path: Path) -> None:
    made = attributed(tmp_path, cells=3, methods=("gradient_x_input",))
    made.store.sessions[KEY].cells = pd.DataFrame(
        {"source_row": [0, 0, 1], "source_path": "/rois", "source_file": ["d/a.nwb", "d/b.nwb", "d/b.nwb"]}
    )
    html = section(made)
    for name in ("row 0 of /rois of a.nwb", "row 0 of /rois of b.nwb", "row 1 of /rois of b.nwb"):
        assert f"<td>{name}</td>" in html


def test_a_cell_that_speaks_against_what_was_shown_comes_last_in_the_agreement(
    drawn: dict[str, Any], tmp_path: Path
) -> None:
    made = attributed(tmp_path, methods=("fisher", "gradient_x_input"))
    path = made.run.attribution / f"{KEY}.npz"
    known = SessionAttribution.load(path)
    against = -np.tile(np.arange(1, 61, dtype=np.float32), (CLIPS * FRAMES, 1))
    known.methods["gradient_x_input"].neurons[...] = against
    known.methods["fisher"].neurons[...] = -against
    known.save(path)
    html = section(made)
    assert '<td class="number">-1.000</td>' in html
    assert "Contributions to evidence have a sign" in html
    assert "for what was shown, in 0 of 60 cells" in html


@pytest.mark.parametrize(
    ("methods", "of", "mapped"),
    [(("fisher",), "shared", "fisher"), (("gradient_x_input",), "private", "gradient x input")],
    ids=["no contributions", "contributions to means"],
)
def test_without_evidence_it_is_said(
    drawn: dict[str, Any], tmp_path: Path, methods: tuple[str, ...], of: str, mapped: str
) -> None:
    html = section(attributed(tmp_path, methods=methods, of=of, regions=False))
    assert "Which cells speak for what was shown is not known" in html
    _, values, _, signed = drawn["attribution_on_cortex"]
    assert (list(values), signed) == ([mapped], [])
    assert "red cells" not in html


def test_groups_found_within_clips_are_doubted(drawn: dict[str, Any], tmp_path: Path) -> None:
    assert "Groups found within clips are weak evidence" in section(attributed(tmp_path, groups=2))
    assert "Groups found within clips are weak evidence" not in section(attributed(tmp_path, groups=1))


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
