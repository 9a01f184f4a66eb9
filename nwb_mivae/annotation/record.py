"""Which model a result came from: version, weights, configuration and the sessions it was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nwb_mivae.archive import parse_address
from nwb_mivae.errors import AnnotationError, ArchiveError, ModelError
from nwb_mivae.model.description import DESCRIPTION_FILE, regular_file
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.run import Run
from nwb_mivae.sessions.grouping import source_name

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession

__all__ = ["ASSET_PARTS", "ModelRecord", "TrainingSession", "asset_parts"]

#: Where an asset of a DANDI archive lies: name of the archive or URL of its API, dandiset, version, path and id.
ASSET_PARTS = ("dandi_instance", "dandiset_id", "dandiset_version", "asset_path", "asset_id")

_WEIGHTS = "weights.safetensors"

# Named one by one, so that what a later version adds to model.json is not published before somebody has thought of it.
_DESCRIPTION = ("format", "nwb_mivae", "shape", "configuration")
_TRAINING = ("created", "python", "packages", "device", "store", "training", "episodes")


def asset_parts(address: str) -> dict[str, str]:
    """:data:`ASSET_PARTS` of the address of an asset; all empty where there is no address, or one of another form.

    >>> asset_parts("dandi://000728@0.240827.1809/sub-1/a.nwb#asset=12ab")["dandiset_version"]
    '0.240827.1809'
    """
    try:
        asset = parse_address(address)
    except ArchiveError:
        return dict.fromkeys(ASSET_PARTS, "")
    # Addresses leave out the name of the public archive, and only that.
    texts = (asset.instance or "dandi", asset.dandiset, asset.version, asset.path, asset.asset_id)
    return dict(zip(ASSET_PARTS, (text or "" for text in texts), strict=True))


class TrainingSession(NamedTuple):
    """A file of a session a model was trained on, named so that it can be found again; texts are empty where unknown.

    ``file_name`` is the last part of the path only: where a file lay on somebody's machine is nobody's business.
    The last five say where the asset of a DANDI archive lies that the file was read from.
    """

    identifier: str
    object_id: str
    subject_id: str
    file_name: str
    sha256: str
    dandi_instance: str = ""
    dandiset_id: str = ""
    dandiset_version: str = ""
    asset_path: str = ""
    asset_id: str = ""

    @classmethod
    def of_saved(cls, file: Mapping[str, Any]) -> TrainingSession:
        """The entry for a file that the provenance in ``model.json`` names."""
        known = {name: str(file.get(name) or "") for name in ("identifier", "object_id", "subject_id", "sha256")}
        return cls(
            **known,
            file_name=source_name(str(file.get("file_name") or "")),
            **asset_parts(str(file.get("asset") or "")),
        )

    @classmethod
    def files_of(cls, stored: StoredSession) -> tuple[TrainingSession, ...]:
        """The entries for a session of a clip store: one for each file it was read from."""
        return tuple(
            cls(
                identifier=str(file["identifier"] or ""),
                object_id=str(file["object_id"] or ""),
                subject_id=str(stored.subject),
                file_name=source_name(str(file["path"] or "")),
                sha256=str(file["sha256"] or ""),
                **asset_parts(str(file["asset"] or "")),
            )
            for file in stored.source["files"]
        )

    def as_columns(self) -> dict[str, str]:
        """The texts by the names that ``TrainingSessionsTable`` of the extension has for them."""
        texts = self._asdict()
        return {"source_object_id": texts.pop("object_id"), **texts}


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
        Everything needed to rebuild the model and how it was trained, as JSON text of any length.
    training_sessions : tuple of TrainingSession
        The sessions that gave gradients, one entry for each file of theirs.
    """

    name: str
    code_version: str
    weights_sha256: str
    configuration: str
    training_sessions: tuple[TrainingSession, ...]

    @classmethod
    def of_folder(
        cls, folder: str | PathLike[str], training: Iterable[StoredSession] | None = None, *, name: str = "miVAE"
    ) -> ModelRecord:
        """The record of a model saved by ``save_module``: ``weights.safetensors`` and ``model.json``.

        The sessions it was trained on are ``training`` or, without them, those that ``model.json`` names. Of the rest
        it takes what the model is rebuilt and trained again from. The command line, with paths of
        somebody's disk in it, and the machine stay behind: annotated files are made to be shared.

        Raises
        ------
        AnnotationError
            If the folder holds no such model, or links to one, or weights that ``model.json`` is not about.
        """
        try:
            weights = regular_file(Path(folder) / _WEIGHTS)
            digest = sha256_of_file(weights)
            saved = json.loads(regular_file(Path(folder) / DESCRIPTION_FILE).read_text(encoding="utf-8"))
            configuration = json.dumps(_what_may_be_shared(saved))
            code_version, described = str(saved.get("nwb_mivae") or "unknown"), saved.get("weights_sha256")
            named = [
                TrainingSession.of_saved(file) for file in (saved.get("provenance") or {}).get("train_files") or []
            ]
        except ModelError as problem:
            raise _no_model(folder, problem.found, problem.remedy) from problem
        except (OSError, ValueError, AttributeError) as problem:
            raise _no_model(folder, str(problem), "give the model folder of a finished run") from problem
        if digest != described:
            raise AnnotationError(
                f"weights with SHA-256 {digest}, which are not the ones described",
                expected=f"{described}, as {DESCRIPTION_FILE} says",
                remedy="copy the folder again, whole",
                file=weights,
            )
        return cls(
            name=name,
            code_version=code_version,
            weights_sha256=digest,
            configuration=configuration,
            training_sessions=tuple(
                named
                if training is None
                else (file for stored in training for file in TrainingSession.files_of(stored))
            ),
        )

    def check(self, folder: str | PathLike[str]) -> None:
        """Refuse a model folder, or a run, whose weights are not those that this record names.

        Raises
        ------
        AnnotationError
            If the weights are others.
        ModelError
            If there are none.
        """
        places = [Path(folder) / _WEIGHTS, Run.at(folder).model / _WEIGHTS]
        weights = next((place for place in places if place.is_file()), None)
        if weights is None:
            raise ModelError(
                "no weights",
                expected=f"{_WEIGHTS}, in the folder or in its folder {places[1].parent.name}",
                remedy="name the folder of a run, or of its model",
                file=folder,
            )
        digest = sha256_of_file(weights)
        if digest != self.weights_sha256:
            raise AnnotationError(
                f"weights with SHA-256 {digest}",
                expected=f"{self.weights_sha256}, which the results were computed with",
                remedy="use the model that the annotation names, or annotate again with this one",
                file=weights,
            )


def _no_model(folder: str | PathLike[str], found: str, remedy: str | None) -> AnnotationError:
    return AnnotationError(
        f"a folder that holds no saved model ({found})",
        expected=f"{_WEIGHTS} and {DESCRIPTION_FILE}",
        remedy=remedy,
        file=folder,
    )


def _what_may_be_shared(saved: dict[str, Any]) -> dict[str, Any]:
    shared = {name: saved[name] for name in _DESCRIPTION if name in saved}
    provenance = saved.get("provenance") or {}
    trained = {name: provenance[name] for name in _TRAINING if name in provenance}
    split = provenance.get("split") or {}
    if "configuration" in split:
        trained["split"] = split["configuration"]
    return shared | ({"provenance": trained} if trained else {})
