from __future__ import annotations

from itertools import pairwise

import h5py
import numpy as np
import pynwb
import pytest
from pynwb import NWBHDF5IO

from tests.layouts import visual_coding
from tests.layouts.truth import NO_PICTURE, number_in

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def opened():
    """Open a file with plain pynwb for the length of a test."""
    readers = []

    def read(truth):
        readers.append(NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True))
        return readers[-1].read()

    yield read
    for reader in readers:
        reader.close()


def test_containers_series_and_names_are_those_of_the_converter(tmp_path, opened):
    truth = visual_coding.write(tmp_path)
    assert truth.files[0].name == "sub-491060312_ses-510517131-StimB_behavior+image+ophys.nwb"
    nwbfile = opened(truth)
    ophys = nwbfile.processing["ophys"]
    assert set(ophys["DfOverF"].roi_response_series) == {"DfOverF", "DfOverFEvents"}
    assert set(ophys["Fluorescence"].roi_response_series) == {"Corrected", "Neuropil", "Demixed"}
    rois = ophys["ImageSegmentation"]["PlaneSegmentation"]
    assert rois.colnames == ("global_roi_id", "pixel_mask")
    assert list(rois["global_roi_id"][:]) == list(rois.id[:])
    assert rois.imaging_plane.imaging_rate is None
    assert "{depth}" in rois.imaging_plane.description
    assert nwbfile.intervals is not None
    assert set(nwbfile.intervals) == {"epochs"}
    assert nwbfile.epochs.colnames[-1] == "stimulus_type"
    assert {name: type(item).__name__ for name, item in nwbfile.stimulus.items()} == {
        "static_gratings": "TimeIntervals",
        "natural_scenes_stimulus": "IndexSeries",
        "natural_movie_one_stimulus": "IndexSeries",
        "spontaneous_stimulus": "TimeIntervals",
    }
    with h5py.File(truth.files[0]) as root:  # pynwb corrects it while reading
        assert root["stimulus/presentation/natural_scenes_stimulus/data"].attrs["unit"] == "n.a."
    behaviour = nwbfile.processing["behavior"]
    assert behaviour["BehavioralTimeSeries"]["running_speed"].unit == "cm/s"
    assert behaviour["PupilTracking"]["pupil_size"].unit == "px"
    assert set(behaviour.data_interfaces) >= {"EyeTracking", "CompassDirection"}


def test_only_corrected_stores_timestamps_the_others_link_to_them(tmp_path):
    truth = visual_coding.write(tmp_path)
    with h5py.File(truth.files[0]) as root:
        dff = root[truth.trace_path]
        assert isinstance(dff.get("timestamps", getlink=True), h5py.SoftLink)
        assert dff["timestamps"].shape == (dff["data"].shape[0],)


@pytest.mark.parametrize("more", [1, -1])
def test_timestamps_may_be_off_by_one(tmp_path, more):
    truth = visual_coding.write(tmp_path, more_timestamps=more)
    with h5py.File(truth.files[0]) as root:
        assert len(root[truth.trace_path]["timestamps"]) == len(root[truth.trace_path]["data"]) + more


def test_the_traces_encode_the_time_they_were_sampled_at(tmp_path):
    truth = visual_coding.write(tmp_path)
    with h5py.File(truth.files[0]) as root:
        series = root[truth.trace_path]
        late = truth.encodes.lateness(series["timestamps"][:], series["data"][:])
    assert np.abs(late).max() < 1e-4


@pytest.mark.parametrize("whole", [False, True])
def test_three_static_gratings_unless_all_are_wanted(tmp_path, opened, whole):
    truth = visual_coding.write(tmp_path, whole_static_gratings=whole)
    assert len(opened(truth).stimulus["static_gratings"]) == (40 if whole else 3)
    assert truth.rows_lost.get("stimulus/presentation/static_gratings", 0) == (0 if whole else 3)
    assert sum(row.stimulus == "static_gratings" for row in truth.presentations) == (40 if whole else 0)


@pytest.mark.parametrize(("blanks", "stored"), [("saturated", 0), ("wrapped", 4294967295)])
def test_blank_scenes_were_cast_to_unsigned(tmp_path, opened, blanks, stored):
    truth = visual_coding.write(tmp_path, blanks=blanks)
    series = opened(truth).stimulus["natural_scenes_stimulus"]
    numbers = series.data[:]
    assert numbers.dtype == np.uint32
    counts = dict(zip(*np.unique(numbers, return_counts=True), strict=True))
    assert counts[stored] == (4 if blanks == "saturated" else 2)
    assert counts[1] == 2
    rows = [row for row in truth.presentations if row.stimulus == "natural_scenes"]
    lost = truth.rows_lost.get("stimulus/presentation/natural_scenes_stimulus", 0)
    assert len(rows) + lost == len(numbers) == 2 * 119
    assert any(row.blank for row in rows) == (blanks == "wrapped")


