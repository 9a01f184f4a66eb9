"""The step that writes a run's results into NWB: copies, companions, or the recordings themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from nwb_mivae.annotation import ModelRecord, annotated_name
from nwb_mivae.annotation import annotate as write_annotation
from nwb_mivae.annotation.annotate import chosen_form
from nwb_mivae.annotation.names import annotations_in, checked_name
from nwb_mivae.annotation.results import Results
from nwb_mivae.archive import is_address, is_remote
from nwb_mivae.attribution import SessionAttribution, SessionSubpopulations
from nwb_mivae.errors import AnnotationError, NwbMivaeError
from nwb_mivae.evaluation import Evaluation
from nwb_mivae.pipeline.record import TrainedRun, record_step
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
) -> tuple[list[Path], list[NwbMivaeError]]:
    """Write the sessions' results into NWB files, one for each file of a recording.

    What the run has so far goes in: latents and fingerprints always, attribution, subpopulations and figures where
    they were computed from the run's present weights. An output of an earlier call with the same weights is written
    anew; results of other weights that are there stay, and these get the next free name beside them.

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
                places = [folder, folder / key, folder / key / str(number)]
                target, named = _target(places, source, results, written, form=chosen, backend=backend, name=name)
                written.append(
                    write_annotation(
                        source,
                        target,
                        latents=results.latents,
                        stored=results.stored,
                        model=results.model,
                        attribution=results.attribution,
                        fingerprints=results.fingerprints,
                        subpopulations=results.subpopulations,
                        evaluation=results.evaluation,
                        form=chosen,
                        backend=backend,
                        name=named,
                        overwrite=True,
                    )
                )
            except NwbMivaeError as problem:
                refused.append(problem)
    if progress is not None:
        progress("annotating", len(keys), len(keys))
    record_step(trained.run, "annotate", files=[path.name for path in written])
    return written, refused


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


def _target(
    places: Sequence[Path],
    source: str,
    results: Results,
    written: Sequence[Path],
    *,
    form: Form,
    backend: BackendName,
    name: str | None,
) -> tuple[Path | None, str | None]:
    """Where an output goes, and the name of the result in it.

    Left as they are: a file that this call wrote already (two recordings of one name), and one with results of other
    weights that are not from the source. One with results of these weights is the same output, made again.
    """
    if form == "append":
        return None, name
    number = 1
    while True:
        called = name or ("mivae" if number == 1 else f"mivae_{number}")
        file_name = annotated_name(source, name=called, form=form, backend=backend)
        target = next(place / file_name for place in places if place / file_name not in written)
        if not target.exists() or _is_made_again(target, source, results.model.weights_sha256):
            # The first name is left to annotate: in a source that has results already it takes the next free one.
            return target, name if number == 1 else called
        if name is not None:
            raise AnnotationError(
                "a file that holds results of another model, or nothing that can be read",
                expected="a new name",
                remedy="choose another --name or another --out",
                file=target,
            )
        number += 1


def _is_made_again(target: Path, source: str, digest: str) -> bool:
    """Whether nothing is lost if a file with results of these weights is written anew from its source."""
    held = _weights_in(target)
    others = held - {digest}
    return digest in held and (not others or others <= _weights_in(source))


def _weights_in(path: str | Path) -> set[str]:
    """Digests of the weights whose results a file has; none where it cannot be read, so that it is left alone."""
    from nwb_mivae.sessions.nwb import open_nwb

    try:
        opened = open_nwb(path)
    except NwbMivaeError:
        return set()
    try:
        return {str(item.model.weights_sha256) for item in annotations_in(opened.nwbfile).values()}
    finally:
        opened.close()


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
