"""Latents of clips and of whole sessions."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from nwb_mivae.clips import ClipStore, Split, load_clips
from nwb_mivae.errors import ModelError
from nwb_mivae.inference import BLOCKS, SessionLatents, encode_clips, session_context, session_latents
from nwb_mivae.model import MiVAEModule
from nwb_mivae.training import make_module
from tests.tiny_model import FRAMES, tiny_configuration
from tests.tiny_run import HELD_OUT, tiny_episodes

_SIZES = {"neural_shared": 4, "neural_private": 3, "stimulus_shared": 4, "stimulus_private": 5}


@pytest.fixture(scope="module")
def module(store: ClipStore, split: Split) -> MiVAEModule:
    return make_module(store, split, tiny_configuration(), tiny_episodes(), seed=0).eval()


@pytest.fixture(scope="module")
def latents(module: MiVAEModule, store: ClipStore, split: Split) -> SessionLatents:
    context = session_context(module, store, split, "session-0")
    return session_latents(module, store, split, "session-0", context, batch_clips=7)


def test_clips_have_four_blocks_of_posteriors(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    batch = load_clips(store, split, "session-0", [0, 24], n_frames=FRAMES)
    context = session_context(module, store, split, "session-0")
    blocks = encode_clips(module, batch, context)
    assert tuple(blocks) == BLOCKS
    for name, block in blocks.items():
        assert block.mean.shape == block.log_variance.shape == (2, FRAMES, _SIZES[name])
        assert not block.mean.requires_grad
    neural = module.encode_neural(batch.neural, batch.coordinates, context, batch.auxiliary)
    stimulus = module.encode_stimulus(batch.stimulus)
    assert torch.equal(blocks["neural_shared"].mean, neural.shared.mean)
    assert torch.equal(blocks["neural_private"].mean, neural.private.mean)
    assert torch.equal(blocks["stimulus_shared"].log_variance, stimulus.shared.log_variance)
    assert torch.equal(blocks["stimulus_private"].mean, stimulus.private.mean)


def test_latents_cover_every_clip_of_every_part_once_and_in_order(
    latents: SessionLatents, store: ClipStore, split: Split
) -> None:
    stored = store.sessions["session-0"]
    parts = ("train", "validation", "test")
    starts = {part: split.clip_starts(stored, part, n_frames=FRAMES, stride=FRAMES) for part in parts}
    rows = np.sort(np.concatenate([(s[:, None] + np.arange(FRAMES)).ravel() for s in starts.values()]))
    np.testing.assert_array_equal(latents.row, rows)
    assert (np.diff(latents.time) > 0).all()
    assert (latents.stop_time[:-1] <= latents.time[1:] + 1e-9).all()
    np.testing.assert_array_equal(latents.time, stored.time[rows])
    np.testing.assert_array_equal(latents.stop_time, stored.stop_time[rows])
    np.testing.assert_array_equal(latents.presentation, stored.presentation[rows])
    np.testing.assert_array_equal(latents.part, split.part_of_rows(stored)[rows])
    np.testing.assert_array_equal(latents.clip, np.repeat(np.arange(len(rows) // FRAMES), FRAMES))
    for part, number in zip(parts, range(3), strict=True):
        assert (latents.part == number).sum() == len(starts[part]) * FRAMES
    # Whole movies of whole clips: here no frame is left out.
    assert len(rows) == stored.n_frames


def test_each_frame_has_the_latents_of_its_clip(
    latents: SessionLatents, module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    context = session_context(module, store, split, "session-0")
    for clip in (0, 13, int(latents.clip[-1])):
        frames = latents.clip == clip
        batch = load_clips(store, split, "session-0", [int(latents.row[frames][0])], n_frames=FRAMES)
        for name, block in encode_clips(module, batch, context).items():
            np.testing.assert_allclose(latents.blocks[name].mean[frames], block.mean[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(latents.blocks[name].variance[frames], block.variance[0], rtol=1e-4, atol=1e-5)


def test_blocks_are_float32_and_finite(latents: SessionLatents) -> None:
    assert tuple(latents.blocks) == BLOCKS
    for name, block in latents.blocks.items():
        assert block.mean.shape == block.variance.shape == (len(latents.time), _SIZES[name])
        assert block.mean.dtype == block.variance.dtype == np.float32
        assert np.isfinite(block.mean).all()
        assert (block.variance > 0).all()


def test_an_animal_never_seen_is_encoded_with_its_own_context(
    module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    context = session_context(module, store, split, HELD_OUT)
    assert context is not None
    done: list[tuple[str, int, int]] = []
    found = session_latents(
        module, store, split, HELD_OUT, context, batch_clips=16, progress=lambda *report: done.append(report)
    )
    assert found.session == HELD_OUT
    assert found.context == {
        "clips": context.n_frames // FRAMES,
        "minutes": pytest.approx(context.n_frames / 30 / 60),
    }
    assert done[-1] == (f"latents of {HELD_OUT}", len(found.row) // FRAMES, len(found.row) // FRAMES)
    without = session_latents(module, store, split, HELD_OUT, None)
    assert without.context == {"clips": 0, "minutes": 0.0}
    assert not np.allclose(without.blocks["neural_shared"].mean, found.blocks["neural_shared"].mean)
    # What is said of the stimulus does not depend on the animal at all.
    np.testing.assert_allclose(
        without.blocks["stimulus_shared"].mean, found.blocks["stimulus_shared"].mean, rtol=1e-4, atol=1e-5
    )


@dataclass(frozen=True)
class _OddSplit(Split):
    """A split whose parts' clips are dictated; uniform frames may stand at the ends of two parts' clips."""

    starts: Any = None

    def clip_starts(self, session: Any, part: Any, *, n_frames: int, stride: int = 1) -> npt.NDArray[np.int64]:
        return np.asarray(self.starts.get(part, []), dtype=np.int64)


def _odd(split: Split, **starts: list[int]) -> Split:
    return _OddSplit(**{name: getattr(split, name) for name in Split.__dataclass_fields__}, starts=starts)


def test_a_session_without_a_whole_clip_is_refused(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    with pytest.raises(ModelError, match="no clip") as refusal:
        session_latents(module, store, _odd(split), "session-0", None)
    assert refusal.value.object_path == "session-0"
    assert refusal.value.file == str(store.path)


def test_frames_are_encoded_once_where_clips_of_two_parts_share_uniform_frames(
    module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    odd = _odd(split, train=[0, 8, 30], test=[14, 22])
    found = session_latents(module, store, odd, "session-0", None)
    np.testing.assert_array_equal(found.row[::FRAMES], [0, 8, 22, 30])
    np.testing.assert_array_equal(found.part[::FRAMES], [0, 0, 2, 0])
    assert (np.diff(found.time) > 0).all()


def test_latents_survive_a_file(latents: SessionLatents, tmp_path: Path) -> None:
    latents.save(tmp_path / "session-0.npz")
    found = SessionLatents.load(tmp_path / "session-0.npz")
    assert found.session == latents.session
    assert found.context == latents.context
    for name in ("time", "stop_time", "row", "presentation", "clip", "part"):
        value = getattr(found, name)
        np.testing.assert_array_equal(value, getattr(latents, name))
        assert value.dtype == getattr(latents, name).dtype
    assert tuple(found.blocks) == BLOCKS
    for name, block in found.blocks.items():
        np.testing.assert_array_equal(block.mean, latents.blocks[name].mean)
        np.testing.assert_array_equal(block.variance, latents.blocks[name].variance)
    assert [path.name for path in tmp_path.iterdir()] == ["session-0.npz"]


def test_the_weights_digest_is_kept_and_empty_in_files_that_do_not_say(
    module: MiVAEModule, latents: SessionLatents, store: ClipStore, split: Split, tmp_path: Path
) -> None:
    assert latents.weights_sha256 == ""
    found = session_latents(module, store, split, "session-0", None, weights_sha256="ab" * 32)
    found.save(tmp_path / "new.npz")
    assert SessionLatents.load(tmp_path / "new.npz").weights_sha256 == found.weights_sha256 == "ab" * 32
    with np.load(tmp_path / "new.npz") as arrays:
        header = json.loads(str(arrays["header"]))
        del header["weights_sha256"]
        np.savez(tmp_path / "old.npz", **{**arrays, "header": np.array(json.dumps(header))})
    assert SessionLatents.load(tmp_path / "old.npz").weights_sha256 == ""


def test_saving_again_replaces_the_file(latents: SessionLatents, tmp_path: Path) -> None:
    latents.save(tmp_path / "a.npz")
    replace(latents, session="another").save(tmp_path / "a.npz")
    assert SessionLatents.load(tmp_path / "a.npz").session == "another"


@pytest.mark.parametrize(
    "damage", ["missing", "empty", "truncated", "text", "an array", "a pickle", "header", "no times"]
)
def test_files_that_hold_no_latents_are_refused(latents: SessionLatents, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "latents.npz"
    latents.save(path)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_text("latents")
    elif damage == "an array":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    elif damage == "a pickle":
        with path.open("wb") as stream:
            np.savez(stream, header=np.array({"session": "a"}, dtype=object))
    elif damage == "header":
        with path.open("wb") as stream:
            np.savez(stream, header=np.array("[1, 2]"))
    else:
        with path.open("wb") as stream:
            np.savez(stream, header=np.array('{"session": "a", "context": {}}'))
    with pytest.raises(ModelError, match="no latents") as refusal:
        SessionLatents.load(path)
    assert refusal.value.file == str(path)
