"""One ``mock_TYPE`` per type: valid, small and random, as in ``pynwb.testing``.

Every argument of the type can be given by keyword, but for two tables inside others, which take a number of rows. With
``nwbfile`` the object is added to the file, results to a processing module ``mivae`` and the annotation to the lab
metadata; it refers to cells and presentations that are in the file already where these are enough, and where the file
has an object of its name its own gets a number: ``latents_neural_shared_2``.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from itertools import chain, count
from typing import Any

import numpy as np
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from pynwb import NWBFile
from pynwb.epoch import TimeIntervals
from pynwb.misc import Units
from pynwb.ophys import PlaneSegmentation
from pynwb.testing.mock.ophys import mock_PlaneSegmentation

from ndx_mivae import (
    AlignmentMetricsTable,
    FunctionalFingerprints,
    LatentSeries,
    MIVAEAnnotation,
    MIVAEModel,
    PresentationLatents,
    RoiAttributionSeries,
    StimulusAttributionSeries,
    Subpopulations,
    SubpopulationsTable,
    TrainingSessionsTable,
    UnitAttributionSeries,
)

TIMES, LATENTS, CELLS, HEIGHT, WIDTH = 90, 3, 5, 4, 6


def mock_TrainingSessionsTable(*, rows: int = 2) -> TrainingSessionsTable:  # noqa: N802 - named after the type
    """Training sessions; the last one not on DANDI."""
    return TrainingSessionsTable.of_rows(
        {
            "identifier": f"session {row}",
            "source_object_id": f"{row:08d}-0000-4000-8000-000000000000",
            "subject_id": f"mouse{row}",
            "file_name": f"sub-mouse{row}.nwb",
            "sha256": f"{row:064x}",
        }
        | ({} if row == rows - 1 else _asset(row))
        for row in range(rows)
    )


def mock_MIVAEModel(**fields: Any) -> MIVAEModel:  # noqa: N802
    """A model trained on two sessions."""
    defaults: dict[str, Any] = {
        "model_name": "miVAE",
        "code_version": "0.1.0",
        "weights_sha256": "0123456789abcdef" * 4,
        "config": '{"latents": 3}',
        "training_sessions": mock_TrainingSessionsTable(),
    }
    return MIVAEModel(**(defaults | fields))


def mock_MIVAEAnnotation(*, nwbfile: NWBFile | None = None, **fields: Any) -> MIVAEAnnotation:  # noqa: N802
    """An annotation with its model."""
    defaults: dict[str, Any] = {
        "name": _free_name("mivae", () if nwbfile is None else nwbfile.lab_meta_data),
        "model": fields["model"] if "model" in fields else mock_MIVAEModel(),
        "source_file_name": "sub-mouse0.nwb",
        "source_sha256": "fedcba9876543210" * 4,
        "source_object_id": "00000000-0000-4000-8000-000000000000",
        "source_identifier": "session 0",
        **{f"source_{part}": value for part, value in _asset(0).items()},
        "form": "copy",
        "code_version": "0.1.0",
        "created": "2026-01-31T12:00:00+00:00",
        "context_clips": 64,
        "context_in_minutes": 0.57,
    }
    annotation = MIVAEAnnotation(**(defaults | fields))
    if nwbfile is not None:
        nwbfile.add_lab_meta_data(annotation)
    return annotation


def mock_LatentSeries(*, nwbfile: NWBFile | None = None, **fields: Any) -> LatentSeries:  # noqa: N802
    """Latents at 90 times."""
    random = np.random.default_rng(0)
    defaults: dict[str, Any] = {
        "name": "latents_neural_shared",
        "description": "Posterior of the shared neural latents.",
        "data": random.normal(size=(TIMES, LATENTS)).astype(np.float32),
        "variance": random.uniform(0.1, 1.0, (TIMES, LATENTS)).astype(np.float32),
        "timestamps": _jittered_times(),
        "space": "neural_shared",
    }
    return _added(LatentSeries, defaults, fields, nwbfile)


def mock_PresentationLatents(*, nwbfile: NWBFile | None = None, **fields: Any) -> PresentationLatents:  # noqa: N802
    """Latents of four presentations in two bins, one of them unknown."""
    random = np.random.default_rng(1)
    mean = random.normal(size=(4, 2, LATENTS)).astype(np.float32)
    variance = random.uniform(0.1, 1.0, mean.shape).astype(np.float32)
    mean[1, 1] = variance[1, 1] = np.nan
    defaults: dict[str, Any] = {
        "name": "presentation_latents_neural_shared",
        "mean": mean,
        "variance": variance,
        "bin_offsets_in_seconds": [0.0, 1 / 30],
        "space": "neural_shared",
    }
    if "presentations" not in fields:
        defaults["presentations"] = _region("presentations", _presentations(nwbfile), [0, 2, 3, 5])
    return _added(PresentationLatents, defaults, fields, nwbfile)


def mock_SubpopulationsTable(*, rows: int = 2, bins: int = 4) -> SubpopulationsTable:  # noqa: N802
    """Subpopulations with a further statistic."""
    random = np.random.default_rng(4)
    columns = {
        "profile": ("Mean attribution.", random.normal(size=(rows, bins)).astype(np.float32)),
        "n_cells": ("Number of cells.", np.full(rows, 2)),
        "stability": ("Part of the cells that stay together in resampled clips.", random.uniform(size=rows)),
    }
    return SubpopulationsTable(
        columns=[VectorData(name=name, description=text, data=data) for name, (text, data) in columns.items()]
    )


def mock_Subpopulations(*, nwbfile: NWBFile | None = None, **fields: Any) -> Subpopulations:  # noqa: N802
    """Five of six ROIs in two subpopulations; one ROI in none."""
    defaults: dict[str, Any] = {
        "name": "subpopulations",
        "subpopulation": np.array([0, 0, 1, -1, 1], np.int32),
        "confidence": np.array([0.7, 0.2, 0.5, np.nan, -0.1], np.float32),
        "bin_offsets_in_seconds": [0.0, 0.1, 0.2, 0.3],
        "table": fields["table"] if "table" in fields else mock_SubpopulationsTable(),
        "method": "k-means of score attribution",
        "target": "neural_shared",
        "settings": '{"seed": 0}',
    }
    if "cells" not in fields:
        defaults["cells"] = _region("cells", _segmentation(nwbfile), [1, 2, 3, 4, 5])
    return _added(Subpopulations, defaults, fields, nwbfile)


def mock_FunctionalFingerprints(  # noqa: N802
    *, nwbfile: NWBFile | None = None, **fields: Any
) -> FunctionalFingerprints:
    """Fingerprints of five of six ROIs: two lags, three features."""
    defaults: dict[str, Any] = {
        "name": "fingerprints",
        "data": np.random.default_rng(5).normal(size=(CELLS, 2, 3)).astype(np.float32),
        "lags_in_seconds": [0.0, 1 / 30],
        "method": "whitened covariance of activity and stimulus features",
        "settings": '{"n_frames": 900}',
    }
    if "cells" not in fields:
        defaults["cells"] = _region("cells", _segmentation(nwbfile), [1, 2, 3, 4, 5])
    return _added(FunctionalFingerprints, defaults, fields, nwbfile)


def mock_AlignmentMetricsTable(  # noqa: N802
    *, nwbfile: NWBFile | None = None, **fields: Any
) -> AlignmentMetricsTable:
    """Three figures: one within the session, its control, and one with another session."""
    names = tuple(column["name"] for column in AlignmentMetricsTable.__columns__)
    rows = (
        ("top1", "with_context", False, 0.6, 0.02, 50, "", True),
        ("top1", "shuffled_clips", True, 0.03, 0.02, 50, "", True),
        ("centred_r", "with_context", False, 0.4, np.nan, 40, "session 1", False),
    )
    defaults: dict[str, Any] = {
        "name": "alignment_metrics",
        "rows": [dict(zip(names, row, strict=True)) for row in rows],
        "settings": '{"seed": 0}',
    }
    return _added(AlignmentMetricsTable.of_rows, defaults, fields, nwbfile)


def mock_RoiAttributionSeries(*, nwbfile: NWBFile | None = None, **fields: Any) -> RoiAttributionSeries:  # noqa: N802
    """Attribution to five of six ROIs."""
    if "rois" not in fields:
        fields = {"rois": _region("rois", _segmentation(nwbfile), [1, 2, 3, 4, 5])} | fields
    return _added(RoiAttributionSeries, _attribution("cells", (CELLS,), "neural_shared"), fields, nwbfile)


def mock_UnitAttributionSeries(*, nwbfile: NWBFile | None = None, **fields: Any) -> UnitAttributionSeries:  # noqa: N802
    """Attribution to five of six units."""
    if "units" not in fields:
        fields = {"units": _region("units", _units(nwbfile), [1, 2, 3, 4, 5])} | fields
    return _added(UnitAttributionSeries, _attribution("units", (CELLS,), "neural_shared"), fields, nwbfile)


def mock_StimulusAttributionSeries(  # noqa: N802
    *, nwbfile: NWBFile | None = None, **fields: Any
) -> StimulusAttributionSeries:
    """Attribution to 4 x 6 pixels."""
    defaults = _attribution("stimulus", (HEIGHT, WIDTH), "stimulus_shared")
    return _added(StimulusAttributionSeries, defaults, fields, nwbfile)


def _asset(row: int) -> dict[str, str]:
    return {
        "dandi_instance": "dandi",
        "dandiset_id": "000728",
        "dandiset_version": "0.240827.1809",
        "asset_path": f"sub-mouse{row}/sub-mouse{row}_ophys.nwb",
        "asset_id": f"{row:08d}-0000-4000-8000-00000000000a",
    }


# Mocks in one file are about the same cells and presentations.


def _segmentation(nwbfile: NWBFile | None) -> PlaneSegmentation:
    module = None if nwbfile is None else nwbfile.processing.get("ophys")
    items = {} if module is None else module.data_interfaces
    for item in items.values():
        if isinstance(item, PlaneSegmentation) and len(item) > CELLS:
            return item
    name = _free_name("PlaneSegmentation", items)
    return mock_PlaneSegmentation(n_rois=CELLS + 1, nwbfile=nwbfile, name=name, description="Segmented cells.")


def _units(nwbfile: NWBFile | None) -> Units:
    if nwbfile is not None and nwbfile.units is not None:
        if len(nwbfile.units) <= CELLS:
            # A file has one table of units, and adding to that of the test would change what is tested.
            raise ValueError(
                f"the file has {len(nwbfile.units)} units, but these mocks need {CELLS + 1}; give units, data and "
                "per_latent"
            )
        return nwbfile.units
    table = Units(name="units", description="Sorted units.", resolution=1 / 30000)
    for row in range(CELLS + 1):
        table.add_unit(spike_times=[0.1 * (row + 1), 1.0 + row])
    if nwbfile is not None:
        nwbfile.units = table
    return table


def _presentations(nwbfile: NWBFile | None) -> TimeIntervals:
    name = "movie_presentations"
    if nwbfile is not None and name in (nwbfile.intervals or ()):
        return nwbfile.intervals[name]
    table = TimeIntervals(name=name, description="Frames of a movie.")
    for row in range(6):
        table.add_row(start_time=row / 10, stop_time=(row + 1) / 10)
    if nwbfile is not None:
        nwbfile.add_time_intervals(table)
    return table


def _attribution(what: str, shape: tuple[int, ...], target: str) -> dict[str, Any]:
    random = np.random.default_rng(2)
    return {
        "name": f"attribution_score_{what}",
        "description": f"Attribution of the shared latents to {what}.",
        "data": random.normal(size=(TIMES, *shape)).astype(np.float32),
        "per_latent": random.uniform(size=(LATENTS, *shape)).astype(np.float32),
        "method": "score",
        "target": target,
        "baseline": "posterior mean of the other modality",
        "settings": '{"seed": 0}',
        "timestamps": _jittered_times(),
    }


def _jittered_times() -> np.ndarray:
    # A display's clock; exactly regular times would better be given as a rate.
    return np.cumsum(1 / 30 + np.random.default_rng(3).uniform(-1e-3, 1e-3, TIMES))


def _region(name: str, table: DynamicTable, rows: list[int]) -> DynamicTableRegion:
    return DynamicTableRegion(name=name, description="Some rows.", data=rows, table=table)


def _free_name(name: str, taken: Container[str]) -> str:
    return next(free for free in chain([name], (f"{name}_{number}" for number in count(2))) if free not in taken)


def _added(make: Callable[..., Any], defaults: dict[str, Any], fields: dict[str, Any], nwbfile: NWBFile | None) -> Any:
    module = None if nwbfile is None else nwbfile.processing.get("mivae")
    name = _free_name(defaults["name"], () if module is None else module.data_interfaces)
    item = make(**(defaults | {"name": name} | fields))
    if nwbfile is not None:
        module = module or nwbfile.create_processing_module("mivae", "Latents and their attribution.")
        module.add(item)
    return item
