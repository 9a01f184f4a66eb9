"""The training loop: what it learns from, that it repeats and resumes bit for bit, and what it refuses."""

from __future__ import annotations

import csv
import pickletools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nwb_mivae.clips import ClipStore, EpisodeSampler, Split
from nwb_mivae.clips.batch import Episode
from nwb_mivae.errors import TrainingError
from nwb_mivae.model import LossWeights, MiVAEModule, load_module
from nwb_mivae.outputs import read_json
from nwb_mivae.run import Run
from nwb_mivae.training import fit, make_module, read_training_log
from tests.tiny_model import FRAMES, HEIGHT, WIDTH, tiny_configuration
from tests.tiny_run import HELD_OUT, tiny_episodes, tiny_split, tiny_store, tiny_training


def _fit(
    store: ClipStore, split: Split, folder: Path, *, resume: bool = False, progress: Any = None, **training: Any
) -> MiVAEModule:
    return fit(
        store,
        split,
        Run.at(folder),
        model=tiny_configuration(),
        training=tiny_training(**training),
        episodes=tiny_episodes(),
        resume=resume,
        progress=progress,
    )


def _assert_same_weights(one: MiVAEModule, other: MiVAEModule) -> None:
    state = other.state_dict()
    assert list(one.state_dict()) == list(state)
    for name, value in one.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.fixture(scope="module")
