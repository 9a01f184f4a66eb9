"""What a module knows before its first step: from the training part of training animals, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from nwb_mivae.clips import ClipStore, Split, first_clips
from nwb_mivae.model import MiVAEModule
from nwb_mivae.model.population_basis import PopulationBasis, population_basis
from nwb_mivae.model.regression import RegressionSums
from nwb_mivae.training import closed_form
from nwb_mivae.training.closed_form import _training_clips
from nwb_mivae.training.loop import make_module
from tests.tiny_model import tiny_configuration
from tests.tiny_run import tiny_episodes

BEHIND_THE_FRONT_END = tiny_configuration(stimulus_encoder="front_end")


def made(store: ClipStore, split: Split, *, seed: int = 0, training_clips: int | None = None) -> MiVAEModule:
    episodes = tiny_episodes().model_copy(update={"training_clips": training_clips})
    return make_module(store, split, BEHIND_THE_FRONT_END, episodes, seed=seed)


def fixed_parts(module: MiVAEModule) -> Mapping[str, Tensor]:
    return {name: value for name, value in module.state_dict().items() if "front_end" in name or "cortical_map" in name}


def assert_same(one: MiVAEModule, other: MiVAEModule, *, same: bool = True) -> None:
    values = fixed_parts(other)
    assert all(torch.equal(value, values[name]) for name, value in fixed_parts(one).items()) is same


def test_fixed_parts_follow_from_the_data_and_not_from_the_seed(store: ClipStore, split: Split) -> None:
    one, other = made(store, split), made(store, split, seed=1)
    assert_same(one, other)
    assert not torch.equal(other.stimulus_encoder.trunk.enter.weight, one.stimulus_encoder.trunk.enter.weight)  # type: ignore[union-attr,arg-type]
    for name, value in fixed_parts(one).items():
        assert torch.isfinite(value).all(), name
        assert value.abs().max() > 0, name


def test_held_out_animals_and_other_parts_are_not_looked_at(store: ClipStore, split: Split) -> None:
    expected = made(store, split)
    changed = {}
    for key, session in store.sessions.items():
        of_training = (split.part_of_rows(session) == 0) & (key in split.train_sessions)
        neural = np.array(session.neural)
        neural[~of_training] = np.random.default_rng(0).permuted(neural[~of_training], axis=0)
        changed[key] = replace(session, neural=neural)
    assert any(not np.array_equal(changed[key].neural, store.sessions[key].neural) for key in split.held_out_sessions)
    assert_same(made(replace(store, sessions=changed), split), expected)


def test_activity_in_training_decides(store: ClipStore, split: Split) -> None:
    key = split.train_sessions[0]
    neural = np.array(store.sessions[key].neural)[::-1].copy()
    changed = replace(store, sessions={**store.sessions, key: replace(store.sessions[key], neural=neural)})
    assert_same(made(changed, split), made(store, split), same=False)


def test_no_more_than_the_clips_of_training_are_used(store: ClipStore, split: Split) -> None:
    few = made(store, split, training_clips=2)
    assert_same(few, made(store, split), same=False)
    frames = tiny_episodes().clip_frames
    changed = {}
    for key, session in store.sessions.items():
        first = split.clip_starts(session, "train", n_frames=frames, stride=frames)[:2]
        kept = (first[:, None] + np.arange(frames)).ravel()
        neural = np.zeros_like(np.array(session.neural))
        neural[kept] = np.array(session.neural)[kept]
        changed[key] = replace(session, neural=neural)
    assert_same(made(replace(store, sessions=changed), split, training_clips=2), few)


def test_clips_end_before_the_last_that_training_draws_does(store: ClipStore, split: Split) -> None:
    for limit in (1, 2, 5, 9):
        episodes = tiny_episodes().model_copy(update={"training_clips": limit, "clip_frames": 7})
        for key in split.train_sessions:
            every = split.clip_starts(store.sessions[key], "train", n_frames=7)
            used = _training_clips(store, split, key, episodes)
            assert 0 < len(used) <= limit
            assert used.max() <= first_clips(every, limit, 7).max()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_halves_of_a_recording_share_no_clip(
    store: ClipStore, split: Split, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a recording of one clip, which is both."""
    seen: list[tuple[int, int]] = []

    def halves(sessions: Iterable[tuple[RegressionSums, RegressionSums]], n_features: int) -> PopulationBasis:
        found = list(sessions)
        seen.extend((one.frames, other.frames) for one, other in found)
        return population_basis(found, n_features)

    monkeypatch.setattr(closed_form, "population_basis", halves)
    made(store, split, training_clips=count)
    frames = tiny_episodes().clip_frames
    for one, other in seen:
        assert one + other == max(count, 2) * frames
        assert abs(one - other) <= frames


def test_counts_have_a_basis_in_their_own_units_and_no_map(store: ClipStore, split: Split) -> None:
    counting = {
        key: replace(session, trace_kind="spikes", neural=np.abs(np.array(session.neural, dtype=np.float32)))
        for key, session in store.sessions.items()
    }
    louder = {
        key: replace(session, neural=np.asarray(session.neural) * (1 + 9 * (np.arange(session.n_cells) == 0)))
        for key, session in counting.items()
    }
    one, other = (made(replace(store, sessions=sessions), split) for sessions in (counting, louder))
    assert one.cortical_map is not None
    assert (one.cortical_map.weights == 0).all()
    assert one.front_end is not None
    assert other.front_end is not None
    torch.testing.assert_close(one.front_end.basis, other.front_end.basis, rtol=1e-3, atol=1e-4)


def test_a_module_to_be_restored_is_made_without_it(store: ClipStore, split: Split) -> None:
    module = make_module(store, split, BEHIND_THE_FRONT_END, tiny_episodes(), seed=0, closed_form=False)
    assert module.cortical_map is not None
    assert (module.cortical_map.weights == 0).all()


def test_progress_is_told_to_the_end(store: ClipStore, split: Split) -> None:
    told: list[tuple[str, int, int]] = []
    make_module(store, split, BEHIND_THE_FRONT_END, tiny_episodes(), seed=0, progress=lambda *args: told.append(args))
    assert {name for name, _, _ in told} == {"closed form"}
    assert told[-1][1] == told[-1][2] > 0


@pytest.mark.parametrize("population", ["coordinates", "pooled"])
def test_designs_without_context_have_the_basis_and_no_map(store: ClipStore, split: Split, population: str) -> None:
    settings = tiny_configuration(stimulus_encoder="front_end", population=population)
    module = make_module(store, split, settings, tiny_episodes(), seed=0)
    assert module.cortical_map is None
    assert module.front_end is not None
    expected = made(store, split).front_end
    assert expected is not None
    assert torch.equal(module.front_end.basis, expected.basis)
