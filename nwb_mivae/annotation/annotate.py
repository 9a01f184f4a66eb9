"""Results added to NWB: to a copy of the source, to the source itself, or to a light file that goes with it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwb_mivae.annotation.append import copy_to_change, refuse_open_elsewhere, refuse_unchangeable
from nwb_mivae.annotation.backends import Backend, BackendName, backend_named, backend_of
from nwb_mivae.annotation.data_outside import data_outside
from nwb_mivae.annotation.file_name import annotated_name
from nwb_mivae.annotation.file_part import FilePart, part_of_session
from nwb_mivae.annotation.moved_source import decode_texts, keep_external_files
from nwb_mivae.annotation.names import MODULE, checked_name, free_names
from nwb_mivae.annotation.record import ModelRecord
from nwb_mivae.annotation.refusals import (
    refuse_foreign_results,
    refuse_newer_schema,
    refuse_output,
    refuse_same_weights,
    refuse_taken_name,
)
from nwb_mivae.annotation.results import FORMS, Form, Results
from nwb_mivae.annotation.schema import explain_newer_schema
from nwb_mivae.annotation.snapshot import Snapshot
from nwb_mivae.annotation.source_objects import source_objects
from nwb_mivae.archive import is_address, is_remote
from nwb_mivae.errors import AnnotationError, NwbMivaeError
from nwb_mivae.outputs import refuse_without_space, reserve_space

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionAttribution, SessionSubpopulations
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.evaluation import Evaluation
    from nwb_mivae.inference import SessionFingerprints, SessionLatents
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["annotate", "chosen_form", "names_for_output"]

#: Sources larger than this are not copied unless that is asked for.
_LARGE_BYTES = 2 * 10**9
#: What an annotation takes besides its arrays: text, specifications, HDF5's own bookkeeping.
_BESIDE_ARRAYS_BYTES = 4 * 2**20


def annotate(
    source: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    latents: SessionLatents,
    stored: StoredSession,
    model: ModelRecord,
    attribution: SessionAttribution | None = None,
    fingerprints: SessionFingerprints | None = None,
    subpopulations: SessionSubpopulations | None = None,
    evaluation: Evaluation | None = None,
    form: Form | None = None,
    backend: BackendName = "hdf5",
    name: str | None = None,
    overwrite: bool = False,
    before_placing: Callable[[Path], None] | None = None,
) -> Path:
    """Add the results of a session to NWB, in one of three forms.

    ``"copy"``
        An export of the whole source with the results in it: a new ``object_id`` for the file, the same ``identifier``
        and, inside, the same objects with their own ids; HDF5 objects that no NWB schema describes are unknown to pynwb
        and stay behind, data kept in other files (linked, virtual or external datasets) comes along. The source is
        only read.
    ``"append"``
        The source itself, which keeps its ids. A copy beside it is appended to, flushed to the disk and put in its
        place at once: after a crash at any moment the file is whole, with the results or without, and what is left of
        the copy has a name that begins with a dot and is removed by the next call. For that time it takes its own size
        in space, where the file system cannot share blocks. Other hard links to it keep the old file.
    ``"companion"``
        A light file of its own: the session, the subject, the tables of cells and presentations that the results refer
        to (same paths, same rows), the results, and which file they belong to.

    Results go to the processing module and the lab metadata ``name``:

    * ``latents_BLOCK`` (``LatentSeries``): posterior mean and variance (frames, latents), at frame onsets in seconds;
    * ``encoded_frames`` (``TimeIntervals``): start, stop, clip and split of these frames;
    * ``presentation_latents_BLOCK_TABLE`` (``PresentationLatents``): the same by row of the source's presentation
      table, where it has one;
    * ``attribution_METHOD_cells`` (``RoiAttributionSeries`` or ``UnitAttributionSeries``) and
      ``attribution_METHOD_stimulus`` (``StimulusAttributionSeries``), ``fingerprints``, ``subpopulations`` and
      ``alignment_metrics``, where they are given;
    * the model, its training sessions, the source's identity and the context shown (``MIVAEAnnotation``).

    Of a session whose planes lie in several files each is annotated by a call of its own. Latents are the session's and
    the same in every file; what is told of cells is told of those in this file; ``PresentationLatents`` are written
    where this file has the presentation table that the session's presentations came from, with the same start times.

    Outputs are written beside their place and renamed, so they are there whole or not at all.

    Parameters
    ----------
    source : path-like
        An NWB file (HDF5 or a Zarr folder) that ``stored`` was prepared from, or one that results were added to before;
        also an address or a URL, for a companion.
    out : path-like, optional
        The file to write, or an existing folder for it. By default it lies beside the source (or in the current folder,
        for a source on a server) under the name that :func:`annotated_name` gives it. ``None`` for ``"append"``.
    latents : SessionLatents
        Latents of this session.
    stored : StoredSession
        The session in the clip store; tells which rows of the source the cells and presentations are.
    model : ModelRecord
        Where the results came from.
    attribution : SessionAttribution, optional
        Attribution of this session.
    fingerprints : SessionFingerprints, optional
        Fingerprints of its cells.
    subpopulations : SessionSubpopulations, optional
        Groups of its cells.
    evaluation : Evaluation, optional
        Figures with their controls; those of this session are written.
    form : {"copy", "append", "companion"}, optional
        By default a companion for sources over 2 GB or on a server, else a copy. ``"append"`` has to be asked for: it
        is the permission to change the source.
    backend : {"hdf5", "zarr"}
        Format of a copy or a companion; what is appended has the source's own.
    name : str, optional
        Name of this result in the file: lower-case letters, digits and ``_``. By default ``mivae`` or, where the file
        has one, the next free of ``mivae_2``, ``mivae_3``, ...
    overwrite : bool
        Replace ``out`` if it exists. Results inside a file are never replaced.
    before_placing : callable, optional
        Given the path of a copy or a companion that is whole and on the disk, right before it is renamed to ``out``; if
        it raises, ``out`` stays as it is.

    Returns
    -------
    Path
        The file that holds the results.

    Raises
    ------
    AnnotationError
        If the source changed since it was prepared, is open in another program, protected, of a later version of the
        extension, or cannot be written anew; if it has results of these weights and no ``name`` is given, or has
        something of that ``name``; if a file that a copy has to take data from is missing; if results, session and
        model do not belong together; if a row is out of range; if ``out`` is the source or exists; if a source on a
        server is to be copied or appended to.
    SessionError
        If the source cannot be read.
    ArchiveError
        If a source on a server cannot be had.
    OutputError
        If the output cannot be written, or has no space.
    """
    results = Results(stored, model, latents, attribution, fingerprints, subpopulations, evaluation)
    location = fspath(source)
    if name is not None:
        checked_name(name)
    chosen = chosen_form(location, out, form)
    writing = _backend_for(location, chosen, backend)
    refuse_foreign_results(results, file=location)
    # Before the source is opened: what pynwb does not know by then it writes as the type it extends, without a word.
    import ndx_mivae  # noqa: F401

    if chosen == "append":
        return _append(Path(location), results, writing, name)
    if chosen == "copy":
        return _write_copy(location, out, results, writing, name, overwrite=overwrite, before_placing=before_placing)
    return _write_companion(location, out, results, writing, name, overwrite=overwrite, before_placing=before_placing)


def _write_copy(
    location: str,
    out: str | PathLike[str] | None,
    results: Results,
    backend: Backend,
    name: str | None,
    *,
    overwrite: bool,
    before_placing: Callable[[Path], None] | None,
) -> Path:
    source = Path(location)
    refuse_open_elsewhere(source, to_change=False)
    refuse_newer_schema(source)
    before = Snapshot.of(source)
    with _opened(location) as opened:
        name = _name_in(opened, name, results)
        target = _place(location, out, name, "copy", backend)
        refuse_output(source, target, overwrite=overwrite)
        needed = before.n_bytes + data_outside(source).n_bytes + _added_bytes(results)
        refuse_without_space(target, needed)
        before = before.with_contents(source)
        part = part_of_session(opened, results.stored, digest=before.contents)
        with _refusing(opened.location, "a file that results cannot be added to"):
            _add(opened, results, part, name, "copy", backend)
            keep_external_files(opened, source, target)
            decode_texts(opened)
        # Only the file is a new object. Its parts keep their ids: they are the same ROIs, presentations and traces.
        opened.nwbfile.generate_new_id(recurse=False)
        with backend.whole(target, overwrite=overwrite, before_placing=before_placing) as beside:
            with _refusing(opened.location, "a file that pynwb cannot export"):
                backend.export(opened.io, opened.nwbfile, beside, n_bytes=needed)
            before.refuse_change(source)
    return target


def _append(source: Path, results: Results, backend: Backend, name: str | None) -> Path:
    refuse_unchangeable(source)
    refuse_open_elsewhere(source, to_change=True)
    refuse_newer_schema(source)
    before = Snapshot.of(source)
    # What can be refused is refused before a large file is copied.
    with _opened(str(source)) as opened:
        name = _name_in(opened, name, results)
        before = before.with_contents(source)
        part = part_of_session(opened, results.stored, digest=before.contents)
    added_bytes = _added_bytes(results)
    with (
        copy_to_change(source, before, backend, added_bytes=added_bytes) as beside,
        _refusing(str(source), "a file that pynwb cannot append to"),
    ):
        if beside.is_file():
            reserve_space(beside, added_bytes)
        with _opened_to_append(source, beside, backend) as opened:
            _add(opened, results, part, name, "append", backend)
            _let_generators_be_written(opened)
            opened.io.write(opened.nwbfile)
    return source


def _write_companion(
    location: str,
    out: str | PathLike[str] | None,
    results: Results,
    backend: Backend,
    name: str | None,
    *,
    overwrite: bool,
    before_placing: Callable[[Path], None] | None,
) -> Path:
    from nwb_mivae.annotation.companion import make_companion
    from nwb_mivae.annotation.objects import add_results

    source = None if is_remote(location) else Path(location)
    if source is not None:
        refuse_open_elsewhere(source, to_change=False)
    before = None if source is None else Snapshot.of(source)
    name = name or MODULE
    target = _place(location, out, name, "companion", backend)
    refuse_output(source, target, overwrite=overwrite)
    needed = _added_bytes(results)
    refuse_without_space(target, needed)
    with _opened(location) as opened:
        if source is not None and before is not None:
            before = before.with_contents(source)
        part = part_of_session(opened, results.stored, digest=before.contents if before is not None else "")
        with _refusing(opened.location, "a file that no companion can be made for", opened):
            nwbfile, objects = make_companion(opened, results, part=part, name=name, backend=backend)
            add_results(
                nwbfile,
                objects,
                results,
                part=part,
                name=name,
                form="companion",
                backend=backend,
                location=opened.location,
            )
        with backend.whole(target, overwrite=overwrite, before_placing=before_placing) as beside:
            with (
                _refusing(opened.location, "a companion that pynwb cannot write", opened),
                backend.open(beside, "w") as writing,
            ):
                if beside.is_file():
                    reserve_space(beside, needed)
                writing.write(nwbfile)
            opened.raise_if_broken()
            if source is not None and before is not None:
                before.refuse_change(source)
    return target


def _add(opened: OpenedFile, results: Results, part: FilePart, name: str, form: Form, backend: Backend) -> None:
    from nwb_mivae.annotation.objects import add_results

    objects = source_objects(opened, results.stored)
    add_results(
        opened.nwbfile,
        objects,
        results,
        part=part,
        name=name,
        form=form,
        backend=backend,
        location=opened.location,
    )


def _let_generators_be_written(opened: OpenedFile) -> None:
    """Take the list of programs out of a copy; pynwb writes no dataset that is there, and this one became longer."""
    group, name = "general", "was_generated_by"
    if f"{group}/{name}" in opened.io._file:
        del opened.io._file[f"{group}/{name}"]
        del opened.io.manager.get_builder(opened.nwbfile)[group].datasets[name]


def _name_in(opened: OpenedFile, name: str | None, results: Results) -> str:
    if name is None:
        refuse_same_weights(opened.nwbfile, results.model.weights_sha256, file=opened.location)
        return next(free_names(opened.nwbfile))
    refuse_taken_name(opened.nwbfile, name, file=opened.location)
    return name


def names_for_output(source: str, form: Form, *, weights_sha256: str) -> Iterator[str]:
    """Names that results may have in a copy or a companion: first the one :func:`annotate` gives where none is said.

    Raises
    ------
    AnnotationError
        If the copy of a source with results of these weights would hold them twice.
    SessionError
        If the source cannot be read.
    """
    if form == "companion":  # which holds no results of its source's
        return free_names()
    refuse_open_elsewhere(Path(source), to_change=False)
    refuse_newer_schema(Path(source))
    with _opened(source) as opened:
        refuse_same_weights(opened.nwbfile, weights_sha256, file=opened.location)
        return free_names(opened.nwbfile)


def chosen_form(location: str, out: str | PathLike[str] | None, form: str | None) -> Form:
    """The form that :func:`annotate` gives the results of a source.

    Raises
    ------
    AnnotationError
        If there is no such file or form, or the form cannot be had of this source or written to ``out``.
    """
    if is_remote(location):
        if form not in (None, "companion"):
            raise AnnotationError(
                f"a source on a server, and form {form!r}",
                expected="a file on this disk, or form 'companion'",
                remedy=f"run `nwb-mivae download '{location}' --out FOLDER` first, or choose form 'companion'"
                if is_address(location)
                else "download it first, or choose form 'companion'",
                file=_shown(location),
            )
        return "companion"
    path = Path(location)
    if not path.exists():
        raise AnnotationError(
            "no such file", expected="the NWB file the session was prepared from", remedy="check the path", file=path
        )
    if form is None:
        return "companion" if Snapshot.of(path).n_bytes > _LARGE_BYTES else "copy"
    for known in FORMS:
        if form == known:
            if known == "append" and out is not None:
                raise AnnotationError(
                    f"form 'append' and an output ({fspath(out)})",
                    expected="no output: results go into the source itself",
                    remedy="leave the output away, or choose form 'copy'",
                    file=path,
                )
            return known
    raise AnnotationError(
        f"no form {form!r}", expected=f"one of {', '.join(FORMS)}", remedy="name one of these", file=path
    )


def _shown(location: str) -> str:
    """A URL without its query, which may be a signature."""
    return location if is_address(location) else location.partition("?")[0]


def _backend_for(location: str, form: Form, backend: BackendName) -> Backend:
    wanted = backend_named(backend)
    if form != "append":
        return wanted
    own = backend_of(location)
    if wanted.name != own.name and backend != "hdf5":
        raise AnnotationError(
            f"form 'append' and storage format {backend!r}",
            expected=f"the source's own format, {own.name!r}",
            remedy="leave the format away, or choose form 'copy'",
            file=location,
        )
    return own


def _place(location: str, out: str | PathLike[str] | None, name: str, form: Form, backend: Backend) -> Path:
    """Where an output goes, once it is known what the result is called."""
    own = annotated_name(location, name=name, form=form, backend=backend.name)
    if out is None:
        return Path(own) if is_remote(location) else Path(location).parent / own
    place = Path(out)
    return place / own if os.path.isdir(place) and not _is_zarr(place) else place


def _is_zarr(folder: Path) -> bool:
    return folder.suffix == ".zarr" or any((folder / name).exists() for name in (".zgroup", "zarr.json"))


def _added_bytes(results: Results) -> int:
    """About how much is going to be written: times and indices come on top, and compression is not counted on."""
    parts = (results.latents, results.attribution, results.fingerprints, results.subpopulations)
    return _BESIDE_ARRAYS_BYTES + 2 * sum(_bytes_of(part) for part in parts)


def _bytes_of(part: Any) -> int:
    if isinstance(part, np.ndarray):
        return int(part.nbytes)
    if isinstance(part, Mapping):
        return sum(_bytes_of(value) for value in part.values())
    if isinstance(part, tuple):
        return sum(_bytes_of(value) for value in part)
    if is_dataclass(part):
        return sum(_bytes_of(getattr(part, field.name)) for field in fields(part))
    return 0


@contextmanager
def _opened(location: str) -> Iterator[OpenedFile]:
    from nwb_mivae.sessions.nwb import open_nwb

    with explain_newer_schema(location):
        opened = open_nwb(location)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def _opened_to_append(source: Path, copy: Path, backend: Backend) -> Iterator[OpenedFile]:
    """The copy open for reading and writing, under the name of its source, as errors and users know it."""
    from nwb_mivae.sessions.nwb import OpenedFile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # opening the source has said it all
        writing = backend.open(copy, "r+")
        try:
            yield OpenedFile(str(source), writing, writing.read())
        finally:
            writing.close()


@contextmanager
def _refusing(location: str, found: str, opened: OpenedFile | None = None) -> Iterator[None]:
    """Say of an error of pynwb's which file it is about, so that the other sessions go on."""
    try:
        yield
    except NwbMivaeError:
        raise
    except Exception as problem:  # pynwb and hdmf raise every builtin there is for what they cannot write
        if opened is not None:
            opened.raise_if_broken()
        raise AnnotationError(
            f"{found} ({type(problem).__name__}: {' '.join(str(problem).split())[:300]})",
            expected="a source whose objects pynwb can read and write",
            remedy="check it with `nwb-mivae check FILE`",
            file=location,
        ) from problem
