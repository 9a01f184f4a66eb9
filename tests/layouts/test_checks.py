"""The checks can fail: each finds what is wrong when the truth is changed by as little as matters."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.layouts import visual_behavior, visual_coding, visual_coding_neuropixels
from tests.layouts.cases import CASES
from tests.layouts.checks import CHECKS, Reading
from tests.layouts.truth import LinearInTime

pytestmark = pytest.mark.filterwarnings("ignore")


def opened(key, folder, write=None):
    case = next(case for case in CASES if case.key == key)
    return Reading(case if write is None else replace(case, write=write), folder)


@pytest.fixture(scope="module")
def two_photon(tmp_path_factory):
    write = partial(visual_coding.write, session="A")
    with opened("000728 session A, one timestamp more", tmp_path_factory.mktemp("checks"), write) as reading:
        yield reading


def rows_changed(truth, change):
    return replace(truth, presentations=tuple(map(change, truth.presentations)))


def shifted(truth, seconds):
    return rows_changed(truth, lambda row: replace(row, start=row.start + seconds, stop=row.stop + seconds))


WRONG = {
    "running": ("reads", lambda truth: replace(truth, running=None), "running"),
    "layout": ("reads", lambda truth: replace(truth, dandisets=("000729",)), "no finding says that the layout"),
    "kind": ("traces", lambda truth: replace(truth, trace_kind="events"), "kind"),
    "path": ("traces", lambda truth: replace(truth, trace_path="processing/ophys/DfOverF/DfOverFEvents"), "path"),
    "cells": ("traces", lambda truth: replace(truth, n_cells_valid=4), "cells said to be left out: 0, expected 1"),
    "axes": ("coordinates", lambda truth: replace(truth, positions=truth.positions[:, [1, 0, 2]]), "x of a cell"),
    "depth": (
        "coordinates",
        lambda truth: replace(truth, positions=np.nan_to_num(truth.positions, nan=275.0)),
        "z of a cell",
    ),
    "invented depth": (
        "coordinates",
        lambda truth: replace(truth, positions=np.full_like(truth.positions, np.nan)),
        "x of cells of which the file tells none",
    ),
    "times": ("frame table", lambda truth: shifted(truth, 0.0011), "start"),
    "a row too few": (
        "frame table",
        lambda truth: replace(truth, presentations=truth.presentations[1:]),
        "a row that the file does not tell of",
    ),
    "frames": (
        "frame table",
        lambda truth: rows_changed(truth, lambda row: replace(row, frame=row.frame + 1 if row.frame >= 0 else -1)),
        "template and frame",
    ),
    "parameters": (
        "frame table",
        lambda truth: rows_changed(
            truth,
            lambda row: (
                replace(row, parameters={**row.parameters, "orientation_in_degrees": 30.0}) if row.parameters else row
            ),
        ),
        "parameter orientation",
    ),
    "blank": (
        "frame table",
        lambda truth: rows_changed(truth, lambda row: replace(row, blank=False) if row.blank else row),
        "blank",
    ),
    "block": ("frame table", lambda truth: rows_changed(truth, lambda row: replace(row, block=3)), "block"),
    "lost rows": (
        "frame table",
        lambda truth: replace(truth, rows_lost={"stimulus/presentation/drifting_gratings": 3}),
        "lost rows are not counted and said",
    ),
    "pictures": (
        "frames",
        lambda truth: rows_changed(
            truth, lambda row: replace(row, picture=row.picture ^ 1 if row.picture >= 0 else -1)
        ),
        "another picture",
    ),
    "templates": (
        "frames",
        lambda truth: replace(truth, templates_with_pixels=("natural_movie_four",)),
        "pixels of the file not found: natural_movie_four",
    ),
    "late activity": (
        "alignment",
        lambda truth: replace(
            truth, encodes=LinearInTime(truth.encodes.offset + 0.0011 * truth.encodes.slope, truth.encodes.slope)
        ),
        "activity of another time",
    ),
    "cells exchanged": (
        "alignment",
        lambda truth: replace(
            truth, encodes=LinearInTime(truth.encodes.offset[[1, 0, 2, 3, 4]], truth.encodes.slope[[1, 0, 2, 3, 4]])
        ),
        "activity of another time",
    ),
    "late pictures": ("alignment", lambda truth: shifted(truth, 0.04), "another picture on the screen"),
    "uncertainty": (
        "alignment",
        lambda truth: replace(truth, time_uncertainty=0.02),
        "nothing says by how much true times may be later",
    ),
    "stored pictures": ("report", lambda truth: shifted(truth, 0.04), "frames of the store with another picture"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_check_finds_what_differs_from_the_truth(wrong, two_photon):
    check, change, told = WRONG[wrong]
    truth = two_photon.truth
    assert CHECKS[check](two_photon).startswith("ok")
    two_photon.truth = change(truth)
    try:
        with pytest.raises(AssertionError, match=told):
            CHECKS[check](two_photon)
    finally:
        two_photon.truth = truth


def test_spikes_of_another_row_are_found(tmp_path):
    with opened("000021, no coordinates", tmp_path, partial(visual_coding_neuropixels.write)) as reading:
        assert CHECKS["alignment"](reading).startswith("ok")
        reading.truth = replace(reading.truth, presentations=reading.truth.presentations[1:])
        with pytest.raises(AssertionError, match="spikes of another row"):
            CHECKS["alignment"](reading)


def test_what_is_refused_by_design_must_be_refused(tmp_path):
    write = partial(visual_behavior.write, behaviour_only=True)
    with (
        opened("Brain Observatory v1", tmp_path, write) as reading,
        pytest.raises(AssertionError, match="read, though it should be refused"),
    ):
        CHECKS["reads"](reading)
    with (
        opened("000711 behaviour only", tmp_path / "one_plane", visual_behavior.write) as reading,
        pytest.raises(AssertionError, match="prepared, though it should be refused"),
    ):
        CHECKS["report"](reading)
