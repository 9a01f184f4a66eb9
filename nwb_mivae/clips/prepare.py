"""From NWB files to a clip store: group, read, align, write; only what changed, and whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwb_mivae.alignment import AlignmentConfiguration, align
from nwb_mivae.archive import is_remote
from nwb_mivae.clips.configuration import ClipsConfiguration
from nwb_mivae.clips.sources import SourceFile, identify, number_of_file, source_record
from nwb_mivae.clips.store import FORMAT_VERSION, ClipStore
from nwb_mivae.clips.writing import StoreWriter, fingerprint_of
from nwb_mivae.errors import NwbMivaeError, StoreError
from nwb_mivae.provenance import package_version
from nwb_mivae.sessions.conventions import PIXEL_FILE_SUFFIXES, load_conventions
from nwb_mivae.sessions.grouping import SourceGroup, source_name
from nwb_mivae.sessions.session import Session

if TYPE_CHECKING:
    from nwb_mivae.sessions import SessionsConfiguration

__all__ = ["prepare"]

#: So many reasons are told where no session can be prepared.
_FAILURES_SHOWN = 10

Progress = Callable[[str, int, int], None]
Source = str | PathLike[str] | Session


def prepare(
    sources: Sequence[Source],
    out: str | PathLike[str],
    *,
    configuration: ClipsConfiguration | None = None,
    sessions: SessionsConfiguration | None = None,
    alignment: AlignmentConfiguration | None = None,
    stimulus_folder: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> ClipStore:
    """Read and align recording sessions and write them into a clip store.

    Files that hold one imaging plane each of a session become one session, and of several files of one recording the
    one that tells most is read; see :mod:`nwb_mivae.sessions.grouping`.

    Sessions whose files, movies, conventions and configuration are those of an earlier call are not prepared again, so
    that an interrupted call is taken up where it stopped. Sessions given open, and those that show or look for movies
    outside the stimulus folder, are always prepared again. The store holds the sessions of this call and no others. A
    session that fails does not stop the others; why it failed stands under ``failures`` in the store's manifest.

    Parameters
    ----------
    sources : sequence of paths, addresses or open Sessions
        NWB files, local, ``dandi://`` (whose path may be a glob pattern) or URLs, or sessions already read (they are
        not closed).
    out : path-like
        Folder of the store: new, empty, or a store.
    configuration, sessions, alignment : optional
        Settings of the store, of reading and of alignment.
    stimulus_folder : path-like, optional
        Where movies are that the files name and do not hold.
    progress : callable, optional
        ``progress(description, done, total)``.

    Raises
    ------
    StoreError
        If no session could be prepared (with the first failure), or ``out`` holds something else.
    OutputError
        If ``out`` cannot be written.
    ArchiveError
        If an address names nothing, or its archive cannot be reached.
    ConfigurationError
        If the file named by ``sessions.conventions`` cannot be used.
    """
    from nwb_mivae.archive import expand_address
    from nwb_mivae.sessions import SessionsConfiguration, read_session

    configuration = ClipsConfiguration() if configuration is None else configuration
    sessions = SessionsConfiguration() if sessions is None else sessions
    alignment = AlignmentConfiguration() if alignment is None else alignment
    settings = {
        "clips": configuration.model_dump(mode="json"),
        "sessions": sessions.model_dump(mode="json"),
        "alignment": alignment.model_dump(mode="json"),
    }
    made_with = {
        "settings": {**settings, "sessions": {**settings["sessions"], "conventions": None}},
        # What they say counts, and not where the file lies.
        "conventions": load_conventions(sessions.conventions).model_dump(mode="json"),
        "format_version": FORMAT_VERSION,
        "package": package_version(),
        "stimuli": None if stimulus_folder is None else _listing(Path(stimulus_folder)),
    }
    writer = StoreWriter(out, configuration, settings)
    failures: list[NwbMivaeError] = []
    given: dict[str, str] = {}
    expanded = [
        each
        for source in sources
        for each in ([source] if isinstance(source, Session) else expand_address(fspath(source)))
    ]
    recordings = _recordings(expanded, sessions)
    for number, (recording, group) in enumerate(recordings):
        if progress is not None:
            progress(f"preparing {_name(recording, group)}", number, len(recordings))
        at = group.sources[0]
        try:
            files = []
            for at in group.sources:
                files.append(identify(at))
                _refuse_copies(files[-1], given)
            at = group.sources[0]
            notes = [finding.message for finding in group.findings]
            fingerprint = fingerprint_of(
                {
                    **made_with,
                    "files": [[file.digest or file.path, source_name(file.path)] for file in files],
                    "notes": notes,
                }
            )
            # Nothing tells with which settings a session was opened, nor what was done to it since.
            if recording is None and all(file.digest for file in files):
                if writer.reuse(fingerprint, [file.path for file in files]) is not None:
                    continue
            else:
                # Nothing tells whether these bytes are those of the last time.
                fingerprint = ""
            if recording is not None:
                _write(writer, recording, group, files, alignment, fingerprint, stimulus_folder)
            else:
                with read_session(group.sources, stimulus_folder=stimulus_folder, configuration=sessions) as session:
                    _write(writer, session, group, files, alignment, fingerprint, stimulus_folder)
        except NwbMivaeError as failure:
            failures.append(failure)
        except OSError as problem:
            failures.append(
                StoreError(
                    f"a source that cannot be read ({problem.strerror or problem})",
                    expected="a readable NWB file",
                    remedy="check the path and the disk",
                    file=problem.filename or at,
                )
            )
    if progress is not None:
        progress("writing the manifest", len(recordings), len(recordings))
    if failures and len(failures) == len(recordings):
        writer.abandon()
        others = "".join(f"; {failure.file or 'another'}: {failure.found}" for failure in failures[1:_FAILURES_SHOWN])
        if len(failures) > _FAILURES_SHOWN:
            others += f"; and {len(failures) - _FAILURES_SHOWN} more"
        raise StoreError(
            failures[0].found
            if len(failures) == 1
            else f"none of {len(failures)} sessions that can be prepared; the first has {failures[0].found}{others}",
            expected=failures[0].expected,
            remedy=failures[0].remedy,
            file=failures[0].file,
            object_path=failures[0].object_path,
        ) from failures[0]
    return writer.finish(failures)


def _recordings(
    sources: Sequence[Source], configuration: SessionsConfiguration
) -> list[tuple[Session | None, SourceGroup]]:
    """The sessions of these sources with their files, in the order given; ``None`` for one that is still to be read."""
    from nwb_mivae.sessions.grouping import find_groups

    paths = [fspath(source) for source in sources if not isinstance(source, Session)]
    # A path that is given twice is given twice: the second is refused as a copy.
    again = [path for number, path in enumerate(paths) if path in paths[:number]]
    groups = {group.sources[0]: group for group in find_groups(paths, configuration=configuration)}
    first = {source: group for group in groups.values() for source in (*group.sources, *group.left_out)}
    found: list[tuple[Session | None, SourceGroup]] = []
    for source in sources:
        if isinstance(source, Session):
            found.append((source, SourceGroup(_paths(source))))
            continue
        group = first[fspath(source)]
        if groups.pop(group.sources[0], None) is not None:
            found.append((None, group))
    return found + [(None, SourceGroup((path,))) for path in again]


def _name(recording: Session | None, group: SourceGroup) -> str:
    if recording is not None:
        return recording.key
    more = f" and {len(group.sources) - 1} more" if len(group.sources) > 1 else ""
    return source_name(group.sources[0]) + more


def _refuse_copies(file: SourceFile, given: dict[str, str]) -> None:
    if file.digest is None:
        return
    if file.digest in given:
        raise StoreError(
            f"the same bytes as {given[file.digest]}",
            expected="every recording once",
            remedy="leave one of the two out: a copy is no other session, and no other animal",
            file=file.path,
        )
    given[file.digest] = file.path


def _write(
    writer: StoreWriter,
    session: Session,
    group: SourceGroup,
    files: Sequence[SourceFile],
    alignment: AlignmentConfiguration,
    fingerprint: str,
    stimulus_folder: str | PathLike[str] | None,
) -> None:
    with writer.workspace() as workspace:
        aligned = align(session, alignment, workspace=workspace)
        if not _movies_listed(session, stimulus_folder):
            fingerprint = ""
        notes = [*aligned.report.notes, *(finding.message for finding in group.findings)]
        left_out = [{"name": source_name(source), "reason": reason} for source, reason in group.left_out.items()]
        writer.add(
            replace(
                aligned,
                cells=aligned.cells.assign(source_file=number_of_file(session, aligned.cells["source_file"])),
                report=replace(aligned.report, notes=notes),
            ),
            source=source_record(session, aligned.trace_path, files, left_out),
            fingerprint=fingerprint,
        )


def _movies_listed(session: Session, stimulus_folder: str | PathLike[str] | None) -> bool:
    """Whether the listing of the stimulus folder tells every movie of the session, those that were looked for included.

    What lies beside the file, and what may yet be put there, is in no digest.
    """
    folder = None if stimulus_folder is None else Path(stimulus_folder)
    for template in session.templates.values():
        path = getattr(template, "path", None)
        if template.origin == "external" and (folder is None or path is None or not path.is_relative_to(folder)):
            return False
    if all(is_remote(path) for path in _paths(session)):
        return True
    looked_for = {name for name in session.missing_templates if name.lower().endswith(PIXEL_FILE_SUFFIXES)}
    return not session.presentations["template"].isin(looked_for).any()


def _paths(session: Session) -> tuple[str, ...]:
    return tuple(file.path for file in session.files or (session.provenance,))


def _listing(folder: Path) -> list[list[Any]]:
    """Names, sizes and times of the movies: a change of any of them makes the sessions be prepared again."""
    return [
        [path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
