"""Files nobody here wrote: read right, or refused with one error that says what and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions import SampledTraces, SessionsConfiguration, SpikeTrains, describe, read_session
from tests.openscope_sessions import PICTURES, TRIAL_INTERVAL, write_openscope_sessions
from tests.stand_in_movies import clip_names, make_stand_in_movies

SUB_4 = "nwb/sub-4_ses-4_ecephys+image.nwb"


@pytest.fixture(autouse=True)
def originals_are_not_changed(real_data: Path) -> Iterator[None]:
    files = sorted(real_data.glob("nwb*/*.nwb"))
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    yield
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before


def test_human_units_and_absent_clips_are_told_as_they_are(real_data: Path) -> None:
    with read_session(real_data / SUB_4) as session:
        told = json.loads(json.dumps(describe(session), allow_nan=False))
        assert isinstance(session.traces, SpikeTrains)
        assert len(session.traces.spike_times) == 214278
    assert (told["traces"]["kind"], told["traces"]["cells"]) == ("spikes", 35)
    assert (round(told["traces"]["start"], 3), round(told["traces"]["stop"])) == (0.008, 2821)
    assert told["cells"]["areas"] == {"hippocampus_right": 25, "amygdala_right": 10}
    assert told["subject"] == {"subject_id": "4", "species": "Homo sapiens"}
    clips, recognition, discrimination = told["stimuli"]
    assert (clips["source"], clips["rows"], clips["templates"]) == ("intervals/encoding_table", 90, 90)
    assert clips["median_duration"] == pytest.approx(8.03, abs=0.01)
    assert clips["pixels"] == "missing"
    assert (recognition["source"], recognition["rows"]) == ("intervals/recognition_table", 180)
    assert (discrimination["source"], discrimination["rows"]) == ("intervals/timediscrimination_table", 180)
    assert told["templates"] == []
    assert set(clip_names(real_data / SUB_4)) <= set(told["missing_templates"])
    messages = " | ".join(item["message"] for item in told["findings"])
    assert "data of shape (2, 2, 2) beside the external files was not taken for pixels" in messages
    assert "millimetres" in messages
    assert "pynwb says" not in messages


@pytest.mark.slow
def test_human_units_with_stand_in_movies(real_data: Path, tmp_path: Path) -> None:
    names = clip_names(real_data / SUB_4)[:6]
    folder = make_stand_in_movies(real_data / "stimuli/flower.mp4", names, tmp_path / "movies", frames_per_second=5)
    with read_session(real_data / SUB_4, stimulus_folder=folder) as session:
        assert set(session.templates) == set(names)
        shown = session.presentations[session.presentations["template"] == names[0]]
        assert shown["frame"].tolist() == list(range(40))
        np.testing.assert_allclose(np.diff(shown["start_time"]), 0.2, atol=1e-6)
        assert shown["source_row"].unique().tolist() == [0]
        described = describe(session)["stimuli"][0]
        assert (described["pixels"], described["templates_with_pixels"]) == ("partly missing", 6)
        first = {name: session.templates[name].read(np.array([0, 39])) for name in names}
    assert all(pixels.shape == (2, 36, 64) for pixels in first.values())
    for one in names:
        for other in names:
            if one < other:
                assert np.abs(first[one].astype(float) - first[other]).mean() > 5


def test_three_series_in_one_container(real_data: Path) -> None:
    path = real_data / "nwb/roiextractors_ophys_nwb_test.nwb"
    with read_session(path) as session:
        assert isinstance(session.traces, SampledTraces)
        assert session.traces.kind == "deconvolved"
        assert session.traces.shape == (250, 7)
        assert session.traces.rate == pytest.approx(10.0)
        assert len(session.candidates) == 3
        assert any("8 of 15 ROIs left out" in finding.message for finding in session.findings)
    configuration = SessionsConfiguration(
        trace="processing/ophys/Fluorescence/RoiResponseSeries", keep_invalid_cells=True, micrometres_per_pixel=1.0
    )
    with read_session(path, configuration=configuration) as session:
        assert isinstance(session.traces, SampledTraces)
        values = session.traces.read()
        assert values.shape == (250, 15)
        assert np.isfinite(values).all()
        with h5py.File(path) as file:
            stated = file["processing/ophys/ImageSegmentation/PlaneSegmentation/RoiCentroid"][:]
        # The file's own centroids, rounded by other software, in the order of the mask's axes.
        centroids = session.cells[["x", "y"]].to_numpy(dtype=float)
        assert np.median(np.abs(centroids - stated)) < 1


def test_transposed_traces_at_rate_zero(real_data: Path) -> None:
    path = real_data / "nwb/optinist_test_nwb.nwb"
    with h5py.File(path) as file:
        stored = file["processing/ophys/Fluorescence/Fluorescence/data"][:]
    with read_session(path) as session:
        assert isinstance(session.traces, SampledTraces)
        assert session.traces.kind == "dff"
        assert np.abs(np.median(session.traces.read(), axis=0)).max() < 0.5
    with read_session(path, configuration=SessionsConfiguration(compute_dff=False)) as session:
        assert isinstance(session.traces, SampledTraces)
        assert session.traces.shape == (1000, 19)
        assert session.traces.rate == pytest.approx(30.0)
        np.testing.assert_array_equal(session.traces.read(), stored.T.astype(np.float32))
        assert session.presentations.empty
        levels = {finding.level for finding in session.findings if "30 Hz" in finding.message}
    assert levels == {"guess"}


def test_units_without_a_stimulus(real_data: Path) -> None:
    with read_session(real_data / "nwb/A8604-211122.nwb") as session:
        assert isinstance(session.traces, SpikeTrains)
        assert len(session.traces.spike_times) == 21354
        assert session.presentations.empty


@pytest.mark.parametrize(
    ("name", "object_path", "found", "remedy"),
    [
        ("nwb/aibs_760693773_truncated10.nwb", "units/spike_times_index", "32,415 of 10", "whole file"),
        ("nwb_broken/496908818s_nwb1.nwb", "nwb_version", "NWB-1.0.5", "000728"),
        ("nwb_broken/652989705_partial_download.nwb", "/", "270,336 bytes", "download it again"),
    ],
)
def test_what_cannot_be_read_is_refused(
    real_data: Path, name: str, object_path: str, found: str, remedy: str, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.raises(SessionError) as caught:
        read_session(real_data / name)
    error = caught.value
    assert error.file == str(real_data / name)
    assert error.object_path == object_path
    assert found in error.found
    assert remedy in (error.remedy or "")
    assert len(str(error).splitlines()) == 1
    assert [str(warning.message) for warning in recwarn] == []


def test_the_partial_download_says_what_was_expected(real_data: Path) -> None:
    with pytest.raises(SessionError, match="expected 511,395,168 bytes"):
        read_session(real_data / "nwb_broken/652989705_partial_download.nwb")


@pytest.mark.slow
def test_openscope_traces_become_eight_sessions(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "ophys/openscope_gabor_trials.json"
    table = json.loads(source.read_text())["ex_traces_df"]
    paths = write_openscope_sessions(source, tmp_path)
    assert len(paths) == 8
    n_cells = 0
    for path in paths:
        with read_session(path) as session:
            assert isinstance(session.traces, SampledTraces)
            mouse = session.provenance.subject_id
            rows = [row for row, number in table["mouseids"].items() if str(number) == mouse]
            stored = np.stack([np.asarray(table["traces_sm"][row]) for row in rows], axis=-1)
            n_cells += session.traces.n_cells
            np.testing.assert_allclose(session.traces.read(), stored.reshape(-1, len(rows)), rtol=1e-6)
            assert session.traces.timestamps[45] - session.traces.timestamps[0] == pytest.approx(TRIAL_INTERVAL)
            shown = session.presentations
            assert len(shown) == (len(PICTURES) + 1) * len(stored)
            assert shown["frame"].tolist() == [0, 1, 2, 3, -1] * len(stored)
            # Gabor frame 3, the fourth picture, begins where the source's own time is 0.
            trial = shown["start_time"].to_numpy().reshape(len(stored), -1)
            within = np.asarray(table["time_values"][rows[0]])
            onset = session.traces.timestamps[::45] - within[0]
            np.testing.assert_allclose(trial[:, 3], onset, atol=1e-9)
            assert set(session.templates) == {"gabors"}
            pictures = session.templates["gabors"].read(np.arange(4))
            assert pictures.shape == (4, 36, 64)
            assert len(np.unique(pictures.reshape(4, -1), axis=0)) == 4
            assert session.cells[["x", "y"]].isna().all().all()
    assert n_cells == 24


@pytest.mark.slow
def test_openscope_files_say_that_their_times_are_invented_and_are_valid(real_data: Path, tmp_path: Path) -> None:
    import pynwb
    from nwbinspector import inspect_nwbfile
    from nwbinspector._types import Importance

    path = write_openscope_sessions(real_data / "ophys/openscope_gabor_trials.json", tmp_path)[0]
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        assert "TIMES ARE INVENTED" in io.read().session_description
    assert pynwb.validate(path=str(path)) == []
    worst = [message for message in inspect_nwbfile(nwbfile_path=path) if message.importance in _severe(Importance)]
    assert worst == []


def _severe(importance: type) -> tuple[object, ...]:
    return tuple(getattr(importance, name) for name in ("ERROR", "PYNWB_VALIDATION", "CRITICAL"))
