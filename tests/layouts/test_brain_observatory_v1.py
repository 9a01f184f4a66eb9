from __future__ import annotations

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions import read_session
from tests.layouts.brain_observatory_v1 import EXPERIMENT, write
from tests.layouts.truth import number_in


def test_pynwb_cannot_open_it(tmp_path):
    truth = write(tmp_path)
    with pytest.raises(TypeError, match="Missing NWB version"), NWBHDF5IO(str(truth.files[0]), "r") as io:
        io.read()


def test_it_has_the_groups_of_the_first_release(tmp_path):
    truth = write(tmp_path)
    with h5py.File(truth.files[0]) as root:
        assert root["nwb_version"].asstr()[()] == "NWB-1.0.5"
        assert "nwb_version" not in root.attrs
        assert root["general/ophys_experiment_id"][()] == EXPERIMENT.encode()
        traces = root["processing/brain_observatory_pipeline/DfOverF/imaging_plane_1"]
        assert traces["data"].shape == (truth.n_cells_all, len(truth.trace_times))
        assert np.allclose(traces["data"][:].T, truth.encodes.values(truth.trace_times), atol=1e-4)
        for name, series in root["stimulus/presentation"].items():
            assert name.endswith("_stimulus")
            onsets = series["frame_duration"][:, 0].astype(int)
            assert np.array_equal(truth.trace_times[onsets], series["timestamps"][:])
        scenes = root["stimulus/presentation/natural_scenes_stimulus"]
        assert (scenes["data"][:] == -1).sum() == 2
        stack = root[scenes["indexed_timeseries_path"][()].decode()]["data"]
        assert stack.dtype == np.float32
        assert [number_in(picture) for picture in stack] == list(range(6))


@pytest.mark.parametrize("missing", ["experiment_id", "session_id"])
def test_ids_can_be_missing(tmp_path, missing):
    truth = write(tmp_path, **{missing: False})
    with h5py.File(truth.files[0]) as root:
        assert ("ophys_experiment_id" in root["general"]) == (missing != "experiment_id")
        assert ("session_id" in root["general"]) == (missing != "session_id")


def test_real_file_has_the_same_layout(tmp_path, real_data):
    """Every group and dataset of the fixture is in the real file, with the same type."""
    truth = write(tmp_path)
    with (
        h5py.File(truth.files[0]) as fixture,
        h5py.File(real_data / "nwb_broken" / "496908818s_nwb1.nwb") as real,
    ):
        paths: list[str] = []
        fixture.visit(paths.append)
        for path in paths:
            assert path in real, path
            if isinstance(fixture[path], h5py.Dataset):
                assert fixture[path].ndim == real[path].ndim, path
                assert fixture[path].dtype.kind == real[path].dtype.kind, path


def test_it_is_refused_with_the_asset_to_use_instead(tmp_path):
    path = write(tmp_path).files[0]
    with pytest.raises(SessionError, match=r"NWB-1\.0\.5") as caught:
        read_session(path)
    assert caught.value.object_path == "nwb_version"
    assert f"experiment {EXPERIMENT} from dandiset 000728" in str(caught.value)
    assert f"sub-*_ses-{EXPERIMENT}-Stim*_behavior+image+ophys.nwb" in str(caught.value)


@pytest.mark.parametrize(("experiment_id", "session_id"), [(False, True), (False, False)])
def test_the_refusal_names_what_the_file_tells(tmp_path, experiment_id, session_id):
    path = write(tmp_path, experiment_id=experiment_id, session_id=session_id).files[0]
    with pytest.raises(SessionError, match="dandiset 000728") as caught:
        read_session(path)
    assert (f"experiment {EXPERIMENT}" in str(caught.value)) == session_id
