"""Finding, downloading and reading in place by commands, against an archive on this machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from nwb_mivae.cli.main import application
from tests.archive.stub_archive import StubArchive
from tests.nwb_files import add_movie, add_plane, add_table, add_traces, new_file, pixels_of, write

PATH = "sub-1/sub-1_ses-1_behavior+ophys.nwb"
TOKEN = "a-secret-token"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubArchive]:
    with StubArchive() as running:
        monkeypatch.setattr("nwb_mivae.archive.prompt._silent", {})
        monkeypatch.setenv("DANDI_INSTANCE", running.url)
        monkeypatch.setenv("NWB_MIVAE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


@pytest.fixture
def recording(tmp_path: Path) -> bytes:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, 5), np.random.default_rng(0).normal(size=(400, 5)))
    add_movie(nwbfile, "movie", pixels_of(20, 16, 24))
    onsets = 1.0 + np.arange(300) / 10
    add_table(
        nwbfile,
        "movie_presentations",
        start_time=onsets,
        stop_time=onsets + 0.1,
        stimulus_name=["movie"] * 300,
        movie_frame_index=np.arange(300) % 20,
    )
    return write(nwbfile, tmp_path / "recording.nwb").read_bytes()


def call(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


def suggested(result: Result) -> list[str]:
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("Next: nwb-mivae ")]
    return shlex.split(line.removeprefix("Next: nwb-mivae "))


def test_find_lists_what_there_is_and_names_the_command_that_fetches_it(
    archive: StubArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 6):
        archive.add(f"sub-{number}/sub-{number}_behavior+ophys.nwb", bytes(number * 1000))
    archive.add("sub-6/sub-6_ecephys.nwb", b"a")
    result = call("find", "000999")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["sub-5/sub-5_behavior+ophys.nwb", "5.0", "kB", "behavior+ophys", "5"] in rows
    assert "6 files, 15.0 kB, of dandiset 000999 version 0.240827.1809" in result.stdout
    assert archive.downloads() == []

    monkeypatch.chdir(tmp_path)
    for arguments, expected in (
        (["000999"], 6),
        (["000999", "--modality", "ophys"], 5),
        (["000999", "--subject", "3"], 1),
        (["000999", "--glob", "sub-[24]/*", "--version", "draft"], 2),
        (["dandi://000999/sub-*"], 6),
    ):
        found = call("find", *arguments)
        plan = call(*suggested(found)[:-1], f"recordings-{expected}", "--dry-run", "--json")
        assert len(json.loads(plan.stdout)["files"]) == expected
    values = json.loads(call("find", "000999", "--subject", "3", "--json").stdout)
    assert values["total_bytes"] == 3000
    assert values["assets"][0]["modalities"] == ["behavior", "ophys"]
    assert call("find", "000999", "--subject", "9").exit_code == 3
    assert call("find", "elsewhere").exit_code == 3


def test_find_says_what_is_in_an_asset_and_looks_into_it(archive: StubArchive, recording: bytes) -> None:
    archive.add(PATH, recording, metadata={"variableMeasured": [{"value": "DfOverF"}]})
    told = call("find", "000999", "--contents")
    assert "measured: DfOverF" in told.stdout
    assert archive.downloads() == []
    seen = call("find", "000999", "--look")
    assert seen.exit_code == 0
    assert "movie_presentations: 300 rows" in seen.stdout
    values = json.loads(call("find", "000999", "--contents", "--look", "--json").stdout)
    assert values["assets"][0]["contents"]["variables"] == ["DfOverF"]
    assert len(values["sessions"]) == 1


def test_download_says_what_comes_fetches_it_and_can_be_repeated(archive: StubArchive, tmp_path: Path) -> None:
    archive.add(PATH, b"content" * 1000)
    out = tmp_path / "out"
    dry = call("download", "000999", "--out", out, "--dry-run")
    assert dry.exit_code == 0
    assert "1 of 1 file to download, 7.0 kB of 7.0 kB" in dry.stdout
    assert "free" in dry.stdout
    assert not out.exists()

    result = call("download", "dandi://000999@0.240827.1809/sub-1/", "--out", out)
    assert result.exit_code == 0
    assert "1 of 1 file to download" in result.stderr
    assert (out / PATH).read_bytes() == b"content" * 1000
    values = json.loads(call("download", out, "--out", tmp_path / "again", "--json").stdout)
    assert values["files"][0]["file"] == str(tmp_path / "again" / PATH)
    assert (tmp_path / "again" / PATH).read_bytes() == b"content" * 1000
    assert "0 of 1 file to download" in call("download", "000999", "--out", out).stderr


def test_recordings_are_prepared_from_where_they_lie(archive: StubArchive, recording: bytes, tmp_path: Path) -> None:
    stub = archive.add(PATH, recording)
    archive.add("sub-2/broken.nwb", b"not HDF5")
    pinned = f"dandi+{archive.url}/000999@0.240827.1809/{PATH}#asset={stub.asset_id}"
    result = call("prepare", "dandi://000999", "--out", tmp_path / "store", "--json")
    assert result.exit_code == 3, result.stderr
    assert "broken.nwb" in json.loads(result.stdout)["refused"][0]["file"]
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    (session,) = manifest["sessions"].values() if isinstance(manifest["sessions"], dict) else manifest["sessions"]
    assert session["source"]["path"] == pinned
    assert session["source"]["asset"] == pinned
    assert session["source"]["sha256"] == stub.stated_digests()["dandi:sha2-256"]


def test_python_takes_patterns_and_signed_urls_too(archive: StubArchive, recording: bytes, tmp_path: Path) -> None:
    import nwb_mivae as nm

    stub = archive.add(PATH, recording)
    archive.add("sub-2/sub-2_ecephys.nwb", b"not HDF5")
    store = nm.prepare([f"dandi+{archive.url}/000999/sub-1/*"], tmp_path / "one")
    assert list(store.sessions) == [Path(PATH).stem]
    store = nm.prepare([f"{archive.storage_url}/{stub.blob}?signature=secret"], tmp_path / "two")
    assert len(store.sessions) == 1
    assert "secret" not in "".join(path.read_text() for path in tmp_path.glob("two/*.json"))
    with nm.read_session(f"dandi+{archive.url}/000999/{PATH}") as session:
        assert session.provenance.asset == session.provenance.path
        assert session.traces is not None
        assert session.traces.n_cells == 5


def test_a_dead_line_in_the_middle_is_one_refusal(archive: StubArchive, recording: bytes) -> None:
    asset = archive.add(PATH, recording)

    def interfere(number: int) -> None:
        asset.download_status = 503 if number > 1 else 200

    archive.interfere = interfere
    result = call("inspect", "dandi://000999", "--json")
    assert result.exit_code == 3
    (refused,) = json.loads(result.stdout)["refused"]
    assert refused["error"] == "ArchiveError"
    assert "status 503" in refused["found"]


@pytest.mark.parametrize("command", ["download", "inspect", "prepare", "find"])
def test_the_token_is_told_nobody(
    archive: StubArchive, recording: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    archive.add(PATH, recording)
    archive.token = TOKEN
    out = ["--out", tmp_path / "out"] if command in ("download", "prepare") else []
    refused = call(command, "dandi://000999", *out)
    assert refused.exit_code == 3
    assert archive.token_variable in refused.stderr
    monkeypatch.setenv(archive.token_variable, TOKEN)
    result = call(command, "dandi://000999", *out)
    assert result.exit_code == 0, result.stderr
    assert TOKEN not in refused.output + result.output
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
    assert all("Authorization" not in headers for headers in archive.downloads())
