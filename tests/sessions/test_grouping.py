from __future__ import annotations

import shutil
from datetime import timedelta, timezone
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from nwb_mivae.errors import ArchiveError
from nwb_mivae.sessions import SessionsConfiguration, find_groups, group_sources, grouping
from nwb_mivae.sessions.grouping import source_name
from tests.nwb_files import pixels_of
from tests.plane_files import START, frame_onsets, write_plane, write_planes


def names(groups: list[tuple[str, ...]]) -> list[list[str]]:
    return [[Path(source).name for source in group] for group in groups]


def test_planes_of_one_session_in_two_files_are_joined(tmp_path):
    paths = write_planes(tmp_path)
    (group,) = find_groups(paths)
    assert group.sources == tuple(map(str, paths))
    assert not group.findings
    assert not group.left_out


def test_the_order_of_the_sources_decides_nothing_within_a_session(tmp_path):
    paths = write_planes(tmp_path, (0, 1, 2))
    other = write_plane(tmp_path / "other.nwb", subject="mouse2")
    assert names(group_sources([paths[2], other, paths[0], paths[1]])) == [[path.name for path in paths], ["other.nwb"]]


def test_start_times_equal_to_a_millisecond_are_equal(tmp_path):
    onsets = frame_onsets(60)
    jitter = np.random.default_rng(0).uniform(-4e-4, 4e-4, 60)
    paths = [
        write_plane(tmp_path / f"plane{plane}.nwb", plane, onsets=onsets + jitter * plane, session_id=None)
        for plane in range(2)
    ]
    assert names(group_sources(paths)) == [["plane0.nwb", "plane1.nwb"]]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"subject": "mouse2"}, id="two mice with the same start"),
        pytest.param({"start": START + timedelta(days=1)}, id="a day later"),
        pytest.param({"start": START + timedelta(milliseconds=1)}, id="another start"),
    ],
)
def test_other_recordings_are_not_joined_and_nothing_needs_to_be_said(tmp_path, other):
    paths = [write_plane(tmp_path / "a.nwb", 0), write_plane(tmp_path / "b.nwb", 1, **other)]
    groups = find_groups(paths)
    assert names([group.sources for group in groups]) == [["a.nwb"], ["b.nwb"]]
    assert not any(group.findings for group in groups)


def test_other_session_ids_in_metadata_are_other_sessions(tmp_path):
    paths = [
        write_plane(tmp_path / f"{number}.nwb", number, metadata={"ophys_session_id": str(number)})
        for number in range(2)
    ]
    assert not any(group.findings for group in find_groups(paths))
    assert names(group_sources(paths)) == [["0.nwb"], ["1.nwb"]]


def test_other_session_ids_in_names_are_other_sessions(tmp_path):
    paths = [
        write_plane(tmp_path / f"sub-mouse1_ses-{11 + number}-acq-{number}_ophys.nwb", number) for number in range(2)
    ]
    assert len(group_sources(paths)) == 2


def test_metadata_names_session_and_plane_where_all_else_is_alike(tmp_path):
    """000711: every file calls its plane alike, and ``session_id`` is the plane's."""
    paths = [
        write_plane(
            tmp_path / f"{number}.nwb",
            number,
            plane_name="imaging_plane_1",
            first_roi=0,
            session_id=f"experiment-{number}",
            metadata={"ophys_session_id": "7", "ophys_experiment_id": str(number)},
        )
        for number in range(2)
    ]
    assert names(group_sources(paths)) == [["0.nwb", "1.nwb"]]


def test_the_same_instant_in_another_time_zone_is_the_same_start(tmp_path):
    elsewhere = START.astimezone(timezone(timedelta(hours=-8)))
    paths = [write_plane(tmp_path / "a.nwb", 0), write_plane(tmp_path / "b.nwb", 1, start=elsewhere)]
    assert len(group_sources(paths)) == 1


