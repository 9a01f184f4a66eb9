from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.alignment import AlignmentConfiguration, align
from nwb_mivae.alignment.missing import MissingSamples, Verdict, fill
from nwb_mivae.errors import AlignmentError
from nwb_mivae.sessions.session import MultiPlaneTraces, SampledTraces, Session
from tests.alignment.sessions import make_session, movie, presentation_table, sampled

CONFIGURATION = AlignmentConfiguration(lag=0.0)
RATE = 20.0


def judged(values: np.ndarray, used: np.ndarray | None = None, chunk: int = 1000, **settings) -> Verdict:
    missing = MissingSamples(*values.shape)
    for first in range(0, len(values), chunk):
        missing.add(first, values[first : first + chunk])
    used = np.ones(len(values), dtype=bool) if used is None else used
    return missing.judge(used, RATE, AlignmentConfiguration(**settings))


def complete(samples: int = 2000, cells: int = 50) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((samples, cells)).astype(np.float32)


def session_of(values: np.ndarray, **more) -> Session:
    timestamps = np.arange(len(values)) / RATE
    start = 1.0 + np.arange(int((timestamps[-1] - 2) * 30)) / 30
    traces = more.pop("traces", sampled(timestamps, values))
    return make_session(presentation_table(start, start + 1 / 30, np.arange(len(start))), traces, [movie(len(start))])


def test_nothing_missing_keeps_everything():
    verdict = judged(complete())
    assert verdict.kept.tolist() == list(range(50))
    assert not verdict.lost.any()


def test_cells_that_miss_too_much_are_left_out_and_do_not_make_samples_lost():
    values = complete()
    values[:, :20] = np.nan  # ROIs that never had a value
    values[::50, 30] = np.inf  # two in a hundred
    values[::200, 31] = np.nan  # one in two hundred
    verdict = judged(values)
    assert verdict.kept.tolist() == [*range(20, 30), *range(31, 50)]
    assert not verdict.lost.any()
    assert 30 in judged(values, maximum_missing_share=0.03).kept


def test_samples_that_many_cells_miss_are_lost_and_count_against_none():
    values = complete()
    values[300:400, 10:20] = np.nan  # the fifth part of the cells, for five seconds
    values[700] = np.nan
    verdict = judged(values)
    assert verdict.kept.tolist() == list(range(50))
    assert np.flatnonzero(verdict.lost).tolist() == [*range(300, 400), 700]
    few = judged(values, maximum_missing_cells=0.3)
    assert np.flatnonzero(few.lost).tolist() == [700]
    assert few.kept.tolist() == [*range(10), *range(20, 50)]


def test_a_stretch_too_long_to_be_filled_leaves_the_cell_out():
    values = complete()
    values[500:520, 3] = np.nan  # a second
    values[500:521, 4] = np.nan
    verdict = judged(values, maximum_missing_share=0.05)
    assert verdict.longest == 20
    assert sorted(set(range(50)) - set(verdict.kept)) == [4]


def test_samples_that_no_frame_needs_do_not_count():
    values = complete()
    values[:1000, 7] = np.nan
    used = np.zeros(2000, dtype=bool)
    assert 7 not in judged(values).kept
    used[1000:] = True
    assert 7 in judged(values, used).kept


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), chunk=st.integers(1, 70), share=st.sampled_from([0.0005, 0.01, 0.1]))
def test_the_verdict_does_not_depend_on_the_chunks(seed, chunk, share):
    random = np.random.default_rng(seed)
    values = complete(200, 12)
    values[random.random(values.shape) < share] = np.nan
    for _ in range(3):
        first, cell = random.integers(0, 190), random.integers(0, 12)
        values[first : first + random.integers(1, 60), cell : cell + random.integers(1, 6)] = np.nan
    whole, pieces = judged(values), judged(values, chunk=chunk)
    assert np.array_equal(whole.kept, pieces.kept)
    assert np.array_equal(whole.lost, pieces.lost)
    # What is kept can be filled from at most `longest` away.
    missing = ~np.isfinite(values[:, whole.kept]) & ~whole.lost[:, None]
    for column in missing.T:
        run = 0
        for is_missing in column:
            run = run + 1 if is_missing else 0
            assert run <= whole.longest


def test_filling_is_linear_in_time_and_holds_at_the_ends():
    timestamps = np.array([0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0])
    rows = np.array([[np.nan, 0.0, 5.0, np.nan, np.nan, 8.0, np.inf], np.arange(7.0)], dtype=np.float32).T
    filled, left, count = fill(timestamps, rows, longest=2)
    assert filled[:, 0] == pytest.approx([0.0, 0.0, 5.0, 5 + 3 * 2 / 4, 5 + 3 * 3 / 4, 8.0, 8.0])
    assert np.array_equal(filled[:, 1], rows[:, 1])
    assert not left.any()
    assert count.tolist() == [1, 0, 0, 1, 1, 0, 1]


