from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from nwb_mivae import pipeline
from nwb_mivae.attribution import (
    MethodAttribution,
    SessionAttribution,
    SessionStimulusRegions,
    SessionSubpopulations,
)
from nwb_mivae.attribution.configuration import BlockName, MethodName, SourceName
from nwb_mivae.cli.main import application
from tests.finished_run import SMALL_PIPELINE, FinishedRun

cli_attribute = import_module("nwb_mivae.cli.attribute")

COMMANDS = (
    "simulate",
    "find",
    "download",
    "inspect",
    "prepare",
    "train",
    "evaluate",
    "attribute",
    "annotate",
    "check",
    "report",
    "demo",
)
SMALL = [argument for key, value in SMALL_PIPELINE.items() for argument in ("--set", f"{key}={value}")]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


def program(*arguments: object) -> list[str]:
    start = "import sys; sys.argv[0] = 'nwb-mivae'; from nwb_mivae.cli.main import main; main()"
    return [sys.executable, "-c", start, *map(str, arguments)]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_is_for_with_an_example(command: str):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"nwb-mivae {command} " in result.output.split("Example")[1]
    assert "--json" in result.output
    assert "--quiet" in result.output
    assert "\\b" not in result.output  # the mark for lines that are not to be wrapped, unread


def test_every_command_that_the_package_names_exists():
    commands = typer.main.get_command(application).commands
    for path in sorted(Path(pipeline.__file__).parents[1].rglob("*.py")):
        for first, second in re.findall(r"`(nwb-mivae|python -m) ([^ `]+)[^`]*`", path.read_text(encoding="utf-8")):
            assert first == "nwb-mivae", f"{path}: {first} {second}"
            assert second in commands, f"{path}: {second}"


def test_the_program_names_all_its_commands_and_exit_codes():
    text = call("--help").output
    assert all(command in text for command in COMMANDS)
    assert "130 interrupted" in text
    assert "  nwb-mivae train STORE --out RUN           the model" in text  # a table, one command a line
    assert call("--version").exit_code == 0