def finished(store: ClipStore, split: Split, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, MiVAEModule]:
    """A run of six steps that was never interrupted."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return Run.at(folder), _fit(store, split, folder)


def test_a_run_holds_everything_its_result_came_from(
    finished: tuple[Run, MiVAEModule], store: ClipStore, split: Split
) -> None:
    run, module = finished
    assert not module.training
    assert next(module.parameters()).device.type == "cpu"
    _assert_same_weights(load_module(run.model), module)
    assert Split.load(run.split).as_dict() == split.as_dict()
    record = read_json(run.provenance)
    assert record["store"] == store.digest
    assert record["training"]["seed"] == 0
    assert record["model"]["shared_latents"] == 4
    assert record["episodes"]["clip_frames"] == FRAMES
    # The model goes to other people, without what is only of this machine, or says it of every frame of the store.
    travels = read_json(run.model / "model.json")["provenance"]
    assert set(record) - set(travels) == {"command", "platform"}
    assert set(travels["split"]) == {"configuration", "train_sessions", "held_out_sessions"}
    assert all(travels[name] == record[name] for name in travels if name != "split")
    trained_on = [store.sessions[key] for key in split.train_sessions]
    assert [file["object_id"] for file in record["train_files"]] == [each.source["object_id"] for each in trained_on]
    assert all("/" not in file["file_name"] for file in record["train_files"])
    assert module.shape.as_dict() == {
        "height": HEIGHT,
        "width": WIDTH,
        "n_auxiliary": 3,
        "trace_kind": "dff",
        "frame_rate": pytest.approx(30.0),
        "clip_frames": FRAMES,
    }


def test_the_log_has_every_term_of_every_step(finished: tuple[Run, MiVAEModule]) -> None:
    run, _ = finished
    with run.training_log.open(newline="", encoding="utf-8") as stream:
        header = next(csv.reader(stream))
    assert header[0] == "step"
    assert set(header) >= {
        "total",
        "learning_rate",
        "gradient_norm",
        "matched",
        "active_units",
        *LossWeights.model_fields,
    }
    rows = read_training_log(run.training_log)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    weights = LossWeights().model_dump()
    for row in rows:
        assert row["total"] == pytest.approx(sum(weights[name] * row[name] for name in weights), rel=1e-3)
        assert row["gradient_norm"] > 0
    assert [row["step"] for row in rows if "validation_matched" in row] == [3, 6]


def test_the_learning_rate_warms_up_and_follows_a_cosine_to_nothing(finished: tuple[Run, MiVAEModule]) -> None:
    run, _ = finished
    rates = [row["learning_rate"] for row in read_training_log(run.training_log)]
    peak = tiny_training().learning_rate
    expected = [peak / 2, peak, *(peak * 0.5 * (1 + np.cos(np.pi * step / 4)) for step in range(4))]
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def test_no_file_of_a_run_is_a_pickle(finished: tuple[Run, MiVAEModule]) -> None:
    run, _ = finished
    files = [path for path in run.directory.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md", ".csv"}
    assert {path.name for path in run.checkpoint.iterdir()} == {
        "weights.safetensors",
        "optimiser.safetensors",
        "state.json",
    }
    for path in files:
        with pytest.raises((ValueError, IndexError)):
            list(pickletools.genops(path.read_bytes()))


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    finished: tuple[Run, MiVAEModule], store: ClipStore, split: Split, tmp_path: Path
) -> None:
    _, module = finished
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002 - global state must play no part
    # What is written, and how often, must not change what is learned.
    again = _fit(
        store, split, tmp_path / "again", log_every=5, validate_every=6, validation_clips=0, checkpoint_every=9
    )
    _assert_same_weights(again, module)
    other = _fit(store, split, tmp_path / "other", seed=1, steps=1)
    assert not torch.equal(other.neural_shared.weight, module.neural_shared.weight)


class _InterruptionError(Exception):
    """Somebody pulls the plug."""


def test_a_run_that_was_stopped_resumes_to_the_same_weights_bit_for_bit(
    finished: tuple[Run, MiVAEModule], store: ClipStore, split: Split, tmp_path: Path
) -> None:
    whole, module = finished

    def stop(_: str, done: int, total: int) -> None:
        assert total == 6
        if done == 5:
            raise _InterruptionError

    with pytest.raises(_InterruptionError):
        _fit(store, split, tmp_path / "run", progress=stop)
    run = Run.at(tmp_path / "run")
    assert read_json(run.checkpoint / "state.json")["step"] == 4
    assert not run.model.exists()
    steps = []
    resumed = _fit(
        store, split, tmp_path / "run", resume=True, progress=lambda _, done, total: steps.append((done, total))
    )
    assert steps == [(5, 6), (6, 6)]
    _assert_same_weights(resumed, module)
    # The log is that of a run that never stopped: step 5 stands in it once.
    assert run.training_log.read_text() == whole.training_log.read_text()
    assert Split.load(run.split).as_dict() == split.as_dict()


@pytest.mark.parametrize("stopped_at", [0, 1, 5])
def test_an_interruption_by_hand_loses_no_step(
    finished: tuple[Run, MiVAEModule],
    store: ClipStore,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stopped_at: int,
) -> None:
    draw = EpisodeSampler.draw

    def interrupted(sampler: EpisodeSampler, step: int) -> Any:
        if step == stopped_at:
            raise KeyboardInterrupt
        return draw(sampler, step)

    with monkeypatch.context() as patch:
        patch.setattr(EpisodeSampler, "draw", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _fit(store, split, tmp_path / "run")
    run = Run.at(tmp_path / "run")
    assert read_json(run.checkpoint / "state.json")["step"] == stopped_at
    _assert_same_weights(_fit(store, split, tmp_path / "run", resume=True), finished[1])
    assert run.training_log.read_text() == finished[0].training_log.read_text()


def test_an_update_broken_off_is_not_kept(
    store: ClipStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fit(store, split, tmp_path / "run")
    assert not Run.at(tmp_path / "run").checkpoint.exists()


def test_resuming_a_finished_run_changes_nothing(
    finished: tuple[Run, MiVAEModule], store: ClipStore, split: Split
) -> None:
    run, module = finished
    log = run.training_log.read_text()
    _assert_same_weights(_fit(store, split, run.directory, resume=True), module)
    assert run.training_log.read_text() == log


def test_training_again_without_resuming_starts_over(store: ClipStore, split: Split, tmp_path: Path) -> None:
    first = _fit(store, split, tmp_path / "run", steps=2)
    _assert_same_weights(_fit(store, split, tmp_path / "run", steps=2), first)
    assert [row["step"] for row in read_training_log(Run.at(tmp_path / "run").training_log)] == [1, 2]


def test_resuming_without_a_checkpoint_is_refused(store: ClipStore, split: Split, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no checkpoint") as refusal:
        _fit(store, split, tmp_path / "run", resume=True)
    assert refusal.value.file == str(tmp_path / "run" / "checkpoint")
    assert refusal.value.remedy


def test_resuming_with_other_settings_or_data_is_refused(
    finished: tuple[Run, MiVAEModule], store: ClipStore, split: Split, tmp_path: Path
) -> None:
    run, _ = finished
    before = run.training_log.read_text()
    for changes in ({"steps": 7}, {"learning_rate": 1e-3}, {"seed": 1}, {"devices": 2}):
        with pytest.raises(TrainingError, match="other data or other settings"):
            _fit(store, split, run.directory, resume=True, **changes)
    other_split = tiny_split(store, seed=3)
    with pytest.raises(TrainingError, match="other data or other settings"):
        _fit(store, other_split, run.directory, resume=True)
    other_store = tiny_store(tmp_path / "store", seed=1)
    with pytest.raises(TrainingError, match="other data or other settings"):
        _fit(other_store, tiny_split(other_store), run.directory, resume=True)
    assert run.training_log.read_text() == before


@pytest.mark.slow
def test_training_lowers_the_loss(store: ClipStore, split: Split, tmp_path: Path) -> None:
    _fit(store, split, tmp_path / "run", steps=40, learning_rate=1e-2, validation_clips=0, checkpoint_every=100)
    rows = read_training_log(Run.at(tmp_path / "run").training_log)
    first, last = (np.mean([row["total"] for row in part]) for part in (rows[:5], rows[-5:]))
    assert last < first - 0.08


class _Drawn:
    """Notes which episodes the loss was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.episodes: list[Episode] = []
        loss = MiVAEModule.loss

        def noted(module: MiVAEModule, episodes: list[Episode], generator: torch.Generator | None = None) -> Any:
            self.episodes += episodes
            return loss(module, episodes, generator)

        monkeypatch.setattr(MiVAEModule, "loss", noted)


