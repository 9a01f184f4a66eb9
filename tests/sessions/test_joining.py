from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions import MultiPlaneTraces, SampledTraces, SessionsConfiguration, read_session
from nwb_mivae.sessions.conventions import load_conventions
from nwb_mivae.sessions.joining import join_sessions
from tests.nwb_files import add_movie, add_table, pixels_of
from tests.plane_files import START, frame_onsets, plane_values, write_plane, write_planes


def messages(session) -> list[str]:
    return [finding.message for finding in session.findings]


def test_planes_on_clocks_of_their_own_stay_on_them(tmp_path):
    paths = write_planes(tmp_path, (0, 1))
    with read_session(paths) as session:
        traces = session.traces
        assert isinstance(traces, MultiPlaneTraces)
        assert traces.n_cells == len(session.cells) == 6
        assert [plane.timestamps[0] for plane in traces.planes] == pytest.approx([0.0, 0.021])
        for number, plane in enumerate(traces.planes):
            assert plane.read() == pytest.approx(plane_values(number, 120, 3))
        assert session.cells["id"].tolist() == [0, 1, 2, 1000, 1001, 1002]
        assert session.cells["plane"].tolist() == ["plane_0"] * 3 + ["plane_1"] * 3
        assert session.cells["source_file"].tolist() == [str(paths[0])] * 3 + [str(paths[1])] * 3
        assert session.cells["source_row"].tolist() == [0, 1, 2, 0, 1, 2]
        assert session.cells["z"].tolist() == pytest.approx([100.0] * 3 + [150.0] * 3)


def test_planes_on_one_clock_are_put_side_by_side(tmp_path):
    paths = write_planes(tmp_path, (0, 1), first_sample=0.0)
    with read_session(paths) as session:
        assert isinstance(session.traces, SampledTraces)
        assert session.traces.shape == (120, 6)
        expected = np.concatenate([plane_values(0, 120, 3), plane_values(1, 120, 3)], axis=1)
        assert session.traces.read(10, 20) == pytest.approx(expected[10:20])


def test_planes_side_by_side_are_read_in_whole_storage_chunks(tmp_path):
    sessions = [read_session(path) for path in write_planes(tmp_path, (0, 1), first_sample=0.0)]
    for session, rows in zip(sessions, (None, 40), strict=True):
        assert isinstance(session.traces, SampledTraces)
        session.traces.preferred_rows = rows
    with join_sessions(sessions, load_conventions()) as session:
        assert isinstance(session.traces, SampledTraces)
        assert session.traces.preferred_rows == 40


def test_what_all_planes_share_comes_from_the_file_that_tells_most(tmp_path):
    paths = write_planes(tmp_path, (0, 1))
    with read_session(paths[::-1]) as session:
        assert list(session.templates) == ["natural_movie"]
        assert session.templates["natural_movie"].read(np.array([7])).mean() == 7
        assert not session.missing_templates
        assert set(session.presentations["template"]) == {"natural_movie"}
        assert list(session.behaviour) == ["running"]
        assert any(f"what was shown was taken from {paths[0].name}" in message for message in messages(session))


def test_every_file_is_in_the_provenance(tmp_path):
    paths = write_planes(tmp_path, (0, 1, 2))
    with read_session(paths) as session:
        assert [file.path for file in session.files] == list(map(str, paths))
        assert [file.identifier for file in session.files] == [f"identifier-of-{path.stem}" for path in paths]
        assert session.provenance == session.files[0]
        assert {candidate.chosen for candidate in session.candidates} == {True}
        assert [paths[1].name in candidate.reason for candidate in session.candidates] == [False, True, False]


def test_findings_name_their_file_and_what_all_have_is_said_once(tmp_path):
    paths = write_planes(tmp_path, (0, 1))
    with read_session(paths) as session:
        missing = [message for message in messages(session) if "stimuli are missing" in message]
        assert len(missing) == 1
        assert missing[0].startswith(f"{paths[1].name}: ")
    bare = [write_plane(tmp_path / f"{number}.nwb", number) for number in range(2)]
    with read_session(bare) as session:
        missing = [message for message in messages(session) if "stimuli are missing" in message]
        assert missing == ["pixels of 1 stimuli are missing"]


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (["sub-1_ses-11-acq-20_ophys", "sub-1_ses-11-acq-21_ophys"], "sub-1_ses-11_ophys"),
        (["sub-1_ses-11_obj-a_ophys", "sub-1_ses-11_obj-b_ophys"], "sub-1_ses-11_ophys"),
        (["sub-1_ses-20_ophys", "sub-1_ses-21_ophys"], "sub-1_ses-20_ophys"),
        (["first", "second"], "first"),
    ],
)
def test_the_key_is_the_first_file_without_the_plane(tmp_path, names, key):
    paths = [write_plane(tmp_path / f"{name}.nwb", number) for number, name in enumerate(names)]
    with read_session(paths) as session:
        assert session.key == key
    with read_session(paths[0]) as session:
        assert session.key == names[0]


def test_planes_that_are_called_alike_are_told_apart_by_their_files(tmp_path):
    paths = write_planes(tmp_path, (0, 1), plane_name="imaging_plane_1")
    with read_session(paths) as session:
        assert session.cells["plane"].unique().tolist() == [f"imaging_plane_1 in {path.name}" for path in paths]


