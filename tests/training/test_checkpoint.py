"""Checkpoints: every number of the next step, and refused where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from nwb_mivae.errors import TrainingError
from nwb_mivae.training.checkpoint import fingerprint_of, load_checkpoint, restore, save_checkpoint


def _trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.1)
    _step(module, optimiser)
    return module, optimiser


def _step(module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    module(torch.ones(2, 3)).square().sum().backward()
    optimiser.step()


def test_the_next_step_after_restoring_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    module, optimiser = _trained()
    save_checkpoint(tmp_path / "checkpoint", module, optimiser, step=1, belongs_to="abc")
    _step(module, optimiser)
    other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    other_optimiser = torch.optim.AdamW(other.parameters(), lr=0.1)
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    assert (checkpoint.step, checkpoint.belongs_to) == (1, "abc")
    restore(checkpoint, other, other_optimiser)
    _step(other, other_optimiser)
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_the_last_checkpoint_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    module, optimiser = _trained()
    for step in (1, 2):
        save_checkpoint(tmp_path / "checkpoint", module, optimiser, step=step, belongs_to="abc")
    assert load_checkpoint(tmp_path / "checkpoint").step == 2
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "not a tensor file", "no step", "not JSON", "a list"])
def test_damaged_checkpoints_are_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "checkpoint"
    module, optimiser = _trained()
    save_checkpoint(folder, module, optimiser, step=1, belongs_to="abc")
    if damage == "missing":
        (folder / "optimiser.safetensors").unlink()
    elif damage == "truncated":
        whole = (folder / "weights.safetensors").read_bytes()
        (folder / "weights.safetensors").write_bytes(whole[:-4])
    elif damage == "not a tensor file":
        (folder / "weights.safetensors").write_bytes(b"\x80\x04K\x01.")
    elif damage == "no step":
        (folder / "state.json").write_text(json.dumps({"belongs_to": "abc"}))
    elif damage == "not JSON":
        (folder / "state.json").write_text("{")
    else:
        (folder / "state.json").write_text("[1]")
    with pytest.raises(TrainingError, match="no checkpoint") as refusal:
        load_checkpoint(folder)
    assert refusal.value.file == str(folder)


def test_equal_settings_have_equal_digests_whatever_their_order() -> None:
    assert fingerprint_of({"a": 1, "b": [2.5]}) == fingerprint_of({"b": [2.5], "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})
