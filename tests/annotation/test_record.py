from __future__ import annotations

from pathlib import Path

import pytest

from nwb_mivae.annotation import ModelRecord, TrainingSession
from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.provenance import package_version
from tests.annotation.sources import replace, stored_for, write_source


def test_a_record_names_the_weights_and_the_sessions(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"weights")
    (tmp_path / "model" / "model.json").write_text('{"latents": 12}')
    stored = stored_for(write_source(tmp_path / "a.nwb"))
    record = ModelRecord.of_folder(tmp_path / "model", [stored])
    assert record.name == "miVAE"
    assert record.code_version == package_version()
    assert record.weights_sha256 == sha256_of_file(tmp_path / "model" / "weights.safetensors")
    assert record.configuration == '{"latents": 12}'
    (session,) = record.training_sessions
    assert session == TrainingSession("identifier-of-a", "source-object", "m1", "a.nwb", stored.source["sha256"], "")


@pytest.mark.parametrize("path", ["/home/someone/data/a.nwb", "C:\\data\\a.nwb", "a.nwb"])
def test_folders_of_somebodys_machine_are_left_out(tmp_path: Path, path: str):
    stored = stored_for(write_source(tmp_path / "a.nwb"))
    stored = replace(stored, source={**stored.source, "path": path, "asset": "dandi:000728/0.1/a.nwb"})
    session = TrainingSession.of(stored)
    assert (session.file_name, session.asset) == ("a.nwb", "dandi:000728/0.1/a.nwb")


@pytest.mark.parametrize(
    "files", [{}, {"weights.safetensors": b"w"}, {"weights.safetensors": b"w", "model.json": b"{"}]
)
def test_a_folder_without_a_model_is_refused(tmp_path: Path, files: dict[str, bytes]):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnotationError, match="a folder that holds no saved model"):
        ModelRecord.of_folder(tmp_path, [])
