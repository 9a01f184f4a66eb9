from __future__ import annotations

import io
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.archive import Asset, find_assets, open_remote, prompt
from nwb_mivae.archive.blob import Blob, Location
from nwb_mivae.archive.cache import ChunkCache, cache_folder
from nwb_mivae.archive.remote import PART_BYTES, RemoteFile, locate_asset
from nwb_mivae.errors import ArchiveError
from tests.archive.stub_archive import StubArchive, StubAsset

CONTENT = np.random.default_rng(0).bytes(40 * PART_BYTES + 1234)
NAME = "sub-1/sub-1_ophys.nwb"


@pytest.fixture(autouse=True)
def _short_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwb_mivae.archive.blob._PAUSE_SECONDS", 0.01)


def address(archive: StubArchive, path: str = NAME) -> str:
    return f"dandi+{archive.url}/000999/{path}"


def parts_on_disk() -> list[Path]:
    return [path for path in cache_folder().rglob("*") if path.is_file()]


def test_a_remote_file_reads_as_the_file_does(archive: StubArchive) -> None:
    stub = archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        assert remote.size == remote.seek(0, io.SEEK_END) == len(CONTENT)
        assert remote.read(10) == b""
        remote.seek(0)
        assert remote.read() == CONTENT
        assert remote.seek(-5, io.SEEK_END) == len(CONTENT) - 5
        assert remote.read(100) == CONTENT[-5:]
        assert remote.seek(-3, io.SEEK_CUR) == remote.tell() == len(CONTENT) - 3
        with pytest.raises(ValueError, match="before the file's beginning"):
            remote.seek(-1)
        assert remote.asset is not None
        assert remote.asset.digests == stub.stated_digests()
        assert remote.stem == "sub-1_ophys"
        assert remote.location == f"dandi+{archive.url}/000999@0.240827.1809/{NAME}#asset={stub.asset_id}"


