"""The benchmark of attribution: its figures of merit on hand-made truth, and all of it at its smallest."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from nwb_mivae import pipeline
from nwb_mivae.attribution import METHODS, MethodAttribution, SessionAttribution
from nwb_mivae.clips import ClipStore, load_clips
from nwb_mivae.evaluation import metrics
from nwb_mivae.model import Context
from tests.benchmarks.alignment.scales import Material, material
from tests.benchmarks.attribution.__main__ import main
from tests.benchmarks.attribution.finding_planted import Judged, first_half, neuron_figures, pixel_figures
from tests.benchmarks.attribution.measures import area_under, auroc, pointing_game, removal_curves
from tests.benchmarks.attribution.page import _best_per_latent, _random_target, page
from tests.benchmarks.attribution.planted import Planted, planted
from tests.benchmarks.attribution.random_models import HALVES, _mirrored, _OtherCells
from tests.benchmarks.attribution.recordings import RECORDINGS, _compare, _described
from tests.benchmarks.attribution.recordings import main as recordings_main
from tests.benchmarks.attribution.region_nulls import unrelated
from tests.benchmarks.attribution.results import Results
from tests.benchmarks.attribution.scales import SCALES
from tests.finished_run import finished_run_of

# --- figures of merit ---------------------------------------------------------------------------------------------


def test_auroc_counts_pairs_in_the_right_order_and_ties_half() -> None:
    figure = np.array([3.0, 1.0, 2.0, 2.0])
    positive = np.array([True, False, True, False])
    # Of four pairs, (3, 1), (3, 2) and (2, 1) are right and (2, 2) is tied.
    assert auroc(figure, positive) == pytest.approx(3.5 / 4)
    assert auroc(-figure, positive) == pytest.approx(0.5 / 4)
    assert auroc(np.zeros(4), positive) == 0.5
    assert auroc(figure, np.ones(4, dtype=bool)) is None


def test_the_pointing_game_is_of_maxima_and_leaves_out_maps_without_any() -> None:
    inside = np.array([[True, False, False]])
    maps = np.array([[[5.0, 1.0, 1.0]], [[0.0, 1.0, 0.0]], [[2.0, 2.0, 0.0]], [[1.0, 1.0, 1.0]]])
    assert pointing_game(maps, inside) == pytest.approx((1 + 0 + 0.5) / 3)
    assert pointing_game(maps[3:], inside) is None


def test_removal_takes_the_highest_first_and_insertion_puts_them_back_first() -> None:
    worth = np.array([1.0, 8.0, 0.0, 1.0])
    shares = (0.0, 0.25, 0.5, 1.0)

    def judge(removed: npt.NDArray[np.bool_]) -> dict[str, float]:
        return {"worth": float(worth[~removed].sum())}

    right = removal_curves(worth, shares, judge)
    assert right["deleted"]["worth"] == [10.0, 2.0, 1.0, 0.0]
    assert right["inserted"]["worth"] == [0.0, 8.0, 9.0, 10.0]
    wrong = removal_curves(-worth, shares, judge)
    assert wrong["deleted"]["worth"] == [10.0, 10.0, 9.0, 0.0]
    assert area_under(shares, right["deleted"]["worth"]) == pytest.approx(0.25 * 6 + 0.25 * 1.5 + 0.5 * 0.5)
    assert area_under(shares, right["deleted"]["worth"]) < area_under(shares, wrong["deleted"]["worth"])


def _attribution(method: str, *, neurons: Any, pixels: Any, signed: bool) -> SessionAttribution:
    maps = MethodAttribution(
        neurons=np.asarray(neurons, dtype=np.float32),
        neurons_per_latent=np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 4.0, 2.0, 3.0]], dtype=np.float32),
        pixels=np.asarray(pixels, dtype=np.float32),
        pixels_per_latent=np.array([[[3.0, 1.0]], [[1.0, 3.0]]], dtype=np.float32),
        signed=signed,
    )
    frames = np.arange(len(maps.neurons))
    return SessionAttribution("mouse", {method: maps}, 1.0 * frames, frames + 1.0, frames, frames, 0 * frames)


def test_scores_are_ranked_by_their_size_and_contributions_by_their_mean() -> None:
    truth = Planted(
        subpopulation=np.array(["sustained", "sustained", "not_visual", "not_visual"]),
        visual=np.array([True, True, False, False]),
        private=np.zeros(4, dtype=bool),
        driving_pixels=np.array([[True, False]]),
        drive=np.zeros((2, 4), dtype=np.float32),
    )
    # Of the visual cells one averages to nothing; of the others one is large without a mean.
    neurons = [[2.0, 1.0, 3.0, 0.0], [2.0, -1.0, -3.0, 0.0]]
    pixels = [[[-5.0, 1.0]], [[5.0, 1.0]]]
    of_latent = np.array([[True, False, False, False], [False, False, False, False]])
    found = {
        method: _attribution(method, neurons=neurons, pixels=pixels, signed=True)
        for method in ("score", "gradient_x_input")
    }
    figures = neuron_figures(found, truth, of_latent)
    assert figures["score"]["session"] == figures["score"]["root_mean_square"] == pytest.approx(0.5)
    assert figures["gradient_x_input"]["session"] == pytest.approx((2 + 0.5 + 0.5) / 4)
    # The first latent has one cell, above both that are not visual; the second has none.
    assert figures["score"]["per_latent_driven"] == 1.0
    assert figures["score"]["per_latent_visual"] == pytest.approx((1.0 + 0.5) / 2)
    of_pixels = pixel_figures(found, truth.driving_pixels)
    assert of_pixels["score"]["session"] == of_pixels["score"]["frames"] == of_pixels["score"]["pointing_frames"] == 1.0
    assert of_pixels["gradient_x_input"]["session"] == 0.0
    assert of_pixels["score"]["per_latent"] == of_pixels["score"]["pointing_latents"] == 0.5


def test_a_context_of_other_cells_is_the_same_numbers_for_others() -> None:
    cells = 6
    context = Context(
        fingerprints=torch.arange(cells)[:, None].float(),
        readout=torch.arange(cells)[None, :, None].float(),
        neural_mean=torch.arange(cells).float(),
        feature_mean=torch.zeros(1),
        n_frames=3,
    )

    class Builder(torch.nn.Module):
        def forward(self, _: Any) -> Context:
            return context

    found: Any = _OtherCells(Builder(), 0)(None)  # type: ignore[arg-type]
    assert sorted(found.fingerprints[:, 0].tolist()) == list(range(cells))
    assert (found.fingerprints[:, 0] != torch.arange(cells)).any()
    assert torch.equal(found.fingerprints[:, 0], found.readout[0, :, 0])


# --- controls and targets on the page -----------------------------------------------------------------------------


def test_every_method_has_its_control_on_neurons_and_the_fast_ones_on_pixels() -> None:
    for scale in SCALES.values():
        assert set(scale.control_clips_to_neurons) == set(METHODS)
        assert set(scale.control_clips_to_pixels) == set(METHODS) - {"integrated_gradients", "occlusion"}
        # As many draws in one half as in the other, and a spread in each.
        assert scale.control_draws % 2 == 0
        assert scale.control_draws >= 4


def _of_random_models(pixels: list[float]) -> Results:
    figures = {"neurons": {"fisher": pixels}, "pixels": {"fisher": pixels}}
    return Results([{"sessions": {"mouse": {"random_models": {"knows_nothing": figures}}}}])


def test_halves_of_random_models_are_shown_apart_and_judged_by_their_mean() -> None:
    results = _of_random_models([0.60, 0.42, 0.62, 0.40])
    assert results.drawn("knows_nothing", "pixels", "fisher", HALVES["plain"]) == [0.60, 0.62]
    assert results.drawn("knows_nothing", "pixels", "fisher", HALVES["mirrored"]) == [0.42, 0.40]
    _, _, words, verdict = _random_target(results, "pixels")
    # What the halves differ by is not in the error: (0.01 ** 2 + 0.01 ** 2) ** 0.5 / 2.
    assert words.startswith("`fisher` 0.51 ± 0.01 (0.61 / 0.41) (mean")
    assert verdict == "met"
    assert _random_target(_of_random_models([0.70, 0.42, 0.72, 0.40]), "pixels")[3] == "**not met**"
    # Neurons are in one half, whose spread is wide.
    assert _random_target(results, "neurons")[2].startswith("`fisher` 0.51 ± 0.06 (mean")


def test_the_figure_per_latent_is_a_row_of_its_own_and_of_the_best_method() -> None:
    def results(best: float) -> Results:
        per_latent = {method: {"session": 0.99, "per_latent_driven": 0.7} for method in METHODS}
        per_latent["occlusion"]["per_latent_driven"] = best
        return Results([{"sessions": {"mouse": {"neurons": per_latent}}}])

    name, target, measured, verdict = _best_per_latent(results(0.85), 0.95)
    assert "per latent" in name
    assert "`occlusion`" in name
    assert (target, measured, verdict) == ("at least 0.95", "0.85", "**not met**")
    assert _best_per_latent(results(0.96), 0.95)[3] == "met"


# --- real recordings ----------------------------------------------------------------------------------------------


def _real_result(name: str, sessions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "configuration": {"recordings": name, "training.steps": 100},
        "code": "0123456789abcdef",
        "data": {"traces.json": "fedcba9876543210"},
        "sessions": sessions,
        "seconds": {"preparing": 1.5},
        "provenance": {"platform": "Linux", "device": "cpu", "python": "3.11", "packages": {"torch": "2"}},
    }


def _real_session(cells: int, own: str) -> dict[str, Any]:
    return {
        "cells": cells,
        "clips": 24,
        "clips_available": 40,
        "different_clips": 7,
        "seconds": 2.0,
        "subpopulations": f"One subpopulation of {cells}.",
        "regions": "Nothing.",
        "statistic": "luminance",
        "conclusions": [["", "About the model."], ["doubt", own]],
    }


def test_the_page_of_real_recordings_says_what_few_cells_allow_and_every_sessions_findings(tmp_path: Path) -> None:
    mice = {"mouse-1": _real_session(1, "1 cell."), "mouse-2": _real_session(6, "6 cells.")}
    for name in RECORDINGS:
        sessions = mice if name == "openscope" else {"person": _real_session(35, "35 cells.")}
        path = tmp_path / f"recordings-{name}.json"
        path.write_text(json.dumps(_real_result(name, sessions)), encoding="utf-8")
    recordings_main(["--recordings", "--out", str(tmp_path), "--page", str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    before, _ = text.split("## How it was made")
    assert "3 sessions of real cells, 1 to 35 of each (median 6)" in before
    assert "**Subpopulations cannot be concluded.**" in before
    assert "| `mouse-2` | 6 | 24 | 40 | 7 | 2.0 |" in text
    # What is said of both mice stands once for them, and once for the person.
    assert text.count("* About the model.") == 2
    assert all(text.count(f"* **Doubt**: {own}") == 1 for own in ("1 cell.", "6 cells.", "35 cells."))
    assert all(text.count(f"One subpopulation of {cells}.") == 1 for cells in (1, 6, 35))
    assert str(tmp_path) not in text


@pytest.mark.slow
def test_what_is_read_back_of_a_run_is_compared_with_what_was_attributed(request: pytest.FixtureRequest) -> None:
    finished = finished_run_of(request)
    store = ClipStore.open(finished.store)
    attributions = {key: SessionAttribution.load(finished.run / "attribution" / f"{key}.npz") for key in store.sessions}
    written = sorted((finished.run / "annotated").glob("*.nwb"))[:1]
    _compare(written, store, attributions)
    changed = {key: replace(each, methods=_raised(each.methods)) for key, each in attributions.items()}
    with pytest.raises(ValueError, match="does not hold the attribution"):
        _compare(written, store, changed)
    key, attribution = next(iter(attributions.items()))
    found = _described(
        pipeline.AttributedSession(attribution, not_found=dict.fromkeys(("subpopulations", "regions"), "x")), store, key
    )
    assert found["cells"] == store.sessions[key].n_cells
    assert found["clips"] == len(np.unique(attribution.clip)) >= found["different_clips"] >= 1
    assert any("no subpopulations can be claimed" in sentence for _, sentence in found["conclusions"])


def _raised(methods: Any) -> dict[str, MethodAttribution]:
    return {name: replace(maps, pixels=maps.pixels + 1) for name, maps in methods.items()}


# --- the whole of it ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    main(["--scale", "tiny", "--seeds", "0", "--out", str(out), "--page", str(out / "page.md")])
    return out


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Material:
    return material(SCALES["tiny"], folder / "data" / "tiny")  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_figure_is_measured_in_every_held_out_animal(folder: Path, tiny: Material) -> None:
    result = json.loads((folder / "tiny-0.json").read_text())
    assert result["data"] == {"digest": tiny.digest, "content_disjoint": True}
    assert result["provenance"]["packages"]["torch"]
    assert list(result["sessions"]) == list(tiny.split.held_out_sessions)
    for session in result["sessions"].values():
        assert session["driving_share"] == 0.5
        assert set(session["neurons"]) == set(session["pixels"]) == set(METHODS)
        assert (
            session["clips"]["neurons"]["score"] == session["clips"]["test"] > 8 == session["clips"]["pixels"]["score"]
        )
        assert session["half_of_recording"]["clips"] == -(-session["clips"]["test"] // 2)
        assert all(0.0 <= value <= 1.0 for each in session["pixels"].values() for value in each.values())
        for source in ("neurons", "pixels"):
            curves = session["removal"][source]["curves"]
            assert set(curves) == {*METHODS, "random"}
            for ways in curves.values():
                # Everything, and nothing, in whatever order.
                assert ways["deleted"]["evidence"][0] == ways["inserted"]["evidence"][-1] == 1.0
                assert ways["deleted"]["evidence"][-1] == ways["inserted"]["evidence"][0] == 0.0
                assert ways["deleted"]["top1"][0] == ways["inserted"]["top1"][-1]
        for kind in session["random_models"].values():
            assert set(kind["neurons"]) == set(METHODS)
            assert "fisher" in kind["pixels"]
            assert {len(each) for source in kind.values() for each in source.values()} == {4}
        assert all(0.0 < p <= 1.0 for values in session["null_p_values"].values() for p in values)
        cells = np.array(session["subpopulations"]["cells"])
        assert cells.sum() == session["cells"]["visual"] + session["cells"]["not_visual"]


@pytest.mark.slow
def test_what_is_there_is_not_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    main(["--scale", "tiny", "--seeds", "0", "--out", str(folder)])
    assert capsys.readouterr().out == "tiny-0.json is there\n"


@pytest.mark.slow
def test_planted_truth_is_in_the_order_of_the_stores_cells(tiny: Material) -> None:
    (session,) = tiny.split.held_out_sessions
    truth = planted(tiny, session)
    stored = tiny.store.sessions[session]
    assert ((truth.subpopulation == "not_visual") == ~truth.visual).all()
    assert truth.drive.shape == stored.neural.shape
    assert not truth.drive[:, ~truth.visual].any()
    # What the stimulus does to a cell is in that cell's activity and not in another's.
    own, other = (
        np.mean(
            [
                np.corrcoef(stored.neural[stored.valid, cell], truth.drive[stored.valid, drive])[0, 1]
                for cell, drive in pairs
            ]
        )
        for pairs in (
            [(cell, cell) for cell in np.flatnonzero(truth.visual)],
            [(cell, drive) for cell in np.flatnonzero(~truth.visual) for drive in np.flatnonzero(truth.visual)],
        )
    )
    assert own > 0.2
    assert abs(other) < 0.1


@pytest.mark.slow
def test_half_of_a_recording_has_the_first_half_of_clips_and_context(tiny: Material) -> None:
    (session,) = tiny.split.held_out_sessions
    stored, frames = tiny.store.sessions[session], tiny.scale.clip_frames
    half = first_half(Judged(None, tiny.store, tiny.split)).split  # type: ignore[arg-type]
    for part in ("train", "test"):
        whole, some = (each.clip_starts(stored, part, n_frames=frames, stride=frames) for each in (tiny.split, half))
        assert some.tolist() == whole[: -(-len(whole) // 2)].tolist()
    assert np.array_equal(half.part_of_rows(stored), tiny.split.part_of_rows(stored))


@pytest.mark.slow
def test_a_mirrored_store_shows_the_same_clips_left_for_right(tiny: Material) -> None:
    (session,) = tiny.split.held_out_sessions
    stored, frames = tiny.store.sessions[session], tiny.scale.clip_frames
    starts = tiny.split.clip_starts(stored, "test", n_frames=frames, stride=frames)[:3]
    plain, mirrored = (
        load_clips(store, tiny.split, session, starts, n_frames=frames) for store in (tiny.store, _mirrored(tiny.store))
    )
    assert torch.equal(mirrored.stimulus, plain.stimulus.flip(-1))
    assert torch.equal(mirrored.neural, plain.neural)


@pytest.mark.slow
def test_unrelated_maps_belong_to_other_frames(tiny: Material) -> None:
    (session,) = tiny.split.held_out_sessions
    stored, frames = tiny.store.sessions[session], tiny.scale.clip_frames
    starts = tiny.split.clip_starts(stored, "test", n_frames=frames, stride=frames)[:10]
    rows = (starts[:, None] + np.arange(frames)).ravel()
    # Each clip's map is its number, wherever it is shifted to.
    clip = np.repeat(np.arange(len(starts)), frames)
    pixels = np.broadcast_to(clip[:, None, None], (len(clip), tiny.store.height, tiny.store.width))
    nothing = np.zeros((1, 1), dtype=np.float32)
    maps = MethodAttribution(nothing, nothing, pixels.astype(np.float32), nothing[None], signed=False)
    attribution = SessionAttribution(
        session, {"fisher": maps}, stored.time[rows], stored.stop_time[rows], rows, stored.presentation[rows], clip
    )
    different, shown = metrics.distinct_clips(np.asarray(stored.content[rows]).reshape(len(starts), frames))
    found = unrelated(attribution, tiny.store, 4, np.random.default_rng(0))
    assert np.unique(found.clip).tolist() == list(range(min(4, len(different) // 2)))
    place = {int(row): number for row, number in zip(rows, clip, strict=True)}
    for row, frame in zip(found.row, found.maps("fisher", "pixels"), strict=True):
        assert len(np.unique(frame)) == 1
        assert shown[place[int(row)]] != shown[int(frame[0, 0])]


@pytest.mark.slow
def test_the_page_shows_every_method_and_says_which_targets_are_not_met(folder: Path) -> None:
    text = (folder / "page.md").read_text(encoding="utf-8")
    for title in ("Targets", "Neurons", "Pixels", "Subpopulations", "Models with random weights", "Stimulus regions"):
        assert f"## {title}\n" in text
    assert "**one seed**" in text
    assert "not measured" in text.split("cost of exact Fisher scores")[1].splitlines()[0]
    results = Results.read(folder, "tiny")
    bad, good = (_with_auroc(results, value) for value in (0.6, 0.97))
    assert "AUROC of visual cells, best of all methods: `score` | at least 0.95 | 0.60 | **not met** |" in page(
        bad, "tiny"
    )
    assert "AUROC of visual cells, best of all methods: `score` | at least 0.95 | 0.97 | met |" in page(good, "tiny")
    cost = {
        "target_ratio": 128,
        "frames": 16,
        "latents": 32,
        "threads": 1,
        "vectors_of_the_generic_way": 1024,
        "neurons": {"200": {"seconds": 0.5, "ratio": 100.0, "ratio_to_the_clip_alone": 150.0}},
        "pixels": {"18x32": {"seconds": 0.5, "ratio": 130.0, "ratio_to_the_clip_alone": 150.0}},
        "long_clip": {"frames": 300, "cells": 8000, "pixels": [36, 64], "ways": {}},
        "provenance": results.seeds[0]["provenance"] | {"load_average": [1.0]},
    }
    with_cost = page(replace(results, cost=cost), "tiny")
    assert "scores of neurons, backward passes | at most 128 | 100 for 200 cells | met |" in with_cost
    assert "scores of pixels, backward passes | at most 128 | 130 for 18x32 pixels | **not met** |" in with_cost
    assert math.isclose(results.at("driving_share").mean, 0.5)


def _with_auroc(results: Results, value: float) -> Results:
    seeds = json.loads(json.dumps(list(results.seeds)))
    for seed in seeds:
        for session in seed["sessions"].values():
            for figures in session["neurons"].values():
                figures["session"] = value
    return Results(seeds)
