"""Annotated files onto a DANDI archive: named and described as a dandiset, laid out in a folder, sent into a draft."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from nwb_mivae.annotation.schema import KNOWN_SCHEMA
from nwb_mivae.archive import (
    Address,
    Asset,
    InterruptedUploadError,
    UploadPlan,
    check_token,
    create_dandiset,
    derived_from,
    person,
    plan_upload,
    software_activity,
    upload_files,
)
from nwb_mivae.errors import ArchiveError, NwbMivaeError, OutputError
from nwb_mivae.pipeline.checking import check
from nwb_mivae.pipeline.publication_files import SOFTWARE, AnnotatedFile, find_annotated_files
from nwb_mivae.pipeline.publication_layout import (
    DESCRIPTION_FILE,
    described_dandiset,
    is_laid_out,
    lay_out,
    read_description,
    refuse_other_file,
    write_description,
)
from nwb_mivae.pipeline.searching import is_run

__all__ = ["Publication", "PublicationPlan", "RefusedFilesError", "plan_publication", "publish"]

AnyPath = str | PathLike[str]
Progress = Callable[[str, int, int], None]


class RefusedFilesError(ArchiveError):
    """Files that cannot be published.

    Attributes
    ----------
    refused : tuple of NwbMivaeError
        Why, for every one of them.
    """

    refused: tuple[NwbMivaeError, ...] = ()

    @classmethod
    def of(cls, refused: Sequence[NwbMivaeError]) -> RefusedFilesError:
        """All of them in one error."""
        lines = "".join(f"\n  {problem}" for problem in refused)
        error = cls(f"{len(refused)} reason{'s' if len(refused) > 1 else ''} not to publish:{lines}\nNothing was sent")
        error.refused = tuple(refused)
        return error

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "refused": [problem.as_dict() for problem in self.refused]}


@dataclass(frozen=True)
class PublicationPlan:
    """What publishing would do.

    Attributes
    ----------
    folder : Path
        Where the dandiset is laid out.
    title : str or None
        Of a dandiset that is to be created.
    upload : UploadPlan
        The files with their names in the dandiset, what is to be sent, and what the draft would be said to be.
    notes : tuple of str
        What the user should know or do.
    replace : bool
        Whether earlier results in the folder may be replaced.
    """

    folder: Path
    title: str | None
    upload: UploadPlan
    notes: tuple[str, ...]
    replace: bool = False

    def as_dict(self) -> dict[str, Any]:
        """All of it, for ``--json`` output."""
        return {
            "instance": self.upload.instance,
            "dandiset": self.upload.dandiset,
            "title": self.title,
            "folder": str(self.folder),
            "files": [
                {
                    "file": str(planned.local.file),
                    "path": planned.local.path,
                    "size": planned.local.size,
                    "digest": {"dandi:dandi-etag": planned.local.digest.as_str()},
                    "action": planned.action,
                    "replaces": planned.asset.asset_id if planned.action == "replace" and planned.asset else None,
                    "metadata": dict(planned.local.metadata),
                }
                for planned in self.upload.files
            ],
            "bytes_to_send": self.upload.bytes_to_send,
            "additions": dict(self.upload.additions),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Publication:
    """What was published.

    Attributes
    ----------
    plan : PublicationPlan
        As it was carried out; its dandiset exists.
    assets : tuple of Asset
        What the draft has now, by path.
    """

    plan: PublicationPlan
    assets: tuple[Asset, ...]


def plan_publication(
    sources: Iterable[AnyPath],
    dandiset: str | None = None,
    *,
    title: str | None = None,
    instance: str | None = None,
    out: AnyPath | None = None,
    license: str | None = None,
    contributors: Iterable[str] = (),
    replace: bool = False,
    to_publish: bool = False,
    progress: Progress | None = None,
) -> PublicationPlan:
    """Find out what publishing annotated files would do; nothing is written, and the archive only read.

    Every file must be one that :func:`nwb_mivae.annotate` wrote, and pass all checks of ``dandi validate``. Its name in
    the dandiset, ``sub-ID/sub-ID_ses-ID_desc-mivae_MODALITIES.nwb``, follows from its metadata; a name that has that
    form and agrees with the metadata is kept.

    Parameters
    ----------
    sources : iterable of path-like
        Annotated files, folders of them, and runs, of which the annotated files are taken.
    dandiset : str, optional
        Six digits of the dandiset whose draft is added to.
    title : str, optional
        Of a new dandiset, in place of ``dandiset``. Where ``out`` holds a dandiset of that title already, as after an
        interruption, that one is gone on with.
    instance : str, optional
        Name of the archive or URL of its API; by default ``DANDI_INSTANCE`` or the public archive.
    out : path-like, optional
        Where the dandiset is laid out; by default ``dandiset`` in the run, or ``dandiset-ID`` here.
    license : str, optional
        As ``"spdx:CC-BY-4.0"``; set where the draft has none.
    contributors : iterable of str
        ``"Last, First"`` or ``"Last, First <address@host>"``; added to those that the draft has.
    replace : bool
        Allow earlier results under the same path to be replaced, here and in the draft.
    to_publish : bool
        The plan is going to be carried out: a token is looked for now, before files are read for hours.
    progress : callable, optional
        ``progress(description, done, total)``.

    Raises
    ------
    RefusedFilesError
        If there are files that cannot be published: all of them, with the reasons.
    ArchiveError
        If the archive cannot be reached, the dandiset does not exist, or the draft has other files under these paths;
        with ``to_publish``, if there is no valid token.
    OutputError
        If the folder belongs to another dandiset.
    """
    named = [Path(source) for source in sources]
    _refuse_unnamed(dandiset, title)
    folder = _folder(named, dandiset) if out is None else Path(out)
    described = read_description(folder)
    known = described_dandiset(described, folder, instance)
    if title is not None and known is not None and described.get("name") == title:
        dandiset, title = known, None
    if known is not None and known != dandiset:
        raise OutputError(
            f"the folder of dandiset {known}",
            expected=f"that of dandiset {dandiset}" if dandiset else "a new folder for a new dandiset",
            remedy=f"choose another folder with --out, or publish to --dandiset {known}",
            file=folder / DESCRIPTION_FILE,
        )
    if to_publish:
        check_token(instance)
    files, refused, zarr = find_annotated_files(named, folder, progress)
    files = _each_once(files)
    refused += _refused_paths(files, folder, replace=replace)
    if refused or (zarr and not files):
        raise RefusedFilesError.of([*refused, *zarr, *_refused_findings(files, progress)])
    metadata = _description(files, title=title, license=license, contributors=contributors)
    upload = plan_upload(
        [file.local for file in files], dandiset, metadata=metadata, instance=instance, replace=replace
    )
    # What the draft has already was checked when it was sent.
    to_send = {planned.local.path for planned in upload.to_send}
    refused = _refused_findings([file for file in files if file.local.path in to_send], progress)
    if refused:
        raise RefusedFilesError.of(refused)
    return PublicationPlan(folder, title, upload, tuple(_notes(files, zarr, upload)), replace)


def publish(
    plan: PublicationPlan,
    *,
    progress: Progress | None = None,
    finished: Callable[[str], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Publication:
    """Lay a dandiset out in its folder and send what is missing into its draft; no version is published.

    The folder gets the files (as hard links, where the disk allows it) and ``dandiset.yaml``; what is there with the
    same content stays. Each file is in the draft whole or not at all.

    Parameters
    ----------
    plan : PublicationPlan
        From :func:`plan_publication`.
    progress : callable, optional
        ``progress(path, done, total)`` in bytes.
    finished : callable, optional
        Told the path of each file as soon as the draft has it.
    note : callable, optional
        Told in a sentence what else was changed in the archive, as soon as it was.

    Raises
    ------
    ArchiveError
        If there is no valid token; nothing was written or sent then.
    OutputError
        If the folder cannot be written; nothing was sent then, and no dandiset made.
    InterruptedUploadError
        If something fails after a dandiset was made, or the upload stops on its way; the error says so and what is
        up, and a new plan goes on.
    """
    upload = plan.upload
    check_token(upload.instance)
    for planned in upload.files:
        lay_out(planned.local, plan.folder, replace=plan.replace)
    with ExitStack() as stack:
        if plan.title is not None:
            created = create_dandiset(plan.title, upload.metadata, instance=upload.instance)
            stack.enter_context(_telling_of(created, upload))
            if note is not None:
                note(_made(created))
            # From here on the folder says which one it is, so that the same command goes on with it.
            write_description(plan.folder, upload.metadata, created, upload.instance)
            files = [planned.local for planned in upload.files]
            upload = plan_upload(files, created, metadata=upload.metadata, instance=upload.instance)
        write_description(plan.folder, upload.metadata, str(upload.dandiset), upload.instance)
        assets = upload_files(upload, progress=progress, finished=finished, note=note)
    return Publication(dataclasses.replace(plan, title=None, upload=upload), tuple(assets))


def _made(created: str) -> str:
    return f"Dandiset {created} was made"


@contextmanager
def _telling_of(created: str, upload: UploadPlan) -> Iterator[None]:
    """Say of whatever fails from now on that a dandiset was made."""
    try:
        yield
    except InterruptedUploadError as problem:
        raise problem.after(_made(created)) from problem
    except NwbMivaeError as problem:
        raise InterruptedUploadError.of(
            problem,
            at="the new dandiset",
            uploaded=(),
            missing=[planned.local.path for planned in upload.files],
            changes=(_made(created),),
            address=problem.file or str(upload.instance),
        ) from problem


def _refuse_unnamed(dandiset: str | None, title: str | None) -> None:
    """Refuse what names no dandiset, or two."""
    if (dandiset is None) == (title is None):
        raise ArchiveError(
            f"dandiset {dandiset!r} and title {title!r}",
            expected="the six digits of a dandiset, or the title of a new one",
            remedy="name one of the two",
        )
    if dandiset is not None and not re.fullmatch(r"[0-9]{6}", dandiset):
        raise ArchiveError(
            f"{dandiset!r}, which is not a dandiset's number",
            expected="six digits",
            remedy=f"write {dandiset:0>6}"
            if re.fullmatch(r"[0-9]{1,5}", dandiset)
            else "copy them from the dandiset's page, as in 000728",
        )
    if title is not None and not title.strip():
        raise ArchiveError("an empty title", expected="the title of a new dandiset", remedy="give it one")


def _folder(sources: Sequence[Path], dandiset: str | None) -> Path:
    for source in sources:
        if is_run(source):
            return source / "dandiset"
    return Path("dandiset" if dandiset is None else f"dandiset-{dandiset}")


def _refused_findings(files: Sequence[AnnotatedFile], progress: Progress | None) -> list[NwbMivaeError]:
    refused: list[NwbMivaeError] = []
    for done, file in enumerate(files):
        if progress is not None:
            progress("checking", done, len(files))
        (checked,) = check([file.local.file], model=file.model)
        refused += [
            ArchiveError(
                f"{finding.check}: {finding.sentence.rstrip('.')}",
                file=checked.path,
                object_path=", ".join(finding.object_paths[:3]) or None,
            )
            for finding in checked.findings
            if finding.blocks_upload
        ]
    if progress is not None:
        progress("checking", len(files), len(files))
    return refused


def _description(
    files: Sequence[AnnotatedFile], *, title: str | None, license: str | None, contributors: Iterable[str]
) -> dict[str, Any]:
    """What is said of the dandiset, beyond what others said of it."""
    versions = sorted({version for file in files for version in file.versions})
    dandisets = _dandisets(files)
    names = ", ".join(f"{each.dandiset}@{each.version}" if each.version else each.dandiset for each in dandisets)
    metadata: dict[str, Any] = {
        "description": "Latent spaces shared by neural activity and visual stimuli, and their attribution to cells and "
        f"pixels, computed by {SOFTWARE} {', '.join(versions)}"
        + (f" from recordings of DANDI: {names}." if dandisets else "."),
        "wasGeneratedBy": [
            software_activity("Project", f"Annotation with {SOFTWARE} {version}", SOFTWARE, version)
            for version in versions
        ],
    }
    if title is not None:
        metadata["name"] = title
    if dandisets:
        metadata["relatedResource"] = [derived_from(each) for each in dandisets]
    if license is not None:
        metadata["license"] = [license]
    people = [person(text) for text in contributors]
    return metadata | ({"contributor": people} if people else {})


def _dandisets(files: Sequence[AnnotatedFile]) -> list[Address]:
    """The dandisets that the annotated recordings, and those the model was trained on, come from."""
    found = [address for file in files for address in (*file.sources, *file.trained_on)]
    return list(dict.fromkeys(Address(each.instance, each.dandiset, each.version) for each in found))


def _notes(files: Sequence[AnnotatedFile], zarr: Sequence[NwbMivaeError], upload: UploadPlan) -> Iterator[str]:
    if zarr:
        yield (
            f"Zarr folders are not sent: {', '.join(str(each.file) for each in zarr)}; `dandi upload` can, or annotate "
            "with --format hdf5"
        )
    newer = [f"{file.local.path} ({file.newer_schema})" for file in files if file.newer_schema]
    if newer:
        yield (
            f"results of a later version of the ndx-mivae schema than {KNOWN_SCHEMA}, which were checked in part only: "
            f"{', '.join(newer)}; update nwb_mivae and ndx-mivae to check all of them"
        )
    local = [file.local.path for file in files if not file.sources]
    if local:
        yield (
            f"{len(local)} of {len(files)} files do not name the asset they were made from: relate the dandiset to its "
            "sources on its page, or annotate recordings that were downloaded with nwb-mivae"
        )
    if not upload.metadata.get("license"):
        yield "the draft has no license, which DANDI asks for before it is published: --license spdx:CC-BY-4.0"
    movies = [file.local.path for file in files if file.movies_outside]
    if movies:
        yield f"movies beside the files are not sent: {', '.join(movies)}"


def _each_once(files: Sequence[AnnotatedFile]) -> list[AnnotatedFile]:
    """The files without those that are another one's bytes under its name, as in a folder that was laid out before."""
    found: list[AnnotatedFile] = []
    for file in files:
        if not any(file.local.path == each.local.path and is_laid_out(file.local, each.local.file) for each in found):
            found.append(file)
    return found


def _refused_paths(files: Sequence[AnnotatedFile], folder: Path, *, replace: bool) -> list[NwbMivaeError]:
    refused: list[NwbMivaeError] = []
    first: dict[str, Path] = {}
    for file in files:
        local = file.local
        other = first.setdefault(local.path, local.file)
        if other is not local.file:
            refused.append(
                ArchiveError(
                    f"a file that would be called {local.path}, as {other} would",
                    expected="files that differ in subject, session or description",
                    remedy="publish one of the two; annotate with --name where results of two models are to stand "
                    "beside each other; or tell two planes of a session apart by their names, as "
                    f"{Path(local.path).name.replace('_desc-', '_desc-plane2-')}",
                    file=local.file,
                )
            )
        elif not replace:
            try:
                refuse_other_file(local, folder)
            except OutputError as problem:
                refused.append(problem)
    return refused
