from __future__ import annotations

from pathlib import Path

import pytest

from nwb_mivae.archive import LOCK_FILE, download_assets, find_assets, find_wanted
from nwb_mivae.errors import ArchiveError
from tests.archive.stub_archive import StubArchive


@pytest.fixture(autouse=True)
def _preferred(archive: StubArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANDI_INSTANCE", archive.url)
    for number in (1, 2):
        archive.add(f"sub-{number}/sub-{number}_ophys.nwb", bytes([number]))


def test_dandisets_addresses_and_lock_files_name_assets_once(archive: StubArchive, tmp_path: Path) -> None:
    both = find_assets("000999")
    download_assets(both, tmp_path)

    assert find_wanted(["000999"]) == both
    assert find_wanted(["dandi://000999/sub-1/", "dandi://000999"]) == both
    assert find_wanted(["000999"], pattern="sub-2*") == find_wanted(["000999"], subject="2") == both[1:]
    assert find_wanted(["dandi://000999/sub-1/*"], pattern="sub-2*") == both[:1]
    assert find_wanted([asset.pinned_address for asset in both]) == both
    assert [asset.asset_id for asset in find_wanted([tmp_path])] == [asset.asset_id for asset in both]
    assert find_wanted([tmp_path / LOCK_FILE]) == find_wanted([str(tmp_path)])
    assert find_wanted(["000999"], version="draft")[0].version == "draft"


@pytest.mark.parametrize("text", ["1234567", "recordings", "https://host/a.nwb"])
def test_what_is_none_of_them_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="neither a dandiset nor a lock file"):
        find_wanted([text])
    with pytest.raises(ArchiveError, match="neither a dandiset nor a lock file"):
        find_wanted([tmp_path])
