from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pynwb
import pytest
from pynwb import NWBHDF5IO

from nwb_mivae.annotation import annotate, annotated_name, annotation_names, read_annotations
from nwb_mivae.annotation import append as append_module
from nwb_mivae.annotation.append import copy_to_change
from nwb_mivae.annotation.snapshot import Snapshot
from nwb_mivae.errors import AnnotationError, OutputError
from nwb_mivae.outputs import whole_directory, whole_file
from tests.annotation.kills import (
    is_annotated_whole,
    killed_after,
    killed_at_event,
    leftovers,
    seconds_of,
)
from tests.annotation.sources import Stored, attribution_for, latents_for, model_record, stored_for, write_source
from tests.layouts import microns, visual_behavior


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "sub-m1_ses-1_behavior+image+ophys.nwb")


@pytest.fixture
def stored(source: Path) -> Stored:
    return stored_for(source)


def results(stored: Stored, **changes: Any) -> dict[str, Any]:
    fitting = {
        "latents": latents_for(stored),
        "attribution": attribution_for(stored),
        "stored": stored,
        "model": model_record(),
    }
    return fitting | changes


def other_model() -> Any:
    return replace(model_record(), weights_sha256="12" * 32)


def append(source: Path, stored: Stored, **changes: Any) -> Path:
    return annotate(source, form="append", **results(stored, **changes))


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Nothing in the folder may be another after the block, and nothing may be left."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def refused(source: Path, stored: Stored, **changes: Any) -> AnnotationError:
    with unchanged(source.parent), pytest.raises(AnnotationError) as caught:
        append(source, stored, **changes)
    return caught.value


def zarr_source(source: Path, stored: Stored) -> Path:
    """The source as a folder, with a first result in it."""
    pytest.importorskip("hdmf_zarr")
    return annotate(source, backend="zarr", **results(stored))


# --- what is appended ---------------------------------------------------------------------------------------------


def test_the_file_keeps_its_ids_and_all_that_was_in_it(source: Path, stored: Stored):
    with NWBHDF5IO(str(source), "r") as reading:
        before = {item.object_id for item in reading.read().objects.values()}
        file_id = reading.read().object_id
    source.chmod(0o640)
    assert append(source, stored) == source
    assert source.stat().st_mode & 0o777 == 0o640
    with NWBHDF5IO(str(source), "r") as reading:
        nwbfile = reading.read()
        assert nwbfile.object_id == file_id
        assert before <= {item.object_id for item in nwbfile.objects.values()}
        assert nwbfile.lab_meta_data["mivae"].form == "append"
    assert pynwb.validate(path=str(source)) == []
    assert [path.name for path in source.parent.iterdir()] == [source.name]


def test_what_was_appended_is_what_was_given(source: Path, stored: Stored):
    latents = latents_for(stored)
    append(source, stored, latents=latents)
    read = read_annotations(source)
    for name, block in latents.blocks.items():
        np.testing.assert_array_equal(read.blocks[name].mean, block.mean)


@pytest.mark.slow
def test_a_second_model_is_a_second_result(source: Path, stored: Stored):
    append(source, stored)
    append(source, stored, model=other_model())
    assert annotation_names(source) == ["mivae", "mivae_2"]
    assert read_annotations(source, "mivae_2").model.weights_sha256 == "12" * 32
    assert pynwb.validate(path=str(source)) == []


def test_a_list_of_programs_becomes_longer_and_links_to_other_files_stay(source: Path):
    with h5py.File(source, "r+") as file, h5py.File(source.parent / "raw.h5", "w") as raw:
        file["general"].create_dataset("was_generated_by", data=[["MatNWB", "2.7"]], dtype=h5py.string_dtype("ascii"))
        traces = file["processing/ophys/DfOverF/DfOverF"]
        file.copy(traces["data"], raw, "data")
        del traces["data"]
        traces["data"] = h5py.ExternalLink("raw.h5", "/data")
    append(source, stored_for(source))
    append(source, stored_for(source), name="again")
    with h5py.File(source, "r") as file:
        programs = [pair[0] for pair in file["general/was_generated_by"].asstr()[:].tolist()]
        assert programs == ["MatNWB", "nwb_mivae"]
        assert isinstance(file["processing/ophys/DfOverF/DfOverF"].get("data", getlink=True), h5py.ExternalLink)


