"""The benchmarks of annotation, small: that they measure, and that what they count is what it should be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from nwb_mivae.annotation import annotate, read_annotations
from tests.benchmarks.annotation import kills, size, validity
from tests.benchmarks.annotation.recording import results_for, stored_for, write_recording

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", ["append", "copy"])
def test_a_killed_annotation_loses_nothing_and_leaves_nothing_half(form: str) -> None:
    figures = kills.killed(form, "hdf5", kills=3, rois=20, minutes=1.0)

    assert sum(figures["phases"].values()) == 3
    assert figures["files_lost"] == figures["half_written_that_look_whole"] == 0, figures["complaints"]
    assert figures["whole_after_another_call"]
    assert figures["left_after_it"] == 0


def test_the_judge_of_kills_knows_half_a_file(tmp_path: Path) -> None:
    """Otherwise zero files lost would mean nothing."""
    trial = kills._Trial(tmp_path, "append", "hdf5", 10, 0.6)
    trial.annotate()
    kills._copy(trial.output, trial.reference / trial.output.name)
    assert trial.judge() == ("whole", "whole")
    with h5py.File(trial.source, "r+") as file:
        file["processing/mivae/latents_neural_shared/data"][0, 0] += 1
    assert trial.judge() == ("lost", "half")
    trial.restore()
    assert trial.judge() == ("whole", "absent")
    trial.source.write_bytes(trial.source.read_bytes()[:-1000])
    assert trial.judge() == ("lost", "half")
    trial.restore()
    trial.annotate()
    with h5py.File(trial.source, "r+") as file:
        file["processing/ophys/DfOverF/RoiResponseSeries/data"][0, 0] += 1
    assert trial.judge() == ("lost", "half")


def test_results_are_compared_number_by_number(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "sub-mouse1_ses-ses1_ophys.nwb", rois=5, minutes=0.5)
    out = annotate(source, form="companion", **results_for(stored_for(source, rois=5, minutes=0.5)).arguments())
    one, other = read_annotations(out), read_annotations(out)
    assert kills.same(one, other)
    other.blocks["neural_shared"].mean[3, 1] += 1e-6
    assert not kills.same(one, other)
    assert not kills.same(one, dataclasses.replace(one, frames=one.frames.assign(clip=0)))
    assert not kills.same(pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [2.0]}))
    assert kills.same({"a": np.nan, "created": 1}, {"a": np.nan, "created": 2})


def test_sizes_and_times_of_a_short_recording() -> None:
    sizes = size.sizes(20, 1.0)
    kinds = sizes["bytes_by_kind"]
    frames = sizes["frames"]
    # Noise does not shrink: means and variances of 88 latents of four bytes each.
    assert 0.8 < kinds["latents of every frame, mean and variance"] / (frames * 88 * 2 * 4) < 1.2
    assert sum(kinds.values()) < sizes["companion_bytes"]

    times = size.times(20, 1.0, 1)
    assert set(times["ratios_clock_and_processor"]) == set(size.FORMS)
    table = size.markdown(sizes, times)
    assert "| companion |" in table
    assert "| fingerprints |" in table


def test_real_units_get_no_finding_by_being_annotated(real_data: Path, tmp_path: Path) -> None:
    name = "roiextractors_ophys_nwb_test.nwb"
    cells, shown = validity._BY_HAND[name]
    rows = list(validity.by_hand(real_data / "nwb" / name, cells, shown, tmp_path))

    assert len(rows) == 6
    for row in rows:
        assert row.found.ours == row.found.ours_lesser == 0, row
        assert row.found.schema <= row.of_source.schema
        assert row.found.inspector <= row.of_source.inspector
        assert row.found.dandi <= row.of_source.dandi
    assert validity.markdown(rows, {}).count(name) == 6
