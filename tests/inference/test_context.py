"""An animal's context: from its training part alone, streamed, and the same however it is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nwb_mivae.clips import ClipStore, Split, load_clips
from nwb_mivae.inference import session_context
from nwb_mivae.model import Context
from nwb_mivae.training import make_module
from tests.tiny_model import FRAMES, tiny_configuration
from tests.tiny_run import HELD_OUT, tiny_episodes


@pytest.fixture(scope="module")
def module(store: ClipStore, split: Split):  # type: ignore[no-untyped-def]
    return make_module(store, split, tiny_configuration(), tiny_episodes(), seed=0)


def _assert_close(one: Context, other: Context, tolerance: float = 1e-3) -> None:
    for name in ("fingerprints", "readout", "neural_mean", "feature_mean"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=tolerance, atol=tolerance)
    assert one.n_frames == other.n_frames


@pytest.mark.parametrize("session", ["session-0", HELD_OUT])
def test_it_is_the_context_of_all_training_clips(module, store: ClipStore, split: Split, session: str) -> None:  # type: ignore[no-untyped-def]
    found = session_context(module, store, split, session, batch_clips=3)
    starts = split.clip_starts(store.sessions[session], "train", n_frames=FRAMES, stride=FRAMES)
    clips = load_clips(store, split, session, starts, n_frames=FRAMES)
    with torch.no_grad():
        expected = module.make_context(clips.neural, module.stimulus_features(clips.stimulus))
    assert found is not None
    assert found.n_frames == len(starts) * FRAMES > 100
    assert found.fingerprints.shape == (store.sessions[session].n_cells, 12)
    assert not found.readout.requires_grad
    _assert_close(found, expected)


@pytest.mark.parametrize("session", ["session-0", HELD_OUT])
def test_activity_outside_the_training_part_is_never_looked_at(  # type: ignore[no-untyped-def]
    module, store: ClipStore, split: Split, session: str
) -> None:
    stored = store.sessions[session]
    neural = np.array(stored.neural)
    neural[split.part_of_rows(stored) != 0] = np.nan
    poisoned = replace(store, sessions={**store.sessions, session: replace(stored, neural=neural)})
    one, other = (session_context(module, s, split, session) for s in (store, poisoned))
    assert one is not None
    assert other is not None
    _assert_close(one, other, 0.0)


def test_fewer_clips_are_taken_evenly(module, store: ClipStore, split: Split) -> None:  # type: ignore[no-untyped-def]
    starts = split.clip_starts(store.sessions["session-0"], "train", n_frames=FRAMES, stride=FRAMES)
    found = session_context(module, store, split, "session-0", clips=5)
    assert found is not None
    assert found.n_frames == 5 * FRAMES
    clips = load_clips(
        store, split, "session-0", starts[np.linspace(0, len(starts) - 1, 5).round().astype(int)], n_frames=FRAMES
    )
    _assert_close(found, module.make_context(clips.neural, module.stimulus_features(clips.stimulus)).detach())
    everything = session_context(module, store, split, "session-0", clips=10_000)
    assert everything is not None
    assert everything.n_frames == len(starts) * FRAMES


def test_the_first_clips_are_those_of_a_recording_that_ended_then(module, store: ClipStore, split: Split) -> None:  # type: ignore[no-untyped-def]
    starts = split.clip_starts(store.sessions["session-0"], "train", n_frames=FRAMES, stride=FRAMES)
    found = session_context(module, store, split, "session-0", clips=5, from_start=True)
    clips = load_clips(store, split, "session-0", starts[:5], n_frames=FRAMES)
    with torch.no_grad():
        _assert_close(found, module.make_context(clips.neural, module.stimulus_features(clips.stimulus)))
    everything = session_context(module, store, split, "session-0", from_start=True)
    assert everything.n_frames == len(starts) * FRAMES
    assert session_context(module, store, split, "session-0", clips=0, from_start=True) is None


def test_no_clips_and_designs_without_context_give_none(module, store: ClipStore, split: Split) -> None:  # type: ignore[no-untyped-def]
    assert session_context(module, store, split, "session-0", clips=0) is None
    coordinates = make_module(store, split, tiny_configuration(population="coordinates"), tiny_episodes(), seed=0)
    assert session_context(coordinates, store, split, "session-0") is None
