from __future__ import annotations

import os
from pathlib import Path

import pytest

from nwb_mivae.errors import ArchiveError, SessionError
from nwb_mivae.pipeline.sources import resolve_sources
from tests.archive.stub_archive import StubArchive


def test_local_sources_are_absolute_paths_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder" / "deeper").mkdir(parents=True)
    for name in ("folder/b.nwb", "folder/deeper/c.nwb", "folder/.hidden.nwb", "folder/notes.txt", "a.nwb"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    found = resolve_sources(["a.nwb", Path("folder"), tmp_path / "a.nwb"])

    assert found == [str(tmp_path.resolve() / name) for name in ("a.nwb", "folder/b.nwb", "folder/deeper/c.nwb")]
    assert all(os.path.isabs(path) for path in found)


def test_addresses_become_one_pinned_address_an_asset_and_urls_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    with StubArchive() as archive:
        monkeypatch.setenv("DANDI_INSTANCE", archive.url)
        one = archive.add("sub-1/a.nwb", b"1")
        two = archive.add("sub-2/a.nwb", b"2")
        base = f"dandi+{archive.url}/000999@0.240827.1809"

        found = resolve_sources(["dandi://000999/sub-2/", "https://host/a.nwb?key=1", "dandi://000999/*/a.nwb"])

        assert found == [
            f"{base}/sub-2/a.nwb#asset={two.asset_id}",
            "https://host/a.nwb?key=1",
            f"{base}/sub-1/a.nwb#asset={one.asset_id}",
        ]
        assert resolve_sources(found) == found
        with pytest.raises(ArchiveError, match="no asset that matches"):
            resolve_sources(["dandi://000999/sub-3/"])


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no such file or folder"):
        resolve_sources([tmp_path / "missing.nwb"])
    with pytest.raises(SessionError, match="a folder without NWB files"):
        resolve_sources([tmp_path])
