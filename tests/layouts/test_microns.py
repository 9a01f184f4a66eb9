from __future__ import annotations

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO
from pynwb.image import ImageSeries

from tests.layouts import microns
from tests.layouts.truth import NO_PICTURE, number_in

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return microns.write(tmp_path_factory.mktemp("microns"))


@pytest.fixture(scope="module")
def nwbfile(truth):
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as reader:
        yield reader.read()


def test_one_series_and_one_table_per_field_and_no_dff(truth, nwbfile):
    assert nwbfile.session_id == "9-scan-4"
    ophys = nwbfile.processing["ophys"]
    assert "DfOverF" not in ophys.data_interfaces
    assert set(ophys["Fluorescence"].roi_response_series) == {"RoiResponseSeries1", "RoiResponseSeries2"}
    assert set(ophys["ImageSegmentation"].plane_segmentations) == {"PlaneSegmentation1", "PlaneSegmentation2"}
    for plane in nwbfile.imaging_planes.values():
        assert np.isnan(plane.imaging_rate)
        assert plane.location == microns.AREAS
    assert truth.trace_kind == "fluorescence"


def test_artifacts_are_told_by_the_type_of_mask(truth, nwbfile):
    tables = nwbfile.processing["ophys"]["ImageSegmentation"].plane_segmentations.values()
    types = [str(kind) for table in tables for kind in table["mask_type"][:]]
    assert (len(types), types.count("soma")) == (truth.n_cells_all, truth.n_cells_valid) == (8, 6)
    assert set(types) == {"soma", "artifact"}
    for table in tables:
        assert np.isnan(table["pt_root_id"][:]).sum() == 3
        assert [len(ids) for ids in table["cave_ids"][:]] == [1, 2, 1, 1]


def test_masks_are_width_by_height_and_planes_have_places_in_metres(truth, nwbfile):
    cell = 0
    for number in (1, 2):
        table = nwbfile.processing["ophys"]["ImageSegmentation"][f"PlaneSegmentation{number}"]
        plane = table.imaging_plane
        assert plane.grid_spacing_unit == plane.origin_coords_unit == "meters"
        masks = table["image_mask"][:]
        assert masks.shape == (4, 36, 30)
        for mask in masks[:3]:
            x, y = np.argwhere(mask).mean(axis=0)
            assert truth.pixels[cell].tolist() == [x, y]
            expected = 1e6 * (np.array([x, y]) * plane.grid_spacing[:] + plane.origin_coords[:2])
            assert np.allclose(truth.positions[cell, :2], expected)
            assert truth.positions[cell, 2] == pytest.approx(1e6 * plane.origin_coords[2])
            cell += 1


@pytest.mark.parametrize("in_turn", [True, False])
def test_fields_share_one_vector_of_times_although_acquired_in_turn(tmp_path, in_turn):
    truth = microns.write(tmp_path, in_turn=in_turn, n_fields=3)
    with h5py.File(truth.files[0]) as root:
        series = [root[f"processing/ophys/Fluorescence/RoiResponseSeries{number}"] for number in (1, 2, 3)]
        times = series[0]["timestamps"][:]
        assert all(np.array_equal(one["timestamps"][:], times) for one in series)
        values = np.concatenate([one["data"][:, :3] for one in series], axis=1)
    assert np.allclose(1 / np.median(np.diff(times)), 6.3, rtol=0.01)
    early = -truth.encodes.lateness(times, values)[0]
    expected = np.repeat([0, 1 / 3, 2 / 3], 3) / 6.3 if in_turn else np.zeros(9)
    assert np.allclose(early, expected, atol=1e-4)
    assert truth.time_uncertainty == pytest.approx(expected.max())


def test_the_screen_of_the_session_is_a_movie_whose_name_has_a_colon(truth, nwbfile):
    assert ":" in microns.MOVIE
    movie = nwbfile.acquisition[microns.MOVIE]
    assert type(movie) is ImageSeries
    assert movie.data.shape[3] == 3
    assert movie.data.dtype == np.uint8
    assert np.allclose(1 / np.median(np.diff(movie.timestamps[:])), 60, rtol=0.01)
    assert nwbfile.stimulus == {}
    assert nwbfile.stimulus_template == {}
    for frame in (0, 50, 51, 200, 500):
        row = truth.presentations[frame]
        assert number_in(movie.data[frame]) == row.picture
        assert movie.timestamps[frame] == row.start


def test_frames_have_the_published_size_where_asked_for(tmp_path):
    truth = microns.write(tmp_path, small_movie=False)
    with h5py.File(truth.files[0]) as root:
        assert root["acquisition"][microns.MOVIE]["data"].shape[1:] == (144, 256, 3)


def test_trials_tell_what_the_movie_shows_and_which_are_repeats(truth, nwbfile):
    assert set(nwbfile.intervals) == {"Clip", "Monet2", "Trippy"}
    clip, monet = nwbfile.intervals["Clip"], nwbfile.intervals["Monet2"]
    assert {"condition_hash", "stimulus_type", "movie_name", "short_movie_name", "duration"} <= set(clip.colnames)
    assert {"rng_seed", "pattern_width", "num_directions"} <= set(monet.colnames)
    assert clip.id[:].tolist() == [0, 3, 5]
    hashes = [str(value) for value in clip["condition_hash"][:]]
    assert hashes[0] == hashes[2] != hashes[1]
    shown = [truth.picture_shown(start + 0.001 + np.arange(0, 1.9, 0.1)) for start in clip["start_time"][:]]
    assert shown[0].tolist() == shown[2].tolist() != shown[1].tolist()
    assert (shown[0] >= 0).all()
    assert truth.picture_shown([clip["stop_time"][0] + 0.2])[0] == NO_PICTURE


def test_behaviour_starts_at_zero_and_running_has_a_conversion(nwbfile):
    running = nwbfile.acquisition["treadmill_velocity"]
    assert running.conversion == 0.01
    assert running.unit == "m/s"
    assert running.timestamps[0] == 0.0
    pupil = nwbfile.acquisition["PupilTracking"]
    assert set(pupil.time_series) == {"pupil_minor_radius", "pupil_major_radius"}
    assert "EyeTracking" in nwbfile.acquisition


def test_not_every_scan_is_coregistered(tmp_path):
    truth = microns.write(tmp_path, coregistered=False)
    with h5py.File(truth.files[0]) as root:
        assert "cave_ids" not in root["processing/ophys/ImageSegmentation/PlaneSegmentation1"]
