"""A run with every step done, on three small simulated animals: made once per test process, never changed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from nwb_mivae import pipeline
from nwb_mivae.simulation import SimulationConfiguration

SMALL_ANIMALS = {
    "animals": 3,
    "minutes": 0.45,
    "cells": (20, 30),
    "height": 16,
    "width": 24,
    "movie_seconds": 3.0,
    "movies_per_block": 3,
    "shared_fraction": 0.7,
}
SMALL_PIPELINE = {
    "clips.height": 16,
    "clips.width": 24,
    "split.held_out": 1,
    "split.test_fraction": 0.4,
    "episodes.clip_frames": 8,
    "episodes.clips_per_session": 4,
    "episodes.context_clips": 8,
    "model.shared_latents": 4,
    "model.stimulus_features": 8,
    "model.stimulus_channels": 4,
    "model.hidden_size": 16,
    "model.population_size": 16,
    "model.descriptor_size": 16,
    "training.steps": 6,
    "training.warmup_steps": 2,
    "training.log_every": 2,
    "training.validate_every": 3,
    "training.validation_clips": 4,
    "training.checkpoint_every": 2,
    "evaluation.control_draws": 1,
    "attribution.clips": 2,
    "attribution.probes": 2,
}


def small_animals() -> SimulationConfiguration:
    return SimulationConfiguration.from_mapping(SMALL_ANIMALS)


def small_pipeline() -> pipeline.PipelineConfiguration:
    return pipeline.PipelineConfiguration().changed(SMALL_PIPELINE)


@dataclass(frozen=True)
class FinishedRun:
    """Folders of the recordings, the clip store and the run, side by side."""

    recordings: Path
    store: Path
    run: Path

    def copied_to(self, folder: Path) -> FinishedRun:
        """A copy that a test may change, with the same places relative to each other."""
        for part in (self.store, self.run):
            shutil.copytree(part, folder / part.name)
        return FinishedRun(self.recordings, folder / self.store.name, folder / self.run.name)


_KEY = pytest.StashKey[FinishedRun]()


def finished_run_of(request: pytest.FixtureRequest) -> FinishedRun:
    """The one run of this test process, for the fixtures of several folders."""
    if _KEY not in request.config.stash:
        folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("finished")
        result = pipeline.demo(folder, simulation=small_animals(), configuration=small_pipeline())
        assert result.annotated
        request.config.stash[_KEY] = FinishedRun(folder / "recordings", folder / "store", folder / "run")
    return request.config.stash[_KEY]