@pytest.mark.parametrize("shared_blocks", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_copy_is_its_owners_alone_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, shared_blocks: bool
):
    source = tmp_path / "source.nwb"
    data = source / "group" / "0" if kind == "folder" else source
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(b"private")
    data.chmod(0o640)
    if kind == "folder":
        source.chmod(0o750)
    if not shared_blocks:
        monkeypatch.setattr(append_module, "_SHARE_BLOCKS", 0)
    backend: Any = SimpleNamespace(whole=whole_directory if kind == "folder" else whole_file)
    with copy_to_change(source, Snapshot.of(source), backend, added_bytes=0) as copy:
        inside = copy / data.relative_to(source)
        assert inside.read_bytes() == b"private"
        assert copy.stat().st_mode & 0o077 == 0
        assert inside.stat().st_mode & 0o077 == 0
    assert data.stat().st_mode & 0o777 == 0o640
    assert source.stat().st_mode & 0o777 == (0o750 if kind == "folder" else 0o640)


def test_a_virtual_dataset_stays_one_in_a_file_that_is_appended_to(source: Path):
    with h5py.File(source, "r+") as file, h5py.File(source.parent / "part.h5", "w") as part:
        traces = file["processing/ophys/DfOverF/DfOverF"]
        part["x"] = expected = traces["data"][:]
        attributes = dict(traces["data"].attrs)
        del traces["data"]
        layout = h5py.VirtualLayout(expected.shape, expected.dtype)
        layout[:] = h5py.VirtualSource("part.h5", "x", shape=expected.shape)
        traces.create_virtual_dataset("data", layout).attrs.update(attributes)
    append(source, stored_for(source))
    with h5py.File(source, "r") as file:
        data = file["processing/ophys/DfOverF/DfOverF/data"]
        assert data.is_virtual
        np.testing.assert_array_equal(data[:], expected)


@pytest.mark.slow
def test_a_zarr_folder_is_appended_to(source: Path, stored: Stored):
    folder = zarr_source(source, stored)
    with h5py.File(source, "r") as file:
        onsets = file["intervals/natural_movie_presentations/start_time"][:]
    assert append(folder, stored, model=other_model()) == folder
    assert annotation_names(folder) == ["mivae", "mivae_2"]
    assert read_annotations(folder, "mivae_2").presentations[0].rows.max() < len(onsets)
    assert leftovers(folder.parent) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cells", "shown"),
    [
        ("A8604-211122.nwb", {"units": [2, 0]}, "intervals/epochs"),
        ("aibs_760693773_truncated10.nwb", {"units": [3, 1, 9]}, "intervals/natural_movie_one_presentations"),
        # Its own copy of the schema is not whole.
        ("sub-4_ses-4_ecephys+image.nwb", {"units": [34, 3]}, "intervals/encoding_table"),
    ],
)
def test_real_files_of_older_schemas_are_appended_to(
    real_data: Path, tmp_path: Path, name: str, cells: dict[str, list[int]], shown: str
):
    source = tmp_path / name
    shutil.copyfile(real_data / "nwb" / name, source)
    stored = stored_for(source, cell_rows=cells, shown=shown, presentations=1, frames_per_presentation=20)
    with NWBHDF5IO(str(source), "r") as reading:
        before = {item.object_id for item in reading.read().objects.values()}
    append(source, stored)
    assert is_annotated_whole(source, ["mivae"])
    with NWBHDF5IO(str(source), "r") as reading:
        assert before <= {item.object_id for item in reading.read().objects.values()}


# --- refusals -----------------------------------------------------------------------------------------------------


def test_an_output_is_refused(source: Path, stored: Stored):
    with pytest.raises(AnnotationError, match="no output"):
        annotate(source, source.parent / "out.nwb", form="append", **results(stored))


def test_the_same_weights_are_refused_unless_they_have_a_name(source: Path, stored: Stored):
    append(source, stored)
    error = refused(source, stored)
    assert "results of the same weights" in error.found
    assert error.object_path == "general/mivae/model"
    append(source, stored, name="repeated")
    assert annotation_names(source) == ["mivae", "repeated"]


