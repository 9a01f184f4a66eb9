"""Sessions read from several files, one imaging plane each, become one session.

The cells stand side by side in the order of the files. What all planes share (the screen, the animal's behaviour) comes
from the file that tells most of it, and the others are checked against it. Pixels that only another file has are used
where both say that the same frames were shown at the same times.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.conventions import Conventions
from nwb_mivae.sessions.grouping import SAME_TIME, instant, source_name
from nwb_mivae.sessions.session import (
    Finding,
    MultiPlaneTraces,
    SampledTraces,
    Session,
    Template,
    TraceCandidate,
    Traces,
)

__all__ = ["join_sessions"]


def join_sessions(sessions: Sequence[Session], conventions: Conventions) -> Session:
    """One session of the open ``sessions``, each read from a file of its own; closing it closes them all.

    Its ``key`` is that of the first without what tells the planes apart: the part that a ``session_name_patterns``
    entry calls ``plane``, and the ``_``-separated parts that not all the names have, but for DANDI's ``ses-``: where
    planes differ in that, nothing else would tell the sessions of a subject apart. ``provenance`` is the first's.

    Raises
    ------
    SessionError
        If two of them are of different subjects or did not start at the same time.
    """
    _refuse_other_recordings(sessions)
    names = [source_name(session.provenance.path) for session in sessions]
    findings = _findings(sessions, names)
    planes = _planes(sessions, names, findings)
    shown = max(range(len(sessions)), key=lambda number: (*_tells(sessions[number]), -number))
    findings.append(
        Finding(
            "info",
            "",
            f"{len(sessions)} files hold imaging planes of one session and were joined: {', '.join(names)}; "
            f"what was shown was taken from {names[shown]}",
        )
    )
    findings += _disagreements(sessions, names, shown)
    by_preference = [sessions[shown], *(session for session in sessions if session is not sessions[shown])]
    templates, unlike = _templates(by_preference)
    behaviour = {name: each for session in reversed(by_preference) for name, each in session.behaviour.items()}
    return Session(
        key=_key([session.key for session in sessions], conventions),
        traces=_traces([sessions[number] for number in planes]),
        cells=_cells(sessions, names, planes),
        presentations=sessions[shown].presentations,
        templates=templates,
        missing_templates={
            name: unlike.get(name, why)
            for name, why in sessions[shown].missing_templates.items()
            if name not in templates
        },
        behaviour=behaviour,
        provenance=sessions[0].provenance,
        granularity=sessions[shown].granularity,
        files=tuple(file for session in sessions for file in session.files or (session.provenance,)),
        invalid_times=np.unique(np.concatenate([session.invalid_times for session in sessions]), axis=0),
        findings=findings,
        candidates=_candidates(sessions, names, planes),
        on_close=lambda: _close(sessions),
    )


def _close(sessions: Sequence[Session]) -> None:
    for session in sessions:
        session.close()


def _refuse_other_recordings(sessions: Sequence[Session]) -> None:
    first = sessions[0].provenance
    for session in sessions[1:]:
        other = session.provenance
        if other.subject_id != first.subject_id:
            found, expected = f"subject {other.subject_id!r}", f"subject {first.subject_id!r}"
        elif instant(other.session_start_time) != instant(first.session_start_time):
            found, expected = f"a session that started at {other.session_start_time}", first.session_start_time
        else:
            continue
        raise SessionError(
            found,
            expected=f"{expected} as in {source_name(first.path)}: files of one session",
            remedy="read the files one by one",
            file=other.path,
        )


def _findings(sessions: Sequence[Session], names: Sequence[str]) -> list[Finding]:
    """What was found in all files once, and what was found in some with their names."""
    seen = Counter(finding for session in sessions for finding in dict.fromkeys(session.findings))
    findings: list[Finding] = []
    for session, name in zip(sessions, names, strict=True):
        for finding in session.findings:
            everywhere = seen[finding] == len(sessions)
            findings.append(finding if everywhere else replace(finding, message=f"{name}: {finding.message}"))
    return list(dict.fromkeys(findings))


def _planes(sessions: Sequence[Session], names: Sequence[str], findings: list[Finding]) -> list[int]:
    """Which sessions' traces go side by side: those of the kind that most cells have, where they overlap in time."""
    active = [number for number, session in enumerate(sessions) if session.traces is not None]
    cells: Counter[str] = Counter()
    for number in active:
        cells[_kind(sessions[number])] += len(sessions[number].cells)
    if not cells:
        return []
    kind, _ = cells.most_common(1)[0]
    planes: list[int] = []
    for number in active:
        traces = sessions[number].traces
        assert traces is not None
        if traces.kind != kind:
            why = f"they are {traces.kind}, those of the other planes {kind}"
        elif planes and kind == "spikes":
            why = "units of several files are not joined"
        elif planes and not _overlap(sessions, [*planes, number]):
            why = "they do not overlap in time with those of the other planes"
        else:
            planes.append(number)
            continue
        findings.append(Finding("warning", traces.path, f"traces of {names[number]} were left out: {why}"))
    return planes


def _kind(session: Session) -> str:
    return "" if session.traces is None else session.traces.kind


def _overlap(sessions: Sequence[Session], numbers: Sequence[int]) -> bool:
    intervals = [traces.interval for number in numbers if (traces := sessions[number].traces) is not None]
    return max(start for start, _ in intervals) < min(stop for _, stop in intervals)


