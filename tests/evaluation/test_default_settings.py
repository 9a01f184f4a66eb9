"""Default settings on small versions of every kind of recording: they train, stay finite, and read an unseen animal.

The kinds are those of the benchmark ``tests.benchmarks.defaults``, shorter, and with few steps: what is asked here is
that nothing about a kind breaks the defaults, not how good they are.
"""

from __future__ import annotations

import copy
import csv
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom

from nwb_mivae.clips import ClipStore, EpisodeConfiguration, EpisodeSampler, Split
from nwb_mivae.evaluation import Evaluation, EvaluationConfiguration, evaluate
from nwb_mivae.model import MiVAEModule, ModelConfiguration
from nwb_mivae.run import Run
from nwb_mivae.training import TrainingConfiguration, fit, make_module
from tests.benchmarks.defaults.kinds import KINDS, Kind
from tests.benchmarks.defaults.recordings import material

pytestmark = pytest.mark.slow

STEPS = 8
EPISODES = EpisodeConfiguration()


def _small(name: str, minutes: float = 1.5, **changes: int) -> Kind:
    return replace(KINDS[name], trained=2, minutes=minutes, test_clips=40, steps=STEPS, **changes)


SMALL = {
    kind.name: kind
    for kind in (
        _small("few_cells", minutes=3.0),
        # More inputs than frames of context, so that the ridge takes its dual form.
        _small("many_cells", minutes=1.2, cells=600, planes=2),
        _small("slow_imaging"),
        _small("fast_both"),
        _small("deconvolved"),
        _small("spikes"),
    )
}


@dataclass(frozen=True)
class Trained:
    """A few steps with defaults on one kind, and what came of them."""

    kind: Kind
    store: ClipStore
    split: Split
    untrained: MiVAEModule
    module: MiVAEModule
    log: list[dict[str, float]]
    evaluation: Evaluation


@pytest.fixture(scope="module", params=list(SMALL))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    kind = SMALL[request.param]
    folder = tmp_path_factory.mktemp(kind.name)
    store, split = material(kind, folder / "data", n_frames=EPISODES.clip_frames)
    run = Run.at(folder / "run")
    training = TrainingConfiguration(steps=STEPS, log_every=1, validation_clips=0, accelerator="cpu")
    model = ModelConfiguration(stimulus_encoder="front_end")
    # Not made a second time: what a module begins with is fitted to the recordings, which takes as long as the steps.
    begun: list[MiVAEModule] = []

    def kept(*given: Any, **more: Any) -> MiVAEModule:
        made = make_module(*given, **more)
        begun.append(copy.deepcopy(made))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nwb_mivae.training.loop.make_module", kept)
        module = fit(store, split, run, model=model, training=training)
    (untrained,) = begun
    with run.training_log.open(encoding="utf-8", newline="") as file:
        log = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    judged = EvaluationConfiguration(clips=kind.test_clips, control_draws=1)
    return Trained(kind, store, split, untrained, module, log, evaluate(module, store, split, configuration=judged))


def test_the_recording_is_of_its_kind(trained: Trained) -> None:
    session = trained.store.sessions[trained.split.held_out_sessions[0]]
    assert session.n_cells == trained.kind.cells
    assert session.trace_kind == trained.kind.trace_kind
    assert session.frame_rate == pytest.approx(trained.kind.frame_rate, rel=1e-3)
    activity = np.asarray(session.neural[session.valid], dtype=np.float64)
    if trained.kind.trace_kind == "spikes":
        np.testing.assert_array_equal(activity, activity.round())
    else:
        assert session.report["neural_rate"] == pytest.approx(trained.kind.imaging_rate, rel=1e-3)
    if trained.kind.trace_kind == "deconvolved":
        assert activity.min() == 0
        assert 0.05 < (activity > 0).mean() < 0.95
    frames = EPISODES.context_clips * EPISODES.clip_frames
    sums = trained.module.context_builder.sums(session.n_cells, frames)
    assert sums.primal is (trained.kind.name != "many_cells")


def test_training_lowers_the_loss_and_stays_finite(trained: Trained) -> None:
    assert len(trained.log) == STEPS
    assert all(math.isfinite(value) for row in trained.log for value in row.values())
    assert all(bool(torch.isfinite(value).all()) for value in trained.module.state_dict().values())
    # On the same clips: the loss of single steps differs more by what was drawn than by eight steps.
    sampler = EpisodeSampler(trained.store, trained.split, EPISODES, seed=1)
    with torch.no_grad():
        before, after = (
            [float(module.loss(sampler.draw(step)).total) for step in range(2)]
            for module in (trained.untrained, trained.module)
        )
    assert np.mean(after) < np.mean(before)


@pytest.mark.parametrize("condition", ["with_context", "untrained_readout"])
def test_an_unseen_animal_is_read_beyond_chance_and_beyond_shuffled_pairs(trained: Trained, condition: str) -> None:
    (key,) = trained.split.held_out_sessions
    conditions = trained.evaluation.sessions[key]["conditions"]
    found, shuffled = conditions[condition], conditions["shuffled_pairs"]["top1"]
    assert trained.split.content_disjoint
    assert found["top1"] is not None
    assert found["chance"] is not None
    assert shuffled is not None
    hits = round(found["top1"] * found["n_clips"])
    assert binom.sf(hits - 1, found["n_clips"], found["chance"]) < 1e-3
    assert found["top1"] > 3 * shuffled
    assert conditions["shuffled_pairs"]["centred_r"] < 0.1 < conditions["with_context"]["centred_r"]
