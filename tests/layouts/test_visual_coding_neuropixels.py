from __future__ import annotations

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from tests.layouts.truth import LayoutTruth
from tests.layouts.visual_coding_neuropixels import write


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> LayoutTruth:
    return write(tmp_path_factory.mktemp("000021"))


@pytest.fixture(scope="module")
def root(truth):
    with h5py.File(truth.files[0]) as opened:
        yield opened


def _text(dataset) -> list[str]:
    return dataset.asstr()[:].tolist()


def test_a_current_pynwb_reads_it_with_the_extension_in_the_file(truth):
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as io:
        nwbfile = io.read()
        assert type(nwbfile.devices["probeA"]).__name__ == "EcephysProbe"
        assert type(nwbfile.subject).__name__ == "EcephysSpecimen"
        assert len(nwbfile.units) == truth.n_cells_all
        assert nwbfile.units.resolution is None
        movie = nwbfile.intervals["natural_movie_one_presentations"].to_dataframe()
        assert movie["timeseries"].iloc[0][0].timeseries.name == "timestamps"
        assert not nwbfile.stimulus
        assert not nwbfile.stimulus_template
        assert nwbfile.session_start_time.isoformat() == "2019-10-03T00:00:00+00:00"


def test_columns_are_stored_as_in_the_published_files(root):
    intervals = root["intervals"]
    assert sorted(intervals) == [
        "drifting_gratings_presentations",
        "flashes_presentations",
        "gabors_presentations",
        "invalid_times",
        "natural_movie_one_presentations",
        "natural_movie_three_presentations",
        "natural_scenes_presentations",
        "spontaneous_presentations",
        "static_gratings_presentations",
    ]
    gabors = intervals["gabors_presentations"]
    assert list(gabors.attrs["colnames"]) == [
        "start_time", "stop_time", "stimulus_name", "stimulus_block", "temporal_frequency", "x_position", "y_position",
        "color", "mask", "opacity", "phase", "size", "units", "stimulus_index", "orientation", "spatial_frequency",
        "contrast", "tags", "timeseries",
    ]  # fmt: skip
    drifting, static = intervals["drifting_gratings_presentations"], intervals["static_gratings_presentations"]
    assert _text(drifting["spatial_frequency"]) == ["0.04", "0.04", "", "0.04"]
    assert static["spatial_frequency"].dtype == np.float64
    assert _text(static["phase"])[:3] == ["0.25", "0.0", ""]
    assert np.isnan(drifting["orientation"][2])
    assert static["stimulus_block"].dtype == np.float64
    assert np.isnan(static["stimulus_block"][-1])
    assert drifting["timeseries"].attrs["neurodata_type"] == "VectorData"
    assert drifting["timeseries"].dtype.names == ("idx_start", "count", "timeseries")
    assert drifting["timeseries_index"].dtype == np.int64
    assert intervals["natural_scenes_presentations/frame"].dtype == np.float64
    assert (intervals["natural_scenes_presentations/frame"][:] == -1).sum() == 2
    assert _text(intervals["invalid_times/tags"])[:3] == ["EcephysSession", "715093703", "stimulus"]


def test_presentations_are_what_the_tables_say(truth, root):
    stored = {}
    for name, table in root["intervals"].items():
        if name != "invalid_times":
            for row in range(len(table["id"])):
                stored[float(table["start_time"][row])] = (name, float(table["stop_time"][row]), row)
    assert [row.start for row in truth.presentations] == sorted(stored)
    for shown in truth.presentations:
        name, stop, row = stored[shown.start]
        table = root["intervals"][name]
        assert (name, stop) == (f"{shown.stimulus}_presentations", shown.stop)
        assert shown.frame == (int(table["frame"][row]) if "frame" in table else -1)
    assert {row.stimulus for row in truth.presentations if row.blank} == {
        "spontaneous", "natural_scenes", "drifting_gratings", "static_gratings",
    }  # fmt: skip
    movie = [row.frame for row in truth.presentations if row.stimulus == "natural_movie_one"]
    assert movie == list(range(12)) * 5


def test_only_half_of_the_units_pass_the_filter(truth, root):
    units = root["units"]
    passes = (
        (np.array(_text(units["quality"])) == "good")
        & (units["isi_violations"][:] <= 0.5)
        & (units["amplitude_cutoff"][:] <= 0.1)
        & (units["presence_ratio"][:] >= 0.95)
    )
    assert np.flatnonzero(passes).tolist() == [1, 3, 4, 6]
    assert passes.sum() == truth.n_cells_valid
    assert units["waveform_mean"].shape == (32, 82)
    assert units["waveform_mean_index"][:].tolist() == [4, 8, 12, 16, 20, 24, 28, 32]
    assert units["spike_amplitudes_index"][-1] == len(units["spike_times"])


def test_spikes_of_good_units_tell_the_presentation(truth, root):
    units, starts = root["units"], np.array([row.start for row in truth.presentations])
    stops = np.array([row.stop for row in truth.presentations])
    ends = np.concatenate([[0], units["spike_times_index"][:]])
    trains = [units["spike_times"][ends[row] : ends[row + 1]] for row in (1, 3, 4, 6)]
    counts = np.stack([np.searchsorted(train, stops) - np.searchsorted(train, starts) for train in trains], axis=1)
    assert np.array_equal(truth.spikes.rows(counts), np.arange(len(starts)))


def test_depth_is_stored_twice_and_some_electrodes_have_no_place(truth, root):
    electrodes = root["general/extracellular_ephys/electrodes"]
    assert np.array_equal(electrodes["y"][:], electrodes["z"][:], equal_nan=True)
    assert _text(electrodes["location"])[-2:] == ["LP", ""]
    rows = {int(number): row for row, number in enumerate(electrodes["id"][:])}
    peak = [rows[int(number)] for number in root["units/peak_channel_id"][:][[1, 3, 4, 6]]]
    assert np.array_equal(electrodes["x"][:][peak], truth.positions[:, 0], equal_nan=True)
    assert np.isnan(truth.positions[:, 2]).all()
    assert np.isnan(truth.positions[3]).all()


def test_what_can_be_left_out(tmp_path):
    truth = write(
        tmp_path,
        coordinates="missing",
        eye_tracking=False,
        invalid_times=False,
        extension=False,
        missing_block=False,
    )
    with h5py.File(truth.files[0]) as root:
        assert np.isnan(root["general/extracellular_ephys/electrodes/x"][:]).all()
        assert "eye_tracking" not in root["processing"]
        assert "invalid_times" not in root["intervals"]
        # pynwb writes what its process has loaded, which may include the extension of this project.
        assert set(root["specifications"]) - {"ndx-mivae"} == {"core", "hdmf-common", "hdmf-experimental"}
        assert np.isfinite(root["intervals/static_gratings_presentations/stimulus_block"][:]).all()
    assert truth.pupil is None
    assert truth.invalid_times == ()