def _traces(sessions: Sequence[Session]) -> Traces | None:
    if len(sessions) < 2:
        return sessions[0].traces if sessions else None
    planes: list[SampledTraces] = []
    for session in sessions:
        if isinstance(session.traces, MultiPlaneTraces):
            planes += session.traces.planes
        elif isinstance(session.traces, SampledTraces):
            planes.append(session.traces)
    first = planes[0]
    if not all(_same_clock(first, plane) for plane in planes):
        return MultiPlaneTraces(planes)

    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        return np.concatenate([plane.read(start, stop) for plane in planes], axis=1)

    n_samples = min(len(plane.timestamps) for plane in planes)
    return SampledTraces(
        read,
        first.timestamps[:n_samples],
        sum(plane.n_cells for plane in planes),
        kind=first.kind,
        unit=first.unit,
        path=first.path,
        preferred_rows=max((plane.preferred_rows or 1) for plane in planes),
    )


def _same_clock(one: SampledTraces, other: SampledTraces) -> bool:
    n_samples = min(len(one.timestamps), len(other.timestamps))
    return abs(len(one.timestamps) - len(other.timestamps)) <= 1 and bool(
        np.allclose(one.timestamps[:n_samples], other.timestamps[:n_samples], rtol=0.0, atol=SAME_TIME)
    )


def _cells(sessions: Sequence[Session], names: Sequence[str], planes: Sequence[int]) -> pd.DataFrame:
    """The cells of these sessions; planes that are called alike get the name of their file."""
    if not planes:
        return sessions[0].cells.iloc[:0]
    shared = Counter(plane for number in planes for plane in sessions[number].cells["plane"].unique())
    tables = []
    for number in planes:
        table = sessions[number].cells.copy()
        table["plane"] = [
            plane if shared[plane] == 1 else f"{plane} in {names[number]}" if plane else names[number]
            for plane in table["plane"]
        ]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _tells(session: Session) -> tuple[int, int, int]:
    """How much a file tells of what was shown: rows with pixels, rows that are not blank, rows."""
    rows = session.presentations
    return (
        int(rows["template"].isin(list(session.templates)).sum()),
        int((~rows["blank"].astype(bool)).sum()),
        len(rows),
    )


def _templates(by_preference: Sequence[Session]) -> tuple[dict[str, Template], dict[str, str]]:
    """Templates of the first session, and those of the others that its presentations can be shown with.

    A file without the pixels of a movie tells of it otherwise than one with them (as one row, say, and not as its
    frames), so both must show the same frames at the same times. Also why templates were not taken.
    """
    first, *others = by_preference
    templates = dict(first.templates)
    unlike: dict[str, str] = {}
    for other in others:
        for name, template in other.templates.items():
            if name in templates:
                continue
            if _shows_alike(first, other, name):
                templates[name] = template
            else:
                where = source_name(other.provenance.path)
                unlike[name] = f"the pixels are in {where}, which tells otherwise when which frame was shown"
    return templates, unlike


def _shows_alike(one: Session, other: Session, template: str) -> bool:
    rows, its = (each.presentations[each.presentations["template"] == template] for each in (one, other))
    return (
        len(rows) == len(its)
        and bool(np.array_equal(rows["frame"].to_numpy(), its["frame"].to_numpy()))
        and bool(np.allclose(rows["start_time"].to_numpy(), its["start_time"].to_numpy(), rtol=0.0, atol=SAME_TIME))
    )


def _disagreements(sessions: Sequence[Session], names: Sequence[str], shown: int) -> list[Finding]:
    """Where the presentations of the other files are not those that were taken."""
    taken = _starts(sessions[shown])
    findings: list[Finding] = []
    for session, name in zip(sessions, names, strict=True):
        for path, starts in _starts(session).items():
            if path not in taken:
                findings.append(
                    Finding(
                        "warning", path, f"presentations that only {name} has, and not {names[shown]}, were left out"
                    )
                )
            elif len(starts) != len(taken[path]) or not np.allclose(starts, taken[path], rtol=0.0, atol=SAME_TIME):
                findings.append(
                    Finding(
                        "warning",
                        path,
                        f"{len(starts)} presentations in {name} at other times than the {len(taken[path])} in "
                        f"{names[shown]}, which were taken",
                    )
                )
    return findings


def _starts(session: Session) -> Mapping[str, npt.NDArray[np.float64]]:
    return {
        str(path): rows["start_time"].to_numpy(dtype=np.float64)
        for path, rows in session.presentations.groupby("source_path", sort=False)
    }


def _candidates(sessions: Sequence[Session], names: Sequence[str], planes: Sequence[int]) -> list[TraceCandidate]:
    return [
        replace(
            candidate,
            chosen=candidate.chosen and number in planes,
            reason=f"{candidate.reason} in {names[number]}"
            if number in planes or not candidate.chosen
            else f"left out with {names[number]}",
        )
        for number, session in enumerate(sessions)
        for candidate in session.candidates
    ]


def _key(keys: Sequence[str], conventions: Conventions) -> str:
    shorter = [_without_plane(key, conventions) for key in keys]
    if len(set(shorter)) == 1:
        return shorter[0]
    others = [set(key.split("_")) for key in shorter[1:]]
    common = [
        part for part in shorter[0].split("_") if part.startswith("ses-") or all(part in parts for parts in others)
    ]
    return "_".join(common) or keys[0]


def _without_plane(key: str, conventions: Conventions) -> str:
    for pattern in conventions.session_name_patterns:
        found = re.search(pattern, key)
        if found and {"session", "plane"} <= found.groupdict().keys():
            return key[: found.end("session")] + key[found.end("plane") :]
    return key
