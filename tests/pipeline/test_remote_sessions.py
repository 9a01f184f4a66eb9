"""A session whose planes are assets of an archive: joined, prepared where they are, and known again once downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nwb_mivae.clips import ClipsConfiguration, prepare
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.pipeline.sources import resolve_sources
from nwb_mivae.sessions import group_sources
from tests.archive.stub_archive import StubArchive
from tests.plane_files import write_planes

SMALL = ClipsConfiguration(height=6, width=8)
FOLDER = "sub-mouse1"


@pytest.fixture
def planes(tmp_path: Path) -> list[Path]:
    return write_planes(tmp_path / FOLDER, (0, 1))


@pytest.fixture
def archive(planes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubArchive]:
    for name, value in {
        "HOME": str(tmp_path), "NWB_MIVAE_CACHE": str(tmp_path / "cache"), "DANDI_NO_ET": "1", "DANDI_CACHE": "ignore",
        "NO_PROXY": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with StubArchive() as stub:
        for path in planes:
            stub.add(f"{FOLDER}/{path.name}", path.read_bytes())
        yield stub


def test_planes_in_an_archive_are_one_session_and_known_again(
    archive: StubArchive, planes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sources = resolve_sources([f"dandi+{archive.url}/000999/{FOLDER}/"])
    assert group_sources(sources[::-1]) == [tuple(sources)]
    store = prepare(sources, tmp_path / "store", configuration=SMALL)
    (session,) = store.sessions.values()
    assert session.key == "sub-mouse1_ses-11_image+ophys"
    assert session.n_cells == 6
    assert [file["path"] for file in session.source["files"]] == sources
    assert [file["asset"] for file in session.source["files"]] == sources
    assert [file["sha256"] for file in session.source["files"]] == [sha256_of_file(path) for path in planes]
    with monkeypatch.context() as patch:
        patch.setattr("nwb_mivae.clips.writing.StoreWriter.add", None)
        again = prepare(sources, tmp_path / "store", configuration=SMALL)
        # Downloaded, they are the same recordings.
        downloaded = prepare(planes, tmp_path / "store", configuration=SMALL)
    assert again.digest == store.digest == downloaded.digest
