"""Weights on disk: bit for bit, and refused where they are not what they say."""

from __future__ import annotations

import json
import pickletools
from pathlib import Path
from typing import Any

import pytest
import torch

from nwb_mivae.errors import ModelError, OutputError
from nwb_mivae.model import load_module, save_module, weights_digest
from nwb_mivae.model.configuration import Population
from tests.tiny_model import random_episode, tiny_module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_module(tiny_module(), tmp_path / "model", provenance={"why": "a test"})
    return tmp_path / "model"


def _change_description(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))


@pytest.mark.parametrize("population", ["contextual", "coordinates", "pooled"])
def test_what_is_loaded_is_what_was_saved_bit_for_bit(tmp_path: Path, population: Population) -> None:
    module = tiny_module(population=population, trace_kind="spikes", seed=3)
    save_module(module, tmp_path / "model")
    loaded = load_module(tmp_path / "model")
    assert loaded.configuration == module.configuration
    assert loaded.shape == module.shape
    assert not loaded.training
    state = loaded.state_dict()
    assert list(state) == list(module.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    episode = random_episode(counts=True)
    with torch.no_grad():
        assert torch.equal(loaded.loss([episode]).total, module.loss([episode]).total)


def test_the_folder_holds_tensors_and_json_and_no_pickle(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "model.json"}
    description = json.loads((folder / "model.json").read_text())
    assert description["provenance"] == {"why": "a test"}
    assert description["weights_sha256"] == weights_digest(folder)
    for path in folder.iterdir():
        with pytest.raises((ValueError, IndexError)):
            list(pickletools.genops(path.read_bytes()))


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="other than a model"):
        save_module(tiny_module(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    save_module(tiny_module(), tmp_path / "empty")


def test_saving_again_replaces_the_folder_as_a_whole(folder: Path) -> None:
    (folder / "stale").write_text("left over")
    before = weights_digest(folder)
    save_module(tiny_module(seed=1), folder)
    assert weights_digest(folder) != before
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "model.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_missing_or_incomplete_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained model") as refusal:
        load_module(tmp_path / "nowhere")
    assert refusal.value.file == str(tmp_path / "nowhere")
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="no trained model"):
        load_module(folder)


def test_a_description_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError):
        load_module(folder)


def test_one_changed_bit_is_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="not the ones described"):
        load_module(folder)


def test_weights_of_another_model_are_refused_even_with_the_right_digest(folder: Path, tmp_path: Path) -> None:
    save_module(tiny_module(hidden_size=24), tmp_path / "other")
    other = (tmp_path / "other" / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(other)
    _change_description(folder, weights_sha256=weights_digest(folder))
    with pytest.raises(ModelError, match="do not fit"):
        load_module(folder)
    (folder / "weights.safetensors").write_bytes(other[: len(other) // 2])
    _change_description(folder, weights_sha256=weights_digest(folder))
    with pytest.raises(ModelError, match="do not fit"):
        load_module(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": None},
        {"shape": None},
        {"shape": {"height": 12}},
        {"shape": [1, 2]},
        {"configuration": None},
        {"configuration": {"unheard_of": 1}},
        {"configuration": 3},
    ],
)
def test_descriptions_of_other_versions_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    _change_description(folder, **changes)
    with pytest.raises(ModelError) as refusal:
        load_module(folder)
    assert refusal.value.file == str(folder)
    assert refusal.value.object_path == "model.json"
    assert refusal.value.remedy
