from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions import (
    BaselineConfiguration,
    MultiPlaneTraces,
    SampledTraces,
    Session,
    SessionsConfiguration,
    read_session,
)
from tests.nwb_files import add_plane, add_traces, new_file, write

N_SAMPLES, N_ROIS = 40, 4
VALUES = (np.arange(N_SAMPLES)[:, None] * 10 + np.arange(N_ROIS)).astype(np.float32)


def traces_of(session: Session) -> SampledTraces:
    assert isinstance(session.traces, SampledTraces)
    return session.traces


def messages(session: Session, level: str) -> list[str]:
    return [finding.message for finding in session.findings if finding.level == level]


@pytest.mark.parametrize(
    ("offers", "chosen", "kind"),
    [
        ([("Fluorescence", "Corrected"), ("DfOverF", "DfOverF")], "DfOverF/DfOverF", "dff"),
        ([("Fluorescence", "DfOverF"), ("Fluorescence", "l0_events")], "Fluorescence/DfOverF", "dff"),
        ([("DfOverF", "DfOverFEvents"), ("Fluorescence", "RoiResponseSeries")], "DfOverF/DfOverFEvents", "events"),
        ([("Fluorescence", "Neuropil"), ("Fluorescence", "Deconvolved")], "Fluorescence/Deconvolved", "deconvolved"),
        ([("Fluorescence", "Neuropil"), ("Fluorescence", "Series1")], "Fluorescence/Series1", "dff"),
        ([("neuropil_trace", "traces"), ("corrected_trace", "traces")], "corrected_trace/traces", "dff"),
        ([("Fluorescence", "spks"), ("dff", "traces")], "dff/traces", "dff"),
    ],
)  # fmt: skip
def test_the_best_traces_are_found_by_name_and_container(
    tmp_path: Path, offers: list[tuple[str, str]], chosen: str, kind: str
) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS)
    for number, (container, name) in enumerate(offers):
        add_traces(nwbfile, table, VALUES + number, container=container, name=name)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        traces = traces_of(session)
        assert traces.path == f"processing/ophys/{chosen}"
        assert traces.kind == kind
        assert [item.path for item in session.candidates if item.chosen] == [traces.path]
        assert len(session.candidates) == len(offers)


def test_values_are_read_in_parts_with_conversion_and_offset(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES, conversion=0.5, offset=-1.0, unit="percent")
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        traces = traces_of(session)
        assert traces.unit == "percent"
        assert traces.shape == (N_SAMPLES, N_ROIS)
        assert traces.read().dtype == np.float32
        np.testing.assert_allclose(traces.read(), VALUES * 0.5 - 1.0)
        np.testing.assert_allclose(traces.read(5, 9), VALUES[5:9] * 0.5 - 1.0)
        assert traces.rate == pytest.approx(10.0)
        assert traces.interval == (0.0, pytest.approx(3.9))


def test_transposed_traces_are_turned(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES.T)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        np.testing.assert_array_equal(traces_of(session).read(3, 20), VALUES[3:20])
        assert session.candidates[0].orientation == "cells x time"
        assert any("cells x time" in message for message in messages(session, "info"))


def test_one_cell_may_be_stored_without_an_axis(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, 1), VALUES[:, 0])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert traces_of(session).shape == (N_SAMPLES, 1)
        np.testing.assert_array_equal(traces_of(session).read(2, 8), VALUES[2:8, :1])


def test_square_traces_are_a_guess(tmp_path: Path) -> None:
    nwbfile = new_file()
    square = VALUES[:N_ROIS]
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), square)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        np.testing.assert_array_equal(traces_of(session).read(), square)
        assert any("fits both ways" in message for message in messages(session, "guess"))


