"""The benchmark on real animals, on those animals: what positions are, and that nothing of a test trial gets around."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nwb_mivae.clips import PARTS, EpisodeConfiguration, load_clips
from nwb_mivae.inference import session_context
from nwb_mivae.model import MiVAEModule, ModelConfiguration
from nwb_mivae.training import make_module
from tests.benchmarks.alignment.recordings import judging
from tests.benchmarks.alignment.recordings.__main__ import main
from tests.benchmarks.alignment.recordings.animals import SOURCE, Animals, animals_of, folds, split_without
from tests.benchmarks.alignment.recordings.judging import CONDITIONS, shared_latents
from tests.benchmarks.alignment.recordings.positions import PositionedClips, middle_of, positioned_clips

FRAMES = 16
#: What the command is run on: of the eight animals one with a single ROI and three with several, their first trials.
EXCERPT = ("408021", "413663", "433414", "440889")
TRIALS = 40


@pytest.fixture(scope="module")
def animals(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Animals:
    return animals_of(real_data / SOURCE, tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def module(animals: Animals) -> MiVAEModule:
    split = split_without(animals.store, animals.store.subjects[:2], FRAMES)
    return make_module(animals.store, split, ModelConfiguration(), EpisodeConfiguration(), seed=0).eval()


def test_positions_and_activity_are_those_of_the_recorded_trials(animals: Animals, real_data: Path) -> None:
    store = animals.store
    split = split_without(store, store.subjects[:1], FRAMES)
    table = json.loads((real_data / SOURCE).read_text())["ex_traces_df"]
    for key, stored in store.sessions.items():
        clips = positioned_clips(store, split, key, "test", FRAMES)
        middle = clips.starts + middle_of(FRAMES)
        first = np.searchsorted(stored.segment, clips.trial)
        # Seconds from the onset of U: A from -0.9, B from -0.6, C from -0.3.
        since = stored.time[middle] - stored.time[first] - 0.9
        np.testing.assert_array_equal(clips.position, np.floor((since + 0.9 + 1e-6) / 0.3))
        assert np.unique(clips.position).tolist() == [0, 1, 2, 3]
        rows = [row for row, mouse in table["mouseids"].items() if str(mouse) == stored.subject]
        assert len(rows) == stored.n_cells
        for cell, row in enumerate(rows):
            recorded = [
                np.interp(when + stored.report["lag"], table["time_values"][row], table["traces_sm"][row][trial])
                for when, trial in zip(since, clips.trial, strict=True)
            ]
            # Activity was brought to the frames' clock by filtering, so that it is not exactly what was recorded.
            assert np.corrcoef(recorded, stored.neural[middle, cell].astype(float))[0, 1] > 0.95


def test_parts_are_whole_trials_and_alike_in_every_fold(animals: Animals) -> None:
    store = animals.store
    found = [split_without(store, fold, FRAMES) for fold in folds(store.subjects, 2)]
    assert sorted(key for split in found for key in split.held_out_sessions) == sorted(store.sessions)
    for key in store.sessions:
        trials = [set(positioned_clips(store, found[0], key, part, FRAMES).trial) for part in PARTS]
        assert all(trials)
        assert sum(map(len, trials)) == len(set.union(*trials))
        for split in found[1:]:
            np.testing.assert_array_equal(split.part_of_presentation[key], found[0].part_of_presentation[key])


def test_latents_of_a_test_clip_know_its_activity_and_nothing_else(
    animals: Animals, module: MiVAEModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = animals.store
    split = split_without(store, store.subjects[:2], FRAMES)
    key = split.held_out_sessions[1]
    test = positioned_clips(store, split, key, "test", FRAMES)
    some = PositionedClips(key, test.starts[:30], test.position[:30], test.trial[:30])
    context = session_context(module, store, split, key)
    assert context is not None
    latents = shared_latents(module, store, split, some, context)
    assert latents.std(axis=0).max() > 1e-3

    # Neither the frames of the clip nor running, pupil and time change them.
    def elsewhere(*given, **more):
        batch = load_clips(*given, **more)
        return replace(batch, stimulus=torch.zeros_like(batch.stimulus), auxiliary=batch.auxiliary + 3.0)

    monkeypatch.setattr(judging, "load_clips", elsewhere)
    np.testing.assert_array_equal(shared_latents(module, store, split, some, context), latents)

    # Silence at any position is the same: the place in the clip does not tell where in the sequence it is.
    def silent(*given, **more):
        batch = load_clips(*given, **more)
        return replace(batch, neural=torch.zeros_like(batch.neural))

    monkeypatch.setattr(judging, "load_clips", silent)
    quiet = shared_latents(module, store, split, some, context)
    np.testing.assert_allclose(quiet, np.broadcast_to(quiet[0], quiet.shape), atol=1e-5)


@pytest.fixture
def excerpt(real_data: Path, tmp_path: Path) -> Path:
    """The first trials of the animals of :data:`EXCERPT`, where the command looks for all trials of all animals."""
    published = json.loads((real_data / SOURCE).read_text())
    table = published["ex_traces_df"]
    rows = [row for row, mouse in table["mouseids"].items() if str(mouse) in EXCERPT]
    some = {name: {row: column[row] for row in rows} for name, column in table.items()}
    some["traces_sm"] = {row: trials[:TRIALS] for row, trials in some["traces_sm"].items()}
    path = tmp_path / "real" / SOURCE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"ex_traces_df": some}))
    return tmp_path / "real"


@pytest.mark.slow
def test_the_command_measures_once_and_writes_its_page(excerpt: Path, tmp_path: Path, capsys) -> None:
    command = ["--real-data", str(excerpt), "--out", str(tmp_path), "--steps", "2", "--control-draws", "2"]
    command += ["--fold-size", "2", "--stimulus-encoder", "front_end", "--seeds"]
    page = tmp_path / "page.md"
    main([*command, "0"])
    (path,) = tmp_path.glob("recordings-*.json")
    found = json.loads(path.read_text())
    assert len(found["figures"]) == len(found["animals"]) == len(EXCERPT)
    assert {animal["rois"] == 1 for animal in found["animals"].values()} == {True, False}
    assert found["data"]["content_disjoint"] is False
    for key, figures in found["figures"].items():
        assert set(figures) == set(CONDITIONS)
        single = found["animals"][key]["rois"] == 1
        assert (figures["permuted_neurons"]["own"] is None) == single
        assert figures["shuffled_pairs"]["own"] == pytest.approx(0.25, abs=0.1)
    # Animals with reliable cells: their own activity tells the position far above chance.
    assert np.mean([figures["activity"]["own"] for figures in found["figures"].values()]) > 0.4
    before = path.read_bytes()
    capsys.readouterr()
    main([*command, "0", "--page", str(page)])
    assert "is there" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert "# Real animals" in page.read_text()
