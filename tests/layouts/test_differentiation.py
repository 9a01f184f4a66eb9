from __future__ import annotations

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from tests.layouts.differentiation import MICROMETRES_PER_PIXEL, REFRESHES_PER_FRAME, write
from tests.layouts.truth import NO_PICTURE, NOTHING_KNOWN, LayoutTruth, number_in

_SERIES = "processing/ophys/DfOverF/imaging_plane_1"


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> LayoutTruth:
    return write(tmp_path_factory.mktemp("000036"))


def test_traces_are_transposed_and_have_a_timestamp_too_many(truth):
    with h5py.File(truth.files[0]) as root:
        series = root[_SERIES]
        assert series["data"].shape == (truth.n_cells_all, len(truth.trace_times))
        assert len(series["timestamps"]) == len(truth.trace_times) + 1
        assert np.allclose(series["data"][:].T, truth.encodes.values(truth.trace_times))


@pytest.mark.filterwarnings("ignore:.*data may be transposed", "ignore:.*should be transposed")
def test_pynwb_reads_it_and_finds_no_table(truth):
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as io:
        nwbfile = io.read()
        assert not nwbfile.intervals
        assert nwbfile.trials is None
        assert nwbfile.epochs is None
        assert nwbfile.session_id is None
        for name in (*truth.templates_with_pixels, "spontaneous"):
            movie = nwbfile.stimulus_template[name]
            assert len(movie.timestamps) == 0
            assert len(movie.data) > 0
            assert nwbfile.stimulus[name].indexed_timeseries is movie
            assert nwbfile.stimulus[name].data.dtype == np.int32
        rois = nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        rows, columns = np.nonzero(rois["image_mask"].data[1])
        centre = [MICROMETRES_PER_PIXEL * columns.mean(), MICROMETRES_PER_PIXEL * rows.mean()]
        assert np.allclose(truth.positions[1, :2], centre)
        assert np.isnan(truth.positions[:, 2]).all()


def test_every_refresh_of_the_display_is_told(truth):
    with h5py.File(truth.files[0]) as root:
        for name in truth.templates_with_pixels:
            series = root[f"stimulus/presentation/{name}"]
            frames, times = series["data"][:], series["timestamps"][:]
            assert np.bincount(frames).min() >= REFRESHES_PER_FRAME
            assert abs(np.median(np.diff(times)) - 1 / 60) < 1e-4
            stored = [number_in(root[f"stimulus/templates/{name}/data"][frame]) for frame in frames]
            assert truth.picture_shown(times + 1e-5).tolist() == stored
        grey = root["stimulus/presentation/spontaneous"]
        assert set(grey["data"][:]) == {0}
        assert set(truth.picture_shown(grey["timestamps"][:] + 1e-5)) == {NO_PICTURE}


def test_a_dropped_refresh_makes_one_frame_stand_longer(tmp_path):
    truth = write(tmp_path, dropped_refreshes=3)
    lengths = np.array([row.stop - row.start for row in truth.presentations if not row.blank])
    assert np.count_nonzero(lengths > 2.5 / 60) == 1
    assert lengths.max() == pytest.approx(5 / 59.951, abs=1e-4)


def test_grey_between_blocks_is_told_of_only_where_it_was_a_block(truth):
    assert NOTHING_KNOWN in truth.picture_shown(np.arange(0.0, truth.trace_times[-1], 0.1))


def test_the_other_way_round(tmp_path):
    truth = write(tmp_path, transposed=False, more_timestamps=0)
    with h5py.File(truth.files[0]) as root:
        assert root[_SERIES]["data"].shape == (len(root[_SERIES]["timestamps"]), truth.n_cells_all)
