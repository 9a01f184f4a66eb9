from __future__ import annotations

import ast

import numpy as np
import pytest
from pynwb import NWBHDF5IO

from tests.layouts import openscope
from tests.layouts.truth import number_in

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return openscope.write(tmp_path_factory.mktemp("openscope"))


@pytest.fixture(scope="module")
def planes(truth):
    """The files of the session, open with plain pynwb."""
    readers = [NWBHDF5IO(str(path), "r", load_namespaces=True) for path in truth.files]
    yield [reader.read() for reader in readers]
    for reader in readers:
        reader.close()


def test_one_plane_per_file_named_by_session_and_acquisition(truth, planes):
    assert [path.name for path in truth.files] == [
        "sub-656228_ses-1245548523-acq-1245937725_image+ophys.nwb",
        "sub-656228_ses-1245548523-acq-1245937727_image+ophys.nwb",
    ]
    assert [nwbfile.session_id for nwbfile in planes] == ["1245548523-acq-1245937725", "1245548523-acq-1245937727"]
    assert len({nwbfile.identifier for nwbfile in planes}) == 2
    assert len({nwbfile.session_start_time for nwbfile in planes}) == 1
    for nwbfile in planes:
        metadata = nwbfile.lab_meta_data["metadata"]
        assert type(metadata).__name__ == "OphysMetadata"
        assert (metadata.ophys_session_id, metadata.imaging_plane_group) == (1245548523, -1)
    assert [nwbfile.lab_meta_data["metadata"].imaging_depth for nwbfile in planes] == [148, 144]


def test_traces_are_where_allensdk_writes_them(truth, planes):
    for number, nwbfile in enumerate(planes):
        ophys = nwbfile.processing["ophys"]
        assert {"dff", "corrected_fluorescence", "neuropil_trace", "event_detection"} <= set(ophys.data_interfaces)
        traces = ophys["dff"]["traces"]
        valid = ophys["image_segmentation"]["cell_specimen_table"]["valid_roi"][:]
        expected = truth.encodes.values(traces.timestamps[:])[:, 3 * number : 3 * number + 3]
        assert np.allclose(traces.data[:][:, valid], expected)
        assert set(nwbfile.processing) == {"ophys", "running", "stimulus", "stimulus_ophys"}


def test_a_row_is_a_movie_frame_and_whole_numbers_are_floats(truth, planes):
    names = {f"{name}_presentations" for name in (*openscope.MOVIES, "gratings", "fixed_gabors", "spontaneous")}
    assert set(planes[0].intervals) == names
    for name in openscope.MOVIES:
        table = planes[0].intervals[f"{name}_presentations"]
        assert table["frame"].data.dtype == table["stimulus_block"].data.dtype == np.float64
        rows = [row for row in truth.presentations if row.stimulus == name]
        assert [row.frame for row in rows] == table["frame"][:].astype(int).tolist()
        assert np.allclose([row.start for row in rows], table["start_time"][:])
        assert table["size"][0] == "[1920.0, 1080.0]"
        assert "orientation" in table.colnames


def test_gratings_and_patches_are_told_by_parameters(truth, planes):
    gratings = planes[0].intervals["gratings_presentations"]
    assert gratings["mask"][0] == "None"
    rows = [row for row in truth.presentations if row.stimulus == "gratings"]
    assert [row.parameters["orientation"] for row in rows] == gratings["orientation"][:].tolist()
    gabors = planes[0].intervals["fixed_gabors_presentations"]
    assert {len(ast.literal_eval(text)) for text in gabors["oris"][:]} == {3}
    assert len(ast.literal_eval(gabors["xys"][0])) == 3


def test_grey_comes_before_between_and_after(truth, planes):
    table = planes[0].intervals["spontaneous_presentations"]
    assert table.colnames == ("start_time", "stimulus_name", "stop_time", "tags", "timeseries")
    assert len(table) == sum(row.blank for row in truth.presentations) == 5


@pytest.mark.parametrize("templates", [False, True])
def test_templates_are_often_absent_and_called_otherwise_than_the_table(tmp_path, templates):
    truth = openscope.write(tmp_path, n_planes=1, templates=templates, raw_movie=True)
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as reader:
        nwbfile = reader.read()
        assert nwbfile.acquisition["raw_suite2p_motion_corrected"].data.dtype == np.uint16
        if not templates:
            assert nwbfile.stimulus_template == {}
            return
        assert set(nwbfile.stimulus_template) == {"flower_fwd", "touch_of_evil_fwd", "worms_fwd"}
        for row in truth.presentations[1:150:7]:
            if row.template:
                assert number_in(nwbfile.stimulus_template[row.template].data[row.frame]) == row.picture