def test_one_file_in_a_list_is_that_file(tmp_path):
    path = write_planes(tmp_path)[0]
    with read_session([path]) as several, read_session(path) as one:
        assert several.key == one.key == path.stem
        assert isinstance(several.traces, SampledTraces)
        assert several.files == one.files


def test_presentations_at_other_times_are_said(tmp_path):
    paths = [
        write_plane(tmp_path / "a.nwb", 0, pixels=pixels_of(60)),
        write_plane(tmp_path / "b.nwb", 1, onsets=frame_onsets(60, seed=3)),
        write_plane(tmp_path / "c.nwb", 2, table="other_presentations"),
    ]
    with read_session(paths) as session:
        warnings = [finding for finding in session.findings if finding.level == "warning"]
        assert any("60 presentations in b.nwb at other times" in finding.message for finding in warnings)
        assert any("only c.nwb has" in finding.message for finding in warnings)
        assert session.presentations["start_time"].to_numpy() == pytest.approx(frame_onsets(60))


@pytest.mark.parametrize("row_per_frame", [True, False])
def test_pixels_of_another_file_are_used_for_presentations_that_agree(tmp_path, row_per_frame):
    """Without the pixels a row of a whole movie stays one row, which is not the movie's first frame for so long."""
    paths = []
    for plane, (movie, n_frames) in enumerate([("clip", 60), ("other", 200)]):
        path = write_plane(tmp_path / f"sub-1_ses-2-acq-{plane}_ophys.nwb", plane, stimulus=False, samples=300)
        onsets = 2.0 + np.arange(60) / 30 if row_per_frame else np.array([2.0])
        later = 8.0 + np.arange(200) / 30
        with NWBHDF5IO(str(path), "r+") as io:
            nwbfile = io.read()
            add_table(
                nwbfile,
                "clip_presentations",
                start_time=onsets,
                stop_time=onsets + (1 / 30 if row_per_frame else 2.0),
                stimulus_name=["clip"] * len(onsets),
                **({"frame": np.arange(60)} if row_per_frame else {}),
            )
            add_table(
                nwbfile,
                "other_presentations",
                start_time=later,
                stop_time=later + 1 / 30,
                stimulus_name=["other"] * 200,
                frame=np.arange(200),
            )
            add_movie(nwbfile, movie, pixels_of(n_frames))
            io.write(nwbfile)
        paths.append(path)
    with read_session(paths) as session:
        assert any(f"was taken from {paths[1].name}" in message for message in messages(session))
        assert "other" in session.templates
        if row_per_frame:
            assert session.templates["clip"].read(np.array([7])).max() == 7
        else:
            assert "clip" not in session.templates
            assert paths[0].name in session.missing_templates["clip"]


def test_traces_of_another_kind_are_left_out_and_said(tmp_path):
    paths = [
        write_plane(tmp_path / "a.nwb", 0, rois=2, container="event_detection"),
        write_plane(tmp_path / "b.nwb", 1, rois=3),
    ]
    with read_session(paths) as session:
        assert session.traces.kind == "dff"
        assert set(session.cells["source_file"]) == {str(paths[1])}
        assert any("traces of a.nwb were left out" in message for message in messages(session))
        assert len(session.files) == 2


def test_a_plane_whose_traces_cannot_be_used_is_left_out_and_said(tmp_path):
    paths = write_planes(tmp_path, (0, 1))
    settings = SessionsConfiguration(trace="processing/ophys/DfOverF/RoiResponseSeries")
    bare = write_plane(tmp_path / "sub-mouse1_ses-11-acq-30_ophys.nwb", 3, container="Fluorescence")
    with read_session([*paths, bare], configuration=settings) as session:
        assert session.traces.n_cells == 6
        assert any(message.startswith(f"{bare.name}: the traces were left out") for message in messages(session))


def test_planes_without_a_time_in_common_are_not_put_together(tmp_path):
    paths = [write_plane(tmp_path / "a.nwb", 0), write_plane(tmp_path / "b.nwb", 1, first_sample=500.0)]
    with read_session(paths) as session:
        assert session.traces.n_cells == 3
        assert any("do not overlap" in message for message in messages(session))


@pytest.mark.parametrize(
    ("other", "found"),
    [({"subject": "mouse2"}, "subject 'mouse2'"), ({"start": START + timedelta(days=1)}, "started at")],
)
def test_files_of_other_sessions_are_refused_by_name(tmp_path, other, found):
    paths = [write_plane(tmp_path / "a.nwb", 0), write_plane(tmp_path / "b.nwb", 1, **other)]
    with pytest.raises(SessionError, match=found) as caught:
        read_session(paths)
    assert caught.value.file == str(paths[1])


def test_a_file_that_cannot_be_opened_is_refused_by_name_and_the_others_are_closed(tmp_path):
    path = write_planes(tmp_path)[0]
    text = tmp_path / "text.nwb"
    text.write_text("no HDF5")
    with pytest.raises(SessionError) as caught:
        read_session([path, text])
    assert caught.value.file == str(text)
    with pytest.raises(SessionError, match="no file at all"):
        read_session([])
    # On a system that locks open files this would fail if the first were still open.
    Path(path).rename(tmp_path / "moved.nwb")


def test_closing_closes_every_file(tmp_path):
    session = read_session(write_planes(tmp_path, (0, 1)))
    planes = session.traces.planes
    session.close()
    for plane in planes:
        with pytest.raises(SessionError, match="cannot be read"):
            plane.read(0, 1)
