from __future__ import annotations

import importlib

import numpy as np
import pytest

from nwb_mivae.clips.frame_bank import frames_of_bank, new_bank, write_in_order
from nwb_mivae.clips.frames import frame_digests

SHAPE = (3, 4)


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


def keys(pixels: np.ndarray) -> list[bytes]:
    return [digest.tobytes() for digest in frame_digests(pixels)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(importlib.import_module("nwb_mivae.clips.frame_bank"), "_CHUNK_BYTES", 60)


def test_what_was_appended_is_an_array_numpy_reads(tmp_path):
    pixels = frames(123)
    with new_bank(tmp_path / "bank.npy", SHAPE) as bank:
        for first in range(0, 123, 10):
            bank.append(pixels[first : first + 10])
    assert np.array_equal(np.load(tmp_path / "bank.npy", allow_pickle=False), pixels)
    read = list(frames_of_bank(tmp_path / "bank.npy", SHAPE))
    assert max(len(chunk) for chunk, _ in read) == 5
    assert np.array_equal(np.concatenate([chunk for chunk, _ in read]), pixels)
    assert np.array_equal(np.concatenate([digests for _, digests in read]), frame_digests(pixels))


def test_a_bank_that_is_not_finished_is_not_there(tmp_path):
    def interrupted():
        with new_bank(tmp_path / "bank.npy", SHAPE) as bank:
            bank.append(frames(3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["absent", "empty", "text", "other shape", "other type", "header only"])
def test_nothing_is_read_from_what_is_no_bank(tmp_path, how):
    path = tmp_path / "bank.npy"
    if how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("no array at all")
    elif how == "other shape":
        np.save(path, np.zeros((3, 4, 4), dtype=np.uint8))
    elif how == "other type":
        np.save(path, np.zeros((3, *SHAPE), dtype=np.float32))
    elif how == "header only":
        np.save(path, frames(9))
        path.write_bytes(path.read_bytes()[:128])
    assert sum(len(chunk) for chunk, _ in frames_of_bank(path, SHAPE)) == 0


def test_whole_frames_of_a_cut_bank_are_good(tmp_path):
    pixels = frames(9)
    np.save(tmp_path / "bank.npy", pixels)
    (tmp_path / "bank.npy").write_bytes((tmp_path / "bank.npy").read_bytes()[:-5])
    read = np.concatenate([chunk for chunk, _ in frames_of_bank(tmp_path / "bank.npy", SHAPE)])
    assert np.array_equal(read, pixels[:8])


def test_frames_are_put_in_order_and_uniform_ones_found(tmp_path):
    pixels = frames(20)
    pixels[13] = 128
    order = np.random.default_rng(1).permutation(20)
    np.save(tmp_path / "a.npy", pixels[order[:12]])
    np.save(tmp_path / "b.npy", np.concatenate([pixels[order[8:]], frames(3, seed=5)]))
    row_of = {key: row for row, key in enumerate(keys(pixels))}
    sources = [tmp_path / name for name in ("a.npy", "absent.npy", "b.npy")]
    missing, blank = write_in_order(tmp_path / "all.npy", SHAPE, row_of, sources)
    assert (missing, blank) == (0, [13])
    assert np.array_equal(np.load(tmp_path / "all.npy", allow_pickle=False), pixels)
    missing, _ = write_in_order(tmp_path / "all.npy", SHAPE, row_of, sources[:1])
    assert missing == 8