def test_a_name_that_is_taken_is_refused(source: Path, stored: Stored):
    append(source, stored)
    assert refused(source, stored, name="mivae", model=other_model()).object_path == "processing/mivae"
    assert refused(source, stored, name="ophys").object_path == "processing/ophys"


@pytest.mark.parametrize("name", ["", "Mivae", "2nd", "a/b", "a-b", "../up"])
def test_what_is_no_name_is_refused(source: Path, stored: Stored, name: str):
    assert refused(source, stored, name=name).object_path == "name"


def test_a_symbolic_link_is_refused(source: Path, stored: Stored, tmp_path: Path):
    (tmp_path / "annex").mkdir()
    link = tmp_path / "annex" / "link.nwb"
    link.symlink_to(source)
    with unchanged(tmp_path):
        error = refused(link, stored)
    assert "datalad unlock" in (error.remedy or "")


def test_a_protected_file_is_refused(source: Path, stored: Stored):
    source.chmod(0o444)
    assert "may only be read" in refused(source, stored).found


def test_a_protected_folder_is_refused(source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch):
    # Whoever runs the tests as root may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != source.parent)
    error = refused(source, stored)
    assert "a folder that may only be read" in error.found
    assert error.file == str(source.parent)


def test_another_format_than_the_file_has_is_refused(source: Path, stored: Stored):
    assert "'zarr'" in refused(source, stored, backend="zarr").found


