"""Which files are one recording session: planes in files of their own, and several files of one and the same plane.

Two files are planes of one session where nothing speaks against it and their clocks prove it:

1. the same subject and the same session start, to the microsecond;
2. the same session id, where both have one that names sessions and not planes (``session_id_fields`` of lab metadata
   and ``session_name_patterns`` of file names in the conventions; ``/general/session_id`` counts where these say
   nothing);
3. different planes: by ``plane_id_fields`` or the pattern's ``plane``, or else by imaging plane and ROI ids;
4. the same stimulus tables, all start times equal to a millisecond. Without such tables, an equal session id and
   traces that overlap in time.

The same plane twice is one recording in two files (an asset with the movies and one without, an annotated copy): the
one that tells most is read. Files of equal object id and start are compared even if they name different subjects, and
alike files with other times are two recordings. Whatever is not certain is left as it is, and said.

Only attributes, scalars, ids and start times are read, and of most files only the root's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from nwb_mivae.archive import is_remote, open_remote
from nwb_mivae.errors import NwbMivaeError
from nwb_mivae.sessions.configuration import SessionsConfiguration
from nwb_mivae.sessions.conventions import RESULT_TYPES, Conventions, load_conventions
from nwb_mivae.sessions.nwb import as_text
from nwb_mivae.sessions.session import Finding
from nwb_mivae.sessions.zarr_folder import outline

__all__ = ["SAME_TIME", "SourceGroup", "find_groups", "group_sources", "instant", "source_name"]

#: What a file that is damaged, or no NWB 2 file, raises where something of it is asked for.
_UNREADABLE = (NwbMivaeError, OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError)

#: Seconds by which the start times of one presentation may differ between two files of a session.
SAME_TIME = 1e-3
#: Seconds by which two versions of one recording may differ in when its traces begin and end.
_CUT_TIME = 1.0

Source = str | PathLike[str]


@dataclass(frozen=True)
class SourceGroup:
    """The files that one session is read from.

    Attributes
    ----------
    sources : tuple of str
        One, or one for each imaging plane, in order of name. :func:`nwb_mivae.sessions.read_session` reads them.
    findings : tuple of Finding
        What was left out or not joined, and why.
    left_out : mapping of str to str
        Sources that hold the same recording as one of ``sources`` and are not read, and the reason.
    """

    sources: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def group_sources(
    sources: Sequence[Source], *, configuration: SessionsConfiguration | None = None
) -> list[tuple[str, ...]]:
    """Which of these files belong together: one tuple per session, in the order of their first files.

    See :func:`find_groups`, which also says what was left out and why.
    """
    return [group.sources for group in find_groups(sources, configuration=configuration)]


def find_groups(sources: Sequence[Source], *, configuration: SessionsConfiguration | None = None) -> list[SourceGroup]:
    """Find the files that are imaging planes of one session, and those that hold one recording several times over.

    A file that cannot be read is a group of its own.

    Parameters
    ----------
    sources : sequence of paths or addresses
        NWB files, local or ``dandi://``.
    configuration : SessionsConfiguration, optional
        ``join_planes`` (false: every plane stays a session of its own) and ``conventions``.
    """
    settings = SessionsConfiguration() if configuration is None else configuration
    conventions = load_conventions(settings.conventions)
    names = list(dict.fromkeys(fspath(source) for source in sources))
    groups: list[SourceGroup] = []
    alike: dict[tuple[str, ...], list[_Identity]] = {}
    bucket_of: dict[tuple[str, str], tuple[str, ...]] = {}
    for name in names:
        try:
            identity = _identity(name, conventions)
        except _UNREADABLE as problem:
            groups.append(_unread(name, problem))
        else:
            # A copy in which the subject was given another name is still no other animal.
            recording = (identity.copy_of or identity.object_id or name, identity.start)
            alike.setdefault(bucket_of.setdefault(recording, identity.bucket), []).append(identity)
    for bucket in alike.values():
        groups += [SourceGroup((bucket[0].source,))] if len(bucket) == 1 else _groups_of(bucket, settings, conventions)
    order = {name: number for number, name in enumerate(names)}
    return sorted(groups, key=lambda group: min(order[source] for source in (*group.sources, *group.left_out)))


def source_name(source: Source) -> str:
    """The last part of a path, address or URL: what a user calls the file."""
    text = fspath(source)
    if is_remote(text):
        text = re.split(r"[#?]", text)[0]
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1]


@dataclass(frozen=True)
class _Identity:
    """What the root of a file says about itself; texts are empty where it says nothing."""

    source: str
    subject: str = ""
    start: str = ""
    #: Session id by lab metadata or file name, which no plane shares with another session.
    session: str = ""
    #: ``/general/session_id``, which some writers use for the plane.
    stated_session: str = ""
    plane: str = ""
    identifier: str = ""
    object_id: str = ""
    #: Object id of the file that this one is an annotated copy of.
    copy_of: str = ""
    annotated: bool = False

    @property
    def name(self) -> str:
        return source_name(self.source)

    @property
    def bucket(self) -> tuple[str, ...]:
        """Equal for all files that may be of one session."""
        if self.subject and self.start:
            return self.subject, self.start
        return ("", self.identifier) if self.identifier else ("", "", self.source)


@dataclass(frozen=True)
class _Contents:
    """What a file holds, as far as it tells planes and recordings apart."""

    #: Name, location, description and origin of the imaging planes that have ROIs.
    planes: frozenset[tuple[str, ...]] = frozenset()
    #: Digest of the ids of ROIs and units.
    cells: str = ""
    neural: bool = False
    tables: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    #: First and last time of the traces in seconds.
    interval: tuple[float, float] | None = None
    pixel_bytes: int = 0
    n_objects: int = 0


@dataclass(frozen=True)
class _File:
    identity: _Identity
    contents: _Contents

    @property
    def tells(self) -> tuple[Any, ...]:
        """How much it tells of its recording, to be compared: activity, stimulus, pixels, all else."""
        what = self.contents
        return (
            what.neural,
            bool(what.tables),
            what.pixel_bytes,
            not self.identity.annotated,
            what.n_objects,
            -len(self.identity.name),
        )


@dataclass(frozen=True)
class _Relation:
    kind: Literal["planes", "same recording", "other sessions", "not certain"]
    why: str = ""


def _groups_of(
    bucket: Sequence[_Identity], settings: SessionsConfiguration, conventions: Conventions
) -> list[SourceGroup]:
    files: list[_File] = []
    unread: list[SourceGroup] = []
    for identity in bucket:
        try:
            with _opened(identity.source) as root:
                files.append(_File(identity, _contents(root, conventions)))
        except _UNREADABLE as problem:
            unread.append(_unread(identity.source, problem))
    # Those that tell most come first, so that the same recording is always represented by the file to be read.
    files.sort(key=lambda file: file.identity.name)
    files.sort(key=lambda file: file.tells, reverse=True)
    kept: list[_File] = []
    copies: dict[str, list[tuple[_File, str]]] = {}
    for file in files:
        for other in kept:
            relation = _relation(other, file)
            if relation.kind == "same recording":
                copies.setdefault(other.identity.source, []).append((file, relation.why))
                break
        else:
            kept.append(file)
    kept.sort(key=lambda file: (file.identity.name, file.identity.source))
    sessions: list[list[_File]] = []
    doubts: dict[str, list[Finding]] = {}
    for file in kept:
        joined: list[_File] | None = None
        refused: list[tuple[_File, Literal["info", "warning"], str]] = []
        for session in sessions:
            relations = [_relation(other, file) for other in session]
            certain = all(relation.kind == "planes" for relation in relations)
            if certain and settings.join_planes:
                joined = session
                break
            why = next((relation.why for relation in relations if relation.kind == "not certain"), "")
            if certain:
                refused.append((session[0], "info", "a plane of the same session, but sessions.join_planes is false"))
            elif why:
                refused.append((session[0], "warning", why))
        if joined is not None:
            joined.append(file)
            continue
        sessions.append([file])
        for first, level, why in refused:
            for one, other in ((first, file), (file, first)):
                finding = Finding(level, "", f"{other.identity.name} was not joined: {why}")
                doubts.setdefault(one.identity.source, []).append(finding)
    return unread + [_group(session, copies, doubts) for session in sessions]


def _group(
    session: Sequence[_File],
    copies: Mapping[str, Sequence[tuple[_File, str]]],
    doubts: Mapping[str, Sequence[Finding]],
) -> SourceGroup:
    findings: list[Finding] = []
    left_out: dict[str, str] = {}
    for file in session:
        for copy, why in copies.get(file.identity.source, ()):
            reason = f"{why} {file.identity.name}, which was read"
            left_out[copy.identity.source] = reason
            findings.append(Finding("info", "", f"{copy.identity.name} was left out: {reason}"))
        findings += doubts.get(file.identity.source, ())
    return SourceGroup(tuple(file.identity.source for file in session), tuple(findings), left_out)


def _relation(one: _File, other: _File) -> _Relation:
    """What two files with the same subject and session start are to each other."""
    a, b = one.identity, other.identity
    copy = ""
    if a.object_id and a.object_id in (b.object_id, b.copy_of):
        copy = "an annotated copy of" if b.copy_of else "a copy of"
    elif b.object_id and b.object_id == a.copy_of:
        copy = "the source of"
    if copy and a.subject != b.subject:
        copy = f"of subject {b.subject!r} and not {a.subject!r}, but else {copy}"
    if copy:
        return _same_recording(one, other, copy)
    if a.subject != b.subject:
        return _Relation("other sessions")
    if a.session and b.session and a.session != b.session:
        return _Relation("other sessions")
    same_id = bool(
        (a.session and a.session == b.session) or (a.stated_session and a.stated_session == b.stated_session)
    )
    if not (a.session and b.session) and a.stated_session and b.stated_session and not same_id:
        return _Relation("not certain", "the same subject and session start, but other session ids")
    if a.plane and b.plane:
        return _relation_of_planes(one, other, same_id) if a.plane != b.plane else _same_recording(one, other)
    if a.identifier and a.identifier == b.identifier:
        return _same_recording(one, other)
    what, its = one.contents, other.contents
    if not what.neural:
        return _Relation("not certain", "the same subject and session start, but neither has neural activity")
    if not its.neural:
        if same_id:
            return _Relation("same recording", "no neural activity, but the subject, start and session id of")
        return _Relation("not certain", "the same subject and session start, but no neural activity and no session id")
    if what.planes == its.planes and what.cells == its.cells:
        return _same_recording(one, other)
    if what.planes and its.planes and not what.planes & its.planes and what.cells != its.cells:
        return _relation_of_planes(one, other, same_id)
    return _Relation(
        "not certain", "the same subject and session start, but it cannot be told whether the plane is the same"
    )


def _same_recording(one: _File, other: _File, is_a: str = "") -> _Relation:
    """The same recording, unless the times in the files speak against it.

    Tracked cells, a placeholder for the start, or a file that was copied and filled in anew make other sessions alike.
    """
    mine, its = one.contents, other.contents
    table = _table_at_other_times(mine, its)
    other_traces = _of_other_length(mine, its)
    # Of a copy the table may have been corrected.
    if other_traces or (table and not is_a):
        what = f"the presentations in {table} have other start times" if table else "the traces are of other times"
        return _Relation("not certain", f"the same plane or ids, but {what}")
    if is_a:
        return _Relation("same recording", is_a)
    if mine.pixel_bytes > its.pixel_bytes:
        return _Relation("same recording", "the same recording with fewer pixels of stimuli than in")
    return _Relation("same recording", "the same recording as in")


def _table_at_other_times(one: _Contents, other: _Contents) -> str:
    """The first table that both have with other start times, or nothing."""
    for name in sorted(set(one.tables) & set(other.tables)):
        starts, its = one.tables[name], other.tables[name]
        if len(starts) != len(its) or not np.allclose(starts, its, rtol=0.0, atol=SAME_TIME, equal_nan=True):
            return name
    return ""


def _of_other_length(one: _Contents, other: _Contents) -> bool:
    """Whether the traces begin or end so far apart that nobody cut them for processing."""
    if one.interval is None or other.interval is None:
        return False
    return not np.allclose(one.interval, other.interval, rtol=0.0, atol=_CUT_TIME, equal_nan=True)


def _relation_of_planes(one: _File, other: _File, same_id: bool) -> _Relation:
    """Whether the clocks of two planes prove that they were recorded together."""
    tables, its = one.contents.tables, other.contents.tables
    if differs := _table_at_other_times(one.contents, other.contents):
        return _Relation("not certain", f"another plane, but the presentations in {differs} have other start times")
    if sum(len(np.unique(tables[name])) for name in set(tables) & set(its)) > 1:
        return _Relation("planes")
    if tables and its:
        return _Relation("not certain", "another plane, but no stimulus table in common that proves the same session")
    if not same_id:
        return _Relation("not certain", "another plane, but neither stimulus tables nor a session id in common")
    first, second = one.contents.interval, other.contents.interval
    if first is None or second is None or not max(first[0], second[0]) < min(first[1], second[1]):
        return _Relation("not certain", "another plane, but neither stimulus tables nor a time in common")
    return _Relation("planes")


@contextmanager
def _opened(source: str) -> Iterator[h5py.File]:
    if not is_remote(source):
        with outline(Path(source)) if Path(source).is_dir() else h5py.File(source, "r") as root:
            yield root
        return
    remote = open_remote(source)
    try:
        with remote.open_hdf5() as root:
            yield root
        if remote.failure is not None:
            # HDF5 takes a broken line for an object that is not there.
            raise remote.failure
    finally:
        remote.close()


def _unread(source: str, problem: Exception) -> SourceGroup:
    """A file alone. Reading it will say what is wrong with it, unless only the line was broken for a moment."""
    found = problem.found if isinstance(problem, NwbMivaeError) else " ".join(str(problem).split())
    why = f"it was not compared with other files, of which it may be a plane or a copy: {found}"
    return SourceGroup((source,), (Finding("warning", "", why),))


def _identity(source: str, conventions: Conventions) -> _Identity:
    """What the root says."""
    with _opened(source) as root:
        general = root.get("general", {})
        metadata = _lab_metadata(general)
        named = _from_name(source_name(source), conventions)
        annotation = general.get("mivae")
        return _Identity(
            source=source,
            subject=_text(general, "subject/subject_id"),
            start=instant(_text(root, "session_start_time")),
            session=_first(metadata, conventions.session_id_fields) or named.get("session", ""),
            stated_session=_text(general, "session_id"),
            plane=_first(metadata, conventions.plane_id_fields) or named.get("plane", ""),
            identifier=_text(root, "identifier"),
            object_id=as_text(root.attrs.get("object_id")),
            copy_of="" if annotation is None else as_text(annotation.attrs.get("source_object_id")),
            annotated=annotation is not None,
        )


def _text(group: Any, path: str) -> str:
    stored = group.get(path)
    return as_text(stored[()]).strip() if isinstance(stored, h5py.Dataset) and stored.shape == () else ""


def instant(text: str) -> str:
    """An ISO 8601 time in UTC, so that one instant written in two time zones is one; other text as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()


