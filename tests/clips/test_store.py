from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.clips import ClipsConfiguration, ClipStore
from nwb_mivae.clips.writing import StoreWriter, folder_name
from nwb_mivae.errors import StoreError
from tests.clip_stores import ArrayTemplate, aligned_session, make_store, smooth_movie, write_store


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> ClipStore:
    return make_store(tmp_path_factory.mktemp("store") / "store", seconds=20, movie_frames=48, repeats=2)


@pytest.fixture
def copy(made: ClipStore, tmp_path: Path) -> Path:
    shutil.copytree(made.path, tmp_path / "copy")
    return tmp_path / "copy"


def one_session(key="a", count=3, frames=20, size=(6, 8), **more):
    random = np.random.default_rng(0)
    templates = [ArrayTemplate(f"movie-{n}", smooth_movie(random, frames, *size)) for n in range(count)]
    return aligned_session(key, templates, list(range(count)), cells=5, seed=1, **more)


def test_a_store_holds_what_was_written(made):
    assert list(made.sessions) == ["session-0", "session-1", "session-2"]
    assert made.subjects == ("mouse-0", "mouse-1", "mouse-2")
    assert [session.n_cells for session in made.sessions.values()] == [20, 30, 25]
    # Ten movies of 48 frames, seen by three animals twice: each frame is there once.
    assert made.stimulus.shape == (480, 18, 32)
    assert made.n_content == len(np.unique(made.stimulus.reshape(480, -1), axis=0))
    assert np.array_equal(made.content_of_row, np.arange(480))
    assert (made.height, made.width, made.frame_rate) == (18, 32, pytest.approx(30.0))
    for session in made.sessions.values():
        assert session.n_frames == 960
        assert session.neural.dtype == np.float16
        assert np.array_equal(session.content, made.content_of_row[session.stimulus_row])
        assert len(session.cells) == session.n_cells
        assert session.cells["id"].tolist() == [str(cell) for cell in range(session.n_cells)]
        assert session.cells["x"].to_numpy(np.float32) == pytest.approx(session.coordinates[:, 0])
        assert session.presentations["start_time"].to_numpy()[session.presentation].tolist() == session.time.tolist()
        assert session.report["n_frames"] == 960


def test_pixels_are_those_of_the_templates(tmp_path):
    aligned = one_session()
    store = write_store(tmp_path / "store", [aligned], ClipsConfiguration(height=6, width=8))
    session = store.sessions["a"]
    shown = np.concatenate([template.frames for template in aligned.templates])
    assert np.array_equal(store.stimulus[session.stimulus_row], shown)
    assert np.allclose(session.neural, aligned.neural, atol=1e-3)
    for name in ("valid", "time", "stop_time", "segment", "template", "frame", "repeat", "auxiliary", "coordinates"):
        assert np.array_equal(getattr(session, name), getattr(aligned, name))


def test_the_digest_is_that_of_the_data_and_not_of_its_history(made, tmp_path):
    again = make_store(tmp_path / "elsewhere", seconds=20, movie_frames=48, repeats=2)
    other = make_store(tmp_path / "other", seconds=20, movie_frames=48, repeats=2, seed=1)
    assert again.digest == made.digest
    assert other.digest != made.digest
    assert ClipStore.open(made.path, verify=True).digest == made.digest


def test_memory_maps_cannot_be_written_to(made):
    with pytest.raises(ValueError, match="read-only"):
        made.stimulus[0, 0, 0] = 1


def test_blank_frames_are_grey_and_known_as_blank(tmp_path):
    aligned = one_session()
    aligned.template[5:8] = -1
    aligned.frame[5:8] = -1
    store = write_store(tmp_path / "store", [aligned], ClipsConfiguration(height=6, width=8, blank_luminance=100))
    session = store.sessions["a"]
    assert (store.stimulus[session.stimulus_row[5:8]] == 100).all()
    assert np.flatnonzero(store.blank_content).tolist() == [session.content[5]]


def test_other_aspect_ratios_are_stretched_and_said(tmp_path):
    store = write_store(tmp_path / "store", [one_session(size=(8, 8))], ClipsConfiguration(height=6, width=8))
    assert any("stretched" in note for note in store.sessions["a"].report["notes"])
    store = write_store(tmp_path / "same", [one_session(size=(12, 16))], ClipsConfiguration(height=6, width=8))
    assert not store.sessions["a"].report["notes"]


def test_activity_too_coarse_for_half_precision_is_kept_in_single(tmp_path):
    aligned = one_session()
    aligned.neural[:] += 5000.0
    store = write_store(tmp_path / "store", [aligned], ClipsConfiguration(height=6, width=8))
    assert store.sessions["a"].neural.dtype == np.float32
    assert np.array_equal(store.sessions["a"].neural, aligned.neural)
    assert any("float32" in note for note in store.sessions["a"].report["notes"])
    wanted = write_store(
        tmp_path / "wanted", [one_session()], ClipsConfiguration(height=6, width=8, neural_type="float32")
    )
    assert wanted.sessions["a"].neural.dtype == np.float32
    assert not wanted.sessions["a"].report["notes"]


def test_spike_counts_are_stored_exactly(tmp_path):
    aligned = one_session(trace_kind="spikes")
    store = write_store(tmp_path / "store", [aligned], ClipsConfiguration(height=6, width=8))
    assert np.array_equal(store.sessions["a"].neural, aligned.neural)


def test_odd_keys_become_safe_folders(tmp_path):
    assert folder_name("../a:b/c") == "%2E.%2Fa%3Ab%2Fc"
    store = write_store(tmp_path / "store", [one_session("sub/1: ses é")], ClipsConfiguration(height=6, width=8))
    assert list(ClipStore.open(store.path, verify=True).sessions) == ["sub/1: ses é"]


