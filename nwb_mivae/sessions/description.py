"""What a session holds, as plain values: the text behind ``nwb-mivae inspect``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from nwb_mivae.sessions.session import MultiPlaneTraces, SampledTraces, Session, SpikeTrains

__all__ = ["describe"]

#: So many names of a long list are spelt out.
_NAMES_SHOWN = 10


def describe(session: Session) -> dict[str, Any]:
    """What was found in a session's file, JSON-able: numbers, text, lists and ``None`` for what is not known.

    Keys: ``key``, ``file``, ``files`` (all it was read from), ``nwb_version``, ``identifier``, ``session_id``,
    ``session_start_time``, ``subject``, ``traces``, ``candidates``, ``cells``, ``stimuli`` (one per source table or
    series), ``templates``, ``missing_templates``, ``behaviour``, ``findings``.
    """
    provenance = session.provenance
    return {
        "key": session.key,
        "file": provenance.path,
        "files": [
            {"path": file.path, "identifier": file.identifier, "object_id": file.object_id, "asset": file.asset}
            for file in session.files or (provenance,)
        ],
        "nwb_version": provenance.nwb_version,
        "identifier": provenance.identifier,
        "session_id": provenance.session_id,
        "session_start_time": provenance.session_start_time,
        "subject": {"subject_id": provenance.subject_id, "species": provenance.species},
        "traces": _traces(session),
        "candidates": [asdict(candidate) | {"shape": list(candidate.shape)} for candidate in session.candidates],
        "cells": _cells(session),
        "stimuli": [
            _stimulus(session, path, rows) for path, rows in session.presentations.groupby("source_path", sort=False)
        ],
        "templates": [
            {
                "name": name,
                "frames": template.n_frames,
                "height": template.height,
                "width": template.width,
                "origin": template.origin,
            }
            for name, template in session.templates.items()
        ],
        "missing_templates": dict(session.missing_templates),
        "behaviour": [
            {
                "name": name,
                "path": series.path,
                "unit": series.unit,
                "samples": len(series.values),
                "rate": _number(1.0 / np.median(np.diff(series.timestamps))) if len(series.timestamps) > 1 else None,
                "known_share": _number(np.isfinite(series.values).mean()),
            }
            for name, series in session.behaviour.items()
        ],
        "findings": [asdict(finding) for finding in session.findings],
    }


def _traces(session: Session) -> dict[str, Any] | None:
    traces = session.traces
    if traces is None:
        return None
    start, stop = traces.interval
    described: dict[str, Any] = {
        "kind": traces.kind,
        "path": traces.path,
        "unit": traces.unit,
        "cells": traces.n_cells,
        "start": _number(start),
        "stop": _number(stop),
        "orientation": next((item.orientation for item in session.candidates if item.path == traces.path), "unknown"),
    }
    if isinstance(traces, SampledTraces):
        described |= {"shape": list(traces.shape), "rate": _number(traces.rate)}
    if isinstance(traces, MultiPlaneTraces):
        planes = [
            {"path": plane.path, "shape": list(plane.shape), "rate": _number(plane.rate)} for plane in traces.planes
        ]
        described |= {"rate": _number(traces.rate), "planes": planes}
    if isinstance(traces, SpikeTrains):
        seconds = max(stop - start, np.finfo(float).tiny)
        described |= {
            "spikes": len(traces.spike_times),
            "mean_rate": _number(len(traces.spike_times) / seconds / traces.n_cells),
        }
    return described


def _cells(session: Session) -> dict[str, Any]:
    cells = session.cells
    positions = cells[["x", "y", "z"]].to_numpy(dtype=np.float64)
    return {
        "number": len(cells),
        "with_coordinates": int(np.isfinite(positions[:, :2]).all(axis=1).sum()),
        "with_depth": int(np.isfinite(positions[:, 2]).sum()),
        "areas": {str(area) or "unknown": int(count) for area, count in Counter(cells["area"]).items()},
        "planes": sorted({str(plane) for plane in cells["plane"] if plane}),
    }


def _stimulus(session: Session, path: Any, rows: pd.DataFrame) -> dict[str, Any]:
    shown = rows[rows["frame"] >= 0]
    names = list(dict.fromkeys(shown["template"]))
    readable = [name for name in names if name in session.templates]
    length = (rows["stop_time"] - rows["start_time"]).to_numpy(dtype=np.float64)
    pixels = "none needed"
    if names:
        pixels = "available" if len(readable) == len(names) else "partly missing" if readable else "missing"
    drawn = [name for name in readable if session.templates[name].origin == "rendered"]
    stimuli = [name for name in dict.fromkeys(rows["stimulus"]) if name]
    return {
        "source": str(path),
        "granularity": session.granularity.get(str(path)),
        "stimulus": stimuli[:_NAMES_SHOWN] + (["..."] if len(stimuli) > _NAMES_SHOWN else []),
        "source_rows": int(rows["source_row"].nunique()),
        "rows": len(rows),
        "blank_rows": len(rows) - len(shown),
        "omitted_rows": int(rows["omitted"].sum()),
        "templates": len(names),
        "template_names": names[:_NAMES_SHOWN] + (["..."] if len(names) > _NAMES_SHOWN else []),
        "distinct_frames": len(shown.drop_duplicates(["template", "frame"])),
        "largest_repeat": int(shown["repeat"].max()) if len(shown) else 0,
        "start": _number(rows["start_time"].min()),
        "stop": _number(rows["stop_time"].max()),
        "median_duration": _number(np.median(length)),
        "total_duration": _number(length.sum()),
        "pixels": pixels,
        "templates_with_pixels": len(readable),
        "rendered": len(drawn),
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