def test_wrong_usage_is_code_2_and_still_one_json_document():
    result = call("train")
    assert result.exit_code == 2
    done = subprocess.run(program("train", "--json"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "WrongUsage"
    assert "STORE" in done.stderr


@pytest.mark.parametrize("command", ["evaluate", "attribute", "annotate", "report"])
def test_a_step_too_early_is_refused_with_the_step_to_run(command: str, tmp_path: Path):
    result = call(command, tmp_path)
    assert result.exit_code == 3
    assert "Run `nwb-mivae train` first" in result.stderr
    assert result.stdout == ""
    result = call(command, tmp_path, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"] == "ModelError"
    assert not list(tmp_path.iterdir())


def test_a_missing_store_and_a_wrong_setting_are_refused(tmp_path: Path):
    assert "found no such folder" in call("train", tmp_path / "none", "--out", tmp_path / "run").stderr
    result = call("train", tmp_path, "--out", tmp_path / "run", "--set", "training.stepz=1")
    assert result.exit_code == 3
    assert "training.stepz: found an unknown key" in result.stderr
    assert call("train", tmp_path, "--out", tmp_path / "run", "--resume", "--steps", 3).exit_code == 2


def test_broken_files_are_refused_one_by_one(real_data: Path, tmp_path: Path):
    result = call("inspect", real_data / "nwb_broken")
    assert result.exit_code == 3
    assert "496908818s_nwb1.nwb" in result.stderr
    assert "652989705_partial_download.nwb" in result.stderr
    result = call("prepare", real_data / "nwb_broken", "--out", tmp_path / "store", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"] == "StoreError"
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_inspect_tells_the_truth_about_missing_movies(real_data: Path):
    result = call("inspect", real_data / "nwb" / "sub-4_ses-4_ecephys+image.nwb")
    assert result.exit_code == 0
    assert "spikes, 214,278 spikes" in result.stdout
    assert "pixels missing" in result.stdout
    assert "... 391 more" in result.stdout
    assert "running" not in result.stdout


def test_inspect_says_that_a_file_has_no_stimulus(real_data: Path):
    result = call("inspect", real_data / "nwb" / "roiextractors_ophys_nwb_test.nwb")
    assert result.exit_code == 0
    assert "stimuli    none" in result.stdout


@pytest.mark.slow
def test_the_whole_way_by_commands(finished_run: FinishedRun, tmp_path: Path):
    store, run = tmp_path / "store", tmp_path / "run"
    made = call("simulate", tmp_path / "recordings", "--animals", 1, "--minutes", 0.3, "--json")
    assert made.exit_code == 0
    assert Path(json.loads(made.stdout)["animals"][0]["nwb"]).is_file()
    assert call("simulate", tmp_path / "recordings", "--animals", 1, "--minutes", 0.3).exit_code == 3

    seen = call("inspect", finished_run.recordings)
    assert seen.exit_code == 0
    assert "pixels available" in seen.stdout
    assert "running (cm/s)" in seen.stdout
    assert len(json.loads(call("inspect", finished_run.recordings, "--json").stdout)["sessions"]) == 3

    (tmp_path / "mixed").mkdir()
    for path in finished_run.recordings.rglob("*.nwb"):
        shutil.copy(path, tmp_path / "mixed")
    (tmp_path / "mixed" / "broken.nwb").write_bytes(b"not HDF5")
    result = call("prepare", tmp_path / "mixed", "--out", store, "--set", "clips.height=16", "--set", "clips.width=24")
    assert result.exit_code == 3
    assert "REFUSED" in result.stdout
    assert "broken.nwb" in result.stdout
    assert "3 sessions in" in result.stdout
    assert "of dff, taken 0.2 s after the frame (alignment.lag)" in result.stdout

    result = call(
        "train", store, "--out", run, *SMALL, "--held-out", "sim0mouse02", "--seed", 4, "--steps", 4, "--json"
    )
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert [key.split("_")[0] for key in values["held_out"]] == ["sub-sim0mouse02"]
    assert values["steps"] == 4
    assert call("train", store, "--out", run).exit_code == 3

    result = call("evaluate", run)
    assert result.exit_code == 0, result.stderr
    assert "the untrained model" in result.stdout
    result = call("attribute", run, "--session", values["held_out"][0])
    assert result.exit_code == 0, result.stderr
    assert "16 frames, score, fisher and gradient_x_input" in result.stdout
    assert "subpopulations    One subpopulation: " in result.stdout
    assert "stimulus regions  Attribution is " in result.stdout
    result = call("annotate", run, "--session", values["held_out"][0], "--json")
    assert result.exit_code == 0, result.stderr
    assert Path(json.loads(result.stdout)["annotated"][0]).is_file()
    (tmp_path / "empty").mkdir()
    refused = call("annotate", run, "--source-folder", tmp_path / "empty")
    assert refused.exit_code == 3
    # Of nothing there is nothing to check next.
    assert "Next" not in refused.stdout
    result = call("report", run)
    assert (result.exit_code, result.stdout.strip()) == (0, str(run / "report.html"))


def _attributed(**changes: object) -> pipeline.AttributedSession:
    frames = np.arange(4)
    attribution = SessionAttribution(
        session="sub-1",
        methods={"fisher": MethodAttribution(*[np.zeros((4, 3))] * 2, *[np.zeros((4, 0, 0))] * 2, signed=False)},
        time=frames / 30,
        stop_time=(frames + 1) / 30,
        row=frames,
        presentation=frames,
        clip=np.zeros(4, dtype=np.int64),
    )
    groups = SessionSubpopulations(
        session="sub-1",
        method="k-means",
        attribution_method="fisher",
        subpopulation=np.array([0, 0, -1], dtype=np.int32),
        confidence=np.zeros(3, dtype=np.float32),
        profile=np.zeros((1, 4), dtype=np.float32),
        profile_time=frames / 30,
        statistics={"stability": ("of the group", np.array([np.nan]))},
        settings={"finding": "One subpopulation: too few cells."},
    )
    values = {"subpopulations": groups, "not_found": {"regions": "latents were traced to neurons alone"}}
    return pipeline.AttributedSession(attribution, **{**values, **changes})


def test_shorthands_of_attribution_win_over_its_settings(monkeypatch: pytest.MonkeyPatch):
    given: list[list[str]] = []

    def attribute(run: Path, *, settings: list[str], **others: object) -> dict[str, object]:
        given.append(settings)
        return {}

    monkeypatch.setattr(pipeline, "attribute", attribute)
    options = ["--of", "private", "--to", "neurons", "--method", "fisher", "--method", "occlusion"]
    assert call("attribute", "run", *options, "--set", "attribution.of=shared").exit_code == 0
    configuration = pipeline.PipelineConfiguration().changed(given[0]).attribution
    assert configuration.of == "private"
    assert configuration.to == ("neurons",)
    assert configuration.methods == ("fisher", "occlusion")
    assert call("attribute", "run").exit_code == 0
    assert given[1] == []
    assert call("attribute", "run", "--method", "fishing").exit_code == 2


def test_every_choice_of_attribution_is_an_option():
    for options, choices in (("Method", MethodName), ("Source", SourceName), ("Block", BlockName)):
        assert [str(each) for each in getattr(cli_attribute, options)] == list(get_args(choices))


def test_what_was_found_is_said_in_words_and_as_values(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pipeline, "attribute", lambda *args, **settings: {"sub-1": _attributed()})
    words = call("attribute", "run").stdout
    assert "sub-1: 4 frames, fisher" in words
    assert "subpopulations    One subpopulation: too few cells." in words
    assert "stimulus regions  none, since latents were traced to neurons alone" in words
    found = json.loads(call("attribute", "run", "--json").stdout)["attribution"]["sub-1"]
    assert found["subpopulations"]["finding"] == "One subpopulation: too few cells."
    assert found["subpopulations"]["cells"] == [2]
    assert found["subpopulations"]["cells_in_none"] == 1
    assert found["subpopulations"]["statistics"] == {"stability": [None]}
    assert found["regions"] is None
    assert found["not_found"] == {"regions": "latents were traced to neurons alone"}


def test_groups_found_within_clips_are_said_to_be_weak_evidence(monkeypatch: pytest.MonkeyPatch):
    found = _attributed()
    assert found.subpopulations is not None
    for courses, weak in (("within a clip", True), ("around onsets of the stimulus", False)):
        groups = dataclasses.replace(
            found.subpopulations,
            profile=np.zeros((2, 4), dtype=np.float32),
            statistics={},
            settings={"finding": "2 subpopulations.", "time_courses": courses, "onsets": 40},
        )
        attributed = _attributed(subpopulations=groups)
        monkeypatch.setattr(pipeline, "attribute", lambda *args, made=attributed, **settings: {"sub-1": made})
        said = "2 subpopulations. Groups found within clips are weak evidence"
        assert (f"subpopulations    {said}" in call("attribute", "run").stdout) == weak
        values = json.loads(call("attribute", "run", "--json").stdout)["attribution"]["sub-1"]["subpopulations"]
        assert values["finding"].startswith(said) == weak


@pytest.mark.slow
def test_stimulus_regions_are_values_too(finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch):
    path = next((finished_run.run / "regions").iterdir())
    regions = SessionStimulusRegions.load(path)
    monkeypatch.setattr(
        pipeline, "attribute", lambda *args, **settings: {"sub-1": _attributed(regions=regions, not_found={})}
    )
    values = json.loads(call("attribute", "run", "--json").stdout)["attribution"]["sub-1"]["regions"]
    assert set(values["statistics"]) == set(regions.statistics)
    assert values["strongest"] == regions.strongest()
    luminance = values["statistics"]["luminance"]
    assert luminance["finding"] == regions.in_words()["luminance"]
    assert luminance["effect"]["shifted"] == regions.effect[0, 0, 0]
    # Two clips: there is no other clip to speak of.
    assert luminance["effect"]["other_clip"] is None
    assert f"stimulus regions  {regions.in_words()[regions.strongest()]}" in call("attribute", "run").stdout


@pytest.mark.slow
def test_counted_held_out_animals(finished_run: FinishedRun, tmp_path: Path):
    result = call(
        "train", finished_run.store, "--out", tmp_path / "run", *SMALL, "--held-out", 2, "--steps", 2, "--json"
    )
    assert result.exit_code == 0, result.stderr
    assert len(json.loads(result.stdout)["held_out"]) == 2


@pytest.mark.slow
def test_interrupted_training_leaves_a_run_to_go_on_with(finished_run: FinishedRun, tmp_path: Path):
    run = tmp_path / "run"
    arguments = ["train", finished_run.store, "--out", run, *SMALL, "--steps", 100_000, "--quiet"]
    process = subprocess.Popen(program(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "checkpoint" / "state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert f"Go on with: nwb-mivae train {finished_run.store} --out {run} --resume" in err
    assert "Traceback" not in err
    assert not list(run.rglob("*.partial*"))
    assert call("evaluate", run).exit_code == 3
    assert "--resume" in call("evaluate", run).stderr


@pytest.mark.parametrize(("begun", "advice"), [(True, "--out 'my runs/a' --resume"), (False, "Run the same command")])
def test_the_advice_after_an_interruption_can_be_followed(
    begun: bool, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object, **__: object) -> None:
        if begun:
            Path("my runs/a").mkdir(parents=True)
            Path("my runs/a/configuration.yaml").touch()
            Path("my runs/a/split.json").touch()
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "train", interrupted)
    result = call("train", "store", "--out", "my runs/a")
    assert result.exit_code == 130
    assert advice in result.stderr


@pytest.mark.slow
def test_the_demo_prints_one_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished_run: FinishedRun):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    result = call("demo", tmp_path / "full", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"] == "OutputError"

    figures = json.loads((finished_run.run.parent / "demo.json").read_text())
    made = pipeline.DemoResult(figures, finished_run.run / "report.html", [Path("a.nwb")])
    monkeypatch.setattr(pipeline, "demo", lambda *args, **settings: made)
    assert json.loads(call("demo", tmp_path / "new", "--json").stdout) == figures
    words = call("demo", tmp_path / "new").stdout
    assert "An animal the model was never trained on" in words
    assert "chance" in words
    assert "a.nwb" in words
    assert "report.html" in words
    assert "too few test clips" in pipeline.DemoResult({**figures, "held_out": None}, made.report, []).in_words()
