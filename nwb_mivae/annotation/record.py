"""Which model a result came from: version, weights, configuration and the sessions it was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.provenance import package_version

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession

__all__ = ["ModelRecord", "TrainingSession"]


class TrainingSession(NamedTuple):
    """One session a model was trained on, named so that it can be found again; texts are empty where unknown.

    ``file_name`` is the last part of the path only: where a file lay on somebody's machine is nobody's business.
    """

    identifier: str
    object_id: str
    subject_id: str
    file_name: str
    sha256: str
    asset: str

    @classmethod
    def of(cls, stored: StoredSession) -> TrainingSession:
        """The entry for a session of a clip store."""
        source = stored.source
        return cls(
            identifier=str(source.get("identifier") or ""),
            object_id=str(source.get("object_id") or ""),
            subject_id=str(stored.subject),
            file_name=PurePath(str(source.get("path") or "").replace("\\", "/")).name,
            sha256=str(source.get("sha256") or ""),
            asset=str(source.get("asset") or ""),
        )


@dataclass(frozen=True)
class ModelRecord:
    """The model behind an annotation.

    Attributes
    ----------
    name : str
        Name of the model, for example ``"miVAE"``.
    code_version : str
        Version of nwb_mivae that trained it.
    weights_sha256 : str
        SHA-256 digest of the weights' file, 64 hexadecimal digits.
    configuration : str
        Everything needed to rebuild the model, as JSON text of any length.
    training_sessions : tuple of TrainingSession
        The sessions that gave gradients.
    """

    name: str
    code_version: str
    weights_sha256: str
    configuration: str
    training_sessions: tuple[TrainingSession, ...]

    @classmethod
    def of_folder(
        cls, folder: str | PathLike[str], training: Iterable[StoredSession], *, name: str = "miVAE"
    ) -> ModelRecord:
        """The record of a model saved by ``save_module``: ``weights.safetensors`` and ``model.json``.

        Raises
        ------
        AnnotationError
            If the folder holds no such model.
        """
        weights, description = Path(folder) / "weights.safetensors", Path(folder) / "model.json"
        try:
            digest = sha256_of_file(weights)
            configuration = description.read_text(encoding="utf-8")
            json.loads(configuration)
        except (OSError, ValueError) as problem:
            raise AnnotationError(
                f"a folder that holds no saved model ({problem})",
                expected="weights.safetensors and model.json",
                remedy="give the model folder of a finished run",
                file=folder,
            ) from problem
        return cls(
            name=name,
            code_version=package_version(),
            weights_sha256=digest,
            configuration=configuration,
            training_sessions=tuple(TrainingSession.of(stored) for stored in training),
        )