@pytest.mark.parametrize("extra", [-1, 1])
@pytest.mark.parametrize("turned", [False, True])
def test_timestamps_one_off_are_trimmed(tmp_path: Path, extra: int, turned: bool) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES, timestamps=np.arange(N_SAMPLES) / 20 + 3)
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        group = file["processing/ophys/DfOverF/RoiResponseSeries"]
        del group["timestamps"]
        group["timestamps"] = np.arange(N_SAMPLES + extra) / 20 + 3
        group["timestamps"].attrs.update({"interval": 1, "unit": "seconds"})
        if turned:
            attributes = dict(group["data"].attrs)
            del group["data"]
            group["data"] = VALUES.T
            group["data"].attrs.update(attributes)
    with read_session(path) as session:
        traces = traces_of(session)
        expected = N_SAMPLES + min(extra, 0)
        assert traces.shape == (expected, N_ROIS)
        np.testing.assert_array_equal(traces.read(), VALUES[:expected])
        assert any("timestamps for" in message for message in messages(session, "guess"))


def patched_rate(path: Path, rate: float) -> Path:
    with h5py.File(path, "r+") as file:
        file["processing/ophys/DfOverF/RoiResponseSeries/starting_time"].attrs["rate"] = rate
    return path


@pytest.mark.parametrize("rate", [0.0, np.nan])
def test_a_rate_that_says_nothing_gives_way_to_the_imaging_rate(tmp_path: Path, rate: float) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS, imaging_rate=25.0), VALUES)
    with read_session(patched_rate(write(nwbfile, tmp_path / "a.nwb"), rate)) as session:
        assert traces_of(session).rate == pytest.approx(25.0)
        assert any("25 Hz was taken" in message for message in messages(session, "guess"))


def test_without_any_rate_the_traces_are_refused(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS, imaging_rate=None), VALUES)
    path = patched_rate(write(nwbfile, tmp_path / "a.nwb"), 0.0)
    with pytest.raises(SessionError, match="no timestamps, a rate of 0") as caught:
        read_session(path)
    assert caught.value.object_path == "processing/ophys/DfOverF/RoiResponseSeries"


def test_a_missing_starting_time_is_a_guess(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES)
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file["processing/ophys/DfOverF/RoiResponseSeries/starting_time"][()] = np.nan
    with read_session(path) as session:
        assert traces_of(session).interval[0] == 0.0
        assert any("no starting time" in message for message in messages(session, "guess"))


@pytest.mark.parametrize(
    "times", [np.zeros(N_SAMPLES), np.where(np.arange(N_SAMPLES) == 7, np.nan, np.arange(N_SAMPLES))]
)
def test_timestamps_that_do_not_increase_are_refused(tmp_path: Path, times: Any) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES, timestamps=times)
    with pytest.raises(SessionError, match="repeated or run backwards"):
        read_session(write(nwbfile, tmp_path / "a.nwb"))


def test_a_series_that_is_no_time_series_is_left_out_and_said(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS)
    add_traces(nwbfile, table, VALUES, container="Fluorescence", name="traces")
    add_traces(nwbfile, table, np.zeros((1, N_ROIS)), name="RMSE")
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert traces_of(session).path.endswith("traces")
        assert any("left out" in message for message in messages(session, "warning"))
        assert {item.orientation for item in session.candidates} == {"time x cells", "unknown"}


def test_the_user_may_choose(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS)
    add_traces(nwbfile, table, VALUES)
    add_traces(nwbfile, table, VALUES + 1, container="Fluorescence", name="raw")
    path = write(nwbfile, tmp_path / "a.nwb")
    for asked in ("/processing/ophys/Fluorescence/raw", "processing/ophys/Fluorescence"):
        with read_session(path, configuration=SessionsConfiguration(trace=asked)) as session:
            np.testing.assert_array_equal(traces_of(session).read(), VALUES + 1)
    with pytest.raises(SessionError, match="no such traces") as caught:
        read_session(path, configuration=SessionsConfiguration(trace="processing/ophys/nothing"))
    assert "processing/ophys/Fluorescence/raw" in (caught.value.expected or "")


