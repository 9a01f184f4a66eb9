from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nwb_mivae.annotation import ModelRecord, TrainingSession
from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.provenance import provenance_record
from tests.annotation.sources import replace, stored_for, write_source


def test_a_record_names_the_weights_and_the_sessions(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"weights")
    (tmp_path / "model" / "model.json").write_text('{"nwb_mivae": "0.0.7", "configuration": {"latents": 12}}')
    stored = stored_for(write_source(tmp_path / "a.nwb"))
    record = ModelRecord.of_folder(tmp_path / "model", [stored])
    assert record.name == "miVAE"
    assert record.code_version == "0.0.7", "the version that trained the model, not the one that annotates"
    assert record.weights_sha256 == sha256_of_file(tmp_path / "model" / "weights.safetensors")
    assert json.loads(record.configuration) == {"nwb_mivae": "0.0.7", "configuration": {"latents": 12}}
    (session,) = record.training_sessions
    assert session == TrainingSession("identifier-of-a", "source-object", "m1", "a.nwb", stored.source["sha256"], "")


def test_the_command_line_and_the_machine_stay_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    private = "/mnt/alice/unpublished"
    monkeypatch.setattr(sys, "argv", ["nwb-mivae", "train", f"{private}/store", "--out", f"{private}/run"])
    saved = {
        "format": 1,
        "shape": {"height": 36},
        "configuration": {"latents": 12},
        "provenance": provenance_record(
            split={"configuration": {"seed": 3}, "part_of_content": [1] * 1000}, training={"steps": 3}, store="ab" * 32
        ),
    }
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    (tmp_path / "model.json").write_text(json.dumps(saved))
    text = ModelRecord.of_folder(tmp_path, []).configuration
    assert private not in text
    assert saved["provenance"]["platform"] not in text
    shared = json.loads(text)
    assert (shared["shape"], shared["configuration"]) == (saved["shape"], saved["configuration"])
    assert shared["provenance"]["training"] == {"steps": 3}
    assert shared["provenance"]["split"] == {"seed": 3}


@pytest.mark.parametrize("path", ["/mnt/someone/data/a.nwb", "C:\\data\\a.nwb", "a.nwb"])
def test_folders_of_somebodys_machine_are_left_out(tmp_path: Path, path: str):
    stored = stored_for(write_source(tmp_path / "a.nwb"))
    file = {**stored.source["files"][0], "path": path, "asset": "dandi:000728/0.1/a.nwb"}
    stored = replace(stored, source={**stored.source, "files": [file]})
    (session,) = TrainingSession.files_of(stored)
    assert (session.file_name, session.asset) == ("a.nwb", "dandi:000728/0.1/a.nwb")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"weights.safetensors": b"w"},
        {"weights.safetensors": b"w", "model.json": b"{"},
        {"weights.safetensors": b"w", "model.json": b"[]"},
    ],
)
def test_a_folder_without_a_model_is_refused(tmp_path: Path, files: dict[str, bytes]):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnotationError, match="a folder that holds no saved model"):
        ModelRecord.of_folder(tmp_path, [])
