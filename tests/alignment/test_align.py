from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.alignment import AlignmentConfiguration, align
from nwb_mivae.errors import AlignmentError, ConfigurationError
from nwb_mivae.sessions.session import Finding, SpikeTrains, Traces
from tests.alignment.sessions import make_session, movie, presentation_table, sampled, series, spiking


def simple_session(**more):
    start = 1.0 + np.arange(90) / 30
    timestamps = np.arange(0, 6, 1 / 20)
    values = np.stack([timestamps, np.sin(timestamps)], axis=1)
    arguments = {
        "presentations": presentation_table(start, start + 1 / 30, np.arange(90)),
        "traces": sampled(timestamps, values),
        "templates": [movie(90)],
    }
    return make_session(**{**arguments, **more})


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), display_rate=st.floats(7.0, 90.0))
def test_spike_counts_of_adjacent_frames_add_up(seed, display_rate):
    random = np.random.default_rng(seed)
    start = 5.0 + np.arange(120) / display_rate + random.uniform(-0.1, 0.1, 120) / display_rate
    trains = [random.uniform(0, 30, random.integers(0, 500)) for _ in range(4)]
    session = make_session(
        presentation_table(start, start + 1 / display_rate, np.arange(120)), spiking(trains, (0.0, 40.0)), [movie(120)]
    )
    aligned = align(session, AlignmentConfiguration(lag=0.0))
    assert aligned.trace_kind == "spikes"
    assert aligned.valid.all()
    for cell, train in enumerate(trains):
        assert aligned.neural[:, cell].sum() == np.sum((train >= aligned.time[0]) & (train < aligned.stop_time[-1]))
    assert aligned.report.neural_rate is None


def test_counts_outside_the_recording_are_masked():
    start = np.arange(60) / 30
    session = make_session(
        presentation_table(start, start + 1 / 30, np.arange(60)), spiking([[0.1, 0.9, 1.9]], (0.5, 1.5)), [movie(60)]
    )
    aligned = align(session, AlignmentConfiguration(lag=0.0))
    assert aligned.valid.tolist() == [a >= 0.5 and a + 1 / 30 <= 1.5 + 1e-9 for a in start]
    assert aligned.neural.sum() == 1


@pytest.mark.parametrize(
    ("kind", "lag"), [("dff", 0.2), ("fluorescence", 0.2), ("deconvolved", 0.07), ("events", 0.07)]
)
def test_the_default_lag_follows_from_the_kind_of_trace(kind, lag):
    timestamps = np.arange(0, 5, 1 / 30)
    session = simple_session(traces=sampled(timestamps, timestamps[:, None], kind))
    aligned = align(session)
    assert aligned.report.lag == lag
    middle = 0.5 * (aligned.time + aligned.stop_time)
    np.testing.assert_allclose(aligned.neural[aligned.valid, 0], middle[aligned.valid] + lag, atol=1e-5)


def test_the_default_lag_of_spikes_is_that_of_the_cortex():
    start = np.arange(60) / 30
    session = make_session(
        presentation_table(start, start + 1 / 30, np.arange(60)),
        spiking([[1.0 + 0.07 + 0.01]], (0.0, 3.0)),
        [movie(60)],
    )
    aligned = align(session)
    assert aligned.report.lag == 0.07
    assert np.flatnonzero(aligned.neural[:, 0]).tolist() == [30]


def test_cells_with_missing_samples_are_dropped_and_single_ones_masked():
    timestamps = np.arange(0, 5, 1 / 30)
    values = np.random.default_rng(0).standard_normal((len(timestamps), 4))
    values[:, 1] = np.nan
    values[60, 2] = np.nan
    values[90:95] = np.nan
    session = simple_session(traces=sampled(timestamps, values))
    aligned = align(session, AlignmentConfiguration(lag=0.0))
    assert aligned.report.cells_dropped == 1
    assert aligned.cells["id"].tolist() == ["0", "2", "3"]
    assert aligned.neural.shape == (90, 3)
    assert np.isfinite(aligned.neural).all()
    near = (np.abs(aligned.time - 2.0) < 0.05) | ((aligned.time > 2.9) & (aligned.time < 3.2))
    assert aligned.valid[~near].all()
    assert 5 <= np.sum(~aligned.valid) <= 10
    assert np.isnan(aligned.coordinates[:, 1]).all()
    assert aligned.coordinates[:, 0].tolist() == [0.0, 2.0, 3.0]


def test_traces_are_read_in_pieces_with_the_same_result(monkeypatch):
    session = simple_session()
    whole = align(session)
    monkeypatch.setattr(importlib.import_module("nwb_mivae.alignment.activity"), "_CHUNK_BYTES", 80)
    assert np.array_equal(align(session).neural, whole.neural)


