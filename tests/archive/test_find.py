from __future__ import annotations

import logging
import socket
import time
from typing import Any

import pytest

from nwb_mivae.archive import find_assets
from nwb_mivae.archive.client import resolve_instance
from nwb_mivae.errors import ArchiveError
from tests.archive.stub_archive import StubArchive


def test_assets_come_pinned_and_in_order_of_path(archive: StubArchive) -> None:
    archive.add("sub-2/sub-2_ophys.nwb", b"two")
    one = archive.add("sub-1/sub-1_ophys.nwb", b"one!")
    archive.add("sub-1/notes.txt", b"no")

    found = find_assets("000999", instance=archive.url)

    assert [asset.path for asset in found] == ["sub-1/sub-1_ophys.nwb", "sub-2/sub-2_ophys.nwb"]
    assert found[0].version == "0.240827.1809"
    assert (found[0].asset_id, found[0].size) == (one.asset_id, 4)
    assert found[0].digests == one.stated_digests()


def test_without_a_published_version_it_is_the_draft(archive: StubArchive) -> None:
    archive.published = None
    archive.add("a.nwb", b"a")

    assert find_assets("000999", instance=archive.url)[0].version == "draft"


def test_a_version_and_a_pattern_can_be_asked_for(archive: StubArchive) -> None:
    archive.add("sub-1/a.nwb", b"a")
    archive.add("sub-2/a.nwb", b"a")

    found = find_assets("000999", version="draft", pattern="sub-2/*", instance=archive.url)

    assert [(asset.version, asset.path) for asset in found] == [("draft", "sub-2/a.nwb")]


