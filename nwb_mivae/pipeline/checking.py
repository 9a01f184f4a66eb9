"""Files to what keeps them out of the archive, explained; and whether the results in them are of this model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from nwb_mivae.annotation.names import annotations_in
from nwb_mivae.annotation.schema import KNOWN_SCHEMA, cached_versions, newest
from nwb_mivae.archive import ExplainedFinding, ValidationFinding, explain, is_zarr, validate_for_dandi
from nwb_mivae.errors import ArchiveError, NwbMivaeError
from nwb_mivae.model.weights import weights_digest
from nwb_mivae.pipeline.searching import is_run, search_nwb
from nwb_mivae.run import Run

__all__ = ["CheckedFile", "check"]

AnyPath = str | PathLike[str]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class CheckedFile:
    """What was found in one file.

    Attributes
    ----------
    path : Path
        The file, or the folder of a Zarr file.
    findings : tuple of ExplainedFinding
        Worst first, those that are alike together.
    """

    path: Path
    findings: tuple[ExplainedFinding, ...]

    @property
    def blocks_upload(self) -> bool:
        """Whether the archive would refuse the file."""
        return any(finding.blocks_upload for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for ``--json`` output."""
        return {
            "file": str(self.path),
            "blocks_upload": self.blocks_upload,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def check(
    paths: Iterable[AnyPath], *, model: AnyPath | None = None, progress: Progress | None = None
) -> list[CheckedFile]:
    """Check files as the archive would, and explain what is found; nothing is written or sent.

    Parameters
    ----------
    paths : iterable of path-like
        NWB files (HDF5, or folders of Zarr), folders that are searched for them, and folders of runs, of which the
        annotated files are checked. Each file is judged alone.
    model : path-like, optional
        Folder of a saved model whose results the files should hold: the digest in the file is compared with that of the
        weights. A run's files are compared with the run's own model in any case. Results of another model beside those
        of this one are mentioned; a file with none of this one has an error.
    progress : callable, optional
        Called with a description, the number of files done, and of all.

    Returns
    -------
    list of CheckedFile
        Files with findings that block an upload first; otherwise in the order given.

    Raises
    ------
    ArchiveError
        If a path does not exist, or a folder holds no NWB file.
    ModelError
        If ``model`` is no folder of a saved model.
    """
    digest = None if model is None else weights_digest(model)
    files: dict[Path, str | None] = {}
    for path in map(Path, paths):
        expected = digest
        if digest is None and is_run(path) and Run.at(path).model.is_dir():
            expected = weights_digest(Run.at(path).model)
        for file in _files_in(path):
            files.setdefault(file, expected)
    checked = []
    for number, (file, expected) in enumerate(files.items()):
        if progress is not None:
            progress("checking", number, len(files))
        findings = validate_for_dandi(file)
        findings += _schema_findings(file)
        findings += [] if expected is None else _weights_findings(file, expected)
        checked.append(CheckedFile(file, tuple(explain(findings))))
    if progress is not None:
        progress("checking", len(files), len(files))
    return sorted(checked, key=lambda file: not file.blocks_upload)


def _files_in(path: Path) -> list[Path]:
    if path.is_file() or is_zarr(path):
        return [path]
    if not path.is_dir():
        raise ArchiveError("no such file or folder", expected="an NWB file", remedy="check the path", file=path)
    if is_run(path):
        found = search_nwb(Run.at(path).annotated)
        remedy = f"annotate it first: nwb-mivae annotate {path}"
    else:
        found, remedy = search_nwb(path), "check the path"
    if not found:
        raise ArchiveError(
            "a folder without NWB files", expected="files ending in .nwb or .nwb.zarr", remedy=remedy, file=path
        )
    return found


def _weights_findings(file: Path, expected: str) -> list[ValidationFinding]:
    """What is wrong with the weights the results in a file came from."""
    from nwb_mivae.sessions.nwb import open_nwb

    try:
        opened = open_nwb(file)
    except NwbMivaeError:
        return []  # that the file cannot be opened is among its findings already
    try:
        digests = {
            name: str(metadata.model.weights_sha256) for name, metadata in annotations_in(opened.nwbfile).items()
        }
    finally:
        opened.close()
    if not digests:
        return [ValidationFinding("warning", "nwb_mivae.no_results", "no MIVAEAnnotation in the file", "general")]
    others = {name: digest for name, digest in digests.items() if digest != expected}
    # Beside results of this model those of another are no fault: each says which weights it came from.
    fault = others == digests
    return [
        ValidationFinding(
            "error" if fault else "info",
            "nwb_mivae.weights" if fault else "nwb_mivae.other_results",
            f"SHA-256 of the weights is {digest} in the file and {expected} in the model's folder",
            f"general/{name}/model",
            "annotation",
        )
        for name, digest in others.items()
    ]


def _schema_findings(file: Path) -> list[ValidationFinding]:
    """That results were written by a later version of the extension, of which this one reads a part."""
    version = newest(cached_versions(file))
    if version is None:
        return []
    said = f"version {version} of the ndx-mivae schema; version {KNOWN_SCHEMA} is known here"
    return [ValidationFinding("warning", "nwb_mivae.newer_schema", said, "specifications/ndx-mivae", "annotation")]
