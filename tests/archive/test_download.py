from __future__ import annotations

import json
import logging
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nwb_mivae.archive import LOCK_FILE, Asset, download_assets, find_assets, plan_download, read_lock
from nwb_mivae.errors import ArchiveError
from tests.archive.stub_archive import StubArchive

CONTENT = bytes(range(256)) * 40
CHUNK = 8 * 1024 * 1024
LARGE = bytes(range(256)) * (CHUNK // 256 + 4000)


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_arrive_checked_and_locked(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("sub-1/a.nwb", CONTENT)
    archive.add("sub-2/b.nwb", b"b")
    assets = find_assets("000999", instance=archive.url)
    seen: list[tuple[str, int, int]] = []

    paths = download_assets(assets, tmp_path / "out", progress=lambda *step: seen.append(step))

    assert [path.read_bytes() for path in paths] == [CONTENT, b"b"]
    assert files_in(tmp_path / "out") == {"sub-1/a.nwb", "sub-2/b.nwb", LOCK_FILE}
    assert read_lock(tmp_path / "out") == assets
    assert seen[0] == ("sub-1/a.nwb", 0, len(CONTENT) + 1)
    assert seen[-1] == ("sub-2/b.nwb", len(CONTENT) + 1, len(CONTENT) + 1)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_a_lock_fetches_the_same_bytes_again_and_byte_for_byte_the_same_lock(
    archive: StubArchive, tmp_path: Path
) -> None:
    archive.add("sub-1/a.nwb", CONTENT)
    download_assets(find_assets("000999", instance=archive.url), tmp_path / "one")

    download_assets(read_lock(tmp_path / "one"), tmp_path / "two")

    assert (tmp_path / "two" / LOCK_FILE).read_bytes() == (tmp_path / "one" / LOCK_FILE).read_bytes()


def test_what_is_there_is_not_fetched_again(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", CONTENT)
    assets = find_assets("000999", instance=archive.url)
    download_assets(assets, tmp_path)
    archive.requests.clear()

    assert download_assets(assets, tmp_path) == [tmp_path / "a.nwb"]
    assert archive.requests == []


def test_a_broken_line_is_resumed_where_it_broke(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", LARGE, breaks_after=[CHUNK + 1000])

    (path,) = download_assets(find_assets("000999", instance=archive.url), tmp_path)

    assert path.read_bytes() == LARGE
    assert [headers.get("Range") for headers in archive.downloads()] == [None, f"bytes={CHUNK + 1000}-"]


def test_an_interrupted_command_is_resumed_by_the_next(
    archive: StubArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add("a.nwb", LARGE, breaks_after=[CHUNK + 1000])
    assets = find_assets("000999", instance=archive.url)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nwb_mivae.archive.blob.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download_assets(assets, tmp_path)
    assert not (tmp_path / "a.nwb").exists()

    (path,) = download_assets(assets, tmp_path)

    assert path.read_bytes() == LARGE
    assert archive.downloads()[-1]["Range"] == f"bytes={CHUNK + 1000}-"
    assert files_in(tmp_path) == {"a.nwb", LOCK_FILE}


def test_a_line_that_always_breaks_is_an_error_and_leaves_no_file(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", CONTENT, breaks_after=[10] * 50)

    with pytest.raises(ArchiveError, match="a line that broke again and again"):
        download_assets(find_assets("000999", instance=archive.url), tmp_path)

    assert not (tmp_path / "a.nwb").exists()
    assert not (tmp_path / LOCK_FILE).exists()


@pytest.mark.parametrize("announces_length", [True, False])
@pytest.mark.parametrize("sent", [CONTENT[:-1] + b"x", CONTENT[:100], CONTENT + b"more"])
def test_other_bytes_than_the_digest_states_are_refused(
    archive: StubArchive, tmp_path: Path, sent: bytes, announces_length: bool
) -> None:
    stub = archive.add("a.nwb", CONTENT, sent=sent, announces_length=announces_length)
    assets = find_assets("000999", instance=archive.url)

    with pytest.raises(ArchiveError) as refusal:
        download_assets(assets, tmp_path)
    assert "a.nwb" in str(refusal.value) or assets[0].asset_id in str(refusal.value)
    assert not (tmp_path / "a.nwb").exists()

    stub.sent = None
    assert download_assets(assets, tmp_path)[0].read_bytes() == CONTENT


def test_a_wrong_sha256_is_refused_even_where_the_etag_agrees(archive: StubArchive, tmp_path: Path) -> None:
    stub = archive.add("a.nwb", CONTENT)
    stub.digests = {**stub.stated_digests(), "dandi:sha2-256": "0" * 64}

    with pytest.raises(ArchiveError, match="sha2-256"):
        download_assets(find_assets("000999", instance=archive.url), tmp_path)

    assert not (tmp_path / "a.nwb").exists()


def test_without_a_sha256_the_etag_decides_and_the_lock_records_both(archive: StubArchive, tmp_path: Path) -> None:
    stub = archive.add("a.nwb", CONTENT)
    sha256 = stub.stated_digests()["dandi:sha2-256"]
    stub.digests = {"dandi:dandi-etag": stub.stated_digests()["dandi:dandi-etag"]}
    assets = find_assets("000999", instance=archive.url)

    download_assets(assets, tmp_path)

    assert read_lock(tmp_path)[0].digests["dandi:sha2-256"] == sha256
    assert download_assets(assets, tmp_path)


def test_an_asset_that_changed_since_it_was_found_is_refused(archive: StubArchive, tmp_path: Path) -> None:
    stub = archive.add("a.nwb", CONTENT)
    assets = find_assets("000999", instance=archive.url)
    stub.content = CONTENT[::-1]

    with pytest.raises(ArchiveError, match="not the asset's"):
        download_assets(assets, tmp_path)


@pytest.mark.parametrize("status", [403, 404])
def test_bytes_that_are_gone_are_said(archive: StubArchive, tmp_path: Path, status: int) -> None:
    archive.add("a.nwb", CONTENT, download_status=status)

    with pytest.raises(ArchiveError, match=str(status)) as refusal:
        download_assets(find_assets("000999", instance=archive.url), tmp_path)
    assert "signature" not in str(refusal.value)


def test_an_asset_that_is_gone_is_said(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", CONTENT)
    assets = find_assets("000999", instance=archive.url)
    archive.assets.clear()

    with pytest.raises(ArchiveError, match="nothing under this address"):
        download_assets(assets, tmp_path)


def test_a_dead_archive_fails_within_seconds(tmp_path: Path) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{port.getsockname()[1]}/api"
    asset = Asset(url, "000999", "draft", "a.nwb", "id", 3, {"dandi:dandi-etag": "x-1"})
    start = time.monotonic()

    with pytest.raises(ArchiveError, match="no answer"):
        download_assets([asset], tmp_path / "out")

    assert time.monotonic() - start < 5


def test_a_file_of_another_content_is_never_overwritten(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", CONTENT)
    (tmp_path / "a.nwb").write_bytes(b"mine")

    with pytest.raises(ArchiveError, match="another content"):
        download_assets(find_assets("000999", instance=archive.url), tmp_path)

    assert (tmp_path / "a.nwb").read_bytes() == b"mine"


def test_a_folder_locked_to_another_asset_is_refused(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", CONTENT)
    assets = find_assets("000999", instance=archive.url)
    download_assets(assets, tmp_path)

    with pytest.raises(ArchiveError, match="two assets of one path"):
        download_assets([replace(assets[0], asset_id="another")], tmp_path)


def test_a_path_that_leaves_the_folder_is_refused_before_anything_is_asked(
    archive: StubArchive, tmp_path: Path
) -> None:
    archive.add("a.nwb", CONTENT)
    (asset,) = find_assets("000999", instance=archive.url)
    archive.requests.clear()

    with pytest.raises(ArchiveError, match="leaves its folder"):
        download_assets([replace(asset, path="../a.nwb")], tmp_path / "out")

    assert archive.requests == []
    assert not (tmp_path / "a.nwb").exists()


def test_a_disk_that_is_too_small_is_said_first(tmp_path: Path) -> None:
    asset = Asset("dandi", "000999", "draft", "a.nwb", "id", 10**18, {"dandi:dandi-etag": "x-1"})

    with pytest.raises(ArchiveError, match="bytes free"):
        download_assets([asset], tmp_path / "out")


def test_finished_files_are_locked_even_if_a_later_one_fails(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", CONTENT)
    archive.add("b.nwb", CONTENT, download_status=404)

    with pytest.raises(ArchiveError):
        download_assets(find_assets("000999", instance=archive.url), tmp_path)

    assert [asset.path for asset in read_lock(tmp_path)] == ["a.nwb"]


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"format": 2, "assets": []},
        {"format": 1},
        {"format": 1, "assets": [{"path": "a"}]},
        {"format": 1, "assets": [3]},
    ],
)
def test_a_lock_of_another_form_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / LOCK_FILE).write_text(json.dumps(content))

    with pytest.raises(ArchiveError):
        read_lock(tmp_path)


def test_a_lock_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    record = {"instance": "dandi", "dandiset": "000999", "version": "draft", "path": "../a", "asset_id": "i"}
    content = {"format": 1, "assets": [{**record, "size": 1, "digests": {}}]}
    (tmp_path / LOCK_FILE).write_text(json.dumps(content))

    with pytest.raises(ArchiveError, match="leaves its folder"):
        read_lock(tmp_path)


def test_bytes_under_embargo_are_fetched_with_the_token(
    archive: StubArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.token = "a-secret-token"
    archive.add("a.nwb", CONTENT)
    monkeypatch.setenv(archive.token_variable, "a-secret-token")

    download_assets(find_assets("000999", instance=archive.url), tmp_path)

    assert "a-secret-token" not in (tmp_path / LOCK_FILE).read_text()


def test_a_folder_holds_one_version_of_a_dandiset(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", CONTENT)
    archive.add("b.nwb", CONTENT)
    download_assets(find_assets("000999", pattern="a.nwb", instance=archive.url), tmp_path)

    with pytest.raises(ArchiveError, match=r"Ask for version 0\.240827\.1809"):
        download_assets(find_assets("000999", version="draft", pattern="b.nwb", instance=archive.url), tmp_path)

    assert not (tmp_path / "b.nwb").exists()


def test_a_plan_says_what_would_come_and_touches_nothing(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", CONTENT)
    archive.add("b.nwb", b"b")
    assets = find_assets("000999", instance=archive.url)
    download_assets(assets[:1], tmp_path)
    archive.requests.clear()

    plan = plan_download(assets, tmp_path)

    assert (plan.missing, plan.missing_bytes, plan.total_bytes) == (frozenset(["b.nwb"]), 1, len(CONTENT) + 1)
    assert plan.free_bytes > 0
    assert plan.targets[1] == (assets[1], tmp_path / "b.nwb")
    assert files_in(tmp_path) == {"a.nwb", LOCK_FILE}
    assert archive.requests == []


def test_a_server_that_ignores_ranges_does_not_spoil_a_resumed_download(archive: StubArchive, tmp_path: Path) -> None:
    archive.add("a.nwb", LARGE, breaks_after=[CHUNK + 1000], ignores_ranges=True)

    (path,) = download_assets(find_assets("000999", instance=archive.url), tmp_path)

    assert path.read_bytes() == LARGE


def test_a_line_that_breaks_again_and_again_but_brings_something_is_followed_to_the_end(
    archive: StubArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nwb_mivae.archive.blob._PAUSE_SECONDS", 0.01)
    archive.add("a.nwb", LARGE, breaks_after=[1_100_000] * 7)

    (path,) = download_assets(find_assets("000999", instance=archive.url), tmp_path)

    assert path.read_bytes() == LARGE


def test_a_file_that_is_replaced_while_it_comes_is_not_mixed(
    archive: StubArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = archive.add("a.nwb", LARGE, breaks_after=[CHUNK + 1000])
    assets = find_assets("000999", instance=archive.url)
    monkeypatch.setattr("nwb_mivae.archive.blob.time.sleep", lambda _: stub.replace(LARGE[::-1]))

    with pytest.raises(ArchiveError, match="replaced while it was read"):
        download_assets(assets, tmp_path)

    assert not (tmp_path / "a.nwb").exists()


def test_two_downloads_of_one_file_do_not_meet(
    archive: StubArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add("a.nwb", CONTENT)
    assets = find_assets("000999", instance=archive.url)
    # A process may lock twice what it locked itself.
    monkeypatch.setattr("dandi.download.InterProcessLock.acquire", lambda self, **_: False)

    with pytest.raises(ArchiveError, match="one download of this file at a time"):
        download_assets(assets, tmp_path)


def test_a_downloader_that_ends_without_a_file_is_one_clear_error(
    archive: StubArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add("a.nwb", CONTENT)
    assets = find_assets("000999", instance=archive.url)
    monkeypatch.setattr("dandi.download.Downloader.download_generator", lambda self: iter([{"status": "skipped"}]))

    with pytest.raises(ArchiveError, match="ended without a file"):
        download_assets(assets, tmp_path)


def test_a_full_disk_is_one_clear_error_and_keeps_what_arrived(
    archive: StubArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add("a.nwb", CONTENT)
    assets = find_assets("000999", instance=archive.url)

    def full(self: object, blob: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dandi.download.DownloadDirectory.append", full)
    with pytest.raises(ArchiveError, match="No space left on device"):
        download_assets(assets, tmp_path)


def test_the_token_is_nowhere_but_in_requests_to_the_archive(
    archive: StubArchive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    archive.token = "a-secret-token"
    archive.add("a.nwb", CONTENT, download_status=500)
    archive.add("b.nwb", CONTENT)
    monkeypatch.setenv(archive.token_variable, "a-secret-token")
    with caplog.at_level(logging.DEBUG):
        assets = find_assets("000999", instance=archive.url)
        download_assets(assets[1:], tmp_path)
        with pytest.raises(ArchiveError) as refusal:
            download_assets(assets[:1], tmp_path)

    told = [caplog.text, *capfd.readouterr(), str(refusal.value), repr(assets), assets[0].pinned_address]
    told += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in told if "a-secret-token" in text]
    assert archive.downloads()
    assert all("Authorization" not in headers for headers in archive.downloads())
