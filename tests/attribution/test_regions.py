"""Stimulus regions of a stored session: what attribution planted on edges, or on nothing, is found to fall on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nwb_mivae.attribution import (
    MethodAttribution,
    SessionAttribution,
    SessionStimulusRegions,
    StimulusRegionConfiguration,
    find_stimulus_regions,
)
from nwb_mivae.attribution.stimulus_statistics import STATISTICS, stimulus_statistics
from nwb_mivae.clips import ClipStore
from nwb_mivae.errors import AttributionError
from tests.clip_stores import make_store

FRAMES, H, W = 8, 14, 20
SESSION = "session-0"
SETTINGS = StimulusRegionConfiguration(permutations=500)
EDGES, CONTRAST = list(STATISTICS).index("edge_strength"), list(STATISTICS).index("local_contrast")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """Movies of sixteen frames, some of them shown twice."""
    path = tmp_path_factory.mktemp("stores") / "store"
    return make_store(path, sessions=1, cells=(4,), seconds=6.4, movie_frames=16, repeats=2, height=H, width=W)


def _attribution(store: ClipStore, pixels: npt.NDArray[Any], first: int = 0) -> SessionAttribution:
    """What ``attribute`` would give of the clips from ``first`` on, with these maps (clips * FRAMES, H, W)."""
    stored = store.sessions[SESSION]
    row = first * FRAMES + np.arange(len(pixels))
    pixels = pixels.astype(np.float32)
    maps = MethodAttribution(pixels[:, 0], pixels[:2, 0], pixels, np.abs(pixels[:2]))
    return SessionAttribution(
        session=SESSION,
        methods={"score": replace(maps, pixels=-pixels), "fisher": maps},
        time=stored.time[row],
        stop_time=stored.stop_time[row],
        row=row,
        presentation=stored.presentation[row],
        clip=np.repeat(np.arange(len(pixels) // FRAMES), FRAMES),
        weights_sha256="ab" * 32,
    )


def _edges(store: ClipStore, clips: int, noise: float = 1.0) -> npt.NDArray[np.float64]:
    frames = store.stimulus[store.sessions[SESSION].stimulus_row[: clips * FRAMES]]
    edges = stimulus_statistics(frames)["edge_strength"]
    return np.asarray(edges / edges.std() + noise * np.random.default_rng(1).random(edges.shape))


@pytest.fixture(scope="module")
def found(store: ClipStore) -> SessionStimulusRegions:
    return find_stimulus_regions(_attribution(store, _edges(store, 16)), store, configuration=SETTINGS, seed=3)


def test_attribution_made_of_edges_falls_on_edges_and_not_on_what_goes_with_them(found: SessionStimulusRegions) -> None:
    assert list(found.statistics) == list(STATISTICS)
    assert found.correlation[0, EDGES] > 0.6
    assert (found.effect[:, EDGES] > 0.3).all()
    assert (found.p_corrected[:, EDGES] < 0.05).all()
    assert (found.interval[:, EDGES, :, 0] > 0.2).all()
    # Contrast is where edges are, but has little beyond them.
    assert found.effect[0, CONTRAST, 0] > 0.3
    assert (np.abs(found.effect[1, CONTRAST]) < 0.1).all()
    np.testing.assert_allclose(np.nanmean(found.effect_by_clip, axis=-1), found.effect, atol=1e-12)
    assert (found.p_corrected >= found.p_value).all()
    assert found.attribution_method == "fisher"
    assert found.weights_sha256 == "ab" * 32
    assert found.not_tested == {}
    assert found.settings["tests"] == 20
    words = found.in_words()
    assert words["edge_strength"].startswith("Attribution lies where edge strength is high (effect 0.")
    assert "and from clip to clip it follows high edge strength" in words["edge_strength"]
    assert "Beyond the other statistics it is drawn to high values" in words["edge_strength"]


def test_showings_of_the_same_frames_are_one_clip(store: ClipStore) -> None:
    content = store.sessions[SESSION].content.reshape(-1, FRAMES)
    different = len(np.unique(content, axis=0))
    attribution = _attribution(store, _edges(store, len(content)))
    found = find_stimulus_regions(attribution, store, configuration=SETTINGS)
    assert found.settings["clips"] == len(content)
    assert len(found.clip) == found.settings["different_clips"] == different < len(content)
    assert found.effect_by_clip.shape == (2, 5, 2, different)
    assert len(np.unique(content[found.clip], axis=0)) == different


def test_attribution_to_nothing_is_not_found(store: ClipStore) -> None:
    noise = np.random.default_rng(2).random((16 * FRAMES, H, W))
    found = find_stimulus_regions(_attribution(store, noise), store, configuration=SETTINGS)
    assert (found.p_corrected > 0.05).all()
    assert (np.abs(found.effect) < 0.05).all()
    for words in found.in_words().values():
        assert words.startswith("Attribution is not shown to lie where")
        assert words.endswith("Nothing is shown that it has beyond the other statistics.")


def test_a_fixed_map_does_not_follow_the_stimulus_from_clip_to_clip(store: ClipStore) -> None:
    # The mean place of the edges, the same in all frames: related to the frames, but not to any clip's own.
    edges = np.broadcast_to(_edges(store, 16, noise=0.0).mean(axis=0), (16 * FRAMES, H, W))
    found = find_stimulus_regions(_attribution(store, edges), store, configuration=SETTINGS)
    assert found.correlation[0, EDGES] > 0.1
    assert found.effect[0, EDGES, 0] > 0.1
    assert abs(found.effect[0, EDGES, 1]) < 1e-6
    assert found.p_value[0, EDGES, 1] == 1.0
    assert "it is not shown to follow edge strength from clip to clip" in found.in_words()["edge_strength"]


def test_too_few_clips_say_what_they_cannot_tell(store: ClipStore) -> None:
    content = store.sessions[SESSION].content.reshape(-1, FRAMES)
    few = find_stimulus_regions(_attribution(store, _edges(store, 3)), store, configuration=SETTINGS)
    assert len(np.unique(content[:3], axis=0)) == 3
    assert np.isnan(few.p_value[:, :, 1]).all()
    assert np.isfinite(few.p_value[:, :, 0]).all()
    reason = "there are 3 different clips to compare, fewer than the 4 that it takes"
    assert few.not_tested["total/edge_strength/other_clip"] == reason
    assert f"from clip to clip is not known: {reason}." in few.in_words()["edge_strength"]
    one = find_stimulus_regions(_attribution(store, _edges(store, 1)), store, configuration=SETTINGS)
    assert "no interval from one clip" in one.in_words()["edge_strength"]
    four = find_stimulus_regions(_attribution(store, _edges(store, 4)), store, configuration=SETTINGS)
    assert len(np.unique(content[:4], axis=0)) == 4
    assert (four.p_value[:, :, 1] > 1 / 50).all()
    np.testing.assert_allclose(four.smallest_p[:, :, 1], 1 / 24)
    assert "from clip to clip" in four.in_words()["edge_strength"]
    assert "which so few clips cannot show" in four.in_words()["edge_strength"]


def test_what_does_not_change_and_what_is_not_attributed_is_not_tested(store: ClipStore) -> None:
    stored = store.sessions[SESSION]
    rows = np.repeat(stored.stimulus_row[::FRAMES], FRAMES)
    still = replace(store, sessions={SESSION: replace(stored, stimulus_row=rows, content=rows)})
    found = find_stimulus_regions(_attribution(still, _edges(still, 12)), still, configuration=SETTINGS)
    change = list(STATISTICS).index("luminance_change")
    assert np.isnan(found.p_value[:, change]).all()
    assert np.isfinite(found.p_value[:, :change]).all()
    assert (found.p_corrected[0, EDGES] < 0.05).all()
    assert found.in_words()["luminance_change"] == (
        "Nothing is known about luminance change: in no frame do both it and the attribution vary."
    )
    nothing = find_stimulus_regions(_attribution(store, np.zeros((32, H, W))), store, configuration=SETTINGS)
    assert np.isnan(nothing.p_value).all()
    assert len(nothing.not_tested) == 20
    assert np.isnan(nothing.latent_centre).all()
    assert json.dumps(nothing.settings, allow_nan=False)


def test_the_sign_of_the_score_does_not_matter(store: ClipStore, found: SessionStimulusRegions) -> None:
    attribution = _attribution(store, _edges(store, 16))
    scored = find_stimulus_regions(attribution, store, method="score", configuration=SETTINGS, seed=3)
    assert scored.attribution_method == "score"
    np.testing.assert_array_equal(scored.effect, found.effect)
    alone = replace(attribution, methods={"score": attribution.methods["score"]})
    assert find_stimulus_regions(alone, store, configuration=SETTINGS).attribution_method == "score"


def test_latents_look_where_contributions_are_large_whatever_their_sign(
    store: ClipStore, found: SessionStimulusRegions
) -> None:
    attribution = _attribution(store, _edges(store, 16))
    maps = attribution.methods["fisher"]
    against = replace(maps, pixels_per_latent=-maps.pixels_per_latent, signed=True)
    contributed = find_stimulus_regions(
        replace(attribution, methods={"gradient_x_input": against}), store, configuration=SETTINGS, seed=3
    )
    np.testing.assert_array_equal(contributed.latent_map, found.latent_map)
    np.testing.assert_array_equal(contributed.latent_extent, found.latent_extent)
    assert contributed.settings["latents"] == [0, 1]


def test_the_same_seed_gives_the_same_result(store: ClipStore, found: SessionStimulusRegions) -> None:
    attribution = _attribution(store, _edges(store, 16))
    again = find_stimulus_regions(attribution, store, configuration=SETTINGS, seed=3)
    other = find_stimulus_regions(attribution, store, configuration=SETTINGS, seed=4)
    for name in ("effect", "interval", "p_value"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert (other.interval != found.interval).any()
    np.testing.assert_array_equal(other.effect, found.effect)


def test_clips_and_frames_are_at_most_so_many(store: ClipStore) -> None:
    few = StimulusRegionConfiguration(clips=5, frames_per_clip=2, permutations=100)
    found = find_stimulus_regions(_attribution(store, _edges(store, 16)), store, configuration=few)
    assert len(found.clip) == found.settings["different_clips_compared"] == 5
    assert found.settings["frames_per_clip_compared"] == 2
    # The last frame of a clip has one before it, compared or not.
    assert np.isfinite(found.p_value[0, -1]).all()


def test_what_does_not_belong_together_is_refused(store: ClipStore) -> None:
    attribution = _attribution(store, _edges(store, 4))
    with pytest.raises(AttributionError, match="an attribution by score, fisher; expected occlusion"):
        find_stimulus_regions(attribution, store, method="occlusion")
    with pytest.raises(AttributionError, match="an attribution of 'another'"):
        find_stimulus_regions(replace(attribution, session="another"), store)
    of_cells = replace(attribution.methods["fisher"], pixels=np.zeros((len(attribution.row), 0, 0), np.float32))
    with pytest.raises(AttributionError, match="an attribution to neurons alone; expected one to pixels"):
        find_stimulus_regions(replace(attribution, methods={"fisher": of_cells}), store)
    smaller = _attribution(store, _edges(store, 4)[:, 1:])
    ragged = replace(attribution, clip=np.repeat([0, 1], [FRAMES + 1, 3 * FRAMES - 1]))
    beyond = replace(attribution, row=attribution.row + store.sessions[SESSION].n_frames)
    for wrong in (smaller, ragged, beyond):
        with pytest.raises(AttributionError, match="whole clips of 14 x 20 pixels"):
            find_stimulus_regions(wrong, store)
