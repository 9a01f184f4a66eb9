"""Every block of Python on the page about attribution, run in turn against a tiny run and its store."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwb_mivae.attribution import SessionAttribution, SessionStimulusRegions, SessionSubpopulations
from nwb_mivae.mivae import MiVAE
from tests.clip_stores import make_store
from tests.tiny_model import HEIGHT, WIDTH, tiny_configuration
from tests.tiny_run import HELD_OUT, HELD_OUT_SUBJECT, tiny_episodes, tiny_split, tiny_training

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/attribution.md"
BLOCKS: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
CELLS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page starts from: `store`, three animals that see cuts between movies, and a `run` of few steps."""
    folder = tmp_path_factory.mktemp("how_to")
    store = make_store(
        folder / "store", cells=(CELLS,), seconds=27.0, height=HEIGHT, width=WIDTH, movie_frames=40, repeats=2
    )
    MiVAE(tiny_configuration()).fit(
        store,
        folder / "run",
        split=tiny_split(store, held_out=[HELD_OUT_SUBJECT]).configuration,
        episodes=tiny_episodes(),
        training=tiny_training(),
    )
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[dict[str, Any], str]:
    """What the blocks leave behind, and what they print."""
    found: dict[str, Any] = {}
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        for block in BLOCKS:
            exec(compile(block, str(PAGE), "exec"), found)
    return found, printed.getvalue()


def test_the_page_answers_its_questions() -> None:
    together = "".join(BLOCKS)
    for name in ("nm.attribute(", "per_clip", "per_presentation", "per_session", "by_latent", "onset_courses("):
        assert name in together
    assert "find_stimulus_regions(" in together


def test_what_the_comments_say_of_shapes_is_so(done: tuple[dict[str, Any], str]) -> None:
    found, _ = done
    assert found["session"] == HELD_OUT
    n_frames = len(found["found"].time)
    assert found["evidence"].shape == found["sensitivity"].shape == found["disagreement"].shape == (CELLS,)
    assert sorted(found["best_first"]) == list(range(CELLS))
    assert found["evidence"][found["best_first"][0]] == found["evidence"].max()
    assert found["by_clip"].values.shape == (len(np.unique(found["found"].clip)), CELLS)
    assert found["by_presentation"].values.shape == (n_frames, CELLS)
    assert found["frame_by_frame"].shape == (n_frames, CELLS)
    assert found["by_latent"].shape == (2, len(found["some"].time), CELLS)
    assert found["fields"].shape == (found["shared_latents"], HEIGHT, WIDTH)
    np.testing.assert_allclose(found["fields"].max(axis=(1, 2)), 1.0)


def test_cells_are_grouped_around_onsets_and_the_finding_is_printed(done: tuple[dict[str, Any], str]) -> None:
    found, printed = done
    assert len(found["around"].row) >= 8
    assert found["group"].shape == (CELLS,)
    assert found["groups"].settings["onsets"] == len(found["around"].row)
    assert found["groups"].settings["finding"] in printed
    assert set(found["words"]) == set(found["regions"].statistics)
    assert found["words"][found["regions"].strongest()] in printed


def test_what_was_kept_can_be_read_again(done: tuple[dict[str, Any], str], folder: Path) -> None:
    found, _ = done
    np.testing.assert_array_equal(found["again"].maps("fisher", "pixels"), found["pixels"].maps("fisher", "pixels"))
    assert SessionAttribution.load(folder / "pixels.npz").session == HELD_OUT
    groups = SessionSubpopulations.load(folder / "groups.npz")
    np.testing.assert_array_equal(groups.subpopulation, found["group"])
    assert SessionStimulusRegions.load(folder / "regions.npz").in_words() == found["words"]
