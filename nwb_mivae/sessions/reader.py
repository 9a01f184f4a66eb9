"""From an NWB file to a :class:`~nwb_mivae.sessions.session.Session`: the one way in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.behaviour import read_behaviour
from nwb_mivae.sessions.configuration import SessionsConfiguration
from nwb_mivae.sessions.conventions import load_conventions
from nwb_mivae.sessions.ecephys import has_units, read_units, units_candidate
from nwb_mivae.sessions.joining import join_sessions
from nwb_mivae.sessions.nwb import OpenedFile, open_nwb, unreadable_contents
from nwb_mivae.sessions.ophys import choose_series, find_series, read_series
from nwb_mivae.sessions.session import CELL_COLUMNS, Session, TraceCandidate, Traces
from nwb_mivae.sessions.stimulus import read_presentations
from nwb_mivae.sessions.templates import TemplateCatalogue

__all__ = ["read_session"]

Source = str | PathLike[str]

#: What contents of a kind or shape that no room foresaw raise, and HDF5 where it cannot read.
_UNFORESEEN = (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError)


def read_session(
    source: Source | Sequence[Source],
    *,
    stimulus_folder: str | PathLike[str] | None = None,
    configuration: SessionsConfiguration | None = None,
) -> Session:
    """Open an NWB file, or the files of one session's imaging planes, as a session.

    Traces, cells, presentations, templates and behaviour are found by type. Nothing large is read: traces and stimulus
    frames stay in the files until they are asked for.

    Parameters
    ----------
    source : path or address, or a sequence of them
        An NWB 2 file, local, ``dandi://`` or a URL. Several are the imaging planes of one session
        (:func:`nwb_mivae.sessions.group_sources` finds out which belong together); see
        :func:`nwb_mivae.sessions.joining.join_sessions` for what comes from which.
    stimulus_folder : path-like, optional
        Where movies that the files only name are looked for, at any depth.
    configuration : SessionsConfiguration, optional
        Which traces and cells to take. By default the best ROI traces, or units where there are none.

    Returns
    -------
    Session
        Open; close it, or use it as a context manager. ``findings`` says what was chosen, guessed and left out.

    Raises
    ------
    SessionError
        If a file cannot be opened or is no NWB 2 file; if an only file has traces of which none can be used (of several
        files, one whose traces cannot be used gives none); if several files are not of one session. A file without any
        traces is no error: ``traces`` is then ``None``.

    Examples
    --------
    >>> with read_session("sub-1_ses-1.nwb", stimulus_folder="movies") as session:  # doctest: +SKIP
    ...     activity = session.traces.read()
    """
    settings = SessionsConfiguration() if configuration is None else configuration
    conventions = load_conventions(settings.conventions)
    sources = [source] if isinstance(source, str | PathLike) else list(source)
    if not sources:
        raise SessionError("no file at all", expected="one NWB file or several", remedy="name the files of a session")
    sessions: list[Session] = []
    try:
        for each in sources:
            file = open_nwb(each, conventions=conventions)
            sessions.append(_session_of(file, stimulus_folder, settings, alone=len(sources) == 1))
        return sessions[0] if len(sessions) == 1 else join_sessions(sessions, conventions)
    except BaseException:
        for session in sessions:
            session.close()
        raise


def _session_of(
    file: OpenedFile,
    stimulus_folder: str | PathLike[str] | None,
    settings: SessionsConfiguration,
    *,
    alone: bool,
) -> Session:
    """What one file holds; where it is not ``alone``, traces that cannot be used are left out and that is said."""
    try:
        try:
            traces, cells, candidates = _read_traces(file, settings)
        except SessionError as problem:
            if alone:
                raise
            file.note("warning", problem.object_path or "", f"the traces were left out: found {problem.found}")
            traces, cells, candidates = None, pd.DataFrame(columns=list(CELL_COLUMNS)), []
        catalogue = TemplateCatalogue.of(file, stimulus_folder)
        presentations, granularity = read_presentations(file, catalogue, settings)
        if catalogue.missing:
            file.note("warning", "", f"pixels of {len(catalogue.missing)} stimuli are missing")
        if presentations.empty:
            file.note("warning", "", "no stimulus presentations")
        provenance = file.provenance()
        session = Session(
            key=_key(file.stem),
            traces=traces,
            cells=cells.assign(source_file=provenance.path),
            presentations=presentations,
            granularity=granularity,
            templates=catalogue.found,
            missing_templates=catalogue.missing,
            behaviour=read_behaviour(file),
            invalid_times=_invalid_times(file),
            provenance=provenance,
            files=(provenance,),
            findings=file.findings,
            candidates=candidates,
            on_close=file.close,
        )
        file.raise_if_broken()
        return session
    except Exception as problem:
        file.close()
        # What looks like damage may be a line that broke.
        file.raise_if_broken()
        if isinstance(problem, _UNFORESEEN):
            raise unreadable_contents(file.location, problem) from problem
        raise
    except BaseException:
        file.close()
        raise


def _read_traces(
    file: OpenedFile, configuration: SessionsConfiguration
) -> tuple[Traces | None, pd.DataFrame, list[TraceCandidate]]:
    found = find_series(file)
    units = has_units(file)
    asked = configuration.trace.strip("/") if configuration.trace else None
    usable = [item for item in found if item.problem is None]
    if units and (asked == file.path_of(file.nwbfile.units) or (asked is None and not usable)):
        trains, cells = read_units(file, configuration)
        for item in found:
            if item.problem is not None and asked is None:
                file.note("warning", item.path, f"left out: found {item.problem.found}")
        reason = "as configured" if asked else "no ROI traces that can be used" if found else "the only recording"
        return trains, cells, [item.candidate() for item in found] + [units_candidate(file, chosen=True, reason=reason)]
    chosen = choose_series(file, found, asked)
    candidates = [item.candidate() for item in found]
    if units:
        reason = "ROI traces come before units; choose them with sessions.trace"
        candidates.append(units_candidate(file, chosen=False, reason=reason))
        file.note("info", file.path_of(file.nwbfile.units), f"{len(file.nwbfile.units)} units were not read: {reason}")
    if not chosen:
        file.note("warning", "", "neither ROI traces nor units: the session has no neural activity")
        return None, pd.DataFrame(columns=list(CELL_COLUMNS)), candidates
    traces, cells = read_series(file, chosen, configuration)
    return traces, cells, candidates


def _invalid_times(file: OpenedFile) -> npt.NDArray[np.float64]:
    """Intervals (K, 2) that the file itself says are not to be used; open ones are infinite."""
    table = file.nwbfile.invalid_times
    if table is None or len(table) == 0:
        return np.zeros((0, 2))
    times = np.stack(
        [np.asarray(table[name].data[:], dtype=np.float64) for name in ("start_time", "stop_time")], axis=1
    )
    file.note("info", file.path_of(table), f"{len(times)} intervals marked as invalid; frames in them are masked")
    unknown = np.isnan(times)
    if unknown.any():
        message = f"{int(unknown.any(axis=1).sum())} invalid intervals lack their start or end: taken as without limit"
        file.note("warning", file.path_of(table), f"{message}; those that lack both were left out")
    times = np.where(unknown, [-np.inf, np.inf], times)
    return times[~unknown.all(axis=1)]


def _key(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "_", stem)
