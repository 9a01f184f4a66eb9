"""What a run wrote into NWB files, so that it writes anew only what is its own and still as it left it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nwb_mivae.annotation.results import Form
from nwb_mivae.annotation.snapshot import Snapshot
from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import read_json, sha256_of_file
from nwb_mivae.pipeline.record import changing_step, relative_path
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

    They stand in the run's provenance record: where each lies as seen from the run, its contents, its digest, and that
    of the output of the same contents that it replaced. They are recorded right before an output takes its place: a
    program that is killed then leaves the new one or the one before, and the run knows both for its own. A run that an
    earlier version annotated has none there, and so nothing that may be replaced.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known = _by_place(read_json(run.provenance).get("steps", {}).get("annotate", {}))
        self._found: dict[str, str] = {}

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
        place = self._place(path)
        entry, digest = self._known[place], _digest(path)
        if not digest or digest not in (entry["sha256"], entry.get("replaced_sha256")):
            return "it was changed since this run wrote it"
        self._found[place] = digest
        return None

    def add(
        self, path: Path, contents: Contents, *, beside: Path, replaces: Snapshot | None = None, files: list[str]
    ) -> None:
        """Record an output that lies whole beside its place and is about to take it.

        Parameters
        ----------
        path : Path
            Its place.
        contents : Contents
            What it holds.
        beside : Path
            Where it lies now.
        replaces : Snapshot, optional
            What lay in its place before :meth:`why_kept` found that it may be replaced; ``None`` where nothing did.
        files : list of str
            The names of all that this call wrote so far, and this one's.

        Raises
        ------
        AnnotationError
            If something else lies there by now; nothing is recorded then, unless it appeared in this moment.
        """
        place, digest = self._place(path), _digest(beside)
        replaced = "" if replaces is None else self._found[place]
        entry = {"file": place, "sha256": digest, "replaced_sha256": replaced, **asdict(contents)}
        # Another program that wrote the same output meanwhile recorded it: its record is that of what lies there.
        _refuse_change(path, replaces)
        with changing_step(self._run, "annotate") as step:
            self._known |= _by_place(step) | {place: entry}
            step.update(files=files, outputs=list(self._known.values()))
        _refuse_change(path, replaces)

    def add_appended(self, *, files: list[str]) -> None:
        """Record that a recording was appended to, which is never replaced; ``files`` is that of :meth:`add`."""
        with changing_step(self._run, "annotate") as step:
            step.update(files=files)

    def _place(self, path: Path) -> str:
        return Path(relative_path(path, self._run.directory)).as_posix()


def _by_place(step: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["file"]: entry for entry in step.get("outputs", [])}


def _refuse_change(path: Path, before: Snapshot | None) -> None:
    if before is not None:
        before.refuse_change(path)
    elif os.path.lexists(path):
        raise AnnotationError(
            "a file that another program put there meanwhile",
            expected="a place where nothing is, as at the beginning",
            remedy="wait until the other program is done, then repeat this; nothing was written",
            file=path,
        )


def _digest(path: Path) -> str:
    """Of a file, or of a Zarr folder; nothing where it cannot be read, so that it is left alone."""
    try:
        return digest_of_folder(path) if path.is_dir() else sha256_of_file(path)
    except OSError:
        return ""
