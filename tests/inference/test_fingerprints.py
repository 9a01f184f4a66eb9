"""Functional fingerprints: from the training part, with the lags where they belong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nwb_mivae.clips import ClipStore, Split
from nwb_mivae.errors import ModelError
from nwb_mivae.inference import SessionFingerprints, session_context, session_fingerprints
from nwb_mivae.model import MiVAEModule
from nwb_mivae.training import make_module
from tests.tiny_model import tiny_configuration
from tests.tiny_run import HELD_OUT, tiny_episodes, tiny_split


def _module(store: ClipStore, split: Split, *lags: int, population: str = "contextual") -> MiVAEModule:
    # Lags by the frame rate of the store, so that each is a whole number of its frames.
    in_seconds = tuple(lag / store.frame_rate for lag in lags)
    configuration = tiny_configuration(fingerprint_lags=in_seconds, population=population)
    return make_module(store, split, configuration, tiny_episodes(), seed=0).eval()


@pytest.fixture(scope="module")
def fingerprints(store: ClipStore, split: Split) -> SessionFingerprints:
    found = session_fingerprints(_module(store, split, 0, 2), store, split, HELD_OUT, weights_sha256="ab" * 32)
    assert found is not None
    return found


def test_they_are_those_of_the_context_cell_by_cell(
    fingerprints: SessionFingerprints, store: ClipStore, split: Split
) -> None:
    module = _module(store, split, 0, 2)
    context = session_context(module, store, split, HELD_OUT)
    assert context is not None
    assert fingerprints.session == HELD_OUT
    assert fingerprints.fingerprints.shape == (store.sessions[HELD_OUT].n_cells, 2, 6)
    assert fingerprints.fingerprints.dtype == np.float32
    assert fingerprints.n_frames == context.n_frames
    assert fingerprints.weights_sha256 == "ab" * 32
    np.testing.assert_allclose(fingerprints.lags_in_seconds, np.array([0, 2]) / store.frame_rate)
    np.testing.assert_allclose(fingerprints.fingerprints.reshape(-1, 12), context.fingerprints, rtol=1e-4, atol=1e-5)
    given = session_fingerprints(module, store, split, HELD_OUT, context=context)
    assert given is not None
    assert given.weights_sha256 == ""
    np.testing.assert_array_equal(given.fingerprints.reshape(-1, 12), context.fingerprints)


@pytest.mark.parametrize("configured", [(0, 1, 3, 5), (5, 0, 3, 1)])
def test_a_planted_delay_is_found_at_its_lag_in_whatever_order_lags_are_configured(
    store: ClipStore, split: Split, configured: tuple[int, ...]
) -> None:
    module = _module(store, split, *configured)
    stored = store.sessions["session-0"]
    # Features that are known frame by frame: the mean luminance of six parts of the screen.
    module.stimulus_features = lambda stimulus: stimulus[:, :, 0, :, :12].unflatten(3, (6, 2)).mean((2, 4))  # type: ignore[method-assign]
    frames = torch.from_numpy(np.array(store.stimulus[stored.stimulus_row])).float() / 255
    features = module.stimulus_features(frames[None, :, None])[0].numpy()
    # Cell i answers feature i three frames late, whatever else is on the screen.
    delayed = np.concatenate([np.zeros((3, 6), dtype=np.float32), features[:-3]])
    followed = replace(store, sessions={**store.sessions, "session-0": replace(stored, neural=delayed)})
    found = session_fingerprints(module, followed, tiny_split(followed), "session-0")
    assert found is not None
    np.testing.assert_allclose(found.lags_in_seconds, np.array([0, 1, 3, 5]) / store.frame_rate)
    own = np.abs(np.stack([found.fingerprints[cell, :, cell] for cell in range(6)]))
    assert (own.argmax(1) == 2).all()
    # And by its own feature, not by another.
    assert (np.abs(found.fingerprints[:, 2]).argmax(1) == np.arange(6)).all()


def test_designs_without_context_and_sessions_without_a_training_part_have_none(store: ClipStore, split: Split) -> None:
    assert session_fingerprints(_module(store, split, 0, population="coordinates"), store, split, HELD_OUT) is None
    part = split.part_of_content.copy()
    part[part == 0] = 2
    nothing = replace(split, part_of_content=part)
    assert session_fingerprints(_module(store, split, 0), store, nothing, HELD_OUT) is None


def test_the_context_of_another_session_is_refused(store: ClipStore, split: Split) -> None:
    module = _module(store, split, 0)
    with pytest.raises(ModelError, match="a context of 6 cells") as refusal:
        session_fingerprints(module, store, split, HELD_OUT, context=session_context(module, store, split, "session-0"))
    assert refusal.value.object_path == HELD_OUT


def test_they_survive_a_file(fingerprints: SessionFingerprints, tmp_path: Path) -> None:
    fingerprints.save(tmp_path / "a.npz")
    found = SessionFingerprints.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.fingerprints, fingerprints.fingerprints)
    np.testing.assert_array_equal(found.lags_in_seconds, fingerprints.lags_in_seconds)
    assert found.fingerprints.dtype == np.float32
    assert (found.session, found.n_frames, found.weights_sha256) == (HELD_OUT, fingerprints.n_frames, "ab" * 32)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_other_files_are_refused_by_name(fingerprints: SessionFingerprints, tmp_path: Path) -> None:
    fingerprints.save(tmp_path / "whole.npz")
    (tmp_path / "truncated.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    np.savez(tmp_path / "pickle.npz", header=np.array([{"session": "a"}], dtype=object))
    for name in ("missing", "truncated", "text", "other", "pickle"):
        with pytest.raises(ModelError, match="no fingerprints") as refusal:
            SessionFingerprints.load(tmp_path / f"{name}.npz")
        assert refusal.value.file == str(tmp_path / f"{name}.npz")
