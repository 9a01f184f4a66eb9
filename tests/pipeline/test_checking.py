from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import h5py
import pytest

from nwb_mivae import pipeline
from nwb_mivae.annotation.schema import KNOWN_SCHEMA
from nwb_mivae.errors import ArchiveError, ModelError
from tests.finished_run import FinishedRun


def checks(found: pipeline.CheckedFile) -> dict[str, str]:
    return {finding.check: finding.severity for finding in found.findings}


def test_the_annotated_files_of_a_run_can_be_uploaded(finished_run: FinishedRun) -> None:
    done: list[tuple[int, int]] = []
    checked = pipeline.check([finished_run.run], progress=lambda _, number, of: done.append((number, of)))

    assert [file.path.parent for file in checked] == [finished_run.run / "annotated"] * 3
    assert not any(file.blocks_upload for file in checked)
    assert done[-1] == (3, 3)


def test_results_of_other_weights_than_the_run_has_are_found(finished_run: FinishedRun, tmp_path: Path) -> None:
    mine = finished_run.copied_to(tmp_path)
    path = sorted((mine.run / "annotated").glob("*.nwb"))[-1]
    with h5py.File(path, "r+") as file:
        file["general/mivae/model"].attrs["weights_sha256"] = "ab" * 32

    first, *others = pipeline.check([mine.run])

    assert first.path == path  # what blocks an upload comes first
    assert checks(first)["nwb_mivae.weights"] == "error"
    (finding,) = [finding for finding in first.findings if finding.check == "nwb_mivae.weights"]
    assert "annotate again with this model" in finding.sentence
    assert "named itself, without the run, it can be published" in finding.sentence
    assert "ab" * 32 in finding.messages[0]
    assert not any(file.blocks_upload for file in others)
    # A folder of files is compared with a model only where one is named.
    assert not any(file.blocks_upload for file in pipeline.check([mine.run / "annotated"]))
    assert pipeline.check([path], model=mine.run / "model")[0].blocks_upload


def test_results_of_another_model_beside_those_of_this_one_are_no_fault(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    mine = finished_run.copied_to(tmp_path)
    path = sorted((mine.run / "annotated").glob("*.nwb"))[-1]
    with h5py.File(path, "r+") as file:
        file.copy("general/mivae", "general/mivae_2")
        file["general/mivae_2/model"].attrs["weights_sha256"] = "ab" * 32
        copied = file["general/mivae_2"]
        objects = [copied]
        copied.visititems(lambda _, item: objects.append(item))
        for item in objects:
            if "object_id" in item.attrs:
                item.attrs["object_id"] = str(uuid.uuid4())

    (found,) = (
        finding
        for file in pipeline.check([mine.run])
        if file.path == path
        for finding in file.findings
        if finding.check.startswith("nwb_mivae.")
    )

    assert (found.check, found.severity, found.blocks_upload) == ("nwb_mivae.other_results", "info", False)
    assert found.object_paths == ("general/mivae_2/model",)


def test_results_of_a_later_schema_are_said_to_be_known_in_part(finished_run: FinishedRun, tmp_path: Path) -> None:
    source = next((finished_run.run / "annotated").glob("*.nwb"))
    newer = Path(shutil.copy(source, tmp_path / source.name))
    with h5py.File(newer, "r+") as file:
        file["specifications/ndx-mivae"].move(KNOWN_SCHEMA, "99.0.0")

    (known,), (found,) = pipeline.check([source]), pipeline.check([newer])

    assert "nwb_mivae.newer_schema" not in checks(known)
    assert checks(found)["nwb_mivae.newer_schema"] == "warning"
    (finding,) = [finding for finding in found.findings if finding.check == "nwb_mivae.newer_schema"]
    assert "99.0.0" in finding.messages[0]
    assert "update nwb_mivae" in finding.sentence


def test_a_recording_without_results_has_none_to_compare(finished_run: FinishedRun) -> None:
    checked = pipeline.check([finished_run.recordings], model=finished_run.run / "model")

    assert len(checked) == 3
    for file in checked:
        assert checks(file)["nwb_mivae.no_results"] == "warning"
        assert not file.blocks_upload


def test_each_file_is_checked_once_and_what_is_hidden_not_at_all(finished_run: FinishedRun, tmp_path: Path) -> None:
    source = next(finished_run.recordings.rglob("*.nwb"))
    shutil.copy(source, tmp_path / "a.nwb")
    shutil.copy(source, tmp_path / ".a.1234.partial.nwb")
    (tmp_path / "notes.txt").write_text("not a recording")

    checked = pipeline.check([tmp_path, tmp_path / "a.nwb"])

    assert [file.path for file in checked] == [tmp_path / "a.nwb"]


def test_what_is_not_there_is_refused(finished_run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no such file"):
        pipeline.check([tmp_path / "missing.nwb"])
    with pytest.raises(ArchiveError, match="without NWB files"):
        pipeline.check([tmp_path])
    with pytest.raises(ModelError):
        pipeline.check([finished_run.recordings], model=tmp_path)
    (tmp_path / "run").mkdir()
    shutil.copy(finished_run.run / "provenance.json", tmp_path / "run")
    with pytest.raises(ArchiveError, match="nwb-mivae annotate"):
        pipeline.check([tmp_path / "run"])
