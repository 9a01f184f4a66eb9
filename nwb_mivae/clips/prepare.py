"""From NWB files to a clip store: read, align, write; only what changed, and whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwb_mivae.alignment import AlignmentConfiguration, align
from nwb_mivae.clips.configuration import ClipsConfiguration
from nwb_mivae.clips.store import FORMAT_VERSION, ClipStore
from nwb_mivae.clips.writing import StoreWriter, fingerprint_of
from nwb_mivae.errors import NwbMivaeError, StoreError
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.provenance import package_version
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

    Sessions whose source, movies and configuration are those of an earlier call are not prepared again, so that an
    interrupted call is taken up where it stopped. The store holds the sessions of this call and no others. A session
    that fails does not stop the others; why it failed stands under ``failures`` in the store's manifest.

    Parameters
    ----------
    sources : sequence of paths or open Sessions
        NWB files, or sessions already read (they are not closed).
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
    """
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
        "settings": settings,
        "format_version": FORMAT_VERSION,
        "package": package_version(),
        "stimuli": None if stimulus_folder is None else _listing(Path(stimulus_folder)),
    }
    writer = StoreWriter(out, configuration, settings)
    failures: list[NwbMivaeError] = []
    given: dict[str, str] = {}
    for number, source in enumerate(sources):
        name = source.key if isinstance(source, Session) else Path(source).name
        if progress is not None:
            progress(f"preparing {name}", number, len(sources))
        try:
            path = str(Path(source.provenance.path if isinstance(source, Session) else fspath(source)))
            sha256 = sha256_of_file(path) if Path(path).is_file() else None
            if sha256 is not None and sha256 in given:
                raise StoreError(
                    f"the same bytes as {given[sha256]}",
                    expected="every recording once",
                    remedy="leave one of the two out: a copy is no other session, and no other animal",
                    file=path,
                )
            fingerprint = fingerprint_of({**made_with, "source": sha256 or path, "name": Path(path).name})
            if sha256 is not None:
                given[sha256] = path
                if writer.reuse(fingerprint, path) is not None:
                    continue
            if isinstance(source, Session):
                _write(writer, source, alignment, sha256, fingerprint, stimulus_folder)
            else:
                with read_session(source, stimulus_folder=stimulus_folder, configuration=sessions) as session:
                    _write(writer, session, alignment, sha256, fingerprint, stimulus_folder)
        except NwbMivaeError as failure:
            failures.append(failure)
        except OSError as problem:
            failures.append(
                StoreError(
                    f"a source that cannot be read ({problem.strerror or problem})",
                    expected="a readable NWB file",
                    remedy="check the path and the disk",
                    file=name,
                )
            )
    if progress is not None:
        progress("writing the manifest", len(sources), len(sources))
    if failures and len(failures) == len(sources):
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


def _write(
    writer: StoreWriter,
    session: Session,
    alignment: AlignmentConfiguration,
    sha256: str | None,
    fingerprint: str,
    stimulus_folder: str | PathLike[str] | None,
) -> None:
    aligned = align(session, alignment)
    if stimulus_folder is None and any(template.origin == "external" for template in aligned.templates):
        # Movies found beside the file are in no digest: such a session is always prepared again.
        fingerprint = ""
    writer.add(
        aligned,
        source=source_record(session, aligned.trace_path, sha256),
        fingerprint=fingerprint,
    )


def source_record(session: Session, trace_path: str, sha256: str | None) -> Mapping[str, Any]:
    """What the manifest says about where a session came from."""
    provenance = session.provenance
    return {
        "path": provenance.path,
        "sha256": sha256,
        "object_id": provenance.object_id,
        "identifier": provenance.identifier,
        "session_id": provenance.session_id,
        "trace_path": trace_path,
        "asset": provenance.asset,
    }


def _listing(folder: Path) -> list[list[Any]]:
    """Names, sizes and times of the movies: a change of any of them makes the sessions be prepared again."""
    return [
        [path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
