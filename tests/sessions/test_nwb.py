from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions import read_session
from nwb_mivae.sessions.nwb import as_text, open_nwb, text_values
from tests.nwb_files import add_plane, add_traces, new_file, write


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, 3), np.zeros((500, 3), dtype=np.float32))
    return write(nwbfile, tmp_path / "whole.nwb")


def refused(path: Path) -> SessionError:
    with pytest.raises(SessionError) as caught:
        read_session(path)
    error = caught.value
    assert error.file == str(path)
    assert pickle.loads(pickle.dumps(error)).as_dict() == error.as_dict()  # noqa: S301 - our own error
    return error


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nothing.nwb").found


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refused(tmp_path).found.startswith("a folder that is not Zarr")


def test_a_file_cut_off_says_both_sizes(whole: Path) -> None:
    size = whole.stat().st_size
    whole.write_bytes(whole.read_bytes()[: size // 2])
    error = refused(whole)
    assert f"{size // 2:,} bytes" in error.found
    assert error.expected == f"{size:,} bytes"
    assert error.remedy is not None
    assert "download" in error.remedy


@pytest.mark.parametrize(("content", "found"), [(b"", "an empty file"), (b"<html>not found</html>", "not HDF5")])
def test_what_is_not_hdf5(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "page.nwb"
    path.write_bytes(content)
    assert found in refused(path).found


def test_hdf5_without_nwb(tmp_path: Path) -> None:
    path = tmp_path / "other.nwb"
    with h5py.File(path, "w") as file:
        file["data"] = [1, 2]
    assert "without a version of NWB" in refused(path).found


@pytest.mark.parametrize("as_attribute", [False, True])
def test_nwb_1_is_told_from_other_files(tmp_path: Path, as_attribute: bool) -> None:
    path = tmp_path / "old.nwb"
    with h5py.File(path, "w") as file:
        if as_attribute:
            file.attrs["nwb_version"] = "1.0.6"
        else:
            file["nwb_version"] = np.bytes_(b"NWB-1.0.5")
            file.create_group("epochs")
    error = refused(path)
    assert "1.0." in error.found
    assert error.remedy is not None
    assert "000728" in error.remedy
    assert error.object_path == "nwb_version"


def test_a_file_one_may_not_read(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", denied)
    assert "may not be read" in refused(whole).found


def test_other_trouble_of_hdf5_is_passed_on(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object, **__: object) -> None:
        raise OSError("unable to lock file, errno = 11")

    monkeypatch.setattr(h5py, "File", locked)
    assert "unable to lock file" in refused(whole).found


def test_a_damaged_file_is_one_error_and_left_closed(whole: Path) -> None:
    with h5py.File(whole, "r+") as file:
        del file["session_start_time"]
    assert "pynwb cannot read" in refused(whole).found
    with h5py.File(whole, "r+"):
        pass


def test_the_object_that_cannot_be_read_is_named(whole: Path) -> None:
    with h5py.File(whole, "r+") as file:
        del file["processing/ophys/ImageSegmentation/rois_of_plane/pixel_mask"]
        del file["processing/ophys/ImageSegmentation/rois_of_plane/pixel_mask_index"]
    error = refused(whole)
    assert error.object_path == "processing/ophys/ImageSegmentation/rois_of_plane"
    assert "pixel_mask" in error.found


def test_reading_leaves_the_file_unchanged_and_closed(whole: Path) -> None:
    before = whole.read_bytes()
    with read_session(whole) as session:
        assert session.traces is not None
        session.traces.read(0, 10)  # type: ignore[attr-defined]
    assert whole.read_bytes() == before
    session.close()
    with h5py.File(whole, "r+"):
        pass


def test_provenance_tells_the_identifiers(whole: Path) -> None:
    with read_session(str(whole)) as session:
        told = session.provenance
    assert (told.identifier, told.session_id, told.subject_id, told.species) == (
        "test-1", "ses1", "mouse1", "Mus musculus",
    )  # fmt: skip
    assert told.session_start_time == "2025-01-01T00:00:00+00:00"
    assert told.nwb_version.startswith("2.")
    assert session.key == "whole"


def test_a_key_is_fit_for_file_names(whole: Path) -> None:
    odd = whole.rename(whole.parent / "sub-1 ses:4+image.nwb")
    with read_session(odd) as session:
        assert session.key == "sub-1_ses_4+image"


def test_unknown_warnings_become_findings_and_known_ones_do_not(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    import pynwb

    original = pynwb.NWBHDF5IO.read

    def warned(self: object) -> object:
        warnings.warn("the moon is full", stacklevel=1)
        warnings.warn("Timeseries has a rate of 0.0 Hz, but", stacklevel=1)
        return original(self)

    monkeypatch.setattr(pynwb.NWBHDF5IO, "read", warned)
    opened = open_nwb(whole)
    opened.close()
    assert [finding.message for finding in opened.findings] == ["pynwb says: the moon is full"]


def test_text_is_text_whatever_wrote_it() -> None:
    assert [as_text(value) for value in (None, b"caf\xc3\xa9", "x", 3)] == ["", "café", "x", "3"]
    assert text_values(np.array([b"a", b"b"])).tolist() == ["a", "b"]
    assert text_values([]).shape == (0,)


def test_contents_that_nobody_foresaw_are_refused_and_the_file_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nwb_mivae.sessions import read_session, reader

    def read(_: object) -> None:
        raise OSError("Can't synchronously read data (inflate() failed)")

    monkeypatch.setattr(reader, "read_behaviour", read)
    path = write(new_file(), tmp_path / "a.nwb")
    with pytest.raises(SessionError, match="inflate") as caught:
        read_session(path)
    assert caught.value.remedy is not None
    with h5py.File(path, "r+"):
        pass
