"""Weights on disk: safetensors for numbers, JSON for what they mean. Nothing read here is ever executed."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from nwb_mivae.errors import ConfigurationError, ModelError, OutputError
from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.module import MiVAEModule, ModuleShape
from nwb_mivae.outputs import read_json, sha256_of_file, whole_directory, write_json
from nwb_mivae.provenance import package_version

__all__ = ["load_module", "save_module", "weights_digest"]

_FORMAT = 1
WEIGHTS_FILE = "weights.safetensors"
DESCRIPTION_FILE = "model.json"


def save_module(module: MiVAEModule, folder: str | PathLike[str], *, provenance: dict[str, Any] | None = None) -> None:
    """Write ``weights.safetensors`` and ``model.json`` into ``folder``; a model that is there is replaced as a whole.

    Raises
    ------
    OutputError
        If the folder holds something and no model: what lies there would be lost.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION_FILE).is_file():
        raise OutputError(
            "a folder that holds something other than a model",
            expected="a new name, or the folder of a model",
            remedy="name a folder of its own, for example one inside this one",
            file=folder,
        )
    with whole_directory(folder, overwrite=True) as beside:
        weights = beside / WEIGHTS_FILE
        save_file({name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}, weights)
        write_json(
            beside / DESCRIPTION_FILE,
            {
                "format": _FORMAT,
                "nwb_mivae": package_version(),
                "shape": module.shape.as_dict(),
                "configuration": module.configuration.model_dump(mode="json"),
                "weights_sha256": sha256_of_file(weights),
                "provenance": provenance or {},
            },
        )


def weights_digest(folder: str | PathLike[str]) -> str:
    """SHA-256 of the weights in a model folder, as recorded in every result."""
    return sha256_of_file(Path(folder) / WEIGHTS_FILE)


def load_module(folder: str | PathLike[str]) -> MiVAEModule:
    """Build the module a folder describes and load its weights, in evaluation mode on the CPU.

    Raises
    ------
    ModelError
        If the folder is missing or incomplete, the weights do not match their digest or their description, or a newer
        version wrote them.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    weights = folder / WEIGHTS_FILE
    try:
        description = read_json(folder / DESCRIPTION_FILE)
        digest = sha256_of_file(weights)
    except (OutputError, OSError) as problem:
        raise ModelError(
            "no trained model",
            expected=f"a folder with {WEIGHTS_FILE} and {DESCRIPTION_FILE}",
            remedy="train one with `nwb-mivae train`, or name the folder of a run's model",
            file=folder,
        ) from problem
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise ModelError(
            "a model in an unknown format",
            expected=f"format {_FORMAT}",
            remedy="use the version of nwb_mivae that wrote it",
            file=folder,
            object_path=DESCRIPTION_FILE,
        )
    if digest != description.get("weights_sha256"):
        raise ModelError(
            "weights that are not the ones described",
            expected=f"SHA-256 {description.get('weights_sha256')}",
            remedy="copy the folder again, whole",
            file=weights,
        )
    try:
        configuration = ModelConfiguration.from_mapping(description["configuration"])
        shape = ModuleShape(**description["shape"])
    except (KeyError, TypeError, ValueError, ConfigurationError) as problem:
        raise ModelError(
            f"a description that no model can be built from ({problem})",
            expected="the configuration and shape that this version writes",
            remedy="use the version of nwb_mivae that wrote it, or copy the folder again",
            file=folder,
            object_path=DESCRIPTION_FILE,
        ) from problem
    module = MiVAEModule(configuration, shape)
    try:
        module.load_state_dict(load_file(weights))
    except (RuntimeError, SafetensorError) as problem:
        raise ModelError(
            f"weights that do not fit their description ({' '.join(str(problem).split())[:200]})",
            expected="one tensor for every parameter of the described model",
            remedy="copy the folder again, whole",
            file=weights,
        ) from problem
    return module.eval()
