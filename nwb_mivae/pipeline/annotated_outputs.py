"""What a run wrote into NWB files, so that it writes anew only what is its own and still as it left it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nwb_mivae.annotation.results import Form
from nwb_mivae.outputs import read_json, sha256_of_file
from nwb_mivae.pipeline.record import record_step, relative_path
from nwb_mivae.run import Run
from nwb_mivae.sessions.zarr_folder import digest_of_folder

__all__ = ["AnnotatedOutputs", "Contents"]


@dataclass(frozen=True)
class Contents:
    """What an output holds: two outputs of the same contents are the same output, made twice.

    Attributes
    ----------
    source_sha256, source_object_id, source_path : str
        The recording: its bytes, as the clip store has them, and its NWBFile; the path, or address, where neither is
        known, else empty: recordings are moved.
    form : str
        ``"copy"`` or ``"companion"``.
    name : str
        What the result is called in the file.
    weights_sha256 : str
        Of the model.
    """

    source_sha256: str
    source_object_id: str
    source_path: str
    form: Form
    name: str
    weights_sha256: str

    @classmethod
    def of(cls, file: Mapping[str, Any], *, form: Form, name: str, weights_sha256: str) -> Contents:
        """Those of an output for one of a session's files, ``StoredSession.source["files"]``."""
        sha256, object_id = str(file["sha256"] or ""), str(file["object_id"] or "")
        path = "" if sha256 or object_id else str(file["path"])
        return cls(sha256, object_id, path, form, name, weights_sha256)

    @property
    def source(self) -> tuple[str, str, str]:
        """Which recording it is."""
        return self.source_sha256, self.source_object_id, self.source_path


class AnnotatedOutputs:
    """The outputs of a run's ``annotate`` step, of all calls, by their place.

    They stand in the run's provenance record: where each lies as seen from the run, its digest when it was written, and
    its contents. A run that an earlier version annotated has none there, and so nothing that may be replaced.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known = self._recorded()

    def contents(self, path: Path) -> Contents | None:
        """What this run wrote there; ``None`` where it wrote nothing."""
        entry = self._known.get(self._place(path))
        return None if entry is None else Contents(**{name: entry[name] for name in Contents.__dataclass_fields__})

    def why_kept(self, path: Path, wanted: Contents) -> str | None:
        """Why what lies there may not be replaced by an output of these contents; ``None`` if nothing is lost."""
        known = self.contents(path)
        if known is None:
            return "this run has no record of having written it"
        if known.source != wanted.source:
            return "it is of another recording"
        if known.weights_sha256 != wanted.weights_sha256:
            return "it holds results of another model, which this run had before"
        if known.form != wanted.form:
            return f"it is a {known.form} and no {wanted.form}"
        if known.name != wanted.name:
            return f"its results are called {known.name}"
        if _digest(path) != (self._known[self._place(path)]["sha256"] or None):
            return "it was changed since this run wrote it"
        return None

    def add(self, path: Path, contents: Contents | None, *, files: list[str]) -> None:
        """Record an output as it lies there now, and the names of all that this call wrote so far.

        ``contents`` is ``None`` for a recording that was appended to, which is never replaced.
        """
        # Sessions of one run may be annotated by several programs at once.
        self._known |= self._recorded()
        if contents is not None:
            place = self._place(path)
            self._known[place] = {"file": place, "sha256": _digest(path), **asdict(contents)}
        record_step(self._run, "annotate", files=files, outputs=list(self._known.values()))

    def _recorded(self) -> dict[str, dict[str, Any]]:
        step = read_json(self._run.provenance).get("steps", {}).get("annotate", {})
        return {entry["file"]: entry for entry in step.get("outputs", [])}

    def _place(self, path: Path) -> str:
        return Path(relative_path(path, self._run.directory)).as_posix()


def _digest(path: Path) -> str:
    """Of a file, or of a Zarr folder; nothing where it cannot be read, so that it is left alone."""
    try:
        return digest_of_folder(path) if path.is_dir() else sha256_of_file(path)
    except OSError:
        return ""