@given(reads=st.lists(st.tuples(st.integers(0, len(CONTENT)), st.integers(0, 5 * PART_BYTES)), max_size=12))
@settings(max_examples=15, deadline=None)
def test_any_order_of_reading_gives_the_files_bytes_and_fetches_little_more(
    reads: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with StubArchive() as archive, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NWB_MIVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        archive.add(NAME, CONTENT)
        with open_remote(address(archive)) as remote:
            for start, count in reads:
                remote.seek(start)
                assert remote.read(count) == CONTENT[start : start + count]
            assert remote.bytes_fetched == archive.bytes_sent
            # Whole parts, up to one eighth beforehand, and the first one.
            parts = sum(count // PART_BYTES + 2 for _, count in reads)
            assert remote.bytes_fetched <= (parts * 9 / 8 + 1) * PART_BYTES


def test_one_read_is_one_request_and_reading_on_fetches_a_little_ahead(archive: StubArchive) -> None:
    archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        before = remote.requests_made
        remote.seek(5 * PART_BYTES + 7)
        remote.read(20 * PART_BYTES)
        assert remote.requests_made == before + 1
        for _ in range(10):
            remote.read(PART_BYTES)
        assert remote.requests_made <= before + 8
        assert remote.bytes_fetched < 36 * PART_BYTES


def test_hdf5_is_read_through_it(archive: StubArchive, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(500, 40))
    with h5py.File(tmp_path / "a.h5", "w") as root:
        root.create_dataset("raw", data=np.random.default_rng(2).integers(0, 256, 4_000_000, dtype=np.uint8))
        root.create_dataset("values", data=values, compression="gzip", chunks=(100, 40))
    archive.add(NAME, (tmp_path / "a.h5").read_bytes())
    with open_remote(address(archive)) as remote, h5py.File(remote, "r") as root:
        np.testing.assert_array_equal(root["values"][:], values)
        assert remote.bytes_fetched < 700_000


LEFT_OPEN = "from nwb_mivae.archive import open_remote; root = open_remote(sys.argv[1]).open_hdf5(); root['values']"
REFUSED = """
from nwb_mivae.archive import open_remote
remote = open_remote(sys.argv[1])
try:
    remote.open_hdf5()
except Exception as problem:
    kept = problem
    print(type(kept).__name__)
"""


@pytest.mark.parametrize(
    ("script", "fault", "said"), [(LEFT_OPEN, 200, ""), (REFUSED, 200, "OSError"), (REFUSED, 404, "ArchiveError")]
)
def test_a_process_ends_well_whatever_it_leaves_open(
    archive: StubArchive, tmp_path: Path, script: str, fault: int, said: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=0) as root:
        root["values"] = np.random.default_rng(2).normal(size=(20, 40))
        root["more"] = np.random.default_rng(2).normal(size=20_000)
    content = (tmp_path / "a.h5").read_bytes() if script == LEFT_OPEN else CONTENT
    stub = archive.add(NAME, content)

    def interfere(number: int) -> None:
        stub.download_status = 200 if number == 1 else fault

    archive.interfere = interfere
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}", address(archive)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr


def test_what_was_fetched_once_is_read_from_the_disk(archive: StubArchive) -> None:
    archive.add(NAME, CONTENT)
    for _ in range(2):
        archive.bytes_sent = 0
        with open_remote(address(archive)) as remote:
            assert remote.read() == CONTENT
    assert archive.bytes_sent == PART_BYTES  # which asks whether the content is still the same
    assert parts_on_disk()
    assert all(path.parent.stat().st_mode & 0o077 == 0 for path in parts_on_disk())


def test_a_damaged_part_on_the_disk_is_fetched_again(archive: StubArchive) -> None:
    archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        remote.read()
    damaged, cut, emptied = parts_on_disk()[:3]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    cut.write_bytes(cut.read_bytes()[:1000])
    emptied.write_bytes(b"")
    with open_remote(address(archive)) as remote:
        assert remote.read() == CONTENT


def test_a_content_that_changed_is_not_mixed_with_the_one_on_the_disk(archive: StubArchive) -> None:
    stub = archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        remote.read()
    stub.replace(CONTENT[::-1])
    stub.digests = None
    with open_remote(address(archive)) as remote:
        assert remote.read() == CONTENT[::-1]


def test_a_full_cache_gives_up_what_was_used_longest_ago(archive: StubArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWB_MIVAE_CACHE_GB", str(1.2 * len(CONTENT) / 1e9))
    for number in range(3):
        content = bytes([number]) + CONTENT[1:]
        archive.add(f"{number}.nwb", content)
        with open_remote(address(archive, f"{number}.nwb")) as remote:
            assert remote.read() == content
        folder = parts_on_disk()[0].parent
        os.utime(folder, (number, number))
    assert sum(path.stat().st_size for path in parts_on_disk()) <= 1.4 * len(CONTENT)
    assert parts_on_disk()


@pytest.mark.parametrize("size", ["0", "1e-6"])
def test_without_room_nothing_is_kept_and_everything_is_read(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.setenv("NWB_MIVAE_CACHE_GB", size)
    archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        assert remote.read() == CONTENT
    assert sum(path.stat().st_size for path in parts_on_disk()) <= 2 * PART_BYTES


def test_a_cache_that_cannot_be_written_is_said_and_does_not_stop_the_reading(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NWB_MIVAE_CACHE", str(tmp_path / "file"))
    archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        assert remote.cache_problem
        assert remote.read() == CONTENT


def test_a_size_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWB_MIVAE_CACHE_GB", "lots")
    with pytest.raises(ArchiveError, match="NWB_MIVAE_CACHE_GB='lots'"):
        ChunkCache("a")


def test_two_processes_share_a_cache() -> None:
    one, two = ChunkCache("the same"), ChunkCache("the same")
    contents = [bytes([number]) * 5000 for number in range(40)]

    def write(cache: ChunkCache) -> None:
        for number, content in enumerate(contents):
            cache.set(str(number), content)
            assert cache.get(str(number)) == content

    threads = [threading.Thread(target=write, args=(cache,)) for cache in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [two.get(str(number)) for number in range(40)] == contents
    assert ChunkCache("another").get("0") is None
    assert not [path for path in parts_on_disk() if path.name.startswith(".")]


# --- a line, or a server, that is not perfect -----------------------------------------------------------------------


def test_a_line_that_breaks_is_taken_up_where_it_broke(archive: StubArchive) -> None:
    stub = archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        stub.breaks_after = [100_000, 3]
        remote.seek(PART_BYTES)
        assert remote.read(10 * PART_BYTES) == CONTENT[PART_BYTES : 11 * PART_BYTES]
    asked = [headers["Range"].split("=")[1].split("-")[0] for headers in archive.downloads()]
    assert asked == ["0", str(PART_BYTES), str(PART_BYTES + 100_000), str(PART_BYTES + 100_003)]


def test_an_address_that_expired_is_asked_for_again(archive: StubArchive) -> None:
    archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        archive.signature = "another"
        assert remote.read() == CONTENT


def test_bytes_that_moved_are_found_again(archive: StubArchive) -> None:
    stub = archive.add(NAME, CONTENT)
    with open_remote(address(archive)) as remote:
        stub.blob = "elsewhere"
        assert remote.read() == CONTENT


def test_a_server_that_is_busy_for_a_moment_is_asked_again(archive: StubArchive) -> None:
    stub = archive.add(NAME, CONTENT, first_statuses=[500, 503])
    with open_remote(address(archive)) as remote:
        stub.first_statuses = [502]
        assert remote.read() == CONTENT


def _break(stub: StubAsset, archive: StubArchive, **behaviour: Any) -> None:
    for name, value in behaviour.items():
        setattr(stub if hasattr(stub, name) else archive, name, value)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"download_status": 500}, "status 500, repeatedly"),
        ({"download_status": 403}, "status 403: the server does not give the bytes"),
        ({"download_status": 404}, "status 404: the bytes are not where the archive says"),
        ({"download_status": 418}, "status 418 instead of an answer"),
        ({"breaks_after": [10] * 50}, "a line that broke again and again"),
        ({"ignores_ranges": True}, "a server that ignores ranges"),
        ({"states_shifted_range": 5}, "bytes that are not the file's"),
        ({"sent": CONTENT[:-1]}, "bytes that are not the file's"),
        ({"sent": CONTENT[:100]}, "bytes that are not the file's"),
        ({"tag": "another"}, "the file was replaced while it was read"),
        ({"signature": "", "blob": "elsewhere", "assets": {}}, "nothing under this address"),
        ({"token": "new"}, None),
    ],
    ids=str,
)
def test_each_fault_is_one_error_within_seconds_that_stays(
    archive: StubArchive, behaviour: dict[str, Any], said: str | None
) -> None:
    stub = archive.add(NAME, CONTENT)
    start = time.monotonic()
    with open_remote(address(archive)) as remote:
        _break(stub, archive, **behaviour)
        remote.seek(3 * PART_BYTES)
        if said is None:  # an address that was signed goes on being valid
            assert remote.read(10) == CONTENT[3 * PART_BYTES :][:10]
            return
        with pytest.raises(ArchiveError, match=said) as refusal:
            remote.read(10)
        assert time.monotonic() - start < 8
        assert "signature" not in str(refusal.value)
        sent = len(archive.requests)
        with pytest.raises(ArchiveError, match=said):
            remote.read(10)
        assert len(archive.requests) == sent
        assert remote.failure is not None
        remote.seek(0)
    assert not [path for path in parts_on_disk() if path.stat().st_size > PART_BYTES + 16]


def test_a_server_that_ignores_ranges_is_not_made_to_send_the_file(archive: StubArchive) -> None:
    archive.add(NAME, CONTENT * 20, ignores_ranges=True)
    with pytest.raises(ArchiveError, match="ignores ranges"):
        open_remote(address(archive))
    assert archive.bytes_sent < len(CONTENT * 20) / 2


def test_a_storage_that_has_other_bytes_than_the_archive_describes_is_refused(archive: StubArchive) -> None:
    archive.add(NAME, CONTENT, digests={"dandi:dandi-etag": "0" * 32 + "-1"})
    with pytest.raises(ArchiveError, match="bytes that are not the asset's"):
        open_remote(address(archive))


def test_a_storage_that_names_contents_its_own_way_is_believed(archive: StubArchive) -> None:
    archive.add(NAME, CONTENT, tag="W/anything")
    with open_remote(address(archive)) as remote:
        assert remote.read() == CONTENT


def test_a_file_smaller_than_a_part_needs_no_ranges(archive: StubArchive) -> None:
    archive.add(NAME, b"small", ignores_ranges=True)
    with open_remote(address(archive)) as remote:
        assert remote.read() == b"small"


def test_an_empty_file_is_read_as_such(archive: StubArchive) -> None:
    archive.add(NAME, b"")
    with open_remote(address(archive)) as remote:
        assert remote.read() == b""


@pytest.mark.parametrize("behaviour", [{"silent_for": 30.0}, {"drips": 0.3}], ids=str)
def test_a_line_that_gives_nothing_or_next_to_nothing_is_given_up(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch, behaviour: dict[str, Any]
) -> None:
    monkeypatch.setattr(prompt, "READ_SECONDS", 0.5)
    monkeypatch.setattr(prompt, "SLOWEST_SECONDS", 0.5)
    stub = archive.add(NAME, CONTENT)
    start = time.monotonic()
    with open_remote(address(archive)) as remote:
        _break(stub, archive, **behaviour)
        with pytest.raises(ArchiveError, match=r"bytes came in|nothing within"):
            remote.read()
    assert time.monotonic() - start < 8


def test_a_server_that_was_waited_for_in_vain_is_not_waited_for_again_at_once(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "READ_SECONDS", 0.3)
    stubs = [archive.add(f"{number}.nwb", CONTENT, silent_for=30.0) for number in range(3)]
    start = time.monotonic()
    for stub in stubs:
        with pytest.raises(ArchiveError, match="no answer"):
            open_remote(address(archive, stub.path))
    assert time.monotonic() - start < 2
    monkeypatch.setattr(prompt, "_NOT_ASKED_SECONDS", 0.0)
    prompt.note_silence(archive.storage_url, "nothing")
    stubs[0].silent_for = 0.0
    with open_remote(address(archive, stubs[0].path)) as remote:
        assert remote.read() == CONTENT


def test_a_dead_storage_fails_within_seconds(archive: StubArchive) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{port.getsockname()[1]}/a.nwb?key=secret"
        start = time.monotonic()
        with pytest.raises(ArchiveError, match="no answer") as refusal:
            open_remote(url)
    assert time.monotonic() - start < 5
    assert "secret" not in str(refusal.value)


# --- plain addresses of the web, and keys ---------------------------------------------------------------------------


def test_a_url_is_read_too_and_its_query_is_told_nobody(archive: StubArchive) -> None:
    stub = archive.add(NAME, CONTENT)
    with open_remote(f"{archive.storage_url}/{stub.blob}?signature=secret") as remote:
        assert remote.read() == CONTENT
        assert remote.asset is None
        assert remote.location == f"{archive.storage_url}/{stub.blob}"
        assert remote.stem == stub.blob
        assert "secret" not in repr(remote)
        archive.signature = "another"


def test_the_name_that_a_server_gives_is_the_files_name() -> None:
    blob = Blob(lambda: Location("http://nowhere"), "where", size=0)
    blob.file_name = "sub-1_ses-2.nwb"
    assert RemoteFile(blob, "http://nowhere/download/").stem == "sub-1_ses-2"


def test_the_token_goes_to_the_archive_and_nowhere_else(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive.token = "a-secret-token"
    archive.add(NAME, CONTENT)
    monkeypatch.setenv(archive.token_variable, "a-secret-token")
    with caplog.at_level(logging.DEBUG), open_remote(address(archive)) as remote:
        assert remote.read() == CONTENT
        assert "secret" not in remote.location
    assert archive.downloads()
    assert all("Authorization" not in headers for headers in archive.downloads())
    assert "a-secret-token" not in caplog.text
    assert all(b"a-secret-token" not in path.read_bytes() for path in parts_on_disk())
    assert all("secret" not in str(path) for path in parts_on_disk())


def test_an_archive_that_keeps_its_bytes_gets_the_token_for_them(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.token = "a-secret-token"
    archive.keeps_bytes = True
    archive.add(NAME, CONTENT)
    monkeypatch.setenv(archive.token_variable, "a-secret-token")
    with open_remote(address(archive)) as remote:
        assert remote.read() == CONTENT


@pytest.mark.parametrize("token", [None, "expired"])
def test_without_a_valid_token_data_under_embargo_are_refused(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    archive.token = "a-secret-token"
    archive.add(NAME, CONTENT)
    if token is not None:
        monkeypatch.setenv(archive.token_variable, token)
    with pytest.raises(ArchiveError, match="owners only" if token is None else "in spite of the token") as refusal:
        open_remote(address(archive))
    assert "expired" not in str(refusal.value)


def test_a_token_that_expires_between_two_signatures_ends_the_reading(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.token = "a-secret-token"
    archive.add(NAME, CONTENT)
    monkeypatch.setenv(archive.token_variable, "a-secret-token")
    with open_remote(address(archive)) as remote:
        archive.token, archive.signature = "another", "another"
        with pytest.raises(ArchiveError, match="in spite of the token"):
            remote.read()


def test_an_archive_cannot_send_the_client_to_a_local_file(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add(NAME, CONTENT)
    (asset,) = find_assets("000999", instance=archive.url)
    monkeypatch.setattr(StubArchive, "storage_url", "file:///etc")
    with pytest.raises(ArchiveError, match="not on a web server"):
        locate_asset(asset)


def test_an_address_must_name_one_asset(archive: StubArchive) -> None:
    archive.add("sub-1/a.nwb", CONTENT)
    archive.add("sub-2/a.nwb", CONTENT)
    with pytest.raises(ArchiveError, match="2 assets under this address"):
        open_remote(address(archive, "*.nwb"))
    with pytest.raises(ArchiveError, match="no asset that matches"):
        open_remote(address(archive, "c.nwb"))


def test_a_pinned_address_means_its_asset_and_no_other(archive: StubArchive) -> None:
    stub = archive.add(NAME, CONTENT)
    (asset,) = find_assets("000999", instance=archive.url)
    archive.add(NAME, CONTENT[::-1])
    with open_remote(asset.pinned_address) as remote:
        assert remote.read() == CONTENT
        assert isinstance(remote.asset, Asset)
    del archive.assets[stub.asset_id]
    with pytest.raises(ArchiveError, match="nothing under this address"):
        open_remote(asset.pinned_address)