def test_what_has_no_neighbour_nearby_is_left():
    rows = np.full((9, 2), np.nan, dtype=np.float32)
    rows[0, 0] = rows[8, 0] = 1.0
    filled, left, count = fill(np.arange(9.0), rows, longest=2)
    assert filled[:, 0].tolist() == [1, 1, 1, 0, 0, 0, 1, 1, 1]
    assert left.all()
    assert count.tolist() == [0, 1, 1, 0, 0, 0, 1, 1, 0]


def test_one_missing_sample_of_one_cell_masks_no_frame():
    timestamps = np.arange(400) / RATE
    values = np.stack([np.sin(timestamps + cell) for cell in range(30)], axis=1)
    truth = align(session_of(values), CONFIGURATION)
    values[100, 4] = np.nan
    values[200:203, 7] = np.nan
    aligned = align(session_of(values), CONFIGURATION)
    assert aligned.valid.all()
    assert aligned.report.values_filled == 4
    assert aligned.report.cells_dropped == 0
    # Over a gap of four steps a sine is off from the straight line by at most gap^2 / 8.
    assert np.abs(aligned.neural - truth.neural).max() < (4 / RATE) ** 2 / 8
    others = [cell for cell in range(30) if cell not in (4, 7)]
    assert np.array_equal(aligned.neural[:, others], truth.neural[:, others])
    assert any("4 missing samples of single cells" in note for note in aligned.report.notes)


def test_samples_that_many_cells_miss_mask_the_frames_that_need_them():
    values = complete(400, 30)
    values[200, 3:9] = np.nan
    aligned = align(session_of(values), CONFIGURATION)
    assert aligned.report.cells_dropped == 0
    assert aligned.report.planes[0].samples_lost == 1
    assert aligned.report.values_filled == 0
    needs = (aligned.time < 201 / RATE) & (aligned.stop_time > 199 / RATE)
    assert np.array_equal(~aligned.valid, needs)
    assert any("missing in more than 0.1 of the cells" in note for note in aligned.report.notes)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.001, 0.02, 0.3]),
    chunk=st.sampled_from([1000, 5000, 1 << 20]),
    planes=st.integers(1, 3),
)
def test_no_nan_ever_leaves_whatever_is_missing(seed, share, chunk, planes):
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(planes):
        values = complete(300, 15)
        values[random.random(values.shape) < share] = random.choice([np.nan, np.inf, -np.inf])
        values[:, random.random(15) < 0.1] = np.nan
        first = random.integers(0, 290)
        values[first : first + random.integers(1, 40)] = np.nan
        parts.append(sampled((np.arange(300) + random.uniform(0, 0.5)) / RATE, values))
    module = importlib.import_module("nwb_mivae.alignment.activity")
    before, module._CHUNK_BYTES = module._CHUNK_BYTES, chunk
    try:
        session = session_of(np.zeros((300, 15)), traces=parts[0] if planes == 1 else MultiPlaneTraces(parts))
        aligned = align(session, CONFIGURATION)
    except AlignmentError:
        # More missing samples than most cells may have (1 %): no cell is left, or no frame.
        assert share > CONFIGURATION.maximum_missing_share
        return
    finally:
        module._CHUNK_BYTES = before
    assert np.isfinite(aligned.neural).all()
    assert not aligned.neural[~aligned.valid].any()
    assert aligned.neural.shape[1] == len(aligned.cells) == aligned.report.cells
    assert aligned.report.cells + aligned.report.cells_dropped == 15 * planes


def test_a_plane_that_holds_nothing_is_left_out_and_masks_no_frame():
    timestamps = np.arange(400) / RATE
    good = sampled(timestamps, complete(400, 5))
    empty = sampled(timestamps, np.full((400, 3), np.nan))
    aligned = align(session_of(complete(400, 5), traces=MultiPlaneTraces([empty, good])), CONFIGURATION)
    assert aligned.valid.all()
    assert aligned.cells["id"].tolist() == ["3", "4", "5", "6", "7"]
    assert [plane.cells for plane in aligned.report.planes] == [0, 5]
    assert any("3 cells were left out" in note for note in aligned.report.notes)


def test_traces_are_read_once_where_nothing_is_missing_and_twice_where_something_is():
    def counting(values: np.ndarray) -> tuple[SampledTraces, list[int]]:
        reads: list[int] = []

        def read(start: int, stop: int) -> np.ndarray:
            reads.extend(range(start, stop))
            return values[start:stop]

        timestamps = np.arange(len(values)) / RATE
        return SampledTraces(read, timestamps, values.shape[1], kind="dff", unit="", path="traces"), reads

    module = importlib.import_module("nwb_mivae.alignment.activity")
    values = complete(400, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_BYTES", 30 * 4 * 50)
        traces, reads = counting(values)
        align(session_of(values, traces=traces), CONFIGURATION)
        assert len(reads) == len(set(reads))
        values[350, 2] = np.nan
        traces, reads = counting(values)
        align(session_of(values, traces=traces), CONFIGURATION)
        # But for the piece in which it was found.
        assert np.sum(np.bincount(reads) > 2) <= 50
