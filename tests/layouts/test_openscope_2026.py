from __future__ import annotations

import numpy as np
import pytest
from pynwb import NWBHDF5IO

from tests.layouts import openscope_2026

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return openscope_2026.write(tmp_path_factory.mktemp("openscope_2026"))


@pytest.fixture(scope="module")
def nwbfile(truth):
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as reader:
        yield reader.read()


def test_a_processing_module_per_plane(truth, nwbfile):
    assert set(nwbfile.processing) == {"VISp_0", "VISp_1", "VISp_2", "running", "eye_tracking"}
    for name in openscope_2026.PLANES[:3]:
        module = nwbfile.processing[name]
        assert set(module.data_interfaces) == {
            "dff_timeseries",
            "raw_timeseries",
            "neuropil_fluorescence_timeseries",
            "neuropil_corrected_timeseries",
            "event_timeseries",
            "image_segmentation",
            "images",
        }
        assert module["dff_timeseries"]["dff_timeseries"].unit == "%"
        rois = module["image_segmentation"]["roi_table"]
        assert {"is_soma", "soma_probability", "is_dendrite", "dendrite_probability"} <= set(rois.colnames)
        assert rois.imaging_plane.name == name
    assert truth.trace_path == "processing/VISp_0/dff_timeseries/dff_timeseries"


def test_planes_have_clocks_of_their_own(truth, nwbfile):
    series = [nwbfile.processing[name]["dff_timeseries"]["dff_timeseries"] for name in openscope_2026.PLANES[:3]]
    assert np.array_equal(series[0].timestamps[:], series[1].timestamps[:])
    assert 0.04 < series[2].timestamps[0] - series[0].timestamps[0] < 0.07
    for number, one in enumerate(series):
        expected = truth.encodes.values(one.timestamps[:])[:, 3 * number : 3 * number + 3]
        assert np.allclose(one.data[:, :3], expected)


def test_area_and_depth_are_words_and_spacing_is_in_micrometres(truth, nwbfile):
    for number, name in enumerate(openscope_2026.PLANES[:3]):
        plane = nwbfile.imaging_planes[name]
        assert plane.location == f"Structure: VISp Depth: {150 + 30 * number}"
        assert plane.grid_spacing_unit == "micrometer"
        assert plane.origin_coords[:].tolist() == [0.0, 0.0, 0.0]
        assert (truth.positions[3 * number : 3 * number + 3, 2] == 150 + 30 * number).all()
        mask = nwbfile.processing[name]["image_segmentation"]["roi_table"]["image_mask"][0]
        row, column = np.argwhere(mask).mean(axis=0)
        assert truth.pixels[3 * number].tolist() == [column, row]


def test_tables_are_named_by_block_with_spaces_and_hold_numbers_as_text(truth, nwbfile):
    table = nwbfile.intervals["Control block 2_presentations"]
    assert {"stim_name", "stim_block", "stim_type", "TrialType"} <= set(table.colnames)
    angles = np.array([float(text) for text in table["Orientation"][:]])
    assert isinstance(table["Orientation"][0], str)
    assert angles.max() < 2 * np.pi
    rows = [row for row in truth.presentations if row.stimulus == "Control block 2"]
    assert [row.blank for row in rows] == [kind == "omission" for kind in table["TrialType"][:]]
    assert np.array_equal(table["stop_time"][:-1], table["start_time"][1:])


def test_a_row_of_the_movie_is_a_refresh_of_the_display(truth, nwbfile):
    table = nwbfile.intervals["Zebra_natural_movie_presentations"]
    assert np.allclose(table["stop_time"][:] - table["start_time"][:], 1 / 60, atol=1e-3)
    rows = [row for row in truth.presentations if row.template == "Zebra_natural_movie"]
    assert len(table) == 2 * len(rows) == 80
    assert table["frame"][::2].astype(int).tolist() == [row.frame for row in rows]
    assert table["frame"][1::2].astype(int).tolist() == [row.frame for row in rows]
    assert nwbfile.stimulus_template == {}


def test_eyes_are_tables_with_a_column_of_times_and_minus_one_for_failures(nwbfile):
    pupil = nwbfile.processing["eye_tracking"]["pupil"]
    assert set(nwbfile.processing["eye_tracking"].data_interfaces) == {
        "ellipse",
        "pupil",
        "corneal_reflection",
        "likely_blink_times",
    }
    assert "timestamps" in pupil.colnames
    assert (pupil["area"][:] == -1).sum() == 5
    assert not np.isnan(pupil["area"][:]).any()


def test_without_movie_and_eyes(tmp_path):
    truth = openscope_2026.write(tmp_path, movie=False, eye_tracking=False, n_planes=1)
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as reader:
        nwbfile = reader.read()
        assert "eye_tracking" not in nwbfile.processing
        assert set(nwbfile.intervals) == {"Control block 2_presentations", "spontaneous_presentations"}
    assert truth.pupil is None
