from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from nwb_mivae.annotation import annotate, annotation_names, read_annotations
from nwb_mivae.annotation.file_part import FilePart, part_of_session
from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.sessions import read_session
from nwb_mivae.sessions.nwb import open_nwb
from tests.annotation.sources import PLANE, SHOWN, Stored, latents_for, model_record, stored_for, write_source
from tests.archive.stub_archive import StubArchive
from tests.layouts import contrast_tuning


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "sub-m1_ses-1_behavior+image+ophys.nwb")


@pytest.fixture
def stored(source: Path) -> Stored:
    return known(stored_for(source), source)


def known(stored: Stored, source: Path, **changes: Any) -> Stored:
    """The session with the file's own object id, as a store has it."""
    with h5py.File(source, "r") as file:
        entry = {**stored.source["files"][0], "object_id": file.attrs["object_id"], **changes}
    return replace(stored, source={**stored.source, **entry, "files": [entry]})


def part(source: Path | str, stored: Any) -> FilePart:
    opened = open_nwb(source)
    try:
        return part_of_session(
            opened, stored, digest=sha256_of_file(source) if isinstance(source, Path) and source.is_file() else ""
        )
    finally:
        opened.close()


def annotated(source: Path, stored: Stored, out: Path | None = None, *, weights: str = "ab", **changes: Any) -> Path:
    model = replace(model_record(), weights_sha256=weights * 32)
    return annotate(source, out, latents=latents_for(stored), stored=stored, model=model, **changes)


def object_id_of(path: Path) -> str:
    with h5py.File(path, "r") as file:
        return str(file.attrs["object_id"])


# --- which file it is ---------------------------------------------------------------------------------------------


def test_the_bytes_tell(source: Path, stored: Stored):
    found = part(source, stored)
    assert (found.number, found.n_files, found.digest) == (0, 1, sha256_of_file(source))
    assert found.object_id == object_id_of(source)
    np.testing.assert_array_equal(found.cells, np.arange(4))


def test_of_the_same_bytes_no_table_is_compared(source: Path, stored: Stored):
    """The bytes are the proof: were the store wrong about a row, that row would not be read here."""
    stored.cells["id"] = "another"
    part(source, stored)


def test_copies_and_copies_of_copies_are_told_by_the_original(source: Path, stored: Stored):
    first = annotated(source, stored)
    second = annotated(first, stored, weights="12")
    third = annotated(second, stored, weights="34")
    assert first.name == "sub-m1_ses-1_desc-mivae_behavior+image+ophys.nwb"
    assert second.name == "sub-m1_ses-1_desc-mivae-2_behavior+image+ophys.nwb"
    assert third.name == "sub-m1_ses-1_desc-mivae-3_behavior+image+ophys.nwb"
    assert annotation_names(third) == ["mivae", "mivae_2", "mivae_3"]
    original = part(source, stored)
    for copy in (first, second, third):
        found = part(copy, stored)
        assert (found.digest, found.object_id) == (original.digest, original.object_id)
        assert object_id_of(copy) != original.object_id


def test_a_file_that_was_appended_to_is_told_by_the_original(source: Path, stored: Stored):
    original = part(source, stored)
    annotated(source, stored, form="append")
    annotated(source, stored, form="append", weights="12")
    assert part(source, stored)[:3] == original[:3]
    metadata = [read_annotations(source, name) for name in ("mivae", "mivae_2")]
    assert {read.source["sha256"] for read in metadata} == {original.digest}


def test_a_session_that_was_prepared_from_a_copy_knows_that_copy(source: Path, stored: Stored):
    copy = annotated(source, stored)
    of_copy = known(stored_for(copy), copy)
    second = annotated(copy, of_copy, weights="12")
    assert part(second, of_copy).digest == sha256_of_file(copy)
    assert part(second, stored).digest == sha256_of_file(source)


def test_results_of_other_bytes_do_not_vouch_for_a_file(source: Path, stored: Stored):
    """The source was published anew, and a copy of the old one is no copy of the new."""
    copy = annotated(source, stored)
    with h5py.File(source, "r+") as file:
        file["processing/ophys/DfOverF/DfOverF/data"][0, 0] += 1
    anew = known(stored_for(source), source)
    with pytest.raises(AnnotationError, match="the file changed since the session was prepared, or is another one"):
        part(copy, anew)


def test_another_animals_file_is_refused(source: Path, stored: Stored, tmp_path: Path):
    other = write_source(tmp_path / "other.nwb", cells=8)
    with pytest.raises(AnnotationError, match="or is another one") as caught:
        part(other, stored)
    assert caught.value.expected == stored.source["sha256"]
    with pytest.raises(AnnotationError, match="or is another one"):
        part(annotated(other, known(stored_for(other), other)), stored)


