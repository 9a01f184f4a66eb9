"""Annotated files that are to be published: which they are, what a dandiset calls them, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwb_mivae.annotation.names import annotations_in
from nwb_mivae.annotation.record import ASSET_PARTS, asset_parts
from nwb_mivae.annotation.schema import cached_versions, explain_newer_schema, newest
from nwb_mivae.archive import Address, LocalFile, derived_from, is_zarr, name_in_dandiset, software_activity
from nwb_mivae.errors import AnnotationError, ArchiveError, NwbMivaeError
from nwb_mivae.pipeline.searching import is_run, search_nwb
from nwb_mivae.provenance import package_version
from nwb_mivae.run import Run
from nwb_mivae.sessions.nwb import open_nwb, text_values

__all__ = ["SOFTWARE", "AnnotatedFile", "find_annotated_files"]

Progress = Callable[[str, int, int], None]

#: What the package is called among those that made a file.
SOFTWARE = "nwb_mivae"


@dataclass(frozen=True)
class AnnotatedFile:
    """A file with what its metadata says of where it comes from.

    Attributes
    ----------
    local : LocalFile
        The file, its name in a dandiset, and what the archive is told of its source.
    model : Path or None
        The model's folder, where the file was found in a run.
    sources, trained_on : tuple of Address
        Assets that the results were added to, and that their model was trained on, as far as they are known.
    versions : tuple of str
        Of nwb_mivae, that wrote into it.
    movies_outside : bool
        Whether it names movies that lie beside it.
    newer_schema : str or None
        Version of the extension's schema, where it is later than the one known here.
    """

    local: LocalFile
    model: Path | None
    sources: tuple[Address, ...]
    trained_on: tuple[Address, ...]
    versions: tuple[str, ...]
    movies_outside: bool
    newer_schema: str | None


def find_annotated_files(
    sources: Sequence[Path], folder: Path, progress: Progress | None
) -> tuple[list[AnnotatedFile], list[NwbMivaeError], list[NwbMivaeError]]:
    """The annotated files among ``sources``, but for those in ``folder``, and why the others cannot be published.

    What is said of Zarr folders stands apart, last: they keep no HDF5 file from being published.
    """
    found: dict[Path, Path | None] = {}
    refused: list[NwbMivaeError] = []
    for source in sources:
        model = Run.at(source).model if is_run(source) else None
        inside = [] if not source.exists() else [source] if source.is_file() or is_zarr(source) else None
        if inside is None:
            inside = [
                path
                for path in search_nwb(source if model is None else Run.at(source).annotated)
                if not path.resolve().is_relative_to(folder.resolve())
            ]
        if not inside:
            refused.append(
                ArchiveError(
                    "no annotated file",
                    expected="NWB files that `nwb-mivae annotate` wrote",
                    remedy="annotate first" if source.exists() else "check the path",
                    file=source,
                )
            )
        for path in inside:
            found.setdefault(path.resolve(), model)
    described, zarr = [], []
    for done, (path, model) in enumerate(found.items()):
        if progress is not None:
            progress("reading", done, len(found))
        if is_zarr(path):
            zarr.append(_zarr_folder(path))
            continue
        try:
            described.append(_describe(path, model))
        except NwbMivaeError as problem:
            refused.append(problem)
    if progress is not None:
        progress("reading", len(found), len(found))
    return described, refused, zarr


def _zarr_folder(path: Path) -> NwbMivaeError:
    return ArchiveError(
        "an annotation in Zarr format, which is a folder of many files",
        expected="HDF5",
        remedy="annotate with the hdf5 backend to publish; or send the folder with `dandi upload`, which can",
        file=path,
    )


def _describe(path: Path, model: Path | None) -> AnnotatedFile:
    with explain_newer_schema(path):
        opened = open_nwb(path)
    try:
        results = annotations_in(opened.nwbfile)
        if not results:
            raise AnnotationError(
                "no results of nwb_mivae",
                expected="a file that `nwb-mivae annotate` wrote",
                remedy="name annotated files only: nobody's recordings are published by this command",
                file=path,
            )
        # Of several results the last gives the file its name.
        name = max(results, key=lambda name: (str(getattr(results[name], "created", None) or ""), name))
        pairs = [list(text_values(pair)) for pair in opened.nwbfile.was_generated_by or ()]
        sources = dict.fromkeys(filter(None, (_source(result) for result in results.values())))
        trained_on = dict.fromkeys(address for result in results.values() for address in _training(result.model))
    finally:
        opened.close()
    versions = [version for software, version in pairs if software == SOFTWARE] or [package_version()]
    archive_path, movies_outside = name_in_dandiset(path, name.replace("_", "-"))
    activities = [
        software_activity("Activity", f"Annotation with {SOFTWARE} {version}", SOFTWARE, version)
        for version in dict.fromkeys(versions)
    ]
    metadata: dict[str, Any] = {"wasGeneratedBy": activities}
    if sources:
        metadata["relatedResource"] = [derived_from(source) for source in sources]
    return AnnotatedFile(
        LocalFile(path, archive_path, metadata),
        model,
        tuple(sources),
        tuple(trained_on),
        tuple(dict.fromkeys(versions)),
        movies_outside,
        newest(cached_versions(path)),
    )


def _source(result: Any) -> Address | None:
    """The asset that a result was added to, if it is known to be one."""
    parts = {part: str(getattr(result, f"source_{part}", None) or "") for part in ASSET_PARTS}
    # As files of version 0.1.0 of the extension have it.
    return _address(parts if parts["dandiset_id"] else asset_parts(getattr(result, "source_dandi_asset", None) or ""))


def _training(model: Any) -> Iterator[Address]:
    table = model.training_sessions
    for row in table.to_dataframe().to_dict("records"):
        parts = {part: str(row.get(part) or "") for part in ASSET_PARTS}
        address = _address(parts if parts["dandiset_id"] else asset_parts(str(row.get("dandi_asset") or "")))
        if address is not None:
            yield address


def _address(parts: Mapping[str, str]) -> Address | None:
    if not parts["dandiset_id"]:
        return None
    return Address(
        parts["dandi_instance"] or "dandi",
        parts["dandiset_id"],
        parts["dandiset_version"] or None,
        parts["asset_path"] or None,
        parts["asset_id"] or None,
    )