def _lab_metadata(general: Any) -> dict[str, str]:
    """Scalar fields of the lab metadata, whether written as attributes or as datasets."""
    fields: dict[str, str] = {}
    for group in general.values():
        if not isinstance(group, h5py.Group) or "neurodata_type" not in group.attrs:
            continue
        fields |= {name: as_text(value) for name, value in group.attrs.items() if np.ndim(value) == 0}
        fields |= {
            name: as_text(item[()])
            for name, item in group.items()
            if isinstance(item, h5py.Dataset) and item.shape == ()
        }
    return fields


def _first(fields: Mapping[str, str], names: Sequence[str]) -> str:
    return next((fields[name] for name in names if fields.get(name)), "")


def _from_name(name: str, conventions: Conventions) -> dict[str, str]:
    for pattern in conventions.session_name_patterns:
        found = re.search(pattern, name)
        if found:
            return {key: value for key, value in found.groupdict().items() if value}
    return {}


def _contents(root: h5py.File, conventions: Conventions) -> _Contents:
    planes: set[tuple[str, ...]] = set()
    cells: list[bytes] = []
    intervals: list[tuple[float, float]] = []
    n_objects = 0

    def visit(name: str, item: Any) -> None:
        nonlocal n_objects
        if not isinstance(item, h5py.Group) or item.attrs.get("neurodata_type") is None:
            return
        n_objects += 1
        if as_text(item.attrs["neurodata_type"]) in RESULT_TYPES:
            return
        if "imaging_plane" in item and "id" in item:
            planes.add(_plane_of(item))
            cells.append(f"{name}:{np.asarray(item['id'][()], dtype=np.int64).tolist()}".encode())
        elif "data" in item and "rois" in item:
            intervals.append(_interval(item))

    if "processing" in root:
        root["processing"].visititems(visit)
    units = root.get("units/id")
    if units is not None:
        cells.append(f"units:{np.asarray(units[()], dtype=np.int64).tolist()}".encode())
    return _Contents(
        planes=frozenset(planes),
        cells=hashlib.sha256(b"\n".join(sorted(cells))).hexdigest(),
        neural=bool(intervals) or units is not None,
        tables=_tables(root, conventions),
        interval=(min(start for start, _ in intervals), max(stop for _, stop in intervals)) if intervals else None,
        pixel_bytes=_pixel_bytes(root),
        n_objects=n_objects + sum(not _is_stack(item) for item in root.get("acquisition", {}).values()),
    )