def test_what_the_user_chose_is_refused_where_it_cannot_be_used(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS)
    add_traces(nwbfile, table, VALUES, name="good")
    add_traces(nwbfile, table, np.zeros((1, N_ROIS)), name="bad")
    configuration = SessionsConfiguration(trace="processing/ophys/DfOverF/bad")
    with pytest.raises(SessionError, match="data of shape"):
        read_session(write(nwbfile, tmp_path / "a.nwb"), configuration=configuration)


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ({"valid_roi": [True, False, True, True]}, [0, 2, 3]),
        ({"iscell": np.array([[1.0, 0.9], [1.0, 0.8], [0.0, 0.1], [1.0, 0.7]])}, [0, 1, 3]),
        ({"Accepted": [1, 0, 0, 1]}, [0, 3]),
        ({"mask_type": ["soma", "artifact", "soma", "unknown"]}, [0, 2, 3]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_what_the_file_calls_no_cell_is_left_out(tmp_path: Path, columns: dict[str, Any], kept: list[int]) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS, columns=columns)
    add_traces(nwbfile, table, VALUES)
    path = write(nwbfile, tmp_path / "a.nwb")
    with read_session(path) as session:
        assert session.cells["source_row"].tolist() == kept
        assert session.cells["id"].tolist() == [100 + row for row in kept]
        np.testing.assert_array_equal(traces_of(session).read(), VALUES[:, kept])
        assert any("ROIs left out" in message for message in messages(session, "info")) == (len(kept) < N_ROIS)
    with read_session(path, configuration=SessionsConfiguration(keep_invalid_cells=True)) as session:
        assert len(session.cells) == N_ROIS


def test_no_cell_at_all_is_refused(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS, columns={"iscell": [False] * N_ROIS}), VALUES)
    with pytest.raises(SessionError, match="none of them marked as a cell"):
        read_session(write(nwbfile, tmp_path / "a.nwb"))


def test_rois_are_rows_of_the_table_and_not_ids(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, 6), VALUES, rows=[5, 0, 3, 1])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.cells["id"].tolist() == [105, 100, 103, 101]
        assert session.cells["source_path"].unique().tolist() == ["processing/ophys/ImageSegmentation/rois_of_plane"]


def test_a_row_beyond_the_table_is_damage(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES)
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file["processing/ophys/DfOverF/RoiResponseSeries/rois"][2] = 77
    with pytest.raises(SessionError, match="row 77 of a ROI table of 4 rows"):
        read_session(path)


def test_planes_on_one_clock_stand_side_by_side(tmp_path: Path) -> None:
    nwbfile = new_file()
    for number, name in enumerate(("upper", "lower")):
        table = add_plane(nwbfile, N_ROIS - number, name=name, location=("VISp", "VISl")[number])
        add_traces(nwbfile, table, VALUES[:, : N_ROIS - number] + 1000 * number, name=f"series_{name}")
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        traces = traces_of(session)
        # In order of path, whatever the number of ROIs.
        assert session.cells["plane"].tolist() == ["lower"] * 3 + ["upper"] * 4
        assert session.cells["area"].tolist() == ["VISl"] * 3 + ["VISp"] * 4
        np.testing.assert_array_equal(traces.read(), np.hstack([VALUES[:, :3] + 1000, VALUES]))
        assert sum(item.chosen for item in session.candidates) == 2


def test_planes_acquired_in_turn_keep_their_clocks(tmp_path: Path) -> None:
    nwbfile = new_file()
    offsets = {"a": 0.0, "b": 0.05, "c": 0.05}
    for number, (name, offset) in enumerate(offsets.items()):
        table = add_plane(nwbfile, 2 + number % 2, name=name)
        times = np.arange(N_SAMPLES - number % 2) / 10 + offset
        add_traces(nwbfile, table, VALUES[: len(times), : 2 + number % 2] + 1000 * number, name=name, timestamps=times)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        traces = session.traces
        assert isinstance(traces, MultiPlaneTraces)
        assert session.cells["plane"].tolist() == ["a"] * 2 + ["b"] * 3 + ["c"] * 2
        assert [plane.n_cells for plane in traces.planes] == [2, 5]
        assert [len(plane.timestamps) for plane in traces.planes] == [N_SAMPLES, N_SAMPLES - 1]
        np.testing.assert_allclose(traces.planes[1].timestamps, np.arange(N_SAMPLES - 1) / 10 + 0.05)
        np.testing.assert_array_equal(traces.planes[0].read(), VALUES[:, :2])
        np.testing.assert_array_equal(traces.planes[1].read(3, 5)[:, 3:], VALUES[3:5, :2] + 2000)
        assert any("3 planes on 2 clocks, 7 cells" in message for message in messages(session, "info"))
        assert all(item.chosen for item in session.candidates)


