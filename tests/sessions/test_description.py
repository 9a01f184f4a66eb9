from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pynwb import TimeSeries

from nwb_mivae.sessions import describe, read_session
from tests.nwb_files import add_movie, add_plane, add_table, add_traces, new_file, pixels_of, write


def test_it_tells_what_is_there_and_is_json(tmp_path: Path) -> None:
    nwbfile = new_file()
    masks = [np.eye(4, dtype=np.float32), np.zeros((4, 4), dtype=np.float32)]
    table = add_plane(nwbfile, 2, masks=masks, mask_kind="image_mask")
    add_traces(nwbfile, table, np.zeros((2, 50)), unit="percent")
    add_traces(nwbfile, table, np.zeros((50, 2)), container="Fluorescence", name="raw")
    add_movie(nwbfile, "film", pixels_of(4))
    add_table(
        nwbfile,
        "film_presentations",
        start_time=np.arange(10) / 10,
        stop_time=np.arange(1, 11) / 10,
        frame=[0, 1, 2, 3, -1] * 2,
    )
    add_table(nwbfile, "lost_presentations", start_time=[5.0], stop_time=[7.0], frame=[0])
    nwbfile.add_acquisition(TimeSeries(name="running_speed", data=[1.0, np.nan], unit="cm/s", rate=5.0))
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        told = json.loads(json.dumps(describe(session), allow_nan=False))
    assert told["subject"] == {"subject_id": "mouse1", "species": "Mus musculus"}
    assert told["traces"] == {
        "kind": "dff", "path": "processing/ophys/DfOverF/RoiResponseSeries", "unit": "percent", "cells": 2,
        "start": 0.0, "stop": 4.9, "orientation": "cells x time", "shape": [50, 2], "rate": pytest.approx(10.0),
    }  # fmt: skip
    assert [item["chosen"] for item in told["candidates"]] == [True, False]
    assert told["cells"] == {
        "number": 2, "with_coordinates": 1, "with_depth": 2, "areas": {"VISp": 2}, "planes": ["plane"],
    }  # fmt: skip
    film, lost = told["stimuli"]
    assert (film["source"], film["rows"], film["blank_rows"], film["distinct_frames"]) == (
        "intervals/film_presentations", 10, 2, 4,
    )  # fmt: skip
    assert (film["pixels"], film["largest_repeat"], round(film["median_duration"], 6)) == ("available", 1, 0.1)
    assert (lost["pixels"], lost["templates_with_pixels"], lost["total_duration"]) == ("missing", 0, 2.0)
    assert told["templates"] == [{"name": "film", "frames": 4, "height": 6, "width": 8, "origin": "file"}]
    assert list(told["missing_templates"]) == ["lost_presentations"]
    assert told["behaviour"][0]["known_share"] == 0.5
    assert any("1 of 2 masks are empty" in item["message"] for item in told["findings"])


def test_an_empty_file_is_told_as_empty(tmp_path: Path) -> None:
    with read_session(write(new_file(), tmp_path / "a.nwb")) as session:
        told = describe(session)
    assert told["traces"] is None
    assert told["cells"]["number"] == 0
    assert told["stimuli"] == []


def test_grey_alone_needs_no_pixels(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "spontaneous_presentations", start_time=[5.0], stop_time=[7.0])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert describe(session)["stimuli"][0]["pixels"] == "none needed"
