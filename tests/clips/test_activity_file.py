from __future__ import annotations

import hashlib
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.clips.activity_file import HalfPrecisionError, write_activity

module = importlib.import_module("nwb_mivae.clips.activity_file")


def error_of(activity: np.ndarray, valid: np.ndarray | None = None, chunk: int = 7) -> float:
    activity = activity[np.ones(len(activity), dtype=bool) if valid is None else valid]
    error = HalfPrecisionError(activity.shape[1])
    for first in range(0, len(activity), chunk):
        rows = activity[first : first + chunk]
        with np.errstate(over="ignore"):
            error.add(rows, rows.astype(np.float16))
    return error.worst


def test_half_precision_error_is_measured():
    exact = np.arange(100, dtype=np.float32)[:, None]
    assert error_of(exact) == 0.0
    assert error_of(exact * 1e4) == float("inf")
    assert error_of(exact * 1e4, valid=exact[:, 0] < 5) == 0.0
    offset = exact * 1e-3 + 8.0
    lost = offset.astype(np.float64) - offset.astype(np.float16).astype(np.float64)
    assert error_of(offset) == pytest.approx(np.sqrt(np.mean(lost**2)) / offset.astype(np.float64).std(), rel=1e-4)
    assert error_of(np.empty((0, 3), dtype=np.float32)) == 0.0
    assert error_of(np.full((9, 1), 0.1, dtype=np.float32)) == 0.0
    assert error_of(np.empty((9, 0), dtype=np.float32)) == 0.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e4), offset=st.floats(-1e3, 1e3), chunk=st.integers(1, 60))
def test_half_precision_error_does_not_depend_on_the_chunks(seed, scale, offset, chunk):
    random = np.random.default_rng(seed)
    activity = (offset + scale * random.standard_normal((50, 3))).astype(np.float32)
    rounded = activity.astype(np.float16).astype(np.float64)
    wide = activity.astype(np.float64)
    by_hand = (np.sqrt(np.mean((wide - rounded) ** 2, axis=0)) / wide.std(axis=0)).max()
    assert error_of(activity, chunk=chunk) == pytest.approx(by_hand, rel=1e-3)


@pytest.mark.parametrize("wanted", ["float16", "float32"])
@pytest.mark.parametrize("mapped", [True, False])
def test_activity_is_written_in_pieces_with_the_digest_of_its_file(tmp_path, monkeypatch, wanted, mapped):
    monkeypatch.setattr(module, "_CHUNK_BYTES", 100)
    activity = np.random.default_rng(0).standard_normal((101, 4)).astype(np.float32)
    if mapped:
        np.save(tmp_path / "workspace.npy", activity)
        given_to = np.load(tmp_path / "workspace.npy", mmap_mode="r")
    else:
        given_to = activity
    record, notes = write_activity(tmp_path / "neural.npy", given_to, np.ones(101, dtype=bool), wanted)
    stored = np.load(tmp_path / "neural.npy", allow_pickle=False)
    data = (tmp_path / "neural.npy").read_bytes()
    assert np.array_equal(stored, activity.astype(wanted))
    assert record == {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "shape": [101, 4],
        "dtype": wanted,
    }
    assert notes == []


def test_only_valid_frames_decide_about_the_type(tmp_path):
    activity = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
    activity[7] = 1e6
    valid = np.ones(60, dtype=bool)
    record, notes = write_activity(tmp_path / "all.npy", activity, valid, "float16")
    assert record["dtype"] == "float32"
    assert "half precision would lose inf" in notes[0]
    assert np.array_equal(np.load(tmp_path / "all.npy"), activity)
    valid[7] = False
    record, notes = write_activity(tmp_path / "valid.npy", activity, valid, "float16")
    assert (record["dtype"], notes) == ("float16", [])
