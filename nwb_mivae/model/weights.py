"""Weights on disk: safetensors for numbers, JSON for what they mean. Nothing read here is ever executed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from nwb_mivae.errors import ModelError, OutputError
from nwb_mivae.model.card import write_card
from nwb_mivae.model.description import DESCRIPTION_FILE, ModelDescription, regular_file
from nwb_mivae.model.module import MiVAEModule
from nwb_mivae.outputs import restore_replaced, sha256_of_file, whole_directory

__all__ = [
    "DESCRIPTION_FILE",
    "WEIGHTS_FILE",
    "load_module",
    "module_digest",
    "save_module",
    "save_tensors",
    "weights_digest",
]

WEIGHTS_FILE = "weights.safetensors"
#: Names, types and places of some hundred tensors; a model of this package takes a hundredth of it.
_LARGEST_HEADER = 2**20


def save_module(module: MiVAEModule, folder: str | PathLike[str], *, provenance: dict[str, Any] | None = None) -> None:
    """Write weights, ``model.json`` and a model card into ``folder``; a model that is there is replaced as a whole.

    The folder can be moved, copied and packed as one likes; whoever gets it needs nothing else to load it.

    Raises
    ------
    OutputError
        If the folder holds something and no model: what lies there would be lost.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION_FILE).is_file():
        raise OutputError(
            "a folder that holds something other than a model",
            expected="a new name, or the folder of a model",
            remedy="name a folder of its own, for example one inside this one",
            file=folder,
        )
    with whole_directory(folder, overwrite=True) as beside:
        save_tensors(module.state_dict(), beside / WEIGHTS_FILE)
        ModelDescription.of(module, sha256_of_file(beside / WEIGHTS_FILE), provenance or {}).write(beside)
        write_card(beside)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write named tensors as safetensors, readable for those who may read other new files."""
    from safetensors.torch import save_file

    path.touch()
    as_others = path.stat().st_mode
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    # safetensors puts a file of its own there, for its owner's eyes only.
    path.chmod(as_others)


def weights_digest(folder: str | PathLike[str]) -> str:
    """SHA-256 of the weights in a model folder, as recorded in every result.

    Raises
    ------
    ModelError
        If the folder holds no weights.
    """
    return sha256_of_file(regular_file(Path(folder) / WEIGHTS_FILE))


def module_digest(module: MiVAEModule) -> str:
    """What :func:`weights_digest` would say of a module as it is now, if it were saved."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    return hashlib.sha256(save(tensors)).hexdigest()


def load_module(folder: str | PathLike[str]) -> MiVAEModule:
    """Build the module a folder describes and load its weights, in evaluation mode on the CPU.

    The folder may come from anywhere: memory is only taken once names, types, shapes and digest of the weights are
    those described.

    Raises
    ------
    ModelError
        If the folder is missing or incomplete, the weights do not match their digest or their description, or a newer
        version wrote them.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    restore_replaced(folder)
    weights = regular_file(folder / WEIGHTS_FILE)
    description = ModelDescription.read(folder)
    expected = description.skeleton(folder).state_dict()
    _refuse_other_size(weights, expected)
    if sha256_of_file(weights) != description.weights_sha256:
        raise ModelError(
            "weights that are not the ones described",
            expected=f"SHA-256 {description.weights_sha256:.64}",
            remedy="copy the folder again, whole",
            file=weights,
        )
    try:
        tensors = load_file(weights)
    except (OSError, ValueError, SafetensorError) as problem:
        raise _do_not_fit(weights, " ".join(str(problem).split())[:200]) from problem
    for name in sorted({*tensors, *expected}):
        found, wanted = (_kind_of(held.get(name)) for held in (tensors, expected))
        if found != wanted:
            raise _do_not_fit(weights, f"{name[:80]!r} is {found} instead of {wanted}")
    module = MiVAEModule(description.configuration, description.shape)
    module.load_state_dict(tensors)
    return module.eval()


def _refuse_other_size(weights: Path, expected: Mapping[str, Tensor]) -> None:
    """Refuse a file that cannot hold exactly the described tensors, before any of it is read but eight bytes."""
    with weights.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
    size = weights.stat().st_size
    numbers = sum(tensor.numel() * tensor.element_size() for tensor in expected.values())
    if header > _LARGEST_HEADER or 8 + header + numbers != size:
        raise _do_not_fit(weights, f"{size} bytes for {numbers} bytes of numbers")


def _kind_of(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _do_not_fit(weights: Path, how: str) -> ModelError:
    return ModelError(
        f"weights that do not fit their description ({how})",
        expected="one tensor for every parameter of the described model",
        remedy="copy the folder again, whole",
        file=weights,
    )