def test_without_a_digest_the_object_id_decides(source: Path, stored: Stored, tmp_path: Path):
    of_url = known(stored, source, sha256=None, path="https://server.org/blobs/1")
    of_url.cells["source_file"] = "https://server.org/blobs/1"
    assert part(source, of_url).digest == sha256_of_file(source)
    assert len(part(source, of_url).cells) == 4
    other = write_source(tmp_path / "other.nwb")
    with pytest.raises(AnnotationError, match="or is another one"):
        part(other, of_url)
    copy = annotated(source, of_url)
    assert part(copy, of_url).object_id == object_id_of(source)


def test_each_plane_is_told_from_the_other(tmp_path: Path):
    planes = [write_source(tmp_path / f"plane{number}.nwb", cells=6 + number) for number in range(2)]
    sessions = [known(stored_for(plane), plane) for plane in planes]
    files = [session.source["files"][0] for session in sessions]
    both = replace(sessions[0], source={**sessions[0].source, "files": files})
    both.cells.loc[2:, "source_file"] = str(planes[1])
    for number, plane in enumerate(planes):
        found = part(plane, both)
        assert (found.number, found.n_files) == (number, 2)
        np.testing.assert_array_equal(found.cells, [[0, 1], [2, 3]][number])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("later", [0.0, 1.0])
def test_presentations_whose_times_count_samples_are_those_of_a_joined_session(tmp_path: Path, later: float):
    contrast_tuning.write(tmp_path)
    (path,) = tmp_path.rglob("*.nwb")
    with read_session(path) as session:
        shown, cells = session.presentations, session.cells.assign(source_file=str(path))
    shown = shown.assign(start_time=shown["start_time"] + later)
    entry = {"path": str(path), "sha256": sha256_of_file(path), "object_id": None, "asset": None}
    files = [entry, {**entry, "path": "other.nwb", "sha256": "ab" * 32}]
    joined = SimpleNamespace(presentations=shown, cells=cells, source={"files": files})
    assert part(path, joined).told_elsewhere == (frozenset({"intervals/epochs"}) if later else frozenset())


def test_presentations_at_other_times_in_one_of_several_files_are_another_files(tmp_path: Path):
    planes = [write_source(tmp_path / f"plane{number}.nwb", cells=6 + number) for number in range(2)]
    with h5py.File(planes[1], "r+") as file:
        file[SHOWN]["start_time"][2] += 0.5
    sessions = [known(stored_for(plane), plane) for plane in planes]
    files = [session.source["files"][0] for session in sessions]
    both = replace(sessions[0], source={**sessions[0].source, "files": files})
    both.cells.loc[2:, "source_file"] = str(planes[1])
    assert [part(plane, both).told_elsewhere for plane in planes] == [frozenset(), frozenset({SHOWN})]
    found = [read_annotations(annotated(plane, both)).presentations for plane in planes]
    assert [len(each) > 0 for each in found] == [True, False]


# --- tables that changed ------------------------------------------------------------------------------------------


def changed(source: Path, stored: Stored, change: Any) -> AnnotationError:
    """The refusal of an annotated copy that somebody changed afterwards; the copy stays as it is."""
    copy = annotated(source, stored)
    with h5py.File(copy, "r+") as file:
        change(file)
    before = copy.read_bytes()
    with pytest.raises(AnnotationError) as caught:
        annotated(copy, stored, weights="12", form="append")
    assert copy.read_bytes() == before
    assert caught.value.file == str(copy)
    return caught.value


def test_other_ids_of_cells_are_refused(source: Path, stored: Stored):
    def change(file: h5py.File) -> None:
        file[PLANE]["id"][...] = [0, 1, 20, 3, 4, 50, 6]

    error = changed(source, stored, change)
    assert error.object_path == PLANE
    assert error.found.startswith("id 20 in row 2, and 2 of 4 cells with another id")
    assert (error.expected or "").startswith("id 2 there")
    assert "prepare the session again" in (error.remedy or "")


def shortened(table: h5py.Group, rows: int) -> None:
    for name in ("id", "pixel_mask_index", "start_time", "stop_time", "movie_frame_index"):
        if name in table:
            values, attributes = table[name][:rows], dict(table[name].attrs)
            del table[name]
            table.create_dataset(name, data=values).attrs.update(attributes)


def test_cells_that_are_gone_are_refused(source: Path, stored: Stored):
    error = changed(source, stored, lambda file: shortened(file[PLANE], 5))
    assert error.object_path == PLANE
    assert error.found.startswith("a table of 5 rows")
    assert (error.expected or "").startswith("at least 7")


def test_presentations_at_other_times_are_refused(source: Path, stored: Stored):
    def change(file: h5py.File) -> None:
        file[SHOWN]["start_time"][3:5] += 0.5

    error = changed(source, stored, change)
    assert error.object_path == SHOWN
    assert "in row 3, and 2 of 12 at other times" in error.found
    assert (error.expected or "").startswith(f"one at {stored.presentations['start_time'][3]:.6g} s")