def test_the_default_archive_comes_from_the_environment(archive: StubArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add("a.nwb", b"a")
    monkeypatch.setenv("DANDI_INSTANCE", archive.url)

    assert len(find_assets("000999")) == 1


@pytest.mark.parametrize(("dandiset", "version"), [("000998", None), ("000999", "0.1.2")])
def test_what_does_not_exist_is_said(archive: StubArchive, dandiset: str, version: str | None) -> None:
    with pytest.raises(ArchiveError, match="nothing under this address") as refusal:
        find_assets(dandiset, version=version, instance=archive.url)
    assert refusal.value.file == f"dandi+{archive.url}/{dandiset}" + (f"@{version}" if version else "")


def test_nothing_that_matches_is_an_error(archive: StubArchive) -> None:
    archive.add("a.nwb", b"a")

    with pytest.raises(ArchiveError, match="no asset that matches"):
        find_assets("000999", pattern="*.zarr", instance=archive.url)


@pytest.mark.parametrize("path", ["../../a.nwb", "/etc/a.nwb"])
def test_a_hostile_path_is_refused(archive: StubArchive, path: str) -> None:
    archive.add(path, b"a")

    with pytest.raises(ArchiveError, match="leaves its folder"):
        find_assets("000999", instance=archive.url)


def test_an_asset_without_digest_is_refused(archive: StubArchive) -> None:
    archive.add("a.nwb", b"a", digests={"dandi:sha2-256": "0" * 64})

    with pytest.raises(ArchiveError, match="without a digest"):
        find_assets("000999", instance=archive.url)


def test_a_zarr_asset_is_refused(archive: StubArchive) -> None:
    archive.add("a.nwb", b"a", digests={"dandi:dandi-zarr-checksum": "x"}, zarr=True)

    with pytest.raises(ArchiveError, match="without a digest"):
        find_assets("000999", instance=archive.url)


def test_a_dead_archive_fails_within_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{port.getsockname()[1]}/api"
    start = time.monotonic()

    with pytest.raises(ArchiveError, match="no answer from") as refusal:
        find_assets("000999", instance=address)

    assert time.monotonic() - start < 5
    assert refusal.value.file is not None
    assert refusal.value.file.startswith(address)
    assert "Traceback" not in capfd.readouterr().err


def test_an_archive_out_of_order_fails_within_seconds(archive: StubArchive) -> None:
    archive.answer = (503, b"down")
    start = time.monotonic()

    with pytest.raises(ArchiveError, match="status 503"):
        find_assets("000999", instance=archive.url)

    assert time.monotonic() - start < 5


@pytest.mark.parametrize("body", [b"<html>hotel wifi</html>", b"[]", b'{"identifier": "000999"}'])
def test_answers_of_something_else_are_said(archive: StubArchive, body: bytes) -> None:
    archive.answer = (200, body)

    with pytest.raises(ArchiveError, match="not the DANDI API's"):
        find_assets("000999", instance=archive.url)


def test_a_status_that_is_an_error_is_said(archive: StubArchive) -> None:
    archive.answer = (400, b"no")

    with pytest.raises(ArchiveError, match="status 400"):
        find_assets("000999", instance=archive.url)


def test_data_under_embargo_needs_the_token_of_the_environment(
    archive: StubArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive.token = "a-secret-token"
    archive.add("a.nwb", b"a")
    variable = archive.token_variable
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the client asked for a token"))

    with pytest.raises(ArchiveError, match="owners only") as refusal:
        find_assets("000999", instance=archive.url)
    assert variable in str(refusal.value)

    monkeypatch.setenv(variable, "a-secret-token")
    with caplog.at_level(logging.DEBUG):
        found = find_assets("000999", instance=archive.url)

    assert [asset.path for asset in found] == ["a.nwb"]
    assert "a-secret-token" not in caplog.text
    assert "a-secret-token" not in repr(found)


def test_the_token_is_not_sent_where_nobody_asks(archive: StubArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add("a.nwb", b"a")
    monkeypatch.setenv(archive.token_variable, "a-secret-token")

    find_assets("000999", instance=archive.url)

    assert all("Authorization" not in headers for _, _, headers in archive.requests)


def test_known_archives_are_resolved_without_a_network() -> None:
    assert resolve_instance().name == "dandi"
    assert resolve_instance("dandi-sandbox").name == "dandi-sandbox"
    assert resolve_instance(str(resolve_instance("dandi").gui) + "/").name == "dandi"
    assert resolve_instance("http://127.0.0.1:9").api == "http://127.0.0.1:9/api"


@pytest.mark.parametrize("instance", ["nowhere", "ftp://x/api", "http://user:password@host/api"])
def test_unknown_archives_are_refused(instance: str) -> None:
    with pytest.raises(ArchiveError, match="not known") as refusal:
        resolve_instance(instance)
    assert "password" not in str(refusal.value)


@pytest.mark.parametrize("lists_metadata", [True, False])
def test_animals_and_modalities_come_from_names_and_from_metadata(archive: StubArchive, lists_metadata: bool) -> None:
    archive.lists_metadata = lists_metadata
    archive.add("sub-1/sub-1_ses-1_behavior+ophys.nwb", b"a")
    archive.add("sub-2/sub-2_ses-1_ecephys.nwb", b"a")
    animal = {"schemaKey": "Participant", "identifier": "one"}
    archive.add("raw.nwb", b"a", metadata={"wasAttributedTo": [animal], "variableMeasured": [{"value": "DfOverF"}]})

    def paths(**wanted: Any) -> list[str]:
        return [asset.path for asset in find_assets("000999", instance=archive.url, **wanted)]

    assert paths(subject="1") == paths(subject="sub-1") == ["sub-1/sub-1_ses-1_behavior+ophys.nwb"]
    assert paths(subject="one") == ["raw.nwb"]
    assert paths(modalities=["ophys"]) == ["raw.nwb", "sub-1/sub-1_ses-1_behavior+ophys.nwb"]
    assert paths(modalities=["ophys", "behavior"]) == ["sub-1/sub-1_ses-1_behavior+ophys.nwb"]
    with pytest.raises(ArchiveError, match=r"3 assets that match .* of 1, 2, one, with behavior"):
        paths(subject="7")
    with pytest.raises(ArchiveError, match="the animal 2 and ophys"):
        paths(subject="2", modalities=["ophys"])
    with pytest.raises(ArchiveError, match=r"modalities that DANDI does not have \(video\)"):
        paths(modalities=["video"])
    found = find_assets("000999", instance=archive.url)
    assert [(asset.subject, asset.modalities) for asset in found] == [
        ("one", ("ophys",)),
        ("1", ("behavior", "ophys")),
        ("2", ("ecephys",)),
    ]


def test_the_list_of_a_dandiset_is_one_request(archive: StubArchive) -> None:
    for number in range(20):
        archive.add(f"sub-{number}/a.nwb", b"a")

    find_assets("000999", instance=archive.url)

    assert len(archive.requests) <= 3


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("sub-?/a.nwb", ["sub-1/a.nwb", "sub-2/a.nwb"]),
        ("sub-[13]/*", ["sub-1/a.nwb"]),
        ("sub-1/a.nwb", ["sub-1/a.nwb"]),
        ("*1*", ["sub-1/a.nwb", "sub-31/a.nwb"]),
    ],
)
def test_patterns_are_those_of_the_shell_though_the_archive_knows_only_the_star(
    archive: StubArchive, pattern: str, expected: list[str]
) -> None:
    for number in (1, 2, 31):
        archive.add(f"sub-{number}/a.nwb", b"a")

    assert [asset.path for asset in find_assets("000999", pattern=pattern, instance=archive.url)] == expected