def test_planes_at_other_times_are_left_out_and_said(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, 2, name="small"), VALUES[:, :2], name="small", starting_time=3.0, rate=10.0)
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS, name="large"), VALUES, name="large")
    path = write(nwbfile, tmp_path / "a.nwb")
    with read_session(path) as session:
        assert traces_of(session).path.endswith("large")
        assert any("another plane (small, 2 ROIs)" in message for message in messages(session, "warning"))
        assert [item.reason for item in session.candidates] == [
            "the best there is",
            "left out: it has 1 s of the 4 s of the largest plane",
        ]
    with read_session(path, configuration=SessionsConfiguration(trace="processing/ophys/DfOverF/small")) as session:
        assert traces_of(session).interval == (3.0, pytest.approx(6.9))
        assert [item.reason for item in session.candidates if item.chosen] == ["as configured"]


def test_a_container_with_one_series_for_each_plane_may_be_named(tmp_path: Path) -> None:
    nwbfile = new_file()
    for number in (1, 2):
        table = add_plane(nwbfile, 2, name=f"plane{number}")
        add_traces(nwbfile, table, VALUES[:, :2], name=f"RoiResponseSeries{number}", container="Fluorescence")
        add_traces(nwbfile, table, VALUES[:, :2], name=f"dff{number}")
    configuration = SessionsConfiguration(trace="processing/ophys/Fluorescence")
    with read_session(write(nwbfile, tmp_path / "a.nwb"), configuration=configuration) as session:
        assert traces_of(session).shape == (N_SAMPLES, 4)
        assert traces_of(session).kind == "fluorescence"
        assert session.cells["plane"].tolist() == ["plane1"] * 2 + ["plane2"] * 2
        reasons = {item.path: item.reason for item in session.candidates if not item.chosen}
        assert "Fluorescence/RoiResponseSeries1` was preferred" in reasons["processing/ophys/DfOverF/dff1"]


def raw_file(tmp_path: Path, raw: str = "raw", *, container: str = "Fluorescence", neuropil: bool = True) -> Path:
    nwbfile = new_file()
    table = add_plane(nwbfile, 3, columns={"iscell": [True, False, True]})
    background = 20 + 5 * np.sin(np.arange(900) / 20)[:, None] * np.ones(3)
    if neuropil:
        add_traces(nwbfile, table, background.T, container="Fluorescence", name="Neuropil")
    add_traces(nwbfile, table, 100.0 * np.arange(1, 4) + 0.7 * background, container=container, name=raw)
    return write(nwbfile, tmp_path / f"{raw}.nwb")


def test_raw_fluorescence_becomes_dff_less_its_neuropil(tmp_path: Path) -> None:
    path = raw_file(tmp_path)
    with read_session(path) as session:
        traces = traces_of(session)
        assert (traces.kind, traces.unit, traces.path) == ("dff", "dF/F", "processing/ophys/Fluorescence/raw")
        # What is left without the neuropil is constant.
        np.testing.assert_allclose(traces.read(100, 300), np.zeros((200, 2)), atol=1e-5)
        (guess,) = [message for message in messages(session, "guess") if "dF/F" in message]
        assert "less 0.7 times the neuropil `processing/ophys/Fluorescence/Neuropil`" in guess
        assert "percentile 8 over 60 s" in guess
        raw = session.candidates[0]
        assert (raw.path[-3:], raw.kind, raw.chosen) == ("raw", "fluorescence", True)
    configuration = SessionsConfiguration(baseline=BaselineConfiguration(neuropil_factor=0.0, window=20.0))
    with read_session(path, configuration=configuration) as session:
        assert np.ptp(traces_of(session).read()) > 0.02
        assert any("no neuropil was taken off" in message for message in messages(session, "guess"))