@pytest.mark.parametrize(
    ("session", "name", "prefix"),
    [
        ("B", "natural_scenes_template", "NaturalScene"),
        ("C2", "locally_sparse_noise_4deg_template", "LocallySparseImage"),
        ("C2", "locally_sparse_noise_8deg_template", "LocallySparseImage"),
    ],
)
def test_images_come_back_in_alphabetical_order(tmp_path, opened, session, name, prefix):
    truth = visual_coding.write(tmp_path, session=session)
    images = opened(truth).stimulus_template[name]
    assert images.order_of_images is None
    assert list(images.images)[:3] == [f"{prefix}0", f"{prefix}1", f"{prefix}10"]
    shown = {row.frame: row.picture for row in truth.presentations if row.template == name}
    for frame, picture in shown.items():
        assert number_in(images[f"{prefix}{frame}"].data[:]) == picture


def test_movies_have_no_rate_and_are_shown_by_an_index_series(tmp_path, opened):
    truth = visual_coding.write(tmp_path)
    nwbfile = opened(truth)
    movie = nwbfile.stimulus_template["natural_movie_one"]
    assert type(movie).__name__ == "ImageSeries"
    assert np.isnan(movie.rate)
    assert np.isnan(movie.starting_time)
    index = nwbfile.stimulus["natural_movie_one_stimulus"]
    assert index.indexed_images is None
    assert index.indexed_timeseries is movie
    rows = [row for row in truth.presentations if row.template == "natural_movie_one"]
    assert np.allclose([row.start for row in rows], index.timestamps[:])
    assert [number_in(movie.data[int(number)]) for number in index.data[:50]] == [row.picture for row in rows[:50]]


def test_drifting_gratings_last_two_seconds_by_fiat_and_blanks_keep_a_frequency(tmp_path, opened):
    truth = visual_coding.write(tmp_path, session="A")
    table = opened(truth).stimulus["drifting_gratings"]
    assert table.colnames == (
        "start_time",
        "stop_time",
        "orientation_in_degrees",
        "spatial_frequency_in_cycles_per_degree",
        "temporal_frequency_in_hz",
        "is_blank_sweep",
    )
    assert np.allclose(table["stop_time"][:] - table["start_time"][:], 2.0)
    blank = table["is_blank_sweep"][:]
    assert blank.dtype == bool
    assert blank.sum() == sum(row.blank for row in truth.presentations if row.stimulus == "drifting_gratings") == 1
    assert np.isnan(table["orientation_in_degrees"][:][blank]).all()
    assert (table["spatial_frequency_in_cycles_per_degree"][:][blank] == 0.04).all()


@pytest.mark.parametrize("swapped", [True, False])
def test_the_projection_says_whether_the_masks_are_swapped(tmp_path, opened, swapped):
    truth = visual_coding.write(tmp_path, swapped_masks=swapped)
    ophys = opened(truth).processing["ophys"]
    projection = ophys["SummaryImages"]["maximum_intensity_projection"].data[:]
    masks = ophys["ImageSegmentation"]["PlaneSegmentation"]["pixel_mask"]
    straight, exchanged = [], []
    for row, (column_centre, row_centre) in enumerate(truth.pixels):
        mask = masks[row]
        x, y = mask["x"].astype(int), mask["y"].astype(int)
        inside = (y < projection.shape[0]) & (x < projection.shape[1])
        straight.append(projection[y[inside], x[inside]].mean() if inside.any() else 0)
        exchanged.append(projection[x[y < projection.shape[1]], y[y < projection.shape[1]]].mean())
        centre = (y.mean(), x.mean()) if swapped else (x.mean(), y.mean())
        assert centre == (column_centre, row_centre)
    assert (np.mean(exchanged) > np.mean(straight)) == swapped
    assert truth.positions[0, 0] == pytest.approx(0.78 * truth.pixels[0, 0])


def test_what_some_sessions_lack(tmp_path, opened):
    truth = visual_coding.write(tmp_path, events=False, demixed=False, epochs=False, behaviour=False)
    nwbfile = opened(truth)
    assert set(nwbfile.processing["ophys"]["DfOverF"].roi_response_series) == {"DfOverF"}
    assert "Demixed" not in nwbfile.processing["ophys"]["Fluorescence"].roi_response_series
    assert nwbfile.epochs is None
    assert "behavior" not in nwbfile.processing
    assert truth.running is None


def test_rows_follow_each_other_without_overlap(tmp_path):
    for session in ("A", "B", "C", "C2"):
        rows = visual_coding.write(tmp_path, session=session).presentations
        assert all(one.stop <= other.start + 1e-9 for one, other in pairwise(rows))
        assert all((row.picture == NO_PICTURE) == (row.frame < 0) for row in rows)


def test_the_file_is_one_that_pynwb_can_validate(tmp_path):
    errors = pynwb.validate(path=str(visual_coding.write(tmp_path).files[0]))
    assert [str(error) for error in errors] == []
