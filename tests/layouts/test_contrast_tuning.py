from __future__ import annotations

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from tests.layouts.contrast_tuning import DEPTH, MICROMETRES_PER_PIXEL, write

_MODULE = "processing/brain_observatory_pipeline"


@pytest.mark.parametrize("dandiset", ["000039", "000049"])
def test_epochs_count_two_photon_frames(tmp_path, dandiset):
    truth = write(tmp_path, dandiset=dandiset)
    with h5py.File(truth.files[0]) as root:
        epochs, series = root["intervals/epochs"], root[f"{_MODULE}/Fluorescence/DfOverF"]
        assert set(epochs.attrs["colnames"]) == {
            "start_time", "stop_time", "contrast", "direction", "spatial_frequency", "temporal_frequency", "tags",
            "timeseries",
        }  # fmt: skip
        starts, times = epochs["start_time"][:], series["timestamps"][:]
        assert starts.dtype == np.float64
        assert np.diff(starts).tolist() == [90.0] * 5
        assert starts[-1] > times[-1]  # read as seconds, it would be after the recording
        assert (epochs["stop_time"][:] - starts).tolist() == [60.0] * 6
        assert np.array_equal(root["processing/stimulus/timestamps/data"][:], starts)
        assert np.array_equal(times[starts.astype(int)], [row.start for row in truth.presentations])
        blank = np.isnan(epochs["direction"][:])
        assert blank.tolist() == [row.blank for row in truth.presentations]
        assert np.isnan(epochs["contrast"][:][blank]).all()
    assert all(1.9 < row.stop - row.start < 2.1 for row in truth.presentations)


def test_epochs_can_be_in_seconds(tmp_path):
    truth = write(tmp_path, epochs_in="seconds")
    with h5py.File(truth.files[0]) as root:
        assert np.array_equal(root["intervals/epochs/start_time"][:], [row.start for row in truth.presentations])


def test_dff_and_events_lie_in_fluorescence_containers_and_units_have_no_spikes(tmp_path):
    truth = write(tmp_path)
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as io:
        nwbfile = io.read()
        module = nwbfile.processing["brain_observatory_pipeline"]
        assert type(module["Fluorescence"]).__name__ == "Fluorescence"
        assert sorted(module["Fluorescence"].roi_response_series) == [
            "DfOverF", "demixed_traces", "neuropil_traces", "raw_traces",
        ]  # fmt: skip
        assert type(module["l0_events"]).__name__ == "Fluorescence"
        assert sorted(module["l0_events"].roi_response_series) == ["dff_events", "true_false_events"]
        series = module["Fluorescence"]["DfOverF"]
        assert series.unit == "lumens"
        assert series.data.shape == (len(truth.trace_times), truth.n_cells_all)
        assert np.allclose(series.data[:], truth.encodes.values(truth.trace_times), atol=1e-5)
        assert nwbfile.units.colnames == ("cell_id", "pos_x", "pos_y")
        assert nwbfile.imaging_planes["imaging_plane_1"].location == "area: VISp,depth: 275"
        assert nwbfile.imaging_planes["imaging_plane_1"].grid_spacing is None
        masks = module["ImageSegmentation"]["PlaneSegmentation"]["image_mask"].data
        assert masks.dtype == np.uint8
        rows, columns = np.nonzero(masks[2])
        assert np.allclose(
            truth.positions[2], [MICROMETRES_PER_PIXEL * columns.mean(), MICROMETRES_PER_PIXEL * rows.mean(), DEPTH]
        )


def test_first_copies_were_transposed_and_some_have_no_eye(tmp_path):
    truth = write(tmp_path, transposed=True, eye_tracking=False)
    with h5py.File(truth.files[0]) as root:
        data = root[f"{_MODULE}/Fluorescence/DfOverF/data"]
        assert data.shape == (truth.n_cells_all, len(truth.trace_times))
        assert data.attrs["unit"] == "lumens"
        assert "EyeBehavior" not in root[_MODULE]
    assert truth.pupil is None
