"""The user's object: train, use on other animals, ask, save, load; and what it says where something is missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nwb_mivae import MiVAE, read_annotations
from nwb_mivae.attribution import AttributionConfiguration
from nwb_mivae.clips import ClipStore, SplitConfiguration, make_split
from nwb_mivae.errors import AnnotationError, ModelError, OutputError, StoreError
from nwb_mivae.evaluation import EvaluationConfiguration
from nwb_mivae.inference import BLOCKS, SessionLatents
from nwb_mivae.run import Run
from tests.clip_stores import make_store
from tests.finished_run import FinishedRun, finished_run_of
from tests.tiny_model import FRAMES, HEIGHT, WIDTH, tiny_configuration
from tests.tiny_run import HELD_OUT, HELD_OUT_SUBJECT, tiny_episodes, tiny_store, tiny_training

QUICK = EvaluationConfiguration(control_draws=1, pair_shuffles=2, untrained_context_clips=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return tiny_store(tmp_path_factory.mktemp("stores") / "store")


@pytest.fixture(scope="session")
def finished_run(request: pytest.FixtureRequest) -> FinishedRun:
    return finished_run_of(request)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run.at(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def fitted(store: ClipStore, run: Run) -> MiVAE:
    return MiVAE(tiny_configuration()).fit(
        store,
        run.directory,
        split=SplitConfiguration(held_out=[HELD_OUT_SUBJECT]),
        training=tiny_training(),
        episodes=tiny_episodes(),
    )


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """Two animals nobody trained on, with other numbers of cells and other movies."""
    return other_store(tmp_path_factory.mktemp("stores") / "others")


def other_store(folder: Path, **changes: Any) -> ClipStore:
    settings: dict[str, Any] = {
        "sessions": 2,
        "cells": (9, 4),
        "seconds": 8.0,
        "height": HEIGHT,
        "width": WIDTH,
        "movie_frames": 24,
        "seed": 5,
    }
    store = make_store(folder, **(settings | changes))
    # The makers name animals alike; these are others.
    for number, session in enumerate(store.sessions.values()):
        object.__setattr__(session, "subject", f"stranger-{number}")
    return store


def same(first: SessionLatents, second: SessionLatents) -> bool:
    return all(
        np.array_equal(a, b) for name in BLOCKS for a, b in zip(first.blocks[name], second.blocks[name], strict=True)
    )


def test_fit_trains_holds_the_animal_out_and_says_what_it_is(fitted: MiVAE, run: Run) -> None:
    assert fitted.split.held_out_sessions == (HELD_OUT,)
    assert run.model.is_dir()
    assert fitted.configuration == tiny_configuration()
    parameters = sum(parameter.numel() for parameter in fitted.module.parameters())
    assert repr(fitted) == f"MiVAE (contextual, {parameters:,} parameters, 3 sessions)"
    assert not fitted.module.training


def test_fit_refuses_clips_that_a_session_does_not_have_before_training(store: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="clip"):
        MiVAE(tiny_configuration()).fit(
            store, tmp_path / "run", training=tiny_training(), episodes=tiny_episodes(clip_frames=60)
        )
    assert not (tmp_path / "run").exists()


def test_fit_goes_on_from_a_checkpoint_to_the_same_weights(
    fitted: MiVAE, store: ClipStore, run: Run, tmp_path: Path
) -> None:
    shutil.copytree(run.checkpoint, tmp_path / "run" / "checkpoint")
    again = MiVAE(tiny_configuration()).fit(
        store,
        tmp_path / "run",
        split=SplitConfiguration(held_out=[HELD_OUT_SUBJECT]),
        training=tiny_training(),
        episodes=tiny_episodes(),
        resume=True,
    )
    for name, value in fitted.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[name])


def test_latents_of_an_animal_never_trained_on(fitted: MiVAE, store: ClipStore) -> None:
    latents = fitted.latents(HELD_OUT)
    assert latents.session == HELD_OUT
    assert latents.context["clips"] > 0
    assert set(latents.blocks) == set(BLOCKS)
    assert latents.blocks["neural_shared"].mean.shape == (len(latents.time), 4)
    assert np.isfinite(latents.blocks["neural_shared"].mean).all()


def test_the_context_is_computed_once_per_session(fitted: MiVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    known = fitted.context("session-0")
    assert known is not None

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("nwb_mivae.inference.session_context", never)
    again = fitted.context("session-0")
    assert again is not None
    assert torch.equal(known.fingerprints, again.fingerprints)


def test_generates_frames_from_activity_and_traces_from_frames(fitted: MiVAE, store: ClipStore) -> None:
    starts = fitted.split.clip_starts(store.sessions[HELD_OUT], "test", n_frames=FRAMES, stride=FRAMES)[:2]
    frames = fitted.generate(HELD_OUT, starts, "frames")
    traces = fitted.generate(HELD_OUT, starts, "traces")
    assert frames.shape == (2, FRAMES, HEIGHT, WIDTH)
    assert frames.min() > 0
    assert frames.max() < 1
    assert traces.shape == (2, FRAMES, store.sessions[HELD_OUT].n_cells)
    assert frames.dtype == traces.dtype == np.float32
    with pytest.raises(ModelError, match="frames or traces"):
        fitted.generate(HELD_OUT, starts, "pixels")  # type: ignore[arg-type]


def test_evaluates_and_attributes(fitted: MiVAE) -> None:
    evaluation = fitted.evaluate(QUICK)
    assert evaluation.sessions[HELD_OUT]["held_out"]
    assert not evaluation.sessions["session-0"]["held_out"]
    attribution = fitted.attribute(HELD_OUT, AttributionConfiguration(clips=1, methods=("score",)))
    assert attribution.methods["score"].neurons.shape == (FRAMES, 5)


def test_used_on_animals_never_seen_every_one_of_them_is_held_out(run: Run, others: ClipStore) -> None:
    model = MiVAE.load(run.directory).use(others)
    assert repr(model).endswith("2 sessions)")
    assert model.split.train_sessions == ()
    assert model.split.held_out_sessions == tuple(others.sessions)
    assert {part: int((model.split.part_of_content == part).sum()) > 0 for part in (0, 2)} == {0: True, 2: True}
    latents = model.latents("session-1")
    assert latents.context["clips"] > 0
    evaluation = model.evaluate(QUICK)
    assert all(session["held_out"] for session in evaluation.sessions.values())
    assert evaluation.summary["trained"] is None


def test_an_animal_the_model_was_trained_on_never_counts_as_held_out(
    run: Run, others: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(others.sessions["session-0"].__dict__, "subject", "mouse-0")
    model = MiVAE.load(run.directory).use(others)
    assert model.split.train_sessions == ("session-0",)
    assert model.split.held_out_sessions == ("session-1",)


def test_a_split_of_ones_own_is_used_and_that_of_another_store_refused(
    fitted: MiVAE, run: Run, others: ClipStore
) -> None:
    split = make_split(others, SplitConfiguration(held_out=1))
    assert MiVAE.load(run.directory).use(others, split).split is split
    with pytest.raises(StoreError, match="digest"):
        MiVAE.load(run.directory).use(others, fitted.split)
    with pytest.raises(StoreError, match="digest"):
        MiVAE.load(run.directory, others)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"height": HEIGHT + 4}, "frames of"),
        ({"frame_rate": 60.0, "seconds": 4.0}, "frames per second"),
        ({"trace_kind": "spikes"}, "kind spikes"),
    ],
)
def test_refuses_sessions_that_are_not_like_those_it_was_trained_on(
    run: Run, tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    model = MiVAE.load(run.directory)
    with pytest.raises(ModelError, match=found):
        model.use(other_store(tmp_path / "store", **changes))
    with pytest.raises(ModelError, match="without sessions"):
        _ = model.store


def test_refuses_other_auxiliary_variables(run: Run, others: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(others.sessions["session-0"].__dict__, "auxiliary_names", ("running",))
    with pytest.raises(ModelError, match="auxiliary"):
        MiVAE.load(run.directory).use(others)


def test_a_loaded_run_gives_the_same_latents(fitted: MiVAE, run: Run, store: ClipStore) -> None:
    loaded = MiVAE.load(run.directory, store)
    assert loaded.configuration == fitted.configuration
    assert loaded.split.as_dict() == fitted.split.as_dict()
    assert same(loaded.latents(HELD_OUT), fitted.latents(HELD_OUT))


def test_a_saved_model_is_the_same_and_still_knows_where_it_came_from(
    fitted: MiVAE, run: Run, others: ClipStore, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "model")
    assert (tmp_path / "model" / "model.json").read_bytes() == (run.model / "model.json").read_bytes()
    loaded = MiVAE.load(tmp_path / "model").use(others)
    assert same(loaded.latents("session-0"), MiVAE.load(run.directory).use(others).latents("session-0"))
    loaded.save(tmp_path / "model")


def test_saving_over_a_run_is_refused_and_loses_nothing(fitted: MiVAE, run: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.directory, tmp_path / "run"))
    before = sorted(path.relative_to(copy) for path in copy.rglob("*"))
    with pytest.raises(OutputError, match="other than a model"):
        fitted.save(copy)
    assert sorted(path.relative_to(copy) for path in copy.rglob("*")) == before


def test_says_what_is_missing(fitted: MiVAE, run: Run, others: ClipStore, tmp_path: Path) -> None:
    untrained = MiVAE()
    assert repr(untrained) == "MiVAE (not trained)"
    with pytest.raises(ModelError, match="not trained"):
        untrained.latents("session-0")
    with pytest.raises(ModelError, match="not trained"):
        untrained.use(others)
    with pytest.raises(ModelError, match="not trained"):
        untrained.save(tmp_path / "model")
    without_store = MiVAE.load(run.directory)
    assert repr(without_store).endswith("no sessions)")
    with pytest.raises(ModelError, match="without sessions"):
        without_store.latents("session-0")
    with pytest.raises(ModelError, match="without a split"):
        _ = without_store.split
    for ask in (fitted.latents, fitted.attribute, fitted.context):
        with pytest.raises(ModelError, match="session-0"):
            ask("nobody")
    with pytest.raises(ModelError, match="session-0"):
        fitted.generate("nobody", np.array([0]), "frames")
    with pytest.raises(ModelError, match="no trained model"):
        MiVAE.load(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_what_is_computed_follows_the_module_to_its_device(run: Run, store: ClipStore) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no second device")
    model = MiVAE.load(run.directory, store)
    expected = model.latents(HELD_OUT)
    model.module.to("cuda")
    latents = model.latents(HELD_OUT)
    for name in BLOCKS:
        np.testing.assert_allclose(latents.blocks[name].mean, expected.blocks[name].mean, atol=1e-2)
    starts = model.split.clip_starts(store.sessions[HELD_OUT], "test", n_frames=FRAMES, stride=FRAMES)[:2]
    assert model.generate(HELD_OUT, starts, "frames").shape == (2, FRAMES, HEIGHT, WIDTH)
    assert model.generate(HELD_OUT, starts, "traces").shape == (2, FRAMES, 5)
    assert model.evaluate(QUICK).sessions
    assert model.attribute(HELD_OUT, AttributionConfiguration(clips=1)).methods


@pytest.mark.slow
def test_annotates_with_what_it_is_given_and_only_with_the_weights_it_has_on_disk(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    store = ClipStore.open(finished_run.store)
    model = MiVAE.load(finished_run.run, store)
    key = model.split.held_out_sessions[0]
    out = model.annotate(key, out=tmp_path / "companion.nwb", form="companion", attribution=model.attribute(key))
    annotations = read_annotations(out)
    annotations.model.check(finished_run.run)
    assert annotations.attribution is not None
    assert annotations.subpopulations is not None
    assert annotations.metrics is None
    pixels = model.attribute(key, to="pixels", method="fisher")
    out = model.annotate(key, out=tmp_path / "pixels.nwb", form="companion", attribution=pixels)
    assert read_annotations(out).subpopulations is None
    trained_on = {store.sessions[session].source["object_id"] for session in model.split.train_sessions}
    assert {session.object_id for session in annotations.model.training_sessions} == trained_on
    with torch.no_grad():
        next(model.module.parameters()).add_(1.0)
    with pytest.raises(AnnotationError, match="weights"):
        model.annotate(key, out=tmp_path / "other.nwb")