def test_auxiliary_variables_have_one_shape_in_every_session():
    timestamps = np.arange(0, 6, 0.05)
    pupil = np.full(len(timestamps), 3.0)
    pupil[40:] = np.nan
    session = simple_session(
        behaviour={
            "running": series("running", timestamps, timestamps * 2),
            "pupil": series("pupil", timestamps, pupil),
        }
    )
    aligned = align(session)
    assert aligned.auxiliary_names == ("running", "pupil", "time")
    assert aligned.auxiliary[:, 0] == pytest.approx(aligned.time + aligned.stop_time, abs=1e-5)
    assert (aligned.auxiliary[:, 1] == 3.0).all()
    assert aligned.auxiliary[:, 2] == pytest.approx(aligned.time - aligned.time[0], abs=1e-5)
    assert aligned.report.auxiliary_filled["running"] == 0.0
    assert 0.5 < aligned.report.auxiliary_filled["pupil"] < 1.0
    assert align(simple_session()).auxiliary.shape == aligned.auxiliary.shape
    assert align(simple_session()).report.auxiliary_filled["running"] == 1.0


def test_report_can_be_written_and_says_what_was_done():
    start = np.arange(20) * 0.5
    table = presentation_table(start, np.full(20, np.nan), np.arange(20) % 4)
    timestamps = np.r_[np.arange(0, 4, 0.1), np.arange(5, 12, 0.1)]
    session = make_session(table, sampled(timestamps, np.ones((len(timestamps), 2))), [movie(4)], subject="")
    aligned = align(session, AlignmentConfiguration(clock_rate=20.0))
    report = aligned.report.as_dict()
    assert json.loads(json.dumps(report)) == report
    assert report["neural_gaps"] == 1
    assert report["neural_gap_seconds"] == pytest.approx(1.1)
    assert report["presentations_on_clock"] == 20
    assert report["n_frames"] == 200
    assert report["masked_share"] == pytest.approx(1 - report["n_valid"] / 200)
    assert len(report["notes"]) == 5
    assert "names no subject" in report["notes"][0]
    assert "0.2 s later" in report["notes"][1]
    assert aligned.subject == "mouse_session"


def test_the_clock_of_standing_images_is_at_most_that_of_the_activity():
    start = np.arange(10) * 1.0
    timestamps = np.arange(0, 12, 0.1)
    session = make_session(
        presentation_table(start, start + 1.0, np.zeros(10)), sampled(timestamps, np.ones((120, 1))), [movie(1)]
    )
    assert align(session).frame_rate == pytest.approx(10.0)


def test_missing_movies_are_listed_with_the_option_that_helps():
    start = np.arange(4) * 10.0
    session = simple_session(
        presentations=presentation_table(start, start + 8, np.zeros(4), ["a.mp4", "b.mp4", "a.mp4", "c.mp4"]),
        templates=[],
        missing={"a.mp4": "no file clips/a.mp4", "b.mp4": "no file clips/b.mp4"},
    )
    with pytest.raises(AlignmentError) as caught:
        align(session)
    error = caught.value
    assert "missing are a.mp4, b.mp4, c.mp4 (no file clips/a.mp4)" in error.found
    assert "--stimulus-folder" in (error.remedy or "")
    assert error.file == "mouse.nwb"
    assert error.object_path == "stimulus/presentation/movie"
    assert error.expected


def test_movies_partly_missing_leave_the_rest_and_a_count():
    start = 1.0 + np.arange(60) / 30
    session = simple_session(
        presentations=presentation_table(start, start + 1 / 30, np.arange(60), ["movie"] * 50 + ["absent"] * 10),
        missing={"absent": "absent.mp4"},
    )
    aligned = align(session)
    assert len(aligned.time) == 50
    assert aligned.report.excluded == {"template without pixels": 10}
    assert aligned.report.missing_templates == ["absent"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"traces": None, "findings": [Finding("warning", "x", "no series of cells")]}, "no series of cells"),
        ({"traces": None}, "no activity"),
        ({"traces": sampled([0.0, 1.0, 1.0], np.ones((3, 1)))}, "do not increase"),
        ({"traces": sampled([0.0], np.ones((1, 1)))}, "1 imaging times"),
        ({"traces": sampled(np.arange(200) / 30, np.full((200, 2), np.nan))}, "NaN throughout"),
        ({"traces": sampled(100 + np.arange(200) / 30, np.ones((200, 2)))}, "no stimulus frame with known activity"),
        ({"presentations": presentation_table([], [], [])}, "no presentation"),
        ({"presentations": presentation_table([1.0], [1.0], [0])}, "no duration"),
    ],
)
def test_what_cannot_be_aligned_is_refused_with_file_and_remedy(change, words):
    with pytest.raises(AlignmentError, match=words) as caught:
        align(simple_session(**change))
    assert caught.value.file == "mouse.nwb"
    assert caught.value.expected
    assert caught.value.remedy


