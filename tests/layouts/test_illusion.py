from __future__ import annotations

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from tests.layouts.illusion import N_PICTURES, write
from tests.layouts.truth import LayoutTruth, number_in


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> LayoutTruth:
    return write(tmp_path_factory.mktemp("000248"))


def test_pictures_are_called_like_their_table_and_come_back_in_alphabetical_order(truth):
    with NWBHDF5IO(str(truth.files[0]), "r", load_namespaces=True) as io:
        nwbfile = io.read()
        assert set(truth.templates_with_pixels) < set(nwbfile.intervals)
        images = nwbfile.stimulus_template["ICkcfg0_presentations"]
        assert images.order_of_images is None
        names = list(images.images)
        assert names == sorted(names)
        assert names[:3] == ["ICkcfg0_presentations0", "ICkcfg0_presentations1", "ICkcfg0_presentations10"]
        assert len(names) == N_PICTURES
        assert type(nwbfile.devices["probeB"]).__name__ == "EcephysProbe"


def test_presentations_name_a_picture_by_its_suffix(truth):
    with h5py.File(truth.files[0]) as root:
        for shown in truth.presentations:
            if shown.template is None:
                assert shown.stimulus in ("RFCI", "spontaneous")
                continue
            table = root[f"intervals/{shown.template}"]
            row = int(np.flatnonzero(table["start_time"][:] == shown.start)[0])
            assert table["frame"][row] == shown.frame
            pixels = root[f"stimulus/templates/{shown.template}/{shown.template}{shown.frame}"]
            assert number_in(pixels[:]) == shown.picture


def test_gabors_have_images_of_their_name_and_no_frame(truth):
    with h5py.File(truth.files[0]) as root:
        table = root["intervals/RFCI_presentations"]
        assert "frame" not in table
        assert "Mask" in table
        assert table.attrs["description"].count("\n") == 1
        assert root["stimulus/templates/RFCI_presentations/RFCI_presentations0"].shape == (8, 8, 3)
        assert table["timeseries"].attrs["neurodata_type"] == "TimeSeriesReferenceVectorData"


def test_electrodes_claim_a_third_axis_and_repeat_the_second(truth):
    with h5py.File(truth.files[0]) as root:
        electrodes = root["general/extracellular_ephys/electrodes"]
        assert electrodes["z"].attrs["description"] == "the z coordinate of the position (+z is right)"
        assert np.array_equal(electrodes["y"][:], electrodes["z"][:], equal_nan=True)
        assert electrodes["z"][0] == 1200.0


def test_pictures_can_have_the_published_size(tmp_path):
    truth = write(tmp_path, size=(120, 192), extension=False)
    with h5py.File(truth.files[0]) as root:
        assert root["stimulus/templates/ICwcfg1_presentations/ICwcfg1_presentations7"].shape == (120, 192)
        assert "ndx-aibs-ecephys" not in root["specifications"]
