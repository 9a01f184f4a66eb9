"""Sessions in memory, for tests that need no NWB file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.session import (
    PRESENTATION_COLUMNS,
    BehaviourSeries,
    Finding,
    Provenance,
    SampledTraces,
    Session,
    SpikeTrains,
    Template,
    Traces,
)
from tests.clip_stores import ArrayTemplate

FloatArray = npt.NDArray[np.float64]


def presentation_table(
    start: npt.ArrayLike,
    stop: npt.ArrayLike,
    frame: npt.ArrayLike,
    template: str | Sequence[str] = "movie",
    repeat: npt.ArrayLike = 0,
) -> pd.DataFrame:
    start = np.asarray(start, dtype=np.float64)
    table = pd.DataFrame(
        {
            "start_time": start,
            "stop_time": np.asarray(stop, dtype=np.float64),
            "stimulus": template,
            "template": template,
            "frame": np.asarray(frame, dtype=np.int64),
            "parameters": "",
            "blank": np.asarray(frame, dtype=np.int64) < 0,
            "omitted": False,
            "repeat": repeat,
            "block": "0",
            "source_path": "stimulus/presentation/movie",
            "source_row": np.arange(len(start)),
        }
    )
    return table[list(PRESENTATION_COLUMNS)]


def sampled(timestamps: npt.ArrayLike, values: npt.ArrayLike, kind: str = "dff") -> SampledTraces:
    values = np.asarray(values, dtype=np.float32)
    return SampledTraces(
        lambda start, stop: values[start:stop],
        np.asarray(timestamps, dtype=np.float64),
        values.shape[1],
        kind=kind,  # type: ignore[arg-type]
        unit="ratio",
        path="processing/ophys/DfOverF/traces",
    )


def spiking(trains: Sequence[npt.ArrayLike], interval: tuple[float, float]) -> SpikeTrains:
    arrays = [np.sort(np.asarray(train, dtype=np.float64)) for train in trains]
    return SpikeTrains(
        np.concatenate([np.empty(0), *arrays]),
        np.cumsum([len(train) for train in arrays]).astype(np.int64),
        interval=interval,
        path="units",
    )


def movie(n_frames: int, name: str = "movie", height: int = 6, width: int = 8, seed: int = 0) -> ArrayTemplate:
    random = np.random.default_rng([seed, n_frames])
    return ArrayTemplate(name, random.integers(0, 256, (n_frames, height, width)).astype(np.uint8))


def make_session(
    presentations: pd.DataFrame,
    traces: Traces | None,
    templates: Sequence[Template] = (),
    *,
    key: str = "mouse_session",
    subject: str = "mouse",
    path: str = "mouse.nwb",
    behaviour: Mapping[str, BehaviourSeries] | None = None,
    missing: Mapping[str, str] | None = None,
    findings: Sequence[Finding] = (),
) -> Session:
    cells = 0 if traces is None else traces.n_cells
    return Session(
        key=key,
        traces=traces,
        cells=pd.DataFrame(
            {
                "id": [str(cell) for cell in range(cells)],
                "x": np.arange(cells, dtype=float),
                "y": np.full(cells, np.nan),
                "z": 100.0,
                "area": "VISp",
                "plane": "",
                "source_row": np.arange(cells),
                "source_path": "processing/ophys/ImageSegmentation/PlaneSegmentation",
                "source_file": path,
            }
        ),
        presentations=presentations,
        templates={template.name: template for template in templates},
        missing_templates=dict(missing or {}),
        behaviour=dict(behaviour or {}),
        provenance=Provenance(
            path, "2.9.0", key, f"object-{key}", key, subject, "Mus musculus", "2025-01-01T00:00:00Z"
        ),
        findings=list(findings),
    )


def series(name: str, timestamps: npt.ArrayLike, values: npt.ArrayLike) -> BehaviourSeries:
    return BehaviourSeries(
        name,
        np.asarray(timestamps, dtype=np.float64),
        np.asarray(values, dtype=np.float64),
        "cm/s",
        f"processing/behavior/{name}",
    )
