from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nwb_mivae.annotation import snapshot
from nwb_mivae.annotation.snapshot import Snapshot
from nwb_mivae.errors import AnnotationError


@pytest.fixture(params=["file", "folder"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "source"
    if request.param == "folder":
        (path / "group").mkdir(parents=True)
        (path / "group" / "0").write_bytes(b"first")
        (path / "group" / "1").write_bytes(b"other")
    else:
        path.write_bytes(b"first")
    return path


def data_of(source: Path) -> Path:
    return source / "group" / "0" if source.is_dir() else source


def rewrite_in_place(path: Path) -> None:
    path.write_bytes(b"FIRST")


def replace(path: Path) -> None:
    path.with_name("new").write_bytes(b"FIRST")
    path.with_name("new").replace(path)


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("change", [rewrite_in_place, replace])
def test_contents_of_the_same_size_and_time_are_a_change(source: Path, change: Callable[[Path], None], read: bool):
    before, data = Snapshot.of(source), data_of(source)
    before = before.with_contents(source) if read else before
    times = data.stat()
    change(data)
    for path in (data, data.parent):  # as `rsync --times` and `cp --preserve` leave it
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert Snapshot.of(source).n_bytes == before.n_bytes
    with pytest.raises(AnnotationError, match="changed, replaced or removed meanwhile"):
        before.refuse_change(source)


def test_reading_and_linking_to_it_is_no_change(source: Path, tmp_path: Path):
    before = Snapshot.of(source)
    data_of(source).read_bytes()
    (tmp_path / "link").symlink_to(source)
    before.refuse_change(source)
    Snapshot.of(tmp_path / "link").refuse_change(source)


def link(path: Path, elsewhere: Path) -> None:
    elsewhere.hardlink_to(path)


def same_permissions(path: Path, elsewhere: Path) -> None:
    path.chmod(path.stat().st_mode)


@pytest.mark.parametrize("touch", [link, same_permissions])
def test_what_is_only_touched_is_told_by_its_bytes_where_they_are_known(
    source: Path, tmp_path: Path, touch: Callable[[Path, Path], None]
):
    unread = Snapshot.of(source)
    before = unread.with_contents(source)
    touch(data_of(source), tmp_path / "another_name")
    before.refuse_change(source)
    with pytest.raises(AnnotationError, match="meanwhile"):
        unread.refuse_change(source)
    with pytest.raises(AnnotationError, match="meanwhile"):
        unread.with_contents(source)


def test_the_bytes_are_read_again_only_where_something_touched_them(source: Path, monkeypatch: pytest.MonkeyPatch):
    before = Snapshot.of(source).with_contents(source)
    monkeypatch.setattr(snapshot, "_digest", lambda path: pytest.fail(f"{path} read"))
    before.refuse_change(source)
    data_of(source).write_bytes(b"longer than it was")
    with pytest.raises(AnnotationError, match="meanwhile"):
        before.refuse_change(source)


def test_a_change_while_the_bytes_are_read_again_is_seen(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = Snapshot.of(source).with_contents(source)
    link(data_of(source), tmp_path / "another_name")

    def changed_behind(path: Path) -> str:
        rewrite_in_place(data_of(path))
        return before.contents

    monkeypatch.setattr(snapshot, "_digest", changed_behind)
    with pytest.raises(AnnotationError, match="meanwhile"):
        before.refuse_change(source)


def test_an_older_file_in_a_folder_is_a_change_though_the_newest_is_the_same(tmp_path: Path):
    for name, time in (("old", 10**18), ("new", 2 * 10**18)):
        (tmp_path / name).write_bytes(b"first")
        os.utime(tmp_path / name, ns=(time, time))
    before, times = Snapshot.of(tmp_path), tmp_path.stat()
    (tmp_path / "old").write_bytes(b"other")
    os.utime(tmp_path / "old", ns=(10**18, 10**18 + 1))
    os.utime(tmp_path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(AnnotationError, match="meanwhile"):
        before.refuse_change(tmp_path)


def test_what_was_removed_is_said(source: Path):
    before = Snapshot.of(source)
    source.rename(source.with_name("elsewhere"))
    with pytest.raises(AnnotationError, match="removed meanwhile"):
        before.refuse_change(source)
