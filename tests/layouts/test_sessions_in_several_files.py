"""Layouts whose sessions lie in several files, grouped, joined and read: every cell's trace is still the truth."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from nwb_mivae.sessions import MultiPlaneTraces, find_groups, group_sources, read_session
from nwb_mivae.sessions.session import SampledTraces
from tests.layouts import credit_assignment, openscope, visual_behavior


def sampled_planes(session) -> list[SampledTraces]:
    return list(session.traces.planes) if isinstance(session.traces, MultiPlaneTraces) else [session.traces]


@pytest.mark.slow
@pytest.mark.parametrize("layout", [visual_behavior, openscope])
def test_planes_become_one_session_whose_cells_tell_the_true_time(layout, tmp_path: Path):
    truth = layout.write(tmp_path, n_planes=4)
    (group,) = find_groups(truth.files[::-1])
    assert group.sources == tuple(map(str, truth.files))
    assert not group.findings
    with read_session(group.sources) as session:
        assert "acq" not in session.key
        assert len(session.cells) == truth.n_cells_valid
        assert session.cells["plane"].nunique() == 4
        assert session.cells["source_file"].nunique() == 4
        first = 0
        for plane in sampled_planes(session):
            columns = slice(first, first + plane.n_cells)
            expected = truth.encodes.values(plane.timestamps)[:, columns]
            np.testing.assert_allclose(plane.read(), expected, rtol=1e-5)
            first += plane.n_cells
        assert first == truth.n_cells_valid
        np.testing.assert_allclose(session.cells["z"], truth.positions[:, 2])
        with read_session(truth.files[0]) as one:
            assert len(session.presentations) == len(one.presentations)
            assert set(session.templates) == set(one.templates)


@pytest.mark.parametrize("layout", [visual_behavior, openscope])
def test_two_sessions_of_one_mouse_stay_two(layout, tmp_path: Path):
    truth = layout.write(tmp_path, n_planes=2)
    other = [tmp_path / f"other_{path.name}" for path in truth.files]
    for path, copy in zip(truth.files, other, strict=True):
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as root:
            del root["session_start_time"]
            root["session_start_time"] = "2031-01-01T09:00:00-08:00"
    groups = group_sources([*truth.files, *other])
    assert [len(group) for group in groups] == [2, 2]


def test_a_session_of_behaviour_alone_joins_nothing(tmp_path: Path):
    planes = visual_behavior.write(tmp_path / "planes", n_planes=2).files
    (behaviour,) = visual_behavior.write(tmp_path / "behaviour", behaviour_only=True).files
    first, second = find_groups([*planes, behaviour])
    assert first.sources == tuple(map(str, planes))
    assert second.sources == (str(behaviour),)


def test_of_three_assets_of_one_recording_the_one_with_pictures_and_without_the_stack_is_read(tmp_path: Path):
    files = {asset: credit_assignment.write(tmp_path, asset=asset).files[0] for asset in ("plain", "raw", "image")}
    (group,) = find_groups(list(files.values()))
    assert group.sources == (str(files["image"]),)
    assert set(group.left_out) == {str(files["plain"]), str(files["raw"])}
    assert "fewer pixels" in group.left_out[str(files["plain"])]
    assert "fewer pixels" not in group.left_out[str(files["raw"])]
