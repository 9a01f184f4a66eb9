from __future__ import annotations

import h5py
import numpy as np
import pynwb
import pytest
from pynwb import NWBHDF5IO
from pynwb.image import ImageSeries
from pynwb.ophys import RoiResponseSeries

from tests.layouts import visual_behavior
from tests.layouts.truth import number_in

pytestmark = pytest.mark.filterwarnings("ignore")

TABLE = f"{visual_behavior.IMAGE_SET}_presentations"


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """One session of one plane."""
    return visual_behavior.write(tmp_path_factory.mktemp("visual_behavior"))


@pytest.fixture
def opened():
    """Open files with plain pynwb for the length of a test."""
    readers = []

    def read(path):
        readers.append(NWBHDF5IO(str(path), "r", load_namespaces=True))
        return readers[-1].read()

    yield read
    for reader in readers:
        reader.close()


def test_containers_and_series_are_those_of_the_dandiset(truth, opened):
    nwbfile = opened(truth.files[0])
    ophys = nwbfile.processing["ophys"]
    assert list(ophys["dff"].roi_response_series) == ["traces"]
    for name in ("corrected_fluorescence", "demixed_trace", "neuropil_trace"):
        assert ophys[name]["traces"].data.shape == ophys["dff"]["traces"].data.shape
    rois = ophys["image_segmentation"]["cell_specimen_table"]
    assert {"cell_specimen_id", "valid_roi", "x", "y", "width", "height", "image_mask"} <= set(rois.colnames)
    assert rois["valid_roi"].data.dtype == bool
    assert (~rois["valid_roi"][:]).sum() == truth.n_cells_all - truth.n_cells_valid == 1
    assert -1 in rois["cell_specimen_id"][:]
    assert rois.imaging_plane.grid_spacing is None
    assert set(nwbfile.processing["running"].data_interfaces) == {"speed", "speed_unfiltered", "dx"}
    assert set(nwbfile.acquisition) == {"EyeTracking", "v_in", "v_sig"}
    assert set(nwbfile.intervals) == {TABLE, "spontaneous_presentations", "natural_movie_one_presentations", "trials"}


def test_masks_cover_the_whole_field_rows_first(truth, opened):
    rois = opened(truth.files[0]).processing["ophys"]["image_segmentation"]["cell_specimen_table"]
    masks = rois["image_mask"][:]
    metadata = opened(truth.files[0]).lab_meta_data["metadata"]
    assert masks.shape[1:] == (metadata.field_of_view_height, metadata.field_of_view_width)
    assert masks.shape[1] != masks.shape[2]
    for row, (x, y) in zip(np.flatnonzero(rois["valid_roi"][:]), truth.pixels, strict=True):
        assert np.argwhere(masks[row]).mean(axis=0).tolist() == [y, x]
        assert (rois["x"][int(row)], rois["y"][int(row)]) == (x - 2, y - 1)
        assert (rois["width"][int(row)], rois["height"][int(row)]) == (5, 3)


def test_event_detection_is_of_an_extension_and_holds_only_some_rois(truth, opened):
    events = opened(truth.files[0]).processing["ophys"]["event_detection"]
    assert type(events).__name__ == "OphysEventDetection"
    assert type(events).__module__.startswith("abc")  # built from the cached specification: no package has it
    assert isinstance(events, RoiResponseSeries)
    assert events.rois.data[:].tolist() == [0, 1, 3, 4]
    assert events.data.shape[1] == len(events.lambdas) == len(events.noise_stds) == 4


def test_some_series_have_no_time_axis(truth, opened):
    fluorescence = opened(truth.files[0]).processing["ophys"]["corrected_fluorescence"]
    for name in ("r", "RMSE"):
        assert fluorescence[name].data.shape == (5,)
        assert len(fluorescence[name].timestamps) > 900


def test_a_row_of_the_table_is_a_flash_and_gaps_change_its_types(truth, opened):
    table = opened(truth.files[0]).intervals[TABLE]
    for name in ("is_image_novel", "end_frame"):
        assert table[name].data.dtype == np.float64
        assert np.isnan(table[name][:]).sum() == 2
    assert table["omitted"].data.dtype == bool
    assert set(table["image_set"][:]) == {"N/A", visual_behavior.INDEX_SERIES}
    names = np.asarray(table["image_name"][:])
    assert set(names[table["omitted"][:]]) == {"omitted"}
    assert (table["image_index"][:][table["omitted"][:]] == 8).all()
    assert np.allclose(table["stop_time"][:] - table["start_time"][:], 0.25, atol=2e-3)
    rows = [row for row in truth.presentations if row.stimulus == visual_behavior.IMAGE_SET]
    assert [row.omitted for row in rows] == table["omitted"][:].tolist()
    references = table["timeseries"][3]
    assert references[0].timeseries.name == "timestamps"
    assert references[0].timestamps[0] == pytest.approx(table["start_time"][3])
    assert table["tags"][3] == ["stimulus_time_interval"]


def test_older_files_do_not_say_when_an_omission_ends(tmp_path, opened):
    truth = visual_behavior.write(tmp_path, omitted_without_stop=True)
    table = opened(truth.files[0]).intervals[TABLE]
    assert np.isnan(table["stop_time"][:]).tolist() == table["omitted"][:].tolist()