def test_held_out_animals_and_content_give_no_gradient(
    store: ClipStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = _Drawn(monkeypatch)
    _fit(store, split, tmp_path / "run", steps=8, validation_clips=0)
    assert {episode.target.session for episode in drawn.episodes} == {"session-0", "session-1"}
    batches = [batch for episode in drawn.episodes for batch in (episode.target, episode.context) if batch is not None]
    for batch in batches:
        assert batch.session != HELD_OUT
        assert (split.part_of_content[batch.content.numpy()] == 0).all()


def test_held_out_activity_cannot_change_the_weights(
    finished: tuple[Run, MiVAEModule], store: ClipStore, split: Split, tmp_path: Path
) -> None:
    """The strongest form of the same: with the held-out animal's activity replaced by NaN, the weights are the same."""
    _, module = finished
    held_out = store.sessions[HELD_OUT]
    poisoned = replace(held_out, neural=np.full_like(held_out.neural, np.nan))
    other = replace(store, sessions={**store.sessions, HELD_OUT: poisoned})
    _assert_same_weights(_fit(other, split, tmp_path / "run"), module)


def test_validation_looks_at_validation_content_with_training_context(
    store: ClipStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = _Drawn(monkeypatch)
    _fit(store, split, tmp_path / "run", steps=1)
    validation = drawn.episodes[2:]
    assert {episode.target.session for episode in validation} == {"session-0", "session-1"}
    for episode in validation:
        assert 2 <= episode.target.n_clips <= 4
        assert (split.part_of_content[episode.target.content.numpy()] == 1).all()
        assert episode.context is not None
        assert episode.context.n_clips == 8
        assert (split.part_of_content[episode.context.content.numpy()] == 0).all()


def test_without_validation_content_there_is_no_validation(store: ClipStore, tmp_path: Path) -> None:
    split = tiny_split(store, validation_fraction=0.0)
    _fit(store, split, tmp_path / "run", steps=2)
    rows = read_training_log(Run.at(tmp_path / "run").training_log)
    assert all("validation_total" not in row for row in rows)


def test_a_loss_that_is_not_a_number_is_refused_at_its_step_and_nothing_of_it_is_kept(
    store: ClipStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = EpisodeSampler.draw

    def poisoned(sampler: EpisodeSampler, step: int) -> list[Episode]:
        episodes = draw(sampler, step)
        if step == 4:
            episodes[0].target.neural[0, 0, 0] = torch.inf
        return episodes

    monkeypatch.setattr(EpisodeSampler, "draw", poisoned)
    with pytest.raises(TrainingError, match="at step 5") as refusal:
        _fit(store, split, tmp_path / "run")
    assert "neural_reconstruction" in refusal.value.found
    assert "learning_rate" in (refusal.value.remedy or "")
    run = Run.at(tmp_path / "run")
    assert not run.model.exists()
    assert read_json(run.checkpoint / "state.json")["step"] == 4
    assert [row["step"] for row in read_training_log(run.training_log)] == [1, 2, 3, 4]


def test_a_gradient_that_is_not_a_number_never_reaches_the_weights(
    store: ClipStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = MiVAEModule.loss

    def steep(module: MiVAEModule, episodes: list[Episode], generator: torch.Generator | None = None) -> Any:
        terms = loss(module, episodes, generator)
        zero: Tensor = module.log_matching_scale - module.log_matching_scale.detach()
        return terms._replace(total=terms.total + zero.abs().sqrt())  # finite value, infinite slope

    monkeypatch.setattr(MiVAEModule, "loss", steep)
    with pytest.raises(TrainingError, match="gradient that is not a number at step 1"):
        _fit(store, split, tmp_path / "run")
    assert not Run.at(tmp_path / "run").model.exists()


def test_the_untrained_module_is_what_fit_starts_from(store: ClipStore, split: Split, tmp_path: Path) -> None:
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    one = make_module(store, split, tiny_configuration(), tiny_episodes(), seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(8)
    _assert_same_weights(make_module(store, split, tiny_configuration(), tiny_episodes(), seed=0), one)
    trained = _fit(store, split, tmp_path / "run", steps=1, warmup_steps=0, learning_rate=1e-12)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, rtol=0, atol=1e-9)
    other = make_module(store, split, tiny_configuration(), tiny_episodes(), seed=1)
    assert not torch.equal(other.neural_shared.weight, one.neural_shared.weight)


def test_sessions_of_different_kinds_are_refused(store: ClipStore, split: Split) -> None:
    odd = replace(store.sessions["session-1"], trace_kind="spikes")
    mixed = replace(store, sessions={**store.sessions, "session-1": odd})
    with pytest.raises(TrainingError, match="dff, spikes") as refusal:
        make_module(mixed, split, tiny_configuration(), tiny_episodes(), seed=0)
    assert refusal.value.file == str(store.path)


def test_sessions_with_different_auxiliary_variables_are_refused(store: ClipStore, split: Split) -> None:
    odd = replace(store.sessions["session-1"], auxiliary_names=("running",))
    mixed = replace(store, sessions={**store.sessions, "session-1": odd})
    with pytest.raises(TrainingError, match="auxiliary"):
        make_module(mixed, split, tiny_configuration(), tiny_episodes(), seed=0)


@pytest.mark.parametrize("trace_kind", ["spikes", "deconvolved"])
def test_other_kinds_of_traces_are_trained_on(tmp_path: Path, trace_kind: str) -> None:
    store = tiny_store(tmp_path / "store", trace_kind=trace_kind)
    module = _fit(store, tiny_split(store), tmp_path / "run", steps=2)
    assert module.shape.trace_kind == trace_kind


def test_mixed_precision_trains(store: ClipStore, split: Split, tmp_path: Path) -> None:
    module = _fit(store, split, tmp_path / "run", steps=2, precision="bf16-mixed")
    assert all(torch.isfinite(parameter).all() for parameter in module.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())
