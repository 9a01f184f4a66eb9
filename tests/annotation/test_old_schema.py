"""Sources whose objects are stored as an earlier version of NWB had them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pynwb
import pytest
from pynwb import NWBHDF5IO

from nwb_mivae.annotation import annotate
from nwb_mivae.archive import validate_for_dandi
from tests.annotation.sources import latents_for, model_record, stored_for, write_source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Spike trains as before NWB 2.3: signed indices, and no description of them."""
    path = write_source(tmp_path / "sub-m1_ses-1_ecephys.nwb", kind="units")
    with h5py.File(path, "r+") as file:
        index = file["units/spike_times_index"]
        values, attributes = index[:], dict(index.attrs)
        del file["units/spike_times_index"], attributes["description"]
        file["units"].create_dataset("spike_times_index", data=values.astype(np.int64)).attrs.update(attributes)
    assert len(pynwb.validate(path=str(path))) == 3
    return path


@pytest.mark.parametrize("backend", ["hdf5", "zarr"])
def test_a_copy_is_valid_by_the_schema_it_names(source: Path, backend: Any) -> None:
    if backend == "zarr":
        pytest.importorskip("hdmf_zarr")
    stored = stored_for(source, cell_rows={"units": [4, 1]})
    out = annotate(
        source, form="copy", backend=backend, latents=latents_for(stored), stored=stored, model=model_record()
    )
    assert [finding for finding in validate_for_dandi(out) if finding.blocks_upload] == []
    with NWBHDF5IO(str(source), "r") as before:
        trains = before.read().units["spike_times"][:]
    after = pynwb.read_nwb(str(out))
    try:
        for one, other in zip(trains, after.units["spike_times"][:], strict=True):
            np.testing.assert_array_equal(one, other)
    finally:
        after.get_read_io().close()
