"""The step that writes a run's results into NWB: copies, companions, or the recordings themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nwb_mivae.annotation import ModelRecord, annotated_name
from nwb_mivae.annotation import annotate as write_annotation
from nwb_mivae.annotation.annotate import chosen_form, names_for_output
from nwb_mivae.annotation.names import checked_name
from nwb_mivae.annotation.results import Results
from nwb_mivae.annotation.snapshot import Snapshot
from nwb_mivae.archive import is_address, is_remote
from nwb_mivae.attribution import SessionAttribution, SessionSubpopulations
from nwb_mivae.errors import AnnotationError, NwbMivaeError
from nwb_mivae.evaluation import Evaluation
from nwb_mivae.pipeline.annotated_outputs import AnnotatedOutputs, Contents
from nwb_mivae.pipeline.record import TrainedRun
from nwb_mivae.pipeline.sources import nwb_files
from nwb_mivae.pipeline.steps import fingerprints, latents

if TYPE_CHECKING:
    from nwb_mivae.annotation.backends import BackendName
    from nwb_mivae.annotation.results import Form
    from nwb_mivae.clips import StoredSession

    Progress = Callable[[str, int, int], None]
    AnyPath = str | PathLike[str]

__all__ = ["annotate"]


def annotate(
    run: AnyPath,
    *,
    store: AnyPath | None = None,
    sessions: Sequence[str] | None = None,
    source_folder: AnyPath | None = None,
    out: AnyPath | None = None,
    form: Form | None = None,
    backend: BackendName = "hdf5",
    name: str | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> tuple[list[Path], list[NwbMivaeError]]:
    """Write the sessions' results into NWB files, one for each file of a recording.

    What the run has so far goes in: latents and fingerprints always, attribution, subpopulations and figures where
    they were computed from the run's present weights. The same output of an earlier call (recording, form, name and
    weights) is written anew where it still is as the run left it. Whatever else lies there stays, and the output gets
    the next free name beside it; where it is of another recording, the same name in a folder of the session's own.

    Parameters
    ----------
    run : path
        A trained run.
    store : path, optional
        The clip store, where it was moved.
    sessions : sequence of str, optional
        Keys; all by default.
    source_folder : path, optional
        Where the NWB files lie now, where they were moved; they are looked for by name.
    out : path, optional
        Folder of the copies and companions; the run's ``annotated`` by default.
    form : {"copy", "append", "companion"}, optional
        ``None`` chooses the companion for recordings over 2 GB or on a server, else the copy. ``"append"`` changes
        the recordings themselves.
    backend : {"hdf5", "zarr"}
        Format of copies and companions.
    name : str, optional
        Name of the result in the files; ``mivae``, or the next free one after it.
    progress : callable, optional
        ``progress(description, done, total)``.
    note : callable, optional
        Told of each output that has another name because of what lies there.

    Returns
    -------
    list of Path, list of NwbMivaeError
        The annotated files, and why some recordings have none.

    Raises
    ------
    AnnotationError
        If ``name`` is no name, or ``out`` is given for ``"append"``.
    ModelError, StoreError
        If the run or its store cannot be used, or has no such session.
    """
    if form == "append" and out is not None:
        raise AnnotationError(
            "a folder for results that are appended to the recordings themselves",
            expected="no output folder",
            remedy="leave --out away, or choose another form",
            file=out,
        )
    if name is not None:
        checked_name(name)
    trained = TrainedRun.open(run, store)
    folder = trained.run.annotated if out is None else Path(out)
    outputs = AnnotatedOutputs(trained.run)
    written: list[Path] = []
    refused: list[NwbMivaeError] = []
    keys = trained.sessions(sessions)
    for done, results in enumerate(_results(trained, keys, progress)):
        key = results.stored.key
        if progress is not None:
            progress("annotating", done, len(keys))
        for number, file in enumerate(results.stored.source["files"]):
            try:
                source = _source_of(results.stored, str(file["path"]), source_folder, form)
                chosen = chosen_form(source, None, form)
                folders = [folder, folder / key, folder / key / str(number)]
                place = recorded = None
                if chosen != "append":
                    wanted = _wanted(source, file, results, form=chosen, name=name)
                    place = _place(source, folders, wanted, outputs, backend, note)
                    names = [*(each.name for each in written), place.path.name]
                    recorded = partial(_record, outputs, place, names)
                path = write_annotation(
                    source,
                    None if place is None else place.path,
                    latents=results.latents,
                    stored=results.stored,
                    model=results.model,
                    attribution=results.attribution,
                    fingerprints=results.fingerprints,
                    subpopulations=results.subpopulations,
                    evaluation=results.evaluation,
                    form=chosen,
                    backend=backend,
                    name=name if place is None else place.contents.name,
                    overwrite=place is not None and place.replaces is not None,
                    before_placing=recorded,
                )
                written.append(path)
                if place is None:
                    outputs.add_appended(files=[each.name for each in written])
            except NwbMivaeError as problem:
                refused.append(problem)
    if progress is not None:
        progress("annotating", len(keys), len(keys))
    return written, refused


def _wanted(
    source: str, file: Mapping[str, Any], results: Results, *, form: Form, name: str | None
) -> Iterator[Contents]:
    """What the output for a file of a session may hold: the same under one name after the other."""
    digest = results.model.weights_sha256
    names = names_for_output(source, form, weights_sha256=digest) if name is None else iter([name])
    return (Contents.of(file, form=form, name=each, weights_sha256=digest) for each in names)


class _Place(NamedTuple):
    """Where an output goes, what it holds, and the one of the same contents that is there to be replaced, if one is."""

    path: Path
    contents: Contents
    replaces: Snapshot | None


def _record(outputs: AnnotatedOutputs, place: _Place, files: list[str], beside: Path) -> None:
    outputs.add(place.path, place.contents, beside=beside, replaces=place.replaces, files=files)


def _place(
    source: str,
    folders: Sequence[Path],
    wanted: Iterator[Contents],
    outputs: AnnotatedOutputs,
    backend: BackendName,
    note: Callable[[str], None] | None,
) -> _Place:
    """The first place that is free, or whose output is the one that is wanted, as this run left it.

    Two recordings may have one name: the second goes into a folder of its session's own, and is found there again.
    """
    kept: dict[Path, str] = {}
    for contents in wanted:
        file_name = annotated_name(source, name=contents.name, form=contents.form, backend=backend)
        for path in (folder / file_name for folder in folders):
            # Looked at before it is read: what changes it while the output is written shows at the end.
            there = None
            with suppress(OSError):
                there = Snapshot.of(path)
            why = outputs.why_kept(path, contents) if os.path.lexists(path) else None
            if why is None:
                for other, reason in kept.items():
                    if note is not None:
                        note(f"{other} stays as it is: {reason}. The results go to {path}.")
                return _Place(path, contents, there)
            kept[path] = why
            known = outputs.contents(path)
            if known is None or known.source == contents.source:
                break
    path, why = kept.popitem()
    raise AnnotationError(
        f"an output that stays as it is: {why}",
        expected="a new name, or this run's own output for this recording in this form, unchanged",
        remedy="choose another --name or another --out, or remove the file",
        file=path,
    )


def _results(trained: TrainedRun, keys: Sequence[str], progress: Progress | None) -> Iterator[Results]:
    """What the run has of each session, one at a time: that of hundreds of sessions would not fit into memory."""
    # Asked once: a folder of other weights is emptied before the first session's results are put into it.
    maps = trained.current_folder("attribute", trained.run.attribution)
    groups = trained.current_folder("attribute", trained.run.subpopulations)
    evaluation = Evaluation.load(trained.run.evaluation) if trained.is_current("evaluate") else None
    model = ModelRecord.of_folder(
        trained.run.model, [trained.store.sessions[key] for key in trained.split.train_sessions]
    )
    for key in keys:
        of_maps, of_groups = maps / f"{key}.npz", groups / f"{key}.npz"
        yield Results(
            stored=trained.store.sessions[key],
            model=model,
            latents=latents(trained, sessions=[key], progress=progress)[key],
            fingerprints=fingerprints(trained, sessions=[key]).get(key),
            attribution=SessionAttribution.load(of_maps) if of_maps.exists() else None,
            subpopulations=SessionSubpopulations.load(of_groups) if of_groups.exists() else None,
            evaluation=evaluation,
        )


def _source_of(stored: StoredSession, text: str, folder: AnyPath | None, form: Form | None) -> str:
    """The recording a session was prepared from: where it lies on this disk, or its address; ``text`` is either."""
    if folder is None and is_remote(text):
        if form in (None, "companion"):
            return text
        raise AnnotationError(
            "a session that was read from a server",
            expected=f"its NWB file on this disk, for the form {form!r}",
            remedy="choose the form companion, or "
            + (f"run `nwb-mivae download '{text}' --out FOLDER`" if is_address(text) else "download it")
            + " and name that folder with --source-folder",
            file=text,
            object_path=stored.key,
        )
    # Of an address or a URL this gives the file's own name.
    known = Path(text.partition("#asset=")[0] if is_address(text) else text)
    if folder is None:
        if known.exists():
            return str(known)
        raise AnnotationError(
            "no such file any more",
            expected="the NWB file that the session was prepared from",
            remedy="name the folder it lies in now with --source-folder",
            file=known,
            object_path=stored.key,
        )
    found = sorted(path for path in nwb_files([folder]) if path.name == known.name)
    if len(found) != 1:
        raise AnnotationError(
            f"{len(found)} files named {known.name}",
            expected="one",
            remedy="name the folder with the NWB files of this store",
            file=folder,
            object_path=stored.key,
        )
    return str(found[0])