@pytest.mark.parametrize(
    ("configuration", "kind"),
    [
        ({"compute_dff": False}, "fluorescence"),
        ({"trace": "processing/ophys/Fluorescence/raw"}, "fluorescence"),
        ({"trace": "processing/ophys/Fluorescence/raw", "compute_dff": True}, "dff"),
    ],
)
def test_raw_values_are_there_for_whom_asks(tmp_path: Path, configuration: dict[str, Any], kind: str) -> None:
    with read_session(raw_file(tmp_path), configuration=SessionsConfiguration(**configuration)) as session:
        assert traces_of(session).kind == kind
        assert (traces_of(session).read().max() > 100) == (kind == "fluorescence")


@pytest.mark.parametrize(("unit", "kind"), [("dF/F", "dff"), ("DeltaF/F0", "dff"), ("F", "fluorescence")])
def test_what_is_dff_by_its_unit_is_not_normalised_again(tmp_path: Path, unit: str, kind: str) -> None:
    nwbfile = new_file()
    values = np.random.default_rng(0).normal(0, 0.1, (900, 3)).astype(np.float32)
    add_traces(nwbfile, add_plane(nwbfile, 3), values, container="Fluorescence", unit=unit)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.candidates[0].kind == kind
        said = " | ".join(finding.message for finding in session.findings)
        assert ("taken for dF/F by its unit" in said) == (kind == "dff")
        assert ("dF/F was computed" in said) == (kind != "dff")
        if kind == "dff":
            np.testing.assert_array_equal(traces_of(session).read(), values)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("neuropil_dff", "roi_dff"), "roi_dff"),
        (("dff_neuropil", "zdff"), "zdff"),
        (("dff_neuropil_corrected", "zdff"), "dff_neuropil_corrected"),
        (("neuropil_subtracted_dff", "zdff"), "neuropil_subtracted_dff"),
        (("DfOverF", "Neuropil"), "DfOverF"),
    ],
)
def test_neuropil_is_no_activity_of_cells_in_whatever_form(tmp_path: Path, names: tuple[str, str], chosen: str) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, 3)
    for name in names:
        add_traces(nwbfile, table, np.zeros((20, 3), np.float32), name=name)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert traces_of(session).path == f"processing/ophys/DfOverF/{chosen}"


def test_corrected_fluorescence_is_not_corrected_again(tmp_path: Path) -> None:
    with read_session(raw_file(tmp_path, "Corrected")) as session:
        assert traces_of(session).kind == "dff"
        assert np.ptp(traces_of(session).read()) > 0.02
        assert any("neuropil was taken off before" in message for message in messages(session, "guess"))


def test_neuropil_alone_stays_what_it_is(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES, container="Fluorescence", name="Neuropil")
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        np.testing.assert_array_equal(traces_of(session).read(), VALUES)
        assert any("neuropil around the cells" in message for message in messages(session, "warning"))


def test_too_few_samples_in_a_window_are_refused(tmp_path: Path) -> None:
    configuration = SessionsConfiguration(baseline=BaselineConfiguration(window=0.5))
    with pytest.raises(SessionError, match=r"5 in a window") as caught:
        read_session(raw_file(tmp_path), configuration=configuration)
    assert "sessions.baseline.window" in (caught.value.remedy or "")