def test_other_presentations_are_not_joined_and_that_is_said_of_both(tmp_path):
    paths = [
        write_plane(tmp_path / "a.nwb", 0),
        write_plane(tmp_path / "b.nwb", 1, onsets=frame_onsets(60, seed=1)),
    ]
    first, second = find_groups(paths)
    (finding,) = first.findings
    assert finding.level == "warning"
    assert "b.nwb was not joined" in finding.message
    assert "other start times" in finding.message
    assert "a.nwb was not joined" in second.findings[0].message


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        pytest.param({"session_id": "1"}, {"session_id": "2"}, "other session ids", id="session ids"),
        pytest.param({"table": "one"}, {"table": "two"}, "no stimulus table in common", id="other tables"),
        pytest.param(
            {"stimulus": False, "session_id": None}, {"stimulus": False, "session_id": None},
            "neither stimulus tables nor a session id", id="no tables, no id",
        ),
        pytest.param(
            {"stimulus": False}, {"stimulus": False, "first_sample": 99.0}, "nor a time in common", id="one by one"
        ),
        pytest.param({}, {"plane_name": "plane_0"}, "whether the plane is the same", id="the same plane, other ROIs"),
        pytest.param({"traces": False}, {"traces": False}, "neither has neural activity", id="no activity"),
        pytest.param({"session_id": None}, {"traces": False}, "no session id", id="no activity and no id"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_not_joined_and_said(tmp_path, first, second, why):
    paths = [write_plane(tmp_path / "a.nwb", 0, **first), write_plane(tmp_path / "b.nwb", 1, **second)]
    if "plane_name" in second:
        with h5py.File(paths[0]) as one, h5py.File(paths[1], "r+") as other:
            place = "general/optophysiology/plane_0/origin_coords"
            other[place][...] = one[place][...]
    groups = find_groups(paths)
    assert len(groups) == 2
    assert all(why in group.findings[0].message for group in groups)
    assert not any(group.left_out for group in groups)


def test_without_presentations_an_id_and_overlapping_traces_suffice(tmp_path):
    paths = [
        write_plane(tmp_path / "a.nwb", 0, stimulus=False),
        write_plane(tmp_path / "b.nwb", 1, stimulus=False, first_sample=5.0),
    ]
    assert len(group_sources(paths)) == 1


def test_planes_stay_apart_where_the_settings_say_so(tmp_path):
    paths = write_planes(tmp_path)
    groups = find_groups(paths, configuration=SessionsConfiguration(join_planes=False))
    assert [group.sources for group in groups] == [(str(path),) for path in paths]
    assert groups[0].findings[0].level == "info"
    assert "sessions.join_planes" in groups[0].findings[0].message


def test_of_two_assets_of_one_recording_the_one_with_the_movies_is_read(tmp_path):
    """000037: a plain asset and one with images, of the same plane."""
    plain = write_plane(tmp_path / "sub-1_ses-2_behavior+ophys.nwb")
    images = write_plane(tmp_path / "sub-1_ses-2_behavior+image+ophys.nwb", pixels=pixels_of(60))
    for order in ([plain, images], [images, plain]):
        (group,) = find_groups(order)
        assert group.sources == (str(images),)
        assert list(group.left_out) == [str(plain)]
        assert "fewer pixels" in group.left_out[str(plain)]
        assert plain.name in group.findings[0].message


def test_a_file_without_traces_is_left_out_beside_the_one_that_has_them(tmp_path):
    """000728: the raw movie lies in a file of its own."""
    raw = write_plane(tmp_path / "sub-1_ses-2_ophys.nwb", traces=False, stimulus=False)
    whole = write_plane(tmp_path / "sub-1_ses-2_behavior+image+ophys.nwb")
    (group,) = find_groups([raw, whole])
    assert group.sources == (str(whole),)
    assert "no neural activity" in group.left_out[str(raw)]


def test_annotated_copies_are_left_out_and_alone_they_are_read(tmp_path):
    paths = write_planes(tmp_path)
    copies = []
    for path in paths:
        copy = Path(shutil.copy(path, path.with_name(path.name.replace("_image", "_desc-mivae_image"))))
        with h5py.File(copy, "r+") as root:
            results = root["general"].create_group("mivae")
            results.attrs["source_object_id"] = root.attrs["object_id"]
            root.attrs["object_id"] = f"copy of {path.stem}"
        copies.append(copy)
    (group,) = find_groups([*copies, *paths])
    assert group.sources == tuple(map(str, paths))
    assert sorted(group.left_out) == sorted(map(str, copies))
    assert all("annotated copy" in why for why in group.left_out.values())
    assert group_sources(copies) == [tuple(map(str, copies))]


@pytest.mark.parametrize(
    ("both", "second", "why"),
    [
        pytest.param({"session_id": None}, {"onsets": frame_onsets(60, seed=1)}, "start times", id="the same ROIs"),
        pytest.param(
            {"identifier": "x"}, {"onsets": frame_onsets(60, seed=1)}, "start times", id="the same identifier"
        ),
        pytest.param({"stimulus": False}, {"samples": 200}, "other times", id="no tables, longer traces"),
    ],
)
def test_alike_files_with_other_times_are_not_one_recording(tmp_path, both, second, why):
    """Cells that were tracked over days, and a start that is a placeholder."""
    paths = [write_plane(tmp_path / "a.nwb", **both), write_plane(tmp_path / "b.nwb", **both, **second)]
    groups = find_groups(paths)
    assert names([group.sources for group in groups]) == [["a.nwb"], ["b.nwb"]]
    assert all(group.findings[0].level == "warning" and why in group.findings[0].message for group in groups)


def test_a_file_that_another_was_copied_from_and_filled_anew_is_another_recording(tmp_path):
    paths = [write_plane(tmp_path / "a.nwb"), write_plane(tmp_path / "b.nwb", samples=300)]
    with h5py.File(paths[0]) as one, h5py.File(paths[1], "r+") as other:
        other.attrs["object_id"] = one.attrs["object_id"]
    assert names(group_sources(paths)) == [["a.nwb"], ["b.nwb"]]


def test_a_copy_in_which_the_subject_is_called_otherwise_is_no_other_animal(tmp_path):
    path = write_plane(tmp_path / "a.nwb", subject="1")
    copy, corrected = (Path(shutil.copy(path, tmp_path / f"{name}.nwb")) for name in ("bb", "ccc"))
    with h5py.File(copy, "r+") as root:
        root["general/subject/subject_id"][...] = "2"
    with h5py.File(corrected, "r+") as root:
        root["intervals/natural_movie_presentations/start_time"][:] += 1.0
    (group,) = find_groups([copy, corrected, path])
    assert group.sources == (str(path),)
    assert group.left_out[str(copy)] == "of subject '2' and not '1', but else a copy of a.nwb, which was read"
    assert "bb.nwb was left out" in " ".join(finding.message for finding in group.findings)


def test_a_copy_without_a_subject_is_found_by_its_identifier(tmp_path):
    path = write_plane(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as root:
        del root["general/subject"]
    copy = Path(shutil.copy(path, tmp_path / "b.nwb"))
    (group,) = find_groups([copy, path])
    assert len(group.left_out) == 1


def test_files_without_subject_or_start_are_never_joined(tmp_path):
    paths = write_planes(tmp_path)
    for path in paths:
        with h5py.File(path, "r+") as root:
            del root["general/subject"]
    assert len(group_sources(paths)) == 2


def test_files_that_cannot_be_read_are_groups_of_their_own(tmp_path):
    paths = write_planes(tmp_path)
    text = tmp_path / "text.nwb"
    text.write_text("no HDF5")
    cut = tmp_path / "cut.nwb"
    cut.write_bytes(paths[0].read_bytes()[:3000])
    missing = tmp_path / "missing.nwb"
    assert names(group_sources([text, *paths, cut, missing])) == [
        ["text.nwb"], [path.name for path in paths], ["cut.nwb"], ["missing.nwb"],
    ]  # fmt: skip


def test_a_file_that_could_not_be_compared_is_said_to_be(tmp_path, monkeypatch):
    """A line that broke while files were compared may hold while they are read."""
    paths = write_planes(tmp_path)
    contents = grouping._contents

    def broken(root, conventions):
        if Path(root.filename) == paths[1]:
            raise ArchiveError("no answer within ten seconds")
        return contents(root, conventions)

    monkeypatch.setattr(grouping, "_contents", broken)
    first, second = find_groups(paths)
    assert (first.sources, second.sources) == ((str(paths[0]),), (str(paths[1]),))
    assert "not compared with other files" in second.findings[0].message
    assert "no answer" in second.findings[0].message


def test_grouping_reads_no_traces(tmp_path, monkeypatch):
    paths = write_planes(tmp_path)
    read = []
    original = h5py.Dataset.__getitem__
    monkeypatch.setattr(
        h5py.Dataset, "__getitem__", lambda self, *which: read.append(self.name) or original(self, *which)
    )
    assert len(group_sources(paths)) == 1
    assert not [name for name in read if name.endswith("/data")]


def test_names_of_sources_are_those_users_know(tmp_path):
    assert source_name(tmp_path / "a.nwb") == "a.nwb"
    assert source_name("C:\\recordings\\a.nwb") == "a.nwb"
    assert source_name("dandi://000336@0.1.2/sub-1/sub-1_ophys.nwb#asset=12") == "sub-1_ophys.nwb"
    assert source_name("https://host/blobs/a.nwb?signature=1") == "a.nwb"


def test_a_real_annotated_copy_has_the_identifier_of_its_source(tmp_path):
    """What :func:`nwb_mivae.annotation.annotate` keeps, an export by pynwb keeps as well."""
    path = write_plane(tmp_path / "a.nwb")
    with NWBHDF5IO(str(path), "r") as reading, NWBHDF5IO(str(tmp_path / "b.nwb"), "w") as writing:
        nwbfile = reading.read()
        nwbfile.generate_new_id(recurse=False)
        writing.export(src_io=reading, nwbfile=nwbfile)
    assert len(group_sources([path, tmp_path / "b.nwb"])) == 1


def test_files_that_name_session_and_plane_in_their_own_way_are_told_how(tmp_path):
    (tmp_path / "ours.yaml").write_text('session_name_patterns: ["run(?P<session>[0-9]+)_z(?P<plane>[0-9]+)"]\n')
    paths = [
        write_plane(tmp_path / f"run7_z{plane}.nwb", plane, plane_name="plane", first_roi=0, session_id=f"7.{plane}")
        for plane in range(2)
    ]
    assert len(group_sources(paths)) == 2
    settings = SessionsConfiguration(conventions=str(tmp_path / "ours.yaml"))
    assert len(group_sources(paths, configuration=settings)) == 1