def test_a_second_session_of_one_key_is_refused(tmp_path):
    with pytest.raises(StoreError, match="second session with key 'a'"):
        write_store(tmp_path / "store", [one_session(), one_session()], ClipsConfiguration(height=6, width=8))


def test_sessions_of_another_frame_rate_are_refused(tmp_path):
    with pytest.raises(StoreError, match="60 Hz in session b, at 30 Hz in a") as caught:
        write_store(
            tmp_path / "store",
            [one_session(), one_session("b", frame_rate=60.0)],
            ClipsConfiguration(height=6, width=8),
        )
    assert "clock_rate" in (caught.value.remedy or "")


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(StoreError, match=r"letters\.txt"):
        StoreWriter(tmp_path, ClipsConfiguration(), {})
    with pytest.raises(StoreError, match=r"letters\.txt"):
        StoreWriter(tmp_path / "letters.txt", ClipsConfiguration(), {})
    assert (tmp_path / "letters.txt").read_text() == "dear"


def test_a_store_of_nothing_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no session"):
        StoreWriter(tmp_path / "store", ClipsConfiguration(), {}).finish()


def test_frames_of_a_session_that_could_not_be_read_are_taken_from_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("nwb_mivae.clips.writing"), "CHUNK_BYTES", 4 * 6 * 8 * 5)
    broken, whole = one_session("a"), one_session("b")
    reads = []
    template = broken.templates[0]
    pixels = template.frames

    def failing(frames):
        reads.append(len(frames))
        if len(reads) > 2:
            raise StoreError("a movie that breaks off")
        return pixels[frames]

    template.read = failing
    configuration = ClipsConfiguration(height=6, width=8)
    writer = StoreWriter(tmp_path / "store", configuration, {})
    with pytest.raises(StoreError, match="breaks off"):
        writer.add(broken, source={"path": "a.nwb", "sha256": None}, fingerprint="a")
    assert reads == [5, 5, 5]
    writer.add(whole, source={"path": "b.nwb", "sha256": None}, fingerprint="b")
    store = writer.finish()
    assert list(store.sessions) == ["b"]
    assert np.array_equal(store.stimulus[store.sessions["b"].stimulus_row[:20]], pixels)
    assert sorted(path.name for path in store.path.iterdir()) == ["manifest.json", "sessions", "stimulus.npy"]


def test_a_workspace_is_removed_whatever_happens(tmp_path):
    writer = StoreWriter(tmp_path / "store", ClipsConfiguration(height=6, width=8), {})

    def fails():
        with writer.workspace() as workspace:
            assert workspace.parent == tmp_path / "store"
            (workspace / "activity.npy").write_bytes(b"much")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["sessions"]
    # One that a killed process left behind is no reason to refuse the folder, and goes.
    (tmp_path / "store/.workspace.0123abcd.partial").mkdir()
    StoreWriter(tmp_path / "store", ClipsConfiguration(height=6, width=8), {})
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["sessions"]


def damage_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    ["stimulus.npy", "sessions/session-1/neural.npy", "sessions/session-1/time.npy", "sessions/session-1/cells.csv"],
)
def test_a_flipped_byte_is_found_by_verification(copy, name):
    damage_flip(copy / name)
    with pytest.raises(StoreError, match="SHA-256") as caught:
        ClipStore.open(copy, verify=True)
    assert caught.value.file == str(copy / name)
    assert "prepare" in (caught.value.remedy or "")


@pytest.mark.parametrize("name", ["stimulus.npy", "sessions/session-1/neural.npy", "sessions/session-0/cells.csv"])
def test_a_missing_file_is_found_at_once(copy, name):
    (copy / name).unlink()
    with pytest.raises(StoreError, match="no such file"):
        ClipStore.open(copy)


@pytest.mark.parametrize("name", ["stimulus.npy", "sessions/session-1/neural.npy", "sessions/session-1/valid.npy"])
def test_a_cut_file_is_found_at_once(copy, name):
    (copy / name).write_bytes((copy / name).read_bytes()[:-100])
    with pytest.raises(StoreError, match="cannot be read"):
        ClipStore.open(copy)


def test_an_array_of_another_shape_is_found_at_once(copy):
    np.save(copy / "sessions/session-1/valid.npy", np.ones(3, dtype=bool))
    with pytest.raises(StoreError, match=r"bool \(3,\)"):
        ClipStore.open(copy)


def test_a_pickle_is_never_loaded(copy):
    np.save(copy / "sessions/session-1/valid.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match="cannot be read"):
        ClipStore.open(copy)


def test_rows_beyond_the_frames_are_found_at_once(copy):
    path = copy / "sessions/session-1/stimulus_row.npy"
    np.save(path, np.load(path) + 10_000)
    with pytest.raises(StoreError, match="stimulus row"):
        ClipStore.open(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest: manifest.pop("stimulus"), "without 'stimulus'"),
        (lambda manifest: manifest["sessions"]["session-0"].pop("files"), "without 'files'"),
        (lambda manifest: manifest.update(format="other"), "not a manifest"),
        (lambda manifest: manifest.update(format_version=99), "format version 99"),
    ],
)
def test_a_manifest_of_something_else_is_refused(copy, change, words):
    manifest = json.loads((copy / "manifest.json").read_text())
    change(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=words):
        ClipStore.open(copy)


def test_a_folder_without_a_store_is_refused(tmp_path, copy):
    with pytest.raises(StoreError, match="no such folder"):
        ClipStore.open(tmp_path / "nowhere")
    (copy / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        ClipStore.open(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"no manifest\.json"):
        ClipStore.open(copy)
