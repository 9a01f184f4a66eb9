"""A file on a server gives the session that the same file on the disk gives, and fetches little more than it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.archive import RemoteFile
from nwb_mivae.errors import ArchiveError, SessionError
from nwb_mivae.sessions import describe, read_session
from nwb_mivae.sessions.nwb import open_nwb
from tests.archive.stub_archive import StubArchive
from tests.benchmarks.reading.recording_with_movie import used_bytes, write_recording_with_movie


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubArchive]:
    with StubArchive() as running:
        monkeypatch.setattr("nwb_mivae.archive.prompt._silent", {})
        monkeypatch.setenv("DANDI_INSTANCE", running.url)
        monkeypatch.setenv("NWB_MIVAE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


REAL = (
    "A8604-211122.nwb",
    "aibs_760693773_truncated10.nwb",
    "optinist_test_nwb.nwb",
    "roiextractors_ophys_nwb_test.nwb",
    "sub-4_ses-4_ecephys+image.nwb",
)


@pytest.mark.parametrize("name", REAL)
def test_real_files_read_the_same_from_a_server(archive: StubArchive, real_data: Path, name: str) -> None:
    file = real_data / "nwb" / name
    archive.add(f"sub-1/{name}", file.read_bytes())

    def told(source: str) -> str:
        try:
            with read_session(source) as session:
                values = {key: value for key, value in describe(session).items() if key not in ("file", "files")}
                text = json.dumps(values).replace(session.provenance.path, "FILE")
                return text.replace("in a stimulus folder: none was given", "beside the NWB file")
        except SessionError as refusal:
            return refusal.found

    assert told(f"dandi://000999/sub-1/{name}") == told(str(file))


@pytest.mark.parametrize("name", ["496908818s_nwb1.nwb", "652989705_partial_download.nwb"])
def test_broken_files_are_refused_alike(archive: StubArchive, real_data: Path, name: str) -> None:
    file = real_data / "nwb_broken" / name
    stub = archive.add(name, file.read_bytes())

    with pytest.raises(SessionError) as local:
        read_session(file)
    with pytest.raises(SessionError) as remote:
        read_session(f"dandi://000999/{name}")

    assert (remote.value.found, remote.value.expected) == (local.value.found, local.value.expected)
    assert remote.value.file == f"dandi+{archive.url}/000999@0.240827.1809/{name}#asset={stub.asset_id}"


@pytest.mark.slow
def test_little_more_is_fetched_than_what_is_read(archive: StubArchive, tmp_path: Path) -> None:
    file = write_recording_with_movie(tmp_path / "a.nwb", minutes=3, n_rois=150, raw_bytes=40_000_000)
    archive.add("sub-1/sub-1_ses-1_behavior+ophys.nwb", file.read_bytes())
    used = used_bytes(file, ("processing/ophys/DfOverF", "processing/ophys/ImageSegmentation", "intervals"))

    with read_session("dandi://000999/sub-1/") as session, read_session(file) as local:
        assert session.traces is not None
        assert local.traces is not None
        np.testing.assert_array_equal(session.traces.read(), local.traces.read())
        assert session.provenance.asset is not None
        assert session.key == "sub-1_ses-1_behavior+ophys"

    assert archive.bytes_sent < 1.2 * used + 3_000_000
    assert len(archive.downloads()) < 100


def test_an_opened_file_knows_where_it_is(archive: StubArchive, real_data: Path) -> None:
    file = real_data / "nwb" / "roiextractors_ophys_nwb_test.nwb"
    stub = archive.add("sub-1/sub-1_ophys.nwb", file.read_bytes())

    opened = open_nwb("dandi://000999/sub-1/")
    try:
        assert opened.path is None
        assert opened.stem == "sub-1_ophys"
        assert opened.asset is not None
        assert opened.asset.digests == stub.stated_digests()
        assert opened.location == opened.asset.pinned_address == opened.provenance().path == opened.provenance().asset
        assert isinstance(opened.remote, RemoteFile)
        assert 0 < opened.remote.bytes_fetched <= len(file.read_bytes())
        opened.raise_if_broken()
        stub.download_status = 404
        opened.remote.seek(len(file.read_bytes()) - 500_000)
        with pytest.raises(ArchiveError, match="status 404"):
            opened.remote.read(10)
        with pytest.raises(ArchiveError, match="status 404"):
            opened.raise_if_broken()
    finally:
        opened.close()
    assert open_nwb(file).path == file


def test_a_line_that_breaks_while_pynwb_reads_is_no_damaged_file(archive: StubArchive, real_data: Path) -> None:
    stub = archive.add("a.nwb", (real_data / "nwb" / "sub-4_ses-4_ecephys+image.nwb").read_bytes())

    def interfere(number: int) -> None:
        stub.download_status = 200 if number < 4 else 503

    archive.interfere = interfere
    with pytest.raises(ArchiveError, match="status 503"):
        read_session("dandi://000999/a.nwb")