def test_pictures_are_named_in_the_template_and_numbered_in_the_table(truth, opened):
    nwbfile = opened(truth.files[0])
    template = nwbfile.stimulus_template[visual_behavior.INDEX_SERIES]
    assert type(template).__name__ == "StimulusTemplate"
    assert isinstance(template, ImageSeries)
    assert np.isnan(template.timestamps[:]).all()
    assert np.isnan(template.unwarped[:]).any()
    names = [str(name) for name in template.control_description[:]]
    assert names == list(visual_behavior.IMAGE_NAMES)
    assert names != sorted(names)
    table = nwbfile.intervals[TABLE]
    for number, row in enumerate(row for row in truth.presentations if row.stimulus == visual_behavior.IMAGE_SET):
        if not row.omitted:
            assert names[row.frame] == table["image_name"][number]
            assert number_in(template.data[row.frame]) == row.picture


def test_index_series_and_table_tell_of_the_same_flashes_under_other_names(truth, opened):
    nwbfile = opened(truth.files[0])
    (index,) = nwbfile.stimulus.values()
    assert index.name == visual_behavior.INDEX_SERIES
    assert not TABLE.startswith(index.name)
    assert index.indexed_timeseries is nwbfile.stimulus_template[index.name]
    shown = [row for row in truth.presentations if row.template == index.name]
    assert np.allclose(index.timestamps[:], [row.start for row in shown])
    assert index.data[:].tolist() == [row.frame for row in shown]
    with h5py.File(truth.files[0]) as root:
        assert root[f"stimulus/presentation/{index.name}/data"].attrs["unit"] == "None"


def test_the_movie_is_told_frame_by_frame_and_its_pixels_are_nowhere(truth, tmp_path, opened):
    nwbfile = opened(truth.files[0])
    table = nwbfile.intervals["natural_movie_one_presentations"]
    assert table["movie_frame_index"][:].tolist() == [*range(30), *range(30)]
    assert "image_name" not in table.colnames
    assert np.allclose(np.diff(table["start_time"][:]), 1 / 30, atol=2e-3)
    assert "natural_movie_one" in truth.templates_without_pixels
    assert "natural_movie_one" not in nwbfile.stimulus_template
    assert nwbfile.intervals["spontaneous_presentations"]["stimulus_name"][0] == "spontaneous"
    shorter = visual_behavior.write(tmp_path / "shorter", movie=False)
    assert set(opened(shorter.files[0]).intervals) == {TABLE, "trials"}


def test_planes_are_files_whose_clocks_differ_by_a_part_of_a_cycle(tmp_path, opened):
    truth = visual_behavior.write(tmp_path, n_planes=3)
    clocks, groups, identifiers, cell = [], [], set(), 0
    for path in truth.files:
        nwbfile = opened(path)
        identifiers.add(nwbfile.identifier)
        metadata = nwbfile.lab_meta_data["metadata"]
        assert metadata.imaging_depth > 0
        assert metadata.ophys_session_id == 951410079
        assert metadata.imaging_plane_group_count == 2
        groups.append(int(metadata.imaging_plane_group))
        ophys = nwbfile.processing["ophys"]
        clocks.append(ophys["dff"]["traces"].timestamps[:])
        values = ophys["dff"]["traces"].data[:][:, ophys["image_segmentation"]["cell_specimen_table"]["valid_roi"][:]]
        assert np.allclose(values, truth.encodes.values(clocks[-1])[:, cell : cell + values.shape[1]])
        cell += values.shape[1]
    assert cell == truth.n_cells_valid == len(truth.positions)
    assert len(identifiers) == 3
    assert groups == [0, 0, 1]
    assert np.array_equal(clocks[0], clocks[1])
    assert 0.04 < clocks[2][0] - clocks[0][0] < 0.06
    assert np.allclose(1 / np.median(np.diff(clocks[0])), 10.7, rtol=0.01)


def test_most_assets_are_behaviour_only(tmp_path, opened):
    truth = visual_behavior.write(tmp_path, behaviour_only=True)
    nwbfile = opened(truth.files[0])
    assert "ophys" not in nwbfile.processing
    assert nwbfile.imaging_planes == {}
    assert type(nwbfile.lab_meta_data["metadata"]).__name__ == "BehaviorMetadata"
    assert TABLE in nwbfile.intervals
    assert truth.trace_kind is None


def test_eyes_are_ellipses_with_gaps(truth, opened):
    tracking = opened(truth.files[0]).acquisition["EyeTracking"]
    assert type(tracking).__name__ == "EllipseEyeTracking"
    blink = tracking.likely_blink.data[:]
    assert blink.any()
    assert np.isnan(tracking.pupil_tracking.area[:]).tolist() == blink.tolist()


@pytest.mark.parametrize("more", [1, -1])
def test_timestamps_may_be_off_by_one(tmp_path, opened, more):
    truth = visual_behavior.write(tmp_path, more_timestamps=more)
    traces = opened(truth.files[0]).processing["ophys"]["dff"]["traces"]
    assert len(traces.timestamps) == traces.data.shape[0] + more


def test_the_extensions_are_not_registered_for_readers_of_this_process(truth):
    assert truth.files[0].is_file()
    assert "ndx-aibs-stimulus-template" not in pynwb.available_namespaces()
