"""The benchmark of alignment run whole, at its smallest: that it measures, keeps, skips, and writes its page."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwb_mivae.inference import BLOCKS
from tests.benchmarks.alignment.__main__ import main
from tests.benchmarks.alignment.code import TRAINING, code_digest
from tests.benchmarks.alignment.designs import JUDGED
from tests.benchmarks.alignment.encoding import clips_of
from tests.benchmarks.alignment.generation import Generated, generation_baselines, generation_figures, true_generation
from tests.benchmarks.alignment.page import page
from tests.benchmarks.alignment.protocol import Settings
from tests.benchmarks.alignment.results import Figure, Results
from tests.benchmarks.alignment.scales import Material
from tests.benchmarks.alignment.scaling import CURVES, settings_of_point

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tiny_material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    run(tiny_material, out, "--designs", "front_end", "--seeds", "0", "1")
    run(tiny_material, out, "--designs", "pooled", "--seeds", "0", "--scaling")
    return out


def run(given: Material, out: Path, *more: str) -> None:
    data = given.store.path.parent
    main(["--scale", "tiny", "--steps", "2", "--data", str(data), "--out", str(out), *more])


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return Results.read(folder, "tiny")


def numbers(value: Any, path: str = "") -> dict[str, float]:
    """Every number in a result, by path."""
    if isinstance(value, dict):
        return {name: number for key, each in value.items() for name, number in numbers(each, f"{path}/{key}").items()}
    if isinstance(value, list):
        return {
            name: number for key, each in enumerate(value) for name, number in numbers(each, f"{path}/{key}").items()
        }
    return {path: value} if isinstance(value, float) else {}


def test_every_design_and_seed_is_kept_with_data_code_and_configuration(folder: Path, tiny_material: Material) -> None:
    for design, seeds in {"front_end": (0, 1), "pooled": (0,)}.items():
        for seed in seeds:
            result = json.loads((folder / f"tiny-{design}-{seed}.json").read_text())
            assert result["data"] == {"digest": tiny_material.digest, "content_disjoint": True}
            assert result["configuration"] == Settings(tiny_material, design, seed, steps=2).as_dict()
            assert result["provenance"]["packages"]["torch"]
            assert len(result["weights_sha256"]) == 64
            assert all(map(math.isfinite, numbers(result).values()))
            assert set(result["active_units"]) == set(BLOCKS)
            conditions = {
                "with_context",
                "without_context",
                "untrained",
                "permuted_neurons",
                "shuffled_pairs",
                "activity",
            }
            for key in result["held_out"]:
                assert set(result["decoding"][key]) == conditions
            assert (result["context_minutes"] == {}) == (design == "pooled")
            for minutes, entry in result["context_minutes"].items():
                assert 0.0 <= entry["closed_form_top1"] <= 1.0
                assert (entry["minutes_there_were"] == 0) == (minutes == "0")


def test_what_is_there_is_not_made_again_unless_it_is_of_other_settings(
    folder: Path, tiny_material: Material, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    shutil.copytree(folder, out)
    path = out / "tiny-pooled-0.json"
    before = path.stat().st_mtime_ns
    run(tiny_material, out, "--designs", "pooled", "--seeds", "0")
    assert path.stat().st_mtime_ns == before
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "code": "other code"}))
    run(tiny_material, out, "--designs", "pooled", "--seeds", "0")
    again = json.loads(path.read_text())
    # The weights are taken over, and everything that is random has its seed.
    assert {**again, "seconds": 0, "provenance": 0} == {**result, "seconds": 0, "provenance": 0}


def test_a_tiny_untaught_model_is_at_chance_and_its_read_outs_of_other_clips_are_worthless(results: Results) -> None:
    for control in ("untrained", "shuffled_pairs", "permuted_neurons"):
        assert results.retrieved("front_end", "held_out", control, "top1").mean < 0.15
    shuffled = results.decoded("front_end", "shuffled_pairs", "stimulus_r2", "neural_shared", "own")
    activity = results.decoded("front_end", "activity", "stimulus_r2", "own")
    assert shuffled.mean < 0.0 < activity.mean


def test_scaling_limits_clips_and_keeps_what_a_step_is_given(tiny_material: Material, results: Results) -> None:
    for curve in CURVES:
        few, many = (settings_of_point(tiny_material, "front_end", 0, curve, animals) for animals in (1, 2))
        assert few.episodes.training_clips == 40
        assert many.episodes.training_clips == (20 if curve == "fixed_total" else 40)
        together = [
            each.episodes.clips_per_session * min(each.episodes.sessions_per_step, each.animals) for each in (few, many)
        ]
        assert together[0] == together[1]
        assert [animals for animals, _ in results.curves()[curve]] == [1, 2]


def test_generation_is_one_for_the_truth_nothing_for_the_mean_and_between_for_regression(
    tiny_material: Material,
) -> None:
    split = tiny_material.split
    clips = clips_of(tiny_material, split, split.held_out_sessions[0], "test", 30)
    truth = true_generation(tiny_material, split, clips)
    figures = generation_figures(Generated(truth.frames, 2.0 * truth.activity + 1.0), truth)
    assert figures["video_r"] == figures["video_centred_r"] == pytest.approx(1.0)
    assert figures["video_error"] == pytest.approx(0.0)
    assert figures["rates_r"] == pytest.approx(1.0)
    baselines = {
        name: generation_figures(each, truth)
        for name, each in generation_baselines(tiny_material, split, clips).items()
    }
    assert baselines["training mean"]["video_error"] == pytest.approx(1.0)
    assert baselines["training mean"]["video_centred_r"] is None
    assert baselines["training mean"]["rates_r"] is None
    assert 0.2 < baselines["linear"]["video_centred_r"] < 1.0
    assert baselines["linear"]["rates_r"] > 0.05


def test_the_page_shows_every_design_its_controls_and_the_verdicts(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "docs" / "alignment.md"
    main(["--scale", "tiny", "--designs", "--out", str(folder), "--page", str(target)])
    text = target.read_text()
    assert "nan" not in text.lower().replace("nanometre", "")
    for words in (
        "`front_end`",
        "`pooled`",
        "control: shuffled pairs",
        "ideal observer",
        "**not met**",
        "fixed total",
    ):
        assert words in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| design | condition | top-1")}
    assert len(widths) == 1
    for table in text.split("\n\n"):
        rows = [line.count("|") for line in table.splitlines() if line.startswith("|")]
        assert len(set(rows)) <= 1, table


def test_the_page_of_one_design_says_what_was_not_measured(results: Results) -> None:
    alone = dataclasses.replace(results, designs={"pooled": results.designs["pooled"]}, scaling={}, likeness={})
    text = page(alone, "tiny")
    assert "not measured" in text
    assert "nan" not in text.lower()


def test_a_ratio_of_two_chances_meets_no_target(results: Results) -> None:
    def with_top1(top1: float) -> Results:
        every = copy.deepcopy(results.designs)
        for design, found in every.items():
            for each in found:
                condition = "without_context" if design == JUDGED else "with_context"
                each["retrieval"]["held_out"][condition]["top1"] = top1 if design == JUDGED else 0.001
        return dataclasses.replace(results, designs=every)

    def verdict(top1: float) -> str:
        (row,) = [line for line in page(with_top1(top1), "tiny").splitlines() if "top-1 without context /" in line]
        return row.split("|")[-2].strip()

    assert verdict(0.9) == "met"
    assert verdict(0.01).startswith("**not met**: top-1 0.010")


def test_baselines_stand_beside_the_designs(results: Results) -> None:
    figures = {"top1": 0.25, "top5": 0.5, "chance": 0.04, "n_clips": 23}
    figures |= {"paired_r": 0.3, "unpaired_r": 0.1, "centred_r": None}
    sessions = {"one": {**figures, "held_out": True}, "other": {**figures, "top1": 0.75, "held_out": False}}
    entry = {"name": "per-animal ridge", "seen": "its whole training part", "sessions": sessions}
    between = {**entry, "name": "two ridges"}
    found = {"baselines": {"ridge_pixels": entry, "ridge_between": between, "encoding": {**entry, "name": "encoding"}}}
    beside = dataclasses.replace(results, baselines=[found])
    text = page(beside, "tiny")
    retrieval, _, between_animals = text.partition("## Between animals")
    assert (
        "| baseline | per-animal ridge | 0.25 | 0.25 | 0.50 | 0.30 | 0.10 | - | its whole training part |" in retrieval
    )
    assert "| baseline | per-animal ridge | 0.75 |" in retrieval
    assert "two ridges" not in retrieval
    assert "| two ridges | one or both held out | 0.25 | 0.04 |" in between_animals
    assert beside.best_ridge().mean == 0.25
    assert "best per-animal ridge | at least 1.2 | -" not in text


def test_figures_are_mean_and_spread_over_what_is_defined() -> None:
    figure = Figure.of([1.0, None, 3.0, float("nan")])
    assert figure.text() == "2.00 ± 1.41"
    assert Figure.of([0.5]).text() == "0.50"
    assert Figure.of([]).text() == "-"
    assert figure.over(2.0).mean == 1.0
    assert figure.over(0.0).values == ()
    assert max([Figure.of([]), figure], key=lambda each: each.size) is figure
    assert np.isnan(Figure.of([]).mean)


def test_comments_do_not_make_other_code() -> None:
    assert code_digest(TRAINING) == code_digest(TRAINING)
    assert code_digest(TRAINING) != code_digest(TRAINING[:1])
