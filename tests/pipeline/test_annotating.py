"""A run's results in every form, beside results of other weights, and for recordings that stay on their server."""

from __future__ import annotations

import os
import shutil
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from pynwb import NWBHDF5IO

from nwb_mivae import MiVAE, pipeline, read_annotations
from nwb_mivae.annotation import annotate, annotation_names
from nwb_mivae.annotation.backends import HDF5Backend
from nwb_mivae.annotation.snapshot import Snapshot
from nwb_mivae.clips import ClipStore
from nwb_mivae.errors import AnnotationError
from nwb_mivae.model import save_module
from nwb_mivae.outputs import read_json, sha256_of_file, whole_file, write_json
from nwb_mivae.pipeline import TrainedRun, annotated_outputs, annotating, record
from nwb_mivae.pipeline.annotated_outputs import AnnotatedOutputs, Contents
from nwb_mivae.run import Run
from tests.archive.stub_archive import StubArchive
from tests.finished_run import FinishedRun

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(finished_run: FinishedRun, tmp_path: Path) -> FinishedRun:
    return finished_run.copied_to(tmp_path)


@pytest.fixture
def key(copy: FinishedRun) -> str:
    return sorted(ClipStore.open(copy.store).sessions)[0]


def train_differently(run: Path) -> None:
    """Other weights in the same run, as if somebody had trained it again."""
    trained = TrainedRun.open(run)
    with torch.no_grad():
        for parameter in trained.module.parameters():
            parameter.mul_(1.01)
    save_module(trained.module, trained.run.model, provenance=read_json(trained.run.model / "model.json")["provenance"])


def test_everything_a_run_has_is_in_its_annotated_files(finished_run: FinishedRun):
    for path in sorted((finished_run.run / "annotated").iterdir()):
        annotations = read_annotations(path)
        assert annotations.form == "copy"
        assert annotations.fingerprints is not None
        assert annotations.attribution is not None
        assert annotations.subpopulations is not None
        assert {"with_context", "untrained", "shuffled_pairs"} <= set(annotations.metrics["condition"])
        annotations.model.check(finished_run.run)


def test_the_same_weights_replace_their_own_output_and_no_other(copy: FinishedRun, key: str, tmp_path: Path):
    (first,), _ = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out")
    (again,), _ = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out")
    assert again == first
    before = sha256_of_file(first)
    train_differently(copy.run)
    (second,), refused = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out")
    assert refused == []
    assert "_desc-mivae-2" in second.name
    assert sha256_of_file(first) == before
    assert annotation_names(second) == ["mivae_2"]
    written, (problem,) = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out", name="mivae")
    assert written == []
    assert "another model" in str(problem)
    assert sha256_of_file(first) == before


def test_results_that_somebody_added_to_an_output_are_not_lost(copy: FinishedRun, key: str, tmp_path: Path):
    (first,), _ = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out")
    shutil.copytree(copy.run / "model", tmp_path / "model")
    train_differently(copy.run)
    store = ClipStore.open(copy.store)
    MiVAE.load(copy.run, store).annotate(key, first, form="append")
    assert annotation_names(first) == ["mivae", "mivae_2"]
    shutil.rmtree(copy.run / "model")
    shutil.copytree(tmp_path / "model", copy.run / "model")
    (second,), refused = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out")
    assert refused == []
    assert second != first
    assert annotation_names(first) == ["mivae", "mivae_2"]


def move_sources(store: Path, places: dict[str, Path]) -> None:
    """Let a store name other places of its recordings, as if they had been prepared from there."""
    manifest = read_json(store / "manifest.json")
    for key, place in places.items():
        (file,) = manifest["sessions"][key]["source"]["files"]
        file["path"] = str(place)
    write_json(store / "manifest.json", manifest)


def recording_of(run: FinishedRun, key: str) -> Path:
    name = Path(ClipStore.open(run.store).sessions[key].source["path"]).name
    return next(path for path in run.recordings.rglob("*.nwb") if path.name == name)


def session_in(path: Path) -> str:
    with h5py.File(path, "r") as file:
        return str(file["identifier"].asstr()[()])


def processing_module(path: Path, name: str) -> None:
    with NWBHDF5IO(path, "r+") as io:
        nwbfile = io.read()
        nwbfile.create_processing_module(name, "somebody's own work")
        io.write(nwbfile)


def test_what_a_user_added_to_a_copy_is_not_lost(copy: FinishedRun, key: str, tmp_path: Path):
    wanted = {"sessions": [key], "out": tmp_path / "out"}
    (first,), _ = pipeline.annotate(copy.run, **wanted)
    processing_module(first, "my_analysis")
    before = sha256_of_file(first)
    notes: list[str] = []
    (second,), refused = pipeline.annotate(copy.run, **wanted, note=notes.append)
    assert refused == []
    assert second != first
    assert sha256_of_file(first) == before
    assert notes == [f"{first} stays as it is: it was changed since this run wrote it. The results go to {second}."]
    # The output beside it is the run's own, and made again in its place.
    assert pipeline.annotate(copy.run, **wanted) == ([second], [])
    _, (problem,) = pipeline.annotate(copy.run, **wanted, name="mivae")
    assert "changed since" in str(problem)
    assert sha256_of_file(first) == before