def test_scores_of_rois_are_no_traces_and_events_may_be_of_some_rois(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS, columns={"valid_roi": [True, False, True, True]})
    add_traces(nwbfile, table, VALUES, container="dff", name="traces")
    for name in ("r", "RMSE"):
        add_traces(nwbfile, table, np.arange(4.0), container="neuropil_trace", name=name)
    add_traces(nwbfile, table, VALUES[:, :2], container="event_detection", name="event_detection", rows=[3, 0])
    path = write(nwbfile, tmp_path / "a.nwb")
    with read_session(path) as session:
        assert traces_of(session).path.endswith("dff/traces")
        assert not messages(session, "warning")[:-1]
        assert sum("left out: found data of shape (4,)" in message for message in messages(session, "info")) == 2
    configuration = SessionsConfiguration(trace="processing/ophys/event_detection")
    with read_session(path, configuration=configuration) as session:
        assert session.cells["id"].tolist() == [103, 100]
        assert traces_of(session).kind == "events"
        np.testing.assert_array_equal(traces_of(session).read(), VALUES[:, :2])


def test_two_tables_of_one_plane_are_a_guess(tmp_path: Path) -> None:
    nwbfile = new_file()
    first = add_plane(nwbfile, 2)
    second = nwbfile.processing["ophys"]["ImageSegmentation"].create_plane_segmentation(
        name="again", description="rois", imaging_plane=first.imaging_plane
    )
    for row in range(3):
        second.add_roi(pixel_mask=[(row, row, 1.0)])
    add_traces(nwbfile, first, VALUES[:, :2], name="one")
    add_traces(nwbfile, second, VALUES[:, :3], name="two")
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert traces_of(session).n_cells == 5
        assert any("counts twice" in message for message in messages(session, "guess"))


def test_results_of_this_package_are_no_recordings(tmp_path: Path) -> None:
    from pynwb.ophys import RoiResponseSeries

    from nwb_mivae.sessions.nwb import open_nwb
    from nwb_mivae.sessions.ophys import find_series

    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES)
    opened = open_nwb(write(nwbfile, tmp_path / "a.nwb"))
    try:
        assert len(find_series(opened)) == 1
        (series,) = opened.of_type(RoiResponseSeries)
        series.__class__ = type("RoiAttributionSeries", (RoiResponseSeries,), {"__init__": RoiResponseSeries.__init__})
        assert find_series(opened) == []
    finally:
        opened.close()


def test_opening_reads_no_traces_and_no_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.nwb_files import add_movie, add_table, pixels_of

    nwbfile = new_file()
    masks = [np.eye(128, dtype=np.float32)] * N_ROIS
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS, masks=masks, mask_kind="image_mask"), VALUES)
    add_movie(nwbfile, "film", pixels_of(20))
    add_table(nwbfile, "film_presentations", start_time=[0.0, 0.1], stop_time=[0.1, 0.2], frame=[0, 1])
    path = write(nwbfile, tmp_path / "a.nwb")
    largest: dict[str, int] = {}
    monkeypatch.setattr("nwb_mivae.sessions.masks._BLOCK_BYTES", 1)
    original = h5py.Dataset.__getitem__

    def watched(self: h5py.Dataset, *arguments: Any) -> Any:
        result = original(self, *arguments)
        largest[self.name] = max(largest.get(self.name, 0), np.size(result))
        return result

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    with read_session(path) as session:
        assert len(session.presentations) == 2
    assert "/processing/ophys/DfOverF/RoiResponseSeries/data" not in largest
    assert "/stimulus/templates/film/data" not in largest
    mask_path = "/processing/ophys/ImageSegmentation/rois_of_plane/image_mask"
    with h5py.File(path) as file:
        assert largest[mask_path] == np.prod(file[mask_path].chunks)


def test_a_closed_session_says_so(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES)
    session = read_session(write(nwbfile, tmp_path / "a.nwb"))
    session.close()
    with pytest.raises(SessionError, match="cannot be read"):
        traces_of(session).read()


def test_a_file_without_activity_is_a_session_without_traces(tmp_path: Path) -> None:
    with read_session(write(new_file(), tmp_path / "a.nwb")) as session:
        assert session.traces is None
        assert session.cells.empty
        assert session.presentations.empty
        assert any("no neural activity" in message for message in messages(session, "warning"))


