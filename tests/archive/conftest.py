"""No test of this room may leave 127.0.0.1, write into the home folder or see the developer's token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive.stub_archive import StubArchive


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    # A port may be another server's in the next test.
    monkeypatch.setattr("nwb_mivae.archive.prompt._silent", {})
    monkeypatch.setenv("DANDI_NO_ET", "1")
    monkeypatch.setenv("DANDI_CACHE", "ignore")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("DANDI_API_KEY", raising=False)
    monkeypatch.delenv("DANDI_INSTANCE", raising=False)
    monkeypatch.delenv("NWB_MIVAE_CACHE", raising=False)
    monkeypatch.delenv("NWB_MIVAE_CACHE_GB", raising=False)
    return folder


@pytest.fixture
def archive() -> Iterator[StubArchive]:
    with StubArchive() as running:
        yield running