@contextmanager
def opened_elsewhere(source: Path, mode: str) -> Iterator[None]:
    program = (
        "import h5py, sys\nwith h5py.File(sys.argv[1], sys.argv[2]):\n print('open', flush=True)\n sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(source), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        yield
    finally:
        other.communicate("", timeout=60)


@pytest.mark.parametrize("mode", ["r+", "r"])
def test_a_file_that_is_open_in_another_program_is_refused(source: Path, stored: Stored, mode: str):
    with opened_elsewhere(source, mode):
        assert "open in another program" in refused(source, stored).found
    append(source, stored)


@pytest.mark.parametrize("form", ["copy", "companion"])
def test_a_file_that_another_program_writes_is_not_read(source: Path, stored: Stored, form: Any):
    with (
        opened_elsewhere(source, "r+"),
        unchanged(source.parent),
        pytest.raises(AnnotationError, match="program is writing to"),
    ):
        annotate(source, form=form, **results(stored))
    with opened_elsewhere(source, "r"):
        assert annotate(source, form=form, **results(stored)).is_file()


def test_locks_that_a_file_system_does_not_have_are_done_without(
    source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    def without(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", without)
    append(source, stored)
    assert annotation_names(source) == ["mivae"]


@pytest.mark.parametrize("form", ["append", "copy", "companion"])
def test_a_source_that_changes_meanwhile_is_refused(
    source: Path, stored: Stored, form: Any, monkeypatch: pytest.MonkeyPatch
):
    changed = b""
    written = NWBHDF5IO.export if form == "copy" else NWBHDF5IO.write

    def meanwhile(self: Any, *arguments: Any, **options: Any) -> None:
        nonlocal changed
        written(self, *arguments, **options)
        with source.open("r+b") as stream:  # as a program does that knows nothing of locks
            stream.seek(0, os.SEEK_END)
            stream.write(b"more")
        changed = source.read_bytes()

    monkeypatch.setattr(NWBHDF5IO, "export" if form == "copy" else "write", meanwhile)
    with pytest.raises(AnnotationError, match="changed, replaced or removed meanwhile"):
        annotate(source, form=form, **results(stored))
    assert source.read_bytes() == changed
    assert [path.name for path in source.parent.iterdir()] == [source.name]


def test_a_file_that_was_replaced_before_the_copy_is_refused(
    source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    refuse = append_module.refuse_unchangeable
    asked = []

    def replacing(path: Path) -> None:
        refuse(path)
        asked.append(path)
        if len(asked) == 1:  # the second time it is asked, the copy is about to be made
            return
        other = source.with_name("other")
        shutil.copyfile(source, other)
        os.replace(other, source)

    monkeypatch.setattr("nwb_mivae.annotation.append.refuse_unchangeable", replacing)
    asked.append(source)
    with pytest.raises(AnnotationError, match="replaced or removed meanwhile"):
        append(source, stored)


# --- disks that are full or cannot be written ---------------------------------------------------------------------


@pytest.mark.parametrize("form", ["append", "copy", "companion"])
def test_too_little_space_is_refused_before_anything_is_written(
    source: Path, stored: Stored, form: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with unchanged(source.parent), pytest.raises(OutputError, match="1 MB free on the disk") as caught:
        annotate(source, form=form, **results(stored))
    assert "free some space" in (caught.value.remedy or "").lower()
    # What goes into the recording itself has no other output folder.
    assert ("form='copy'" if form == "append" else "output folder") in (caught.value.remedy or "")


@pytest.mark.parametrize("form", ["append", "copy", "companion"])
@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "no space left on the disk"), (errno.EROFS, "a disk that can only be read")]
)
def test_a_disk_that_fails_meanwhile_is_said(
    source: Path, stored: Stored, form: Any, number: int, said: str, monkeypatch: pytest.MonkeyPatch
):
    method = "export" if form == "copy" else "write"
    written = getattr(NWBHDF5IO, method)

    def failing(self: Any, *arguments: Any, **options: Any) -> None:
        written(self, *arguments, **options)
        # As h5py says it.
        raise OSError(f"Can't write data (file write failed: errno = {number}, error message = '...')")

    monkeypatch.setattr(NWBHDF5IO, method, failing)
    with unchanged(source.parent), pytest.raises(OutputError, match=said):
        annotate(source, form=form, **results(stored))


@pytest.mark.slow
def test_a_limit_to_the_size_of_files_leaves_the_original(source: Path, stored: Stored):
    """The writing really fails in the middle of HDF5, which does not survive that well; the file does."""
    program = f"""
        import resource, signal
        from pathlib import Path
        from tests.annotation.sources import latents_for, model_record, stored_for
        from nwb_mivae.annotation import annotate
        from nwb_mivae.errors import OutputError
        source = Path({str(source)!r})
        stored = stored_for(source)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = source.stat().st_size + 20_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            annotate(source, form="append", latents=latents_for(stored), stored=stored, model=model_record())
        except OutputError as problem:
            print("REFUSED", problem, flush=True)
    """
    with unchanged(source.parent):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
    assert "REFUSED" in done.stdout, done.stderr
    assert "larger than is allowed" in done.stdout


def test_an_append_that_pynwb_fails_at_leaves_the_original(
    source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("a link that leads nowhere")

    monkeypatch.setattr(NWBHDF5IO, "write", fail)
    assert "cannot append to (KeyError: 'a link that leads nowhere')" in refused(source, stored).found


@pytest.mark.slow
def test_without_a_way_to_exchange_folders_zarr_is_not_appended_to(
    source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    folder = zarr_source(source, stored)
    monkeypatch.setattr("nwb_mivae.outputs.exchange", lambda *_: False)
    assert "cannot change places at once" in refused(folder, stored, model=other_model()).found


# --- kills --------------------------------------------------------------------------------------------------------


def check_after_kill(source: Path, before: bytes, stored: Stored) -> None:
    """The file is the old one, byte by byte, or a whole new one; the next call removes what is left of the killed."""
    if source.read_bytes() != before:
        assert is_annotated_whole(source, ["mivae"])
        assert pynwb.validate(path=str(source)) == []
        source.write_bytes(before)
    for name in leftovers(source.parent):
        assert ".partial" in name
    assert len(list(source.parent.glob("[!.]*"))) == 1


@pytest.mark.slow
def test_a_kill_at_any_operation_leaves_a_whole_file(source: Path, stored: Stored):
    before = source.read_bytes()
    killed = 0
    for number in range(60):
        if not killed_at_event(lambda: append(source, stored), source.parent, number):
            break
        killed += 1
        check_after_kill(source, before, stored)
    assert killed > 5
    assert is_annotated_whole(source, ["mivae"])
    assert leftovers(source.parent) == []


@pytest.mark.parametrize("form", ["append", "copy"])
def test_a_kill_at_any_moment_leaves_a_whole_file(source: Path, stored: Stored, form: Any):
    before = source.read_bytes()
    out = source.with_name(annotated_name(source))

    def work() -> None:
        annotate(source, form=form, **results(stored))

    seconds = seconds_of(work)
    for share in np.random.default_rng(0).uniform((0.1, 0.5, 0.8), (0.5, 0.8, 1.0)):
        source.write_bytes(before)
        out.unlink(missing_ok=True)
        killed_after(work, share * seconds)
        if form == "copy":
            assert source.read_bytes() == before
            assert not out.exists() or is_annotated_whole(out, ["mivae"])
            out.unlink(missing_ok=True)
        check_after_kill(source, before, stored)
    work()
    assert is_annotated_whole(source if form == "append" else out, ["mivae"])
    assert leftovers(source.parent) == []


@pytest.mark.slow
def test_a_kill_during_an_append_to_zarr_leaves_a_whole_folder(source: Path, stored: Stored):
    folder = zarr_source(source, stored)
    safe = shutil.copytree(folder, source.parent.parent / f"{source.parent.name}-safe")

    def work() -> None:
        append(folder, stored, model=other_model())

    seconds = seconds_of(work)
    # Early, while what is added is written, and about when the folders change places.
    for share in np.random.default_rng(1).uniform((0.1, 0.5, 0.8), (0.5, 0.8, 1.0)):
        shutil.rmtree(folder)
        shutil.copytree(safe, folder)
        killed_after(work, share * seconds)
        names = annotation_names(folder)
        assert names in (["mivae"], ["mivae", "mivae_2"])
        assert is_annotated_whole(folder, names)
    shutil.rmtree(folder)
    shutil.copytree(safe, folder)
    work()
    assert leftovers(source.parent) == []


def test_what_a_living_program_writes_is_not_removed(source: Path, stored: Stored):
    """The name of what is being written says which process does."""
    killed = 0
    while not leftovers(source.parent):
        assert killed_at_event(lambda: append(source, stored), source.parent, killed)
        killed += 1
    (dead,) = leftovers(source.parent)
    process = dead.rsplit("-", 2)[1]
    alive = dead.replace(f"-{process}-", f"-{os.getpid()}-")
    (source.parent / alive).write_bytes(b"half")
    append(source, stored)
    assert leftovers(source.parent) == [alive]


@pytest.mark.slow
def test_masks_that_moved_after_the_first_results_are_refused(tmp_path: Path):
    from nwb_mivae.clips import prepare
    from nwb_mivae.simulation import SimulationConfiguration, simulate

    configuration = SimulationConfiguration(animals=1, minutes=0.5, cells=(8, 8), movie_seconds=3.0, repeats=2)
    (animal,) = simulate(tmp_path / "animals", configuration)
    (stored,) = prepare([animal.nwb], tmp_path / "store").sessions.values()
    latents = latents_for(stored, np.flatnonzero(stored.valid))

    def append(name: str | None = None) -> None:
        annotate(animal.nwb, latents=latents, stored=stored, model=model_record(), form="append", name=name)

    append()
    append("second")
    with h5py.File(animal.nwb, "r+") as file:
        (masks,) = (item for item in _all_datasets(file) if item.name.endswith("/pixel_mask"))
        ends = file[f"{masks.name}_index"][:]
        start, stop = int(ends[1]), int(ends[2])
        points = masks[start:stop]
        points["x"] += 3
        masks[start:stop] = points
    before = animal.nwb.read_bytes()
    with pytest.raises(AnnotationError, match="a mask in row 2 that lies elsewhere, and 1 of 8 such masks"):
        append("third")
    assert animal.nwb.read_bytes() == before
    assert annotation_names(animal.nwb) == ["mivae", "second"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "write",
    [partial(visual_behavior.write, events=False, ratios=False, eye_tracking=False, movie=False), microns.write],
    ids=["000711", "000402"],
)
def test_masks_of_any_layout_are_where_they_were(tmp_path: Path, write: Any):
    """Image masks with boxes, rows first, in metres, in two planes: none is taken for moved."""
    from nwb_mivae.clips import prepare

    write(tmp_path / "source")
    for stored in prepare(sorted((tmp_path / "source").rglob("*.nwb")), tmp_path / "store").sessions.values():
        latents = latents_for(stored, np.flatnonzero(stored.valid))
        assert np.isfinite(stored.cells[["x", "y"]].to_numpy(dtype=float)).all()
        for file in stored.source["files"]:
            for name in (None, "second"):
                annotate(file["path"], latents=latents, stored=stored, model=model_record(), form="append", name=name)
            assert annotation_names(file["path"]) == ["mivae", "second"]


def _all_datasets(file: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found
