"""Outputs appear whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nwb_mivae import outputs
from nwb_mivae.errors import OutputError
from nwb_mivae.outputs import (
    can_exchange,
    locked,
    read_json,
    refuse_without_space,
    reserve_space,
    restore_replaced,
    sha256_of_file,
    whole_directory,
    whole_file,
    write_json,
)


class _PlugError(Exception):
    """Somebody pulls the plug."""


def _write_half(path: Path) -> None:
    path.write_text("half")
    raise _PlugError


def _write_half_and_raise(path: Path, problem: Exception) -> None:
    path.write_text("half")
    raise problem


def _write_each(ours: Path, theirs: Path) -> None:
    ours.write_text("ours")
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("theirs")


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "result.nwb"
    with whole_file(target) as beside:
        assert beside.parent == target.parent
        assert beside.suffix == ".nwb"
        assert beside.name.startswith(".")
        beside.write_text("half")
        assert not target.exists()
        beside.write_text("whole")
    assert target.read_text() == "whole"
    assert _names(target.parent) == {"result.nwb"}


def test_an_interrupted_file_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("before")
    with pytest.raises(_PlugError), whole_file(target) as beside:
        _write_half(beside)
    assert target.read_text() == "before"
    assert _names(tmp_path) == {"result.txt"}


def test_a_file_is_replaced_only_where_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("before")
    with pytest.raises(OutputError, match="already there") as refusal, whole_file(target, overwrite=False) as beside:
        beside.write_text("after")
    assert refusal.value.file == str(target)
    assert target.read_text() == "before"
    with whole_file(target) as beside:
        beside.write_text("after")
    assert target.read_text() == "after"


@pytest.mark.parametrize("whole", [whole_file, whole_directory])
def test_a_link_to_nothing_is_refused_before_anything_is_written(tmp_path: Path, whole: Any) -> None:
    target = tmp_path / "result"
    target.symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="already there"), whole(target, overwrite=False):
        pytest.fail("nothing should be written")
    assert target.is_symlink()


def test_a_link_to_nothing_is_no_folder_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="file where a folder"), whole_directory(tmp_path / "model", overwrite=True):
        pytest.fail("nothing should be written")


@pytest.mark.parametrize("whole", [whole_file, whole_directory])
def test_the_last_look_before_something_is_placed_may_keep_it_from_that(tmp_path: Path, whole: Any) -> None:
    target, seen = tmp_path / "result", []

    def look(beside: Path) -> None:
        seen.append((target.exists(), beside.exists()))
        if len(seen) > 1:
            raise OutputError("changed meanwhile")

    with whole(target, overwrite=True, before_placing=look) as beside:
        beside.touch()
    first = target.stat().st_ino
    with (
        pytest.raises(OutputError, match="changed meanwhile"),
        whole(target, overwrite=True, before_placing=look) as beside,
    ):
        beside.touch()
    assert seen == [(False, True), (True, True)]
    assert target.stat().st_ino == first
    assert _names(tmp_path) == {"result"}


def test_a_block_that_writes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing written"), whole_file(tmp_path / "result.txt"):
        pass
    assert _names(tmp_path) == set()


def test_a_folder_is_never_replaced_by_a_file_nor_a_file_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("before")
    with pytest.raises(OutputError, match="folder where a file"), whole_file(tmp_path / "folder"):
        pass
    with pytest.raises(OutputError, match="file where a folder"), whole_directory(tmp_path / "file", overwrite=True):
        pass
    assert (tmp_path / "file").read_text() == "before"
    assert _names(tmp_path) == {"folder", "file"}


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with whole_directory(target) as beside:
        (beside / "inside").mkdir()
        (beside / "inside" / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "inside" / "a.txt").read_text() == "a"
    assert _names(target.parent) == {"model"}


def test_an_interrupted_folder_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "before.txt").write_text("before")
    with pytest.raises(_PlugError), whole_directory(target, overwrite=True) as beside:
        _write_half(beside / "after.txt")
    assert _names(target) == {"before.txt"}
    assert _names(tmp_path) == {"model"}


def test_a_folder_is_replaced_as_a_whole_and_only_where_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "before.txt").write_text("before")
    with pytest.raises(OutputError, match="already there"), whole_directory(target):
        pass
    with whole_directory(target, overwrite=True) as beside:
        (beside / "after.txt").write_text("after")
    assert _names(target) == {"after.txt"}
    assert _names(tmp_path) == {"model"}


def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "before.txt").write_text("before")
    replace = os.replace

    def failing(source: Path, place: Path) -> None:
        if Path(place) == target and (Path(source) / "after.txt").exists():
            raise OSError("disk on fire")
        replace(source, place)

    monkeypatch.setattr(os, "replace", failing)
    monkeypatch.setattr("nwb_mivae.outputs.exchange", lambda *_: False)  # as where the system has no such thing
    with pytest.raises(OSError, match="fire"), whole_directory(target, overwrite=True) as beside:
        (beside / "after.txt").write_text("after")
    assert _names(target) == {"before.txt"}
    assert _names(tmp_path) == {"model"}
    shutil.rmtree(target)
    with pytest.raises(OSError, match="fire"), whole_directory(target) as beside:
        (beside / "after.txt").write_text("after")
    assert _names(tmp_path) == set()


@pytest.mark.parametrize("links", [True, False])
def test_what_appears_meanwhile_is_not_replaced_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refusing(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refusing)
    target = tmp_path / "result.txt"
    with pytest.raises(OutputError, match="already there"), whole_file(target, overwrite=False) as beside:
        _write_each(beside, target)
    assert target.read_text() == "theirs"
    assert _names(tmp_path) == {"result.txt"}
    target.unlink()
    with whole_file(target, overwrite=False) as beside:
        beside.write_text("ours")
    assert target.read_text() == "ours"
    assert target.stat().st_nlink == 1
    assert _names(tmp_path) == {"result.txt"}


@pytest.mark.parametrize("of_a_file", [False, True])
def test_what_appears_meanwhile_is_not_replaced_by_a_folder(tmp_path: Path, of_a_file: bool) -> None:
    target = tmp_path / "model"
    theirs = target if of_a_file else target / "theirs.txt"
    with pytest.raises(OutputError, match="already there"), whole_directory(target) as beside:
        _write_each(beside / "ours.txt", theirs)
    assert theirs.read_text() == "theirs"
    assert _names(tmp_path) == {"model"}


def _killed_while_replacing(target: Path, before: str) -> None:
    """Killed before or after the new folder takes the place of the old one."""
    replace = os.replace

    def killing(source: Path, place: Path) -> None:
        if Path(place) == target:
            if before == "after":
                replace(source, place)
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, place)

    outputs.exchange = lambda *_: False  # as where the system has no such thing
    os.replace = killing  # type: ignore[assignment]
    with whole_directory(target, overwrite=True) as beside:
        (beside / "after.txt").write_text("after")


@pytest.mark.parametrize(("when", "left"), [("before", "before.txt"), ("after", "after.txt")])
def test_a_folder_that_a_killed_program_was_replacing_comes_back(tmp_path: Path, when: str, left: str) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "before.txt").write_text("before")
    process = multiprocessing.get_context("fork").Process(target=_killed_while_replacing, args=(target, when))
    process.start()
    process.join()
    assert target.exists() == (when == "after")
    assert [name for name in _names(tmp_path) if "replaced" in name]
    restore_replaced(target)
    assert _names(target) == {left}
    assert not [name for name in _names(tmp_path) if "replaced" in name]
    with pytest.raises(OutputError, match="already there"), whole_directory(target):
        pass


def test_a_folder_of_a_long_name_is_not_taken_for_another_that_begins_like_it(tmp_path: Path) -> None:
    one, other = (tmp_path / f"{'s' * 190}_desc-{name}.nwb.zarr" for name in ("mivae", "mivae-2"))
    one.mkdir()
    (one / "before.txt").write_text("before")
    process = multiprocessing.get_context("fork").Process(target=_killed_while_replacing, args=(one, "before"))
    process.start()
    process.join()
    assert not one.exists()
    restore_replaced(other)
    assert not other.exists()
    other.mkdir()
    restore_replaced(other)
    restore_replaced(one)
    assert _names(one) == {"before.txt"}
    assert _names(other) == set()


def test_a_folder_that_a_living_program_is_replacing_is_left_to_it(tmp_path: Path) -> None:
    target = tmp_path / "model"
    aside = tmp_path / f".model.{outputs._mark()}.replaced.partial"
    aside.mkdir()
    restore_replaced(target)
    assert _names(tmp_path) == {aside.name}


def test_places_that_cannot_be_written_to_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made") as refusal, whole_file(tmp_path / "file" / "result.txt"):
        pass
    assert refusal.value.file == str(tmp_path / "file")
    # Whoever runs the tests as root may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="may not be written"), whole_directory(tmp_path / "model"):
        pass
    assert _names(tmp_path) == {"file"}


@pytest.mark.parametrize("letter", ["a", "é"])
def test_names_as_long_as_the_disk_allows_are_written_and_longer_ones_refused(tmp_path: Path, letter: str) -> None:
    longest = letter * (250 // len(letter.encode())) + ".txt"
    with whole_file(tmp_path / longest) as beside:
        beside.write_text("whole")
    with whole_directory(tmp_path / f"x{longest[2:]}") as folder:
        (folder / "part").write_text("whole")
    before = _names(tmp_path)
    for whole in (whole_file, whole_directory):
        with pytest.raises(OutputError, match="too long") as refusal, whole(tmp_path / (longest * 2)):
            pytest.fail("nothing should be written")
        assert "shorter" in str(refusal.value.remedy)
    assert _names(tmp_path) == before


def test_an_old_folder_is_never_missing_where_folders_can_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_exchange(tmp_path):
        pytest.skip("folders cannot be exchanged at once here")
    assert _names(tmp_path) == set()
    target = tmp_path / "model"
    target.mkdir()

    def never(*_: object) -> None:
        raise AssertionError("moved aside")

    monkeypatch.setattr(os, "replace", never)
    with whole_directory(target, overwrite=True) as beside:
        (beside / "after.txt").write_text("after")
    assert _names(target) == {"after.txt"}
    assert _names(tmp_path) == {"model"}


def _leftover_of_a_dead_program(folder: Path) -> Path:
    process = multiprocessing.get_context("fork").Process(target=_killed_while_writing, args=(folder / "result.txt",))
    process.start()
    process.join()
    (left,) = folder.iterdir()
    return left


def _killed_while_writing(target: Path) -> None:
    with whole_file(target) as beside:
        beside.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_program_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left = _leftover_of_a_dead_program(tmp_path)
    assert left.name.startswith(".result.")
    assert left.name.endswith(".partial.txt")
    with whole_file(tmp_path / "result.csv") as beside:  # another output's business
        beside.write_text("whole")
    assert left.exists()
    with whole_file(tmp_path / "result.txt") as beside:
        beside.write_text("whole")
    assert _names(tmp_path) == {"result.txt", "result.csv"}


def test_what_may_still_be_written_is_left_alone(tmp_path: Path) -> None:
    left = _leftover_of_a_dead_program(tmp_path)
    dead = left.name.rsplit("-", 2)[1]
    alive = left.with_name(left.name.replace(f"-{dead}-", f"-{os.getpid()}-"))
    elsewhere = left.with_name(left.name.replace(".result.", ".result.0", 1))
    for other in (alive, elsewhere):
        other.write_text("half")
    with open(left) as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)  # as HDF5 holds what it has open
        write_json(tmp_path / "result.txt", {})
    assert _names(tmp_path) == {"result.txt", left.name, alive.name, elsewhere.name}
    write_json(tmp_path / "result.txt", {})
    assert _names(tmp_path) == {"result.txt", alive.name, elsewhere.name}


@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Can't decrement id ref count (file write failed: errno = 28, error message = '...')"),
    ],
)
def test_a_full_disk_is_said_and_what_to_do(tmp_path: Path, problem: Exception) -> None:
    explained = ValueError("a library's own words")
    explained.__cause__ = problem
    with pytest.raises(OutputError, match="no space left on the disk") as caught, whole_file(tmp_path / "a") as beside:
        _write_half_and_raise(beside, explained)
    assert "free some space" in str(caught.value).lower()
    assert _names(tmp_path) == set()


def test_permission_is_missed_only_for_the_output(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), whole_file(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "Permission denied", "some input")
    with pytest.raises(OutputError, match="may not be written to"), whole_file(tmp_path / "a") as beside:
        raise PermissionError(errno.EACCES, "Permission denied", str(beside))


def test_space_is_asked_for_where_the_output_goes(tmp_path: Path) -> None:
    refuse_without_space(tmp_path / "not" / "yet" / "there", 1)
    with pytest.raises(OutputError, match="MB free on the disk"):
        refuse_without_space(tmp_path / "not" / "yet" / "there", 2**62)
    with pytest.raises(OutputError, match="Have less"):
        refuse_without_space(tmp_path, 2**62, remedy="have less")


@pytest.mark.skipif(sys.platform != "linux", reason="space is reserved on Linux only")
def test_reserved_space_is_taken_and_what_is_not_needed_is_given_back(tmp_path: Path) -> None:
    with whole_file(tmp_path / "result") as beside:
        beside.write_bytes(b"some bytes")
        before = shutil.disk_usage(tmp_path).free
        reserve_space(beside, 64 * 2**20)
        if beside.stat().st_blocks * 512 < 64 * 2**20:
            pytest.skip("this file system reserves no space")
        assert beside.stat().st_size == 10
        assert shutil.disk_usage(tmp_path).free < before
    assert (tmp_path / "result").read_bytes() == b"some bytes"
    assert (tmp_path / "result").stat().st_blocks * 512 < 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="space is reserved on Linux only")
def test_a_reservation_beyond_the_quota_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> int:
        ctypes.set_errno(errno.EDQUOT)
        return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(fallocate64=refusing))
    with pytest.raises(OutputError, match="no space left in your quota"), whole_file(tmp_path / "a") as beside:
        _write_and_reserve(beside)
    assert _names(tmp_path) == set()


def _write_and_reserve(path: Path) -> None:
    path.write_text("half")
    reserve_space(path, 1)
    raise _PlugError  # so that the test fails where nothing is said


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"some bytes" * 100_000)
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(b"some bytes" * 100_000).hexdigest()


def test_json_survives_a_file(tmp_path: Path) -> None:
    values = {"a": [1, 2.5, None, True], "b": {"c": "Mäuse"}}
    write_json(tmp_path / "a.json", values)
    assert read_json(tmp_path / "a.json") == values
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")


def test_numbers_that_json_does_not_know_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == 1
    assert _names(tmp_path) == {"a.json"}


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b""])
def test_files_that_are_not_json_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(OutputError, match="cannot be read") as refusal:
        read_json(tmp_path / "a.json")
    assert refusal.value.file == str(tmp_path / "a.json")


def test_only_one_is_in_a_locked_block(tmp_path: Path) -> None:
    inside = threading.Event()

    def enter() -> None:
        with locked(tmp_path / ".lock"):
            inside.set()

    with locked(tmp_path / ".lock"):
        other = threading.Thread(target=enter)
        other.start()
        assert not inside.wait(0.3)
    assert inside.wait(10)
    other.join()
    # Where the file cannot be made, as in a folder that may only be read, the work is done without a lock.
    with locked(tmp_path / "missing" / ".lock"):
        pass