def test_an_output_of_another_form_is_not_replaced(copy: FinishedRun, key: str, tmp_path: Path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    # Of this name a copy and a companion are called alike.
    shutil.copy(recording_of(copy, key), folder / f"{key}_ophys.nwb")
    move_sources(copy.store, {key: folder / f"{key}_ophys.nwb"})
    wanted = {"sessions": [key], "out": tmp_path / "out"}
    (full,), _ = pipeline.annotate(copy.run, **wanted, form="copy")
    before = sha256_of_file(full)
    (light,), refused = pipeline.annotate(copy.run, **wanted, form="companion")
    assert refused == []
    assert light != full
    assert sha256_of_file(full) == before
    assert pipeline.annotate(copy.run, **wanted, form="companion") == ([light], [])
    assert pipeline.annotate(copy.run, **wanted, form="copy") == ([full], [])


def test_of_two_recordings_of_one_name_each_has_its_own_output(copy: FinishedRun, tmp_path: Path):
    keys = sorted(ClipStore.open(copy.store).sessions)[:2]
    folder = tmp_path / "recordings"
    places = []
    for key in keys:
        (folder / key).mkdir(parents=True)
        places.append(Path(shutil.copy(recording_of(copy, key), folder / key / "recording.nwb")))
    move_sources(copy.store, dict(zip(keys, places, strict=True)))
    wanted = {"out": tmp_path / "out"}
    (first, second), refused = pipeline.annotate(copy.run, sessions=keys, **wanted)
    assert refused == []
    assert first != second
    before = [session_in(path) for path in (first, second)]
    assert len(set(before)) == 2
    for key in keys:
        (again,), _ = pipeline.annotate(copy.run, sessions=[key], **wanted)
        assert again in (first, second)
        assert [session_in(path) for path in (first, second)] == before


def test_what_a_run_of_an_earlier_version_wrote_is_not_replaced(copy: FinishedRun, key: str, tmp_path: Path):
    wanted = {"sessions": [key], "out": tmp_path / "out"}
    (first,), _ = pipeline.annotate(copy.run, **wanted)
    before = sha256_of_file(first)
    known = read_json(copy.run / "provenance.json")
    del known["steps"]["annotate"]["outputs"]
    write_json(copy.run / "provenance.json", known)
    (second,), _ = pipeline.annotate(copy.run, **wanted)
    assert sha256_of_file(first) == before
    assert annotation_names(second) == ["mivae_2"]
    assert pipeline.annotate(copy.run, **wanted) == ([second], [])


def test_programs_that_annotate_a_run_at_once_keep_each_others_records(copy: FinishedRun, key: str):
    run = Run.at(copy.run)
    one, other = AnnotatedOutputs(run), AnnotatedOutputs(run)
    (file,) = ClipStore.open(copy.store).sessions[key].source["files"]
    contents = Contents.of(file, form="copy", name="mivae", weights_sha256="ab" * 32)
    places = [copy.run / "one.nwb", copy.run / "other.nwb"]
    for outputs, place in zip((one, other), places, strict=True):
        write(outputs, place, contents)
    for place in places:
        assert AnnotatedOutputs(run).why_kept(place, contents) is None
        assert "no record" in str(AnnotatedOutputs(run).why_kept(place.with_name("third.nwb"), contents))


def write(outputs: AnnotatedOutputs, place: Path, contents: Contents, text: str = "") -> None:
    """An output that is recorded and put in its place, as annotating does it."""
    there = Snapshot.of(place) if place.exists() else None
    assert there is None or outputs.why_kept(place, contents) is None
    recording = partial(outputs.add, place, contents, replaces=there, files=[place.name])
    with whole_file(place, before_placing=lambda beside: recording(beside=beside)) as beside:
        beside.write_text(text or place.name)


@pytest.fixture
def small_run(tmp_path: Path) -> Run:
    """No more of a run than a record needs."""
    run = Run.at(tmp_path / "run")
    run.model.mkdir(parents=True)
    (run.model / "weights.safetensors").write_bytes(b"weights")
    write_json(run.provenance, {})
    return run


OF_ONE = Contents("ab" * 32, "", "", "copy", "mivae", "cd" * 32)


def test_no_record_is_lost_while_another_program_reads_an_output(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one, other = AnnotatedOutputs(small_run), AnnotatedOutputs(small_run)
    digest = annotated_outputs._digest

    def slow(path: Path) -> str:
        monkeypatch.setattr(annotated_outputs, "_digest", digest)
        write(other, tmp_path / "other.nwb", OF_ONE)
        return digest(path)

    monkeypatch.setattr(annotated_outputs, "_digest", slow)
    write(one, tmp_path / "one.nwb", OF_ONE)
    for name in ("one.nwb", "other.nwb"):
        assert AnnotatedOutputs(small_run).why_kept(tmp_path / name, OF_ONE) is None


def test_nothing_that_another_program_records_meanwhile_is_lost(small_run: Run, monkeypatch: pytest.MonkeyPatch):
    """As the steps of a run that two programs work on: each reads the record, adds to it and writes it."""
    written = record.write_json

    def slowly(path: Path, values: dict[str, Any]) -> None:
        time.sleep(0.05)
        written(path, values)

    monkeypatch.setattr(record, "write_json", slowly)
    threads = [threading.Thread(target=record.record_step, args=(small_run, f"step {n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_json(small_run.provenance)["steps"]) == {f"step {n}" for n in range(4)}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("placed", [True, False])
def test_what_a_killed_program_was_about_to_place_is_still_the_runs_own(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool, placed: bool
):
    place = tmp_path / "out.nwb"
    if not first:
        write(AnnotatedOutputs(small_run), place, OF_ONE, "before")
    with monkeypatch.context() as killing:
        replace = os.replace

        def killed(source: Path, target: Path) -> None:
            if placed or Path(target) != place:
                replace(source, target)
            if Path(target) == place:
                raise KeyboardInterrupt

        killing.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write(AnnotatedOutputs(small_run), place, OF_ONE, "after")
    assert place.exists() or first
    if place.exists():
        assert place.read_text() == ("after" if placed else "before")
        assert AnnotatedOutputs(small_run).why_kept(place, OF_ONE) is None
    write(AnnotatedOutputs(small_run), place, OF_ONE, "again")
    place.write_text("a user's own")
    assert "changed since" in str(AnnotatedOutputs(small_run).why_kept(place, OF_ONE))


@pytest.mark.parametrize("there", [True, False])
def test_what_is_changed_while_an_output_is_written_is_kept(small_run: Run, tmp_path: Path, there: bool):
    place = tmp_path / "out.nwb"
    if there:
        write(AnnotatedOutputs(small_run), place, OF_ONE)
    outputs = AnnotatedOutputs(small_run)
    before = Snapshot.of(place) if there else None
    assert not there or outputs.why_kept(place, OF_ONE) is None
    # The same output, written by another program of the same run.
    write(AnnotatedOutputs(small_run), place, OF_ONE, "the other program's")
    beside = tmp_path / "beside.nwb"
    beside.write_text("hours of work")
    with pytest.raises(AnnotationError, match="another program"):
        outputs.add(place, OF_ONE, beside=beside, replaces=before, files=[])
    assert place.read_text() == "the other program's"
    assert AnnotatedOutputs(small_run).why_kept(place, OF_ONE) is None


def test_an_output_that_was_placed_when_the_program_ended_is_made_again_in_its_place(
    copy: FinishedRun, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wanted = {"sessions": [key], "out": tmp_path / "out"}
    written: list[Path] = []

    def ended(*given: Any, **settings: Any) -> None:
        written.append(annotate(*given, **settings))
        raise KeyboardInterrupt

    for _ in range(2):  # the first is new, the second replaces it
        with monkeypatch.context() as ending:
            ending.setattr(annotating, "write_annotation", ended)
            with pytest.raises(KeyboardInterrupt):
                pipeline.annotate(copy.run, **wanted)
    assert pipeline.annotate(copy.run, **wanted) == ([written[0]], [])
    assert written[0] == written[1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [written[0].name]


def test_what_a_user_adds_to_a_copy_while_it_is_written_anew_is_not_lost(
    copy: FinishedRun, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wanted = {"sessions": [key], "out": tmp_path / "out"}
    (first,), _ = pipeline.annotate(copy.run, **wanted)
    export = HDF5Backend.export

    def meanwhile(*given: Any, **settings: Any) -> None:
        processing_module(first, "my_analysis")
        export(*given, **settings)

    with monkeypatch.context() as changing:
        changing.setattr(HDF5Backend, "export", meanwhile)
        written, (problem,) = pipeline.annotate(copy.run, **wanted)
    assert written == []
    assert "another program changed" in str(problem)
    with h5py.File(first, "r") as file:
        assert "my_analysis" in file["processing"]


def test_a_source_with_two_results_is_annotated_by_a_run_trained_again(copy: FinishedRun, key: str, tmp_path: Path):
    folder = tmp_path / "recordings"
    shutil.copytree(copy.recordings, folder)
    for _ in range(2):
        pipeline.annotate(copy.run, sessions=[key], source_folder=folder, form="append")
        train_differently(copy.run)
    wanted = {"sessions": [key], "source_folder": folder, "out": tmp_path / "out", "form": "copy"}
    (first,), refused = pipeline.annotate(copy.run, **wanted)
    assert refused == []
    assert annotation_names(first) == ["mivae", "mivae_2", "mivae_3"]
    train_differently(copy.run)
    (second,), refused = pipeline.annotate(copy.run, **wanted)
    assert refused == []
    assert annotation_names(second) == ["mivae", "mivae_2", "mivae_4"]
    assert annotation_names(first) == ["mivae", "mivae_2", "mivae_3"]


def test_of_a_source_with_results_the_same_output_is_made_again(copy: FinishedRun, key: str, tmp_path: Path):
    folder = tmp_path / "recordings"
    shutil.copytree(copy.recordings, folder)
    pipeline.annotate(copy.run, sessions=[key], source_folder=folder, form="append")
    train_differently(copy.run)
    wanted = {"sessions": [key], "source_folder": folder, "out": tmp_path / "out", "form": "copy"}
    written, _ = pipeline.annotate(copy.run, **wanted)
    assert pipeline.annotate(copy.run, **wanted) == (written, [])
    assert annotation_names(written[0]) == ["mivae", "mivae_2"]


def test_a_name_that_is_none_is_refused_once_and_before_anything_is_read(tmp_path: Path):
    with pytest.raises(AnnotationError, match="lower-case"):
        pipeline.annotate(tmp_path / "no-run", name="No name")


def test_a_file_that_is_no_annotation_is_left_alone(copy: FinishedRun, key: str, tmp_path: Path):
    (first,), _ = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out")
    first.write_bytes(b"somebody's own")
    (second,), _ = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out")
    assert first.read_bytes() == b"somebody's own"
    assert second != first


def test_appended_results_are_in_the_recording_itself(copy: FinishedRun, key: str, tmp_path: Path):
    folder = tmp_path / "recordings"
    shutil.copytree(copy.recordings, folder)
    written, refused = pipeline.annotate(copy.run, sessions=[key], source_folder=folder, form="append")
    assert refused == []
    assert read_annotations(written[0]).form == "append"
    assert folder in written[0].parents
    _, (problem,) = pipeline.annotate(copy.run, sessions=[key], source_folder=folder, form="append")
    assert isinstance(problem, AnnotationError)
    train_differently(copy.run)
    assert pipeline.annotate(copy.run, sessions=[key], source_folder=folder, form="append") == (written, [])
    assert annotation_names(written[0]) == ["mivae", "mivae_2"]
    with pytest.raises(AnnotationError, match="no output folder"):
        pipeline.annotate(copy.run, form="append", out=tmp_path / "out")


def test_zarr_holds_the_same(copy: FinishedRun, key: str, tmp_path: Path):
    (plain,), _ = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out", form="companion")
    (folder,), refused = pipeline.annotate(
        copy.run, sessions=[key], out=tmp_path / "out", form="companion", backend="zarr"
    )
    assert refused == []
    assert folder.is_dir()
    assert folder.name == plain.name + ".zarr"
    ours, theirs = read_annotations(plain), read_annotations(folder)
    for block in ours.blocks:
        assert (ours.blocks[block].mean == theirs.blocks[block].mean).all()
    assert ours.metrics.equals(theirs.metrics)


def test_a_recording_on_a_server_gets_a_companion(
    copy: FinishedRun, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in {
        "HOME": str(tmp_path), "NWB_MIVAE_CACHE": str(tmp_path / "cache"), "DANDI_NO_ET": "1", "DANDI_CACHE": "ignore",
        "NO_PROXY": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with StubArchive() as archive:
        manifest = read_json(copy.store / "manifest.json")
        (file,) = manifest["sessions"][key]["source"]["files"]
        recording = next(path for path in copy.recordings.rglob("*.nwb") if path.name == Path(file["path"]).name)
        asset = archive.add(f"sub-x/{recording.name}", recording.read_bytes())
        address = f"dandi+{archive.url}/000999@draft/sub-x/{recording.name}#asset={asset.asset_id}"
        file["path"] = file["asset"] = address
        write_json(copy.store / "manifest.json", manifest)
        _, (problem,) = pipeline.annotate(copy.run, sessions=[key], form="copy")
        assert "companion" in str(problem)
        (written,), refused = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "out")
    assert refused == []
    annotations = read_annotations(written)
    assert annotations.form == "companion"
    assert annotations.source["asset_id"] == asset.asset_id
    assert annotations.source["dandiset_id"] == "000999"
    with h5py.File(written, "r") as file:
        assert "processing/ophys/ImageSegmentation" in file
        assert "processing/ophys/DfOverF" not in file
        assert len(file["stimulus/templates"]) == 0
