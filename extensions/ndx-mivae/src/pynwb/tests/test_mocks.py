"""Mocks in the files of somebody's tests, where there are cells, presentations and results already."""

from __future__ import annotations

from pathlib import Path

import ndx_mivae.testing
import pynwb
import pytest
from ndx_mivae.testing import (
    mock_AlignmentMetricsTable,
    mock_FunctionalFingerprints,
    mock_LatentSeries,
    mock_RoiAttributionSeries,
    mock_UnitAttributionSeries,
)
from pynwb import NWBHDF5IO
from pynwb.testing.mock.file import mock_NWBFile
from pynwb.testing.mock.ophys import mock_PlaneSegmentation

pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")

IN_A_FILE = [
    name.removeprefix("mock_")
    for name in ndx_mivae.testing.__all__
    if name.removeprefix("mock_") not in ("MIVAEModel", "SubpopulationsTable", "TrainingSessionsTable")
]


@pytest.mark.parametrize("name", IN_A_FILE)
def test_a_second_one_has_a_name_of_its_own_and_refers_to_the_same(name: str, tmp_path: Path):
    nwbfile, mock = mock_NWBFile(), getattr(ndx_mivae.testing, f"mock_{name}")
    first, second = mock(nwbfile=nwbfile), mock(nwbfile=nwbfile)
    assert second.name == f"{first.name}_2"
    for region in ("presentations", "rois", "units", "cells"):
        if hasattr(first, region):
            assert getattr(first, region).table is getattr(second, region).table
    with NWBHDF5IO(str(tmp_path / "two.nwb"), "w") as writing:
        writing.write(nwbfile)
    assert pynwb.validate(path=str(tmp_path / "two.nwb")) == []


def test_a_name_that_is_given_is_kept():
    nwbfile = mock_NWBFile()
    assert mock_LatentSeries(nwbfile=nwbfile, name="latents").name == "latents"
    with pytest.raises(ValueError, match="already exists"):
        mock_LatentSeries(nwbfile=nwbfile, name="latents")


def test_rows_of_a_table_may_be_given():
    rows = [{name: mock_AlignmentMetricsTable()[name].data[0] for name in mock_AlignmentMetricsTable().colnames}]
    assert len(mock_AlignmentMetricsTable(rows=rows)) == 1


def test_cells_of_the_file_are_taken_where_they_are_enough():
    nwbfile = mock_NWBFile()
    few = mock_PlaneSegmentation(nwbfile=nwbfile, name="PlaneSegmentation", n_rois=5)
    own = mock_RoiAttributionSeries(nwbfile=nwbfile).rois.table
    assert own is not few
    assert mock_FunctionalFingerprints(nwbfile=nwbfile).cells.table is own


def test_units_of_the_file_are_taken_where_they_are_enough():
    nwbfile = mock_NWBFile()
    nwbfile.add_unit(spike_times=[0.1])
    with pytest.raises(ValueError, match="the file has 1 units, but these mocks need 6; give units"):
        mock_UnitAttributionSeries(nwbfile=nwbfile)
    for _ in range(5):
        nwbfile.add_unit(spike_times=[0.1])
    assert mock_UnitAttributionSeries(nwbfile=nwbfile).units.table is nwbfile.units
