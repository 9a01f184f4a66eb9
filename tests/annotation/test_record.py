from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nwb_mivae.annotation import ModelRecord, TrainingSession
from nwb_mivae.annotation.record import asset_parts
from nwb_mivae.archive import Asset
from nwb_mivae.archive.asset import asset_address
from nwb_mivae.errors import AnnotationError, ModelError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.provenance import provenance_record
from nwb_mivae.run import Run
from tests.annotation.sources import replace, stored_for, write_source


def save(folder: Path, **description: object) -> Path:
    """What ``save_module`` writes, with weights that are none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    digest = sha256_of_file(folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps({**description, "weights_sha256": digest}))
    return folder


def test_a_record_names_the_weights_and_the_sessions(tmp_path: Path):
    save(tmp_path / "model", nwb_mivae="0.0.7", configuration={"latents": 12})
    stored = stored_for(write_source(tmp_path / "a.nwb"))
    record = ModelRecord.of_folder(tmp_path / "model", [stored])
    assert record.name == "miVAE"
    assert record.code_version == "0.0.7", "the version that trained the model, not the one that annotates"
    assert record.weights_sha256 == sha256_of_file(tmp_path / "model" / "weights.safetensors")
    assert json.loads(record.configuration) == {"nwb_mivae": "0.0.7", "configuration": {"latents": 12}}
    (session,) = record.training_sessions
    assert session == TrainingSession("identifier-of-a", "source-object", "m1", "a.nwb", stored.source["sha256"])


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
    save(tmp_path, **saved)
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
    stored = replace(stored, source={**stored.source, "files": [{**stored.source["files"][0], "path": path}]})
    (session,) = TrainingSession.files_of(stored)
    assert session.file_name == "a.nwb"


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        (
            "dandi://000728@0.240827.1809/sub-1/a.nwb#asset=12ab-34cd",
            ("dandi", "000728", "0.240827.1809", "sub-1/a.nwb", "12ab-34cd"),
        ),
        (
            "dandi://dandi-sandbox/000728@draft/sub-1/a.nwb#asset=12ab",
            ("dandi-sandbox", "000728", "draft", "sub-1/a.nwb", "12ab"),
        ),
        (
            "dandi+https://archive.example/api/000728@draft/a.nwb#asset=12ab",
            ("https://archive.example/api", "000728", "draft", "a.nwb", "12ab"),
        ),
        ("dandi://000728/a.nwb", ("dandi", "000728", "", "a.nwb", "")),
        (None, ("", "", "", "", "")),
        ("dandi:000728/0.1/a.nwb", ("", "", "", "", "")),
        ("dandi://000728@draft/../a.nwb", ("", "", "", "", "")),
    ],
)
def test_where_an_asset_lies_is_told_in_parts(tmp_path: Path, address: str | None, parts: tuple[str, ...]):
    stored = stored_for(write_source(tmp_path / "a.nwb"))
    stored = replace(stored, source={**stored.source, "files": [{**stored.source["files"][0], "asset": address}]})
    (session,) = TrainingSession.files_of(stored)
    assert session[-5:] == parts


def test_the_pinned_address_of_an_asset_comes_apart_and_together_again():
    asset = Asset("dandi-sandbox", "000728", "draft", "sub-1/a b.nwb", "12ab", 1, {})
    parts = asset_parts(asset.pinned_address)
    assert asset_address(*parts.values()) == asset.pinned_address


def test_weights_are_checked_against_the_record(tmp_path: Path):
    run = Run.at(tmp_path / "run")
    save(run.model)
    record = ModelRecord.of_folder(run.model, [])
    record.check(run.model)
    record.check(run.directory)
    (run.model / "weights.safetensors").write_bytes(b"others")
    for folder in (run.model, run.directory):
        with pytest.raises(AnnotationError, match="weights with SHA-256") as refused:
            record.check(folder)
        assert refused.value.file == str(run.model / "weights.safetensors")
        assert record.weights_sha256 in str(refused.value.expected)
    with pytest.raises(ModelError, match="no weights"):
        record.check(tmp_path)


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


@pytest.mark.parametrize("described", [{}, {"weights_sha256": "ab" * 32}])
def test_weights_that_model_json_is_not_about_are_refused(tmp_path: Path, described: dict[str, str]):
    (save(tmp_path) / "model.json").write_text(json.dumps(described))
    with pytest.raises(AnnotationError, match=r"weights with SHA-256 .* not the ones described") as refused:
        ModelRecord.of_folder(tmp_path, [])
    assert refused.value.file == str(tmp_path / "weights.safetensors")
    assert refused.value.remedy == "copy the folder again, whole"


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_a_folder_of_links_is_refused_as_it_is_when_it_is_loaded(tmp_path: Path, name: str):
    folder = save(tmp_path / "model")
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(AnnotationError, match=r"holds no saved model \(a link to elsewhere") as refused:
        ModelRecord.of_folder(folder, [])
    assert "cp -rL" in str(refused.value.remedy)
