"""Which latents the benchmark of alignment looks at, and what its read-outs may see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nwb_mivae.clips import load_clips
from nwb_mivae.inference import session_context
from nwb_mivae.model import MiVAEModule
from nwb_mivae.training import make_module
from tests.benchmarks.alignment.decoding import decoding, decoding_from_activity, judged_sessions
from tests.benchmarks.alignment.encoding import clips_of, encoded, reordered
from tests.benchmarks.alignment.generation import activity_inputs, with_offsets
from tests.benchmarks.alignment.protocol import Settings
from tests.benchmarks.alignment.scales import Material
from tests.benchmarks.alignment.true_factors import TrueFactors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def module(tiny_material: Material) -> MiVAEModule:
    settings = Settings(tiny_material, "contextual", 0)
    return make_module(tiny_material.store, tiny_material.split, settings.model, settings.episodes, seed=0).eval()


def made_up(given: Material, *, stimulus: str, private: str) -> TrueFactors:
    """Factors that are a cell's activity, or that nothing tells of."""
    random = np.random.default_rng(0)

    def of(kind: str, count: int) -> dict[str, np.ndarray]:
        return {
            key: np.asarray(stored.neural[:, :count], dtype=np.float32)
            if kind == "activity"
            else random.standard_normal((stored.n_frames, count)).astype(np.float32)
            for key, stored in given.store.sessions.items()
        }

    return TrueFactors(of(stimulus, 2), of(private, 3), np.array([0.5, 0.25]))


def test_clips_are_whole_and_their_groups_are_movies(tiny_material: Material) -> None:
    key = tiny_material.split.held_out_sessions[0]
    stored = tiny_material.store.sessions[key]
    parts = {part: clips_of(tiny_material, tiny_material.split, key, part, None) for part in ("train", "test")}
    assert not set(parts["train"].groups) & set(parts["test"].groups)
    for clips in parts.values():
        assert len(clips.rows) == len(clips.groups) == 8 * len(clips.starts)
        templates = stored.template[clips.rows]
        for group in np.unique(clips.groups):
            # A clip may begin in one movie and end in the next one shown.
            _, counts = np.unique(templates[clips.groups == group], return_counts=True)
            assert counts.max() > 0.8 * counts.sum()
    assert len(clips_of(tiny_material, tiny_material.split, key, "train", 5).starts) == 5


def test_reordering_moves_activity_and_nothing_else(tiny_material: Material, module: MiVAEModule) -> None:
    split, store = tiny_material.split, tiny_material.store
    key = split.held_out_sessions[0]
    clips = clips_of(tiny_material, split, key, "test", 4)
    batch = load_clips(store, split, key, clips.starts, n_frames=8)
    order = np.roll(np.arange(store.sessions[key].n_cells), 1)
    moved = reordered(batch, order)
    torch.testing.assert_close(moved.neural[:, :, 3], batch.neural[:, :, 2])
    torch.testing.assert_close(moved.coordinates, batch.coordinates)

    context = session_context(module, store, split, key)
    same = np.arange(len(order))
    one, other, wrong = (
        encoded(module, tiny_material, split, clips, context, order=each) for each in (None, same, order)
    )
    np.testing.assert_allclose(one["neural_shared"], other["neural_shared"], atol=1e-6)
    assert np.abs(one["neural_shared"] - wrong["neural_shared"]).max() > 1e-3
    np.testing.assert_array_equal(one["stimulus_shared"], wrong["stimulus_shared"])


def test_offsets_stay_inside_clips() -> None:
    values = np.arange(32.0).reshape(32, 1)
    beside = with_offsets(values, 16)
    np.testing.assert_array_equal(beside[0], [0, 0, 4])
    np.testing.assert_array_equal(beside[15], [11, 15, 15])
    np.testing.assert_array_equal(beside[16], [16, 16, 20])


def test_large_populations_are_reduced_without_losing_what_they_have_in_common() -> None:
    random = np.random.default_rng(0)
    common = random.standard_normal((64, 3))
    activity = common @ random.standard_normal((3, 600)) + 0.01 * random.standard_normal((64, 600))
    train, test = activity_inputs(activity[:48], activity[48:], 16)
    assert train.shape == (48, 1500)
    assert test.shape == (16, 1500)
    now = train[:, 500:1000]
    np.testing.assert_allclose(now.var(axis=0).sum(), activity[:48].var(axis=0).sum(), rtol=1e-6)
    assert now.var(axis=0)[-3:].sum() > 0.999 * now.var(axis=0).sum()


def test_what_activity_holds_is_found_and_what_it_does_not_hold_is_not(
    tiny_material: Material, module: MiVAEModule
) -> None:
    split = tiny_material.split
    key = split.held_out_sessions[0]
    factors = made_up(tiny_material, stimulus="activity", private="nothing")
    from_activity = decoding_from_activity(tiny_material, split, factors, key)
    assert from_activity["stimulus_r2"]["own"] > 0.9
    assert max(from_activity["private_r2"].values()) < 0.05

    with torch.no_grad():
        found = decoding(module, tiny_material, split, factors, seed=0)
    assert list(found) == judged_sessions(tiny_material, split)
    for condition, figures in found[key].items():
        leaked = figures["leakage"]["neural_shared"]
        assert max(leaked[name] for name in ("running", "arousal", "network")) < 0.1, condition
    # A network without training still mixes activity in; the clips of the controls are others.
    informed, shuffled = (found[key][name]["leakage"]["neural_shared"] for name in ("with_context", "shuffled_pairs"))
    assert informed["stimulus"] > shuffled["stimulus"]
