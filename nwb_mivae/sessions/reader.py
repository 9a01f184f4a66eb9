"""From an NWB file to a :class:`~nwb_mivae.sessions.session.Session`: the one way in."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.behaviour import read_behaviour
from nwb_mivae.sessions.configuration import SessionsConfiguration
from nwb_mivae.sessions.conventions import load_conventions
from nwb_mivae.sessions.ecephys import has_units, read_units, units_candidate
from nwb_mivae.sessions.nwb import OpenedFile, open_nwb, unreadable_contents
from nwb_mivae.sessions.ophys import choose_series, find_series, read_series
from nwb_mivae.sessions.session import CELL_COLUMNS, Session, TraceCandidate, Traces
from nwb_mivae.sessions.stimulus import read_presentations
from nwb_mivae.sessions.templates import TemplateCatalogue

__all__ = ["read_session"]


def read_session(
    path: str | PathLike[str],
    *,
    stimulus_folder: str | PathLike[str] | None = None,
    configuration: SessionsConfiguration | None = None,
) -> Session:
    """Open an NWB file as a session: traces, cells, presentations, templates and behaviour, found by type.

    Nothing large is read: traces and stimulus frames stay in the file until they are asked for.

    Parameters
    ----------
    path : path-like
        A local NWB 2 file.
    stimulus_folder : path-like, optional
        Where movies that the file only names are looked for, at any depth.
    configuration : SessionsConfiguration, optional
        Which traces and cells to take. By default the best ROI traces, or units where there are none.

    Returns
    -------
    Session
        Open; close it, or use it as a context manager. ``findings`` says what was chosen, guessed and left out.

    Raises
    ------
    SessionError
        If the file cannot be opened, is no NWB 2 file, or has traces of which none can be used. A file without any
        traces is no error: ``traces`` is then ``None``.

    Examples
    --------
    >>> with read_session("sub-1_ses-1.nwb", stimulus_folder="movies") as session:  # doctest: +SKIP
    ...     activity = session.traces.read()
    """
    settings = SessionsConfiguration() if configuration is None else configuration
    file = open_nwb(path, conventions=load_conventions(settings.conventions))
    try:
        traces, cells, candidates = _read_traces(file, settings)
        catalogue = TemplateCatalogue.of(file, stimulus_folder)
        presentations = read_presentations(file, catalogue)
        if catalogue.missing:
            file.note("warning", "", f"pixels of {len(catalogue.missing)} stimuli are missing")
        if presentations.empty:
            file.note("warning", "", "no stimulus presentations")
        return Session(
            key=_key(file.path),
            traces=traces,
            cells=cells,
            presentations=presentations,
            templates=catalogue.found,
            missing_templates=catalogue.missing,
            behaviour=read_behaviour(file),
            invalid_times=_invalid_times(file),
            provenance=file.provenance(),
            files=(file.provenance(),),
            findings=file.findings,
            candidates=candidates,
            on_close=file.close,
        )
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as problem:
        file.close()
        raise unreadable_contents(file.path, problem) from problem
    except BaseException:
        file.close()
        raise


def _read_traces(
    file: OpenedFile, configuration: SessionsConfiguration
) -> tuple[Traces | None, pd.DataFrame, list[TraceCandidate]]:
    found = find_series(file)
    units = has_units(file)
    asked = configuration.trace.strip("/") if configuration.trace else None
    if units and (asked == file.path_of(file.nwbfile.units) or (asked is None and not found)):
        trains, cells = read_units(file, configuration)
        reason = "as configured" if asked else "the only recording"
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
    """Intervals (K, 2) that the file itself says are not to be used."""
    table = file.nwbfile.invalid_times
    if table is None or len(table) == 0:
        return np.zeros((0, 2))
    times = np.stack(
        [np.asarray(table[name].data[:], dtype=np.float64) for name in ("start_time", "stop_time")], axis=1
    )
    file.note("info", file.path_of(table), f"{len(times)} intervals marked as invalid; frames in them are masked")
    return times[np.isfinite(times).all(axis=1)]


def _key(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "_", path.stem)