def test_cells_marked_in_words(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, 3, columns={"iscell": ["yes", "no", "True"]})
    add_traces(nwbfile, table, np.zeros((5, 3)))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.cells["id"].tolist() == [100, 102]


@pytest.mark.parametrize("values", [np.full((40, N_ROIS), b"a", dtype="S1"), np.full((40, N_ROIS), 1 + 2j)])
def test_values_that_are_no_real_numbers_are_left_out(tmp_path: Path, values: npt.NDArray[Any]) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS)
    add_traces(nwbfile, table, np.zeros((40, N_ROIS)), name="DfOverF")
    add_traces(nwbfile, table, np.ones((40, N_ROIS)), name="other", container="Fluorescence")
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        group = file["processing/ophys/DfOverF/DfOverF"]
        attributes = dict(group["data"].attrs)
        del group["data"]
        group.create_dataset("data", data=values).attrs.update(attributes)
    with read_session(path) as session:
        assert traces_of(session).path.endswith("other")
        assert any("values of type" in message for message in messages(session, "warning"))


def put_text(path: Path, dataset: str, texts: list[bytes]) -> Path:
    with h5py.File(path, "a") as root:
        attributes = dict(root[dataset].attrs)
        del root[dataset]
        root.create_dataset(dataset, data=np.array(texts)).attrs.update(attributes)
    return path


def test_text_for_times_costs_one_series_and_not_the_session(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, 3)
    add_traces(nwbfile, table, np.zeros((20, 3), np.float32), timestamps=np.arange(20.0))
    add_traces(nwbfile, table, np.ones((20, 3), np.float32), name="events", timestamps=np.arange(20.0))
    path = write(nwbfile, tmp_path / "a.nwb")
    put_text(path, "processing/ophys/DfOverF/RoiResponseSeries/timestamps", [b"?"] * 20)
    with read_session(path) as session:
        assert traces_of(session).path == "processing/ophys/DfOverF/events"
        assert any("cannot be read (ValueError" in message for message in messages(session, "warning"))


def test_a_pixel_size_in_words_costs_the_coordinates_only(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, 3), np.zeros((20, 3), np.float32))
    path = write(nwbfile, tmp_path / "a.nwb")
    put_text(path, "general/optophysiology/plane/grid_spacing", [b"2 um", b"2 um"])
    with read_session(path) as session:
        assert session.cells[["x", "y", "z"]].isna().all().all()
        assert any("so the cells have no coordinates" in message for message in messages(session, "warning"))
        assert traces_of(session).n_cells == 3


def test_units_are_read_where_no_roi_traces_can_be(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, 3), np.zeros((20, 3), np.float32), timestamps=np.zeros(20))
    nwbfile.add_unit(spike_times=[1.0, 2.0], obs_intervals=[[0.0, 10.0]])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.traces is not None
        assert (session.traces.kind, session.traces.n_cells) == ("spikes", 1)
        assert any("left out: found timestamps" in message for message in messages(session, "warning"))


def test_times_that_cannot_be_seconds_are_warned_of(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, N_ROIS), VALUES, timestamps=np.arange(N_SAMPLES) * 33.3)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert any("a sample every 33.3 s" in message for message in messages(session, "warning"))


def test_rois_in_another_series_of_the_kind_are_not_lost_unsaid(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS)
    add_traces(nwbfile, table, VALUES[:, :2], name="a", rows=[0, 1])
    add_traces(nwbfile, table, VALUES[:, 1:], name="b", rows=[1, 2, 3])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.cells["source_row"].tolist() == [0, 1]
        assert any("2 ROIs that are in no traces that were read" in message for message in messages(session, "warning"))


def test_what_is_corrected_for_motion_still_holds_neuropil(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, N_ROIS)
    raw = 100 + VALUES
    add_traces(nwbfile, table, raw, name="motion_corrected", container="Fluorescence")
    add_traces(nwbfile, table, raw / 2, name="Neuropil", container="Fluorescence")
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert traces_of(session).path.endswith("motion_corrected")
        assert any("Neuropil" in message for message in messages(session, "guess"))