def test_presentations_that_are_gone_are_refused(source: Path, stored: Stored):
    error = changed(source, stored, lambda file: shortened(file[SHOWN], 9))
    assert (error.object_path, error.expected) == (SHOWN, "at least 12, as the store knows it")

    def remove(file: h5py.File) -> None:
        for name in list(file["processing/mivae"]):
            if name.startswith("presentation_latents"):
                del file["processing/mivae"][name]
        del file[SHOWN]

    (source.parent / "sub-m1_ses-1_desc-mivae_behavior+image+ophys.nwb").unlink()
    assert changed(source, stored, remove).found.startswith("no such object")


def test_of_a_source_that_changed_the_table_is_named(source: Path, stored: Stored):
    with h5py.File(source, "r+") as file:
        file[PLANE]["id"][2] = 99
    with pytest.raises(AnnotationError) as caught:
        part(source, stored)
    assert caught.value.object_path == PLANE
    with h5py.File(source, "r+") as file:
        file[PLANE]["id"][2] = 2
        file["processing/ophys/DfOverF/DfOverF/data"][0, 0] += 1
    with pytest.raises(AnnotationError, match="bytes with SHA-256"):
        part(source, stored)


def test_rows_told_frame_by_frame_begin_with_their_first_frame(tmp_path: Path):
    source = write_source(tmp_path / "movies.nwb", frames_per_presentation=4)
    stored = known(stored_for(source, frames_per_presentation=4), source)
    copy = annotated(source, stored)
    assert annotated(copy, stored, weights="12").is_file()


# --- on a server --------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubArchive]:
    with StubArchive() as running:
        monkeypatch.setattr("nwb_mivae.archive.prompt._silent", {})
        monkeypatch.setenv("DANDI_INSTANCE", running.url)
        monkeypatch.setenv("NWB_MIVAE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


def address(archive: StubArchive, name: str) -> str:
    return f"dandi+{archive.url}/000999/sub-m1/{name}"


def test_an_asset_is_told_by_its_digest_or_its_id(archive: StubArchive, source: Path, stored: Stored):
    stub = archive.add(f"sub-m1/{source.name}", source.read_bytes())
    assert part(address(archive, source.name), stored).digest == sha256_of_file(source)
    stub.digests = {"dandi:dandi-etag": stub.etag()}  # as of an asset whose SHA-256 the archive has not computed yet
    opened = open_nwb(address(archive, source.name))
    pinned = opened.location
    opened.close()
    by_id = known(stored, source, sha256=None, asset=pinned, object_id="unknown")
    assert part(address(archive, source.name), by_id).number == 0
    other = known(stored, source, sha256=None, asset=f"{pinned[:-4]}0000", object_id="unknown")
    with pytest.raises(AnnotationError, match="or is another one"):
        part(address(archive, source.name), other)


def test_without_digest_a_remote_file_is_told_by_object_id_and_compared(
    archive: StubArchive, source: Path, stored: Stored, tmp_path: Path
):
    stub = archive.add("plain.nwb", source.read_bytes())
    assert part(f"{archive.storage_url}/{stub.blob}?signature=secret", stored).object_id == object_id_of(source)
    edited = tmp_path / "edited.nwb"
    shutil.copy(source, edited)
    with h5py.File(edited, "r+") as file:
        file[SHOWN]["start_time"][0] += 1
    stub = archive.add("edited.nwb", edited.read_bytes())
    with pytest.raises(AnnotationError, match="in row 0, and 1 of 12 at other times"):
        part(f"{archive.storage_url}/{stub.blob}?signature=secret", stored)


def test_a_source_on_a_server_gets_a_companion(
    archive: StubArchive, source: Path, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    archive.add(f"sub-m1/{source.name}", source.read_bytes())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    out = annotated(address(archive, source.name), stored)  # type: ignore[arg-type]
    assert out == Path("sub-m1_ses-1_desc-mivae_ophys.nwb")
    assert read_annotations(out).source["sha256"] == sha256_of_file(source)
    assert [path.name for path in (tmp_path / "here").iterdir()] == [out.name]


@pytest.mark.parametrize("form", ["copy", "append"])
def test_a_source_on_a_server_is_neither_copied_nor_changed(stored: Stored, form: Any):
    with pytest.raises(AnnotationError, match="nwb-mivae download") as caught:
        annotated("dandi://000728/sub-1/sub-1_ophys.nwb", stored, form=form)  # type: ignore[arg-type]
    assert "companion" in (caught.value.remedy or "")
    with pytest.raises(AnnotationError) as caught:
        annotated("https://server.org/file.nwb?signature=secret", stored, form=form)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)
