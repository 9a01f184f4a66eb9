"""``model.json``: what the numbers beside it mean. It is read as a stranger's file: checked whole, never executed."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import torch
from pydantic import ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt

from nwb_mivae.configuration import Configuration
from nwb_mivae.errors import ConfigurationError, ModelError
from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.likelihoods import LIKELIHOOD_OF_KIND
from nwb_mivae.model.module import MiVAEModule, ModuleShape
from nwb_mivae.outputs import write_json
from nwb_mivae.provenance import package_version

__all__ = ["DESCRIPTION_FILE", "ModelDescription", "regular_file"]

DESCRIPTION_FILE = "model.json"

#: 2: the read-out's penalty is relative, and front end and cortical map lie with the weights.
_FORMAT = 2
#: A description takes some kilobytes, and a line for each file of the training data. Parsed, JSON takes up to twenty
#: times its size.
_LARGEST = 32 * 2**20
#: What of a provenance is used: whom the model knows, and what results name as its training data.
_LISTS = {"train_subjects": str, "train_files": dict}


class _Shape(Configuration):
    """The checked form of :class:`ModuleShape`: a text or a truth value is no number here."""

    model_config = ConfigDict(strict=True)

    height: PositiveInt
    width: PositiveInt
    n_auxiliary: NonNegativeInt
    trace_kind: str
    frame_rate: PositiveFloat
    clip_frames: PositiveInt


@dataclass(frozen=True)
class ModelDescription:
    """What a model folder says of its weights.

    Attributes
    ----------
    version : str
        Version of nwb_mivae that wrote it.
    shape, configuration : ModuleShape, ModelConfiguration
        What the module is built from.
    weights_sha256 : str
        Digest of the weights' file.
    provenance : mapping
        Where the weights came from, as far as whoever saved them said.
    """

    version: str
    shape: ModuleShape
    configuration: ModelConfiguration
    weights_sha256: str
    provenance: Mapping[str, Any]

    @classmethod
    def of(cls, module: MiVAEModule, weights_sha256: str, provenance: Mapping[str, Any]) -> ModelDescription:
        """The description of a module whose weights were just written."""
        return cls(package_version(), module.shape, module.configuration, weights_sha256, provenance)

    def write(self, folder: Path) -> None:
        """Write ``model.json`` into ``folder``."""
        write_json(
            folder / DESCRIPTION_FILE,
            {
                "format": _FORMAT,
                "nwb_mivae": self.version,
                "shape": self.shape.as_dict(),
                "configuration": self.configuration.model_dump(mode="json"),
                "weights_sha256": self.weights_sha256,
                "provenance": dict(self.provenance),
            },
        )

    @classmethod
    def read(cls, folder: str | PathLike[str]) -> ModelDescription:
        """Read ``model.json`` of ``folder``.

        Raises
        ------
        ModelError
            If there is none, a newer version wrote it, or anything in it is not what this package writes.
        """
        folder = Path(folder)
        path = regular_file(folder / DESCRIPTION_FILE)
        if path.stat().st_size > _LARGEST:
            _refuse(folder, f"a description of {path.stat().st_size} bytes")
        try:
            values = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        except (OSError, ValueError, RecursionError) as problem:
            _refuse(folder, f"a description that is no JSON ({_in_short(problem)})", problem)
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            older = isinstance(values, dict) and values.get("format") == 1
            raise ModelError(
                f"a model in an {'earlier' if older else 'unknown'} format",
                expected=f"format {_FORMAT}",
                remedy="use the version of nwb_mivae that wrote it" + (", or train the model again" if older else ""),
                file=folder,
                object_path=DESCRIPTION_FILE,
            )
        try:
            shape = ModuleShape(**_Shape.from_mapping(values["shape"]).model_dump())
            configuration = ModelConfiguration.from_mapping(values["configuration"])
        except (KeyError, TypeError, ValueError, ConfigurationError) as problem:
            _refuse(folder, f"a description that no model can be built from ({_in_short(problem)})", problem)
        if shape.trace_kind not in LIKELIHOOD_OF_KIND:
            _refuse(folder, f"a model of traces of an unknown kind ({shape.trace_kind!r:.40})")
        version, digest, provenance = (values.get(name) for name in ("nwb_mivae", "weights_sha256", "provenance"))
        if not isinstance(version, str) or not isinstance(digest, str) or not isinstance(provenance, dict):
            _refuse(folder, "a description without a version, a digest or a provenance")
        for field, kind in _LISTS.items():
            held = provenance.get(field, [])
            if not isinstance(held, list) or not all(isinstance(entry, kind) for entry in held):
                _refuse(folder, f"a provenance whose {field} is no list of {kind.__name__}")
        return cls(version, shape, configuration, digest, provenance)

    def skeleton(self, folder: str | PathLike[str]) -> MiVAEModule:
        """The module without memory for its numbers: names, shapes and types, however large they claim to be.

        Raises
        ------
        ModelError
            If no tensors of the described sizes can exist; ``folder`` is named in it.
        """
        try:
            with torch.device("meta"):
                return MiVAEModule(self.configuration, self.shape)
        except (RuntimeError, OverflowError, TypeError, ValueError) as problem:
            _refuse(folder, f"a description that no model can be built from ({_in_short(problem)})", problem)


def regular_file(path: Path) -> Path:
    """The path, if a file lies there itself: a link could point at anything on the reader's disk.

    Raises
    ------
    ModelError
        If nothing lies there, or something other than a file.
    """
    try:
        mode = path.lstat().st_mode
    except OSError as problem:
        raise ModelError(
            f"no trained model (no {path.name})",
            expected="a folder with weights.safetensors and model.json",
            remedy="train one with `nwb-mivae train`, or name the folder of a run's model",
            file=path.parent,
        ) from problem
    if not stat.S_ISREG(mode):
        raise ModelError(
            "a link to elsewhere" if stat.S_ISLNK(mode) else "something that is no file",
            expected="the file itself",
            remedy="copy the folder with what its links point to (cp -rL), and load the copy",
            file=path,
        )
    return path


def _refuse(folder: str | PathLike[str], found: str, problem: BaseException | None = None) -> NoReturn:
    raise ModelError(
        found,
        expected="the configuration and shape that this version writes",
        remedy="use the version of nwb_mivae that wrote it, or copy the folder again",
        file=folder,
        object_path=DESCRIPTION_FILE,
    ) from problem


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _in_short(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:200]
