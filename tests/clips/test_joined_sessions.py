"""Sessions whose planes lie in files of their own, from NWB files to the store and back."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwb_mivae.clips import ClipsConfiguration, ClipStore, prepare
from nwb_mivae.errors import StoreError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.sessions import SessionsConfiguration, read_session
from tests.nwb_files import pixels_of
from tests.plane_files import write_plane, write_planes

SMALL = ClipsConfiguration(height=6, width=8)
KEY = "sub-mouse1_ses-11_image+ophys"


@pytest.fixture
def planes(tmp_path) -> list[Path]:
    return write_planes(tmp_path / "files", (0, 1))


def test_two_planes_are_prepared_as_one_session(tmp_path, planes):
    store = prepare(planes[::-1], tmp_path / "store", configuration=SMALL)
    assert not store.manifest["failures"]
    (session,) = store.sessions.values()
    assert session.key == KEY
    assert session.n_cells == 6
    # Values tell the plane and the ROI: nothing came to a wrong cell.
    means = session.neural[session.valid].astype(float).mean(axis=0)
    assert np.floor(means / 100).tolist() == [0, 1, 2, 10, 11, 12]
    assert [file["path"] for file in session.source["files"]] == [str(path) for path in planes]
    assert [file["sha256"] for file in session.source["files"]] == [sha256_of_file(path) for path in planes]
    assert session.source["files"][1]["identifier"] == f"identifier-of-{planes[1].stem}"
    assert session.source["path"] == str(planes[0])
    assert session.cells["source_file"].tolist() == [str(planes[0])] * 3 + [str(planes[1])] * 3


def test_planes_stay_apart_where_the_settings_say_so(tmp_path):
    files = write_planes(tmp_path / "files", (0, 1))
    files[1] = write_plane(files[1], 1, pixels=pixels_of(60))
    store = prepare(files, tmp_path / "store", configuration=SMALL, sessions=SessionsConfiguration(join_planes=False))
    assert sorted(store.sessions) == sorted(path.stem for path in files)
    for session in store.sessions.values():
        assert any("sessions.join_planes" in note for note in session.report["notes"])


def test_the_same_call_again_and_moved_files_prepare_nothing(tmp_path, planes, monkeypatch):
    before = prepare(planes, tmp_path / "store", configuration=SMALL)
    moved = [Path(shutil.move(path, tmp_path)) for path in planes]
    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("nwb_mivae.clips.prepare"), "align", None)
        after = prepare(moved, tmp_path / "store", configuration=SMALL)
    assert after.digest == before.digest
    session = after.sessions[KEY]
    assert session.source["path"] == str(moved[0])
    assert session.cells["source_file"].tolist() == [str(moved[0])] * 3 + [str(moved[1])] * 3


def test_the_digest_does_not_tell_where_files_lay(tmp_path, planes):
    elsewhere = [Path(shutil.copy(path, tmp_path)) for path in planes]
    one = prepare(planes, tmp_path / "one", configuration=SMALL)
    other = prepare(elsewhere, tmp_path / "other", configuration=SMALL)
    assert one.digest == other.digest


def test_a_change_of_either_file_prepares_the_session_again(tmp_path, planes):
    before = prepare(planes, tmp_path / "store", configuration=SMALL)
    write_plane(planes[1], 1, rois=2)
    after = prepare(planes, tmp_path / "store", configuration=SMALL)
    assert after.sessions[KEY].n_cells == 5
    assert after.digest != before.digest


def test_another_plane_that_comes_later_joins(tmp_path, planes):
    prepare(planes, tmp_path / "store", configuration=SMALL)
    third = write_planes(tmp_path / "files", (2,), pixels=None, running=False)
    store = prepare([*planes, *third], tmp_path / "store", configuration=SMALL)
    assert list(store.sessions) == [KEY]
    assert store.sessions[KEY].n_cells == 9


def test_a_recording_in_several_assets_is_prepared_once(tmp_path):
    plain = write_plane(tmp_path / "sub-1_ses-2_behavior+ophys.nwb")
    images = write_plane(tmp_path / "sub-1_ses-2_behavior+image+ophys.nwb", pixels=pixels_of(60))
    copy = Path(shutil.copy(images, tmp_path / "sub-1_ses-2_desc-again_behavior+image+ophys.nwb"))
    store = prepare([plain, copy, images], tmp_path / "store", configuration=SMALL)
    (session,) = store.sessions.values()
    assert session.source["path"] == str(images)
    assert not store.manifest["failures"]
    assert sorted(each["name"] for each in session.source["left_out"]) == sorted([plain.name, copy.name])
    assert any("fewer pixels" in note for note in session.report["notes"])


def test_open_sessions_of_several_files_are_prepared(tmp_path, planes):
    with read_session(planes) as session:
        store = prepare([session], tmp_path / "store", configuration=SMALL)
        assert store.sessions[KEY].cells["source_file"].nunique() == 2
    again = prepare(planes, tmp_path / "other", configuration=SMALL)
    assert again.digest == store.digest


def test_an_error_in_one_file_names_it(tmp_path, planes):
    whole = write_plane(tmp_path / "whole.nwb", subject="mouse2", pixels=pixels_of(60))
    planes[1].write_bytes(planes[1].read_bytes()[:5000])
    store = prepare([*planes, whole], tmp_path / "store", configuration=SMALL)
    assert sorted(store.sessions) == [planes[0].stem, "whole"]
    assert [failure["file"] for failure in store.manifest["failures"]] == [str(planes[1])]


def test_tables_come_back_as_they_were(tmp_path, planes):
    with read_session(planes) as session:
        stored = prepare([session], tmp_path / "store", configuration=SMALL).sessions[KEY]
        assert stored.presentations["blank"].dtype == bool
        assert stored.presentations["omitted"].dtype == bool
        expected = session.presentations.assign(block=session.presentations["block"].astype(str))
        pd.testing.assert_frame_equal(
            stored.presentations, expected.astype(stored.presentations.dtypes.to_dict()), check_exact=True
        )
        assert stored.cells["plane"].tolist() == session.cells["plane"].tolist()


def test_a_store_of_the_first_version_is_refused_and_prepared_again(tmp_path, planes):
    store = prepare(planes, tmp_path / "store", configuration=SMALL)
    manifest = tmp_path / "store/manifest.json"
    old = json.loads(manifest.read_text())
    old["format_version"] = 1
    for place, entry in [(manifest, old)] + [
        (path, json.loads(path.read_text())) for path in (tmp_path / "store/sessions").glob("*/session.json")
    ]:
        for session in entry.get("sessions", {"": entry}).values():
            session["fingerprint"] = "of another version"
            del session["source"]["files"]
        place.write_text(json.dumps(entry))
    with pytest.raises(StoreError, match="version 1") as caught:
        ClipStore.open(tmp_path / "store")
    assert "prepare the store again" in (caught.value.remedy or "")
    assert prepare(planes, tmp_path / "store", configuration=SMALL).digest == store.digest