def _plane_of(table: h5py.Group) -> tuple[str, ...]:
    link = table.get("imaging_plane", getlink=True)
    plane = table["imaging_plane"]
    origin = plane.get("origin_coords")
    return (
        source_name(link.path if isinstance(link, h5py.SoftLink) else plane.name),
        _text(plane, "location"),
        _text(plane, "description"),
        "" if origin is None else str(np.asarray(origin[()], dtype=np.float64).tolist()),
    )


def _interval(series: h5py.Group) -> tuple[float, float]:
    timestamps = series.get("timestamps")
    if timestamps is not None and len(timestamps):
        return float(timestamps[0]), float(timestamps[-1])
    start = series.get("starting_time")
    if start is None:
        return np.nan, np.nan
    n_samples = max(series["data"].shape, default=0)
    rate = float(start.attrs.get("rate", np.nan))
    return float(start[()]), float(start[()]) + (n_samples / rate if rate > 0 else np.nan)


def _tables(root: h5py.File, conventions: Conventions) -> dict[str, npt.NDArray[np.float64]]:
    return {
        f"{place}/{name}": np.asarray(table["start_time"][()], dtype=np.float64)
        for place in ("intervals", "stimulus/presentation")
        for name, table in root.get(place, {}).items()
        if isinstance(table, h5py.Group) and "start_time" in table and name not in conventions.no_stimulus_tables
    }


def _is_stack(item: Any) -> bool:
    """Whether an acquisition is the raw imaging, which tells nothing more and makes a file many times as large."""
    data = item.get("data") if isinstance(item, h5py.Group) else None
    return isinstance(data, h5py.Dataset) and data.ndim > 2


def _pixel_bytes(root: h5py.File) -> int:
    """Bytes of stimulus frames in the file, by their shapes."""
    total = 0

    def visit(_: str, item: Any) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset) and item.ndim > 1:
            total += int(item.nbytes)

    if "stimulus" in root:
        root["stimulus"].visititems(visit)
    return total
