from __future__ import annotations

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from tests.layouts.credit_assignment import MICROMETRES_PER_PIXEL, N_GABORS, write
from tests.layouts.truth import NO_PICTURE, LayoutTruth, number_in


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> LayoutTruth:
    return write(tmp_path_factory.mktemp("000037"))


def test_three_assets_of_one_session(tmp_path):
    names = [write(tmp_path, asset=asset).files[0].name for asset in ("plain", "image", "raw")]
    assert names == [
        "sub-408021_ses-758519303_behavior+ophys.nwb",
        "sub-408021_ses-758519303_behavior+image+ophys.nwb",
        "sub-408021_ses-758519303_obj-raw_behavior+image+ophys.nwb",
    ]
    identifiers, frames, times = [], [], []
    for name in names:
        with h5py.File(tmp_path / name) as root:
            assert root["general/session_id"].asstr()[()] == "758519303"
            identifiers.append(root["identifier"].asstr()[()])
            frames.append(sorted(root["stimulus/templates"]))
            times.append(root["processing/ophys/DfOverF/RoiResponseSeries/timestamps"][:])
            assert ("motion_corrected_stack" in root["acquisition"]) == ("raw" in name)
    assert identifiers == ["758519303", "758519303_with_stim", "758519303_with_stim_and_stack"]
    assert frames == [[], *2 * [["gabors", "grayscreen", "visflow_left", "visflow_right"]]]
    assert np.array_equal(times[0], times[2])


def test_pynwb_reads_masks_traces_behaviour_and_templates(truth):
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as io:
        nwbfile = io.read()
        rois = nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        tracked = rois["tracking_id"].data[:]
        assert np.isnan(tracked).tolist() == [False, True, False, True, False]
        rows, columns = np.nonzero(rois["image_mask"].data[3])
        assert rois["image_mask"].data.dtype == np.uint8
        assert np.allclose(
            truth.positions[3, :2], [MICROMETRES_PER_PIXEL * columns.mean(), MICROMETRES_PER_PIXEL * rows.mean()]
        )
        series = nwbfile.processing["ophys"]["DfOverF"]["RoiResponseSeries"]
        assert np.allclose(series.data[:], truth.encodes.values(truth.trace_times))
        behaviour = nwbfile.processing["behavior"]
        assert behaviour["BehavioralTimeSeries"]["running_velocity"].unit == "cm/s"
        assert np.array_equal(behaviour["PupilTracking"]["pupil_diameter"].timestamps[:], truth.trace_times)
        index = nwbfile.stimulus["visflow_left"]
        assert index.indexed_timeseries is nwbfile.stimulus_template["visflow_left"]
        assert index.indexed_images is None
        assert len(nwbfile.stimulus_template["visflow_left"].timestamps) == 0
        trial = nwbfile.trials.to_dataframe().iloc[1]
        assert trial["stimulus_type"] == "gabors"
        assert len(trial["gabor_orientations"]) == N_GABORS
        assert len(trial["square_locations_x"]) == 0


def test_trials_have_the_published_columns(truth):
    with h5py.File(truth.files[0]) as root:
        trials = root["intervals/trials"]
        stored = {name: (item.dtype, item.ndim) for name, item in trials.items() if item.dtype != object}
        assert stored["square_locations_x"] == (np.int32, 2)
        assert stored["gabor_orientations"] == (np.int16, 1)
        assert stored["gabor_locations_y"] == (np.float64, 1)
        assert stored["unexpected"] == (np.float64, 1)
        for name in ("start_frame_stim_template", "start_frame_stim", "stop_frame_stim", "start_frame_twop"):
            assert stored[name] == (np.int32, 1)
        assert trials["square_locations_y"].shape[1] == 60
        frames = trials["gabor_frame"].asstr()[:].tolist()
        assert frames[1:6] == ["A", "B", "C", "D", "G"]
        assert frames.count("U") == 1
        unexpected = trials["unexpected"][:]
        assert np.isnan(unexpected[0])
        assert set(unexpected[1:6]) == {0.0}


def test_display_frames_and_imaging_frames_are_rows_of_the_clocks(truth):
    with h5py.File(truth.files[0]) as root:
        trials = root["intervals/trials"]
        display = root["processing/behavior/BehavioralTimeSeries/running_velocity/timestamps"][:]
        starts = trials["start_time"][:]
        assert np.array_equal(display[trials["start_frame_stim"][:]], starts)
        late = truth.trace_times[trials["start_frame_twop"][:]] - starts
        assert np.abs(late).max() < 0.6 / 30
        moving = trials["stimulus_template_name"].asstr()[:] == "visflow_right"
        assert trials["start_frame_stim_template"][:][moving].tolist() == [0, 60, 120]
        gabors = trials["stimulus_template_name"].asstr()[:] == "gabors"
        assert trials["start_frame_stim_template"][:][gabors].tolist() == list(range(30))


@pytest.mark.parametrize("samples", ["display frames", "rows"])
def test_index_series_and_trials_tell_the_same_pictures(tmp_path, samples):
    truth = write(tmp_path, index_samples=samples)
    with h5py.File(truth.files[0]) as root:
        for template in ("gabors", "visflow_left", "visflow_right"):
            series = root[f"stimulus/presentation/{template}"]
            shown = truth.picture_shown(series["timestamps"][:] + 1e-4)
            stored = [number_in(root[f"stimulus/templates/{template}/data"][frame]) for frame in series["data"][:]]
            assert shown.tolist() == stored
            assert (NO_PICTURE in stored) == (template == "gabors")
        per_row = {"display frames": 18, "rows": 1}[samples]
        assert len(root["stimulus/presentation/gabors/data"]) == 30 * per_row


def test_the_plain_asset_says_what_was_shown_by_parameters(tmp_path):
    truth = write(tmp_path, asset="plain", frame_columns=False)
    with h5py.File(truth.files[0]) as root:
        trials = root["intervals/trials"]
        assert "start_frame_stim" not in trials
        assert "start_frame_stim_template" in trials
        assert np.array_equal(trials["start_time"][:], [row.start for row in truth.presentations])
        for row, shown in enumerate(truth.presentations):
            for name, value in shown.parameters.items():
                stored = trials[name].asstr()[row] if isinstance(value, str) else trials[name][row]
                assert stored == value
    assert {row.stimulus for row in truth.presentations if row.parameters} == {"gabors", "visflow"}
    assert all(row.blank for row in truth.presentations if row.stimulus == "grayscreen")
