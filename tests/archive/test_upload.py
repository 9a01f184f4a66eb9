"""Files into the draft of a stub archive and back, with all that can go wrong on the way."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from nwb_mivae.archive import (
    InterruptedUploadError,
    LocalFile,
    check_token,
    create_dandiset,
    download_assets,
    find_assets,
    plan_upload,
    prompt,
    upload_files,
)
from nwb_mivae.archive.client import ArchiveClient
from nwb_mivae.archive.upload_parts import _Connections, _StoppedError, _StorageSession
from nwb_mivae.errors import ArchiveError
from tests.archive.stub_uploads import TOKEN, StubUploads

PART = 100_000
PATHS = ("sub-1/sub-1_ses-1_desc-mivae_ophys.txt", "sub-2/sub-2_ses-1_desc-mivae_ophys.txt")
CONTENTS = (bytes(range(256)) * 1300, b"second" * 10_000)
SOURCE = {"schemaKey": "Resource", "relation": "dcite:IsDerivedFrom", "identifier": "DANDI:000728/0.1.2"}


@pytest.fixture
def draft(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubUploads]:
    monkeypatch.setattr("dandischema.digests.dandietag.PartGenerator.DEFAULT_PART_SIZE", PART)
    monkeypatch.setattr("dandischema.digests.dandietag.PartGenerator.MIN_PART_SIZE", 1)
    with StubUploads() as running:
        monkeypatch.setenv(running.token_variable, TOKEN)
        yield running


@pytest.fixture
def files(tmp_path: Path) -> list[LocalFile]:
    found = []
    for number, (path, content) in enumerate(zip(PATHS, CONTENTS, strict=True)):
        file = tmp_path / f"{number}.txt"
        file.write_bytes(content)
        found.append(LocalFile(file, path))
    return found


def plan_of(draft: StubUploads, files: list[LocalFile], **more: Any) -> Any:
    metadata = more.pop("metadata", {"relatedResource": [SOURCE]})
    return plan_upload(files, "000999", metadata=metadata, instance=draft.url, **more)


def test_what_is_uploaded_comes_back_byte_by_byte(draft: StubUploads, files: list[LocalFile], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    assets = upload_files(plan_of(draft, files), progress=lambda *report: told.append(report))

    assert [asset.path for asset in assets] == list(PATHS)
    downloaded = download_assets(find_assets("000999", pattern="*", instance=draft.url), tmp_path / "back")
    assert [path.read_bytes() for path in downloaded] == list(CONTENTS)
    assert [asset.asset_id for asset in find_assets("000999", pattern="*", instance=draft.url)] == [
        asset.asset_id for asset in assets
    ]
    assert told[-1] == (PATHS[1], sum(map(len, CONTENTS)), sum(map(len, CONTENTS)))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert not [path for _, path in draft.changes if "publish" in path]
    assert not [method for method, _ in draft.changes if method == "DELETE"]


def test_what_the_draft_says_is_added_to(draft: StubUploads, files: list[LocalFile]) -> None:
    before = dict(draft.metadata)
    plan = plan_of(draft, files, metadata={"relatedResource": [SOURCE], "keywords": ["kept", "new"], "name": "other"})
    assert plan.additions == {"relatedResource": [SOURCE], "keywords": ["new"]}
    draft.metadata["acknowledgement"] = "edited since"
    upload_files(plan)

    assert draft.metadata == {
        **before,
        "relatedResource": [SOURCE],
        "keywords": ["kept", "new"],
        "acknowledgement": "edited since",
    }
    draft.requests.clear()
    again = plan_of(draft, files, metadata={"relatedResource": [SOURCE]})
    upload_files(again)
    assert again.additions == {}
    assert draft.changes == []


def test_a_plan_only_reads(draft: StubUploads, files: list[LocalFile], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(draft.token_variable)
    plan = plan_of(draft, files)
    assert [planned.action for planned in plan.files] == ["send", "send"]
    assert plan.bytes_to_send == sum(map(len, CONTENTS))
    assert {method for method, _, _ in draft.requests} == {"GET"}
    assert not [headers for _, _, headers in draft.requests if headers.get("Content-Length", "0") != "0"]


def test_a_dandiset_that_is_to_be_made_is_planned_without_the_network(files: list[LocalFile]) -> None:
    plan = plan_upload(files, None, metadata={"name": "T"}, instance="http://127.0.0.1:9/api")
    assert [planned.action for planned in plan.files] == ["send", "send"]


def test_other_bytes_under_a_path_are_replaced_only_if_asked(draft: StubUploads, files: list[LocalFile]) -> None:
    upload_files(plan_of(draft, files))
    files[0].file.write_bytes(b"other")
    changed = [LocalFile(files[0].file, files[0].path), files[1]]
    draft.requests.clear()

    with pytest.raises(ArchiveError, match=PATHS[0]) as refusal:
        plan_of(draft, changed)
    assert "--replace" in str(refusal.value)
    assert draft.changes == []

    plan = plan_of(draft, changed, replace=True)
    assert [planned.action for planned in plan.files] == ["replace", "keep"]
    upload_files(plan)
    assert draft.paths == {PATHS[0]: b"other", PATHS[1]: CONTENTS[1]}
    assert len(draft.assets) == 2


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("PUT", r"/blobs/.*/2\?", 500),
        ("PUT", r"/blobs/.*/2\?", "reset"),
        ("PUT", r"/blobs/.*/2\?", "damage"),
        ("PUT", r"/blobs/.*/2\?", 403),
        ("POST", "initialize", 500),
        ("POST", "initialize", "reset"),
        ("POST", "uploads/.*/complete", 500),
        ("POST", r"blobs/.*/complete", 500),
        ("POST", "validate", 400),
        ("POST", "validate", 503),
        ("POST", "assets", 500),
        ("POST", "assets", "reset"),
        ("PUT", "versions/draft/$", 403),
    ],
)
def test_after_a_failure_it_is_said_what_is_up_and_the_same_goes_on(
    draft: StubUploads, files: list[LocalFile], method: str, path: str, what: int | str
) -> None:
    # The second file is up already, so the failure is in the first.
    upload_files(plan_of(draft, files[1:], metadata={}))
    draft.fail(method, path, what)

    with pytest.raises(InterruptedUploadError) as failure:
        upload_files(plan_of(draft, files))

    assert failure.value.uploaded == (PATHS[1],)
    assert failure.value.missing == (PATHS[0],)
    where = "the description of the draft" if path.startswith("versions") else PATHS[0]
    assert f"at {where}. Up: {PATHS[1]}. Not up: {PATHS[0]}" in str(failure.value)
    assert "same command goes on" in str(failure.value)
    assert draft.paths == {PATHS[1]: CONTENTS[1]}

    draft.faults.clear()
    draft.requests.clear()
    upload_files(plan_of(draft, files))
    assert draft.paths == dict(zip(PATHS, CONTENTS, strict=True))
    # What was up stayed as it was.
    assert len([1 for sent, where in draft.changes if sent == "POST" and where.endswith("/assets/")]) == 1


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("PUT", r"/blobs/.*/2\?", 503),
        ("PUT", r"/blobs/.*/2\?", "reset"),
        ("POST", "initialize", 502),
        ("POST", "uploads/.*/complete", 503),
        ("POST", r"blobs/.*/complete", "reset"),
        ("POST", r"blobs/.*/complete", 500),
        ("POST", "validate", 503),
        ("POST", "/assets/", "lost"),
    ],
)
def test_what_fails_once_is_done_again(
    draft: StubUploads, files: list[LocalFile], method: str, path: str, what: int | str
) -> None:
    draft.fail(method, path, what, times=1)
    upload_files(plan_of(draft, files))
    assert draft.paths == dict(zip(PATHS, CONTENTS, strict=True))


def test_a_completion_with_an_error_inside_is_no_success(draft: StubUploads, files: list[LocalFile]) -> None:
    draft.fail("POST", "blobs/.*/complete", 200, body=b"<Error><Code>InternalError</Code></Error>")
    with pytest.raises(InterruptedUploadError, match="other bytes of the file"):
        upload_files(plan_of(draft, files))
    assert draft.paths == {}


def test_bytes_that_the_archive_has_are_not_sent_again(draft: StubUploads, files: list[LocalFile]) -> None:
    draft.fail("POST", "/assets/", 400)
    with pytest.raises(InterruptedUploadError, match="as the test wishes"):
        upload_files(plan_of(draft, files))
    draft.faults.clear()
    draft.requests.clear()
    upload_files(plan_of(draft, files[:1]))
    assert not [path for method, path in draft.changes if path.startswith("/blobs/")]
    assert draft.paths == {PATHS[0]: CONTENTS[0]}


def test_a_silent_storage_is_left_soon(
    draft: StubUploads, files: list[LocalFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "READ_SECONDS", 0.3)
    # A line on which none of these bytes can be on its way any more.
    monkeypatch.setattr(prompt, "SLOWEST_BYTES", 1e9)
    draft.fail("PUT", r"/blobs/.*/1\?", "silence")
    with pytest.raises(InterruptedUploadError, match=r"nothing within 0\.3 s"):
        upload_files(plan_of(draft, files))


def test_a_slow_line_is_no_failure(draft: StubUploads, files: list[LocalFile], monkeypatch: pytest.MonkeyPatch) -> None:
    # A file takes several times as long as any one silence may.
    monkeypatch.setattr(prompt, "READ_SECONDS", 0.5)
    draft.takes_slowly = 0.05
    upload_files(plan_of(draft, files[:1]))
    assert draft.paths == {PATHS[0]: CONTENTS[0]}


def test_the_answer_to_a_part_may_take_as_long_as_its_bytes_do(
    draft: StubUploads, files: list[LocalFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of a part fits into the system's memory at once, and the storage takes it from there for two seconds.
    monkeypatch.setattr(prompt, "READ_SECONDS", 0.5)
    draft.takes_slowly = 0.3
    plan = plan_of(draft, files[:1])
    upload_files(plan)
    assert draft.paths == {PATHS[0]: CONTENTS[0]}
    waits = _StorageSession(threading.Event()).patience
    assert waits(0)[1] == 0.5
    assert waits(64 * 2**20)[1] == 300


def test_nobody_who_stops_waits_for_an_answer(
    draft: StubUploads, files: list[LocalFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    draft.fail("PUT", r"/blobs/.*/1\?", "silence")
    draft.fail("PUT", r"/blobs/.*/2\?", 403)
    began = time.monotonic()
    with pytest.raises(InterruptedUploadError, match="status 403"):
        upload_files(plan_of(draft, files[:1]))
    assert time.monotonic() - began < 10


class Line:
    """A connection, as hanging up sees it."""

    def __init__(self, sock: Any = None) -> None:
        self.sock = sock


def test_connections_may_be_made_while_others_are_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = _Connections(threading.Event())
    keep = [Line() for _ in range(100)]
    for line in keep:
        connections.add(line)  # type: ignore[arg-type]
    done, failed = threading.Event(), []

    def add() -> None:
        while not done.is_set():
            keep.append(Line())
            connections.add(keep[-1])  # type: ignore[arg-type]
            if len(keep) > 200:
                del keep[100:]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=add) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                connections.hang_up()
            except RuntimeError as problem:
                failed.append(problem)
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert failed == []


@pytest.mark.parametrize("through_proxy", [False, True])
def test_an_encrypted_line_is_hung_up_and_stays_encrypted(through_proxy: bool) -> None:
    near, far = socket.socketpair()
    encrypted = ssl.create_default_context().wrap_socket(
        near, server_hostname="archive.org", do_handshake_on_connect=False
    )
    # Encryption inside the encryption of a proxy is no socket itself.
    line = Line(SimpleNamespace(socket=encrypted) if through_proxy else encrypted)
    connections = _Connections(threading.Event())
    connections.add(line)  # type: ignore[arg-type]
    with encrypted, far:
        layer = encrypted._sslobj
        connections.hang_up()
        assert encrypted._sslobj is layer
        assert far.recv(1) == b""


def test_a_connection_that_is_made_while_all_are_hung_up_is_closed(
    draft: StubUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = threading.Event()
    made: list[HTTPConnection] = []
    connect = HTTPConnection.connect

    def slowly(self: HTTPConnection) -> None:
        connect(self)
        made.append(self)
        stopped.set()  # and all that is known is hung up now

    monkeypatch.setattr(HTTPConnection, "connect", slowly)
    with _StorageSession(stopped) as session, pytest.raises(_StoppedError):
        session.get(draft.url)
    (connection,) = made
    assert connection.sock is None


def test_what_was_said_of_the_draft_is_told_after_a_failure(draft: StubUploads, files: list[LocalFile]) -> None:
    draft.fail("PUT", "/blobs/", 403)
    told: list[str] = []
    with pytest.raises(InterruptedUploadError, match="The description of the draft was completed") as failure:
        upload_files(plan_of(draft, files), note=told.append)
    assert failure.value.as_dict()["changes"] == told == ["The description of the draft was completed"]
    assert "relatedResource" in draft.metadata
    # There is nothing left to say of it the second time.
    with pytest.raises(InterruptedUploadError) as failure:
        upload_files(plan_of(draft, files))
    assert failure.value.changes == ()


@pytest.mark.parametrize(("method", "path", "what"), [("PUT", "/blobs/", "reset"), ("POST", "initialize", 503)])
def test_of_a_failed_upload_it_is_said_that_a_file_begins_again(
    draft: StubUploads, files: list[LocalFile], method: str, path: str, what: int | str
) -> None:
    draft.fail(method, path, what)
    with pytest.raises(InterruptedUploadError) as failure:
        upload_files(plan_of(draft, files))
    assert "from its beginning" in str(failure.value.remedy)
    assert "resume" not in str(failure.value.remedy)


def test_after_one_part_failed_the_others_are_not_sent(
    draft: StubUploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "many").write_bytes(bytes(40 * PART))
    draft.fail("PUT", r"/blobs/.*/1\?", 403)
    draft.takes_slowly = 0.02
    with pytest.raises(InterruptedUploadError, match="status 403"):
        upload_files(plan_of(draft, [LocalFile(tmp_path / "many", "many")]))
    assert len([path for _, path in draft.changes if path.startswith("/blobs/")]) < 12


def test_an_interruption_stops_at_once_and_half_a_file_is_nowhere(
    draft: StubUploads, files: list[LocalFile], tmp_path: Path
) -> None:
    (tmp_path / "many").write_bytes(bytes(40 * PART))
    up: list[str] = []
    draft.takes_slowly = 0.002
    plan = plan_of(draft, [files[0], LocalFile(tmp_path / "many", "zzz")])
    draft.fail("PUT", r"/blobs/.*/9\?", "interrupt", times=1)
    with pytest.raises(KeyboardInterrupt):
        upload_files(plan, finished=up.append)
    assert up == [PATHS[0]]
    assert draft.paths == {PATHS[0]: CONTENTS[0]}
    assert len([path for _, path in draft.changes if path.startswith("/blobs/")]) < 25


@pytest.mark.parametrize("content", [CONTENTS[0][::-1], CONTENTS[0][:-1], CONTENTS[0] + b"more"])
def test_a_file_that_changes_after_it_was_planned_is_not_sent(
    draft: StubUploads, files: list[LocalFile], content: bytes
) -> None:
    plan = plan_of(draft, files)
    files[0].file.write_bytes(content)
    with pytest.raises(InterruptedUploadError, match="changed"):
        upload_files(plan)
    assert draft.paths == {}


def test_without_a_token_nothing_is_asked(
    draft: StubUploads, files: list[LocalFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(draft, files)
    monkeypatch.delenv(draft.token_variable)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked for a token"))
    draft.requests.clear()
    for call in (
        lambda: upload_files(plan),
        lambda: check_token(draft.url),
        lambda: create_dandiset("T", {}, instance=draft.url),
    ):
        with pytest.raises(ArchiveError, match=draft.token_variable):
            call()
    assert draft.requests == []


def test_a_token_is_not_said_without_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DANDI_LAB_ORG_API_KEY", "DANDI_LAB_ORG_8000_API_KEY"):
        monkeypatch.setenv(variable, TOKEN)
    asked: list[str] = []
    monkeypatch.setattr("requests.Session.send", lambda *_, **__: asked.append("sent"))
    for address in ("http://lab.org/api", "http://lab.org:8000/api"):
        with pytest.raises(ArchiveError, match="without encryption") as refusal:
            check_token(address)
        assert "https" in str(refusal.value)
        assert TOKEN not in str(refusal.value)
        with ArchiveClient(address) as client:
            with pytest.raises(ArchiveError, match="without encryption"):
                client.dandi_authenticate()
            assert "Authorization" not in client.session.headers
    assert asked == []
    for host in ("https://lab.org", "http://localhost", "http://127.1.2.3", "http://[::1]"):
        with ArchiveClient(host) as client:
            client.refuse_plain_line()


def test_the_public_archives_have_variables_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArchiveError, match="DANDI_API_KEY is not set"):
        check_token()
    with pytest.raises(ArchiveError, match="DANDI_SANDBOX_API_KEY is not set"):
        check_token("dandi-sandbox")


def test_a_wrong_token_is_said_to_be_one(
    draft: StubUploads, files: list[LocalFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(draft.token_variable, "wrong-secret")
    with pytest.raises(ArchiveError, match="does not take the token") as refusal:
        upload_files(plan_of(draft, files))
    assert draft.changes == []
    assert "wrong-secret" not in str(refusal.value)


def test_an_archive_of_another_schema_is_refused_before_anything_changes(
    draft: StubUploads, files: list[LocalFile]
) -> None:
    draft.schema_version = "99.0.0"
    with pytest.raises(ArchiveError, match="Update dandi"):
        upload_files(plan_of(draft, files))
    assert draft.changes == []


def test_a_draft_under_embargo_is_planned_with_the_token(draft: StubUploads, files: list[LocalFile]) -> None:
    draft.embargoed = True
    upload_files(plan_of(draft, files))
    assert set(draft.paths) == set(PATHS)


def test_a_dandiset_is_not_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    with StubUploads(None) as archive:
        monkeypatch.setenv(archive.token_variable, TOKEN)
        assert create_dandiset("A title", {"description": "D"}, instance=archive.url) == "000321"
        assert archive.metadata["description"] == "D"
        with pytest.raises(ArchiveError, match="000321"):
            create_dandiset("A title", {}, instance=archive.url)
        assert len(archive.changes) == 1


def test_the_token_goes_to_the_archive_alone(
    draft: StubUploads,
    files: list[LocalFile],
    home: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # A careless server repeats what it was sent.
    draft.fail("POST", "/assets/", 400, body=f'{{"you sent": "token {TOKEN}"}}'.encode())
    with caplog.at_level(logging.DEBUG), pytest.raises(InterruptedUploadError) as failure:
        upload_files(plan_of(draft, files))

    told = [caplog.text, *capfd.readouterr(), str(failure.value), str(failure.value.as_dict())]
    problem: BaseException | None = failure.value
    while problem is not None:
        told.append(repr(problem))
        problem = problem.__cause__ or problem.__context__
    written = [path for folder in (home, tmp_path) for path in folder.rglob("*") if path.is_file()]
    told += [path.read_text(errors="replace") for path in written]
    assert "you sent" in str(failure.value)
    assert not [text for text in told if TOKEN in text]
    assert draft.signature not in str(failure.value)
    to_storage = [headers for _, path, headers in draft.requests if path.startswith("/blobs/")]
    assert to_storage
    assert not [headers for headers in to_storage if "Authorization" in headers]
