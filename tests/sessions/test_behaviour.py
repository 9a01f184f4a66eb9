from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdmf.common import DynamicTable, VectorData
from pynwb import NWBFile, TimeSeries
from pynwb.behavior import BehavioralTimeSeries, PupilTracking

from nwb_mivae.sessions import Session, read_session
from tests.nwb_files import new_file, write


def opened(nwbfile: NWBFile, tmp_path: Path) -> Session:
    return read_session(write(nwbfile, tmp_path / "a.nwb"))


def series(name: str, data: Any, **timing: Any) -> TimeSeries:
    return TimeSeries(name=name, data=data, **{"unit": "cm/s", "rate": 10.0, "starting_time": 1.0, **timing})


def test_running_and_pupil_are_found_by_name_with_conversion(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_acquisition(series("treadmill_velocity", [1.0, 2.0, 3.0], conversion=0.01, offset=1.0, unit="m/s"))
    module = nwbfile.create_processing_module("behavior", "behaviour")
    module.add(PupilTracking(name="PupilTracking", time_series=series("pupil_size", [[4.0], [5.0], [np.nan]])))
    with opened(nwbfile, tmp_path) as session:
        running = session.behaviour["running"]
        np.testing.assert_allclose(running.values, [1.01, 1.02, 1.03])
        np.testing.assert_allclose(running.timestamps, [1.0, 1.1, 1.2])
        assert (running.unit, running.path) == ("m/s", "acquisition/treadmill_velocity")
        np.testing.assert_allclose(session.behaviour["pupil"].values, [4.0, 5.0, np.nan])


def test_the_better_name_wins_and_others_keep_theirs(tmp_path: Path) -> None:
    nwbfile = new_file()
    module = nwbfile.create_processing_module("behavior", "behaviour")
    container = BehavioralTimeSeries(name="BehavioralTimeSeries")
    for name in ("speed", "running_speed", "licks"):
        container.add_timeseries(series(name, np.arange(5.0)))
    module.add(container)
    with opened(nwbfile, tmp_path) as session:
        assert session.behaviour["running"].path.endswith("running_speed")
        assert set(session.behaviour) == {"running", "speed", "licks"}


def test_the_pupil_is_unknown_where_the_eye_was_shut_or_the_fit_failed(tmp_path: Path) -> None:
    nwbfile = new_file()
    module = nwbfile.create_processing_module("eye_tracking", "eye")
    times = np.arange(6) / 30
    columns = {"timestamps": times, "data_x": np.arange(6.0), "area": [4.0, -1.0, 5.0, 6.0, -1.0, np.inf]}
    module.add(
        DynamicTable(
            name="pupil",
            description="ellipse",
            columns=[VectorData(name=name, description=name, data=data) for name, data in columns.items()],
        )
    )
    module.add(series("likely_blink", [False, False, True, False, False, False], rate=30.0))
    with opened(nwbfile, tmp_path) as session:
        pupil = session.behaviour["pupil"]
        np.testing.assert_array_equal(pupil.values, [4.0, np.nan, np.nan, 6.0, np.nan, np.nan])
        np.testing.assert_allclose(pupil.timestamps, times)
        assert pupil.path == "processing/eye_tracking/pupil"
        assert any("3 of 6 samples are of a shut eye" in finding.message for finding in session.findings)


def test_a_standardised_pupil_keeps_its_negative_values(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_acquisition(series("pupil_size", [0.5, -0.25, 0.0, -1.0]))
    with opened(nwbfile, tmp_path) as session:
        np.testing.assert_array_equal(session.behaviour["pupil"].values, [0.5, -0.25, 0.0, -1.0])


def test_an_ellipse_tells_its_area_masked_by_the_blinks_beside_it(tmp_path: Path) -> None:
    from tests.layouts.visual_behavior import write as write_visual_behavior

    truth = write_visual_behavior(tmp_path / "session")
    with h5py.File(truth.files[0], "r+") as file:
        stored = file["acquisition/EyeTracking/pupil_tracking/area"]
        shut = file["acquisition/EyeTracking/likely_blink/data"][:].astype(bool)
        assert shut.any()
        stored[:] = np.linspace(10, 20, len(stored))
    with read_session(truth.files[0]) as session:
        pupil = session.behaviour["pupil"]
        assert pupil.path == truth.pupil
        assert pupil.unit == "pixels^2"
        np.testing.assert_array_equal(np.isnan(pupil.values), shut)


def test_odd_series_are_left_out_or_trimmed_and_said(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_acquisition(series("running_speed", np.zeros((5, 2))))
    times = np.array([0.0, 1.0, 1.0, np.nan, 2.0])
    nwbfile.add_acquisition(TimeSeries(name="running", data=np.arange(5.0), unit="cm/s", timestamps=times))
    nwbfile.add_acquisition(series("pupil_diameter", np.arange(4.0), rate=np.nan))
    with opened(nwbfile, tmp_path) as session:
        np.testing.assert_array_equal(session.behaviour["running"].values, [0.0, 1.0, 4.0])
        assert "pupil" not in session.behaviour
        said = " | ".join(finding.message for finding in session.findings)
    assert "no single trace" in said
    assert "missing or repeated times" in said
    assert "neither timestamps nor a rate" in said


@pytest.mark.parametrize("where", ["stimulus", "scratch"])
def test_only_acquisition_and_processing_hold_behaviour(tmp_path: Path, where: str) -> None:
    nwbfile = new_file()
    (nwbfile.add_stimulus if where == "stimulus" else nwbfile.add_scratch)(series("running_speed", np.arange(5.0)))
    with opened(nwbfile, tmp_path) as session:
        assert session.behaviour == {}


def test_series_of_text_are_left_out(tmp_path: Path) -> None:
    nwbfile = new_file()
    container = BehavioralTimeSeries(name="BehavioralTimeSeries")
    nwbfile.create_processing_module("behavior", "behaviour").add(container)
    container.add_timeseries(TimeSeries(name="state", data=["run", "rest"], unit="n.a.", rate=1.0, starting_time=0.0))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert not session.behaviour
        assert any("no numbers" in finding.message for finding in session.findings)


def test_what_cannot_be_read_costs_no_more_than_itself(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_acquisition(series("running_speed", np.arange(5.0)))
    columns = {"area": [1.0, 2.0, 3.0], "timestamps": ["a", "b", "c"]}
    nwbfile.create_processing_module("eye_tracking", "eye").add(
        DynamicTable(
            name="pupil",
            description="ellipses",
            columns=[VectorData(name=name, description=name, data=data) for name, data in columns.items()],
        )
    )
    with opened(nwbfile, tmp_path) as session:
        assert set(session.behaviour) == {"running"}
        (warning,) = [finding for finding in session.findings if finding.object_path == "processing/eye_tracking/pupil"]
        assert (warning.level, "cannot be read (ValueError" in warning.message) == ("warning", True)
