from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nwb_mivae import pipeline
from nwb_mivae.clips import ClipStore
from nwb_mivae.errors import ModelError, NwbMivaeError, OutputError, SessionError, StoreError, TrainingError
from nwb_mivae.inference import SessionLatents
from nwb_mivae.outputs import _machine, read_json, sha256_of_file
from nwb_mivae.pipeline.sources import nwb_files
from nwb_mivae.run import Run
from nwb_mivae.simulation import SimulationConfiguration
from tests.finished_run import FinishedRun, small_pipeline


def test_folders_are_searched_and_files_taken_once(tmp_path: Path):
    for name in ("b.nwb", "a.nwb", ".hidden.nwb", "note.txt"):
        (tmp_path / name).touch()
    assert nwb_files([tmp_path, tmp_path / "a.nwb"]) == [tmp_path / "a.nwb", tmp_path / "b.nwb"]


@pytest.mark.parametrize(("name", "words"), [("none", "no such file"), ("empty", "a folder without NWB files")])
def test_sources_without_recordings_are_refused(tmp_path: Path, name: str, words: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SessionError, match=words):
        nwb_files([tmp_path / name])


@pytest.mark.parametrize("step", [pipeline.evaluate, pipeline.attribute, pipeline.annotate, pipeline.report])
def test_a_step_without_training_says_what_to_run_first(step, tmp_path: Path):
    with pytest.raises(ModelError, match=r"found no trained model.*Run `nwb-mivae train` first"):
        step(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(ModelError, match=r"did not finish.*`nwb-mivae train --resume`"):
        step(tmp_path)


@pytest.mark.slow
def test_a_trained_run_that_lost_a_file_says_which(finished_run: FinishedRun, tmp_path: Path):
    mine = finished_run.copied_to(tmp_path)
    before = sha256_of_file(mine.run / "model" / "weights.safetensors")
    (mine.run / "model" / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"without model/weights\.safetensors.*train --resume") as refusal:
        pipeline.report(mine.run)
    assert "did not finish" not in str(refusal.value)
    # What is advised works, and gives the same weights.
    pipeline.train(mine.store, mine.run, resume=True)
    assert sha256_of_file(mine.run / "model" / "weights.safetensors") == before
    (mine.run / "split.json").unlink()
    with pytest.raises(ModelError, match=r"without split\.json.*Copy the run again, whole\.$"):
        pipeline.report(mine.run)


def test_a_checkpoint_that_was_being_replaced_is_found(tmp_path: Path):
    aside = tmp_path / f".checkpoint.{_machine()}-{2**22 + 1}-0123abcd.replaced.partial"
    aside.mkdir()
    with pytest.raises(ModelError, match="did not finish"):
        pipeline.report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_what_is_broken_is_reported_and_the_rest_goes_on(tmp_path: Path):
    (tmp_path / "broken.nwb").write_bytes(b"not HDF5")
    described, refused = pipeline.inspect([tmp_path])
    assert described == []
    assert [problem.file for problem in refused] == [str(tmp_path / "broken.nwb")]


@pytest.mark.slow
def test_a_finished_run_holds_every_part_and_says_where_it_came_from(finished_run: FinishedRun):
    run = Run.at(finished_run.run)
    keys = sorted(ClipStore.open(finished_run.store).sessions)
    assert len(keys) == 3
    assert sorted(path.stem for path in run.latents.iterdir()) == keys
    for folder in (run.fingerprints, run.attribution, run.subpopulations, run.regions):
        assert sorted(path.stem for path in folder.iterdir()) == keys
    assert len(list(run.annotated.glob("*desc-mivae*.nwb"))) == 3
    record = json.loads(run.provenance.read_text())
    assert set(record["steps"]) == {"train", "evaluate", "latents", "fingerprints", "attribute", "annotate"}
    digest = sha256_of_file(run.model / "weights.safetensors")
    assert {step["weights_sha256"] for step in record["steps"].values()} == {digest}
    assert record["steps"]["train"]["store_path"] == "../store"
    assert pipeline.PipelineConfiguration.from_yaml(run.configuration) == small_pipeline()
    figures = json.loads((finished_run.run.parent / "demo.json").read_text())
    assert figures["seconds"]["total"] == pytest.approx(
        sum(seconds for name, seconds in figures["seconds"].items() if name != "total"), abs=0.1
    )
    assert figures["held_out"]["with_context"]["sessions"] == 1


@pytest.mark.slow
def test_annotated_copies_hold_what_the_run_holds(finished_run: FinishedRun):
    from nwb_mivae import read_annotations

    run = Run.at(finished_run.run)
    path = sorted(run.annotated.glob("*.nwb"))[0]
    annotations = read_annotations(path)
    latents = SessionLatents.load(sorted(run.latents.iterdir())[0])
    np.testing.assert_allclose(
        annotations.blocks["neural_shared"].mean, latents.blocks["neural_shared"].mean, rtol=1e-6
    )


@pytest.mark.slow
def test_the_demo_refuses_a_folder_that_holds_something(finished_run: FinishedRun, tmp_path: Path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match="a folder that is not empty"):
        pipeline.demo(tmp_path)
    with pytest.raises(OutputError, match="a folder that is not empty"):
        pipeline.demo(tmp_path / "mine.txt")


@pytest.mark.slow
def test_training_into_a_finished_run_is_refused(finished_run: FinishedRun):
    with pytest.raises(OutputError, match=r"a run with a model in it.*--resume"):
        pipeline.train(finished_run.store, finished_run.run)


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_under_its_own_settings(finished_run: FinishedRun, tmp_path: Path):
    settings = small_pipeline().changed({"clips.height": 99})

    class StopError(Exception):
        pass

    def stop(description: str, done: int, total: int) -> None:
        if done == 4:
            raise StopError

    with pytest.raises(StopError):
        pipeline.train(finished_run.store, tmp_path / "run", configuration=settings, progress=stop)
    with pytest.raises(ModelError, match="did not finish"):
        pipeline.TrainedRun.open(tmp_path / "run", finished_run.store)
    trained = pipeline.train(finished_run.store, tmp_path / "run", resume=True)
    assert trained.configuration == small_pipeline()  # how the store was prepared is the store's to say
    weights = Run.at(tmp_path / "run").model / "weights.safetensors"
    assert sha256_of_file(weights) == sha256_of_file(Run.at(finished_run.run).model / "weights.safetensors")


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_is_begun_again(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    run = Run.at(copy.run)
    digest = sha256_of_file(run.model / "weights.safetensors")
    shutil.rmtree(run.checkpoint)
    shutil.rmtree(run.model)
    pipeline.train(copy.store, copy.run, resume=True)
    assert sha256_of_file(run.model / "weights.safetensors") == digest


@pytest.mark.slow
def test_going_on_with_a_finished_run_keeps_its_results(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    run = Run.at(copy.run)
    before = read_json(run.provenance)["steps"]
    trained = pipeline.train(copy.store, copy.run, resume=True)
    after = read_json(run.provenance)["steps"]
    assert {**before, "train": None} == {**after, "train": None}
    assert trained.current_folder("latents", run.latents).is_dir()
    assert trained.current_folder("attribute", run.attribution).is_dir()


@pytest.mark.slow
def test_there_must_be_something_to_resume(finished_run: FinishedRun, tmp_path: Path):
    with pytest.raises(OutputError, match="no run to go on with"):
        pipeline.train(finished_run.store, tmp_path / "run", resume=True)
    copy = finished_run.copied_to(tmp_path)
    shutil.rmtree(copy.run / "checkpoint")
    with pytest.raises(TrainingError, match="no checkpoint"):
        pipeline.train(copy.store, copy.run, resume=True)


@pytest.mark.slow
def test_steps_can_be_repeated_for_one_session(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    key = sorted(ClipStore.open(copy.store).sessions)[0]
    before = sorted((copy.run / "annotated").iterdir())
    again = pipeline.attribute(copy.run, sessions=[key], settings=["attribution.clips=1"])
    assert list(again) == [key]
    assert len(again[key].attribution.time) == 8
    written, refused = pipeline.annotate(copy.run, sessions=[key])
    assert (len(written), refused) == (1, [])
    assert sorted((copy.run / "annotated").iterdir()) == before
    evaluation = pipeline.evaluate(copy.run, settings=["evaluation.clips=2"])
    assert evaluation.n_clips == 2


@pytest.mark.slow
def test_what_cannot_be_found_is_recorded_and_what_was_found_before_is_removed(
    finished_run: FinishedRun, tmp_path: Path
):
    copy = finished_run.copied_to(tmp_path)
    run = Run.at(copy.run)
    first, second, third = sorted(ClipStore.open(copy.store).sessions)
    told: list[tuple[str, int, int]] = []
    found = pipeline.attribute(
        run.directory,
        sessions=[first],
        settings=["attribution.to=[neurons]", "attribution.methods=[fisher]"],
        progress=lambda *facts: told.append(facts),
    )[first]
    assert found.regions is None
    assert found.not_found == {"regions": "latents were traced to neurons alone (attribution.to)"}
    assert found.in_words()["regions"].startswith("none, since latents were traced to neurons alone")
    assert ("Finding subpopulations", 1, 1) in told
    assert "Finding stimulus regions" not in {description for description, *_ in told}
    pipeline.attribute(
        run.directory,
        sessions=[second],
        settings=["attribution.to=[pixels]", "attribution.methods=[gradient]", "regions.permutations=100"],
    )
    assert sorted(path.stem for path in run.regions.iterdir()) == [third]
    assert sorted(path.stem for path in run.subpopulations.iterdir()) == [first, third]
    assert sorted(path.stem for path in run.attribution.iterdir()) == [first, second, third]
    record = read_json(run.provenance)["steps"]["attribute"]
    assert set(record["not_found"]) == {first, second}
    assert "pixels alone" in record["not_found"][second]["subpopulations"]
    assert "found from fisher, and latents were traced by gradient" in record["not_found"][second]["regions"]
    assert record["regions"]["permutations"] == 100
    text = pipeline.report(run.directory).read_text(encoding="utf-8")
    assert "No stimulus regions: latents were traced to neurons alone" in text
    again = pipeline.attribute(run.directory, sessions=[first])[first]
    assert again.not_found == {}
    assert again.regions is not None
    assert set(read_json(run.provenance)["steps"]["attribute"]["not_found"]) == {second}


@pytest.mark.slow
def test_results_of_other_weights_are_not_used(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    record = json.loads((copy.run / "provenance.json").read_text())
    for step in ("latents", "attribute"):
        record["steps"][step]["weights_sha256"] = "0" * 64
    (copy.run / "provenance.json").write_text(json.dumps(record))
    key = sorted(ClipStore.open(copy.store).sessions)[0]
    written, refused = pipeline.annotate(copy.run, sessions=[key], out=tmp_path / "copies")
    assert refused == []
    assert written[0].parent == tmp_path / "copies"
    assert [path.stem for path in (copy.run / "latents").iterdir()] == [key]
    assert not (copy.run / "attribution").exists()
    again = pipeline.attribute(copy.run, sessions=[key], settings=["attribution.clips=1"])
    assert list(again) == [key]
    for folder in ("attribution", "subpopulations", "regions"):
        assert [path.stem for path in (copy.run / folder).iterdir()] == [key]


@pytest.mark.slow
def test_an_unknown_session_is_refused_with_the_known_ones(finished_run: FinishedRun):
    with pytest.raises(StoreError, match="no session sub-x; expected one of sub-sim"):
        pipeline.attribute(finished_run.run, sessions=["sub-x"])


@pytest.mark.slow
def test_moved_recordings_are_found_by_name_or_missed_by_name(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    manifest = json.loads((copy.store / "manifest.json").read_text())
    for entry in manifest["sessions"].values():
        (file,) = entry["source"]["files"]
        file["path"] = "/nowhere/" + Path(file["path"]).name
    (copy.store / "manifest.json").write_text(json.dumps(manifest))
    key = sorted(manifest["sessions"])[0]
    written, refused = pipeline.annotate(copy.run, sessions=[key])
    assert written == []
    assert "--source-folder" in str(refused[0])
    written, refused = pipeline.annotate(copy.run, sessions=[key], source_folder=finished_run.recordings)
    assert (len(written), refused) == (1, [])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "other.nwb").touch()
    written, refused = pipeline.annotate(copy.run, sessions=[key], source_folder=tmp_path / "other")
    assert written == []
    assert "0 files named" in str(refused[0])


@pytest.mark.slow
def test_a_run_finds_its_store_and_refuses_another(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    assert pipeline.TrainedRun.open(copy.run).store.path.resolve() == copy.store.resolve()
    manifest = json.loads((copy.store / "manifest.json").read_text())
    manifest["configuration"]["clips"]["blank_luminance"] = 1
    (copy.store / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="other than the one this run was trained on"):
        pipeline.report(copy.run)
    assert pipeline.TrainedRun.open(copy.run, finished_run.store).store.path == finished_run.store
    record = json.loads((copy.run / "provenance.json").read_text())
    del record["steps"]
    (copy.run / "provenance.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match=r"does not say where its clip store lies.*--store"):
        pipeline.report(copy.run)


@pytest.mark.slow
def test_a_store_that_was_moved_is_asked_for_by_its_option(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    copy.store.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"no clip store where it lay.*--store") as refusal:
        pipeline.report(copy.run)
    assert refusal.value.file == str(copy.store.resolve())
    assert pipeline.report(copy.run, store=tmp_path / "elsewhere").is_file()


@pytest.mark.slow
def test_animals_already_there_are_not_simulated_again(finished_run: FinishedRun):
    before = sorted(finished_run.recordings.rglob("*"))
    with pytest.raises(NwbMivaeError, match="already there"):
        pipeline.simulate(finished_run.recordings, SimulationConfiguration(animals=1))
    assert sorted(finished_run.recordings.rglob("*")) == before
