from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.clips.frame_bank import FrameBank, new_bank, open_bank, write_in_order
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
    pixels[50] = 7
    with new_bank(tmp_path / "bank.npy", SHAPE) as new:
        for first in range(0, 123, 10):
            new.append(pixels[first : first + 10], frame_digests(pixels[first : first + 10]))
        finished = new.finish()
    assert np.array_equal(np.load(tmp_path / "bank.npy", allow_pickle=False), pixels)
    for bank in (finished, open_bank(tmp_path / "bank.npy", SHAPE)):
        assert bank.path == tmp_path / "bank.npy"
        assert np.array_equal(bank.digests, frame_digests(pixels))
        assert bank.keys == keys(pixels)
        assert np.flatnonzero(bank.uniform).tolist() == [50]
        assert (tmp_path / "bank.npy").read_bytes()[bank.offset :] == pixels.tobytes()


def test_a_bank_that_is_not_finished_is_not_there(tmp_path):
    def interrupted():
        with new_bank(tmp_path / "bank.npy", SHAPE) as bank:
            bank.append(frames(3), frame_digests(frames(3)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["absent", "empty", "text", "other shape", "other type", "header only", "folder"])
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
    elif how == "folder":
        path.mkdir()
    bank = open_bank(path, SHAPE)
    assert bank.digests.shape == (0, 16)
    assert bank.keys == []


def test_whole_frames_of_a_cut_bank_are_good(tmp_path):
    pixels = frames(9)
    np.save(tmp_path / "bank.npy", pixels)
    (tmp_path / "bank.npy").write_bytes((tmp_path / "bank.npy").read_bytes()[:-5])
    bank = open_bank(tmp_path / "bank.npy", SHAPE)
    assert bank.keys == keys(pixels[:8])
    assert not bank.holds_just({key: row for row, key in enumerate(bank.keys)})


def banks_of(tmp_path: Path, *parts: np.ndarray) -> list[FrameBank]:
    for number, part in enumerate(parts):
        np.save(tmp_path / f"{number}.npy", part)
    return [open_bank(tmp_path / f"{number}.npy", SHAPE) for number in range(len(parts) + 1)]


def test_frames_are_put_in_order(tmp_path):
    pixels = frames(20)
    order = np.random.default_rng(1).permutation(20)
    banks = banks_of(tmp_path, pixels[order[:12]], np.concatenate([pixels[order[8:]], frames(3, seed=5)]), pixels[5:15])
    row_of = {key: row for row, key in enumerate(keys(pixels))}
    assert write_in_order(tmp_path / "all.npy", SHAPE, row_of, banks) == 0
    assert np.array_equal(np.load(tmp_path / "all.npy", allow_pickle=False), pixels)
    assert write_in_order(tmp_path / "all.npy", SHAPE, row_of, banks[:1]) == 8


def test_a_bank_that_is_in_order_is_known(tmp_path):
    pixels = frames(6)
    row_of = {key: row for row, key in enumerate(keys(pixels))}
    whole, swapped, longer, none = banks_of(tmp_path, pixels, pixels[[1, 0, 2, 3, 4, 5]], frames(7))
    assert whole.holds_just(row_of)
    assert not any(bank.holds_just(row_of) for bank in (swapped, longer, none))
