"""Checkpoints that training goes on from as if it had never stopped: safetensors and JSON, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nwb_mivae.errors import OutputError, TrainingError
from nwb_mivae.model.weights import save_tensors
from nwb_mivae.outputs import read_json, restore_replaced, whole_directory, write_json

__all__ = ["Checkpoint", "fingerprint_of", "load_checkpoint", "save_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """A point of training: steps done, what it belongs to, and every number that the next step depends on.

    Clips, posterior samples and learning rate are functions of seed and step, so weights and the optimiser's state are
    all there is.
    """

    step: int
    #: Digest of data, split and settings; training only resumes where it is the same.
    belongs_to: str
    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]


def fingerprint_of(values: Mapping[str, Any]) -> str:
    """A digest of JSON-able settings, the same for equal settings."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def save_checkpoint(
    folder: Path, module: nn.Module, optimiser: torch.optim.Optimizer, *, step: int, belongs_to: str
) -> None:
    """Write a checkpoint in place of the one that may be there."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    state = {
        f"{names[id(parameter)]}/{key}": value
        for parameter, values in optimiser.state.items()
        for key, value in values.items()
    }
    with whole_directory(folder, overwrite=True) as beside:
        save_tensors(module.state_dict(), beside / "weights.safetensors")
        save_tensors(state, beside / "optimiser.safetensors")
        write_json(beside / "state.json", {"step": step, "belongs_to": belongs_to})


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    TrainingError
        If there is none, or it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    restore_replaced(folder)
    try:
        state = read_json(folder / "state.json")
        return Checkpoint(
            step=int(state["step"]),
            belongs_to=str(state["belongs_to"]),
            weights=load_file(folder / "weights.safetensors"),
            optimiser=load_file(folder / "optimiser.safetensors"),
        )
    except (OSError, OutputError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise TrainingError(
            f"no checkpoint to go on from ({' '.join(str(problem).split())[:200]})",
            expected="a checkpoint written by an earlier training run",
            remedy="train without --resume",
            file=folder,
        ) from problem


def restore(checkpoint: Checkpoint, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put a checkpoint's numbers back into the module and its optimiser."""
    module.load_state_dict(checkpoint.weights)
    parameters = dict(module.named_parameters())
    for name, value in checkpoint.optimiser.items():
        parameter_name, key = name.rsplit("/", 1)
        parameter = parameters[parameter_name]
        # AdamW counts its steps on the CPU; its moments live with their parameter.
        optimiser.state[parameter][key] = value if key == "step" else value.to(parameter.device)
