from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.alignment import AlignmentConfiguration, align
from nwb_mivae.errors import AlignmentError
from nwb_mivae.sessions.session import Finding, MultiPlaneTraces
from tests.alignment.sessions import make_session, movie, presentation_table, sampled

CONFIGURATION = AlignmentConfiguration(lag=0.0)


def two_planes(first: np.ndarray, second: np.ndarray, table=None):
    planes = [
        sampled(times, np.stack([times, plane + times], axis=1)) for plane, times in enumerate((first, second), start=1)
    ]
    start = 1.0 + np.arange(90) / 30
    table = presentation_table(start, start + 1 / 30, np.arange(90)) if table is None else table
    return make_session(table, MultiPlaneTraces(planes), [movie(90)])


def test_planes_lie_side_by_side_each_on_its_own_clock():
    aligned = align(two_planes(np.arange(0, 6, 0.1), 0.05 + np.arange(0, 6, 0.13)), CONFIGURATION)
    middle = 0.5 * (aligned.time + aligned.stop_time)
    assert aligned.neural == pytest.approx(np.stack([middle, middle + 1, middle, middle + 2], axis=1), abs=1e-5)
    assert aligned.cells["id"].tolist() == ["0", "1", "2", "3"]
    assert [plane.cells for plane in aligned.report.planes] == [2, 2]
    assert [plane.rate for plane in aligned.report.planes] == pytest.approx([10.0, 1 / 0.13])
    assert aligned.report.neural_rate == pytest.approx(1 / 0.13)
    assert any("2 imaging planes" in note for note in aligned.report.notes)


def test_a_frame_is_valid_where_every_plane_knows_it():
    first = np.r_[np.arange(0, 2, 0.1), np.arange(2.5, 6, 0.1)]
    second = np.arange(1.5, 6, 0.1)
    aligned = align(two_planes(first, second), CONFIGURATION)
    expected = (aligned.time >= 1.5 - 1e-6) & ((aligned.stop_time <= 1.9 + 1e-6) | (aligned.time >= 2.5 - 1e-6))
    assert np.array_equal(aligned.valid, expected)
    assert not aligned.neural[~aligned.valid].any()
    assert [plane.gaps for plane in aligned.report.planes] == [1, 0]
    assert aligned.report.neural_gaps == 1
    assert aligned.report.neural_gap_seconds == pytest.approx(0.6)


def test_standing_images_take_the_clock_of_the_slowest_plane():
    start = np.arange(5) * 1.0
    table = presentation_table(start, start + 1.0, np.arange(5))
    aligned = align(two_planes(np.arange(0, 6, 0.05), np.arange(0, 6, 0.1), table), CONFIGURATION)
    assert aligned.frame_rate == pytest.approx(10.0)


def test_a_plane_whose_times_run_backwards_is_named():
    session = two_planes(np.arange(0, 6, 0.1), np.arange(0, 6, 0.1)[::-1])
    session.traces.planes[1].path = "processing/plane_1"
    with pytest.raises(AlignmentError, match="do not increase") as caught:
        align(session)
    assert caught.value.object_path == "processing/plane_1"


def test_planes_that_never_overlap_leave_no_frame():
    with pytest.raises(AlignmentError, match="no stimulus frame with known activity"):
        align(two_planes(np.arange(0, 2, 0.1), np.arange(3, 6, 0.1)), CONFIGURATION)


@pytest.mark.parametrize("planes", [1, 2])
def test_a_workspace_holds_what_memory_would(tmp_path, monkeypatch, planes):
    import importlib

    monkeypatch.setattr(importlib.import_module("nwb_mivae.alignment.activity"), "_CHUNK_BYTES", 200)
    session = two_planes(np.r_[np.arange(0, 2, 0.1), np.arange(2.5, 6, 0.1)], np.arange(0, 6, 0.13))
    if planes == 1:
        session.traces = session.traces.planes[0]
        session.cells = session.cells.iloc[:2]
    in_memory = align(session, CONFIGURATION)
    mapped = align(session, CONFIGURATION, workspace=tmp_path)
    assert isinstance(mapped.neural, np.memmap)
    assert not mapped.neural.flags.writeable
    assert mapped.neural.dtype == np.float32
    assert np.array_equal(mapped.neural, in_memory.neural)
    assert np.array_equal(mapped.valid, in_memory.valid)
    assert mapped.report == in_memory.report
    assert [path.name for path in tmp_path.iterdir()] == ["activity.npy"]


def test_spike_counts_of_a_workspace_are_those_of_memory(tmp_path, monkeypatch):
    import importlib

    from tests.alignment.sessions import spiking

    random = np.random.default_rng(0)
    start = 1.0 + np.arange(90) / 30
    trains = [random.uniform(0, 5, 400) for _ in range(4)]
    session = make_session(
        presentation_table(start, start + 1 / 30, np.arange(90)), spiking(trains, (1.5, 5.0)), [movie(90)]
    )
    in_memory = align(session, CONFIGURATION)
    monkeypatch.setattr(importlib.import_module("nwb_mivae.alignment.activity"), "_CHUNK_BYTES", 100)
    read = []
    of_cell = session.traces.of_cell
    monkeypatch.setattr(session.traces, "of_cell", lambda cell: read.append(cell) or of_cell(cell))
    mapped = align(session, CONFIGURATION, workspace=tmp_path)
    assert read == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["activity.npy"]
    assert in_memory.neural.sum() > 0
    assert np.array_equal(mapped.neural, in_memory.neural)
    assert np.array_equal(mapped.valid, in_memory.valid)


def test_what_the_reader_guessed_is_in_the_report():
    session = two_planes(np.arange(0, 6, 0.1), np.arange(0, 6, 0.1))
    session.findings = [
        Finding("guess", "processing/a", "no starting time; 0 s was taken"),
        Finding("info", "processing/b", "nothing to see"),
        Finding("guess", "", "planes in order of name"),
    ]
    assert align(session).report.guesses == [
        "processing/a: no starting time; 0 s was taken",
        "planes in order of name",
    ]