def test_too_many_missing_samples_name_the_setting():
    values = np.ones((180, 2))
    values[::3, 0] = np.nan
    values[1::3, 1] = np.nan
    with pytest.raises(AlignmentError, match="no cell with few enough") as caught:
        align(simple_session(traces=sampled(np.arange(180) / 30, values)))
    assert "maximum_missing_share" in (caught.value.remedy or "")


def test_unknown_kinds_of_traces_are_refused():
    class Other(Traces):
        kind, unit, path = "dff", "", "other"
        n_cells = 1
        interval = (0.0, 9.0)

    with pytest.raises(AlignmentError, match="Other"):
        align(simple_session(traces=Other()))


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigurationError, match="gap_factor"):
        AlignmentConfiguration.from_mapping({"gap_factor": 0.5})


def test_frames_in_times_that_the_file_marks_as_invalid_are_masked():
    start = np.arange(10) * 0.1
    timestamps = np.arange(0, 3, 0.05)
    session = make_session(
        presentation_table(start, start + 0.1, np.arange(10)), sampled(timestamps, np.ones((60, 2))), [movie(10)]
    )
    session.invalid_times = np.array([[0.72, 0.73], [0.25, 0.3]])
    aligned = align(session, AlignmentConfiguration(lag=0.0))
    assert np.flatnonzero(~aligned.valid).tolist() == [2, 7]
    assert not aligned.neural[~aligned.valid].any()
    assert any("marks as invalid" in note for note in aligned.report.notes)
    later = align(session, AlignmentConfiguration(lag=0.2))
    assert np.flatnonzero(~later.valid).tolist() == [0, 1, 2, 5, 6, 7]


@settings(max_examples=50, deadline=None)
@given(intervals=st.lists(st.tuples(*[st.integers(0, 8).map(lambda tenths: tenths / 10)] * 2), max_size=6))
def test_invalid_times_may_overlap_and_stand_in_any_order(intervals):
    start = np.arange(10) * 0.1
    session = make_session(
        presentation_table(start, start + 0.1, np.arange(10)),
        sampled(np.arange(0, 3, 0.05), np.ones((60, 2))),
        [movie(10)],
    )
    session.invalid_times = np.array([*intervals, (1.5, np.inf)])
    aligned = align(session, AlignmentConfiguration(lag=0.0, static_longer_than=1.0))
    touched = [
        any(first < end and last > begin for begin, end in intervals)
        for first, last in zip(aligned.time, aligned.stop_time, strict=True)
    ]
    assert (~aligned.valid).tolist() == touched


def test_frames_between_observation_intervals_are_masked():
    start = np.arange(10) * 0.1
    trains = SpikeTrains(
        np.array([0.05, 0.95]),
        np.array([2]),
        interval=(0.0, 1.0),
        path="units",
        observed=np.array([[0.0, 0.31], [0.59, 1.01]]),
    )
    session = make_session(presentation_table(start, start + 0.1, np.arange(10)), trains, [movie(10)])
    aligned = align(session, AlignmentConfiguration(lag=0.0))
    assert np.flatnonzero(~aligned.valid).tolist() == [3, 4, 5]


@pytest.mark.parametrize("last", [1e9, np.inf])
def test_presentations_that_never_end_are_refused_before_they_fill_the_memory(last):
    start = np.arange(10) * 0.1
    table = presentation_table(start, np.r_[start[1:], last], np.arange(10))
    session = make_session(table, sampled(np.arange(0, 3, 0.05), np.ones((60, 2))), [movie(10)])
    with pytest.raises(AlignmentError, match="row 9") as caught:
        align(session)
    assert "seconds" in caught.value.remedy


def test_images_shown_for_just_the_limit_are_all_treated_alike():
    random = np.random.default_rng(0)
    for shown in (0.2, 0.205):
        start = 1.0 + np.arange(200) * shown
        stop = start + shown
        start, stop = (times + random.uniform(-0.008, 0.008, 200) for times in (start, stop))
        session = make_session(
            presentation_table(start, stop, np.arange(200)),
            sampled(np.arange(0, 50, 0.05), np.ones((1000, 2))),
            [movie(200)],
        )
        used = align(session, AlignmentConfiguration(clock_rate=20.0)).report
        assert used.presentations_on_clock in (0, 200)
        assert used.n_segments == 1
